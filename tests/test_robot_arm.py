"""The RM75: forward kinematics against the maker's own library, laws of the inverse, and guards along wrist steps."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from robot.arm import IkConfig, WristConfig, follow_wrist, load_arm, solve_ik
from robot.arm.reach import IkSolution, damped_step
from robot.arm.wrist import integrate
from vitra_lib.core.errors import BadInput, UnknownName
from vitra_lib.geometry.rotations import euler_xyz, exp, geodesic_angle
from vitra_lib.geometry.transforms import invert, make

ARM = load_arm()
LOW, HIGH = ARM.tree.lower, ARM.tree.upper


def random_angles(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(LOW, HIGH, (count, 7))


def vendor_error(shared_data: Path, variant: str, arm_variant: str) -> tuple[float, float]:
    """Largest difference [m, rad] to the maker's library."""
    rows = json.loads((shared_data / "rm75_vendor_fk/rm75_vendor_fk_reference.json").read_text())["variants"][variant]
    T = load_arm(arm_variant).forward(np.deg2rad([row["joint_deg"] for row in rows]))
    quaternion = np.array([row["quat_wxyz"] for row in rows])[:, [1, 2, 3, 0]]
    apart = np.linalg.norm(T[:, :3, 3] - [row["position_m"] for row in rows], axis=1)
    return apart.max(), geodesic_angle(T[:, :3, :3], Rotation.from_quat(quaternion).as_matrix()).max()


@pytest.mark.parametrize("variant", ["RM75-B", "RM75-6F", "RM75-6FB"])
def test_forward_kinematics_equal_the_vendors(shared_data: Path, variant: str) -> None:
    apart, turned = vendor_error(shared_data, variant, variant)
    assert apart < 1e-6 and turned < np.deg2rad(0.001)


def test_control_another_flange_is_seen(shared_data: Path) -> None:
    assert vendor_error(shared_data, "RM75-6F", "RM75-6FB")[0] > 0.01


def test_the_arm_at_zero_stands_upright() -> None:
    np.testing.assert_allclose(ARM.forward(np.zeros(7)), make(np.eye(3), np.array([0, 0, 0.879])), atol=1e-12)


def test_the_jacobian_is_the_derivative() -> None:
    q, h = random_angles(5), 1e-6
    J = ARM.jacobian(q)
    for j in range(7):
        step = h * np.eye(7)[j]
        a, b = ARM.forward(q - step), ARM.forward(q + step)
        np.testing.assert_allclose(J[:, :3, j], (b - a)[:, :3, 3] / (2 * h), atol=1e-7)
        turn = Rotation.from_matrix(b[:, :3, :3] @ np.swapaxes(a[:, :3, :3], 1, 2)).as_rotvec() / (2 * h)
        np.testing.assert_allclose(J[:, 3:, j], turn, atol=1e-7)


def near(q: np.ndarray, spread: float, config: IkConfig | None = None) -> IkSolution:
    start = q + np.random.default_rng(1).normal(0, spread, q.shape)
    return solve_ik(ARM, ARM.forward(q), start, config)


def test_inverse_then_forward_is_the_target() -> None:
    q = random_angles(200)
    found = near(q, 0.3)
    assert found.is_reached.all()
    T = ARM.forward(found.q)
    assert np.abs(T[:, :3, 3] - ARM.forward(q)[:, :3, 3]).max() < 1e-5
    assert geodesic_angle(T[:, :3, :3], ARM.forward(q)[:, :3, :3]).max() < 1e-4


def test_control_one_iteration_does_not_reach() -> None:
    assert near(random_angles(50), 0.3, IkConfig(iterations=1)).is_reached.mean() < 0.1


def test_limits_are_never_exceeded() -> None:
    q = random_angles(100, 2)
    targets = ARM.forward(q)
    targets[:50, :3, 3] *= 3.0  # far out of reach
    found = solve_ik(ARM, targets, np.random.default_rng(3).uniform(-9, 9, q.shape), IkConfig(iterations=30))
    assert (found.q >= LOW).all() and (found.q <= HIGH).all()
    assert not found.is_reached[:50].all()


def test_the_null_space_tends_to_the_posture_and_keeps_the_pose() -> None:
    q = np.array([0.2, 0.6, -0.3, 1.2, 0.1, 0.9, 0.3])
    target, posture = ARM.forward(q), q + np.array([0.6, 0, -0.6, 0, 0.4, 0, 0])
    away = solve_ik(ARM, target, q + 0.3, IkConfig(posture_gain=0.0))
    pulled = solve_ik(ARM, target, q + 0.3, IkConfig(posture_gain=0.5), posture)
    assert away.is_reached and pulled.is_reached
    assert np.linalg.norm(pulled.q - posture) < np.linalg.norm(away.q - posture)


def test_near_a_singularity_steps_stay_bounded() -> None:
    straight = np.array([[0.3, 0.4, 0.2, 1e-3, 0.1, 1e-3, 0.2]])  # elbow and wrist stretched: rank is nearly lost
    J = ARM.jacobian(straight)[0] * np.array([1, 1, 1, 0.2, 0.2, 0.2])[:, None]
    lost = np.linalg.svd(J)[0][:, -1]
    assert near(straight, 0.0).least_singular_value < 1e-3
    error = 0.01 * lost[None]  # a centimetre where the arm can't go
    damped = damped_step(ARM, straight, error, straight, IkConfig(step_rad=1e9))
    bare = damped_step(ARM, straight, error, straight, IkConfig(step_rad=1e9, damping=1e-9))
    assert np.abs(damped - straight).max() < 0.1
    assert np.abs(bare - straight).max() > 0.5, "the control without damping must jump"


def test_not_finite_targets_are_refused() -> None:
    with pytest.raises(BadInput, match="NaN"):
        solve_ik(ARM, np.full((4, 4), np.nan), np.zeros(7))
    with pytest.raises(UnknownName, match="RM75-6F"):
        load_arm("RM66")


Q = np.array([0.2, 0.6, -0.3, 1.2, 0.1, 0.9, 0.3])
T_BASE_CAM = make(exp(np.array([2.0, 0.1, 0.2])), np.array([0.1, 0.3, 0.7]))
T_FLANGE_MOUNT = make(exp(np.array([0.1, -0.4, 1.2])), np.array([0.0, 0.01, 0.08]))


def wrist_steps(path: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Camera-frame steps along a path of joint angles, and the mount poses in the base."""
    mount = ARM.forward(path) @ T_FLANGE_MOUNT
    cam = invert(T_BASE_CAM) @ mount
    turn = euler_xyz(cam[1:, :3, :3] @ np.swapaxes(cam[:-1, :3, :3], 1, 2))
    return np.concatenate([np.diff(cam[:, :3, 3], axis=0), turn], axis=1), mount


def test_wrist_steps_in_camera_axes_move_the_mount_there() -> None:
    path = Q + np.linspace(0, 0.3, 17)[:, None] * np.array([1, -0.5, 0.4, 0.6, -1, 0.3, 0.8])
    steps, mount = wrist_steps(path)
    plan = follow_wrist(ARM, Q, steps, T_BASE_CAM, T_FLANGE_MOUNT, WristConfig(speed_share=1.0))
    assert plan.is_reached.all() and not (plan.is_jump | plan.is_singular | plan.is_slowed).any()
    np.testing.assert_allclose(plan.T_base_mount, mount[1:], atol=1e-9)
    reached = ARM.forward(plan.q) @ T_FLANGE_MOUNT
    assert np.abs(reached[:, :3, 3] - mount[1:, :3, 3]).max() < 2e-5


def test_control_steps_in_base_axes_go_elsewhere() -> None:
    steps, mount = wrist_steps(Q + np.linspace(0, 0.3, 9)[:, None])
    turned = np.concatenate([steps[:, :3] @ T_BASE_CAM[:3, :3].T, steps[:, 3:]], axis=1)
    plan = follow_wrist(ARM, Q, turned, T_BASE_CAM, T_FLANGE_MOUNT)
    assert np.linalg.norm(plan.T_base_mount[-1, :3, 3] - mount[-1, :3, 3]) > 0.02


def test_guards_hold_for_wild_steps() -> None:
    rng, config = np.random.default_rng(0), WristConfig()
    limit = config.speed_share * config.period_s * ARM.tree.velocity
    seen = np.zeros(3, int)
    for size in (0.01, 0.1, 1.0, 10.0):
        steps = rng.normal(0, size, (12, 6))
        plan = follow_wrist(ARM, Q, steps, T_BASE_CAM, T_FLANGE_MOUNT, config)
        moves = np.abs(np.diff(np.concatenate([Q[None], plan.q]), axis=0))
        assert (moves <= limit + 1e-12).all()
        assert (plan.q >= LOW).all() and (plan.q <= HIGH).all()
        assert not (plan.is_reached & (plan.is_jump | plan.is_slowed)).any()
        seen += [plan.is_jump.sum(), plan.is_slowed.sum(), (~plan.is_reached).sum()]
    assert (seen > 0).all()


def test_a_jump_keeps_the_angles() -> None:
    steps, _ = wrist_steps(np.stack([Q, Q + 0.3]))
    config = WristConfig()
    kept = follow_wrist(ARM, Q, steps, T_BASE_CAM, T_FLANGE_MOUNT, replace(config, jump_rad=0.05))
    assert kept.is_jump.all() and np.array_equal(kept.q[0], Q)
    assert not follow_wrist(ARM, Q, steps, T_BASE_CAM, T_FLANGE_MOUNT, config).is_jump.any()


def test_integrating_no_step_gives_no_pose() -> None:
    assert integrate(np.eye(4), np.zeros((0, 6))).shape == (0, 4, 4)
    assert follow_wrist(ARM, Q, np.zeros((0, 6)), T_BASE_CAM, T_FLANGE_MOUNT).q.shape == (0, 7)
