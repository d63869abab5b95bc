"""The camera on real recordings: an official annotation to agree with, a static desk, and a blurred walk."""

from pathlib import Path

import numpy as np
import pytest

from vitra_lib.core.pickles import load_npy_object
from vitra_lib.geometry.alignment import align_paths, umeyama
from vitra_lib.geometry.cameras import scale_K
from vitra_lib.geometry.rotations import geodesic_angle
from vitra_lib.geometry.transforms import invert
from vitra_lib.reconstruction.camera import estimate_camera
from vitra_lib.video import VideoReader


def read(path: Path, stop: int | None = None, short_side_px: int | None = None) -> tuple[list, np.ndarray]:
    with VideoReader(path, max_short_side_px=short_side_px) as reader:
        frames = list(reader.frames(0, stop))
    return [frame.image for frame in frames], np.array([frame.time_s for frame in frames])


def official(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """K in pixels of the 480 x 368 clip (the annotation's is for 1440 x 1080) and T_world_cam."""
    episode = load_npy_object(next(folder.glob("*.npy")))
    return scale_K(np.asarray(episode["intrinsics"], float), 480 / 1440, 368 / 1080), invert(
        np.asarray(episode["extrinsics"], float)
    )


def errors(T_true: np.ndarray, T: np.ndarray) -> tuple[float, float]:
    """Path error after similarity alignment [m] and rotation error [deg], root mean squares."""
    moved = umeyama(T_true[:, :3, 3], T[:, :3, 3]).apply(T[:, :3, 3])
    turned = align_paths(T_true, T).apply_poses(T)[:, :3, :3]
    return (
        float(np.sqrt(((moved - T_true[:, :3, 3]) ** 2).sum(1).mean())),
        float(np.rad2deg(np.sqrt((geodesic_angle(T_true[:, :3, :3], turned) ** 2).mean()))),
    )


@pytest.mark.parametrize("self_calibrated", [False, True])
def test_agrees_with_the_official_path(shared_data: Path, self_calibrated: bool) -> None:
    folder = shared_data / "vitra_ego4d_episode"
    frames, times = read(next(folder.glob("*.mp4")))
    K, T_official = official(folder)
    track = estimate_camera(frames, times, None if self_calibrated else K).track
    assert track.is_valid.all()
    path_m, rotation_deg = errors(T_official, track.T_world_cam)
    assert path_m < 0.003 and rotation_deg < 0.5
    assert track.K_px[0, 0] == pytest.approx(K[0, 0], rel=0.04)
    # Control: a camera that stands still is 20 times further off.
    path_m, rotation_deg = errors(T_official, np.tile(np.eye(4), (len(frames), 1, 1)))
    assert path_m > 0.05 and rotation_deg > 8


def test_a_desk_camera_is_static_though_a_hand_fills_the_view(shared_data: Path) -> None:
    frames, times = read(shared_data / "dexretarget_hand" / "human_hand_video.mp4", stop=200, short_side_px=360)
    track = estimate_camera(frames, times).track
    assert track.is_static and np.array_equal(track.T_world_cam, np.tile(np.eye(4), (200, 1, 1)))


def test_a_blurred_walk_is_finite_with_reasons(shared_data: Path) -> None:
    frames, times = read(shared_data / "hawor_video0" / "video_0.mp4", short_side_px=360)
    width, height = frames[0].shape[1], frames[0].shape[0]
    K = np.array([[0.6 * width, 0, width / 2], [0, 0.6 * width, height / 2], [0, 0, 1.0]])
    estimate = estimate_camera(frames, times, K)
    assert np.isfinite(estimate.track.T_world_cam).all()
    assert estimate.track.is_valid.sum() > 30
    explained = sum(row.stop - row.start for row in estimate.rejections)
    assert explained == (~estimate.track.is_valid).sum()
