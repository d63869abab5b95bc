"""`vitra undistort` with a calibration in each true format, from file to file."""

import json
from pathlib import Path

import numpy as np
import pytest
from video_makers import make_video, number_in

from vitra_lib.cli.main import main
from vitra_lib.reconstruction.backends.intrinsics import read_pinhole
from vitra_lib.video import VideoReader, probe

K = np.array([[80.0, 0, 31.5], [0, 80, 23.5], [0, 0, 1]])


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten numbered frames of 64 x 48."""
    return make_video(tmp_path_factory.mktemp("command") / "clip.mp4", count=10)


def ego4d(path: Path, xi: float) -> Path:
    content = {"intrinsics_ori": {"K": K * [[1.5], [1.5], [1]] - [[0, 0, 15.75], [0, 0, 11.75], [0, 0, 0]],
               "D": np.zeros(4), "xi": xi}, "intrinsics_new": {"K": K}}  # fmt: skip
    np.save(path, np.array(content, dtype=object), allow_pickle=True)
    return path


def test_ego4d_to_the_pinhole_its_file_asks_for(video: Path, tmp_path: Path) -> None:
    lens = ego4d(tmp_path / "clip.npy", 0.5)
    out = tmp_path / "straight.mp4"
    assert main(["undistort", str(video), "--intrinsics", str(lens), "--out", str(out)]) == 0
    with VideoReader(out) as reader:
        assert [number_in(frame.image) for frame in reader.frames()] == list(range(10))
    new = read_pinhole(tmp_path / "straight.intrinsics.json", probe(out))
    np.testing.assert_allclose(new.K_px, K)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.npy", "straight.intrinsics.json", "straight.mp4"]


def test_a_given_field_of_view(video: Path, tmp_path: Path) -> None:
    content = {"fx": 60, "fy": 60, "cx": 31.5, "cy": 23.5, "width": 64, "height": 48, "model": "fisheye",
               "distortion": [0.02, 0, 0, 0]}  # fmt: skip
    (tmp_path / "lens.json").write_text(json.dumps(content))
    words = ["undistort", str(video), "--intrinsics", str(tmp_path / "lens.json"), "--out", str(tmp_path / "o.mp4")]
    assert main([*words, "--hfov-deg", "60", "--workers", "1", "--interpolation", "linear"]) == 0
    fx = json.loads((tmp_path / "o.intrinsics.json").read_text())["fx"]
    assert fx == pytest.approx(32 / np.tan(np.deg2rad(30)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--intrinsics", "gone.json"], "no file"),
        (["--out", "o.avi"], "call it o.mp4"),
        (["--hfov-deg", "179"], "5 to 170"),
        (["--focal", "50", "--hfov-deg", "60"], "not both"),
        (["--interpolation", "magic"], "cubic"),
        (["--intrinsics", "self"], "needs a calibration"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    video: Path, tmp_path: Path, capsys: pytest.CaptureFixture, change: list[str], message: str
) -> None:
    words = [
        "undistort",
        str(video),
        "--intrinsics",
        str(ego4d(tmp_path / "a.npy", 0.5)),
        "--out",
        str(tmp_path / "o.mp4"),
    ]
    assert main([*words, *change]) == 2
    told = capsys.readouterr().err
    assert message in told and told.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.npy"]
