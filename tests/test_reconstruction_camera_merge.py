"""Metric scale from hands, and overlapping clips joined into one path."""

from dataclasses import replace

import numpy as np
import pytest
from camera_clips import FOCAL, HEIGHT, WIDTH, K_true, head_path

from vitra_lib.contracts import CameraTrack
from vitra_lib.core.errors import BadInput
from vitra_lib.geometry import rotations
from vitra_lib.geometry.alignment import umeyama
from vitra_lib.geometry.cameras import project
from vitra_lib.geometry.rotations import geodesic_angle
from vitra_lib.geometry.transforms import apply, invert
from vitra_lib.reconstruction.camera import (
    CameraEstimate,
    ClipCamera,
    merge_tracks,
    metric_scale,
    scale_from_hands,
    with_scale,
)

TIME = 90
TRUE_SCALE = 0.6


def table_points(rng: np.random.Generator) -> np.ndarray:
    """(600, 3) points of a tilted table [m], 0.5 to 1.1 m from the camera."""
    a, b = rng.uniform(-0.6, 0.6, 600), rng.uniform(0, 1, 600)
    return np.stack([a, 0.3 - 0.25 * b, 0.5 + 0.6 * b], axis=1)


def exact_estimate(
    T_world_cam: np.ndarray, points: np.ndarray, unit_m: float, rng: np.random.Generator
) -> CameraEstimate:
    """What an estimator would return for this path and these points, in units of `unit_m` metres."""
    time = len(T_world_cam)
    T_first_world = invert(T_world_cam[0])
    T, X = T_first_world @ T_world_cam, apply(T_first_world, points)
    rows = [(t, p, uv) for t in range(time) for p, uv in enumerate(project(K_true(), apply(invert(T[t]), X)))]
    seen = [row for row in rows if 0 <= row[2][0] < WIDTH and 0 <= row[2][1] < HEIGHT]
    T[:, :3, 3] /= unit_m
    track = CameraTrack(
        K_px=K_true(), width_px=WIDTH, height_px=HEIGHT, T_world_cam=T, is_valid=np.ones(time, bool), is_static=False,
        intrinsics_source="given", scale_source="none", scale_rel_std=float("nan"), method="klt-odometry",
    )  # fmt: skip
    return CameraEstimate(
        track=track, points_world=X / unit_m, point_error_px=np.zeros(len(X)), inlier_count=np.full(time, 100),
        obs_frame=np.array([r[0] for r in seen]), obs_point=np.array([r[1] for r in seen]),
        obs_uv_px=np.array([r[2] for r in seen]), focal_rel_std=0.0, reason="made",
    )  # fmt: skip


def hand_on_table(T_world_cam: np.ndarray, rng: np.random.Generator, lift_m: float) -> np.ndarray:
    """(time, 21, 3) joints in the camera: a hand that rests on the table, moves 10 cm above it, and rests again."""
    time = len(T_world_cam)
    spread = np.stack([rng.uniform(-0.07, 0.07, 21), np.zeros(21), rng.uniform(-0.07, 0.07, 21)], axis=1)
    way = np.clip((np.arange(time) - time / 3) / (time / 3), 0, 1)
    centre = np.stack([-0.1 + 0.2 * way, np.full(time, 0.175), np.full(time, 0.8)], axis=1)
    hand = centre[:, None] + spread
    # The table's height under each joint, minus a hand's thickness, minus the lift of the carrying phase.
    hand[..., 1] = 0.3 - 0.25 * (hand[..., 2] - 0.5) / 0.6 - 0.01 - lift_m * np.sin(np.pi * way)[:, None]
    return apply(invert(T_world_cam), hand)


@pytest.fixture(scope="module")
def scene() -> tuple[CameraEstimate, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    T = head_path(TIME, 0.12, 0.1)
    return exact_estimate(T, table_points(rng), TRUE_SCALE, rng), hand_on_table(T, rng, 0.1), np.arange(TIME) / 30


def test_hands_that_touch_the_scene_tell_the_metre(scene: tuple) -> None:
    estimate, joints, times = scene
    valid = np.ones(TIME, bool)
    found = scale_from_hands(estimate, {"right": joints}, {"right": valid}, times)
    assert found.source == "hands"
    assert found.contact == pytest.approx(TRUE_SCALE, rel=0.08)
    assert found.motion == pytest.approx(TRUE_SCALE, rel=0.15)
    assert found.scale == pytest.approx(TRUE_SCALE, rel=0.1)
    assert 0.05 < found.rel_std < 0.25
    assert metric_scale(estimate, {"right": joints}, {"right": valid}, times) == (found.scale, found.rel_std)
    # Control: the unit itself, or the prior alone, is outside that tolerance.
    assert abs(1.0 / TRUE_SCALE - 1) > 0.2 and abs(0.7 / TRUE_SCALE - 1) > 0.12


def test_scale_is_proportional_to_the_hand(scene: tuple) -> None:
    estimate, joints, times = scene
    valid = {"right": np.ones(TIME, bool)}
    small, large = (scale_from_hands(estimate, {"right": k * joints}, valid, times) for k in (1.0, 1.2))
    assert large.contact / small.contact == pytest.approx(1.2, rel=0.03)


def test_noisy_hands_do_not_push_the_envelope_far_up(scene: tuple) -> None:
    estimate, joints, times = scene
    rng = np.random.default_rng(1)
    noisy = joints * (1 + 0.05 * rng.normal(size=(TIME, 1, 1)))
    found = scale_from_hands(estimate, {"right": noisy}, {"right": np.ones(TIME, bool)}, times)
    assert found.scale == pytest.approx(TRUE_SCALE, rel=0.12)
    # Control: the largest raw ratio, which the envelope would be without care, is further off.
    assert np.max(noisy[:, :, 2] / joints[:, :, 2]) > 1.1


def test_without_hands_the_prior_speaks_and_is_called_so(scene: tuple) -> None:
    estimate, joints, times = scene
    found = scale_from_hands(estimate, {"right": joints}, {"right": np.zeros(TIME, bool)}, times)
    assert found.source == "prior" and found.scale == pytest.approx(0.7) and found.rel_std == pytest.approx(0.4)


def test_a_camera_without_translation_has_no_scale(scene: tuple) -> None:
    estimate, joints, times = scene
    turning = replace(
        estimate, points_world=np.zeros((0, 3)), point_error_px=np.zeros(0),
        obs_frame=np.zeros(0, int), obs_point=np.zeros(0, int), obs_uv_px=np.zeros((0, 2)),
    )  # fmt: skip
    found = scale_from_hands(turning, {"right": joints}, {"right": np.ones(TIME, bool)}, times)
    assert (found.scale, found.source) == (1.0, "none") and np.isnan(found.rel_std)


def clips_of(
    T: np.ndarray, units: tuple[float, float], stops: tuple[int, int] = (60, 100)
) -> tuple[ClipCamera, ClipCamera]:
    """Two clips that share frames [45, 60), each in its own unit, with hands that know the metre within 10 %."""
    rng = np.random.default_rng(3)
    points = table_points(rng)
    parts = ((0, stops[0]), (45, stops[1]))
    return tuple(
        ClipCamera(start, exact_estimate(T[start:stop], points, unit, rng), unit * error, 0.15, "hands")
        for (start, stop), unit, error in zip(parts, units, (1.1, 0.9), strict=True)
    )


def test_clips_in_different_units_become_one_metric_path() -> None:
    T = head_path(100, 0.12, 0.1)
    track, rejections = merge_tracks(clips_of(T, (0.6, 1.7)))
    assert rejections == () and track.is_valid.all() and len(track) == 100
    fit = umeyama(T[:, :3, 3], track.T_world_cam[:, :3, 3])
    assert np.abs(fit.apply(track.T_world_cam[:, :3, 3]) - T[:, :3, 3]).max() < 1e-3
    assert geodesic_angle(track.T_world_cam[:, :3, :3], T[0, :3, :3].T @ T[:, :3, :3]).max() < 1e-3
    # 10 % too long and 10 % too short average out: one metre for the whole path.
    assert fit.scale == pytest.approx(1.0, abs=0.02)
    assert track.scale_source == "hands" and 0.05 < track.scale_rel_std < 0.15
    # Control: laid end to end without a relative scale, the two clips do not fit.
    first, second = clips_of(T, (0.6, 1.7))
    naive = np.concatenate([first.estimate.track.T_world_cam[:, :3, 3], second.estimate.track.T_world_cam[15:, :3, 3]])
    assert np.abs(umeyama(T[:, :3, 3], naive).apply(naive) - T[:, :3, 3]).max() > 0.01


def test_a_metric_jump_between_clips_is_rejected() -> None:
    T = head_path(100, 0.12, 0.1)
    first, second = (
        replace(c, estimate=with_scale(c.estimate, c.scale, 0.15, "hands")) for c in clips_of(T, (0.6, 1.7))
    )
    track, rejections = merge_tracks((first, second))
    assert [(r.reason, r.start, r.stop) for r in rejections] == [("clip_not_merged", 45, 100)]
    assert "jumps" in rejections[0].detail
    assert track.is_valid[:60].all() and not track.is_valid[60:].any()
    assert np.isfinite(track.T_world_cam).all()


def test_scale_drift_within_the_overlap_is_rejected() -> None:
    T = head_path(100, 0.12, 0.1)
    first, second = clips_of(T, (0.6, 1.7))
    late = second.estimate.obs_frame >= 8
    points = np.concatenate([second.estimate.points_world, 1.4 * second.estimate.points_world])
    drifted = replace(
        second.estimate, points_world=points, point_error_px=np.zeros(len(points)),
        obs_point=second.estimate.obs_point + np.where(late, len(second.estimate.points_world), 0),
    )  # fmt: skip
    _, rejections = merge_tracks((first, replace(second, estimate=drifted)))
    assert [r.reason for r in rejections] == ["clip_not_merged"] and "drifts" in rejections[0].detail


def test_clips_that_turn_differently_are_rejected() -> None:
    T = head_path(100, 0.12, 0.1)
    first, second = clips_of(T, (0.6, 1.7))
    wrong = second.estimate.track.T_world_cam.copy()
    wrong[:, :3, :3] = rotations.exp(np.linspace(0, 3, len(wrong))[:, None] * np.array([0, 1.0, 0])) @ wrong[:, :3, :3]
    bad = replace(second, estimate=replace(second.estimate, track=replace(second.estimate.track, T_world_cam=wrong)))
    _, rejections = merge_tracks((first, bad))
    assert "degrees" in rejections[0].detail


def still_clip(start: int, time: int) -> ClipCamera:
    track = CameraTrack(
        K_px=K_true(FOCAL), width_px=WIDTH, height_px=HEIGHT, T_world_cam=np.tile(np.eye(4), (time, 1, 1)),
        is_valid=np.ones(time, bool), is_static=True, intrinsics_source="given", scale_source="none",
        scale_rel_std=float("nan"), method="static",
    )  # fmt: skip
    none = np.zeros(0, int)
    return ClipCamera(
        start,
        CameraEstimate(
            track, np.zeros((0, 3)), np.zeros(0), np.zeros(time, int), none, none, np.zeros((0, 2)), 0.0, "made"
        ),
    )


def test_static_clips_stay_static_and_a_moving_one_joins_them() -> None:
    track, rejections = merge_tracks((still_clip(0, 60), still_clip(45, 55)))
    assert track.is_static and rejections == () and np.array_equal(track.T_world_cam, np.tile(np.eye(4), (100, 1, 1)))
    rest = np.tile(np.eye(4), (60, 1, 1))
    T = np.concatenate([rest, head_path(41, 0.12, 0.1)[1:]])
    moving = replace(clips_of(T, (0.6, 1.7))[1], scale=1.7)
    track, rejections = merge_tracks((still_clip(0, 60), moving))
    assert not track.is_static and rejections == () and track.scale_source == "hands"
    assert np.abs(track.T_world_cam[:, :3, 3] - T[:, :3, 3]).max() < 1e-3


def test_a_lost_stretch_is_counted_once() -> None:
    T = head_path(100, 0.12, 0.1)
    first, second = clips_of(T, (0.6, 1.7))
    valid = np.ones(60, bool)
    valid[10:20] = False
    lost = replace(first, estimate=replace(first.estimate, track=replace(first.estimate.track, is_valid=valid)))
    track, rejections = merge_tracks((lost, second))
    assert [(r.reason, r.start, r.stop) for r in rejections] == [("camera_lost", 10, 20)]
    assert not track.is_valid[10:20].any() and track.is_valid.sum() == 90


def test_clips_that_do_not_overlap_are_refused() -> None:
    with pytest.raises(BadInput, match="overlap"):
        merge_tracks((still_clip(0, 40), still_clip(45, 55)))
    with pytest.raises(BadInput, match="no clip"):
        merge_tracks(())
