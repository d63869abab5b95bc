"""The Gymnasium environment: the interface's own check, one step of a policy, success, time, and the safety layer."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from simulation_makers import block, scene

from robot.arm import load_arm
from robot.simulation.config import ready_angles
from robot.simulation.environment import EnvironmentConfig, XHandTabletop
from robot.simulation.physics import Simulation
from robot.simulation.scene import Scene
from vitra_lib.core.errors import BadInput, UnknownName
from vitra_lib.geometry.rotations import from_euler_xyz

SMALL = {"width_px": 32, "height_px": 24}


@dataclass(frozen=True)
class Verdict:
    """What a judge says."""

    success: bool
    reason: str = "not yet"
    figures: dict[str, float] = field(default_factory=dict)


def sampler(task: str, seed: int, split: str) -> Scene:
    """A block whose place follows from the seed."""
    return scene(block(x=0.33 + 0.05 * np.random.default_rng(seed).random()))


def never(simulation: Simulation, judged: Scene) -> Verdict:
    """No success."""
    return Verdict(False)


def env(judge=never, **changes) -> XHandTabletop:
    return XHandTabletop(EnvironmentConfig(**(SMALL | changes)), None, sampler, judge)


def hold(environment: XHandTabletop, observation: dict) -> np.ndarray:
    """Keep still, in either kind of action."""
    if environment.config.action == "joints":
        return observation["joints"].copy()
    return np.concatenate([np.zeros(6), observation["state"][6:]])


@pytest.mark.filterwarnings("ignore:.*")
@pytest.mark.parametrize("action", ["wrist", "joints"])
def test_gymnasiums_own_check_passes(action: str) -> None:
    check_env(env(action=action), skip_render_check=True)


def test_a_wrist_step_moves_the_mount_by_it_in_camera_axes_and_the_fingers_to_their_angles() -> None:
    environment = env()
    before, _ = environment.reset(seed=3)
    T_world_cam = environment.rig.setup.T_base_cam
    action, total = hold(environment, before), np.zeros(3)
    start = environment.rig.simulation.T_world_mount
    action[6 + 4] = 0.6
    for _ in range(8):
        action[:3] = [0.006, -0.004, 0.002]
        action[3:6] = [0.0, 0.0, 0.02]
        environment.step(action)
        total += action[:3]
    after = environment.step(np.r_[np.zeros(6), action[6:]])[0]
    moved = environment.rig.simulation.T_world_mount
    np.testing.assert_allclose(moved[:3, 3] - start[:3, 3], T_world_cam[:3, :3] @ total, atol=2e-3)
    R_cam = T_world_cam[:3, :3].T @ moved[:3, :3] @ start[:3, :3].T @ T_world_cam[:3, :3]
    np.testing.assert_allclose(R_cam, from_euler_xyz(np.array([0.0, 0.0, 0.16])), atol=0.01)
    np.testing.assert_allclose(after["state"][:3] - before["state"][:3], total, atol=2e-3)
    assert after["state"][6 + 4] == pytest.approx(0.6, abs=0.01)
    # the same numbers taken in world axes would have led elsewhere
    assert np.abs(moved[:3, 3] - start[:3, 3] - total).max() > 0.01


def test_success_ends_and_time_truncates() -> None:
    def high(simulation: Simulation, judged: Scene) -> Verdict:
        return Verdict(simulation.time_s > 0.25, "too early", {"time_s": simulation.time_s})

    environment = env(high)
    observation, _ = environment.reset(seed=0)
    rows = [environment.step(hold(environment, observation))[1:] for _ in range(3)]
    assert [row[:3] for row in rows] == [(0.0, False, False), (0.0, False, False), (1.0, True, False)]
    assert rows[0][3]["reason"] == "too early" and rows[0][3]["figures"]["time_s"] == pytest.approx(0.1, abs=0.003)
    environment = env(duration_s=0.2)
    observation, _ = environment.reset(seed=0)
    ends = [environment.step(hold(environment, observation))[1:4] for _ in range(2)]
    assert ends == [(0.0, False, False), (0.0, False, True)]


def test_every_command_passes_the_gate() -> None:
    environment = env(action="joints")
    environment.reset(seed=0)
    wild = np.full(19, 6.0)
    speed = environment.rig.safety.speed_rad_s
    last = environment.rig.simulation.measured
    for _ in range(4):
        info = environment.step(wild)[4]
        now = environment.rig.simulation.measured
        assert (np.abs(now - last) <= speed * 0.1 * 1.3 + 0.02).all() and info["interventions"] != 0
        last = now
    limits = environment.rig.safety.limits
    assert (last <= limits.upper_rad + 0.02).all()
    T = load_arm().forward(last[:7])
    assert T[2, 3] > environment.rig.safety.scene.box_lower_m[2]


def test_seeds_repeat_and_differ() -> None:
    first, again, other = env(), env(), env()
    states = []
    for environment, seed in ((first, 5), (again, 5), (other, 6)):
        observation, _ = environment.reset(seed=seed)
        for _ in range(2):
            observation = environment.step(hold(environment, observation))[0]
        states.append((observation["image"], environment.rig.simulation.T_world_thing("block")))
    assert np.array_equal(states[0][0], states[1][0]) and np.array_equal(states[0][1], states[1][1])
    assert not np.array_equal(states[0][1], states[2][1])


def test_a_given_scene_is_played_and_wrong_use_is_refused() -> None:
    environment = env()
    with pytest.raises(BadInput, match="reset"):
        environment.step(np.zeros(18))
    given = scene(block(x=0.4, y=0.1))
    environment.reset(seed=1, options={"scene": given})
    assert environment.rig.simulation.scene is given
    np.testing.assert_allclose(environment.rig.simulation.measured, ready_angles(), atol=1e-6)
    for bad in (np.zeros(19), np.full(18, np.nan)):
        with pytest.raises(BadInput, match="18 finite"):
            environment.step(bad)
    environment.close()
    with pytest.raises(UnknownName, match="unseen-object"):
        EnvironmentConfig(split="foggy")
    with pytest.raises(BadInput, match="step_s"):
        EnvironmentConfig(step_s=0.0)
