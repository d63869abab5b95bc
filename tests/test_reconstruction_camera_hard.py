"""Motions and scenes that fool structure from motion: each gives the true path, or a reason why there is none."""

import cv2
import numpy as np
import pytest
from camera_clips import FPS, K_true, draw, planes, texture
from test_reconstruction_camera import path_error_m, rotation_error_deg

from vitra_lib.core.errors import RefusedClip
from vitra_lib.geometry import rotations
from vitra_lib.geometry.transforms import invert, make
from vitra_lib.reconstruction.camera import estimate_camera

COUNT = 30


def film(T: np.ndarray, scene: list, seed: int = 0) -> tuple[list, np.ndarray]:
    """Frames and times of a camera path."""
    rng = np.random.default_rng(seed)
    noisy = [draw(scene, K_true(), invert(pose)) + rng.normal(0, 2, (240, 320, 3)) for pose in T]
    return [np.clip(image, 0, 255).astype(np.uint8) for image in noisy], np.arange(len(T)) / FPS


def slide(step_m: np.ndarray, turn_rad: float = 0.05) -> np.ndarray:
    """A camera that moves along a line and turns a little."""
    s = np.linspace(0, 1, COUNT)
    w = turn_rad * np.stack([np.sin(3 * s), np.sin(2 * s), np.zeros(COUNT)], axis=1)
    return make(rotations.exp(w), s[:, None] * step_m)


def test_forward_motion_is_followed() -> None:
    T = slide(np.array([0.0, 0.0, 0.25]))
    frames, times = film(T, planes(np.random.default_rng(5)))
    estimate = estimate_camera(frames, times, K_true())
    assert estimate.track.method == "klt-odometry" and estimate.track.is_valid.all()
    assert path_error_m(T, estimate.track.T_world_cam) < 0.005 < path_error_m(T, np.tile(np.eye(4), (COUNT, 1, 1)))
    assert rotation_error_deg(T, estimate.track.T_world_cam) < 0.3
    # The direction, and not only the shape: the last camera is in front of the first.
    end = estimate.track.T_world_cam[-1, :3, 3]
    assert end[2] / np.linalg.norm(end) > 0.98


def test_forward_motion_without_K_is_calibrated_or_the_prior_is_named() -> None:
    T = slide(np.array([0.0, 0.0, 0.25]))
    frames, times = film(T, planes(np.random.default_rng(5)))
    estimate = estimate_camera(frames, times)
    off = abs(np.log(estimate.track.K_px[0, 0] / K_true()[0, 0]))
    assert estimate.track.focal_rel_std == estimate.focal_rel_std > 0
    assert off < 3 * estimate.track.focal_rel_std, "the stated uncertainty covers the error"


def repeated(rng: np.random.Generator, size: int) -> np.ndarray:
    """A tile that repeats sixteen times."""
    tile = texture(rng, 128)
    return cv2.resize(np.tile(cv2.resize(tile, (size // 16, size // 16)), (16, 16, 1)), (size, size))


def test_repeated_texture_is_followed() -> None:
    rng = np.random.default_rng(7)
    scene = [(corner, u, v, repeated(rng, tex.shape[0])) for corner, u, v, tex in planes(rng)]
    T = slide(np.array([0.15, 0.03, 0.0]))
    frames, times = film(T, scene)
    try:
        estimate = estimate_camera(frames, times, K_true())
    except RefusedClip as error:
        assert "features" in str(error) or "rigid" in str(error)
        return
    good = estimate.track.is_valid
    assert good.mean() > 0.9
    assert path_error_m(T[good], estimate.track.T_world_cam[good]) < 0.01
    assert path_error_m(T, np.tile(np.eye(4), (COUNT, 1, 1))) > 0.03, "control"


def blurred(image: np.ndarray, length_px: int) -> np.ndarray:
    """Motion blur along a diagonal."""
    kernel = np.eye(length_px, dtype=np.float32) / length_px
    return cv2.filter2D(image, -1, kernel)


def test_moderate_blur_is_followed() -> None:
    T = slide(np.array([0.15, 0.03, 0.05]))
    frames, times = film(T, planes(np.random.default_rng(8)))
    frames = [blurred(frame, 5) for frame in frames]
    estimate = estimate_camera(frames, times, K_true())
    good = estimate.track.is_valid
    assert good.mean() > 0.9 and path_error_m(T[good], estimate.track.T_world_cam[good]) < 0.01


def test_a_moment_of_heavy_blur_is_no_silent_error() -> None:
    T = slide(np.array([0.15, 0.03, 0.05]))
    frames, times = film(T, planes(np.random.default_rng(8)))
    frames[12:16] = [blurred(frame, 81) for frame in frames[12:16]]
    estimate = estimate_camera(frames, times, K_true())
    good = estimate.track.is_valid
    assert good.sum() >= 10 and not good[12:16].all()
    assert path_error_m(T[good], estimate.track.T_world_cam[good]) < 0.01
    lost = np.zeros(COUNT, bool)
    for rejection in estimate.rejections:
        lost[rejection.start : rejection.stop] = True
    np.testing.assert_array_equal(lost, ~good)


def test_a_clip_of_blur_alone_is_refused_with_a_reason() -> None:
    T = slide(np.array([0.15, 0.03, 0.05]), turn_rad=0.1)
    frames, times = film(T, planes(np.random.default_rng(8)))
    smeared = [cv2.GaussianBlur(frame, (0, 0), 40) for frame in frames]
    with pytest.raises(RefusedClip, match="texture|blurred"):
        estimate_camera(smeared, times, K_true())
