"""The clip fit: gradient, exactness on clean input, gains over the closed form under noise, mirror, gaps, refusals."""

from dataclasses import replace

import numpy as np
import pytest
from reconstruction_motions import K_PX, hand_motion, observed
from scipy.special import ndtr

from vitra_lib.contracts import HandTrack
from vitra_lib.core.errors import BadInput
from vitra_lib.evaluation.hands import hand_errors
from vitra_lib.geometry.cameras import rays
from vitra_lib.hands.grasps import within_limits
from vitra_lib.hands.kinematics import FingerDofs, rest_chains
from vitra_lib.hands.mirror import mirror_points, mirror_rotation
from vitra_lib.hands.model import load_hand_model
from vitra_lib.reconstruction import fit
from vitra_lib.reconstruction.clip_solver import ClipEvidence, ClipSolver, ClipState
from vitra_lib.reconstruction.fit import FitConfig, fit_hand, reprojection_rel
from vitra_lib.reconstruction.identity import HandDetections
from vitra_lib.reconstruction.lifter import LiftedHand


@pytest.fixture(scope="module")
def model():
    return load_hand_model()


EXACT = FitConfig(iterations=40, stop_at=1e-9)


def fitted(
    truth: HandTrack, times: np.ndarray, seed: int, config: FitConfig | None = None, size: float = 1.0
) -> HandTrack:
    lifted, detections = observed(truth, seed, size)
    return fit_hand(truth.side, lifted, detections, K_PX, times, load_hand_model(), config)


def trembling(track: HandTrack) -> float:
    return float(np.median(np.linalg.norm(np.diff(track.t_cam_wrist, 2, axis=0), axis=-1)))


@pytest.mark.parametrize("dofs", [FingerDofs.anatomical(), FingerDofs.euler_box()], ids=["27 unknowns", "51 unknowns"])
def test_the_gradient_is_the_derivative_of_the_cost(model, dofs):
    times, truth = hand_motion(0, 5)
    lifted, detections = observed(truth, 0)
    chains = rest_chains(model, np.zeros(10))
    xy = rays(K_PX, detections.keypoints_px)[..., :2]
    linked = np.array([True, True, True, False])
    evidence = ClipEvidence(xy, np.full((5, 21), 0.01), lifted.joints_cam, lifted.sigma_m, times, linked)
    solver = ClipSolver(chains, dofs, evidence, fit._weights(FitConfig(), chains))
    angles = np.random.default_rng(0).uniform(dofs.lower - 0.1, dofs.upper + 0.1, (5, 15, 3)) * dofs.is_free
    state = ClipState(truth.R_cam_wrist, truth.t_cam_wrist, angles)
    descent = solver._system(state)[4]
    assert solver.size == 6 + dofs.is_free.sum()
    for frame, unknown in np.ndindex(5, solver.size):
        step = np.zeros_like(descent)
        step[frame, unknown] = 1e-6
        slope = (solver.cost(solver._moved(state, step)) - solver.cost(solver._moved(state, -step))) / 2e-6
        assert abs(slope + descent[frame, unknown]) < 1e-5 * np.abs(descent).max()


def test_the_solver_never_gets_worse_and_moves_on_a_hard_start(model):
    times, truth = hand_motion(1, 20)
    lifted, detections = observed(truth, 1)
    chains = rest_chains(model, np.zeros(10))
    xy = rays(K_PX, detections.keypoints_px)[..., :2]
    evidence = ClipEvidence(xy, np.full((20, 21), 0.01), lifted.joints_cam, lifted.sigma_m, times, np.ones(19, bool))
    solver = ClipSolver(chains, FingerDofs.anatomical(), evidence, fit._weights(FitConfig(), chains))
    start = ClipState(truth.R_cam_wrist, truth.t_cam_wrist + [0, 0, 0.3], np.zeros((20, 15, 3)))
    assert solver.cost(solver.solve(start)) < 0.3 * solver.cost(start)


@pytest.mark.parametrize("side", ["left", "right"])
def test_clean_input_gives_the_truth(side):
    times, truth = hand_motion(2, 90, side)
    found = fitted(truth, times, 2, size=0.0)
    errors = hand_errors(found, truth)
    assert found.is_valid.all() and found.is_observed.all() and found.hand_model == "standin"
    assert np.median(errors.wrist_m) < 0.003 and np.rad2deg(np.median(errors.rotation_rad)) < 3.5
    assert np.median(errors.root_aligned_m) < 0.004
    assert within_limits(found.R_parent_joint, 1e-6) and np.median(found.confidence) > 0.45


@pytest.mark.parametrize("side", ["left", "right"])
def test_refinement_beats_the_closed_form_under_noise(side):
    times, truth = hand_motion(3, 180, side)
    refined, closed = fitted(truth, times, 3), fitted(truth, times, 3, FitConfig(iterations=0))
    ours, control = hand_errors(refined, truth), hand_errors(closed, truth)
    assert np.median(ours.rotation_rad) < 0.75 * np.median(control.rotation_rad)
    assert np.median(ours.root_aligned_m) < 0.75 * np.median(control.root_aligned_m)
    assert np.median(ours.wrist_m) < 1.1 * np.median(control.wrist_m)  # the lifter's depth is not given away
    assert trembling(refined) < 0.3 * trembling(closed)
    assert np.median(control.rotation_rad) > np.deg2rad(10)


def test_a_detector_that_sees_hands_too_small_does_not_push_them_away():
    times, truth = hand_motion(4, 90)
    lifted, detections = observed(truth, 4, 0.0)
    uv = detections.keypoints_px
    centre = uv.mean(axis=1, keepdims=True)
    small = replace(detections, keypoints_px=centre + 0.8 * (uv - centre))
    depth = [
        np.median(hand_errors(fit_hand("right", lifted, small, K_PX, times, load_hand_model(), config), truth).depth_m)
        for config in (FitConfig(), FitConfig(scale_std=1e-3, point_std=0.05, depth_std_share=2.0))
    ]
    assert abs(depth[0]) < 0.02 < 0.05 < depth[1]  # control: believing the size moves the hand by centimetres


def test_a_left_hand_is_the_mirror_of_a_right_one():
    times, truth = hand_motion(5, 40)
    lifted, detections = observed(truth, 5)
    uv = detections.keypoints_px.copy()
    uv[..., 0] = 2 * K_PX[0, 2] - uv[..., 0]
    right = fit_hand("right", lifted, detections, K_PX, times, load_hand_model())
    left = fit_hand(
        "left",
        LiftedHand("left", mirror_points(lifted.joints_cam), lifted.sigma_m, lifted.error_m, lifted.is_valid),
        HandDetections("left", uv, detections.world_landmarks_m, detections.score, detections.is_detected),
        K_PX,
        times,
        load_hand_model(),
    )
    np.testing.assert_allclose(left.R_parent_joint, right.R_parent_joint, atol=1e-6)
    np.testing.assert_allclose(left.R_cam_wrist, mirror_rotation(right.R_cam_wrist), atol=1e-6)
    np.testing.assert_allclose(left.joints_cam, mirror_points(right.joints_cam), atol=1e-6)


def test_unseen_frames_stay_invalid_and_far_runs_do_not_touch_each_other():
    times, truth = hand_motion(6, 80)
    lifted, detections = observed(truth, 6)
    seen = np.ones(80, bool)
    seen[30:45] = False
    keypoints = detections.keypoints_px.copy()
    keypoints[~seen] = np.nan
    gapped = replace(detections, keypoints_px=keypoints, is_detected=seen)
    both = fit_hand("right", lifted, gapped, K_PX, times, load_hand_model())
    assert both.is_valid.tolist() == seen.tolist() and np.isnan(both.joints_cam[35]).all() and both.confidence[35] == 0
    parts = []
    for rows in (slice(0, 30), slice(45, 80)):
        arrays = (lifted.joints_cam, lifted.sigma_m, lifted.error_m, lifted.is_valid)
        part = LiftedHand("right", *(array[rows] for array in arrays))
        points = HandDetections(
            "right", keypoints[rows], detections.world_landmarks_m[rows], detections.score[rows], seen[rows]
        )
        parts.append(fit_hand("right", part, points, K_PX, times[rows], load_hand_model(), EXACT))
    exact = fit_hand("right", lifted, gapped, K_PX, times, load_hand_model(), EXACT)
    np.testing.assert_allclose(exact.t_cam_wrist[seen], np.concatenate([p.t_cam_wrist for p in parts]), atol=5e-4)
    tied = fit_hand("right", lifted, gapped, K_PX, times, load_hand_model(), replace(EXACT, max_gap_s=1.0))
    assert np.abs(tied.t_cam_wrist[29] - exact.t_cam_wrist[29]).max() > 1e-3  # control: tied runs do


def test_chunks_of_a_long_clip_join_without_a_seam(monkeypatch):
    times, truth = hand_motion(7, 120)
    whole = fitted(truth, times, 7)
    monkeypatch.setattr(fit, "_CHUNK_FRAMES", 50)
    pieces = fitted(truth, times, 7)
    assert np.abs(whole.t_cam_wrist - pieces.t_cam_wrist).max() < 0.005


def test_confidence_falls_with_reprojection_and_with_the_expected_error():
    times, truth = hand_motion(8, 30)
    lifted, detections = observed(truth, 8, 0.3)
    sure = fit_hand("right", lifted, detections, K_PX, times, load_hand_model())
    unsure = fit_hand("right", replace(lifted, error_m=lifted.error_m * 5), detections, K_PX, times, load_hand_model())
    shuffled = replace(detections, keypoints_px=detections.keypoints_px[:, ::-1])
    wrong = fit_hand("right", lifted, shuffled, K_PX, times, load_hand_model())
    assert sure.confidence.min() >= 0 and sure.confidence.max() <= 1
    assert np.median(unsure.confidence) < 0.6 * np.median(sure.confidence)
    assert np.median(wrong.confidence) < 0.5 * np.median(sure.confidence)
    # where the residual is the usual one, an expected error of `good_error_m` is as likely exceeded as not
    config = FitConfig()
    even = replace(lifted, error_m=np.full(30, config.good_error_m))
    found = fit_hand("right", even, detections, K_PX, times, load_hand_model(), config)
    missed = reprojection_rel(found.joints_cam, detections.keypoints_px, K_PX)
    usual = np.argmin(np.abs(missed - config.usual_reprojection))
    nearest = (missed[usual] / config.usual_reprojection) ** (-config.reprojection_power)
    np.testing.assert_allclose(found.confidence[usual], ndtr(np.log(nearest) / config.error_spread), atol=0.01)
    endless = replace(lifted, error_m=np.full(30, np.inf))
    unknown = fit_hand("right", endless, detections, K_PX, times, load_hand_model())
    assert (unknown.confidence == 0).all()
    assert np.median(reprojection_rel(truth.joints_cam, detections.keypoints_px, K_PX)) < 0.06


def test_nothing_seen_gives_an_absent_hand_and_one_frame_is_enough():
    times, truth = hand_motion(9, 5)
    lifted, detections = observed(truth, 9)
    nothing = replace(detections, is_detected=np.zeros(5, bool))
    assert not fit_hand("right", lifted, nothing, K_PX, times, load_hand_model()).is_valid.any()
    one = replace(detections, is_detected=np.arange(5) == 2)
    assert fit_hand("right", lifted, one, K_PX, times, load_hand_model()).is_valid.sum() == 1


def test_bad_input_is_refused():
    times, truth = hand_motion(10, 5)
    lifted, detections = observed(truth, 10)
    with pytest.raises(BadInput, match="same frames"):
        fit_hand("right", lifted, detections, K_PX, times[:4], load_hand_model())
    with pytest.raises(BadInput, match="left hand"):
        fit_hand("left", lifted, detections, K_PX, times, load_hand_model())
    with pytest.raises(BadInput, match="point_std"):
        FitConfig(point_std=0.0)
    with pytest.raises(BadInput, match="10 numbers"):
        FitConfig(betas=(1.0,))
