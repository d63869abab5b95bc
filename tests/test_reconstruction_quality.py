"""Quality figures in closed form, and warnings that say why."""

from dataclasses import replace

import numpy as np
from reconstruction_motions import K_PX, hand_motion, moving_camera

from vitra_lib.contracts import HandTrack
from vitra_lib.geometry.cameras import project
from vitra_lib.reconstruction.identity import HandDetections
from vitra_lib.reconstruction.quality import THRESHOLDS, quality_figures, quality_warnings


def detected(hand: HandTrack, shift_px: float = 0.0) -> HandDetections:
    uv = project(K_PX, hand.joints_cam)
    uv[..., 0] += shift_px
    time = len(hand)
    return HandDetections(hand.side, uv, np.zeros((time, 21, 3)), np.full(time, 0.9), hand.is_valid.copy())


def figures(right: HandTrack, left: HandTrack, shift_px: float = 0.0) -> dict[str, float]:
    times = np.arange(len(right)) / 30
    both = {"left": left, "right": right}
    points = {side: detected(hand, shift_px) for side, hand in both.items()}
    return quality_figures(moving_camera(times), both, points, times, {"camera_points": 120.0})


def test_figures_of_a_known_track():
    _, right = hand_motion(0, 60)
    valid, observed = np.ones(60, bool), np.ones(60, bool)
    valid[30:40] = False
    observed[10:15] = False
    right = replace(right, is_valid=valid, is_observed=observed & valid)
    found = figures(right, HandTrack.absent("left", 60), shift_px=8.0)
    assert found["right_coverage"] == found["coverage_any"] == 50 / 60 and found["left_coverage"] == 0
    assert found["right_filled_fraction"] == 5 / 50 and found["right_track_count"] == 2
    np.testing.assert_allclose(found["right_longest_s"], 1.0)
    np.testing.assert_allclose(found["time_s"], 2.0)
    hand_px = 400 * np.linalg.norm(right.joints_cam[:, 9] - right.joints_cam[:, 0], axis=-1) / right.joints_cam[:, 0, 2]
    np.testing.assert_allclose(found["right_reprojection_rel"], np.median(8.0 / hand_px[valid & observed]), rtol=1e-9)
    assert found["camera_points"] == 120.0 and found["camera_coverage"] == 1.0
    assert np.isnan(found["left_jitter_m"]) and np.isnan(found["hands_same_place"])
    assert all(isinstance(value, float) for value in found.values())


def test_a_steady_hand_has_no_jitter_and_a_trembling_one_has():
    _, right = hand_motion(0, 60)
    times = np.arange(60) / 30
    camera = moving_camera(times)
    still = replace(right, t_cam_wrist=camera.T_cam_world[:, :3, 3] + camera.T_cam_world[:, :3, 2] * 0.5)
    shaking = replace(still, t_cam_wrist=still.t_cam_wrist + 0.01 * (-1.0) ** np.arange(60)[:, None] * [1, 0, 0])
    left = HandTrack.absent("left", 60)
    assert figures(still, left)["right_jitter_m"] < 1e-12
    np.testing.assert_allclose(figures(shaking, left)["right_jitter_m"], 0.02, rtol=0.02)


def test_one_hand_tracked_twice_is_noticed():
    _, right = hand_motion(0, 60)
    found = figures(right, replace(right, side="left"))
    assert found["hands_same_place"] == 1.0
    assert any("both hands" in sentence for sentence in quality_warnings(found))


def test_warnings_speak_of_poor_figures_only():
    good = {"right_reprojection_rel": 0.1, "right_filled_fraction": 0.1, "right_longest_s": 4.0, "camera_coverage": 1.0}
    assert quality_warnings(good) == ()
    assert quality_warnings({"left_reprojection_rel": float("nan"), "left_coverage": 0.0}) == ()
    poor = quality_warnings(good | {"right_reprojection_rel": 0.5, "right_longest_s": 0.3})
    assert len(poor) == 2 and poor[0].startswith("right_reprojection_rel = 0.5, above 0.35: ")
    for threshold in (t for t in THRESHOLDS if t.of == "clip"):
        at_limit = {threshold.figure: threshold.limit}
        assert quality_warnings(at_limit) == (), threshold.figure
