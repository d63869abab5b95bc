"""Arm, camera, kinematic robot, the whole rig, and LeRobot's interface."""

import importlib

import numpy as np
import pytest

from robot.drivers.clock import ManualClock
from robot.drivers.kinematic import KinematicConfig, KinematicRobot, StillCamera, ready_pose
from robot.drivers.lerobot import LeRobotRobot
from robot.drivers.protocol import Camera, DriverFault, Robot
from robot.drivers.realman import RealmanArm, RealmanConfig
from robot.drivers.realsense import RealSense, load_package, to_frame
from robot.drivers.rig import Rig
from robot.safety.arming import Arming
from robot.safety.gate import Cleared, Reading, SafetyGate, Wish
from vitra_lib.core.errors import BadInput, MissingAsset


def cleared(q: np.ndarray) -> Cleared:
    """A command that passed a gate."""
    gate, start = SafetyGate(), ready_pose()
    gate.arm(Reading(start, 0.0, 0.0), 0.0)
    return gate.tick(Reading(start, 0.01, 0.01), Wish(q, "right", 1, 0.01), 0.01)


class ArmPackage:
    """Has the names of the maker's arm package, and remembers calls."""

    class rm_thread_mode_e:  # noqa: N801 - the maker's name
        RM_TRIPLE_MODE_E = 2

    def __init__(self, handle: int = 1, code: int = 0) -> None:
        self.calls: list[tuple] = []
        self.id, self.code, self.degrees = handle, code, np.rad2deg(ready_pose()[:7]).tolist()

    def RoboticArm(self, mode: int) -> "ArmPackage":  # noqa: N802
        return self

    def rm_create_robot_arm(self, host: str, port: int) -> "ArmPackage":
        return self

    def rm_get_joint_degree(self) -> tuple[int, list[float]]:
        return 0, self.degrees

    def __getattr__(self, name: str):
        if not name.startswith("rm_"):
            raise AttributeError(name)

        def call(*arguments: object) -> int:
            self.calls.append((name, *arguments))
            return self.code if "canfd" in name else 0

        return call


def test_the_arm_is_spoken_to_in_degrees_without_planning() -> None:
    package = ArmPackage()
    arm = RealmanArm(RealmanConfig(is_simulated=True), ManualClock(3.0), package)
    arm.connect()
    angles, at_s = arm.read_arm()
    assert np.allclose(angles, ready_pose()[:7]) and at_s == 3.0
    command = cleared(ready_pose() + 0.0002)
    arm.write_arm(command)
    assert ("rm_set_arm_run_mode", 0) in package.calls  # the controller's own dry run
    name, degrees, follow, *rest = package.calls[-1]
    assert name == "rm_movej_canfd" and np.allclose(degrees, np.rad2deg(command.arm)) and follow is False
    arm.stop()
    assert package.calls[-1] == ("rm_set_arm_slow_stop",)


@pytest.mark.parametrize("code", [1, -1, -2, -4])
def test_a_command_that_the_arm_refuses_is_a_fault(code: int) -> None:
    arm = RealmanArm(package=ArmPackage(code=code))
    arm.connect()
    with pytest.raises(DriverFault, match="pass-through"):
        arm.write_arm(cleared(ready_pose()))


def test_no_arm_and_no_package_say_so() -> None:
    with pytest.raises(DriverFault, match="No arm answers"):
        RealmanArm(package=ArmPackage(handle=-1)).connect()
    with pytest.raises(DriverFault, match="not connected"):
        RealmanArm(package=ArmPackage()).read_arm()
    with pytest.raises(BadInput, match="High follow"):
        RealmanConfig(high_follow=True, period_s=0.02)


def test_the_makers_library_reads_degrees_as_our_kinematics_does() -> None:
    """The closed library's own forward kinematics, which works without an arm, on what the driver would send."""
    try:
        package = importlib.import_module("Robotic_Arm.rm_robot_interface")
    except (ImportError, OSError) as error:
        pytest.skip(f"The maker's package Robotic_Arm is not installed here ({error}).")
    from robot.arm import load_arm

    algorithm = package.Algo(package.rm_robot_arm_model_e.RM_MODEL_RM_75_E, package.rm_force_type_e.RM_MODEL_RM_SF_E)
    command = cleared(ready_pose())
    pose = algorithm.rm_algo_forward_kinematics(np.rad2deg(command.arm).tolist(), 0)
    assert np.abs(np.array(pose[:3]) - load_arm("RM75-6F").forward(command.arm)[:3, 3]).max() < 1e-4


def test_the_camera_without_its_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyrealsense2", None)
    with pytest.raises(MissingAsset, match="pip install pyrealsense2"):
        RealSense().connect()


def test_a_software_camera_gives_its_picture_and_intrinsics() -> None:
    """The real package with a software device: pixels, intrinsics and copies."""
    try:
        rs = load_package()
    except MissingAsset as error:
        pytest.skip(str(error))
    device = rs.software_device()
    sensor = device.add_sensor("colour")
    intrinsics = rs.intrinsics()
    intrinsics.width, intrinsics.height = 64, 48
    intrinsics.fx = intrinsics.fy = 50.0
    intrinsics.ppx, intrinsics.ppy = 31.5, 23.5
    intrinsics.model = rs.distortion.none
    stream = rs.video_stream()
    stream.type, stream.index, stream.uid, stream.width, stream.height = rs.stream.color, 0, 0, 64, 48
    stream.fps, stream.bpp, stream.fmt, stream.intrinsics = 30, 3, rs.format.rgb8, intrinsics
    profile = sensor.add_video_stream(stream)
    queue = rs.frame_queue(4)
    sensor.open(profile)
    sensor.start(queue)
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    frame = rs.software_video_frame()
    frame.pixels, frame.bpp, frame.stride = image, 3, 192
    frame.timestamp, frame.frame_number = 5.0, 1
    frame.profile = profile.as_video_stream_profile()
    sensor.on_video_frame(frame)
    got = to_frame(queue.wait_for_frame(2000).as_video_frame(), 7.5)
    assert np.array_equal(got.image, image) and got.at_s == 7.5
    assert np.allclose(got.K_px, [[50, 0, 31.5], [0, 50, 23.5], [0, 0, 1]])
    sensor.stop()
    sensor.close()


def test_the_kinematic_robot_follows_like_its_closed_form() -> None:
    clock = ManualClock()
    robot = KinematicRobot(clock, KinematicConfig(time_constant_s=0.05, dead_time_s=0.02))
    robot.connect()
    start, command = ready_pose(), cleared(ready_pose() + 0.001)
    robot.write(command)
    clock.advance(0.02)
    assert np.array_equal(robot.read().position, start)  # still in its dead time
    clock.advance(0.05)
    way = (robot.read().position - start)[0] / (command.position - start)[0]
    assert way == pytest.approx(1 - np.exp(-1), rel=1e-9)
    robot.stop()
    held = robot.read().position
    clock.advance(1.0)
    assert np.array_equal(robot.read().position, held)
    robot.disconnect()
    with pytest.raises(DriverFault):
        robot.read()


class Part:
    """An arm or a hand that can be told to fail."""

    def __init__(self, size: int, fails: str = "") -> None:
        self.size, self.fails, self.log = size, fails, []

    def _do(self, what: str) -> None:
        self.log.append(what)
        if self.fails == what:
            raise DriverFault(f"{what} failed")

    def connect(self) -> None:
        self._do("connect")

    def disconnect(self) -> None:
        self._do("disconnect")

    def stop(self) -> None:
        self._do("stop")

    def read_arm(self) -> tuple[np.ndarray, float]:
        return ready_pose()[:7], 1.0

    def read_hand(self) -> tuple[np.ndarray, float]:
        return ready_pose()[7:], 2.0

    def write_arm(self, command: Cleared) -> None:
        self._do("write")

    def write_hand(self, command: Cleared) -> None:
        self._do("write")


def test_a_rig_is_as_old_as_its_oldest_part_and_stops_all_when_one_refuses() -> None:
    clock = ManualClock(9.0)
    arm, hand = Part(7), Part(12, fails="write")
    rig = Rig(arm, hand, StillCamera(clock), clock)
    rig.connect()
    reading = rig.read()
    assert reading.at_s == 1.0 and reading.camera_at_s == 9.0 and np.array_equal(reading.position, ready_pose())
    with pytest.raises(DriverFault):
        rig.write(cleared(ready_pose()))
    assert arm.log[-1] == hand.log[-1] == "stop"


def test_a_rig_closes_what_it_opened_when_a_part_is_missing() -> None:
    arm, hand = Part(7), Part(12, fails="connect")
    with pytest.raises(DriverFault):
        Rig(arm, hand, None, ManualClock()).connect()
    assert arm.log == ["connect", "disconnect"]


def test_a_rig_stops_the_hand_even_when_the_arm_throws() -> None:
    arm, hand = Part(7, fails="stop"), Part(12)
    rig = Rig(arm, hand, None, ManualClock())
    rig.connect()
    rig.stop()
    rig.disconnect()
    assert hand.log == ["connect", "stop", "disconnect"]


def test_protocols() -> None:
    clock = ManualClock()
    assert isinstance(KinematicRobot(clock), Robot) and isinstance(StillCamera(clock), Camera)
    assert isinstance(Rig(Part(7), Part(12), None, clock), Robot) and isinstance(RealSense(), Camera)


def test_lerobots_interface_returns_what_was_sent() -> None:
    clock = ManualClock()
    robot = LeRobotRobot(KinematicRobot(clock), StillCamera(clock), clock=clock)
    robot.connect()
    assert set(robot.action_features) == set(robot.observation_features) - {"head"}
    assert robot.observation_features["head"] == (224, 224, 3) and len(robot.action_features) == 19
    observation = robot.get_observation()
    action = {key: observation[key] + 1.0 for key in robot.action_features}
    clock.advance(0.01)
    sent = robot.send_action(action)
    assert set(sent) == set(action)
    moved = np.array([sent[key] - observation[key] for key in sent])
    cap = robot.gate.config.acceleration_rad_s2 * 0.01 * 0.01
    assert (np.abs(moved) <= cap + 1e-12).all() and moved.max() > 0  # far less than asked for
    with pytest.raises(BadInput, match="every joint once"):
        robot.send_action({"arm.joint_1.pos": 0.0})
    robot.gate.estop()
    with pytest.raises(DriverFault, match="stopped"):
        robot.send_action(action)
    robot.disconnect()
    assert not robot.is_connected


@pytest.mark.parametrize(
    ("arming", "moves"), [(Arming(), True), (Arming(real=True), False), (Arming(True, True), True)]
)
def test_hardware_moves_with_both_keys_only(arming: Arming, moves: bool) -> None:
    clock = ManualClock()
    robot = LeRobotRobot(KinematicRobot(clock), StillCamera(clock), arming=arming, clock=clock)
    robot.connect()
    before = robot.get_observation()
    for _ in range(5):
        clock.advance(0.01)
        robot.get_observation()
        robot.send_action({key: before[key] + 0.05 for key in robot.action_features})
    clock.advance(0.01)
    after = robot.get_observation()
    assert (abs(after["arm.joint_1.pos"] - before["arm.joint_1.pos"]) > 1e-6) == moves
