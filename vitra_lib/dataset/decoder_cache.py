"""Random frames from many videos, fast and in bounded memory: open decoders and decoded frames are kept.

To reach a frame, a decoder must start at the key frame before it. What is decoded on the way is kept as the decoder
gives it (planar YUV, half the size of RGB) until the memory limit pushes it out, least recently used first; the
decoder itself stays where it is, so the next frames of the same group of pictures cost one step each.

Videos of a store need no index to be read first: their frame n is at time n / fps by contract, and every decoded frame
is checked against that. Any other video goes through `VideoReader`, which reads all time stamps when it opens a file.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from jaxtyping import UInt8

from vitra_lib.core.errors import BadInput, BadVideo
from vitra_lib.video import VideoReader
from vitra_lib.video.container import open_video


class Picture(NamedTuple):
    """A decoded frame as it is kept.

    Attributes:
        data: (3 height / 2, width) planar YUV 4:2:0, or (height, width, 3) RGB.
        colour: colour space and range of YUV, codes of ITU-T H.273; None where `data` is RGB.
    """

    data: UInt8[np.ndarray, "..."]
    colour: tuple[int, int] | None


class DecoderCache:
    """Decoded frames and open videos of one process. Copies made for worker processes start empty."""

    def __init__(self, max_bytes: int = 256 << 20, max_open: int = 32) -> None:
        """Prepare an empty cache.

        Args:
            max_bytes: memory for decoded frames; one frame is kept whatever its size.
            max_open: videos that are kept open.
        """
        if max_bytes < 0 or max_open < 1:
            raise BadInput(f"A cache of {max_bytes} bytes and {max_open} videos can't work: legal are 0, 1 and more.")
        self.max_bytes, self.max_open = max_bytes, max_open
        self.hits, self.misses = 0, 0
        self._bytes = 0
        self._reformatter = VideoReformatter()
        self._frames: OrderedDict[tuple[str, int], Picture] = OrderedDict()
        self._open: OrderedDict[str, StoreVideo | _AnyVideo] = OrderedDict()

    @property
    def used_bytes(self) -> int:
        """Memory that decoded frames take now."""
        return self._bytes

    @property
    def open_count(self) -> int:
        """Videos that are open now."""
        return len(self._open)

    def images(
        self, path: str | Path, frames: Sequence[int], store_fps: int | None = None
    ) -> list[UInt8[np.ndarray, "height width 3"]]:
        """RGB images of some frames of one video.

        Args:
            path: the video.
            frames: 0-based frame numbers, any order, repeats allowed.
            store_fps: frame rate [1/s] of a store's own copy (frame n at time n / fps), None for any other video.

        Returns:
            One image per number; the caller may write into it.

        Raises:
            BadInput: a frame is outside the video.
            BadVideo: the video can't be opened, or is damaged there.
        """
        key = str(path)
        made: dict[int, np.ndarray] = {}
        for frame in sorted({int(number) for number in frames}):
            kept = self._frames.get((key, frame))
            if kept is None:
                self.misses += 1
                kept = self._decode(key, frame, store_fps)
            else:
                self.hits += 1
                self._frames.move_to_end((key, frame))
            made[frame] = self._rgb(kept)
        return [made[int(number)] if n == 0 else made[int(number)].copy() for n, number in _repeats(frames)]

    def _decode(self, key: str, frame: int, store_fps: int | None) -> Picture:
        video = self._video(key, store_fps)
        try:
            for number, picture in video.until(frame):
                self._keep((key, number), picture)
        except BaseException:
            self._forget(key)
            raise
        return picture

    def _keep(self, key: tuple[str, int], picture: Picture) -> None:
        old = self._frames.pop(key, None)
        self._bytes += picture.data.nbytes - (0 if old is None else old.data.nbytes)
        self._frames[key] = picture
        while self._bytes > self.max_bytes and len(self._frames) > 1:
            self._bytes -= self._frames.popitem(last=False)[1].data.nbytes

    def _rgb(self, picture: Picture) -> UInt8[np.ndarray, "height width 3"]:
        """A new image, the one that `VideoReader` gives for the same frame."""
        if picture.colour is None:
            return picture.data.copy()
        frame = av.VideoFrame.from_ndarray(picture.data, format="yuv420p")
        frame.colorspace, frame.color_range = picture.colour
        size = (frame.width, frame.height)
        return self._reformatter.reformat(frame, *size, "rgb24", interpolation=Interpolation.AREA).to_ndarray()

    def _video(self, key: str, store_fps: int | None) -> "StoreVideo | _AnyVideo":
        if key not in self._open:
            while len(self._open) >= self.max_open:
                self._open.popitem(last=False)[1].close()
            self._open[key] = _AnyVideo(Path(key)) if store_fps is None else StoreVideo(Path(key), store_fps)
        self._open.move_to_end(key)
        return self._open[key]

    def _forget(self, key: str) -> None:
        """Close a video in which something went wrong: its decoder may stand anywhere."""
        video = self._open.pop(key, None)
        if video is not None:
            video.close()

    def close(self) -> None:
        """Close all videos and forget all frames; the cache may be used again."""
        for video in self._open.values():
            video.close()
        self._open.clear()
        self._frames.clear()
        self._bytes = 0

    def __getstate__(self) -> dict[str, object]:
        return {"max_bytes": self.max_bytes, "max_open": self.max_open}

    def __setstate__(self, state: dict[str, int]) -> None:
        self.__init__(**state)


class StoreVideo:
    """One of a store's mp4 files: frame n at time n / fps, no B-frames, a key frame every few frames."""

    def __init__(self, path: Path, fps: int) -> None:
        """Open the file; no packet is read.

        Raises:
            BadVideo: it can't be opened, or its clock can't show n / fps.
        """
        self._path = path
        self._exit = ExitStack()
        self._container, self._stream = self._exit.enter_context(open_video(path))
        context = self._stream.codec_context
        # More threads would decode frames ahead that a jump throws away.
        context.thread_type, context.thread_count = "SLICE", 1
        step = Fraction(1, fps) / self._stream.time_base
        if step.denominator != 1:
            self._exit.close()
            clock = self._stream.time_base
            raise BadVideo(f"{path} has a clock of {clock} s, which can't show {fps} frames per second.")
        self._step = int(step)
        self._cursor: Iterator[av.VideoFrame] | None = None
        self._next = -1

    def close(self) -> None:
        """Close the file."""
        self._cursor = None
        self._exit.close()

    def until(self, frame: int) -> Iterator[tuple[int, Picture]]:
        """Decode up to `frame`: number and picture of every frame passed on the way; the last one is `frame`.

        Raises:
            BadInput: the video has no such frame.
            BadVideo: a frame is damaged, or not at the time at which a store's frame must be.
        """
        if not 0 <= frame < (self._stream.frames or frame + 1):
            raise BadInput(f"Frame {frame} of {self._path.name}: legal are 0 to {self._stream.frames - 1}.")
        try:
            if self._cursor is None or not self._can_run_on(frame):
                self._container.seek(frame * self._step, stream=self._stream, backward=True)
                self._cursor, self._next = self._container.decode(self._stream), -1
            for picture in self._cursor:
                number = self._number(picture)
                if number > frame:
                    break
                self._next = number + 1
                yield number, self._picture(picture)
                if number == frame:
                    return
        except av.error.FFmpegError as error:
            reason = f"frame {frame} can't be decoded ({error.strerror})"
            raise BadVideo(f"{self._path} is damaged: {reason}.") from None
        raise BadVideo(f"{self._path} is damaged or truncated: frame {frame} can't be decoded.")

    def _can_run_on(self, frame: int) -> bool:
        """Whether `frame` is ahead of the decoder with no key frame between, to which a jump would be shorter."""
        if frame < self._next:
            return False
        entry = self._stream.index_entries.search_timestamp(frame * self._step, backward=True)
        return entry >= 0 and self._stream.index_entries[entry].timestamp // self._step <= self._next

    def _number(self, picture: av.VideoFrame) -> int:
        if picture.pts is None or picture.pts % self._step:
            raise BadVideo(f"{self._path} is not a store's video: a frame's time is not a multiple of 1 / fps.")
        number = picture.pts // self._step
        if self._next >= 0 and number != self._next:
            raise BadVideo(f"{self._path} is damaged: frame {self._next} is missing.")
        return number

    def _picture(self, picture: av.VideoFrame) -> Picture:
        """A copy: the decoder's own buffers would stay allocated as long as the file is open."""
        if picture.format.name != "yuv420p":
            raise BadVideo(f"{self._path} is not a store's video: its pixels are {picture.format.name}, not yuv420p.")
        return Picture(picture.to_ndarray(), (int(picture.colorspace), int(picture.color_range)))


class _AnyVideo:
    """Any other video; its frames are kept as RGB."""

    def __init__(self, path: Path) -> None:
        self._reader = VideoReader(path)

    def close(self) -> None:
        self._reader.close()

    def until(self, frame: int) -> Iterator[tuple[int, Picture]]:
        yield frame, Picture(self._reader.at([frame])[0].image, None)


def _repeats(frames: Sequence[int]) -> Iterator[tuple[int, int]]:
    """(how often it came before, number) of each entry."""
    seen: dict[int, int] = {}
    for frame in frames:
        yield seen.get(int(frame), 0), frame
        seen[int(frame)] = seen.get(int(frame), 0) + 1
