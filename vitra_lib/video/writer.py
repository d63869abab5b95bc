"""Writing H.264 mp4 files that every player and training loader reads, byte for byte the same each time.

The file is written beside its final name and renamed when it is complete: an error, a full disk or Ctrl-C leaves
nothing behind.
"""

import errno
import os
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from jaxtyping import UInt8

from vitra_lib.core.errors import BadInput, BadVideo, WriteFailed
from vitra_lib.core.files import atomic_path
from vitra_lib.video.container import open_video, read_index

_SMPTE170M = 6  # ITU-T H.273 code: the matrix that converters assume for untagged files, said out loud

_REASONS = {
    errno.EACCES: "no permission to write there",
    errno.EPERM: "no permission to write there",
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file is larger than this file system allows",
}


@dataclass(frozen=True)
class EncoderConfig:
    """How an mp4 is encoded.

    Attributes:
        width_px, height_px: size of the images given; the stored size is rounded up to even numbers.
        time_base: seconds per time stamp unit.
        rate: nominal frames per second [1/s].
        gop: largest distance between key frames [frames]: short means fast random access and a larger file.
        crf: constant rate factor of x264, 0 (lossless) to 51; 20 is visually clean.
    """

    width_px: int
    height_px: int
    time_base: Fraction
    rate: Fraction
    gop: int = 15
    crf: int = 20

    def __post_init__(self) -> None:
        if self.width_px < 1 or self.height_px < 1:
            raise BadInput(
                f"A video of {self.width_px} x {self.height_px} pixels can't be written: legal is 1 and more."
            )
        if self.time_base <= 0 or self.rate <= 0:
            raise BadInput(f"A video at {float(self.rate):g} frames per second can't be written: legal is more than 0.")
        if self.gop < 1:
            raise BadInput(f"gop is {self.gop}: legal is 1 (every frame a key frame) and more.")
        if not 0 <= self.crf <= 51:
            raise BadInput(f"crf is {self.crf}: legal are 0 to 51.")


class Mp4Encoder:
    """H.264 in mp4 with given time stamps; a context manager that renames at a clean exit and else removes."""

    def __init__(self, path: str | os.PathLike, config: EncoderConfig) -> None:
        self._path = Path(path)
        self._config = config
        self._exit = ExitStack()
        self._container: av.container.OutputContainer | None = None
        self._frame_count = 0
        self._durations: dict[int, int] = {}

    def __enter__(self) -> "Mp4Encoder":
        if self._path.is_dir():
            raise WriteFailed(f"{self._path} is a folder: give the name of the file to write.")
        config = self._config
        with ExitStack() as opening:
            self._partial = opening.enter_context(atomic_path(self._path))
            try:
                self._container = av.open(
                    f"file:{self._partial}",
                    "w",
                    format="mp4",
                    options={"movflags": "+faststart", "fflags": "+bitexact"},
                )
                stream = self._container.add_stream("libx264", rate=config.rate)
            except (av.error.FFmpegError, OSError) as error:
                raise self._failed(error) from None
            self._exit = opening.pop_all()
        stream.width = config.width_px + config.width_px % 2
        stream.height = config.height_px + config.height_px % 2
        stream.pix_fmt = "yuv420p"
        stream.time_base = config.time_base
        context = stream.codec_context
        context.time_base = config.time_base
        context.gop_size = config.gop
        context.max_b_frames = 0
        # One thread: x264 spends bits differently with another number of threads.
        context.thread_count = 1
        context.color_range = av.video.reformatter.ColorRange.MPEG
        context.colorspace = context.color_primaries = context.color_trc = _SMPTE170M
        # Without lookahead: its macroblock tree reads memory that depends on the process's past, so that about one
        # file in seven came out different for the same frames.
        params = "scenecut=0:open-gop=0:rc-lookahead=0:mbtree=0"
        context.options = {"crf": str(config.crf), "preset": "veryfast", "x264-params": params}
        self._stream = stream
        return self

    def __exit__(self, kind, error, trace) -> None:
        if kind is not None:
            self._close()
            self._exit.__exit__(kind, error, trace)
            return
        with self._exit:  # renames the finished file, or removes it when anything below raises
            try:
                if self._frame_count == 0:
                    raise WriteFailed(f"{self._path} was not written: no frame was given.")
                self._mux(None)
                self._container.close()
                self._verify()
            except (av.error.FFmpegError, OSError) as failure:
                raise self._failed(failure) from None
            finally:
                self._close()

    def write(self, image: UInt8[np.ndarray, "height width 3"], pts: int, duration: int = 0) -> None:
        """Append one RGB image.

        Args:
            image: (height, width, 3) of exactly the configured size.
            pts: presentation time in units of `time_base`, larger than the one before.
            duration: how long it is shown, in units of `time_base`; 0 = until the next one.

        Raises:
            BadInput: the image has another size or type.
            WriteFailed: the disk is full or the file can't be written.
        """
        config = self._config
        if self._container is None:
            raise BadInput("A video writer writes inside its `with` block only.")
        if image.dtype != np.uint8 or image.shape != (config.height_px, config.width_px, 3):
            raise BadInput(
                f"Image of {image.dtype} {image.shape} for {self._path.name}: "
                f"legal is uint8 ({config.height_px}, {config.width_px}, 3), RGB."
            )
        odd_rows, odd_columns = config.height_px % 2, config.width_px % 2
        if odd_rows or odd_columns:
            # 4:2:0 stores colour for 2 x 2 pixels: an odd edge is repeated.
            image = np.pad(image, ((0, odd_rows), (0, odd_columns), (0, 0)), mode="edge")
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace="ITU601", dst_color_range="MPEG")
        frame.pts = pts
        frame.time_base = config.time_base
        if duration > 0:
            self._durations[pts] = duration
        try:
            self._mux(frame)
        except (av.error.FFmpegError, OSError) as error:
            raise self._failed(error) from None
        self._frame_count += 1

    def _mux(self, frame: av.VideoFrame | None) -> None:
        for packet in self._stream.encode(frame):
            # The muxer would guess how long the last frame is shown from the mean rate.
            packet.duration = self._durations.pop(packet.pts, packet.duration or 0)
            self._container.mux(packet)

    def _verify(self) -> None:
        """Read the finished file's index back: a disk that filled up at the last moment must not pass."""
        limit = (self._config.width_px + 2) * (self._config.height_px + 2)
        try:
            with open_video(self._partial, limit) as (container, stream):
                count = len(read_index(self._partial, container, stream))
        except BadVideo as error:
            raise WriteFailed(f"{self._path} can't be written: the file on disk is not complete ({error})") from None
        if count != self._frame_count:
            raise WriteFailed(f"{self._path} can't be written: {count} of {self._frame_count} frames reached the disk.")

    def _failed(self, error: Exception) -> WriteFailed:
        reason = _REASONS.get(getattr(error, "errno", None)) or getattr(error, "strerror", None) or str(error)
        return WriteFailed(f"{self._path} can't be written: {reason}. Nothing was left behind.")

    def _close(self) -> None:
        """Let go of the partial file; after a failure, closing fails once more and must not hide the first error."""
        container, self._container = self._container, None
        if container is not None:
            with suppress(av.error.FFmpegError, OSError):
                container.close()


class VideoWriter:
    """Writes images at a constant rate to an H.264 mp4 (yuv420p, short GOP, no B-frames, index first).

    Odd sizes are stored with the last column or row repeated. Same images, same bytes. Use as a context manager.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        fps: float | int | Fraction,
        width_px: int,
        height_px: int,
        gop: int = 15,
        crf: int = 20,
    ) -> None:
        """Describe the video; the file is opened on entering the `with` block.

        Args:
            path: the mp4 to write; missing parent folders are made.
            fps: frames per second [1/s]; 29.97 and its like are taken for n/1001.
            width_px, height_px: size of the images.
            gop: largest distance between key frames [frames].
            crf: quality of x264, 0 (lossless) to 51.

        Raises:
            BadInput: a number is out of range.
        """
        if not fps > 0:
            raise BadInput(f"A video at {fps} frames per second can't be written: legal is more than 0.")
        rate = Fraction(fps).limit_denominator(1001)
        self._encoder = Mp4Encoder(path, EncoderConfig(width_px, height_px, 1 / rate, rate, gop, crf))
        self._next = 0

    def __enter__(self) -> "VideoWriter":
        self._encoder.__enter__()
        return self

    def __exit__(self, kind, error, trace) -> None:
        self._encoder.__exit__(kind, error, trace)

    def write(self, image: UInt8[np.ndarray, "height width 3"]) -> None:
        """Append one (height, width, 3) RGB image.

        Raises:
            BadInput: the image has another size or type.
            WriteFailed: the disk is full or the file can't be written.
        """
        self._encoder.write(image, self._next, 1)
        self._next += 1
