"""The simulation behind the drivers' protocols: clock, reading, writing, stopping, camera, loop, replay, film."""

from pathlib import Path

import numpy as np
import pytest
from simulation_makers import block, scene

from robot.arm import load_arm
from robot.drivers.clock import ManualClock
from robot.drivers.lerobot import LeRobotRobot
from robot.drivers.protocol import Camera, DriverFault, Robot
from robot.execution.askers import ask_hold
from robot.execution.broker import BrokerConfig
from robot.execution.loop import ControlLoop, LoopConfig
from robot.execution.policy_source import AskConfig, PolicySource
from robot.execution.replay import Recording, ReplaySource
from robot.execution.worker import DelayedWorker
from robot.safety.gate import Cleared, Reading, SafetyGate, Wish
from robot.simulation.config import CONTROL_PERIOD_S, RigConfig, ready_angles, rig_safety
from robot.simulation.driver import DriverConfig, SimulatedRig, SimulatedRobot, open_simulation
from robot.simulation.film import FilmedSource
from robot.simulation.physics import Simulation
from vitra_lib.core.errors import BadInput
from vitra_lib.geometry.cameras import fov_from_K
from vitra_lib.video import VideoReader

SMALL = DriverConfig(width_px=48, height_px=36)


def opened(**changes) -> SimulatedRig:
    return open_simulation(scene(block()), driver=DriverConfig(**({"width_px": 48, "height_px": 36} | changes)))


def cleared(rig: SimulatedRig, q: np.ndarray) -> Cleared:
    """A command that passed a gate now."""
    gate = SafetyGate(rig.safety)
    reading = rig.robot.read()
    gate.arm(reading, rig.clock.now())
    return gate.tick(reading, Wish(q, "right", 1, rig.clock.now()), rig.clock.now() + CONTROL_PERIOD_S)


def test_it_is_a_robot_and_a_camera_and_time_is_the_clocks() -> None:
    rig = opened()
    assert isinstance(rig.robot, Robot) and isinstance(rig.camera, Camera)
    with pytest.raises(DriverFault, match="not connected"):
        rig.robot.read()
    rig.clock.advance(5.0)
    rig.robot.connect()
    assert rig.simulation.time_s == 0.0  # what was before connecting did not happen
    first = rig.robot.read()
    np.testing.assert_allclose(first.position, ready_angles(), atol=1e-6)
    assert first.at_s == 5.0 and 5.0 - 1 / 30 <= first.camera_at_s <= 5.0
    rig.clock.advance(0.5)
    rig.robot.read()
    assert rig.simulation.time_s == pytest.approx(0.5)
    rig.robot.read()
    assert rig.simulation.time_s == pytest.approx(0.5)


def test_it_follows_a_cleared_command_and_stops_where_it_is() -> None:
    rig = opened()
    rig.robot.connect()
    command = cleared(rig, ready_angles() + 0.2)
    before = rig.robot.read().position
    rig.robot.write(command)
    rig.clock.advance(0.5)
    now = rig.robot.read().position
    np.testing.assert_allclose(now, command.position, atol=2e-3)
    assert np.abs(now - before).max() > 3e-3  # the gate's first step
    gate_less = Wish(ready_angles(), "right", 1, 0.0)
    with pytest.raises((AttributeError, TypeError)):
        rig.robot.write(gate_less)
    rig.robot.stop()
    held = rig.robot.read().position
    rig.clock.advance(1.0)
    np.testing.assert_allclose(rig.robot.read().position, held, atol=2e-3)
    rig.robot.disconnect()
    rig.robot.disconnect()
    rig.robot.stop()
    with pytest.raises(DriverFault):
        rig.robot.write(command)


def test_noise_is_of_the_reading_not_of_the_world_and_repeats() -> None:
    readings = []
    for seed in (1, 1, 2):
        rig = opened(noise_rad=0.01, seed=seed)
        rig.robot.connect()
        readings.append(np.array([rig.robot.read().position for _ in range(20)]))
        assert np.abs(rig.simulation.measured - ready_angles()).max() < 1e-6
    assert np.array_equal(readings[0], readings[1]) and not np.array_equal(readings[0], readings[2])
    assert (readings[0] - ready_angles()).std() == pytest.approx(0.01, rel=0.15)


def test_the_camera_takes_new_pictures_at_its_rate_and_stamps_them() -> None:
    rig = opened(camera_fps=10.0)
    rig.robot.connect()
    rig.camera.connect()
    first = rig.camera.latest()
    rig.clock.advance(0.05)
    assert rig.camera.latest() is first
    rig.clock.advance(0.05)
    second = rig.camera.latest()
    assert second.at_s == pytest.approx(0.1) and second is not first and second.image.shape == (36, 48, 3)
    fov = fov_from_K(second.K_px, 48, 36)
    assert fov[1] == pytest.approx(rig.simulation.scene.camera.fov_y_rad) and np.rad2deg(fov).max() < 90.0


def test_a_policy_that_holds_keeps_still_in_the_loop_and_every_tick_is_cleared() -> None:
    rig = opened()
    gate, worker = SafetyGate(rig.safety), DelayedWorker(rig.clock, 0.1)
    asking = AskConfig(0.1, ask_left_s=0.9, broker=BrokerConfig("latest"))
    source = PolicySource(rig.setup, load_arm(), rig.camera, ask_hold(), worker, asking)
    trace = ControlLoop(rig.robot, gate, rig.clock, LoopConfig(2.0)).run(source)
    assert trace.ending == "duration" and trace.is_sent.all() and source.answers >= 2
    assert np.abs(trace.measured - trace.measured[0]).max() < 1e-3
    assert gate.journal.summary()["interventions"] == {}


def test_a_recording_is_replayed_through_loop_and_gate_and_filmed(tmp_path: Path) -> None:
    times = np.arange(20)[:, None] * 0.1
    sway = np.r_[0.15, 0.1, 0, 0.1, 0, 0.1, 0.2, np.full(12, 0.15)]
    targets = ready_angles() + sway * np.sin(1.5 * times) ** 2
    rig = opened()
    gate, film = SafetyGate(rig.safety), tmp_path / "film.mp4"
    source = ReplaySource(Recording("right", targets, 10.0))
    with FilmedSource(source, rig, film, 10.0, (48, 36)) as filmed:
        trace = ControlLoop(rig.robot, gate, rig.clock, LoopConfig(20.0)).run(filmed)
    assert trace.ending == "over" and gate.journal.summary()["interventions"] == {}
    played = trace.time_s + CONTROL_PERIOD_S > source.start_s
    span = np.ptp(trace.measured[played], axis=0)
    np.testing.assert_allclose(span, np.ptp(targets, axis=0), atol=0.01)
    assert np.abs(trace.measured[1:] - trace.sent[:-1]).max() < 0.02  # one period behind, no more
    with VideoReader(film) as reader:
        assert reader.info.frame_count == pytest.approx(10 * trace.time_s[-1], abs=2)
    with pytest.raises(BadInput, match="fps"):
        FilmedSource(source, rig, film, 100.0)


def test_the_gate_keeps_the_hand_out_of_the_table_in_simulation_too() -> None:
    rig = open_simulation(scene(), driver=SMALL)
    gate, down = SafetyGate(rig.safety), ready_angles()
    down[:7] += [0.0, 0.6, 0.0, 0.3, 0.0, -0.9, 0.0]
    assert load_arm().forward(down[:7])[2, 3] < 0.06  # asked for, the finger tips would be inside the table
    ControlLoop(rig.robot, gate, rig.clock, LoopConfig(6.0)).run(
        ReplaySource(Recording("right", np.stack([ready_angles(), down, down]), 1.0))
    )
    assert rig.simulation.tips_world[:, 2].min() > rig.simulation.rig.config.table_z_m
    assert any("table" in name for name in gate.journal.summary()["interventions"])
    free = Simulation(scene())
    for share in np.linspace(0, 1, 60):
        free.step(ready_angles() + share * (down - ready_angles()))
    assert free.touching("table")  # without the gate it touches


class WildSource:
    """Wants the impossible, something else at every tick."""

    def __init__(self) -> None:
        self._rng, self._sequence = np.random.default_rng(7), 0

    def wish(self, reading: Reading, now_s: float) -> Wish:
        self._sequence += 1
        values = self._rng.uniform(-3.0, 3.0, 19) if self._sequence % 7 else np.full(19, np.nan)
        return Wish(values, "right", self._sequence, now_s)

    def is_over(self, now_s: float) -> bool:
        return False


def test_wild_wishes_neither_hit_the_table_nor_break_the_caps_nor_leave_the_box() -> None:
    rig = open_simulation(scene(), driver=SMALL)
    gate, robot = SafetyGate(rig.safety), Watched(rig)
    trace = ControlLoop(robot, gate, rig.clock, LoopConfig(5.0)).run(WildSource())
    assert len(trace) > 140 and trace.ending == "duration"
    speed = np.abs(np.diff(trace.measured, axis=0)) / CONTROL_PERIOD_S
    assert (speed <= rig.safety.speed_rad_s * 1.25).all() and speed[:, :7].max() > 0.3
    assert not robot.touched  # arm and hand touch neither table nor riser
    hand, box = np.array(robot.hand_world), rig.safety.scene
    assert (hand >= box.box_lower_m - 0.005).all() and (hand <= box.box_upper_m + 0.005).all()
    counts = gate.journal.summary()["interventions"]
    assert counts["non_finite"] >= 20 and {"velocity", "acceleration"} <= set(counts)


class Watched(SimulatedRobot):
    """Remembers what the table touched and where the hand's base was."""

    def __init__(self, rig: SimulatedRig) -> None:
        super().__init__(rig.simulation, rig.clock, SMALL)
        self.touched: set[str] = set()
        self.hand_world: list[np.ndarray] = []

    def settle(self) -> None:
        super().settle()
        self.touched |= set(self.simulation.touching("table"))
        self.hand_world.append(self.simulation.T_world_hand[:3, 3].copy())


def test_lerobots_interface_drives_it() -> None:
    rig = opened()
    robot = LeRobotRobot(rig.robot, rig.camera, rig.safety, clock=rig.clock)
    robot.connect()
    start = robot.get_observation()
    for _ in range(15):
        rig.clock.advance(CONTROL_PERIOD_S)
        now = robot.get_observation()
        robot.send_action({key: start[key] + 0.1 for key in robot.action_features})
    assert now["head"].shape == (36, 48, 3)
    assert now["arm.joint_1.pos"] - start["arm.joint_1.pos"] == pytest.approx(0.1, abs=0.03)
    robot.disconnect()


def test_the_left_rig_has_the_left_hand_and_its_own_setup() -> None:
    rig = open_simulation(scene(block(), side="left"), driver=SMALL)
    right = opened()
    assert rig.safety.side == rig.setup.side == "left" and rig.simulation.rig.config.side == "left"
    assert rig.setup.instruction == "Left hand: Lift the block. Right hand: None."
    assert right.setup.instruction == "Left hand: None. Right hand: Lift the block."
    assert not np.allclose(rig.setup.T_flange_mount, right.setup.T_flange_mount)
    assert rig_safety(RigConfig(side="left")).side == "left"


def test_wrong_use_is_refused() -> None:
    for bad in ({"noise_rad": -1.0}, {"camera_fps": 0.0}):
        with pytest.raises(BadInput, match="camera_fps"):
            DriverConfig(**bad)
    with pytest.raises(BadInput, match="pixels"):
        DriverConfig(width_px=2)
    robot = SimulatedRobot(Simulation(scene()), ManualClock())
    robot.connect()
    robot._clock.advance(100.0)
    with pytest.raises(BadInput, match="60 s"):
        robot.read()
