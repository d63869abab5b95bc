"""The XHand's frames on RS485 (spec of the robot, 1.1): pack a command, find and check frames, read a state.

    55 AA | source | target | command | length u16 | payload | CRC-16 u16        all little endian

The CRC is CRC-16/XMODEM (polynomial 0x1021, start 0, not reflected) over everything before it.
"""

import binascii
import struct
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from vitra_lib.core.errors import BadInput

BAUD = 3_000_000
BITS_PER_BYTE = 10
HEADER = b"\x55\xaa"
HOST, HAND = 0xFE, 0x80
CMD_STATE, CMD_VERSION = 0x02, 0x13
JOINTS = 12
MODE_POWERLESS, MODE_POSITION = 0, 3
_FINGER_COMMAND = struct.Struct("<HhhhfHHHHHH")
_FINGER_STATE = struct.Struct("<BBf9H")
_TACTILE_BYTES = 5 * 384
STATE_BYTES = JOINTS * _FINGER_STATE.size + _TACTILE_BYTES
_HEAD, _CRC = 7, 2
_MAX_PAYLOAD = 4096


@dataclass(frozen=True)
class Gains:
    """How hard the fingers are driven.

    Attributes:
        kp, ki, kd: of the position control.
        current_limit_ma: of each motor [mA]; the maker's cap is 400.
    """

    kp: int = 100
    ki: int = 0
    kd: int = 0
    current_limit_ma: int = 300

    def __post_init__(self) -> None:
        if not 0 <= self.kp <= 500 or not 0 <= self.ki <= 500 or not 0 <= self.kd <= 500:
            raise BadInput("kp, ki and kd of the hand must be 0 to 500.")
        if not 0 < self.current_limit_ma <= 400:
            raise BadInput(f"current_limit_ma is {self.current_limit_ma}; legal are 1 to 400.")


@dataclass(frozen=True)
class Frame:
    """One checked frame.

    Attributes:
        source, target: addresses.
        command: code.
        payload: what it carries.
    """

    source: int
    target: int
    command: int
    payload: bytes


@dataclass(frozen=True, eq=False)
class HandState:
    """What a hand reports.

    Attributes:
        position: (12,) angles [rad].
        current_ma: (12,) motor currents [mA].
        temperature_c: (12,) [degrees Celsius].
        errors: (12, 3) error words of the three boards of each joint; 0 where all is well.
    """

    position: Float[np.ndarray, "12"]
    current_ma: Int[np.ndarray, "12"]
    temperature_c: Int[np.ndarray, "12"]
    errors: Int[np.ndarray, "12 3"]


def crc16(data: bytes) -> int:
    """CRC-16/XMODEM."""
    return binascii.crc_hqx(data, 0)


def pack_frame(command: int, payload: bytes, source: int = HOST, target: int = HAND) -> bytes:
    """A whole frame."""
    body = HEADER + struct.pack("<BBBH", source, target, command, len(payload)) + payload
    return body + struct.pack("<H", crc16(body))


def pack_command(position: Float[np.ndarray, "12"], gains: Gains, mode: int = MODE_POSITION) -> bytes:
    """The payload of a command: every finger to an angle [rad].

    Raises:
        BadInput: an angle is not finite.
    """
    if not np.isfinite(position).all():
        raise BadInput("A finger angle is NaN or infinite; nothing was sent.")
    rows = (
        _FINGER_COMMAND.pack(joint, gains.kp, gains.ki, gains.kd, angle, gains.current_limit_ma, mode, 0, 0, 0, 0)
        for joint, angle in enumerate(position.tolist())
    )
    return b"".join(rows)


def unpack_command(payload: bytes) -> tuple[Float[np.ndarray, "12"], int]:
    """Angles [rad] and mode of a command's payload; what a hand does with it.

    Raises:
        BadInput: another length.
    """
    if len(payload) != JOINTS * _FINGER_COMMAND.size:
        raise BadInput(f"A command has {JOINTS * _FINGER_COMMAND.size} bytes, not {len(payload)}.")
    rows = list(_FINGER_COMMAND.iter_unpack(payload))
    return np.array([row[4] for row in rows], float), rows[0][6]


def pack_state(state: HandState) -> bytes:
    """The payload of a state, tactile numbers zero; inverse of `unpack_state`."""
    rows = []
    for joint in range(JOINTS):
        current, heat = int(state.current_ma[joint]), int(state.temperature_c[joint])
        words = [current, 0, heat, *map(int, state.errors[joint]), 0, 0, 0]
        rows.append(_FINGER_STATE.pack(joint, 0, float(state.position[joint]), *words))
    return b"".join(rows) + bytes(_TACTILE_BYTES)


def unpack_state(payload: bytes) -> HandState:
    """Read a state's payload.

    Raises:
        BadInput: another length, joints out of order, or an angle that is not finite.
    """
    if len(payload) != STATE_BYTES:
        raise BadInput(f"A state has {STATE_BYTES} bytes, not {len(payload)}.")
    rows = list(_FINGER_STATE.iter_unpack(payload[: JOINTS * _FINGER_STATE.size]))
    if [row[0] for row in rows] != list(range(JOINTS)):
        raise BadInput("The joints of a state are out of order.")
    position = np.array([row[2] for row in rows], float)
    if not np.isfinite(position).all():
        raise BadInput("A measured finger angle is NaN or infinite.")
    words = np.array([row[3:] for row in rows], np.int64)
    return HandState(position, words[:, 0], words[:, 2] & 0xFF, words[:, 3:6])


class FrameReader:
    """Finds whole, checked frames in a stream of bytes that may hold anything.

    Attributes:
        bad_frames: how many headers led to a wrong CRC or an impossible length.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.bad_frames = 0

    def feed(self, data: bytes) -> list[Frame]:
        """Add bytes; returns the frames that they complete. After a broken frame the search goes on one byte later."""
        self._buffer += data
        found = []
        while True:
            start = self._buffer.find(HEADER)
            if start < 0:
                keep = 1 if self._buffer.endswith(HEADER[:1]) else 0
                del self._buffer[: len(self._buffer) - keep]
                return found
            del self._buffer[:start]
            if len(self._buffer) < _HEAD:
                return found
            source, target, command, length = struct.unpack_from("<BBBH", self._buffer, 2)
            end = _HEAD + length + _CRC
            if length > _MAX_PAYLOAD:
                self._skip()
            elif len(self._buffer) < end:
                return found
            elif crc16(bytes(self._buffer[: end - _CRC])) != struct.unpack_from("<H", self._buffer, end - _CRC)[0]:
                self._skip()
            else:
                found.append(Frame(source, target, command, bytes(self._buffer[_HEAD : end - _CRC])))
                del self._buffer[:end]

    def reset(self) -> None:
        """Forget a part of a frame, before a new request."""
        self._buffer.clear()

    def _skip(self) -> None:
        self.bad_frames += 1
        del self._buffer[:1]


def wire_time_s(payload_bytes: int) -> float:
    """How long a frame is on the wire [s]."""
    return (_HEAD + payload_bytes + _CRC) * BITS_PER_BYTE / BAUD
