"""The XHand's wire format, and its driver against a hand on a pseudo-terminal that is good, broken, slow or gone."""

import struct
import time
from pathlib import Path

import numpy as np
import pytest
from robot_hands import HandOnTerminal, slow_crc

import robot
from robot.drivers import xhand_wire as wire
from robot.drivers.kinematic import ready_pose
from robot.drivers.protocol import DriverFault, NoAnswer
from robot.drivers.xhand import XHandConfig, XHandSerial, XHandVendor
from robot.safety.gate import Cleared, Reading, SafetyGate, Wish
from vitra_lib.core.errors import BadInput, MissingAsset


def cleared(offset: float = 0.0) -> Cleared:
    """A command that passed a gate."""
    gate, q = SafetyGate(), ready_pose()
    gate.arm(Reading(q, 0.0, 0.0), 0.0)
    wish = Wish(np.r_[q[:7], q[7:] + offset], "right", 1, 0.01)
    return gate.tick(Reading(q, 0.01, 0.01), wish, 0.01)


def test_crc_is_xmodems() -> None:
    assert wire.crc16(b"123456789") == 0x31C3  # the published check value
    rng = np.random.default_rng(0)
    for _ in range(20):
        data = rng.integers(0, 256, 50, dtype=np.uint8).tobytes()
        assert wire.crc16(data) == slow_crc(data)


def test_frames_have_the_published_layout() -> None:
    angles = np.arange(12) / 10
    frame = wire.pack_frame(wire.CMD_STATE, wire.pack_command(angles, wire.Gains(kp=120, current_limit_ma=350)))
    assert frame[:7] == b"\x55\xaa\xfe\x80\x02" + struct.pack("<H", 288) and len(frame) == 297
    assert struct.unpack_from("<Hhhhf", frame, 7 + 5 * 24) == (5, 120, 0, 0, pytest.approx(0.5))
    assert struct.unpack_from("<HH", frame, 7 + 5 * 24 + 12) == (350, wire.MODE_POSITION)
    assert wire.STATE_BYTES == 2208
    assert wire.wire_time_s(288) == pytest.approx(0.99e-3, rel=0.01)
    assert wire.wire_time_s(2208) == pytest.approx(7.39e-3, rel=0.01)


def test_a_state_survives_packing() -> None:
    rng = np.random.default_rng(0)
    errors = rng.integers(0, 9, (12, 3))
    state = wire.HandState(rng.random(12), rng.integers(0, 400, 12), rng.integers(20, 60, 12), errors)
    again = wire.unpack_state(wire.pack_state(state))
    assert np.allclose(again.position, state.position, atol=1e-7) and np.array_equal(again.errors, errors)
    assert np.array_equal(again.current_ma, state.current_ma)


def test_a_stream_of_frames_is_found_in_any_pieces_between_any_noise() -> None:
    rng = np.random.default_rng(0)
    payloads = [rng.integers(0, 256, n, dtype=np.uint8).tobytes() for n in (0, 5, 300, 2208)]
    noise = [b"", b"\x55", b"\x55\xaa\x00", b"\xaa\x55\x55"]
    stream = b"".join(n + wire.pack_frame(2, p) for n, p in zip(noise, payloads, strict=True)) + b"\x55\xaa"
    for size in (1, 2, 7, 64, len(stream)):
        reader, found = wire.FrameReader(), []
        for start in range(0, len(stream), size):
            found += reader.feed(stream[start : start + size])
        assert [frame.payload for frame in found] == payloads


def test_control_one_flipped_bit_anywhere_loses_the_frame() -> None:
    frame = wire.pack_frame(2, b"abcdef")
    for bit in range(8 * len(frame)):
        broken = bytearray(frame)
        broken[bit // 8] ^= 1 << bit % 8
        assert wire.FrameReader().feed(bytes(broken)) == []


@pytest.mark.parametrize("bad", [b"", b"\0" * 100, b"\0" * 2208])
def test_bad_states_are_refused(bad: bytes) -> None:
    with pytest.raises(BadInput):
        wire.unpack_state(bad)


def test_a_finger_command_that_is_not_finite_is_refused() -> None:
    with pytest.raises(BadInput, match="NaN"):
        wire.pack_command(np.full(12, np.nan), wire.Gains())


@pytest.mark.parametrize("behaviour", ["good", "dribble", "garbage"])
def test_the_driver_moves_reads_and_leaves_the_hand_powerless(behaviour: str) -> None:
    with HandOnTerminal(behaviour) as hand:
        driver = XHandSerial(XHandConfig(port=hand.path, time_limit_s=0.5))
        driver.connect()
        command = cleared()
        driver.write_hand(command)
        angles, at_s = driver.read_hand()
        assert np.allclose(angles, command.hand, atol=1e-6)
        assert 0 <= time.monotonic() - at_s < 5
        assert driver.state.temperature_c.tolist() == [31] * 12
        driver.disconnect()
        modes = [mode for _, mode, _ in hand.commands]
        assert modes == [wire.MODE_POWERLESS, wire.MODE_POSITION, wire.MODE_POWERLESS]  # one trip moved and measured
        assert hand.bad_crc == 0


@pytest.mark.parametrize("behaviour", ["silent", "broken_crc", "partial", "wrong_address", "nan"])
def test_a_hand_that_never_answers_well_is_a_fault_in_time(behaviour: str) -> None:
    with HandOnTerminal(behaviour) as hand:
        driver = XHandSerial(XHandConfig(port=hand.path, time_limit_s=0.05, attempts=2))
        began = time.monotonic()
        with pytest.raises(NoAnswer):
            driver.connect()
        assert 0.09 < time.monotonic() - began < 2.0  # both attempts, and no more
        assert len(hand.commands) == 2


@pytest.mark.parametrize("behaviour", ["silent", "broken_crc", "partial"])
def test_one_lost_answer_is_asked_for_again(behaviour: str) -> None:
    with HandOnTerminal(behaviour, breaks=1) as hand:
        driver = XHandSerial(XHandConfig(port=hand.path, time_limit_s=0.2))
        driver.connect()
        assert len(hand.commands) == 2 and driver.bad_frames == (behaviour == "broken_crc")
        driver.disconnect()


def test_a_hand_that_is_unplugged_is_a_fault() -> None:
    hand = HandOnTerminal("dies")
    driver = XHandSerial(XHandConfig(port=hand.path, time_limit_s=0.1))
    with pytest.raises(DriverFault):
        driver.connect()
        driver.write_hand(cleared())
    driver.disconnect()
    hand.close()


def test_a_port_that_is_not_there_or_no_port_is_a_fault(tmp_path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "none", tmp_path / "file"):
        with pytest.raises(DriverFault):
            XHandSerial(XHandConfig(port=str(path))).connect()


def test_the_sign_of_a_motor_comes_from_the_hand_table(tmp_path) -> None:
    shipped = (Path(robot.__file__).parent / "xhand_joints.yaml").read_text()
    table = tmp_path / "mine.yaml"
    table.write_text(shipped.replace("motor_sign: {index_bend_joint: 1}", "motor_sign: {index_bend_joint: -1}"))
    with HandOnTerminal() as hand:
        driver = XHandSerial(XHandConfig(port=hand.path, time_limit_s=0.5, table=table))
        driver.connect()
        command = cleared(0.0005)
        driver.write_hand(command)
        sent = hand.commands[-1][2]
        assert sent[3] == pytest.approx(-command.hand[3]) and sent[4] == pytest.approx(command.hand[4])
        assert np.allclose(driver.read_hand()[0], command.hand, atol=1e-6)
        driver.disconnect()


def test_a_table_of_another_hand_is_refused() -> None:
    with pytest.raises(BadInput, match="12 joints"):
        XHandConfig(table="allegro")


class VendorPackage:
    """Has the names of the maker's package, and remembers."""

    def __init__(self, code: int = 0) -> None:
        self.sent, self.code, self.closed = [], code, False

    class HandCommand_t:  # noqa: N801 - the maker's name
        def __init__(self) -> None:
            self.finger_command = [type("Finger", (), {})() for _ in range(12)]

    def XHandControl(self) -> "VendorPackage":  # noqa: N802
        return self

    def _error(self) -> object:
        return type("Error", (), {"error_code": self.code, "error_message": "over-temperature"})()

    def open_serial(self, path: str, baud: int) -> object:
        return type("Error", (), {"error_code": 0, "error_message": ""})()

    def list_hands_id(self) -> list[int]:
        return [3]

    def send_command(self, hand_id: int, command: object) -> object:
        self.sent.append((hand_id, [(f.id, f.mode, f.position, f.tor_max) for f in command.finger_command]))
        return self._error()

    def read_state(self, hand_id: int, force: bool) -> tuple[object, object]:
        assert force  # the copy of the last send has no time
        fingers = [type("Finger", (), {"position": 0.01 * k})() for k in range(12)]
        return self._error(), type("State", (), {"finger_state": fingers})()

    def close_device(self) -> None:
        self.closed = True


def test_the_makers_package_is_driven_by_its_names() -> None:
    package = VendorPackage()
    driver = XHandVendor(package=package)
    driver.connect()
    command = cleared()
    driver.write_hand(command)
    assert package.sent[0][0] == 3 and package.sent[0][1][5] == (5, 3, pytest.approx(command.hand[5]), 300)
    assert np.allclose(driver.read_hand()[0], 0.01 * np.arange(12))
    driver.disconnect()
    assert package.sent[-1][1][0][1] == wire.MODE_POWERLESS and package.closed


def test_errors_of_the_makers_package_are_faults() -> None:
    driver = XHandVendor(package=VendorPackage(code=7))
    driver.connect()
    with pytest.raises(DriverFault, match="over-temperature"):
        driver.write_hand(cleared())


def test_without_the_makers_package_the_error_says_where_it_comes_from() -> None:
    with pytest.raises(MissingAsset, match="xhand_controller"):
        XHandVendor().connect()
