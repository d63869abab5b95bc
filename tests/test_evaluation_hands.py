"""Hand scores in closed form: known offsets, turns, swaps and ghosts."""

from dataclasses import replace

import numpy as np
import pytest
from reconstruction_motions import K_PX, hand_motion
from scipy.spatial.transform import Rotation

from vitra_lib.core.errors import BadInput
from vitra_lib.evaluation.hands import HandErrors, detection_rates, hand_errors, procrustes, rank_correlation, summarise
from vitra_lib.geometry.cameras import project
from vitra_lib.geometry.rotations import exp


def test_a_track_equals_itself_and_a_shift_is_a_shift():
    _, truth = hand_motion(0, 30)
    zero = hand_errors(truth, truth)
    assert all(np.abs(getattr(zero, name)).max() < 1e-7 for name in ("wrist_m", "rotation_rad", "joints_m", "pa_m"))
    shift = np.array([0.03, 0.0, 0.04])
    moved = replace(truth, t_cam_wrist=truth.t_cam_wrist + shift, joints_cam=truth.joints_cam + shift)
    errors = hand_errors(moved, truth)
    np.testing.assert_allclose(errors.wrist_m, 0.05, atol=1e-12)
    np.testing.assert_allclose(errors.joints_m, 0.05, atol=1e-12)
    np.testing.assert_allclose(errors.root_aligned_m, 0, atol=1e-12)


def test_depth_error_is_signed_along_the_viewing_ray():
    _, truth = hand_motion(0, 10)
    further = replace(truth, t_cam_wrist=truth.t_cam_wrist * 1.1)
    errors = hand_errors(further, truth)
    np.testing.assert_allclose(errors.depth_m, 0.1 * np.linalg.norm(truth.t_cam_wrist, axis=-1))
    np.testing.assert_allclose(errors.depth_m, errors.wrist_m)


def test_a_turn_about_the_wrist_shows_in_rotation_and_not_after_procrustes():
    _, truth = hand_motion(0, 20)
    turn = exp(np.array([0.0, 0.0, 0.3]))
    wrist = truth.joints_cam[:, :1]
    joints = (truth.joints_cam - wrist) @ turn.T + wrist
    turned = replace(truth, R_cam_wrist=turn @ truth.R_cam_wrist, joints_cam=joints)
    errors = hand_errors(turned, truth)
    np.testing.assert_allclose(errors.rotation_rad, 0.3, atol=1e-9)
    assert errors.root_aligned_m.min() > 0.005 and errors.pa_m.max() < 1e-9 and errors.wrist_m.max() < 1e-12


def test_procrustes_undoes_any_similarity_but_no_mirror():
    rng = np.random.default_rng(0)
    joints = rng.normal(size=(5, 21, 3))
    R = Rotation.random(5, random_state=1).as_matrix()
    moved = 1.7 * joints @ np.swapaxes(R, 1, 2) + rng.normal(size=(5, 1, 3))
    np.testing.assert_allclose(procrustes(joints, moved), moved, atol=1e-9)
    assert np.abs(procrustes(joints * [-1, 1, 1], moved) - moved).max() > 0.5


def test_only_frames_that_both_know_are_compared():
    _, truth = hand_motion(0, 10)
    partly = replace(truth, is_valid=np.arange(10) >= 4)
    assert hand_errors(partly, truth).frames.tolist() == [4, 5, 6, 7, 8, 9]
    assert hand_errors(partly, truth, np.arange(10) % 2 == 0).frames.tolist() == [4, 6, 8]
    assert len(HandErrors.concatenated([hand_errors(truth, truth)] * 3).wrist_m) == 30
    with pytest.raises(BadInput, match="compared"):
        hand_errors(replace(truth, side="left"), truth)


def test_summaries_have_medians_counts_and_intervals_that_cover_the_truth():
    rng = np.random.default_rng(0)
    summary = summarise(np.r_[rng.normal(3, 1, 900), np.nan])
    assert summary.n == 900 and summary.ci95[0] < 3 < summary.ci95[1] and summary.ci95[1] - summary.ci95[0] < 0.3
    clips = np.repeat(np.arange(6), 100)
    alike = clips.astype(float) + rng.normal(0, 0.01, 600)
    by_clip, by_frame = summarise(alike, clips), summarise(alike, block=1)
    width = [high - low for low, high in (by_clip.ci95, by_frame.ci95)]
    assert width[0] > 1.5 > width[1]  # control: frames of one clip are not independent
    assert summarise(np.array([np.nan])).n == 0 and np.isnan(summarise(np.array([np.nan])).median)
    assert summarise(alike, clips) == by_clip


def test_rates_count_found_swapped_and_false_hands():
    _, left = hand_motion(1, 10, "left")
    _, right = hand_motion(2, 10, "right")
    truth = np.stack([project(K_PX, left.joints_cam) - [150, 0], project(K_PX, right.joints_cam) + [150, 0]])
    visible = np.ones((2, 10), bool)
    perfect = detection_rates(truth, truth, visible)
    assert perfect.found_rate == perfect.identity_rate == perfect.track_identity_rate == 1 and perfect.false == 0
    swapped = detection_rates(truth[::-1], truth, visible)
    assert swapped.found_rate == 1 and swapped.identity_rate == 0 and swapped.track_identity_rate == 0
    half = truth.copy()
    half[0, :5] = np.nan
    half[1, 5:] += 1000
    counts = detection_rates(half, truth, visible)
    assert (counts.visible, counts.found, counts.estimates, counts.false) == (20, 10, 15, 5)
    hidden = detection_rates(half, truth, np.zeros((2, 10), bool))
    assert hidden.visible == 0 and hidden.false == 5 and np.isnan(hidden.found_rate)
    total = counts + perfect
    assert total.visible == 40 and total.tracks == counts.tracks + 2
    nothing = detection_rates(np.full_like(truth, np.nan), truth, visible)
    assert nothing.found_rate == 0 and nothing.estimates == 0 and np.isnan(nothing.track_identity_rate)


def test_rank_correlation_sees_order_alone():
    error = np.array([1.0, 2.0, 4.0, 8.0, np.nan])
    assert rank_correlation(1 / error, error) == pytest.approx(-1.0)
    assert rank_correlation(np.exp(error), error) == pytest.approx(1.0)
    mixed = rank_correlation(np.array([1.0, 2.0, 4.0, 3.0]), np.array([1.0, 2.0, 3.0, 4.0]))
    assert mixed == pytest.approx(0.8)  # 1 - 6 * 2 / (4 * 15)
    assert np.isnan(rank_correlation(np.ones(5), error)) and np.isnan(rank_correlation(error[:2], error[:2]))


def test_confidence_travels_with_the_errors():
    _, truth = hand_motion(0, 6)
    doubtful = replace(truth, confidence=np.linspace(0, 1, 6), is_valid=np.arange(6) % 2 == 0)
    np.testing.assert_allclose(hand_errors(doubtful, truth).confidence, [0.0, 0.4, 0.8])
