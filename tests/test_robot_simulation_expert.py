"""The scripted experts: ways that the safety layer lets pass, grasps that hold, whole trials, their demonstrations."""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from robot.cli import demonstrate as verb
from robot.execution.loop import ControlLoop, LoopConfig
from robot.execution.replay import Recording, ReplaySource
from robot.safety.gate import SafetyGate
from robot.safety.limits import ARM_JOINTS
from robot.simulation.config import CONTROL_PERIOD_S, rig_safety
from robot.simulation.demonstrate import DemonstrateConfig, demonstrate, read_trials
from robot.simulation.driver import open_simulation
from robot.simulation.expert import Demonstration, Expert, ExpertConfig, run_expert
from robot.simulation.expert.clearance import Surroundings
from robot.simulation.expert.functional_grasp import functional_grasp_script
from robot.simulation.expert.grasping import PINCH, WRAP, oriented, wraps
from robot.simulation.expert.paths import PathConfig, PathPlanner
from robot.simulation.expert.primitives import Actor
from robot.simulation.physics import Simulation
from robot.simulation.tasks import outcome, sample_scene
from robot.simulation.tasks.start import aside_angles
from robot.teleop.check import check_tele
from robot.teleop.files import TeleData
from vitra_lib.core.errors import BadInput
from vitra_lib.geometry.rotations import geodesic_angle
from vitra_lib.video import probe

BOTTLE = DemonstrateConfig("functional-grasp", 1, seed=1, size_px=64)


@pytest.fixture(scope="module")
def planner() -> PathPlanner:
    return PathPlanner(rig_safety())


@pytest.fixture(scope="module")
def picked() -> Demonstration:
    return run_expert(sample_scene("pick-place", 7))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One demonstration of lifting a bottle, written."""
    root = tmp_path_factory.mktemp("teledata")
    assert [trial.success for trial in demonstrate(root, BOTTLE)] == [True]
    return root


def test_a_timed_way_keeps_the_caps_begins_and_ends_at_rest(planner: PathPlanner) -> None:
    rng = np.random.default_rng(0)
    start = aside_angles()
    path = start + np.cumsum(rng.normal(0, 0.03, (12, 19)), axis=0)
    rows = np.vstack([path[:1], planner.timed(path)])
    speed = np.diff(rows, axis=0) / CONTROL_PERIOD_S
    share = np.abs(speed) / planner.safety.speed_rad_s
    assert share.max() <= planner.config.speed_share + 1e-9
    assert share.max() > 0.6  # and it doesn't dawdle
    assert np.allclose(rows[-1], path[-1])
    assert share[0].max() < 0.3 and share[-1].max() < 0.3


def test_a_straight_line_is_straight_and_a_pose_out_of_reach_is_refused(planner: PathPlanner) -> None:
    start, fingers = aside_angles()[:ARM_JOINTS], WRAP.open_rad
    T = planner.T_base_hand(start)
    goal = T.copy()
    goal[:3, 3] += [0.06, 0.05, 0.08]
    path = planner.line(start, goal, fingers)
    way = planner.T_base_hand(path)[:, :3, 3] - T[:3, 3]
    along = np.array([0.06, 0.05, 0.08]) / np.linalg.norm([0.06, 0.05, 0.08])
    assert np.abs(way - np.outer(way @ along, along)).max() < 1e-4
    assert geodesic_angle(planner.T_base_hand(path)[:, :3, :3], T[:3, :3]).max() < 1e-3
    far = T.copy()
    far[:3, 3] = [1.2, 0.0, 0.3]
    assert planner.line(start, far, fingers) is None and planner.reach(far, start, fingers) is None
    below = T.copy()
    below[2, 3] = -0.09
    assert planner.reach(below, start, fingers) is None  # within reach, but the safety layer would refuse it


def test_reached_poses_are_the_poses(planner: PathPlanner) -> None:
    start = aside_angles()[:ARM_JOINTS]
    for yaw, grip in ((0.2, WRAP), (0.6, PINCH)):
        roll = 0.1 if grip is WRAP else np.pi / 2
        T = oriented(yaw, np.deg2rad(30 if grip is PINCH else 5), roll, np.array([0.4, 0.05, -0.03]), grip.centre_m)
        assert np.allclose((T @ np.r_[grip.centre_m, 1.0])[:3], [0.4, 0.05, -0.03])
        q = planner.reach(T, start, grip.open_rad)
        assert np.abs(planner.T_base_hand(q) - T).max() < 1e-3


def test_a_way_through_a_thing_is_seen_and_the_trial_is_not_moved() -> None:
    scene = sample_scene("pick-place", 7)
    simulation = Simulation(scene)
    before = simulation.snapshot().state
    actor = Actor(simulation, PathPlanner(rig_safety()))
    place = simulation.T_world_thing("target")[:3, 3] + [0.0, 0.0, 0.065]
    T = wraps(place, [np.deg2rad(25)])[0].T_world_hand
    T[:3, 3] += 0.02 * T[:3, 0]  # the palm is in the thing
    into = actor.planner.reach(T, actor.arm, actor.fingers)
    path = np.stack([actor.arm, into])
    assert actor.meets(path[1:], actor.fingers) == "target"
    assert actor.meets(path[1:], actor.fingers, ignoring=("target",)) != "target"
    assert actor.meets(path, actor.fingers) != ""
    assert Surroundings(simulation).meets(actor.target[None]) == ""
    assert np.array_equal(simulation.snapshot().state, before)


def test_the_expert_puts_the_named_thing_into_the_box(picked: Demonstration) -> None:
    assert picked.outcome.success, picked.outcome.reason
    assert 4.0 < picked.duration_s < 15.0 and picked.trace.ending == "over"
    assert len(picked.snapshots) == len(picked.measured) == len(picked.commanded)
    ticks = int(np.isfinite(picked.trace.wished[:, 0]).sum())
    assert len(picked.snapshots) == -(-ticks // 3)
    still = np.abs(picked.commanded[-4:] - picked.commanded[-1]).max()
    assert still < 1e-9  # it ends standing still


def test_the_safety_layer_refuses_nothing_that_the_expert_wants(picked: Demonstration) -> None:
    assert picked.trace.is_sent.all()
    assert not set(picked.interventions) & {"table", "workspace", "self_collision", "limit", "tracking", "overspeed"}
    limits = rig_safety().limits
    assert (picked.commanded >= limits.lower_rad).all() and (picked.commanded <= limits.upper_rad).all()


def test_a_trial_repeats_bit_by_bit(folder: Path) -> None:
    again = run_expert(sample_scene("functional-grasp", 1), ExpertConfig(longest_s=2.0))
    episode, frames = TeleData.open(folder)[0], len(again.measured)
    assert frames >= 20
    assert np.array_equal(again.measured[:, :ARM_JOINTS], episode.right.arm_rad[:frames])
    assert np.array_equal(again.commanded[: frames - 1, :ARM_JOINTS], episode.right.arm_command_rad[: frames - 1])


def test_the_expert_lifts_a_pot_by_its_handle() -> None:
    done = run_expert(sample_scene("functional-grasp", 2))
    assert done.outcome.success, done.outcome.reason
    assert done.outcome.figures["lifted_m"] > 0.08 and done.outcome.figures["tilt_deg"] < 25


def test_without_squeezing_nothing_is_lifted() -> None:
    """The control: the same script with a hand that does not press must fail."""
    scene = sample_scene("functional-grasp", 1)
    simulation = Simulation(scene)
    actor = Actor(simulation, PathPlanner(rig_safety()))
    actor.close = lambda *args, **kwargs: actor.hold(0.3)  # type: ignore[method-assign]
    for number, target in enumerate(functional_grasp_script(actor, scene)):
        simulation.step(target)
        if number > 150:
            break
    assert not outcome(simulation, scene).success


def test_demonstrations_are_whole_tele_episodes_and_are_not_run_twice(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr("robot.simulation.demonstrate.run_expert", lambda *args: pytest.fail("run twice"))
    (trial,) = demonstrate(folder, BOTTLE)
    assert trial.success and read_trials(folder) == (trial,)
    data = TeleData.open(folder)
    assert data.names == (trial.name,)
    episode = data[0]
    assert check_tele(episode, data.video(trial.name)) == ()
    assert episode.instruction.startswith("Left hand: None. Right hand: Lift the ")
    assert episode.fps == 10.0 and episode.sides == ("right",)
    assert probe(data.video(trial.name)).frame_count == len(episode)
    led = np.abs(episode.right.arm_command_rad[:-1] - episode.right.arm_rad[1:])
    assert np.median(led.max(1)) < 0.02  # a command is where the arm is a frame later
    parser = argparse.ArgumentParser()
    verb.add_arguments(parser)
    args = ["--task", "functional-grasp", "--episodes", "1", "--seed", "1", "--size", "64", "--out", str(folder)]
    assert verb.run(parser.parse_args(args)) == 0
    assert "1 of 1 trials succeeded" in capsys.readouterr().out


def test_a_replayed_demonstration_does_the_task_again(folder: Path) -> None:
    scene, episode = sample_scene("functional-grasp", 1), TeleData.open(folder)[0]
    rig = open_simulation(scene)
    loop = ControlLoop(rig.robot, SafetyGate(rig.safety), rig.clock, LoopConfig(30.0))
    loop.run(ReplaySource(Recording.of_episode(episode, "right")))
    found = outcome(rig.simulation, scene)
    assert found.success, found.reason


def test_bad_settings_are_refused() -> None:
    with pytest.raises(BadInput, match="30, 15, 10"):
        ExpertConfig(fps=7.0)
    with pytest.raises(BadInput, match="speed_share"):
        PathConfig(speed_share=1.5)
    with pytest.raises(BadInput, match="episodes"):
        DemonstrateConfig("pour", 0)
    scene = sample_scene("pick-place", 0)
    with pytest.raises(BadInput, match="right"):
        Expert(Simulation(scene), replace(scene, side="left"))
