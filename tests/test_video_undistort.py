"""Undistortion of pictures and videos: straight lines, true intrinsics, any number of threads, killed runs."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from video_makers import make_video, number_in

from vitra_lib.core.errors import BadInput, UnknownName
from vitra_lib.core.files import sha256_of
from vitra_lib.geometry.cameras_fisheye import Fisheye
from vitra_lib.geometry.cameras_fisheye624 import Fisheye624
from vitra_lib.geometry.cameras_lens import Lens, Pinhole
from vitra_lib.geometry.cameras_omnidirectional import Omnidirectional
from vitra_lib.video import VideoReader, VideoWriter, probe
from vitra_lib.video.undistort import (
    UndistortConfig,
    undistort_image,
    undistort_maps,
    undistort_video,
    widest_pinhole,
)

W, H = 320, 240
LENSES = [
    Fisheye(np.array([[150.0, 0, 160], [0, 150, 118], [0, 0, 1]]), np.array([0.03, -0.01, 0.0, 0.0]), W, H),
    Omnidirectional(np.array([[300.0, 0, 158], [0, 300, 121], [0, 0, 1]]), np.array([-0.1, 0.02, 1e-3, 0]), W, H, 0.9),
    Fisheye624.from_params(np.array([250.0, 159, 120, -0.03, 0.02, 0.1, -0.2, 0.1, -0.03, *[3e-4] * 6]), W, H),
]
SMALL = Fisheye(np.array([[60.0, 0, 31.5], [0, 60, 23.5], [0, 0, 1]]), np.array([0.02, -0.01, 0.0, 0.0]), 64, 48)


def picture(lens: Lens) -> np.ndarray:
    """A smooth pattern painted on the plane z = 1, as a lens sees it."""
    columns, rows = np.meshgrid(np.arange(lens.width_px), np.arange(lens.height_px))
    ray = lens.unproject(np.stack([columns, rows], axis=-1).astype(float))
    x, y = ray[..., 0] / ray[..., 2], ray[..., 1] / ray[..., 2]
    value = 128 + 60 * np.sin(8 * x) + 50 * np.cos(9 * y + 3 * x)
    return np.repeat(np.nan_to_num(value)[..., None], 3, axis=2).round().clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("lens", LENSES, ids=lambda lens: type(lens).__name__)
@pytest.mark.parametrize("interpolation", ["cubic", "linear"])
def test_an_undistorted_picture_is_what_a_pinhole_sees(lens: Lens, interpolation: str) -> None:
    pinhole = widest_pinhole(lens)
    maps = undistort_maps(lens, pinhole)
    assert maps.is_seen.all()
    truth = picture(pinhole).astype(int)
    got = undistort_image(picture(lens), maps, interpolation).astype(int)
    assert np.abs(got - truth)[4:-4, 4:-4].max() <= 4
    assert np.abs(picture(lens).astype(int) - truth).max() > 60, "control: without the map it is another picture"


@pytest.mark.parametrize("lens", LENSES, ids=lambda lens: type(lens).__name__)
def test_the_widest_pinhole_touches_the_edge(lens: Lens) -> None:
    pinhole = widest_pinhole(lens)
    wider = Pinhole(pinhole.K_px * [[0.97, 1, 1], [1, 0.97, 1], [1, 1, 1]], W, H)
    assert undistort_maps(lens, pinhole).is_seen.all() and not undistort_maps(lens, wider).is_seen.all()


def test_what_the_lens_does_not_show_is_black() -> None:
    wide = Pinhole(np.array([[40.0, 0, 160], [0, 40, 120], [0, 0, 1]]), W, H)
    maps = undistort_maps(LENSES[0], wide)
    image = undistort_image(np.full((H, W, 3), 200, np.uint8), maps)
    assert 0.2 < maps.is_seen.mean() < 0.9
    assert (image[~maps.is_seen] == 0).all() and (image[maps.is_seen] > 100).mean() > 0.99


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """75 numbered frames of 64 x 48 at uneven times."""
    pts = np.cumsum(np.where(np.arange(75) % 7 == 0, 2, 1)).tolist()
    return make_video(tmp_path_factory.mktemp("undistort") / "a.mp4", count=75, pts=pts)


def test_frames_and_times_stay_and_the_bytes_do_not_depend_on_threads(video: Path, tmp_path: Path) -> None:
    pinhole = widest_pinhole(SMALL)
    for workers in (1, 3):
        config = UndistortConfig(chunk_s=0.5, gop_s=0.25, workers=workers)
        made = undistort_video(video, tmp_path / f"{workers}.mp4", SMALL, pinhole, config)
        assert made.frame_count == 75 and (made.width_px, made.height_px) == (64, 48)
        assert not (tmp_path / f"{workers}.mp4.work").exists()
    assert sha256_of(tmp_path / "1.mp4") == sha256_of(tmp_path / "3.mp4")
    with VideoReader(video) as before, VideoReader(tmp_path / "1.mp4") as after:
        np.testing.assert_allclose(after.index.time_s, before.index.time_s, atol=1e-9)
        wanted = [0, 13, 14, 15, 29, 30, 31, 59, 74]
        assert [number_in(frame.image) for frame in after.at(wanted)] == wanted


def test_a_killed_run_goes_on_and_gives_the_same_bytes(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "long.mp4", 30, 640, 480) as writer:
        for i in range(120):
            writer.write(np.full((480, 640, 3), i, np.uint8))
    program = textwrap.dedent(
        """
        import sys, numpy as np
        from pathlib import Path
        from vitra_lib.geometry.cameras_fisheye import Fisheye
        from vitra_lib.video.undistort import UndistortConfig, undistort_video, widest_pinhole
        lens = Fisheye(np.array([[300., 0, 320], [0, 300, 240], [0, 0, 1]]), np.array([.02, -.01, 0., 0.]), 640, 480)
        undistort_video(Path(sys.argv[1]), Path(sys.argv[2]), lens, widest_pinhole(lens), UndistortConfig(chunk_s=0.5))
        """
    )
    whole, resumed = tmp_path / "whole.mp4", tmp_path / "resumed.mp4"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    command = [sys.executable, "-c", program, str(tmp_path / "long.mp4")]
    lens = Fisheye(np.array([[300.0, 0, 320], [0, 300, 240], [0, 0, 1]]), np.array([0.02, -0.01, 0.0, 0.0]), 640, 480)
    config = UndistortConfig(chunk_s=0.5)
    undistort_video(tmp_path / "long.mp4", whole, lens, widest_pinhole(lens), config)
    killed = subprocess.Popen([*command, str(resumed)], env=environment)
    work = tmp_path / "resumed.mp4.work"
    for _ in range(2000):
        if len(list(work.glob("[!.]*.mp4"))) >= 2 or killed.poll() is not None:
            break
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not resumed.exists(), "the kill came before the end"
    assert list(work.glob("[!.]*.mp4")), "finished chunks wait for the next run"
    undistort_video(tmp_path / "long.mp4", resumed, lens, widest_pinhole(lens), config)
    assert not work.exists()
    assert sha256_of(resumed) == sha256_of(whole)


def test_chunks_of_other_settings_are_not_taken(video: Path, tmp_path: Path) -> None:
    pinhole, out = widest_pinhole(SMALL), tmp_path / "out.mp4"
    first = undistort_video(video, out, SMALL, pinhole, UndistortConfig(chunk_s=0.5, gop_s=0.25))
    before = sha256_of(out)
    undistort_video(video, out, SMALL, pinhole, UndistortConfig(chunk_s=0.5, gop_s=0.25, crf=35))
    assert first.frame_count == 75 and sha256_of(out) != before


def test_a_phone_video_is_undistorted_upright(tmp_path: Path) -> None:
    stored = make_video(tmp_path / "s.mp4", count=4, size=(64, 48))
    assert (probe(stored).width_px, probe(stored).height_px) == (64, 48)
    turned = SMALL.resized(64, 48)
    assert undistort_video(stored, tmp_path / "o.mp4", turned, widest_pinhole(turned)).frame_count == 4


def test_wrong_sizes_and_settings_are_refused(video: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="64 x 48 pixels, the lens is calibrated for 320 x 240"):
        undistort_video(video, tmp_path / "o.mp4", LENSES[0], widest_pinhole(LENSES[0]))
    assert not list(tmp_path.iterdir())
    with pytest.raises(UnknownName, match="cubic"):
        UndistortConfig(interpolation="nearest")
    for wrong in ({"workers": 0}, {"crf": 60}, {"chunk_s": 0.1}, {"gop_s": 0.0}):
        with pytest.raises(BadInput):
            UndistortConfig(**wrong)
