"""Frame-accurate reading: RGB, upright, any range or any list of frames, in constant memory.

A frame is found by its presentation time stamp, never by counting seconds: the index of all time stamps is read
from the packets once, a frame is reached from the last key frame before it, and every decoded frame must be the
one that the index expects. So B-frames, variable rates, edit lists and negative start times need no special case,
and a frame that can't be decoded is an error, not a hole.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from operator import index
from pathlib import Path
from typing import SupportsIndex

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from jaxtyping import Int, UInt8

from vitra_lib.core.errors import BadInput, BadVideo
from vitra_lib.video.container import (
    MAX_FRAME_PIXELS,
    FrameIndex,
    clockwise_deg,
    display_matrix,
    open_video,
    read_index,
)


@dataclass(frozen=True)
class VideoInfo:
    """What a video file holds, checked by reading it.

    Attributes:
        path: the file.
        width_px, height_px: size of a frame as it is shown, after rotation; pixels are the stored ones (a pixel
            aspect ratio other than 1 is reported, not applied).
        fps: mean frames per second [1/s].
        frame_count: number of frames that are shown, exact.
        duration_s: from the first frame's time to the end of the last frame [s].
        codec: "h264", "hevc", "vp9", "av1"…
        rotation_deg: clockwise turn that the player applies to the stored picture: 0, 90, 180 or 270.
        is_variable_rate: some frame is more than a tenth of a frame off a uniform clock of the same mean rate.
        pixel_aspect: width of a stored pixel divided by its height.
    """

    path: Path
    width_px: int
    height_px: int
    fps: float
    frame_count: int
    duration_s: float
    codec: str
    rotation_deg: int
    is_variable_rate: bool
    pixel_aspect: float = 1.0


@dataclass(frozen=True)
class Frame:
    """One decoded frame.

    Attributes:
        index: 0-based number among the shown frames of the video.
        time_s: presentation time, 0 at the video's first frame [s].
        image: (height, width, 3) RGB, upright.
    """

    index: int
    time_s: float
    image: UInt8[np.ndarray, "height width 3"]


class VideoReader:
    """Reads frames of one video; a context manager, not to be shared between threads.

    `frames` opens the file anew for each loop, so loops may run side by side; `at` keeps one decoder between calls
    and goes on from where it is when the next frame is near.
    """

    def __init__(
        self, path: str | os.PathLike, max_short_side_px: int | None = None, max_frame_pixels: int = MAX_FRAME_PIXELS
    ) -> None:
        """Open a video and read its index; one frame is decoded.

        Args:
            path: the video file.
            max_short_side_px: frames whose shorter side is longer than this are shrunk while decoding (area
                average, even sizes, aspect kept to a pixel); None keeps the stored size, odd ones included.
            max_frame_pixels: larger frames are refused before decoding.

        Raises:
            BadInput: `max_short_side_px` is below 2.
            BadVideo: the file can't be used; the message says why.
        """
        if max_short_side_px is not None and max_short_side_px < 2:
            raise BadInput(f"max_short_side_px is {max_short_side_px}: legal are 2 and more, or None to keep the size.")
        self._path = Path(path)
        self._max_frame_pixels = max_frame_pixels
        with open_video(self._path, max_frame_pixels) as (container, stream):
            self._index = read_index(self._path, container, stream)
            codec = stream.codec_context.codec.canonical_name
            aspect = stream.codec_context.sample_aspect_ratio
            self._stored_size = (stream.codec_context.width, stream.codec_context.height)
        self._target_size = _shrunk(*self._stored_size, max_short_side_px)
        self._matrix = np.eye(2, dtype=np.int64)
        self._open = ExitStack()
        self._kept: tuple[av.container.InputContainer, av.VideoStream] | None = None
        self._cursor: Iterator[tuple[int, av.VideoFrame]] | None = None
        self._cursor_next = 0
        first = self._seek_to(0)
        if (first.width, first.height) != self._stored_size:
            self._stored_size = (first.width, first.height)
            self._target_size = _shrunk(*self._stored_size, max_short_side_px)
        self._matrix = display_matrix(first)
        width, height = self._target_size if self._matrix[0, 0] else self._target_size[::-1]
        self._info = VideoInfo(
            path=self._path,
            width_px=width,
            height_px=height,
            fps=self._index.fps,
            frame_count=len(self._index),
            duration_s=self._index.duration_s,
            codec=codec,
            rotation_deg=clockwise_deg(self._matrix),
            is_variable_rate=self._index.is_variable_rate,
            pixel_aspect=float(aspect) if aspect else 1.0,
        )

    def __enter__(self) -> "VideoReader":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._index)

    @property
    def info(self) -> VideoInfo:
        """What the video holds; width and height are those of the frames that this reader gives."""
        return self._info

    @property
    def index(self) -> FrameIndex:
        """The presentation times of all frames."""
        return self._index

    def close(self) -> None:
        """Close the decoder that `at` keeps; the reader may be used again afterwards."""
        self._cursor = self._kept = None
        self._open.close()

    def frames(self, start: SupportsIndex = 0, stop: SupportsIndex | None = None) -> Iterator[Frame]:
        """Decode the frames [start, stop) in order, one in memory at a time.

        Args:
            start: first frame, 0-based.
            stop: one past the last frame; None = to the end. Past the end is refused.

        Raises:
            BadInput: the range is not inside the video.
            BadVideo: a frame in the range is damaged.
        """
        start, stop = index(start), len(self) if stop is None else index(stop)
        if not 0 <= start <= stop <= len(self):
            raise BadInput(
                f"Frames [{start}, {stop}) of {self._path.name}: legal are 0 <= start <= stop <= {len(self)}."
            )
        return self._frames(start, stop)

    def at(self, indices: Sequence[SupportsIndex] | Int[np.ndarray, " n"]) -> list[Frame]:
        """Decode any frames, in any order, repeats allowed.

        Args:
            indices: 0-based frame numbers.

        Returns:
            One `Frame` per index, in the order asked for.

        Raises:
            BadInput: an index is outside the video.
            BadVideo: one of the frames is damaged.
        """
        wanted = [int(i) for i in indices]
        outside = [i for i in wanted if not 0 <= i < len(self)]
        if outside:
            raise BadInput(f"Frame {outside[0]} of {self._path.name}: legal are 0 to {len(self) - 1}.")
        reformatter = VideoReformatter()
        found = {i: self._image(self._seek_to(i), reformatter) for i in sorted(set(wanted))}
        return [Frame(i, float(self._index.time_s[i]), found[i]) for i in wanted]

    def _frames(self, start: int, stop: int) -> Iterator[Frame]:
        if start == stop:
            return
        time_s = self._index.time_s
        reformatter = VideoReformatter()
        with open_video(self._path, self._max_frame_pixels) as (container, stream):
            for i, frame in self._decode(container, stream, start, is_untouched=True):
                yield Frame(i, float(time_s[i]), self._image(frame, reformatter))
                if i + 1 == stop:
                    return

    def _seek_to(self, i: int) -> av.VideoFrame:
        """The decoded frame i, from the kept decoder if it stands between i's key frame and i."""
        keys = self._index.key_frames
        key = int(keys[np.searchsorted(keys, i, side="right") - 1])
        if self._cursor is None or not key <= self._cursor_next <= i:
            is_untouched = self._kept is None or not self._index.is_exact
            if is_untouched:
                self.close()
                self._kept = self._open.enter_context(open_video(self._path, self._max_frame_pixels))
            self._cursor = self._decode(*self._kept, i, is_untouched)
        while True:
            found, frame = next(self._cursor)
            self._cursor_next = found + 1
            if found == i:
                return frame

    def _decode(self, container, stream, start: int, is_untouched: bool) -> Iterator[tuple[int, av.VideoFrame]]:
        """Yield (index, frame) for start, start + 1, … to the end without a hole, or raise BadVideo."""
        expected = start
        try:
            for i, frame in self._numbered(container, stream, start, is_untouched):
                if i < expected:
                    continue
                if i > expected:
                    break
                yield i, frame
                expected += 1
        except av.error.FFmpegError as error:
            raise BadVideo(
                f"{self._path} is damaged: frame {expected} of {len(self)} can't be decoded ({error.strerror})."
            ) from None
        if expected < len(self):
            raise BadVideo(f"{self._path} is damaged or truncated: frame {expected} of {len(self)} can't be decoded.")

    def _numbered(self, container, stream, start: int, is_untouched: bool) -> Iterator[tuple[int, av.VideoFrame]]:
        """Decoded frames with their numbers, beginning at or before `start`."""
        if not self._index.is_exact:
            yield from enumerate(container.decode(stream))
            return
        pts = self._index.pts
        for frame in self._after_seek(container, stream, start, is_untouched):
            if frame.pts is None:
                continue
            i = int(np.searchsorted(pts, frame.pts))
            if i < len(pts) and pts[i] == frame.pts:
                yield i, frame

    def _after_seek(self, container, stream, start: int, is_untouched: bool) -> Iterator[av.VideoFrame]:
        """Decode from a key frame at or before `start`; some demultiplexers land late, then try an earlier one."""
        pts, keys = self._index.pts, self._index.key_frames
        for key in keys[: np.searchsorted(keys, start, side="right")][:0:-1]:
            is_untouched = False
            container.seek(int(pts[key]), stream=stream, backward=True)
            decoded = container.decode(stream)
            first = next(decoded, None)
            if first is not None and first.pts is not None and first.pts <= pts[start]:
                yield first
                yield from decoded
                return
        if is_untouched:
            yield from container.decode(stream)
            return
        # No seek reaches the very beginning as surely as opening the file does.
        with open_video(self._path, self._max_frame_pixels) as (fresh, video):
            yield from fresh.decode(video)

    def _image(self, frame: av.VideoFrame, reformatter: VideoReformatter) -> UInt8[np.ndarray, "height width 3"]:
        """Shrink, convert to RGB and turn upright."""
        if (frame.width, frame.height) != self._stored_size:
            raise BadVideo(
                f"{self._path} changes its frame size from {self._stored_size[0]} x {self._stored_size[1]} to "
                f"{frame.width} x {frame.height} on the way: cut it where the size changes."
            )
        width, height = self._target_size
        rgb = reformatter.reformat(frame, width, height, "rgb24", interpolation=Interpolation.AREA).to_ndarray()
        if self._matrix[0, 0] == 0:
            rgb = rgb.transpose(1, 0, 2)
        if self._matrix[0].sum() < 0:
            rgb = rgb[:, ::-1]
        if self._matrix[1].sum() < 0:
            rgb = rgb[::-1]
        return np.ascontiguousarray(rgb)


def _shrunk(width: int, height: int, max_short_side_px: int | None) -> tuple[int, int]:
    """The stored size, or the even size with a shorter side of at most `max_short_side_px`; never enlarged."""
    if max_short_side_px is None or min(width, height) <= max_short_side_px:
        return width, height
    scale = (max_short_side_px - max_short_side_px % 2) / min(width, height)
    return max(2, 2 * round(width * scale / 2)), max(2, 2 * round(height * scale / 2))


def probe(path: str | os.PathLike) -> VideoInfo:
    """Read a video's size, rate, exact frame count, codec and rotation.

    Demultiplexes the whole file but decodes one frame only.

    Args:
        path: the video file.

    Raises:
        BadVideo: the file is missing, empty, truncated, too large per frame, or no video.
    """
    with VideoReader(path) as reader:
        return reader.info
