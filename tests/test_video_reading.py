"""Frame-accurate reading: every codec, GOP, rate and rotation, against videos whose frames say their number."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from video_makers import HEIGHT, WIDTH, hide_first_frames, make_video, number_in, numbered_image, turn_clockwise

from vitra_lib.core.errors import BadInput
from vitra_lib.video import VideoReader, probe

_X265 = {"g": "10", "preset": "ultrafast", "x265-params": "bframes=3:open-gop=1:log-level=none"}
KINDS = {
    "h264 with B-frames": ("a.mp4", "libx264", {"g": "12", "bf": "3", "preset": "veryfast"}, "h264"),
    "h264 open GOP": ("a.mp4", "libx264", {"g": "9", "bf": "3", "x264-params": "open-gop=1:scenecut=0"}, "h264"),
    "h264 one long GOP": ("a.mkv", "libx264", {"g": "250", "bf": "2", "preset": "veryfast"}, "h264"),
    "h264 all key frames": ("a.mov", "libx264", {"g": "1"}, "h264"),
    "h264 transport stream": ("a.ts", "libx264", {"g": "10", "bf": "2", "preset": "veryfast"}, "h264"),
    "hevc": ("a.mp4", "libx265", _X265, "hevc"),
    "vp9": ("a.webm", "libvpx-vp9", {"g": "10", "deadline": "realtime", "cpu-used": "8"}, "vp9"),
    "vp9 with hidden frames": ("a.webm", "libvpx-vp9", {"g": "20", "auto-alt-ref": "1", "lag-in-frames": "16"}, "vp9"),
    "av1": ("a.mp4", "libsvtav1", {"g": "10", "preset": "12"}, "av1"),
    "av1 in mkv": ("a.mkv", "libsvtav1", {"g": "16", "preset": "10"}, "av1"),
    "mpeg4 in avi": ("a.avi", "mpeg4", {"g": "10", "q": "2"}, "mpeg4"),
    "raw stream without times": ("a.h264", "libx264", {"g": "10", "bf": "2"}, "h264"),
}  # fmt: skip


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> dict[str, Path]:
    made = {}
    for kind, (name, codec, options, _) in KINDS.items():
        path = tmp_path_factory.mktemp("kind") / name
        made[kind] = make_video(path, 50, codec, options)
    return made


@pytest.mark.parametrize("kind", KINDS)
def test_every_frame_has_its_number_in_order_and_in_any_order(videos, kind):
    with VideoReader(videos[kind]) as reader:
        assert len(reader) == 50
        assert [number_in(f.image) for f in reader.frames()] == list(range(50))
        sequential = {f.index: f.image for f in reader.frames()}
        order = np.random.default_rng(0).permutation(50)[:24]
        for i in order:
            (frame,) = reader.at([i])
            assert frame.index == i
            np.testing.assert_array_equal(frame.image, sequential[i])
        mixed = reader.at([7, 31, 7, 0, 49])
        assert [number_in(f.image) for f in mixed] == [7, 31, 7, 0, 49]


def test_reading_by_time_without_the_index_would_miss(videos):
    """Control: seeking to a frame's time and taking what comes first gives a key frame, not the frame asked for."""
    with av.open(str(videos["h264 with B-frames"])) as container:
        stream = container.streams.video[0]
        container.seek(int(31 / 30 / stream.time_base), stream=stream)
        naive = next(container.decode(stream)).to_ndarray(format="rgb24")
    assert number_in(naive) != 31


@pytest.mark.parametrize("kind", KINDS)
def test_probe_says_what_is_in_the_file(videos, kind):
    info = probe(videos[kind])
    assert (info.width_px, info.height_px, info.frame_count) == (WIDTH, HEIGHT, 50)
    assert info.codec == KINDS[kind][3]
    assert info.fps == pytest.approx(30.0, rel=0.01)
    assert info.duration_s == pytest.approx(50 / 30, rel=0.01)
    assert info.rotation_deg == 0
    assert not info.is_variable_rate


@pytest.mark.parametrize("kind", ["h264 with B-frames", "vp9", "h264 transport stream"])
def test_ranges_are_half_open(videos, kind):
    with VideoReader(videos[kind]) as reader:
        assert [number_in(f.image) for f in reader.frames(13, 29)] == list(range(13, 29))
        assert [f.index for f in reader.frames(49)] == [49]
        assert list(reader.frames(5, 5)) == []
        assert list(reader.frames(50, 50)) == []
        for start, stop in ((-1, 3), (4, 3), (0, 51)):
            with pytest.raises(BadInput, match="legal are 0 <= start <= stop <= 50"):
                reader.frames(start, stop)
        with pytest.raises(BadInput, match="legal are 0 to 49"):
            reader.at([3, 50])


def test_two_loops_and_random_access_do_not_disturb_each_other(videos):
    with VideoReader(videos["hevc"]) as reader:
        first, second = reader.frames(0, 20), reader.frames(20, 40)
        seen = []
        for a, b in zip(first, second, strict=True):
            seen.append((number_in(a.image), number_in(b.image), number_in(reader.at([45])[0].image)))
        assert seen == [(i, i + 20, 45) for i in range(20)]


@pytest.mark.parametrize(("name", "base"), [("v.mp4", Fraction(1, 90000)), ("v.mkv", Fraction(1, 1000))])
def test_variable_rate_keeps_every_frame_and_its_time(tmp_path, name, base):
    rng = np.random.default_rng(3)
    seconds = np.cumsum(np.concatenate([[0.0], rng.choice([1 / 60, 1 / 30, 1 / 15, 0.3], 59)]))
    pts = np.round(seconds / float(base)).astype(int)
    path = make_video(tmp_path / name, 60, "libx264", {"g": "12", "bf": "2"}, pts, base)
    with VideoReader(path) as reader:
        assert reader.info.is_variable_rate
        frames = list(reader.frames())
        assert [number_in(f.image) for f in frames] == list(range(60))
        np.testing.assert_allclose([f.time_s for f in frames], pts * float(base), atol=1e-9)
        assert [number_in(f.image) for f in reader.at([59, 3, 30])] == [59, 3, 30]
        assert reader.info.fps == pytest.approx(60 / reader.info.duration_s)
    # Control: a clock of the mean rate is wrong by far more than a frame somewhere.
    uniform = np.arange(60) / reader.info.fps
    assert np.abs(uniform - pts * float(base)).max() > 0.1


def test_rounded_times_of_a_constant_rate_are_not_variable(tmp_path):
    pts = np.round(np.arange(90) * 1000 / 29.97).astype(int)
    path = make_video(
        tmp_path / "a.webm", 90, "libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"}, pts, Fraction(1, 1000)
    )
    assert not probe(path).is_variable_rate
    dropped = np.delete(np.round(np.arange(91) * 1000 / 29.97).astype(int), 60)
    path = make_video(
        tmp_path / "b.webm", 90, "libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"}, dropped, Fraction(1, 1000)
    )
    assert probe(path).is_variable_rate


@pytest.mark.parametrize("quarter_turns", [0, 1, 2, 3])
@pytest.mark.parametrize("short_side", [None, 24])
def test_frames_are_upright(tmp_path, quarter_turns, short_side):
    path = make_video(tmp_path / "r.mp4", 12, options={"g": "4", "crf": "12"}, quarter_turns=quarter_turns)
    turn_clockwise(path, quarter_turns)
    with VideoReader(path, short_side) as reader:
        assert reader.info.rotation_deg == 90 * quarter_turns
        size = (HEIGHT, WIDTH) if short_side is None else (24, 32)
        assert (reader.info.height_px, reader.info.width_px) == size
        for frame in list(reader.frames()) + reader.at([9, 2]):
            assert frame.image.shape == (*size, 3)
            assert frame.image.flags["C_CONTIGUOUS"]
            assert number_in(frame.image) == frame.index
    if quarter_turns:
        turn_clockwise(path, 0)  # control: without the matrix the same pictures lie on their side
        with VideoReader(path) as reader:
            assert [number_in(f.image) for f in reader.frames()] != list(range(12))


def test_edit_list_hides_frames_and_times_start_at_zero(tmp_path):
    path = make_video(tmp_path / "e.mp4", 40, options={"g": "16", "bf": "2"})
    with av.open(str(path)) as container:
        tick = container.streams.video[0].time_base
        declared = container.streams.video[0].frames
    hide_first_frames(path, int(Fraction(5, 30) / tick))
    with VideoReader(path) as reader:
        frames = list(reader.frames())
        assert [number_in(f.image) for f in frames] == list(range(5, 40))
        assert len(reader) == 35 and declared == 40, "the container counts the frames that its edit list hides"
        assert [f.index for f in frames] == list(range(35))
        np.testing.assert_allclose([f.time_s for f in frames], np.arange(35) / 30, atol=1e-6)
        assert [number_in(f.image) for f in reader.at([34, 0, 1, 11, 12])] == [39, 5, 6, 16, 17]


@pytest.mark.parametrize("offset", [-7, 150])
def test_start_time_other_than_zero(tmp_path, offset):
    pts = np.arange(40) + offset
    path = make_video(tmp_path / "o.mkv", 40, options={"g": "10", "bf": "2"}, pts=pts)
    with VideoReader(path) as reader:
        shown = [number_in(f.image) for f in reader.frames()]
        assert shown == list(range(40))
        assert [number_in(f.image) for f in reader.at([0, 39, 11])] == [0, 39, 11]
        assert next(reader.frames()).time_s == 0.0


def test_odd_sizes_are_kept_and_even_sizes_come_from_shrinking(tmp_path):
    path = make_video(tmp_path / "odd.mp4", 6, size=(99, 75), pix_fmt="yuv444p", options={"crf": "10"})
    with VideoReader(path) as reader:
        assert next(reader.frames()).image.shape == (75, 99, 3)
    with VideoReader(path, max_short_side_px=41) as reader:
        assert next(reader.frames()).image.shape == (40, 52, 3)
        assert [number_in(f.image) for f in reader.frames()] == list(range(6))
    with VideoReader(path, max_short_side_px=500) as reader:
        assert next(reader.frames()).image.shape == (75, 99, 3), "never enlarged"
    with pytest.raises(BadInput, match="legal are 2 and more"):
        VideoReader(path, max_short_side_px=1)


def test_shrinking_is_an_area_average(tmp_path):
    path = make_video(tmp_path / "b.mp4", 10, size=(256, 192), options={"crf": "1"})
    (full,), (small,) = ([f.image for f in VideoReader(path, side).frames(9)] for side in (None, 48))
    mean = full.reshape(48, 4, 64, 4, 3).mean(axis=(1, 3))
    assert np.abs(small - mean).max() < 3.0
    assert np.abs(np.roll(small, 1, axis=1) - mean).max() > 100.0, "control: one pixel off is seen"


def test_colours_come_back(tmp_path):
    image = np.zeros((48, 64, 3), np.uint8)
    image[:, :16], image[:, 16:32], image[:, 32:48], image[:, 48:] = (
        (200, 30, 30),
        (30, 200, 30),
        (30, 30, 200),
        (128, 128, 128),
    )
    for space in ("ITU709", "ITU601"):
        path = tmp_path / f"{space}.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=30)
            stream.width, stream.height, stream.pix_fmt, stream.options = 64, 48, "yuv420p", {"crf": "5"}
            stream.codec_context.colorspace = 1 if space == "ITU709" else 6
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p", dst_colorspace=space)
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        seen = next(VideoReader(path).frames()).image
        for x in (8, 24, 40, 56):
            assert np.abs(seen[24, x].astype(int) - image[24, x]).max() <= 6, f"{space} at column {x}"


def test_a_long_video_does_not_grow_memory(tmp_path):
    statm = Path("/proc/self/statm")
    if not statm.exists():
        pytest.skip("needs /proc")
    path = make_video(tmp_path / "long.mp4", 2400, size=(160, 120), options={"preset": "ultrafast", "g": "60"})
    resident = []
    with VideoReader(path) as reader:
        for frame in reader.frames():
            if frame.index % 400 == 399:
                resident.append(int(statm.read_text().split()[1]) * 4096)
    assert number_in(frame.image) == 2399
    # Control: all frames together would be 138 MB.
    assert resident[-1] - resident[0] < 20e6


def test_real_recordings(shared_data):
    expected = {
        "dexretarget_hand/human_hand_video.mp4": (1280, 720, 621, "h264"),
        "hawor_video0/video_0.mp4": (1920, 1080, 121, "h264"),
        "vitra_ego4d_episode/03cc49c3-a7d1-445b-9a2a-545c4fae6843.mp4": (480, 368, 25, "h264"),
        "g1_inspire_lerobot/videos/chunk-000/observation.images.cam_high/episode_000029.mp4": (640, 480, 221, "av1"),
    }
    for name, known in expected.items():
        if not (shared_data / name).exists():
            pytest.skip(f"{name} is not there")
        with VideoReader(shared_data / name, 180) as reader:
            info = reader.info
            full = probe(shared_data / name)
            assert (full.width_px, full.height_px, info.frame_count, info.codec) == known
            wanted = [known[2] - 1, known[2] // 2, 3]
            sequential = {f.index: f.image for f in reader.frames() if f.index in wanted}
            for frame in reader.at(wanted):
                np.testing.assert_array_equal(frame.image, sequential[frame.index])


def test_the_makers_tell_frames_apart():
    """Control of the tests themselves: a frame that is turned or another number does not read as the right one."""
    assert number_in(numbered_image(37)) == 37
    assert number_in(numbered_image(38)) != 37
    assert number_in(np.rot90(numbered_image(37))) != 37
    assert number_in(numbered_image(37)[:, ::-1]) != 37
