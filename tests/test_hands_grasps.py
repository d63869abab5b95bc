"""Named and random poses: inside the joint limits, varied, and grasps that really close around something."""

import numpy as np
import pytest
import torch

from vitra_lib.core.errors import UnknownName
from vitra_lib.hands.grasps import (
    GRASP_POSES,
    POSES,
    blend_poses,
    clip_to_limits,
    grasp_cylinder,
    joint_limits,
    named_pose,
    sample_pose,
    to_rotations,
    within_limits,
)
from vitra_lib.hands.model import load_hand_model


def joints_of(angles: np.ndarray) -> np.ndarray:
    model = load_hand_model()
    return model(torch.as_tensor(to_rotations(angles)[None]), torch.zeros(1, 10, dtype=torch.float64)).joints[0].numpy()


def test_named_poses_are_inside_the_limits():
    for name in POSES:
        assert within_limits(to_rotations(named_pose(name))), name
    assert np.array_equal(named_pose("flat"), np.zeros((15, 3)))
    bent_back = named_pose("flat")
    bent_back[1, 2] = np.deg2rad(-40)  # control: a PIP joint does not bend backwards
    assert not within_limits(to_rotations(bent_back))
    assert within_limits(to_rotations(clip_to_limits(bent_back)))
    with pytest.raises(UnknownName, match="legal are flat"):
        named_pose("salute")


def test_sampled_poses_are_plausible_varied_and_repeatable():
    poses = np.stack([sample_pose(np.random.default_rng(i)) for i in range(200)])
    assert within_limits(to_rotations(poses))
    assert (poses[:, [0, 3, 6, 9], 2].std(axis=0) > np.deg2rad(12)).all()
    assert np.array_equal(poses[7], sample_pose(np.random.default_rng(7)))
    pip, dip = poses[:, [1, 4, 7, 10], 2].ravel(), poses[:, [2, 5, 8, 11], 2].ravel()
    assert np.corrcoef(pip, dip)[0, 1] > 0.8  # distal joints follow


def test_limits_are_read_only_and_ordered():
    limits = joint_limits()
    assert (limits[..., 0] < limits[..., 1]).all()
    with pytest.raises(ValueError):
        limits[0, 0, 0] = 1.0


def test_blend_runs_from_one_pose_to_the_other():
    a, b = named_pose("flat"), named_pose("power")
    assert np.allclose(to_rotations(blend_poses(a, b, 0.0)), to_rotations(a), atol=1e-12)
    assert np.allclose(to_rotations(blend_poses(a, b, 1.0)), to_rotations(b), atol=1e-12)


def test_fingers_close_towards_the_palm():
    reach = {
        name: np.linalg.norm(joints_of(named_pose(name))[[8, 12, 16, 20]] - joints_of(named_pose(name))[0], axis=1)
        for name in POSES
    }
    assert (reach["fist"] < 0.65 * reach["flat"]).all() and (reach["relaxed"] < reach["flat"]).all()
    fist = joints_of(named_pose("fist"))
    assert (fist[[8, 12, 16, 20], 1] < fist[[5, 9, 13, 17], 1]).all()


def test_pinches_bring_the_tips_together():
    apart = np.linalg.norm(joints_of(named_pose("flat"))[4] - joints_of(named_pose("flat"))[8])
    assert apart > 0.08  # control
    for name in ("pinch", "precision_pinch", "tripod"):
        joints = joints_of(named_pose(name))
        assert np.linalg.norm(joints[4] - joints[8]) < 0.030, name


def test_cylinder_grasps_hold_cylinders_and_open_with_the_pose():
    radii = {}
    for name in ("power", "cylinder", "wide_cylinder"):
        joints = joints_of(named_pose(name))
        centre, axis, radii[name] = grasp_cylinder(joints)
        assert np.linalg.norm(axis) == pytest.approx(1)
        assert centre[1] < joints[9, 1]  # on the palm side
        offset = joints[[4, 7, 8, 11, 12, 15, 16]] - centre
        gap = np.linalg.norm(offset - (offset @ axis)[:, None] * axis, axis=1) - radii[name]
        assert gap.min() > -0.012 and gap.max() < 0.035, name
    assert radii["power"] < radii["cylinder"] < radii["wide_cylinder"]
    assert 0.01 < radii["power"] and radii["wide_cylinder"] < 0.07
    assert set(GRASP_POSES) <= set(POSES)
