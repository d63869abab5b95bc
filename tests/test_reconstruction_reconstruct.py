"""The whole of part 1 on a short clip with truth: figures, clips merged, intrinsics, refusals, and what is written."""

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from pipeline_clips import HEIGHT, WIDTH, hands_free_video, short_truth, short_video
from video_makers import turn_clockwise

from vitra_lib.contracts import Reconstruction
from vitra_lib.contracts.hand_track import SIDES
from vitra_lib.core.errors import BadInput, RefusedClip, UnknownName, WriteFailed
from vitra_lib.evaluation.trajectories import path_errors
from vitra_lib.reconstruction import outputs
from vitra_lib.reconstruction.backends import ReconstructConfig
from vitra_lib.reconstruction.outputs import check_folder, summary, write_outputs
from vitra_lib.reconstruction.reconstruct import reconstruct
from vitra_lib.reconstruction.store import load_reconstruction
from vitra_lib.video import VideoReader, VideoWriter, probe


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return short_video(tmp_path_factory.mktemp("short") / "short.mp4")


@pytest.fixture(scope="module")
def truth(video: Path) -> Reconstruction:
    return short_truth(video)


@pytest.fixture(scope="module")
def whole(video: Path, truth: Reconstruction) -> Reconstruction:
    return reconstruct(video, ReconstructConfig(hfov_rad=float(truth.camera.fov_rad[0])))


@pytest.fixture(scope="module")
def merged(video: Path, truth: Reconstruction) -> Reconstruction:
    config = ReconstructConfig(hfov_rad=float(truth.camera.fov_rad[0]), clip_s=1.6, overlap_s=0.7)
    return reconstruct(video, config)


def wrist_errors(ours: Reconstruction, other: Reconstruction) -> np.ndarray:
    """Distances of the wrists in the camera where both know them [m]."""
    parts = []
    for side in SIDES:
        a, b = ours.hand(side), other.hand(side)
        both = a.is_valid & b.is_valid
        parts.append(np.linalg.norm(a.t_cam_wrist[both] - b.t_cam_wrist[both], axis=1))
    return np.concatenate(parts)


def test_hands_and_camera_are_near_the_truth(whole: Reconstruction, truth: Reconstruction) -> None:
    assert len(whole) == len(truth) and whole.camera.is_valid.all()
    assert (whole.camera.width_px, whole.camera.height_px) == (WIDTH, HEIGHT)
    path = path_errors(whole.camera.T_world_cam, truth.camera.T_world_cam)
    still = path_errors(np.tile(np.eye(4), (len(truth), 1, 1)), truth.camera.T_world_cam)
    assert path.ate_m < 0.01 < still.ate_m  # the control: a camera that is said to stand still
    error, apart = wrist_errors(whole, truth), wrist_errors(whole, replace(truth, left=_moved(truth.left)))
    assert np.median(error) < 0.06 and len(error) > 1.5 * len(truth)
    assert np.median(error) < 0.5 * np.median(apart)


def _moved(hand):
    return replace(hand, t_cam_wrist=hand.t_cam_wrist + np.array([0.2, 0.0, 0.2]))


def test_two_clips_merged_agree_with_one(whole: Reconstruction, merged: Reconstruction) -> None:
    assert merged.camera.is_valid.all() and not [r for r in merged.rejections if r.reason == "world_restarted"]
    assert path_errors(merged.camera.T_world_cam, whole.camera.T_world_cam).ate_m < 0.01
    assert np.median(wrist_errors(merged, whole)) < 0.005
    for side in SIDES:
        assert (merged.hand(side).is_valid == whole.hand(side).is_valid).mean() > 0.9


def test_a_given_field_of_view_is_kept(merged: Reconstruction, truth: Reconstruction, whole: Reconstruction) -> None:
    for found in (merged, whole):
        assert found.camera.intrinsics_source == "given"
        np.testing.assert_allclose(found.camera.K_px, truth.camera.K_px, atol=0.6)


def test_a_camera_said_to_be_static_is(video: Path) -> None:
    with VideoReader(video) as reader, VideoWriter(video.with_name("cut.mp4"), 30, WIDTH, HEIGHT) as writer:
        for frame in reader.frames(0, 25):
            writer.write(frame.image)
    still = reconstruct(video.with_name("cut.mp4"), ReconstructConfig(camera="static"))
    assert still.camera.is_static and still.camera.method == "static"
    np.testing.assert_array_equal(still.camera.T_world_cam, np.tile(np.eye(4), (25, 1, 1)))


def test_an_upright_phone_video_and_uneven_times(video: Path, tmp_path: Path) -> None:
    """Stored lying, shown upright through its rotation metadata, and with a variable frame rate."""
    from vitra_lib.video.writer import EncoderConfig, Mp4Encoder

    path = tmp_path / "phone.mp4"
    ticks = np.cumsum([0, *([3, 2, 4] * 7)])
    with (
        VideoReader(video) as reader,
        Mp4Encoder(path, EncoderConfig(HEIGHT, WIDTH, Fraction(1, 90), Fraction(30))) as encoder,
    ):
        for frame, pts in zip(reader.frames(20, 20 + len(ticks)), ticks, strict=True):
            encoder.write(np.ascontiguousarray(np.rot90(frame.image)), int(pts), 3)  # turned left as stored
    turn_clockwise(path, 1)
    info = probe(path)
    assert (info.width_px, info.height_px, info.rotation_deg) == (WIDTH, HEIGHT, 90) and info.is_variable_rate
    phone = reconstruct(path)
    assert (phone.camera.width_px, phone.camera.height_px) == (WIDTH, HEIGHT)
    np.testing.assert_allclose(phone.time_s, ticks / 90, atol=1e-9)
    assert phone.left.is_valid.any() or phone.right.is_valid.any()
    assert phone.camera.intrinsics_source in ("self-calibration", "prior")


def test_refusals_say_why(tmp_path: Path) -> None:
    with pytest.raises(RefusedClip, match="No hand was seen in the 30 frames of bare.mp4"):
        reconstruct(hands_free_video(tmp_path / "bare.mp4"))
    with pytest.raises(RefusedClip, match="single frame"):
        reconstruct(hands_free_video(tmp_path / "one.mp4", frames=1))


def test_unknown_names_and_values_are_refused() -> None:
    for wrong in ({"hands": "x"}, {"camera": "x"}, {"hand_model": "x"}):
        with pytest.raises(UnknownName, match="legal are"):
            ReconstructConfig(**wrong)
    for wrong in ({"hfov_rad": 4.0}, {"overlap_s": 30.0}, {"max_clip_frames": 1}, {"working_long_side_px": 3}):
        with pytest.raises(BadInput):
            ReconstructConfig(**wrong)


def test_everything_is_written_and_reads_back(whole: Reconstruction, video: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("keep")
    paths = write_outputs(whole, video, tmp_path / "out")
    assert {"reconstruction.npz", "report.json", "overlay.mp4"} <= {path.name for path in paths}
    assert (tmp_path / "out" / "mine.txt").read_text() == "keep"
    again = load_reconstruction(tmp_path / "out" / "reconstruction.npz")
    np.testing.assert_array_equal(again.right.joints_cam, whole.right.joints_cam)
    assert probe(tmp_path / "out" / "overlay.mp4").frame_count == len(whole)
    report = json.loads((tmp_path / "out" / "report.json").read_text(), parse_constant=_no_constant)
    assert report["frames"] == len(whole) and report["hands"]["right"]["valid_frames"] > 0


def _no_constant(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


def test_infinite_and_missing_figures_become_null(whole: Reconstruction) -> None:
    strange = replace(whole, quality={"a": float("inf"), "b": float("nan"), "c": 1.0})
    assert summary(strange)["quality"] == {"a": None, "b": None, "c": 1.0}


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_an_interruption_leaves_nothing(
    whole: Reconstruction, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(outputs, "write_overlay", fails)
    expected = KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else WriteFailed
    with pytest.raises(expected) as caught:
        write_outputs(whole, video, tmp_path / "new" / "out")
    assert list(tmp_path.iterdir()) == []
    assert ".part" not in str(caught.value)


def test_an_output_that_cannot_be_written_is_found_beforehand(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(WriteFailed, match="a file, not a folder"):
            check_folder(folder)
    check_folder(tmp_path / "a" / "b")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
