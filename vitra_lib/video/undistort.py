"""From a distorted lens to a pinhole: maps made once, chunks of frames side by side, and a run that can be killed.

For every pixel of the pinhole picture the map says where the lens put it (`undistort_maps`). A video is cut into chunks
that start at a key frame; each chunk is read, remapped and encoded by one thread and left as a finished file in
`<out>.work`, so that a run that was killed goes on from there. At the end the chunks' packets are copied into one mp4
without encoding again, and the folder goes. Same input, same bytes, whatever the number of threads or of kills.
"""

import hashlib
import logging
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from jaxtyping import Bool, Float, Int16, UInt8, UInt16
from tqdm import tqdm

from vitra_lib.core.errors import BadInput, UnknownName, WriteFailed
from vitra_lib.core.files import atomic_path, remove_partials, sha256_of
from vitra_lib.geometry.cameras_lens import Lens, Pinhole
from vitra_lib.video.reader import VideoInfo, VideoReader, probe
from vitra_lib.video.writer import EncoderConfig, Mp4Encoder

_log = logging.getLogger(__name__)
_FILTERS = {"linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC}


@dataclass(frozen=True)
class UndistortConfig:
    """How a video is undistorted.

    Attributes:
        interpolation: "cubic" (as the official preprocessing) or "linear" (twice as fast).
        crf: constant rate factor of x264.
        gop_s: largest time between key frames [s].
        chunk_s: length of the pieces that survive a kill [s].
        workers: threads that each work on one chunk.
    """

    interpolation: str = "cubic"
    crf: int = 20
    gop_s: float = 0.5
    chunk_s: float = 10.0
    workers: int = 2

    def __post_init__(self) -> None:
        if self.interpolation not in _FILTERS:
            raise UnknownName("interpolation", self.interpolation, _FILTERS)
        if not (self.gop_s > 0 and self.chunk_s >= self.gop_s):
            raise BadInput(f"Chunks of {self.chunk_s} s with key frames every {self.gop_s} s: both must be positive.")
        if self.workers < 1:
            raise BadInput(f"workers is {self.workers}: legal is 1 and more.")
        if not 0 <= self.crf <= 51:
            raise BadInput(f"crf is {self.crf}: legal are 0 to 51.")


@dataclass(frozen=True)
class UndistortMaps:
    """Where each pixel of the pinhole picture lies in the lens's.

    Attributes:
        place: (height, width, 2) whole source pixels.
        fraction: (height, width) code of the part of a pixel, in OpenCV's fixed-point table.
        is_seen: (height, width) False where the lens shows nothing; such pixels become black.
    """

    place: Int16[np.ndarray, "height width 2"]
    fraction: UInt16[np.ndarray, "height width"]
    is_seen: Bool[np.ndarray, "height width"]


def undistort_maps(lens: Lens, pinhole: Pinhole) -> UndistortMaps:
    """Maps from a pinhole picture into a lens's.

    Args:
        lens: the lens the video was taken with.
        pinhole: the camera wanted, with the same axes.
    """
    columns, rows = np.meshgrid(np.arange(pinhole.width_px), np.arange(pinhole.height_px))
    uv = lens.project(pinhole.unproject(np.stack([columns, rows], axis=-1).astype(float)))
    is_seen = _is_inside(uv, lens)
    uv = np.where(is_seen[..., None], uv, -10.0).astype(np.float32)
    place, fraction = cv2.convertMaps(uv[..., 0], uv[..., 1], cv2.CV_16SC2)
    return UndistortMaps(place, fraction, is_seen)


def undistort_image(
    image: UInt8[np.ndarray, "height width 3"], maps: UndistortMaps, interpolation: str = "cubic"
) -> UInt8[np.ndarray, "new_height new_width 3"]:
    """One picture as the pinhole camera would have seen it; black where the lens shows nothing."""
    new = cv2.remap(image, maps.place, maps.fraction, _FILTERS[interpolation], borderMode=cv2.BORDER_CONSTANT)
    new[~maps.is_seen] = 0  # the filter would draw a grey seam from inside
    return new


def widest_pinhole(lens: Lens) -> Pinhole:
    """The pinhole of the lens's frame size that sees most without a black border: square pixels, centred."""
    width, height = lens.width_px, lens.height_px
    edge = np.concatenate(
        [
            np.stack([np.linspace(0, width - 1, 65), np.full(65, y)], axis=1) for y in (0.0, height - 1.0)
        ] + [
            np.stack([np.full(65, x), np.linspace(0, height - 1, 65)], axis=1) for x in (0.0, width - 1.0)
        ]
    )  # fmt: skip
    low, high = np.log(width / 19), np.log(width * 49)
    for _ in range(40):
        middle = 0.5 * (low + high)
        pinhole = _centred(np.exp(middle), width, height)
        if _is_inside(lens.project(pinhole.unproject(edge)), lens).all():
            high = middle
        else:
            low = middle
    return _centred(np.exp(high), width, height)


def undistort_video(
    source: str | os.PathLike,
    target: str | os.PathLike,
    lens: Lens,
    pinhole: Pinhole,
    config: UndistortConfig | None = None,
    progress: bool = False,
) -> VideoInfo:
    """Write a video as a pinhole camera would have seen it: same frames at the same times, upright.

    Args:
        source: the video; its upright frames must have the lens's size.
        target: the mp4 to write. Finished chunks wait in the folder `<target>.work` until it is complete.
        lens: what it was taken with.
        pinhole: what it shall look like; `widest_pinhole` makes one.
        config: encoding, chunk length, threads.
        progress: show a progress bar over chunks.

    Returns:
        What was written.

    Raises:
        BadVideo: the video can't be read.
        BadInput: the lens is for frames of another size.
        WriteFailed: nothing can be written there; finished chunks stay for the next run.
    """
    source, target, config = Path(source), Path(target), config or UndistortConfig()
    job = _Job.of(source, target, lens, pinhole, config)
    work = target.with_name(target.name + ".work")
    remove_partials(work)
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteFailed(f"The folder {work} can't be made: {error.strerror or error}.") from error
    parts = [work / f"{job.key}-{i:05d}.mp4" for i in range(len(job.ranges))]
    todo = [i for i, part in enumerate(parts) if not part.exists()]
    with tqdm(total=len(parts), initial=len(parts) - len(todo), unit="chunk", disable=not progress) as bar:
        _run(job, parts, todo, bar)
    _join(parts, job, target)
    shutil.rmtree(work, ignore_errors=True)
    return probe(target)


@dataclass(frozen=True)
class _Job:
    """What every chunk needs; nothing of it changes."""

    source: Path
    maps: UndistortMaps
    config: UndistortConfig
    encoder: EncoderConfig
    pts: tuple[int, ...]
    durations: tuple[int, ...]
    ranges: tuple[tuple[int, int], ...]
    key: str

    @classmethod
    def of(cls, source: Path, target: Path, lens: Lens, pinhole: Pinhole, config: UndistortConfig) -> "_Job":
        with VideoReader(source) as reader:
            info, index = reader.info, reader.index
        if (info.width_px, info.height_px) != (lens.width_px, lens.height_px):
            raise BadInput(
                f"{source.name} shows frames of {info.width_px} x {info.height_px} pixels, the lens is calibrated for "
                f"{lens.width_px} x {lens.height_px}: give the calibration of this video."
            )
        pts = tuple(int(p - index.pts[0]) for p in index.pts)
        durations = tuple(b - a for a, b in zip(pts, pts[1:], strict=False)) + (index.last_duration,)
        gop = max(1, round(config.gop_s * index.fps))
        length = gop * max(1, round(config.chunk_s * index.fps / gop))
        rate = Fraction(index.fps).limit_denominator(1001)
        encoder = EncoderConfig(pinhole.width_px, pinhole.height_px, index.time_base, rate, gop, config.crf)
        maps = undistort_maps(lens, pinhole)
        if not maps.is_seen.any():
            raise BadInput("The lens shows nothing of what the pinhole camera would see: check both calibrations.")
        digest = hashlib.sha256(sha256_of(source).encode())
        for array in (maps.place, maps.fraction, maps.is_seen):
            digest.update(np.ascontiguousarray(array).tobytes())
        digest.update(repr([asdict(encoder), config.interpolation, length]).encode())
        ranges = tuple((i, min(i + length, len(pts))) for i in range(0, len(pts), length))
        return cls(source, maps, config, encoder, pts, durations, ranges, digest.hexdigest()[:16])


def _run(job: _Job, parts: Sequence[Path], todo: Sequence[int], bar: tqdm) -> None:
    """Make the missing chunks, several at a time; the first failure stops the rest."""
    with ThreadPoolExecutor(job.config.workers) as pool:
        futures = [pool.submit(_chunk, job, job.ranges[i], parts[i]) for i in todo]
        for future in futures:
            future.add_done_callback(lambda _: bar.update())
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    for future in futures:
        if not future.cancelled():
            future.result()


def _chunk(job: _Job, frames: tuple[int, int], part: Path) -> None:
    """Read, remap and encode one range of frames; one frame in memory at a time."""
    start, stop = frames
    with VideoReader(job.source) as reader, Mp4Encoder(part, job.encoder) as encoder:
        for frame in reader.frames(start, stop):
            image = undistort_image(frame.image, job.maps, job.config.interpolation)
            encoder.write(image, job.pts[frame.index] - job.pts[start], job.durations[frame.index])


def _join(parts: Sequence[Path], job: _Job, target: Path) -> None:
    """Copy the chunks' packets into one file; there are no B-frames, so packets come in the order of frames."""
    with atomic_path(target) as whole:
        try:
            options = {"movflags": "+faststart", "fflags": "+bitexact"}
            with av.open(f"file:{whole}", "w", format="mp4", options=options) as out:
                stream = None
                for part, (start, stop) in zip(parts, job.ranges, strict=True):
                    stream = _copy(part, out, stream, job, range(start, stop))
        except (av.error.FFmpegError, OSError) as error:
            raise WriteFailed(f"{target} can't be written: {error.strerror or error}.") from error


def _copy(part: Path, out: av.container.OutputContainer, stream, job: _Job, frames: range):
    with av.open(f"file:{part}", "r") as chunk:
        if stream is None:
            stream = out.add_stream_from_template(chunk.streams.video[0])
            stream.time_base = job.encoder.time_base
        packets = [packet for packet in chunk.demux(video=0) if packet.size]
        if len(packets) != len(frames):
            part.unlink()
            raise WriteFailed(f"The chunk {part.name} was damaged and is removed: run the same command again.")
        for i, packet in zip(frames, packets, strict=True):
            packet.stream, packet.time_base = stream, job.encoder.time_base
            packet.pts = packet.dts = job.pts[i]
            packet.duration = job.durations[i]
            out.mux(packet)
    return stream


def _is_inside(uv_px: Float[np.ndarray, "*batch 2"], lens: Lens) -> Bool[np.ndarray, "*batch"]:
    """Whether pixels lie in the lens's frame; half a pixel outside of the outermost centres still counts."""
    with np.errstate(invalid="ignore"):
        inside = (uv_px >= -0.5).all(-1) & (uv_px <= np.array([lens.width_px, lens.height_px]) - 0.5).all(-1)
    return np.asarray(inside & np.isfinite(uv_px).all(-1))


def _centred(focal_px: float, width_px: int, height_px: int) -> Pinhole:
    K = np.array([[focal_px, 0, (width_px - 1) / 2], [0, focal_px, (height_px - 1) / 2], [0, 0, 1.0]])
    return Pinhole(K, width_px, height_px)
