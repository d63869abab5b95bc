"""Windows: which frames, which of them count, steps, anchors, keypoints, up-sampling; the official numbers."""

import numpy as np
import pytest
from dataset_samples_makers import labels_at, make_episode, official_episode, official_numbers

from vitra_lib.core.errors import BadInput, UnknownName
from vitra_lib.dataset import EpisodeArrays, SampleConfig
from vitra_lib.dataset.upsampling import upsampled
from vitra_lib.dataset.window import WindowShape, gather_window, window_frames
from vitra_lib.geometry.rotations import from_euler_xyz


@pytest.fixture(scope="module")
def episode():
    return make_episode()


@pytest.fixture(scope="module")
def official(shared_data):
    return official_episode(shared_data)


@pytest.fixture(scope="module")
def goldens(shared_data):
    return official_numbers(shared_data)


@pytest.mark.parametrize("frame", [0, 10])
@pytest.mark.parametrize("official_quirks", [False, True])
def test_official_states_and_actions(official, goldens, frame, official_quirks):
    golden = goldens[f"frame{frame}"]
    labels = labels_at(official, [frame], official_quirks=official_quirks)
    assert labels.raw_state_mask[0].tolist() == [bool(v) for v in golden["state_mask"]]
    assert np.abs(labels.raw_state[0] - golden["state"]).max() < 1e-6
    assert np.abs(labels.raw_action[0, :, 51:] - golden["action_right"]).max() < 1e-6
    assert labels.raw_action_mask[0, :, 1].tolist() == [bool(v) for v in golden["action_mask_right"]]
    assert not labels.raw_action_mask[0, :, 0].any() and not labels.raw_action[0, :, :51].any()
    assert np.allclose(labels.fov_rad[0], golden["fov"], atol=1e-6)
    # Control: the neighbouring frame is three orders of magnitude further off.
    other = labels_at(official, [frame + 1])
    assert np.abs(other.raw_state[0] - golden["state"]).max() > 1e-3


def test_the_official_fake_step_and_its_mend(official, goldens):
    for frame, key in ((9, "frame9_mask_right"), (24, "frame24_mask_right")):
        wanted = [bool(v) for v in goldens[key]]
        assert labels_at(official, [frame], official_quirks=True).raw_action_mask[0, :, 1].tolist() == wanted
    mended = labels_at(official, [9])
    assert mended.raw_action_mask[0, :, 1].tolist() == [True] * 15 + [False] and not mended.raw_action[0, 15].any()
    fake = labels_at(official, [9], official_quirks=True)
    assert fake.raw_action_mask[0, 15, 1] and np.abs(fake.raw_action[0, 15, 51:57]).max() < 1e-6  # no motion


def test_official_anchor_changes_and_keypoints(official, goldens):
    anchored = labels_at(official, [0], rel_mode="anchor").raw_action[0, :, 51:57]
    assert np.abs(anchored - goldens["frame0_anchor_right6"]).max() < 1e-6
    steps = labels_at(official, [0]).raw_action[0, :, 51:57]
    assert np.abs(steps - goldens["frame0_anchor_right6"]).max() > 0.05  # control
    changes = labels_at(official, [0], use_rel=True).raw_action[0, 0, 57:]
    assert np.abs(changes - goldens["frame0_use_rel_right_pose_first_step"]).max() < 1e-6
    points = labels_at(official, [0], action_type="keypoints")
    golden = goldens["frame0_keypoints"]
    assert list(points.raw_action.shape[1:]) == golden["action_shape"]
    assert list(points.raw_state.shape[1:]) == golden["state_shape"]
    assert np.abs(points.raw_state[0, 79:] - golden["state_right"]).max() < 1e-6


def test_official_up_sampling(official, goldens):
    labels = labels_at(official, [0], upsample_factor=2.0)
    assert np.abs(labels.raw_action[0, :, 51:] - goldens["frame0_upsample2_right"]).max() < 1e-6
    linear = labels_at(official, [0], upsample_factor=2.0, upsample_method="linear")
    assert np.abs(linear.raw_action[0, :, 51:] - goldens["frame0_upsample2_right"]).max() > 1e-4  # control


def test_frames_are_clipped_to_their_bounds():
    frames, inside = window_frames(np.array([20]), np.array([[[0, 24], [18, 22]]]), WindowShape(past=3, chunk=6))
    assert frames[0, 0].tolist() == [17, 18, 19, 20, 21, 22, 23, 24, 24, 24]
    assert inside[0, 0].tolist() == [True] * 8 + [False] * 2
    assert frames[0, 1].tolist() == [18, 18, 19, 20, 21, 22, 22, 22, 22, 22]
    assert inside[0, 1].tolist() == [False] + [True] * 5 + [False] * 4


def test_masks_where_a_hand_is_lost(episode):
    labels = labels_at(episode, [6], chunk=10)
    # Lost in [10, 14): a step needs both ends. Its sentence holds from frame 5 to the end.
    assert labels.raw_action_mask[0, :, 0].tolist() == [True] * 3 + [False] * 5 + [True] * 2
    assert labels.raw_action_mask[0, :, 1].all()
    anchored = labels_at(episode, [6], chunk=10, rel_mode="anchor").raw_action_mask[0, :, 0]
    assert anchored.tolist() == [True] * 3 + [False] * 4 + [True] * 3  # only the end of a step can be lost
    assert not labels_at(episode, [11], rel_mode="anchor").raw_action_mask[0, :, 0].any()


def test_a_window_with_past_is_the_same_window_seen_from_later(episode):
    early, late = labels_at(episode, [2], chunk=10), labels_at(episode, [5], past=3, chunk=7)
    R = episode.T_cam_world[5, :3, :3] @ episode.T_cam_world[2, :3, :3].T
    assert np.allclose(late.raw_action[0, :, 51:54], early.raw_action[0, :, 51:54] @ R.T, atol=1e-12)
    assert np.array_equal(late.raw_action[0, :, 57:], early.raw_action[0, :, 57:])
    assert not np.allclose(late.raw_action[0, :, 51:54], early.raw_action[0, :, 51:54], atol=1e-4)  # control


def test_the_other_hand_stays_inside_its_sentence():
    episode = make_episode()
    labels = labels_at(episode, [2, 20], chunk=16)
    assert "Left hand: None." in labels.instruction[0] and labels.raw_action_mask[0, :3, 0].all()
    assert "Left hand: Hold the bowl." in labels.instruction[1]
    second = make_episode(2)  # the sentence "Hold the bowl." ends at its frame 15, "Push the plate." follows
    masks = labels_at(second, [10], chunk=10).raw_action_mask[0]
    assert masks[:4, 0].all() and not masks[4:, 0].any() and masks[:, 1].all()


@pytest.mark.parametrize("method", ["pchip", "linear", "quadratic", "cubic"])
def test_up_sampling_keeps_the_old_poses_and_a_steady_motion(episode, method):
    arrays = EpisodeArrays.of(episode)
    bounds = np.array([[[0, 24], [0, 24]]])
    shape = WindowShape(chunk=8, with_joints=True, with_keypoints=True)
    window = gather_window(arrays, np.array([0]), np.array([0]), bounds, shape)
    dense = upsampled(window, 2.0, method)
    assert np.allclose(dense.t_m[0, 1, ::2], window.t_m[0, 1, :5], atol=1e-9)
    assert np.allclose(dense.R[0, 1, ::2], window.R[0, 1, :5], atol=1e-9)
    assert np.allclose(dense.keypoints_m[0, 1, ::2], window.keypoints_m[0, 1, :5] - window.keypoints_m[0, 1, :5, :1])
    assert np.allclose(from_euler_xyz(dense.finger_euler.reshape(1, 2, 9, 15, 3)), dense.R_joint, atol=1e-9)
    assert np.allclose(np.linalg.det(dense.R), 1.0)


def test_up_sampling_invents_nothing_past_the_end(episode):
    # Frames 22, 23 and 24 exist: at twice the rate these are five poses, hence four steps.
    honest = labels_at(episode, [22], chunk=8, upsample_factor=2.0).raw_action_mask[0, :, 1]
    assert honest.tolist() == [True] * 4 + [False] * 4
    official = labels_at(episode, [22], chunk=8, upsample_factor=2.0, official_quirks=True).raw_action_mask[0, :, 1]
    assert official.sum() > 4  # control: the official one runs on into nothing


def test_bad_windows_are_one_sentence(episode):
    with pytest.raises(BadInput, match="frames 0 to 24, not 25"):
        labels_at(episode, [25])
    with pytest.raises(BadInput, match="chunk >= 1"):
        SampleConfig(chunk=0)
    with pytest.raises(BadInput, match="without past"):
        SampleConfig(past=1, upsample_factor=2.0)
    with pytest.raises(UnknownName, match="step, anchor"):
        SampleConfig(rel_mode="first")
    with pytest.raises(UnknownName, match="pchip, linear"):
        SampleConfig(upsample_method="nearest")
    with pytest.raises(BadInput, match="keypoints have no relative form"):
        SampleConfig(action_type="keypoints", use_rel=True)
