"""Camera estimation against exact poses of a world of textured planes, and on a real annotated clip."""

import numpy as np
import pytest
from camera_clips import PlaneClip, plane_clip

from vitra_lib.core.errors import BadInput, RefusedClip
from vitra_lib.geometry.alignment import align_paths, umeyama
from vitra_lib.geometry.rotations import geodesic_angle
from vitra_lib.reconstruction.camera import CameraConfig, CameraEstimate, estimate_camera, is_static, with_scale


def path_error_m(T_true: np.ndarray, T: np.ndarray) -> float:
    """Root mean square distance of camera centres after similarity alignment."""
    fit = umeyama(T_true[:, :3, 3], T[:, :3, 3])
    return float(np.sqrt(((fit.apply(T[:, :3, 3]) - T_true[:, :3, 3]) ** 2).sum(1).mean()))


def rotation_error_deg(T_true: np.ndarray, T: np.ndarray) -> float:
    """Root mean square rotation error after the best common rotation."""
    aligned = align_paths(T_true, T).apply_poses(T)
    return float(np.rad2deg(np.sqrt((geodesic_angle(T_true[:, :3, :3], aligned[:, :3, :3]) ** 2).mean())))


@pytest.fixture(scope="module")
def moving() -> PlaneClip:
    return plane_clip(0)


@pytest.fixture(scope="module")
def known(moving: PlaneClip) -> CameraEstimate:
    return estimate_camera(moving.frames, moving.times_s, moving.K_px, moving.hand_boxes)


def test_known_path_is_recovered(moving: PlaneClip, known: CameraEstimate) -> None:
    track = known.track
    assert track.method == "klt-odometry" and not track.is_static and track.is_valid.all()
    assert path_error_m(moving.T_world_cam, track.T_world_cam) < 0.002
    assert rotation_error_deg(moving.T_world_cam, track.T_world_cam) < 0.25
    assert np.array_equal(track.T_world_cam[0], np.eye(4))
    assert track.scale_source == "none" and track.intrinsics_source == "given" and known.has_scale
    # Control: a camera that is said not to move misses by far more.
    still = np.tile(np.eye(4), (len(moving.frames), 1, 1))
    assert path_error_m(moving.T_world_cam, still) > 0.03
    assert rotation_error_deg(moving.T_world_cam, still) > 3


def test_observations_reproject_where_they_were_seen(known: CameraEstimate) -> None:
    T = known.track.T_cam_world[known.obs_frame]
    p = np.einsum("nij,nj->ni", T[:, :3, :3], known.points_world[known.obs_point]) + T[:, :3, 3]
    uv = p @ known.track.K_px.T
    error = np.linalg.norm(uv[:, :2] / uv[:, 2:] - known.obs_uv_px, axis=1)
    assert np.sqrt((error**2).mean()) == pytest.approx(known.figures["reprojection_px"], rel=1e-4)
    assert np.sqrt((error**2).mean()) < 0.6
    assert (np.diff(known.obs_frame) >= 0).all()
    assert np.median(p[:, 2]) == pytest.approx(1.0, abs=0.02)


def test_same_frames_give_the_same_bytes(moving: PlaneClip, known: CameraEstimate) -> None:
    again = estimate_camera(moving.frames, moving.times_s, moving.K_px, moving.hand_boxes)
    assert again.track.T_world_cam.tobytes() == known.track.T_world_cam.tobytes()
    assert again.points_world.tobytes() == known.points_world.tobytes()


@pytest.mark.parametrize(("seed", "focal"), [(3, 180.0), (0, 250.0)])
def test_focal_length_is_found_from_the_motion(seed: int, focal: float) -> None:
    clip = plane_clip(seed, count=30, focal=focal)
    estimate = estimate_camera(clip.frames, clip.times_s, None, clip.hand_boxes)
    assert estimate.track.intrinsics_source == "self-calibration"
    assert estimate.track.K_px[0, 0] == pytest.approx(focal, rel=0.03)
    assert 0 < estimate.focal_rel_std < 0.06
    assert path_error_m(clip.T_world_cam, estimate.track.T_world_cam) < 0.003
    # Control: the prior, which would be used otherwise, is outside that tolerance.
    prior = 160 / np.tan(np.deg2rad(CameraConfig().prior_fov_deg) / 2)
    assert abs(prior / focal - 1) > 0.06


def test_a_camera_that_only_turns_gets_no_invented_path() -> None:
    clip = plane_clip(2, translation_m=0.0)
    estimate = estimate_camera(clip.frames, clip.times_s, clip.K_px, clip.hand_boxes)
    assert estimate.track.method == "klt-rotation" and not estimate.track.is_static and not estimate.has_scale
    assert np.abs(estimate.track.T_world_cam[:, :3, 3]).max() == 0
    assert rotation_error_deg(clip.T_world_cam, estimate.track.T_world_cam) < 0.1
    assert "not observable" in estimate.reason
    # Control: the moving clip is not taken for a turn, see test_known_path_is_recovered.
    assert rotation_error_deg(clip.T_world_cam, np.tile(np.eye(4), (len(clip.frames), 1, 1))) > 3


def test_a_large_unmasked_hand_does_not_fool_the_static_test() -> None:
    clip = plane_clip(2, count=30, translation_m=0.0, rotation_rad=0.0, hand_share=0.3)
    for boxes in (clip.hand_boxes, None):
        verdict = is_static(clip.frames, clip.times_s, boxes)
        assert verdict.is_static and verdict.displacement_px < 0.3
    estimate = estimate_camera(clip.frames, clip.times_s, clip.K_px, None)
    assert estimate.track.is_static and estimate.track.method == "static"
    assert np.array_equal(estimate.track.T_world_cam, np.tile(np.eye(4), (30, 1, 1)))


def test_slow_motion_is_not_static(moving: PlaneClip) -> None:
    assert not is_static(moving.frames, moving.times_s, moving.hand_boxes).is_static
    slow = plane_clip(1, count=30, translation_m=0.01, rotation_rad=0.01, hand_share=0.0)
    assert not is_static(slow.frames, slow.times_s).is_static


def test_a_static_clip_without_K_keeps_the_prior_and_says_so() -> None:
    clip = plane_clip(4, count=6, translation_m=0.0, rotation_rad=0.0)
    estimate = estimate_camera(clip.frames, clip.times_s, None, clip.hand_boxes)
    assert estimate.track.intrinsics_source == "prior" and estimate.focal_rel_std > 0.1
    assert np.rad2deg(estimate.track.fov_rad[0]) == pytest.approx(75.0)


def test_no_texture_is_refused() -> None:
    rng = np.random.default_rng(0)
    blank = [np.clip(128 + rng.normal(0, 2, (240, 320, 3)), 0, 255).astype(np.uint8) for _ in range(10)]
    with pytest.raises(RefusedClip, match="texture"):
        estimate_camera(blank, np.arange(10) / 30)
    # Unless the caller vouches for a camera that stands still.
    assert estimate_camera(blank, np.arange(10) / 30, config=CameraConfig(assume_static=True)).track.is_static


def test_one_frame_is_refused(moving: PlaneClip) -> None:
    with pytest.raises(RefusedClip, match="one frame"):
        estimate_camera(moving.frames[:1], moving.times_s[:1])


def test_lost_frames_are_invalid_with_a_reason(moving: PlaneClip) -> None:
    frames = list(moving.frames)
    frames[30:] = [np.full_like(frames[0], 60)] * 10
    estimate = estimate_camera(frames, moving.times_s, moving.K_px, moving.hand_boxes)
    assert estimate.track.is_valid[:29].all() and not estimate.track.is_valid[30:].any()
    assert np.isfinite(estimate.track.T_world_cam).all()
    assert [(row.reason, row.stop) for row in estimate.rejections] == [("camera_lost", 40)]
    assert path_error_m(moving.T_world_cam[:29], estimate.track.T_world_cam[:29]) < 0.003


def test_keyframes_are_bounded_so_that_cost_is_linear_in_length(moving: PlaneClip) -> None:
    config = CameraConfig(min_keyframes=6, keyframes_per_s=4.0)
    estimate = estimate_camera(moving.frames, moving.times_s, moving.K_px, moving.hand_boxes, config)
    assert 3 <= estimate.figures["keyframes"] <= 7
    assert path_error_m(moving.T_world_cam, estimate.track.T_world_cam) < 0.004


def test_scaling_an_estimate_scales_path_and_points(known: CameraEstimate) -> None:
    metric = with_scale(known, 2.0, 0.1, "hands")
    assert np.allclose(metric.track.T_world_cam[:, :3, 3], 2 * known.track.T_world_cam[:, :3, 3])
    assert np.allclose(metric.points_world, 2 * known.points_world)
    assert metric.track.scale_source == "hands" and metric.track.scale_rel_std == 0.1
    with pytest.raises(BadInput):
        with_scale(known, float("nan"), 0.1, "hands")


@pytest.mark.parametrize(
    "change",
    [{"inlier_px": 0.0}, {"hand_margin": -1.0}, {"focal_guesses": ()}, {"prior_fov_deg": 200.0}],
)
def test_impossible_knobs_are_refused(change: dict) -> None:
    with pytest.raises(BadInput):
        CameraConfig(**change)


def test_arguments_that_do_not_fit_are_refused(moving: PlaneClip) -> None:
    with pytest.raises(BadInput, match="one time per frame"):
        estimate_camera(moving.frames, moving.times_s[:-1])
    with pytest.raises(BadInput, match="increase"):
        estimate_camera(moving.frames, moving.times_s[::-1].copy())
    with pytest.raises(BadInput, match="positive"):
        estimate_camera(moving.frames, moving.times_s, np.zeros((3, 3)))
