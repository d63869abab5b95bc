"""Hands of HaWoR, WiLoR and HaMeR from files in their own formats whose truth is known."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from backend_files import COUNT, HEIGHT, WIDTH, K, Truth, hamer, hawor, info, truth, wilor_mini

from vitra_lib.core.errors import BadInput, UnsafePickle
from vitra_lib.geometry.cameras_lens import Pinhole
from vitra_lib.hands.mirror import mirror_rotation
from vitra_lib.hands.model import load_hand_model
from vitra_lib.reconstruction.backends import backend
from vitra_lib.reconstruction.backends.given import GivenHands, detections_of
from vitra_lib.reconstruction.backends.hawor import MANO_ROOT_M

LENS = Pinhole(K, WIDTH, HEIGHT)
KEYPOINT = np.array([0.096, 0.006, 0.007])


@pytest.fixture(scope="module")
def scene() -> Truth:
    return truth(1)


def read(tool: str, path: Path, frame_count: int = COUNT) -> GivenHands:
    return backend("hands", tool).load()(path, info(frame_count), load_hand_model())


def check_hands(given: GivenHands, scene: Truth, atol: float = 3e-5) -> None:
    """Wrists and fingers of both hands are the true ones; forgetting the mirror of the left hand is noticed."""
    tracks = given.tracks(COUNT, LENS, load_hand_model())
    for i, side in enumerate(("left", "right")):
        track = tracks[side]
        assert track.is_valid.all() and np.isfinite(track.joints_cam).all()
        np.testing.assert_allclose(track.t_cam_wrist, scene.t_cam_wrist[i], atol=atol)
        np.testing.assert_allclose(track.R_cam_wrist, scene.R_cam_wrist[i], atol=atol)
        np.testing.assert_allclose(track.R_parent_joint, scene.fingers[i], atol=atol)
    left = tracks["left"]
    assert np.abs(mirror_rotation(left.R_cam_wrist) - scene.R_cam_wrist[0]).max() > 0.3, "control: root mirrored twice"
    assert np.abs(mirror_rotation(left.R_parent_joint) - scene.fingers[0]).max() > 0.3, "control: fingers not mirrored"


def test_hawor(scene: Truth, tmp_path: Path) -> None:
    given = read("hawor", hawor(tmp_path / "clip", scene, MANO_ROOT_M))
    check_hands(given, scene)
    assert given.focal_px == 900
    assert given.hands["left"].is_observed[:30].all() and not given.hands["left"].is_observed[30:].any()
    camera = backend("camera", "hawor").load()(tmp_path / "clip", info())
    np.testing.assert_allclose(camera.T_world_cam, scene.T_world_cam, atol=1e-6)
    assert camera.is_metric


def test_hawor_that_lost_a_hand(scene: Truth, tmp_path: Path) -> None:
    valid = np.ones((2, COUNT))
    valid[0], valid[1, 10:20] = 0, 0
    tracks = read("hawor", hawor(tmp_path / "clip", scene, MANO_ROOT_M, valid)).tracks(COUNT, LENS, load_hand_model())
    assert not tracks["left"].is_valid.any()
    assert np.array_equal(np.flatnonzero(~tracks["right"].is_valid), np.arange(10, 20))


def test_wilor_mini(scene: Truth, tmp_path: Path) -> None:
    check_hands(read("wilor", wilor_mini(tmp_path / "out", scene, KEYPOINT)), scene)


def test_hamer(scene: Truth, tmp_path: Path) -> None:
    given = read("hamer", hamer(tmp_path / "out", scene, KEYPOINT))
    check_hands(given, scene)
    np.testing.assert_allclose(given.hands["left"].confidence, 0.7)


def test_depth_goes_with_the_true_focal_length(scene: Truth, tmp_path: Path) -> None:
    given = read("hawor", hawor(tmp_path / "clip", scene, MANO_ROOT_M))
    longer = Pinhole(K * [[1.2], [1.2], [1]] + [[0, 0, -128], [0, 0, -72], [0, 0, 0]], WIDTH, HEIGHT)
    far, near = (given.tracks(COUNT, lens, load_hand_model())["right"] for lens in (longer, LENS))
    np.testing.assert_allclose(far.t_cam_wrist[:, 2], 1.2 * near.t_cam_wrist[:, 2])
    uv_far = longer.project(far.t_cam_wrist)
    np.testing.assert_allclose(uv_far, LENS.project(near.t_cam_wrist), atol=1e-6)


def test_given_hands_are_seen_where_they_are(scene: Truth, tmp_path: Path) -> None:
    track = read("hamer", hamer(tmp_path / "out", scene, KEYPOINT)).tracks(COUNT, LENS, load_hand_model())["right"]
    seen = detections_of(track, LENS)
    assert seen.is_detected.all()
    np.testing.assert_allclose(seen.keypoints_px[:, 0], LENS.project(scene.t_cam_wrist[1]), atol=0.1)


def test_another_video_is_refused(scene: Truth, tmp_path: Path) -> None:
    hawor(tmp_path / "clip", scene, MANO_ROOT_M)
    with pytest.raises(BadInput, match="covers 40 frames, the video has 41"):
        read("hawor", tmp_path / "clip", COUNT + 1)
    hamer(tmp_path / "out", scene, KEYPOINT)
    with pytest.raises(BadInput, match="video has 30 frames"):
        read("hamer", tmp_path / "out", 30)
    with pytest.raises(BadInput, match="no folder"):
        read("wilor", tmp_path / "gone")
    with pytest.raises(BadInput, match="finished HaWoR run"):
        (tmp_path / "clip" / "SLAM" / f"hawor_slam_w_scale_0_{COUNT}.npz").unlink()
        read("hawor", tmp_path / "clip")


def test_nan_and_what_is_no_rotation_are_refused(scene: Truth, tmp_path: Path) -> None:
    bad = scene.t_cam_wrist.copy()
    bad[1, 5] = np.nan
    with pytest.raises(BadInput, match="NaN"):
        read(
            "hawor", hawor(tmp_path / "n", Truth(scene.T_world_cam, scene.R_cam_wrist, bad, scene.fingers), MANO_ROOT_M)
        )
    fingers = scene.fingers.copy()
    fingers[0, 3, 2] *= 1.3
    with pytest.raises(BadInput, match="no rotation"):
        read(
            "hamer",
            hamer(tmp_path / "r", Truth(scene.T_world_cam, scene.R_cam_wrist, scene.t_cam_wrist, fingers), KEYPOINT),
        )


class Evil:
    """Would make a file if it were unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_pickles_that_would_run_something_are_refused(scene: Truth, tmp_path: Path) -> None:
    hawor(tmp_path / "clip", scene, MANO_ROOT_M)
    (tmp_path / "clip" / "world_space_res.pth").write_bytes(pickle.dumps([Evil(tmp_path / "ran")] * 5))
    with pytest.raises(UnsafePickle):
        read("hawor", tmp_path / "clip")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "0.pkl").write_bytes(pickle.dumps([{"global_orient": Evil(tmp_path / "ran")}]))
    with pytest.raises(UnsafePickle):
        read("wilor", tmp_path / "out")
    assert not (tmp_path / "ran").exists()


class ForgedTensor:
    """A tensor that claims to be far larger than its numbers."""

    def __reduce__(self):
        import torch

        build, (storage, _, _, stride, *rest) = torch.zeros(2, COUNT, 3).__reduce_ex__(2)
        return build, (storage, 10**6, (2, COUNT, 3), stride, *rest)


def test_a_forged_tensor_does_not_read_foreign_memory(scene: Truth, tmp_path: Path) -> None:
    hawor(tmp_path / "clip", scene, MANO_ROOT_M)
    (tmp_path / "clip" / "world_space_res.pth").write_bytes(pickle.dumps([ForgedTensor()] * 5, protocol=2))
    with pytest.raises(BadInput, match="doesn't fit its 240 numbers"):
        read("hawor", tmp_path / "clip")


def test_incomplete_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "0.pkl").write_bytes(pickle.dumps([{"global_orient": np.eye(3), "is_right": 1.0}]))
    with pytest.raises(BadInput, match="lacks"):
        read("hamer", tmp_path)
    (tmp_path / "0.pkl").write_bytes(pickle.dumps({"right": np.ones(1)})[:-3])
    with pytest.raises(BadInput):
        read("hamer", tmp_path)
