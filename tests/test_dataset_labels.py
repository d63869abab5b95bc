"""Laws of labels: replay, labels under a virtual camera, mirrors."""

import numpy as np
import pytest
from dataset_samples_makers import labels_at, make_episode, official_episode, official_numbers

from vitra_lib.core.errors import BadInput, UnknownName
from vitra_lib.dataset import ActionSpace, EpisodeArrays, replay
from vitra_lib.dataset.labels import actions, states, under_view
from vitra_lib.dataset.window import WindowShape, gather_window
from vitra_lib.geometry.rotations import exp, from_euler_xyz
from vitra_lib.hands.mirror import MIRROR, mirror_points, mirror_rotation
from vitra_lib.hands.model import load_hand_model
from vitra_lib.hands.posed import pose_hand

FLIP = np.array([True])
SPACE = ActionSpace()


@pytest.fixture(scope="module")
def window():
    bounds = np.array([[[0, 24], [0, 24]]])
    arrays = EpisodeArrays.of(make_episode())
    shape = WindowShape(chunk=8, with_joints=True, with_keypoints=True)
    return gather_window(arrays, np.array([0]), np.array([15]), bounds, shape)


def test_replaying_actions_gives_the_track_back():
    episode = make_episode()
    for frame, hand, steps in ((14, 0, 10), (0, 1, 24)):
        side = ("left", "right")[hand]
        camera = episode.T_cam_world[frame]
        frames = slice(frame, frame + steps + 1)
        t = episode.hand(side).t_world_wrist[frames] @ camera[:3, :3].T + camera[:3, 3]
        R = camera[:3, :3] @ episode.hand(side).R_world_wrist[frames]
        for mode in ("step", "anchor"):
            labels = labels_at(episode, [frame], chunk=steps, rel_mode=mode)
            assert labels.raw_action_mask[0, :, hand].all()
            chunk = labels.raw_action[0, :, 51 * hand : 51 * hand + 51]
            points = replay(labels.raw_state[0, 61 * hand :], chunk, mode)
            assert np.abs(points[:, :3] - t).max() < 1e-9
            assert np.abs(from_euler_xyz(points[:, 3:6]) - R).max() < 1e-9
            fingers = from_euler_xyz(points[:, 6:].reshape(-1, 15, 3))
            assert np.abs(fingers - episode.hand(side).R_parent_joint[frames]).max() < 1e-9
            other = "anchor" if mode == "step" else "step"
            wrong = replay(labels.raw_state[0, 61 * hand :], chunk, other)
            assert np.abs(wrong[:, :3] - t).max() > 1e-2  # control: the other mode


def test_the_official_replay(shared_data):
    episode, goldens = official_episode(shared_data), official_numbers(shared_data)
    labels = labels_at(episode, [0])
    points = replay(labels.raw_state[0, 61:], labels.raw_action[0, :, 51:])
    assert list(points.shape) == goldens["recon_shape"]
    assert np.abs(points[-1] - goldens["frame0_recon_right_last"]).max() < 2e-6


def test_a_flip_of_a_flip_is_as_before(window):
    R = MIRROR @ exp(np.array([0.2, -0.1, 0.3]))
    there = under_view(window, R[None], FLIP)
    back = under_view(there, np.linalg.inv(R)[None], FLIP)
    for name, value in vars(window).items():
        assert np.allclose(getattr(back, name), value, atol=1e-12), name
        assert name == "is_kept" or not np.allclose(getattr(there, name), value, atol=1e-3), name  # control
    assert np.allclose(states(back, SPACE, 0)[0], states(window, SPACE, 0)[0], atol=1e-9)
    assert np.allclose(actions(back, SPACE, 0)[0], actions(window, SPACE, 0)[0], atol=1e-9)


@pytest.mark.parametrize("flipped", [False, True])
def test_steps_turn_with_the_view(window, flipped):
    """dt' = R dt and dR' = R dR R^T, for mirrors too; fingers and masks are carried over to the seen hand."""
    R = (MIRROR if flipped else np.eye(3)) @ exp(np.array([0.2, -0.1, 0.3]))
    seen = actions(under_view(window, R[None], np.array([flipped])), SPACE, 0)
    before = actions(window, SPACE, 0)
    for hand in range(2):
        source = 1 - hand if flipped else hand
        new = seen[0][0, :, 51 * hand : 51 * hand + 51]
        old = before[0][0, :, 51 * source : 51 * source + 51]
        assert np.array_equal(seen[1][0, :, hand], before[1][0, :, source])
        assert np.allclose(new[:, :3], old[:, :3] @ R.T, atol=1e-12)
        assert np.allclose(from_euler_xyz(new[:, 3:6]), R @ from_euler_xyz(old[:, 3:6]) @ R.T, atol=1e-9)
        assert np.array_equal(new[:, 6:], old[:, 6:])


def test_a_mirrored_hand_is_the_mirror_rule_of_hands(window):
    """The seen hand, posed by the hand model, is the mirror image of the hand, joint by joint."""
    model = load_hand_model()
    seen = under_view(window, MIRROR[None], FLIP)
    for hand, side, other in ((0, "left", "right"), (1, "right", "left")):
        _, joints = pose_hand(
            model, side, window.R[0, hand], window.t_m[0, hand], window.R_joint[0, hand], window.betas[0, hand]
        )
        mirrored = 1 - hand
        _, seen_joints = pose_hand(
            model, other, seen.R[0, mirrored], seen.t_m[0, mirrored], seen.R_joint[0, mirrored], seen.betas[0, mirrored]
        )
        assert np.abs(seen_joints - mirror_points(joints)).max() < 1e-6
        assert np.abs(seen_joints - joints).max() > 0.01  # control
        assert np.allclose(seen.R[0, mirrored], mirror_rotation(window.R[0, hand]))


def test_keypoints_of_the_seen_hand_are_where_its_joints_are(window):
    """In the view, R keypoint + t is the transformed joint, for turned and for mirrored views."""
    for R in (exp(np.array([0.3, 0.2, -0.1])), MIRROR @ exp(np.array([0.3, 0.2, -0.1]))):
        flipped = np.linalg.det(R) < 0
        seen = under_view(window, R[None], np.array([flipped]))
        joints = np.einsum("shpij,shpkj->shpki", window.R, window.keypoints_m) + window.t_m[..., None, :]
        new = np.einsum("shpij,shpkj->shpki", seen.R, seen.keypoints_m) + seen.t_m[..., None, :]
        if flipped:
            new = new[:, ::-1]
        kept = window.is_kept
        assert np.allclose(new[kept], (joints @ R.T)[kept], atol=1e-12)


def test_unknown_words_are_refused(window):
    with pytest.raises(UnknownName, match="step, anchor"):
        actions(window, SPACE, 0, "first")
    with pytest.raises(UnknownName, match="step, anchor"):
        replay(np.zeros(61), np.zeros((2, 51)), "first")
    with pytest.raises(BadInput, match="keypoints have no relative form"):
        actions(window, ActionSpace("keypoints"), 0, use_rel=True)
