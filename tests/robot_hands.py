"""An XHand on a pseudo-terminal: checks every frame's CRC and answers as the hardware does, or breaks as told."""

import os
import struct
import threading
import time
import tty

import numpy as np

from robot.drivers import xhand_wire as wire

CRC_TABLE_FREE_POLYNOMIAL = 0x1021


def slow_crc(data: bytes) -> int:
    """CRC-16/XMODEM bit by bit; shares nothing with the driver's."""
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = ((crc << 1) ^ CRC_TABLE_FREE_POLYNOMIAL if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


class HandOnTerminal:
    """The device's end of the line.

    Attributes:
        path: of the end that a driver opens.
        commands: (time, mode, angles) of every command with a right CRC.
        bad_crc: frames with a wrong one.
    """

    def __init__(self, behaviour: str = "good", breaks: int = 10**9) -> None:
        """
        Args:
            behaviour: good, silent, broken_crc, partial, dribble, garbage, wrong_address, nan, dies.
            breaks: how many answers are bad before they become good.
        """
        self._device, end = os.openpty()
        tty.setraw(self._device)
        tty.setraw(end)
        self._end, self.path = end, os.ttyname(end)
        self._behaviour, self._breaks = behaviour, breaks
        self._position = np.zeros(wire.JOINTS)
        self.commands: list[tuple[float, int, np.ndarray]] = []
        self.bad_crc = 0
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> "HandOnTerminal":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        for file in (self._device, self._end):
            try:
                os.close(file)
            except OSError:
                continue
        self._thread.join(timeout=2)

    def _serve(self) -> None:
        buffer = b""
        while True:
            try:
                data = os.read(self._device, 4096)
            except OSError:
                return
            if not data:
                return
            buffer += data
            while len(buffer) >= 9:
                length = struct.unpack_from("<H", buffer, 5)[0]
                if len(buffer) < 9 + length:
                    break
                frame, buffer = buffer[: 9 + length], buffer[9 + length :]
                if slow_crc(frame[:-2]) != struct.unpack("<H", frame[-2:])[0] or frame[:2] != b"\x55\xaa":
                    self.bad_crc += 1
                    continue
                try:
                    self._answer(frame)
                except OSError:
                    return

    def _answer(self, frame: bytes) -> None:
        angles, mode = wire.unpack_command(frame[7:-2])
        self.commands.append((time.monotonic(), mode, angles))
        if mode == wire.MODE_POSITION:
            self._position = angles
        zero = np.zeros(wire.JOINTS, int)
        state = wire.HandState(self._position, zero + 7, zero + 31, np.zeros((wire.JOINTS, 3), int))
        body = b"\x55\xaa" + struct.pack("<BBBH", wire.HAND, wire.HOST, wire.CMD_STATE, wire.STATE_BYTES)
        payload = bytearray(wire.pack_state(state))
        behaviour = self._behaviour if self._breaks > 0 else "good"
        self._breaks -= 1
        if behaviour == "nan":
            payload[2:6] = struct.pack("<f", float("nan"))
        if behaviour == "wrong_address":
            body = body[:2] + b"\x81" + body[3:]
        body += bytes(payload)
        whole = body + struct.pack("<H", slow_crc(body) ^ (behaviour == "broken_crc"))
        self._send(behaviour, whole)

    def _send(self, behaviour: str, whole: bytes) -> None:
        if behaviour == "silent":
            return
        if behaviour == "partial":
            whole = whole[: len(whole) // 2]
        if behaviour == "garbage":  # noise with false headers before the frame
            whole = b"\x55\x00\x55\xaa\x01\x02\x03\xff\xff" + bytes(range(256)) + b"\x55" + whole
        size = 37 if behaviour == "dribble" else len(whole)
        for start in range(0, len(whole), size):
            part = whole[start : start + size]
            while part:
                part = part[os.write(self._device, part) :]
            if behaviour == "dribble":
                time.sleep(0.0002)
        if behaviour == "dies":
            os.close(self._device)
