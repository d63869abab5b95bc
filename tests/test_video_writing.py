"""Writing and transcoding: what goes in comes out, the same bytes each time, and nothing half-written is left."""

import resource
from fractions import Fraction

import av
import numpy as np
import pytest
from video_makers import make_video, number_in, numbered_image, turn_clockwise

from vitra_lib.core.errors import BadInput, WriteFailed
from vitra_lib.video import VideoReader, VideoWriter, probe, transcode


def write_numbers(path, count=40, fps=30.0, width=64, height=48, **kwargs):
    with VideoWriter(path, fps, width, height, **kwargs) as writer:
        for i in range(count):
            writer.write(numbered_image(i, width, height))
    return path


def key_frames(path):
    with av.open(str(path)) as container:
        return [i for i, p in enumerate(p for p in container.demux(video=0) if p.size) if p.is_keyframe]


def test_round_trip(tmp_path):
    path = write_numbers(tmp_path / "a.mp4")
    with VideoReader(path) as reader:
        assert [number_in(f.image) for f in reader.frames()] == list(range(40))
        assert [f.time_s for f in reader.frames()] == pytest.approx(np.arange(40) / 30)
        assert np.abs(next(reader.frames(23)).image.astype(int) - numbered_image(23)).mean() < 4
    info = probe(path)
    assert (info.codec, info.fps, info.is_variable_rate) == ("h264", pytest.approx(30.0), False)


def test_file_is_made_for_random_access_and_plays_everywhere(tmp_path):
    path = write_numbers(tmp_path / "a.mp4", 50, gop=12)
    assert key_frames(path) == [0, 12, 24, 36, 48]
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat"), "the index stands first, so that a player can start at once"
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(video=0) if p.size]
        assert [p.pts for p in packets] == [p.dts for p in packets], "no B-frames"
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"
    assert key_frames(write_numbers(tmp_path / "b.mp4", 5, gop=1)) == [0, 1, 2, 3, 4]


def test_same_images_give_the_same_bytes(tmp_path):
    a, b = write_numbers(tmp_path / "a.mp4"), write_numbers(tmp_path / "b.mp4")
    assert a.read_bytes() == b.read_bytes()
    assert write_numbers(tmp_path / "c.mp4", crf=30).read_bytes() != a.read_bytes(), (
        "control: other settings, other bytes"
    )
    assert b"Lavf" not in a.read_bytes()


@pytest.mark.parametrize("fps", [29.97, 23.976, 12, 60, 7.5])
def test_rates_are_exact_fractions(tmp_path, fps):
    path = write_numbers(tmp_path / "a.mp4", 30, fps)
    assert probe(path).fps == pytest.approx(float(Fraction(fps).limit_denominator(1001)), rel=1e-6)


def test_odd_sizes_grow_by_their_edge(tmp_path):
    path = write_numbers(tmp_path / "odd.mp4", 5, width=67, height=51)
    info = probe(path)
    assert (info.width_px, info.height_px) == (68, 52)
    image = next(VideoReader(path).frames(3)).image
    assert number_in(image[:51, :67]) == 3
    assert np.abs(image[:, 67].astype(int) - image[:, 66]).mean() < 4


def test_wrong_images_and_numbers_are_refused(tmp_path):
    path = tmp_path / "a.mp4"
    with pytest.raises(BadInput, match=r"legal is uint8 \(48, 64, 3\)"), VideoWriter(path, 30, 64, 48) as writer:
        writer.write(np.zeros((64, 48, 3), np.uint8))
    for wrong in ({"fps": 0.0}, {"fps": -1.0}, {"width_px": 0}, {"gop": 0}, {"crf": 52}):
        with pytest.raises(BadInput, match="legal"):
            VideoWriter(path, **({"fps": 30.0, "width_px": 64, "height_px": 48} | wrong))
    with pytest.raises(BadInput, match="inside its `with` block"):
        VideoWriter(path, 30, 64, 48).write(numbered_image(0))
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_after_an_error_and_the_old_file_stays(tmp_path):
    path = write_numbers(tmp_path / "a.mp4", 10)
    before = path.read_bytes()
    for error in (RuntimeError("stop"), KeyboardInterrupt()):
        with pytest.raises(type(error)), VideoWriter(path, 30, 64, 48) as writer:
            writer.write(numbered_image(1))
            raise error
        assert path.read_bytes() == before
        assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(WriteFailed, match="no frame was given"), VideoWriter(path, 30, 64, 48):
        assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_target_that_is_a_folder(tmp_path):
    with pytest.raises(WriteFailed, match="is a folder"), VideoWriter(tmp_path, 30, 64, 48):
        raise AssertionError("the block must not run")


@pytest.mark.parametrize("limit", [200, 20_000, 60_000])
def test_full_disk(tmp_path, limit):
    """A file-size limit stands in for a full disk: the same failing write, at the header, in the middle, at the end."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 48, 64, 3), dtype=np.uint8)
    with VideoWriter(tmp_path / "fits.mp4", 30, 64, 48) as writer:
        for image in images:
            writer.write(image)
    assert (tmp_path / "fits.mp4").stat().st_size > 60_000, "the control does not fit into the limit"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with (
            pytest.raises(WriteFailed, match="(?i)can't (be written|write)"),
            VideoWriter(tmp_path / "full.mp4", 30, 64, 48) as writer,
        ):
            for image in images:
                writer.write(image)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [p.name for p in tmp_path.iterdir()] == ["fits.mp4"]


def test_transcode_keeps_frames_and_times_of_a_variable_rate(tmp_path):
    pts = np.cumsum(np.random.default_rng(1).integers(1000, 9000, 60)) + 777
    src = make_video(
        tmp_path / "src.mkv", 60, "libx264", {"g": "250", "bf": "3"}, pts // 90, Fraction(1, 1000), size=(256, 192)
    )
    info = transcode(src, tmp_path / "dst.mp4", short_side_px=96, gop=10)
    assert (info.width_px, info.height_px, info.frame_count, info.is_variable_rate) == (128, 96, 60, True)
    with VideoReader(src) as a, VideoReader(tmp_path / "dst.mp4") as b:
        assert [number_in(f.image) for f in b.frames()] == list(range(60))
        np.testing.assert_allclose(b.index.time_s, a.index.time_s, atol=1e-9)
        # A clip is longer than its last frame's start by that frame's own duration.
        assert b.index.duration_s == pytest.approx(a.index.duration_s, abs=1e-3)
    assert key_frames(tmp_path / "dst.mp4") == list(range(0, 60, 10))


@pytest.mark.parametrize("quarter_turns", [1, 2, 3])
def test_transcode_bakes_the_rotation_in(tmp_path, quarter_turns):
    src = make_video(tmp_path / "src.mp4", 8, quarter_turns=quarter_turns, options={"crf": "12"})
    turn_clockwise(src, quarter_turns)
    info = transcode(src, tmp_path / "dst.mp4")
    assert (info.width_px, info.height_px, info.rotation_deg) == (64, 48, 0), "and a small video is not enlarged"
    assert [number_in(f.image) for f in VideoReader(tmp_path / "dst.mp4").frames()] == list(range(8))


def test_transcode_is_deterministic_and_may_replace_its_source(tmp_path):
    src = make_video(tmp_path / "src.mp4", 20, "libx265", {"preset": "ultrafast", "x265-params": "log-level=none"})
    transcode(src, tmp_path / "a.mp4")
    transcode(src, tmp_path / "b.mp4")
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    transcode(src, src)
    assert src.read_bytes() == (tmp_path / "a.mp4").read_bytes()
    assert probe(src).codec == "h264"
    with pytest.raises(BadInput, match="legal are 2 and more"):
        transcode(src, src, short_side_px=1)


def test_the_same_frames_give_the_same_bytes_whatever_the_process_did_before(tmp_path):
    """Memory that earlier work left behind must not reach the encoder (x264's lookahead let it: 6 files of 40)."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (24, 32, 3), dtype=np.uint8)
    scene = np.repeat(np.repeat(small, 10, axis=0), 10, axis=1)
    found = set()
    for run in range(12):
        path = tmp_path / f"{run}.mp4"
        with VideoWriter(path, 30.0, 240, 180) as writer:
            for i in range(20):
                writer.write(np.ascontiguousarray(scene[i : i + 180, 2 * i : 2 * i + 240]))
                litter = [np.full(int(rng.integers(100, 400_000)), run, np.uint8) for _ in range(20)]
                del litter
        found.add(path.read_bytes())
    assert len(found) == 1
