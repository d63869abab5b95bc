"""The arithmetic of the accuracy figures: truth against itself is perfect, a known change shows as what it is."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vitra_lib.contracts import Reconstruction
from vitra_lib.contracts.hand_track import SIDES
from vitra_lib.core.errors import BadInput, RefusedClip
from vitra_lib.core.paths import sample_folder
from vitra_lib.evaluation import world_run
from vitra_lib.evaluation.accuracy import boundary_score, landmark_floor, pool, score_refused_clip, score_world_clip
from vitra_lib.evaluation.world_run import world_accuracy
from vitra_lib.geometry import rotations
from vitra_lib.geometry.cameras import project
from vitra_lib.tabletop.clip import TabletopClip
from vitra_lib.tabletop.config import ClipConfig


@pytest.fixture(scope="module")
def clip() -> TabletopClip:
    return TabletopClip.load(sample_folder())


def figures(scores: list) -> dict[str, float]:
    return {figure.name: figure.value for figure in pool(scores)}


def changed(truth: Reconstruction, shift: np.ndarray, turn: np.ndarray) -> Reconstruction:
    """Both hands moved by `shift` [m] and turned by `turn` [rad] about their wrists, in the camera."""
    R = rotations.exp(turn)
    hands = {}
    for side in SIDES:
        hand = truth.hand(side)
        wrist = hand.t_cam_wrist[:, None]
        joints = (hand.joints_cam - wrist) @ R.T + wrist + shift
        moved = {"t_cam_wrist": hand.t_cam_wrist + shift, "R_cam_wrist": R @ hand.R_cam_wrist, "joints_cam": joints}
        hands[side] = replace(hand, **moved)
    return replace(truth, **hands)


def test_truth_against_itself_is_perfect(clip: TabletopClip) -> None:
    found = figures([score_world_clip(clip, clip.truth)])
    for name in ("visible hands found", "identity right, by track", "identity right, by frame"):
        assert found[name] == 1.0
    for name in ("clips refused", "false hands", "wrist position in camera", "metric scale error of the path"):
        assert found[name] == pytest.approx(0.0, abs=1e-9), name
    assert found["wrist rotation"] == pytest.approx(0.0, abs=1e-5)
    assert found["camera path after similarity alignment (ATE)"] == pytest.approx(0.0, abs=1e-9)
    assert boundary_score(clip, clip.segments).f1 == 1.0
    assert boundary_score(clip, ()).f1 == 0.0  # the control


def test_a_known_change_shows_as_what_it_is(clip: TabletopClip) -> None:
    ours = changed(clip.truth, np.array([0.03, 0.0, 0.04]), np.array([0.0, np.deg2rad(20.0), 0.0]))
    found = figures([score_world_clip(clip, ours)])
    assert found["wrist position in camera"] == pytest.approx(5.0)
    assert found["wrist rotation"] == pytest.approx(20.0)
    only_moved = figures([score_world_clip(clip, changed(clip.truth, np.array([0.05, 0, 0]), np.zeros(3)))])
    assert only_moved["root-aligned joints"] < 1e-6 < 1.0 < found["root-aligned joints"]


def test_the_scale_of_the_path_is_measured_and_does_not_count_as_path_error(clip: TabletopClip) -> None:
    T = clip.truth.camera.T_world_cam.copy()
    T[:, :3, 3] *= 1.25
    found = figures([score_world_clip(clip, replace(clip.truth, camera=replace(clip.truth.camera, T_world_cam=T)))])
    assert found["metric scale error of the path"] == pytest.approx(0.25)
    assert found["camera path after similarity alignment (ATE)"] == pytest.approx(0.0, abs=1e-9)


def test_a_refused_clip_counts_as_missed(clip: TabletopClip) -> None:
    good, refused = score_world_clip(clip, clip.truth), score_refused_clip(clip, "too dark")
    found = figures([good, refused])
    assert found["clips refused"] == 1 and found["visible hands found"] == pytest.approx(0.5)
    assert (
        found["boundary F1 at 5 frames, reconstructed tracks"]
        < figures([good])["boundary F1 at 5 frames, reconstructed tracks"]
    )
    assert np.isfinite(found["wrist position in camera"])
    with pytest.raises(RefusedClip, match="too dark"):
        pool([refused, refused])


def test_clips_are_pooled_and_workers_checked(
    clip: TabletopClip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadInput, match="workers"):
        world_accuracy([ClipConfig()], tmp_path, workers=0)
    monkeypatch.setattr(world_run, "render_one", lambda config, out: sample_folder())
    monkeypatch.setattr(world_run, "reconstruct", lambda video, config: clip.truth)
    assert world_accuracy([ClipConfig(seed=1), ClipConfig(seed=2)], tmp_path)[1].value == 1.0


def test_a_folder_that_holds_something_else_shows_at_once(tmp_path: Path) -> None:
    (tmp_path / "train-000001").mkdir()
    with pytest.raises(BadInput, match="no finished clip"):
        world_accuracy([ClipConfig(seed=1)], tmp_path)


def test_landmarks_cost_nothing_where_they_are_right_and_their_error_where_not(clip: TabletopClip) -> None:
    hand, K_px = clip.truth.hand("right"), clip.truth.camera.K_px
    pixels = project(K_px, hand.joints_cam)
    used = hand.is_valid & np.isfinite(pixels).all(axis=(1, 2))
    np.testing.assert_allclose(landmark_floor(pixels, hand, K_px), 0.0, atol=1e-9)
    off = pixels.copy()
    off[:, 1:, 0] += 4.0  # all but the wrist, four pixels to the right
    expected = 20 / 21 * 4.0 / K_px[0, 0] * hand.joints_cam[used][:, 1:, 2].mean(axis=1)
    np.testing.assert_allclose(landmark_floor(off, hand, K_px), expected, rtol=1e-9)
