"""What the notebooks of the tour stand on: inputs, truth, comparisons without truth, the naive lifter, pictures."""

import io
import shutil
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
from PIL import Image

from vitra_lib.core.errors import BadInput, BadVideo, MissingAsset, UnknownName
from vitra_lib.core.paths import sample_folder, sample_video
from vitra_lib.evaluation.one_clip import (
    boundaries_on_truth,
    clip_boundaries,
    clip_errors,
    true_boundaries,
    true_captions,
    true_joints_cam,
    wrist_errors,
)
from vitra_lib.geometry.cameras import project
from vitra_lib.hands.anthropometry import rest_joints
from vitra_lib.pipeline import reconstruction_of
from vitra_lib.plotting import (
    axes_picture,
    contact_picture,
    plot_against_truth,
    plot_boundaries,
    plot_chunk_masks,
    plot_hands_side_on,
    plot_replay,
    plot_seen,
    plot_series,
    plot_window,
)
from vitra_lib.reconstruction.identity import HandDetections
from vitra_lib.reconstruction.naive import lift_naively
from vitra_lib.reconstruction.store import load_reconstruction, save_reconstruction
from vitra_lib.runs.runner import RunPlan, run_notebook
from vitra_lib.runs.tables import table
from vitra_lib.runs.tour import busier_hand, clearest_frame, frames_of, tour_inputs, truth_of
from vitra_lib.tabletop.clip import TabletopClip

NAN = float("nan")


@pytest.fixture(scope="module")
def clip() -> TabletopClip:
    return TabletopClip.load(sample_folder())


def test_the_sample_comes_with_its_truth() -> None:
    inputs = tour_inputs("tiny")
    assert inputs.video == sample_video() and inputs.truth is not None and inputs.true_tracks is not None
    assert inputs.work.name == inputs.dataset.name + ".work" and inputs.work.parent == inputs.dataset.parent
    assert "known exactly" in inputs.about_truth


def test_truth_belongs_to_one_file_only(tmp_path: Path) -> None:
    for name in ("truth.json", "truth.npz", "sample.mp4"):
        shutil.copy(sample_folder() / name, tmp_path / name)
    assert truth_of(tmp_path / "sample.mp4") is not None
    (tmp_path / "truth.json").write_text('{"is": "something else"}')
    assert truth_of(tmp_path / "sample.mp4") is None
    shutil.copy(sample_folder() / "truth.json", tmp_path / "truth.json")
    shutil.copy(tmp_path / "sample.mp4", tmp_path / "other.mp4")
    assert truth_of(tmp_path / "other.mp4") is None
    (tmp_path / "sample.mp4").write_bytes((tmp_path / "sample.mp4").read_bytes() + b"x")
    assert truth_of(tmp_path / "sample.mp4") is None
    alone = tmp_path / "alone" / "a.mp4"
    alone.parent.mkdir()
    shutil.copy(sample_video(), alone)
    inputs = tour_inputs("tiny", str(alone))
    assert inputs.truth is None and "–" in inputs.about_truth
    assert inputs.dataset.parent != tour_inputs("tiny").dataset.parent


def test_bad_parameters_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="tiny, small, paper"):
        tour_inputs("huge")
    with pytest.raises(MissingAsset, match="HaWoR"):
        tour_inputs("paper")
    (tmp_path / "no.mp4").write_text("text")
    with pytest.raises(BadVideo):
        tour_inputs("tiny", str(tmp_path / "no.mp4"))


def test_a_perfect_reconstruction_has_no_error_and_a_shifted_one_has_it(clip: TabletopClip) -> None:
    perfect = clip_errors(clip, clip.truth)
    assert perfect.wrist_m.median == 0 and perfect.ate_m < 1e-12 and abs(perfect.scale - 1) < 1e-12
    assert perfect.found == 1.0 and perfect.visible == sum(clip.truth.hand(s).is_valid.sum() for s in ("left", "right"))
    shifted = replace(
        clip.truth, right=replace(clip.truth.right, t_cam_wrist=clip.truth.right.t_cam_wrist + [0, 0, 0.1])
    )
    errors = clip_errors(clip, shifted)
    assert np.allclose(errors.by_side["right"].wrist_m, 0.1) and np.allclose(errors.by_side["left"].wrist_m, 0)


def test_without_truth_every_figure_is_missing_and_none_is_zero(clip: TabletopClip) -> None:
    errors = clip_errors(None, clip.truth)
    figures = (errors.wrist_m.median, errors.rotation_rad.median, errors.ate_m, errors.found, errors.scale)
    assert np.isnan(figures).all() and errors.visible == errors.frames == 0
    assert np.isnan(wrist_errors(None, "left", clip.truth.left.joints_cam)).all()
    assert np.isnan(true_joints_cam(None, "left", 7)).all()
    assert np.isnan(clip_boundaries(None, clip.segments).f1) and np.isnan(boundaries_on_truth(None).f1)
    assert len(true_boundaries(None, "left")) == 0 and true_captions(None, clip.segments[0]) == ""


def test_true_boundaries_and_captions_are_those_of_the_clip(clip: TabletopClip) -> None:
    assert clip_boundaries(clip, clip.segments).f1 == 1.0
    assert clip_boundaries(clip, ()).f1 == 0.0  # control: no boundary found
    for caption in clip.captions:
        assert true_captions(clip, caption.segment) == (caption.text or "(idle)")
    starts = [s.start for s in clip.segments if s.side == "right"]
    assert true_boundaries(clip, "right").tolist() == sorted(starts)[1:]


def detections(clip: TabletopClip, side: str, tilt: np.ndarray | None = None) -> HandDetections:
    """Exact landmarks of the truth; the 3-D guess is the true hand, turned by `tilt` if given."""
    hand = clip.truth.hand(side)
    seen = hand.is_valid
    guess = hand.joints_cam - hand.joints_cam.mean(axis=1, keepdims=True)
    ray = hand.joints_cam[:, 0] / np.linalg.norm(hand.joints_cam[:, 0], axis=1, keepdims=True)
    # "as if the hand were at the image centre": turn the viewing ray onto +z
    axis = np.cross(ray, [0.0, 0.0, 1.0])
    skew = np.zeros((len(ray), 3, 3))
    skew[:, 0, 1], skew[:, 0, 2], skew[:, 1, 2] = -axis[:, 2], axis[:, 1], -axis[:, 0]
    skew -= np.swapaxes(skew, 1, 2)
    turn = np.eye(3) + skew + skew @ skew / (1 + ray[:, 2])[:, None, None]
    guess = guess @ np.swapaxes(turn, 1, 2)
    if tilt is not None:
        guess = guess @ tilt.T
    px = np.where(seen[:, None, None], project(clip.truth.camera.K_px, hand.joints_cam), np.nan)
    return HandDetections(side, px, np.where(seen[:, None, None], guess, np.nan), seen * 1.0, seen)


@pytest.mark.parametrize("side", ["left", "right"])
def test_naive_lifting_is_right_for_a_right_guess_and_far_off_for_a_tilted_one(clip: TabletopClip, side: str) -> None:
    truth = clip.truth.hand(side).joints_cam
    K_px = clip.truth.camera.K_px

    def relative_error(lifted: np.ndarray) -> float:
        return float(np.nanmedian(np.linalg.norm(lifted[:, 0] - truth[:, 0], axis=1) / truth[:, 0, 2]))

    exact = lift_naively(detections(clip, side), K_px)
    assert exact.is_valid.tolist() == clip.truth.hand(side).is_valid.tolist()
    # an average palm instead of this clip's own, and a ray through the palm instead of the wrist
    assert relative_error(exact.joints_cam) < 0.05
    cosine, sine = np.cos(-0.9), np.sin(-0.9)
    tilt = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    assert relative_error(lift_naively(detections(clip, side, tilt), K_px).joints_cam) > 0.2
    assert rest_joints().shape == (21, 3)


def test_naive_lifting_of_a_hand_that_is_never_seen_is_empty(clip: TabletopClip) -> None:
    never = detections(clip, "right")
    never = replace(never, is_detected=np.zeros_like(never.is_detected))
    assert not lift_naively(never, clip.truth.camera.K_px).is_valid.any()


def test_the_first_stage_is_computed_once(tmp_path: Path, clip: TabletopClip, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr("vitra_lib.pipeline.video_stages.reconstruct", lambda *_, **__: calls.append(1) or clip.truth)
    first = reconstruction_of(sample_video(), tmp_path / "work")
    again = reconstruction_of(sample_video(), tmp_path / "work")
    assert calls == [1] and np.array_equal(first.right.joints_cam, again.right.joints_cam, equal_nan=True)
    save_reconstruction(first, tmp_path / "a.npz")
    assert len(load_reconstruction(tmp_path / "a.npz")) == len(clip)


def test_views_are_chosen_by_meaning(clip: TabletopClip) -> None:
    truth = clip.truth
    still = replace(truth, left=replace(truth.left, is_valid=np.zeros(len(truth), bool)))
    assert busier_hand(still) == "right"
    frame = clearest_frame(truth)
    for side in ("left", "right"):
        u, v = project(truth.camera.K_px, truth.hand(side).t_cam_wrist[frame])
        assert 0 < u < truth.camera.width_px and 0 < v < truth.camera.height_px
    shapes = [image.shape for image in frames_of(tour_inputs("tiny"), truth, 120)([0, 5])]
    assert shapes == [(120, 160, 3)] * 2


def test_tables_show_missing_values_as_dashes_and_escape_text() -> None:
    shown = table(["what", "value"], [("<b>", NAN), ("x", 1.23456), ("y", None), ("z", 3)])
    assert shown.rows == (("<b>", "–"), ("x", "1.235"), ("y", "–"), ("z", "3"))
    assert "&lt;b&gt;" in shown._repr_html_() and "<b>" not in shown._repr_html_()
    assert repr(shown).splitlines()[0].split() == ["what", "value"]


def test_pictures_are_jpeg_of_the_size_asked_for(clip: TabletopClip) -> None:
    images = frames_of(tour_inputs("tiny"), clip.truth, 120)([0, 30, 60])
    picture = contact_picture(images, ["a", "b", "c"], columns=2, width_px=400)
    with Image.open(io.BytesIO(picture._repr_jpeg_())) as jpeg:
        assert jpeg.format == "JPEG" and 390 <= jpeg.width <= 400 and jpeg.height > 250
    with pytest.raises(BadInput):
        contact_picture([])
    with pytest.raises(BadInput):
        contact_picture(images, ["only one"])
    T = np.eye(4)
    T[2, 3] = 0.5
    K = np.array([[130.0, 0, 80], [0, 130, 60], [0, 0, 1]])
    drawn = axes_picture(images[0], K, {"near": T, "behind": -T}, width_px=320).image
    blank = axes_picture(images[0], K, {}, width_px=320).image
    assert drawn.shape == blank.shape and (drawn != blank).any(axis=2)[100:140, 150:220].any()


def test_figures_draw_what_they_are_given(clip: TabletopClip) -> None:
    truth, times = clip.truth, clip.truth.time_s
    nothing = np.full(len(times), np.nan)
    ax = plot_series(times, {"truth": times, "control": nothing}, "x [m]")
    assert [line.get_label() for line in ax.lines] == ["truth"] and ax.get_ylabel() == "x [m]"
    ax = plot_seen(times, {"a": truth.right.is_valid, "b": np.zeros(len(times), bool)})
    assert len(ax.collections) == 2
    ax = plot_boundaries(times, {"truth": np.array([30, 60]), "rule": np.zeros(0, int)})
    assert len(ax.patches) == 2
    assert plot_window(times, times, 50, 0.5).lines
    shown = {"naive": truth.right.joints_cam[0], "unknown": np.full((21, 3), np.nan)}
    assert len(plot_hands_side_on(shown, {"naive": "control", "unknown": "ours"}).lines) == 21
    with_truth, alone = plot_against_truth(truth, truth), plot_against_truth(truth, None)
    assert sum(len(ax.lines) for ax in with_truth.axes) == 2 * sum(len(ax.lines) for ax in alone.axes)
    assert len(plot_replay(truth.t_world_wrist("right")[:9], truth.t_world_wrist("right")[:9]).axes) == 3
    assert len(plot_chunk_masks({"a": np.ones((16, 2), bool)}).axes[0].collections) == 32
    plt.close("all")


def test_a_notebook_shows_every_figure_not_only_the_first(tmp_path: Path) -> None:
    """The inline backend is loaded inside the house style, which must not switch "interactive" off again."""
    source = "from vitra_lib.plotting.style import new_axes\nnew_axes();"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for _ in range(3)])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.metadata["language_info"] = {"name": "python"}
    nbformat.write(notebook, tmp_path / "figures.ipynb")
    executed = run_notebook(tmp_path / "figures.ipynb", RunPlan(tmp_path / "out")).executed
    shown = [cell.outputs for cell in nbformat.read(executed, as_version=4).cells]
    assert [len(outputs) for outputs in shown] == [1, 1, 1]
    assert all("image/png" in outputs[0].data for outputs in shown)
