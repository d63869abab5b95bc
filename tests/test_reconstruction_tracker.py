"""The hand tracker on real and empty frames: found, on the proper side, and never a false hand."""

import subprocess
import sys
import zipfile
from io import BytesIO

import numpy as np
import pytest

from vitra_lib.core.errors import BadInput, MissingAsset
from vitra_lib.reconstruction import tracker
from vitra_lib.reconstruction.tracker import TrackerConfig, hand_task, track_hands

CLIP = "vitra_ego4d_episode/03cc49c3-a7d1-445b-9a2a-545c4fae6843.mp4"


@pytest.fixture(scope="module")
def clip(shared_data):
    import av

    with av.open(str(shared_data / CLIP)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


@pytest.fixture(scope="module")
def found(clip):
    return track_hands(clip, 30.0)


@pytest.fixture(scope="module")
def official_px(shared_data):
    """(25, 21, 2) joints of the published annotation in the pixels of the clip."""
    path = next((shared_data / "vitra_ego4d_episode").glob("*.npy"))
    episode = np.load(path, allow_pickle=True).item()
    K = np.diag([480 / 1440, 368 / 1080, 1.0]) @ episode["intrinsics"]
    p = episode["right"]["joints_camspace"] @ K.T
    return p[..., :2] / p[..., 2:]


def test_real_right_hand_is_found_where_it_is_and_no_left_hand(found, official_px):
    right = found["right"]
    size = np.ptp(official_px, axis=1).max(axis=-1)
    error = np.linalg.norm(right.keypoints_px - official_px, axis=-1).mean(axis=-1) / size
    assert np.sum(error < 0.6) >= 23
    assert not found["left"].is_detected.any()
    # control: the landmarks of another frame don't fit
    shifted = np.linalg.norm(right.keypoints_px[::-1] - official_px, axis=-1).mean(axis=-1) / size
    assert np.sum(shifted < 0.6) < 15


def test_one_pass_alone_finds_fewer(clip, found):
    alone = track_hands(clip, 30.0, TrackerConfig(both_directions=False))
    assert alone["right"].is_detected.sum() < found["right"].is_detected.sum()


def test_mirrored_frames_give_a_left_hand(clip):
    mirrored = track_hands([np.ascontiguousarray(frame[:, ::-1]) for frame in clip], 30.0)
    assert mirrored["left"].is_detected.sum() >= 18
    assert not mirrored["right"].is_detected.any()


def test_same_frames_same_detections(clip, found):
    again = track_hands(clip, 30.0)
    np.testing.assert_array_equal(again["right"].keypoints_px, found["right"].keypoints_px)


def test_scale_of_landmarks_is_that_of_the_given_frames(clip, found):
    import cv2

    large = [cv2.resize(frame, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR) for frame in clip[:3]]
    right = track_hands(large, 30.0)["right"]
    assert right.is_detected.all()
    # pixel centres: x of a frame is 2 x + 0.5 of the doubled one
    assert np.abs((right.keypoints_px - 0.5) / 2 - found["right"].keypoints_px[:3]).mean() < 3.0


def test_single_frame(clip):
    assert track_hands(clip[:1], 30.0)["right"].is_detected.tolist() == [True]


@pytest.mark.parametrize("shape", [(480, 640, 3), (16, 16, 3), (3, 5, 3), (1, 1, 3)])
def test_frames_without_hands_give_nothing(shape):
    frames = [np.full(shape, 127, np.uint8)] * 2
    for hand in track_hands(frames, 30.0).values():
        assert len(hand) == 2
        assert not hand.is_detected.any()
        assert np.isnan(hand.keypoints_px).all()
        assert (hand.score == 0).all()


def test_bad_input_is_refused():
    with pytest.raises(BadInput, match="at least one"):
        track_hands([], 30.0)
    with pytest.raises(BadInput, match="one size"):
        track_hands([np.zeros((20, 20, 3), np.uint8), np.zeros((20, 30, 3), np.uint8)], 30.0)
    with pytest.raises(BadInput, match="positive"):
        track_hands([np.zeros((20, 20, 3), np.uint8)], 0.0)
    with pytest.raises(BadInput, match="threshold"):
        TrackerConfig(threshold=0.0)


def test_bundle_holds_both_networks_uncompressed():
    with zipfile.ZipFile(BytesIO(hand_task())) as bundle:
        assert {i.filename for i in bundle.infolist()} == {"hand_detector.tflite", "hand_landmarks_detector.tflite"}
        assert all(i.compress_type == zipfile.ZIP_STORED for i in bundle.infolist())


def test_without_mediapipe_one_command_is_named(monkeypatch):
    hand_task.cache_clear()
    monkeypatch.setattr(tracker.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingAsset, match="`make env` in the repository, or `pip install mediapipe==0.10.14`"):
        hand_task()
    hand_task.cache_clear()


def test_native_library_is_silent():
    code = (
        "import numpy as np; from vitra_lib.reconstruction.tracker import track_hands; "
        "track_hands([np.zeros((48, 64, 3), np.uint8)] * 2, 30.0)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == ""
    assert run.stderr == ""
