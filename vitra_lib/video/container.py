"""Opening a video file safely and knowing its frames exactly.

Frame counts in containers lie (an mp4's may count frames that its edit list hides, webm has none), so the
presentation times of all frames are read from the packets, without decoding. Everything that can be wrong with
a file is found here and said in one sentence.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from jaxtyping import Float, Int

from vitra_lib.core.errors import BadVideo
from vitra_lib.video.truncation import missing_bytes

MAX_FRAME_PIXELS = 16_000_000
"""Largest frame that is decoded for analysis: 5.3K action cameras (5312 x 2988) pass, 8K (33 MP) does not."""

# Playlists and image sequences may make the demuxer open other files or hosts: a video is one of these or nothing.
_FORMATS = "mov,mp4,matroska,webm,avi,mpegts,mpeg,mpegvideo,ogg,flv,asf,h264,hevc,ivf,obu,m4v,mxf"
_DECODER_THREADS = 2


@dataclass(frozen=True)
class FrameIndex:
    """Presentation times of all shown frames of a stream.

    Attributes:
        pts: (frames,) increasing presentation time stamps in units of `time_base`.
        key_frames: (keys,) positions in `pts` of the frames at which decoding may start; the first is 0.
        time_base: seconds per unit.
        last_duration: how long the last frame is shown, in units of `time_base`.
        is_exact: False where the container has no usable time stamps; frames are then counted, `pts` is a
            uniform clock, and random access decodes from the start.
    """

    pts: Int[np.ndarray, " frames"]
    key_frames: Int[np.ndarray, " keys"]
    time_base: Fraction
    last_duration: int
    is_exact: bool

    def __len__(self) -> int:
        return len(self.pts)

    @property
    def time_s(self) -> Float[np.ndarray, " frames"]:
        """(frames,) presentation time of each frame, 0 at the first [s]."""
        return (self.pts - self.pts[0]).astype(np.float64) * float(self.time_base)

    @property
    def duration_s(self) -> float:
        """From the first frame's time to the end of the last frame [s]."""
        return float((int(self.pts[-1] - self.pts[0]) + self.last_duration) * self.time_base)

    @property
    def fps(self) -> float:
        """Mean frames per second [1/s]."""
        return len(self) / self.duration_s

    @property
    def is_variable_rate(self) -> bool:
        """True when some frame is more than a tenth of a frame (and a clock tick) off the uniform clock."""
        if len(self) < 3:
            return False
        ticks = (self.pts - self.pts[0]).astype(np.float64)
        step = ticks[-1] / (len(ticks) - 1)
        return bool(np.abs(ticks - step * np.arange(len(ticks))).max() > max(1.0, 0.1 * step))


def check_file(path: Path) -> None:
    """Refuse what can't be a video before any decoder sees it.

    Raises:
        BadVideo: missing, a folder, empty, or not readable.
    """
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise BadVideo(f"{path} is a folder, not a video: give the path of one video file.")
        if not path.is_file():
            raise BadVideo(f"{path} is not a regular file: give the path of one video file.")
        if size == 0:
            raise BadVideo(f"{path} is empty (0 bytes): copy the video again.")
        with path.open("rb"):
            return
    except (FileNotFoundError, NotADirectoryError):
        raise BadVideo(f"{path} does not exist: check the spelling of the path.") from None
    except PermissionError:
        raise BadVideo(f"{path} can't be read: no permission.") from None
    except OSError as error:
        raise BadVideo(f"{path} can't be read: {error.strerror or error}.") from None


@contextmanager
def open_video(
    path: Path, max_frame_pixels: int = MAX_FRAME_PIXELS
) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    """Open the container and its video stream, ready to decode with a bounded number of threads.

    Args:
        path: the file.
        max_frame_pixels: frames with more pixels are refused before anything is decoded.

    Raises:
        BadVideo: not a video, only audio, cut before its index, or frames too large.
    """
    check_file(path)
    try:
        # The "file:" prefix keeps a name with a colon from being taken for a protocol.
        container = av.open(
            f"file:{path}", "r", container_options={"format_whitelist": _FORMATS, "protocol_whitelist": "file"}
        )
    except (av.error.FFmpegError, OSError, ValueError) as error:
        missing = missing_bytes(path)
        if missing:
            raise BadVideo(f"{path} is truncated: {missing}; copy or record the video again.") from None
        if isinstance(error, av.error.EOFError):
            raise BadVideo(f"{path} has no frames: the file ends after its header.") from None
        raise BadVideo(f"{path} is not a video that can be read (mp4, mov, mkv, webm, avi, ts…).") from None
    with container:
        pictures = av.stream.Disposition.attached_pic | av.stream.Disposition.still_image
        streams = [s for s in container.streams.video if not s.disposition & pictures]
        if not streams:
            held = ", ".join(sorted({s.type for s in container.streams}))
            if not held:
                raise BadVideo(f"{path} has no frames: the file ends after its header.")
            raise BadVideo(f"{path} has no video stream (it holds: {held}).")
        stream = streams[0]
        context = stream.codec_context
        if context is None:
            raise BadVideo(f"{path} uses a codec that can't be decoded: transcode it to H.264.")
        _check_size(path, context.width, context.height, max_frame_pixels)
        context.thread_type = "AUTO"
        context.thread_count = _DECODER_THREADS
        context.options = {"max_pixels": str(max_frame_pixels)}
        yield container, stream


def read_index(path: Path, container: av.container.InputContainer, stream: av.VideoStream) -> FrameIndex:
    """Read every packet's time stamp once; nothing is decoded unless the container has no time stamps.

    Raises:
        BadVideo: truncated, or without a single frame.
    """
    missing = missing_bytes(path)
    if missing:
        raise BadVideo(f"{path} is truncated: {missing}; copy or record the video again.")
    packets: list[tuple[int, int, int, bool, bool]] = []
    has_pts = True
    end = 0
    try:
        for packet in container.demux(stream):
            if packet.size == 0:
                continue
            if packet.is_corrupt:
                raise BadVideo(f"{path} is truncated: its data end inside frame {len(packets)}; copy it again.")
            end = max(end, (packet.pos or 0) + packet.size)
            has_pts = has_pts and packet.pts is not None
            packets.append((packet.pts or 0, packet.duration or 0, packet.is_keyframe, packet.is_discard))
    except av.error.FFmpegError as error:
        raise BadVideo(f"{path} is damaged after frame {len(packets)}: {error.strerror}.") from None
    # An mp4 lists every frame in its header: an entry past the end of the file is a frame that was cut off.
    entries = stream.index_entries
    last = max((entries[i].pos + entries[i].size for i in range(max(0, len(entries) - 64), len(entries))), default=0)
    if "mp4" in container.format.name and last > path.stat().st_size:
        raise BadVideo(f"{path} is truncated: its header promises {last} bytes and {path.stat().st_size} are there.")
    index = _index_from_packets(packets, stream.time_base) if has_pts else None
    index = index or _index_by_decoding(path, container, stream)
    if len(index) == 0:
        raise BadVideo(f"{path} has no frames: its video stream is empty.")
    return index


def _index_from_packets(packets: list[tuple[int, int, bool, bool]], time_base: Fraction) -> FrameIndex | None:
    """The index, or None where time stamps repeat or nothing is marked as a place to start decoding."""
    table = np.array(packets, dtype=np.int64).reshape(-1, 4)
    keys_in_order = np.flatnonzero(table[:, 2])
    if len(table) == 0:
        return FrameIndex(np.zeros(0, np.int64), np.zeros(0, np.int64), time_base, 0, True)
    if len(keys_in_order) == 0:
        return None
    # Frames before the first key frame can't be decoded: a recording cut out of a longer one.
    first_key_pts = table[keys_in_order[0], 0]
    shown = table[(table[:, 3] == 0) & (table[:, 0] >= first_key_pts) & (np.arange(len(table)) >= keys_in_order[0])]
    shown = shown[np.argsort(shown[:, 0], kind="stable")]
    pts = shown[:, 0].copy()
    if np.any(np.diff(pts) <= 0):
        return None
    key_pts = np.sort(table[keys_in_order, 0])
    # A hidden key frame (before the edit list's start) still starts the decoding of the first shown ones.
    key_frames = np.unique(np.concatenate([[0], np.searchsorted(pts, key_pts[key_pts > pts[0]])])) if len(pts) else pts
    key_frames = key_frames[key_frames < len(pts)]
    steps = np.diff(pts)
    last = int(shown[-1, 1]) if len(pts) else 0
    if last <= 0:
        last = int(np.median(steps)) if len(steps) else max(1, int(round(1 / (30 * time_base))))
    return FrameIndex(pts, key_frames.astype(np.int64), time_base, last, True)


def _index_by_decoding(path: Path, container: av.container.InputContainer, stream: av.VideoStream) -> FrameIndex:
    """Count the frames by decoding all of them: containers without usable time stamps (raw streams, old avi)."""
    rate = stream.codec_context.framerate or stream.guessed_rate or stream.average_rate or Fraction(30)
    with open_video(path) as (fresh, video):
        try:
            count = sum(1 for _ in fresh.decode(video))
        except av.error.FFmpegError as error:
            raise BadVideo(f"{path} can't be decoded: {error.strerror}.") from None
    return FrameIndex(np.arange(count, dtype=np.int64), np.zeros(1, np.int64), 1 / rate, 1, False)


def _check_size(path: Path, width: int, height: int, max_frame_pixels: int) -> None:
    if width <= 0 or height <= 0:
        raise BadVideo(f"{path} has no frames: its header gives no picture size.")
    if width * height > max_frame_pixels:
        raise BadVideo(
            f"{path} has frames of {width} x {height} ({width * height / 1e6:.0f} MP); the limit is "
            f"{max_frame_pixels / 1e6:.0f} MP: make a smaller copy with `vitra transcode` first."
        )


def display_matrix(frame: av.VideoFrame) -> Int[np.ndarray, "2 2"]:
    """How the player turns a decoded frame: (column right, row down) shown = matrix @ stored, entries -1, 0, 1.

    Phones store the sensor's picture and a matrix. Angles between quarter turns go to the nearest one.
    """
    for side_data in frame.side_data:
        if side_data.type.name == "DISPLAYMATRIX":
            a, b, _, c, d, *_ = np.frombuffer(bytes(side_data), np.int32).astype(np.int64)
            # Stored as x' = a x + c y, y' = b x + d y in 16.16 fixed point.
            matrix = np.array([[a, c], [b, d]])
            is_straight = abs(a) + abs(d) >= abs(b) + abs(c)
            snapped = np.sign(matrix * (np.eye(2, dtype=np.int64) if is_straight else 1 - np.eye(2, dtype=np.int64)))
            return snapped if np.abs(snapped).sum() == 2 else np.eye(2, dtype=np.int64)
    return np.eye(2, dtype=np.int64)


def clockwise_deg(matrix: Int[np.ndarray, "2 2"]) -> int:
    """Clockwise turn [deg] of a display matrix: where the stored x axis points on the screen (y down)."""
    return int(round(np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0])))) % 360
