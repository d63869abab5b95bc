"""Every bad video gives one clear sentence, at once, and never fewer frames than the file promises."""

import os
import re
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from video_makers import make_sound, make_video, number_in

from vitra_lib.core.errors import BadVideo, WriteFailed
from vitra_lib.video import VideoReader, probe, transcode


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    """60 frames of noise-like size, index at the end of the file."""
    return make_video(tmp_path_factory.mktemp("good") / "good.mp4", 60, options={"g": "12", "bf": "2", "crf": "5"})


def refuse(path: Path, sentence: str) -> None:
    """`probe`, the reader and `transcode` all refuse the file with this sentence, in one line that names it."""
    target = path.parent / "never_written.mp4"
    for use in (probe, VideoReader, lambda p: transcode(p, target)):
        with pytest.raises(BadVideo, match=sentence) as caught:
            use(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
    assert not target.exists()


def test_missing_file(tmp_path):
    refuse(tmp_path / "none.mp4", "does not exist")
    refuse(tmp_path / "none" / "none.mp4", "does not exist")


def test_folder(tmp_path):
    (tmp_path / "folder.mp4").mkdir()
    refuse(tmp_path / "folder.mp4", "is a folder")


def test_empty_file(tmp_path):
    (tmp_path / "empty.mp4").touch()
    refuse(tmp_path / "empty.mp4", "is empty")


@pytest.mark.parametrize("text", ["hello, this is no video\n" * 50, "x", "\x00" * 5000])
def test_text_named_mp4(tmp_path, text):
    (tmp_path / "text.mp4").write_text(text)
    refuse(tmp_path / "text.mp4", "is not a video")


def test_playlist_named_mp4_opens_nothing_else(tmp_path, good):
    playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n" + str(good) + "\n#EXT-X-ENDLIST\n"
    (tmp_path / "list.mp4").write_text(playlist)
    refuse(tmp_path / "list.mp4", "is not a video")
    (tmp_path / "concat.mp4").write_text(f"ffconcat version 1.0\nfile '{good}'\n")
    refuse(tmp_path / "concat.mp4", "is not a video")


def test_sound_only(tmp_path):
    refuse(make_sound(tmp_path / "sound.mp4"), "has no video stream .it holds: audio")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_truncated_mp4_without_its_index(tmp_path, good, share):
    data = good.read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(data[: int(share * len(data))])
    refuse(cut, "is truncated")


@pytest.mark.parametrize("share", [0.3, 0.7, 0.98])
def test_truncated_mp4_with_its_index_first(tmp_path, good, share):
    whole = tmp_path / "whole.mp4"
    transcode(good, whole)
    data = whole.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(data[: int(share * len(data))])
    refuse(cut, "is truncated")
    with av.open(str(cut)) as container:  # control: read plainly, the same file just ends early
        assert sum(1 for p in container.demux(video=0) if p.size) < 60


def test_truncated_webm(tmp_path):
    whole = make_video(tmp_path / "whole.webm", 60, "libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"})
    cut = tmp_path / "cut.webm"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    refuse(cut, "is truncated")


def test_damaged_in_the_middle(tmp_path, good):
    data = bytearray(good.read_bytes())
    at = data.index(b"mdat") + 4
    (length,) = struct.unpack(">I", data[at - 8 : at - 4])
    middle, some = at + length // 2, length // 8
    data[middle : middle + some] = bytes(some)
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(bytes(data))
    with VideoReader(bad) as reader:
        assert [number_in(f.image) for f in reader.frames(0, 5)] == list(range(5))
        with pytest.raises(BadVideo, match=r"damaged.* frame \d+ of 60 can't be decoded"):
            list(reader.frames())


@pytest.mark.parametrize("name", ["none.mp4", "none.mkv", "none.avi"])
def test_video_without_frames(tmp_path, name):
    path = tmp_path / name
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    refuse(path, "has no frames")


def test_frames_of_8k_are_refused_before_decoding_and_can_be_transcoded(tmp_path):
    path = tmp_path / "8k.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 7680, 4320, "yuv420p"
        stream.options = {"preset": "ultrafast", "crf": "40"}
        frame = av.VideoFrame(7680, 4320, "yuv420p")
        for plane in frame.planes:
            plane.update(bytes([128]) * plane.buffer_size)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    for use in (probe, VideoReader, lambda p: VideoReader(p, max_short_side_px=256)):
        with pytest.raises(BadVideo, match=r"7680 x 4320 \(33 MP\); the limit is 16 MP.*vitra transcode"):
            use(path)
    info = transcode(path, tmp_path / "small.mp4")
    assert (info.width_px, info.height_px, info.frame_count) == (456, 256, 1)
    assert abs(int(next(VideoReader(tmp_path / "small.mp4").frames()).image.mean()) - 128) < 6


def test_no_permission(tmp_path, good):
    # pytest's own folders are closed to other users, so the file goes where anyone may look.
    import shutil
    import tempfile

    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    path = folder / "secret.mp4"
    shutil.copy(good, path)
    path.chmod(0)
    user = os.geteuid()
    try:
        if user == 0:
            os.seteuid(65534)
        with pytest.raises(BadVideo, match="can't be read: no permission"):
            probe(path)
        with pytest.raises(WriteFailed, match="no permission"):
            transcode(_readable(good, folder), Path("/usr/never_written.mp4"))
    finally:
        os.seteuid(user)
        shutil.rmtree(folder)


def _readable(good: Path, folder: Path) -> Path:
    """A copy that the unprivileged user of the test above may read."""
    user = os.geteuid()
    os.seteuid(0)
    copy = folder / "readable.mp4"
    copy.write_bytes(good.read_bytes())
    copy.chmod(0o644)
    os.seteuid(user)
    return copy


def test_size_that_changes_on_the_way_is_said(tmp_path):
    first = make_video(tmp_path / "a.h264", 5, options={"bf": "0"})
    second = make_video(tmp_path / "b.h264", 5, size=(128, 96), options={"bf": "0"})
    both = tmp_path / "both.h264"
    both.write_bytes(first.read_bytes() + second.read_bytes())
    with VideoReader(both) as reader, pytest.raises(BadVideo, match="changes its frame size from 64 x 48 to 128 x 96"):
        list(reader.frames())


def test_names_with_odd_characters_are_plain_files(tmp_path):
    for name in ("http:fake.mp4", "a b%20c.mp4", "ümlaut.mp4", "img%03d.mp4"):
        path = tmp_path / name
        path.write_bytes(make_video(tmp_path / "plain.mp4", 3).read_bytes())
        assert probe(path).frame_count == 3
        assert transcode(path, tmp_path / f"out {name}").frame_count == 3


def test_one_frame_is_a_video(tmp_path):
    info = probe(make_video(tmp_path / "one.mp4", 1, time_base=Fraction(1, 25)))
    assert info.frame_count == 1
    assert info.duration_s == pytest.approx(0.04, abs=0.02)
    assert np.isfinite(info.fps)
    assert not info.is_variable_rate
    assert re.fullmatch("h264", info.codec)
