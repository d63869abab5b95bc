"""What the lifter learns from: pictures and joints belong together, and the same numbers give the same hands."""

import numpy as np

from vitra_lib.tabletop.hand_views import hand_view
from vitra_lib.tabletop.training_views import lone_hand, tabletop_poses


def test_a_lone_hand_is_one_piece_with_its_own_joints():
    (piece,), view = lone_hand(3, 1), hand_view(3, 1)
    np.testing.assert_array_equal(piece.frames, view.frames)
    assert list(piece.joints_cam) == [view.side] and len(piece.times_s) == len(piece.frames)
    np.testing.assert_array_equal(piece.joints_cam[view.side], view.joints_cam)


def test_poses_at_work_are_in_front_of_the_camera_and_come_from_both_hands():
    poses, again, other = tabletop_poses(30_000, 0), tabletop_poses(30_000, 0), tabletop_poses(30_000, 1)
    assert set(poses) == {"left", "right"}
    for side, joints in poses.items():
        np.testing.assert_array_equal(joints, again[side])
        assert len(joints) > 10 and np.median(joints[..., 2]) > 0.1
        assert joints.shape != other[side].shape or not np.array_equal(joints, other[side])
