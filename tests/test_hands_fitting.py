"""Inverse kinematics of the hand: exact on reachable poses, mirror-symmetric, steady under noise."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from vitra_lib.geometry.rotations import geodesic_angle
from vitra_lib.hands.fitting import estimate_betas, fit_points
from vitra_lib.hands.grasps import POSES, named_pose, sample_pose, to_rotations, within_limits
from vitra_lib.hands.kinematics import FingerDofs, chain_jacobian, joint_rotations, joints_of, pose_joints, rest_chains
from vitra_lib.hands.mirror import mirror_points, mirror_rotation
from vitra_lib.hands.model import load_hand_model
from vitra_lib.hands.posed import pose_hand

ZERO = np.zeros(10)


@pytest.fixture(scope="module")
def model():
    return load_hand_model()


@pytest.fixture(scope="module")
def chains(model):
    return rest_chains(model, ZERO)


def placed(joints: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Joints moved by random poses, with those poses."""
    R = Rotation.random(len(joints), random_state=seed).as_matrix()
    t = np.random.default_rng(seed).normal(size=(len(joints), 3))
    return joints @ np.swapaxes(R, 1, 2) + t[:, None], R, t


def test_joints_agree_with_the_posed_model(model):
    rng = np.random.default_rng(0)
    R_parent_joint = to_rotations(np.stack([sample_pose(rng) for _ in range(3)]))
    betas = rng.normal(size=10)
    _, R, t = placed(np.zeros((3, 21, 3)))
    for side in ("left", "right"):
        joints = pose_joints(model, side, R, t, R_parent_joint, betas)
        np.testing.assert_allclose(joints, pose_hand(model, side, R, t, R_parent_joint, betas)[1], atol=1e-9)


@pytest.mark.parametrize("dofs", [FingerDofs.anatomical(), FingerDofs.euler_box()], ids=["anatomical", "euler"])
def test_the_jacobian_is_the_derivative(chains, dofs):
    angles = np.random.default_rng(1).uniform(-0.5, 0.5, (2, 15, 3))
    points, jacobian = chain_jacobian(chains, dofs, angles)
    for finger, joint, axis in np.ndindex(5, 3, 3):
        step = np.zeros_like(angles)
        step[:, 3 * finger + joint, axis] = 1e-6
        up, down = chain_jacobian(chains, dofs, angles + step)[0], chain_jacobian(chains, dofs, angles - step)[0]
        np.testing.assert_allclose(jacobian[:, finger, :, :, joint, axis], (up - down)[:, finger, 1:] / 2e-6, atol=1e-8)


def test_every_named_pose_comes_back_exactly(model, chains):
    points, R, t = placed(joints_of(chains, to_rotations(np.stack([named_pose(name) for name in POSES]))))
    fit = fit_points(points, "right", chains)
    again = pose_joints(model, "right", fit.R_a_wrist, fit.t_a_wrist, fit.R_parent_joint, ZERO)
    assert np.abs(again - points).max() < 1e-6
    assert geodesic_angle(fit.R_a_wrist, R).max() < 1e-7 and np.abs(fit.t_a_wrist - t).max() < 1e-9
    assert fit.residual_m.max() < 1e-7
    stiff = FingerDofs(np.tile(np.eye(3), (15, 1, 1)), np.zeros((15, 3)), np.zeros((15, 3)))
    flat = fit_points(points, "right", chains, dofs=stiff)
    assert np.median(flat.residual_m) > 0.005  # control: a hand that can't bend does not fit


def test_random_poses_within_the_degrees_of_freedom_come_back(chains):
    dofs = FingerDofs.anatomical()
    angles = np.random.default_rng(2).uniform(dofs.lower, dofs.upper, (300, 15, 3))
    points, _, _ = placed(joints_of(chains, joint_rotations(dofs, angles)[0]))
    fit = fit_points(points, "right", chains)
    assert np.mean(fit.residual_m < 1e-6) > 0.98 and fit.residual_m.max() < 3e-3  # a thumb may stop on a limit
    fingers = slice(0, 12)  # the four fingers are closed form: no frame may fail
    assert np.abs(fit.angles[:, fingers] - angles[:, fingers])[..., 1:].max() < 1e-5
    assert within_limits(fit.R_parent_joint, 1e-6)


def test_natural_poses_with_a_little_twist_are_met_to_a_millimetre(chains):
    rng = np.random.default_rng(3)
    points, R, _ = placed(joints_of(chains, to_rotations(np.stack([sample_pose(rng) for _ in range(100)]))))
    fit = fit_points(points, "right", chains)
    assert fit.residual_m.max() < 1e-3 and geodesic_angle(fit.R_a_wrist, R).max() < 1e-6


def test_a_mirrored_hand_has_the_same_fingers_and_the_mirrored_wrist(chains):
    rng = np.random.default_rng(4)
    points, _, _ = placed(joints_of(chains, to_rotations(np.stack([sample_pose(rng) for _ in range(20)]))))
    points = points + rng.normal(0, 0.003, points.shape)
    right, left = fit_points(points, "right", chains), fit_points(mirror_points(points), "left", chains)
    np.testing.assert_array_equal(left.R_parent_joint, right.R_parent_joint)
    np.testing.assert_allclose(left.R_a_wrist, mirror_rotation(right.R_a_wrist), atol=1e-15)
    np.testing.assert_allclose(left.t_a_wrist, mirror_points(right.t_a_wrist), atol=1e-15)
    np.testing.assert_allclose(np.linalg.det(left.R_a_wrist), 1, atol=1e-12)
    wrong = fit_points(points, "left", chains)  # control: the wrong side does not fit
    assert np.median(wrong.residual_m) > 2 * np.median(right.residual_m)


def test_left_points_of_the_model_give_back_the_left_pose(model, chains):
    R_parent_joint = to_rotations(np.stack([named_pose(name) for name in POSES]))
    _, R, t = placed(np.zeros((len(R_parent_joint), 21, 3)), 6)
    fit = fit_points(pose_joints(model, "left", R, t, R_parent_joint, ZERO), "left", chains)
    assert geodesic_angle(fit.R_a_wrist, R).max() < 1e-7
    assert geodesic_angle(fit.R_parent_joint, R_parent_joint).max() < 1e-5


def test_noise_moves_the_wrist_little_and_another_hand_size_not_at_all(chains):
    rng = np.random.default_rng(7)
    true = joints_of(chains, to_rotations(np.stack([sample_pose(rng) for _ in range(100)])))
    points, R, t = placed(true)
    noisy = fit_points(points + rng.normal(0, 0.003, points.shape), "right", chains)
    assert np.median(np.rad2deg(geodesic_angle(noisy.R_a_wrist, R))) < 5
    assert np.median(np.linalg.norm(noisy.t_a_wrist - t, axis=-1)) < 0.004
    larger = fit_points(1.2 * true, "right", chains)
    assert geodesic_angle(larger.R_a_wrist, np.eye(3)).max() < 1e-6
    np.testing.assert_allclose(larger.angles, fit_points(points, "right", chains).angles, atol=2e-3)


def test_frames_with_a_missing_point_are_invalid_and_harm_no_other(chains):
    points, _, _ = placed(joints_of(chains, to_rotations(np.tile(named_pose("pinch"), (3, 1, 1)))))
    whole = fit_points(points, "right", chains)
    points[1, 7, 2] = np.nan
    fit = fit_points(points, "right", chains)
    assert fit.is_valid.tolist() == [True, False, True] and np.isnan(fit.residual_m[1])
    np.testing.assert_array_equal(fit.R_a_wrist[1], np.eye(3))
    np.testing.assert_array_equal(fit.angles[[0, 2]], whole.angles[[0, 2]])
    assert len(fit_points(points[:0], "right", chains).is_valid) == 0


def test_hand_size_is_found_from_metric_points_and_not_without_them(model):
    rng = np.random.default_rng(8)
    betas = np.r_[1.5, rng.normal(0, 0.7, 9)]
    joints = joints_of(rest_chains(model, betas), to_rotations(np.stack([sample_pose(rng) for _ in range(60)])))
    noisy = joints + rng.normal(0, 0.002, joints.shape)
    found = estimate_betas(model, noisy, np.ones(60, bool))
    truth, average = rest_chains(model, betas), rest_chains(model, ZERO)
    error = np.linalg.norm(rest_chains(model, found).joints - truth.joints)
    assert error < 0.3 * np.linalg.norm(average.joints - truth.joints)  # control: the average hand
    np.testing.assert_array_equal(estimate_betas(model, noisy, np.zeros(60, bool)), ZERO)


def test_official_joints_give_the_official_wrist_rotation(shared_data, chains):
    """Template frames agree: MANO's own rotation and ours from its joints differ by the knuckles' layout only."""
    from vitra_lib.core.pickles import load_npy_object

    episode = load_npy_object(next((shared_data / "vitra_ego4d_episode").glob("*.npy")))["right"]
    fit = fit_points(np.asarray(episode["joints_camspace"], float), "right", chains)
    official = np.asarray(episode["global_orient_camspace"], float)
    difference = np.rad2deg(geodesic_angle(fit.R_a_wrist, official))
    assert difference.max() < 6
    swapped = official @ Rotation.from_euler("x", 90, degrees=True).as_matrix()  # control: one axis convention wrong
    assert np.rad2deg(geodesic_angle(fit.R_a_wrist, swapped)).min() > 60
