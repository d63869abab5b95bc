"""What a person should look at first is where something was broken, and it is shown once."""

from dataclasses import replace

import numpy as np
import pytest
from reconstruction_motions import K_PX, hand_motion, moving_camera

from vitra_lib.contracts import HandTrack, Reconstruction
from vitra_lib.geometry.cameras import project
from vitra_lib.reconstruction.identity import HandDetections
from vitra_lib.reconstruction.store import load_reconstruction, save_reconstruction
from vitra_lib.reconstruction.worst_moments import frame_figures, worst_moments


def good_clip(time: int = 120) -> tuple[Reconstruction, dict[str, HandDetections]]:
    times, right = hand_motion(0, time)
    right = replace(right, confidence=np.full(time, 0.9))
    camera, left = moving_camera(times), HandTrack.absent("left", time)
    detections = {}
    for hand in (left, right):
        uv = project(K_PX, hand.joints_cam)
        points = HandDetections(hand.side, uv, np.zeros((time, 21, 3)), np.full(time, 0.9), hand.is_valid.copy())
        detections[hand.side] = points
    return Reconstruction("clip.mp4", "", 30.0, np.arange(time), times, camera, left, right), detections


def measured(clip: Reconstruction, detections: dict[str, HandDetections]) -> Reconstruction:
    hands = {"left": clip.left, "right": clip.right}
    return replace(clip, frame_quality=frame_figures(clip.camera, hands, detections, clip.time_s))


def test_figures_of_every_frame_are_those_that_were_put_in():
    clip, detections = good_clip()
    shifted = detections["right"].keypoints_px.copy()
    shifted[50] += [30.0, 40.0]
    figures = measured(clip, detections | {"right": replace(detections["right"], keypoints_px=shifted)}).frame_quality
    assert figures["right_reprojection_px"][50] == pytest.approx(50.0)
    np.testing.assert_allclose(np.delete(figures["right_reprojection_px"], 50), 0, atol=1e-9)
    hand_px = 400 * np.linalg.norm(clip.right.joints_cam[50, 9] - clip.right.joints_cam[50, 0])
    expected = 50.0 * clip.right.joints_cam[50, 0, 2] / hand_px
    assert figures["right_reprojection_rel"][50] == pytest.approx(expected)
    assert np.isnan(figures["left_reprojection_px"]).all() and np.isnan(figures["left_jitter_m"]).all()
    assert np.isnan(figures["right_jitter_m"][[0, -1]]).all()


def test_planted_faults_are_ranked_and_a_good_clip_has_none():
    clip, detections = good_clip()
    assert not [m for m in worst_moments(measured(clip, detections)) if m.badness > 1], "control: nothing is wrong"
    shifted = detections["right"].keypoints_px.copy()
    shifted[20] += 400.0
    unsure = clip.right.confidence.copy()
    unsure[70:76] = [0.12, 0.12, 0.11, 0.1, 0.12, 0.12]
    known = clip.camera.is_valid.copy()
    known[110] = False
    broken = replace(clip, right=replace(clip.right, confidence=unsure), camera=replace(clip.camera, is_valid=known))
    found = worst_moments(measured(broken, detections | {"right": replace(detections["right"], keypoints_px=shifted)}))
    frames = [m.frame for m in found if m.badness > 1]
    assert frames == [20, 110, 73], "the worst first, and the stretch of doubt once, at its worst frame"
    assert "reprojection_rel" in found[0].reason and "camera" in found[1].reason and "confidence" in found[2].reason
    assert [m.badness for m in found] == sorted((m.badness for m in found), reverse=True)
    assert len(worst_moments(measured(broken, detections), count=1)) == 1


def test_two_hands_at_one_place_are_a_moment():
    clip, detections = good_clip()
    twin = replace(clip, left=replace(clip.right, side="left"))
    found = worst_moments(measured(twin, detections | {"left": replace(detections["right"], side="left")}), count=1)
    assert found[0].side == "" and "both wrists" in found[0].reason


def test_figures_of_frames_are_stored_with_the_tracks(tmp_path):
    clip, detections = good_clip(30)
    clip = measured(clip, detections)
    save_reconstruction(clip, tmp_path / "a.npz")
    again = load_reconstruction(tmp_path / "a.npz").frame_quality
    assert again.keys() == clip.frame_quality.keys()
    for name, values in clip.frame_quality.items():
        np.testing.assert_array_equal(again[name], values)
