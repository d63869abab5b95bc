"""World-space cleaning, gap rules exact at their limits, smoothing that helps, a camera track that stays consistent."""

from dataclasses import replace

import numpy as np
import pytest
from reconstruction_motions import hand_motion, moving_camera

from vitra_lib.contracts import CameraTrack, HandTrack
from vitra_lib.core.errors import BadInput
from vitra_lib.geometry.rotations import exp, geodesic_angle
from vitra_lib.geometry.smoothing import smooth_positions
from vitra_lib.geometry.transforms import apply
from vitra_lib.hands.kinematics import pose_joints
from vitra_lib.hands.model import load_hand_model
from vitra_lib.reconstruction.cleaning import CleaningConfig
from vitra_lib.reconstruction.world import WorldConfig, smooth_in_world


def in_world(camera: CameraTrack, hand: HandTrack) -> tuple[np.ndarray, np.ndarray]:
    R = camera.T_world_cam[:, :3, :3] @ hand.R_cam_wrist
    return R, apply(camera.T_world_cam, hand.t_cam_wrist[:, None])[:, 0]


def seen(hand: HandTrack, flags: np.ndarray) -> HandTrack:
    return replace(hand, is_valid=flags, is_observed=flags.copy())


def with_noise(hand: HandTrack, seed: int, metres: float, radians: float) -> HandTrack:
    rng = np.random.default_rng(seed)
    return replace(
        hand,
        t_cam_wrist=hand.t_cam_wrist + rng.normal(0, metres, hand.t_cam_wrist.shape),
        R_cam_wrist=hand.R_cam_wrist @ exp(rng.normal(0, radians, hand.t_cam_wrist.shape)),
    )


def clip(time: int = 150, seed: int = 0, side: str = "right") -> tuple[np.ndarray, HandTrack, CameraTrack]:
    times, hand = hand_motion(seed, time, side)
    return times, hand, moving_camera(times)


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_camera_track_is_the_smoothed_world_path(side):
    times, truth, camera = clip(side=side)
    noisy = with_noise(truth, 1, 0.01, 0.05)
    track, _ = smooth_in_world(camera, noisy, times)
    _, t = in_world(camera, track)
    weight = noisy.confidence
    np.testing.assert_allclose(t, smooth_positions(in_world(camera, noisy)[1], times, 0.35, 3, weight), atol=1e-9)
    pose = (track.R_cam_wrist, track.t_cam_wrist, track.R_parent_joint, track.betas)
    joints = pose_joints(load_hand_model(), side, *pose)
    np.testing.assert_allclose(track.joints_cam, joints, atol=1e-9)
    np.testing.assert_allclose(track.joints_cam[:, 0], track.t_cam_wrist, atol=1e-9)


def test_a_hand_that_rests_in_the_world_stays_where_it_is_whatever_the_head_does():
    times, hand, camera = clip()
    T_cam_world = camera.T_cam_world
    hand = replace(
        hand,
        t_cam_wrist=apply(T_cam_world, np.tile([[[0.1, 0.2, 0.5]]], (150, 1, 1)))[:, 0],
        R_cam_wrist=T_cam_world[:, :3, :3] @ exp(np.array([0.3, -0.2, 1.0])),
        R_parent_joint=np.tile(hand.R_parent_joint[:1], (150, 1, 1, 1)),
    )
    track, rejections = smooth_in_world(camera, hand, times)
    np.testing.assert_allclose(track.t_cam_wrist, hand.t_cam_wrist, atol=1e-12)
    np.testing.assert_allclose(track.R_cam_wrist, hand.R_cam_wrist, atol=1e-12)
    np.testing.assert_allclose(track.R_parent_joint, hand.R_parent_joint, atol=1e-12)
    assert rejections == () and track.is_valid.all() and track.is_observed.all()


def test_smoothing_brings_noise_nearer_to_the_truth_and_none_does_not():
    times, truth, camera = clip()
    noisy = with_noise(truth, 2, 0.012, 0.1)
    errors = {}
    for name, config in (("smooth", WorldConfig()), ("control", WorldConfig(window_s=0.0, finger_window_s=0.0))):
        track, rejections = smooth_in_world(camera, noisy, times, config)
        errors[name] = (
            np.linalg.norm(track.t_cam_wrist - truth.t_cam_wrist, axis=-1).mean(),
            geodesic_angle(track.R_cam_wrist, truth.R_cam_wrist).mean(),
        )
        assert rejections == ()
    assert errors["smooth"][0] < 0.6 * errors["control"][0] and errors["smooth"][1] < 0.6 * errors["control"][1]


def test_smoothing_does_not_shrink_a_reach():
    times, truth, camera = clip()
    track, _ = smooth_in_world(camera, truth, times)
    paths = [np.linalg.norm(np.diff(in_world(camera, hand)[1], axis=0), axis=-1).sum() for hand in (track, truth)]
    assert abs(paths[0] / paths[1] - 1) < 0.02


@pytest.mark.parametrize(("missing", "is_filled"), [(8, True), (9, False)])
def test_gaps_are_filled_up_to_the_limit_exactly(missing, is_filled):
    """At 30 frames/s 8 missing frames are 0.3 s between two sightings, 9 are 0.333 s."""
    times, truth, camera = clip()
    flags = np.ones(150, bool)
    flags[60 : 60 + missing] = False
    track, _ = smooth_in_world(camera, seen(truth, flags), times)
    gap = slice(60, 60 + missing)
    assert track.is_valid[gap].all() == is_filled and track.is_valid[gap].any() == is_filled
    assert not track.is_observed[gap].any() and np.isnan(track.joints_cam[gap]).any() != is_filled
    assert track.is_valid.sum() == (150 if is_filled else 150 - missing)
    if is_filled:
        assert np.linalg.norm(track.t_cam_wrist[gap] - truth.t_cam_wrist[gap], axis=-1).max() < 0.02
        assert 0 < track.confidence[gap].max() < 0.5 * truth.confidence[60]
    else:
        assert (track.confidence[gap] == 0).all()


@pytest.mark.parametrize(("frames", "is_kept"), [(6, True), (5, False)])
def test_runs_are_kept_from_the_limit_exactly(frames, is_kept):
    """At 30 frames/s 6 frames last 0.2 s."""
    times, truth, camera = clip()
    flags = np.zeros(150, bool)
    flags[40 : 40 + frames] = True
    flags[100:] = True
    track, rejections = smooth_in_world(camera, seen(truth, flags), times)
    assert track.is_valid[40 : 40 + frames].all() == is_kept
    assert [(r.reason, r.start, r.stop) for r in rejections] == ([] if is_kept else [("short_track", 40, 45)])


def test_rules_hold_in_seconds_at_another_frame_rate():
    times, truth = hand_motion(0, 300, fps=60.0)
    camera = moving_camera(times)
    for missing, is_filled in ((17, True), (18, False)):
        flags = np.ones(300, bool)
        flags[100 : 100 + missing] = False
        assert smooth_in_world(camera, seen(truth, flags), times)[0].is_valid[105] == is_filled


def test_jumps_are_removed_filled_and_counted():
    times, truth, camera = clip()
    t = truth.t_cam_wrist.copy()
    t[50] += 0.2
    t[80:83] += [0.0, 0.0, 1.5]
    R = truth.R_cam_wrist.copy()
    R[110] = R[110] @ exp(np.array([np.pi, 0, 0]))
    track, rejections = smooth_in_world(camera, replace(truth, t_cam_wrist=t, R_cam_wrist=R), times)
    found = {(r.reason, r.start, r.stop) for r in rejections}
    assert found == {("outlier_position", 50, 51), ("outlier_position", 80, 83), ("outlier_rotation", 110, 111)}
    assert all(r.stage == "reconstruction" and r.detail for r in rejections)
    assert all(r.item.startswith("right hand, frames [") for r in rejections)
    assert track.is_valid.all() and not track.is_observed[[50, 80, 81, 82, 110]].any()
    assert np.linalg.norm(track.t_cam_wrist - truth.t_cam_wrist, axis=-1).max() < 0.02
    keep_all = CleaningConfig(outlier_floor_m=1e9, outlier_turn_rad=9.0, max_speed=1e9)
    jumping = replace(truth, t_cam_wrist=t, R_cam_wrist=R)
    control, _ = smooth_in_world(camera, jumping, times, WorldConfig(cleaning=keep_all))
    assert np.linalg.norm(control.t_cam_wrist - truth.t_cam_wrist, axis=-1).max() > 0.1


def test_a_piece_reached_only_at_impossible_speed_is_dropped_and_two_lasting_places_are_not_joined():
    times, truth, camera = clip()
    lenient = WorldConfig(cleaning=CleaningConfig(outlier_floor_m=1e9))
    t = truth.t_cam_wrist.copy()
    t[70:75] += [0.6, 0, 0]
    track, rejections = smooth_in_world(camera, replace(truth, t_cam_wrist=t), times, lenient)
    assert [(r.reason, r.start, r.stop) for r in rejections] == [("impossible_speed", 70, 75)] and track.is_valid.all()
    t = truth.t_cam_wrist.copy()
    t[75:] += [0.6, 0, 0]
    track, rejections = smooth_in_world(camera, replace(truth, t_cam_wrist=t), times, lenient)
    assert rejections == () and np.linalg.norm(track.t_cam_wrist - t, axis=-1).max() < 0.02  # no smear over the jump


def test_a_fast_reach_is_no_outlier():
    times = np.arange(60) / 30
    _, hand = hand_motion(0, 60)
    s = np.clip((times - 0.6) / 0.4, 0, 1)
    reach = (10 * s**3 - 15 * s**4 + 6 * s**5)[:, None] * [[0.5, 0.0, 0.3]]  # 0.58 m in 0.4 s: peak 2.7 m/s
    hand = replace(hand, t_cam_wrist=np.array([[0.0, 0.1, 0.4]]) + reach)
    camera = replace(moving_camera(times), T_world_cam=np.tile(np.eye(4), (60, 1, 1)))
    assert smooth_in_world(camera, hand, times)[1] == ()


def test_frames_without_a_camera_are_dropped_and_never_filled():
    times, truth, camera = clip()
    lost = np.ones(150, bool)
    lost[60:63] = False
    track, rejections = smooth_in_world(replace(camera, is_valid=lost), truth, times)
    assert [(r.reason, r.start, r.stop) for r in rejections] == [("camera_lost", 60, 63)]
    assert track.is_valid.tolist() == lost.tolist()


def test_an_absent_hand_stays_absent_and_bad_input_is_refused():
    times, truth, camera = clip()
    track, rejections = smooth_in_world(camera, HandTrack.absent("left", 150), times)
    assert not track.is_valid.any() and rejections == () and np.isnan(track.joints_cam).all()
    with pytest.raises(BadInput, match="same frames"):
        smooth_in_world(camera, truth, times[:10])
    with pytest.raises(BadInput, match="max_gap_s"):
        CleaningConfig(max_gap_s=-0.1)
    with pytest.raises(BadInput, match="filled_weight"):
        WorldConfig(filled_weight=0.0)
