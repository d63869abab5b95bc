"""Clips joined into one path: one world where they agree, a counted break where they do not, nothing lost behind it."""

from dataclasses import replace

import numpy as np
import pytest
from camera_clips import head_path
from test_reconstruction_camera_merge import exact_estimate, table_points

from vitra_lib.geometry import rotations
from vitra_lib.geometry.transforms import invert
from vitra_lib.reconstruction.camera import CameraEstimate, ClipCamera
from vitra_lib.reconstruction.joining import BREAK_S, join_clips
from vitra_lib.reconstruction.recovery import from_frame, pieces_of
from vitra_lib.segmentation import SegmentationConfig

TIME, FPS = 90, 30.0
RANGES = ((0, 40), (25, 65), (50, 90))


@pytest.fixture(scope="module")
def path() -> np.ndarray:
    T = head_path(TIME, 0.12, 0.1)
    return invert(T[0]) @ T


@pytest.fixture(scope="module")
def clips(path: np.ndarray) -> list[ClipCamera]:
    rng = np.random.default_rng(0)
    points = table_points(rng)
    made = [exact_estimate(path[start:stop], points, 0.5, rng) for start, stop in RANGES]
    return [ClipCamera(start, clip, 0.5, 0.1, "hands") for (start, _), clip in zip(RANGES, made, strict=True)]


def test_clips_that_agree_make_one_world(clips: list[ClipCamera], path: np.ndarray) -> None:
    track, rejections = join_clips(clips, TIME, FPS)
    assert track.is_valid.all() and rejections == ()
    np.testing.assert_allclose(track.T_world_cam, path, atol=1e-6)


def test_a_refused_clip_in_the_middle_breaks_the_world_and_nothing_else(clips: list, path: np.ndarray) -> None:
    track, rejections = join_clips([clips[0], clips[2]], TIME, FPS)
    gap = round(BREAK_S * FPS)
    assert track.is_valid[:40].all() and not track.is_valid[40 : 40 + gap].any() and track.is_valid[40 + gap :].all()
    assert [(r.reason, r.start, r.stop) for r in rejections] == [("world_restarted", 40, 40 + gap)]
    for part in (slice(0, 40), slice(40 + gap, TIME)):  # within each world the motion is the true one
        ours, true = track.T_world_cam[part], path[part]
        np.testing.assert_allclose(invert(ours[:-1]) @ ours[1:], invert(true[:-1]) @ true[1:], atol=1e-6)
    np.testing.assert_allclose(track.T_world_cam[40 + gap], track.T_world_cam[39], atol=1e-9)  # numbers stay in range


def test_a_clip_that_disagrees_starts_a_world_of_its_own(clips: list[ClipCamera], path: np.ndarray) -> None:
    good = clips[1].estimate
    T = good.track.T_world_cam.copy()
    spin = rotations.exp(np.outer(np.linspace(0, np.deg2rad(120), len(T)), [0.0, 1.0, 0.0]))
    T[:, :3, :3] = spin @ T[:, :3, :3]
    bad = replace(clips[1], estimate=replace(good, track=replace(good.track, T_world_cam=T)))
    track, rejections = join_clips([clips[0], bad, clips[2]], TIME, FPS)
    restarts = [r for r in rejections if r.reason == "world_restarted"]
    assert restarts and "disagree" in restarts[0].detail
    np.testing.assert_allclose(track.T_world_cam[:40], path[:40], atol=1e-6)
    assert track.is_valid[:40].all() and track.is_valid[-1]


def test_a_break_is_longer_than_any_gap_that_is_bridged(clips: list[ClipCamera]) -> None:
    assert BREAK_S > SegmentationConfig().max_gap_s


def test_a_refused_clip_at_either_end_leaves_invalid_frames(clips: list[ClipCamera]) -> None:
    track, _ = join_clips(clips[1:], TIME, FPS)
    assert not track.is_valid[:25].any() and track.is_valid[25:].all()
    track, _ = join_clips(clips[:2], TIME, FPS)
    assert track.is_valid[:65].all() and not track.is_valid[65:].any()
    np.testing.assert_array_equal(track.T_world_cam[-1], track.T_world_cam[64])


def test_frames_lost_inside_a_clip_are_counted(clips: list[ClipCamera]) -> None:
    track, rejections = join_clips([_blind(clips[0], 10, 20), *clips[1:]], TIME, FPS)
    assert np.flatnonzero(~track.is_valid).tolist() == list(range(10, 20))
    assert [(r.reason, r.start, r.stop) for r in rejections] == [("camera_lost", 10, 20)]


def test_a_lost_beginning_is_tried_again(path: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    points = table_points(rng)
    whole = exact_estimate(path, points, 0.5, rng)
    half = _late(exact_estimate(path[45:], points, 0.5, rng), 45)
    tried: list[slice] = []

    def again(part: slice) -> CameraEstimate:
        tried.append(part)
        return exact_estimate(path[part], points, 0.5, rng)

    times = np.arange(TIME) / FPS
    pieces = pieces_of(half, times, again)
    assert [first for first, _ in pieces] == [0, 45] and tried == [slice(0, 66)]
    joined, rejections = join_clips([ClipCamera(s, c, 0.5, 0.1, "hands") for s, c in pieces], TIME, FPS)
    assert joined.is_valid.all() and rejections == ()
    np.testing.assert_allclose(joined.T_world_cam, path, atol=1e-3)
    assert [first for first, _ in pieces_of(whole, times, again)] == [0] and len(tried) == 1  # the control


def test_cutting_off_lost_frames_keeps_every_observation_of_the_others(clips: list[ClipCamera]) -> None:
    lost = _blind(clips[0], 0, 10).estimate
    cut = from_frame(lost, 10)
    assert len(cut.track) == 30 and cut.track.is_valid.all()
    assert cut.obs_frame.min() == 0 and len(cut.obs_frame) == int((lost.obs_frame >= 10).sum())


def _blind(clip: ClipCamera, start: int, stop: int) -> ClipCamera:
    """The clip without poses in some frames."""
    valid = clip.estimate.track.is_valid.copy()
    valid[start:stop] = False
    estimate = clip.estimate
    seen = (estimate.obs_frame < start) | (estimate.obs_frame >= stop)
    track = replace(estimate.track, is_valid=valid)
    names = ("obs_frame", "obs_point", "obs_uv_px")
    return replace(clip, estimate=replace(estimate, track=track, **{n: getattr(estimate, n)[seen] for n in names}))


def _late(estimate: CameraEstimate, lost: int) -> CameraEstimate:
    """The estimate of a clip that begins `lost` frames earlier, without poses there."""
    track = estimate.track
    T = np.concatenate([np.tile(np.eye(4), (lost, 1, 1)), track.T_world_cam])
    valid = np.concatenate([np.zeros(lost, bool), track.is_valid])
    inliers = np.concatenate([np.zeros(lost, int), estimate.inlier_count])
    longer = replace(track, T_world_cam=T, is_valid=valid)
    return replace(estimate, track=longer, inlier_count=inliers, obs_frame=estimate.obs_frame + lost)
