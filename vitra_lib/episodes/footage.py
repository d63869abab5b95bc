"""The store's copies of source videos: small frames, short GOP, one mp4 per video, frame n at time n / fps.

Frames keep their number: a variable frame rate is laid on the store's uniform clock, and the true times stay in the
labels (`time_s`). A video longer than `max_piece_s` becomes several overlapping mp4 files, because loaders compare
times as float32, which beyond 1024 s can't tell neighbouring frames apart to their tolerance of 0.1 ms.
"""

import json
import math
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from vitra_lib.core.errors import BadInput
from vitra_lib.core.files import atomic_folder
from vitra_lib.video import VideoReader, VideoWriter
from vitra_lib.video.transcode import MAX_TRANSCODED_PIXELS

_CARD = "footage.json"


@dataclass(frozen=True)
class FootageConfig:
    """How source videos are copied.

    Attributes:
        short_side_px: bound of the shorter side of stored frames [px].
        width_px, height_px: exact size of stored frames, or None to take it from the first video. All videos of a
            store share one size; a video of another shape is stretched, and `Episode.K_for` follows.
        fps: nominal frame rate of the store, or None to take the first video's, rounded [1/s].
        gop: largest distance between key frames [frames].
        crf: quality of x264, 0 to 51.
        max_piece_s, overlap_s: longest mp4, and what neighbours share, so that every episode fits into one [s].
        anonymise: make detected faces unrecognisable in the copies.
    """

    short_side_px: int = 256
    width_px: int | None = None
    height_px: int | None = None
    fps: int | None = None
    gop: int = 10
    crf: int = 20
    max_piece_s: float = 900.0
    overlap_s: float = 60.0
    anonymise: bool = False

    def __post_init__(self) -> None:
        if (self.width_px is None) != (self.height_px is None):
            raise BadInput("Give both width_px and height_px of the store's frames, or neither.")
        for name in ("width_px", "height_px"):
            size = getattr(self, name)
            if size is not None and (size < 2 or size % 2):
                raise BadInput(f"{name} is {size}: legal are even numbers from 2.")
        if self.fps is not None and self.fps < 1:
            raise BadInput(f"fps is {self.fps}: legal are whole numbers from 1.")
        if not 0 < self.overlap_s < self.max_piece_s:
            raise BadInput(f"overlap_s is {self.overlap_s}: legal is between 0 and max_piece_s = {self.max_piece_s}.")


@dataclass(frozen=True)
class Footage:
    """A copied video: a folder with "piece-000.mp4"… and a card.

    Attributes:
        folder: where the pieces are.
        source_files: file names of the source, in order.
        source_fps: mean frame rate of the source [1/s].
        source_width_px, source_height_px: size of the source's frames.
        frame_count: frames of the source.
        fps, width_px, height_px, gop: of the copy.
        pieces: half-open source-frame interval of each mp4.
        is_anonymised: whether detected faces were made unrecognisable.
    """

    folder: Path
    source_files: tuple[str, ...]
    source_fps: float
    source_width_px: int
    source_height_px: int
    frame_count: int
    fps: int
    width_px: int
    height_px: int
    gop: int
    pieces: tuple[tuple[int, int], ...]
    is_anonymised: bool = False

    def path(self, piece: int) -> Path:
        """File of one piece."""
        return self.folder / f"piece-{piece:03d}.mp4"

    @classmethod
    def load(cls, folder: Path) -> "Footage":
        """Read the card of a prepared folder."""
        try:
            card = json.loads((folder / _CARD).read_text())
        except (OSError, ValueError) as error:
            raise BadInput(f"{folder} holds no prepared video: {_CARD} is missing or damaged.") from error
        card["source_files"] = tuple(card["source_files"])
        card["pieces"] = tuple((start, stop) for start, stop in card["pieces"])
        return cls(folder=folder, **card)

    def _save(self) -> None:
        card = {name: value for name, value in vars(self).items() if name != "folder"}
        (self.folder / _CARD).write_text(json.dumps(card, indent=1))


def plan_pieces(frame_count: int, fps: int, config: FootageConfig) -> tuple[tuple[int, int], ...]:
    """Half-open frame intervals that cover a video; they start at multiples of the GOP, to join without loss."""
    overlap = math.ceil(config.overlap_s * fps)
    step = max(int(config.max_piece_s * fps) - overlap, config.gop)
    step -= step % config.gop
    pieces = []
    start = 0
    while True:
        stop = min(start + step + overlap, frame_count)
        pieces.append((start, stop))
        if stop == frame_count:
            return tuple(pieces)
        start += step


def prepare_footage(
    files: Sequence[str | os.PathLike], folder: str | os.PathLike, config: FootageConfig, progress: bool = False
) -> Footage:
    """Copy a source video into a new folder, all or nothing.

    Args:
        files: the source video; several files are consecutive parts of one video.
        folder: must not exist; it appears when the copy is complete.
        config: size, rate and GOP.
        progress: show a progress bar.

    Raises:
        BadVideo: a file can't be read.
        BadInput: `folder` exists, or `files` is empty.
        WriteFailed: no permission, or the disk is full.
    """
    if not files:
        raise BadInput("A video needs at least one file.")
    folder = Path(folder)
    if folder.exists():
        raise BadInput(f"{folder} exists already.")
    files = [Path(file) for file in files]
    with atomic_folder(folder) as partial, ExitStack() as stack:
        shown = [_anonymised(file, partial, n, progress) for n, file in enumerate(files)] if config.anonymise else files
        readers = [
            stack.enter_context(VideoReader(file, config.short_side_px, MAX_TRANSCODED_PIXELS)) for file in shown
        ]
        footage = _plan(readers, files, partial, config)
        _encode(readers, footage, config, progress)
        footage._save()
        for file in set(shown) - set(files):
            file.unlink()
    return Footage.load(folder)


def _anonymised(file: Path, folder: Path, number: int, progress: bool) -> Path:
    """A copy, frame by frame, in which detected faces are unrecognisable."""
    from vitra_lib.video.anonymise import anonymise_video

    target = folder / f"anonymised-{number}.mp4"
    anonymise_video(file, target, progress=progress)
    with VideoReader(file) as before, VideoReader(target) as after:
        if len(before) != len(after):
            raise BadInput(f"Anonymising {file.name} gave {len(after)} of {len(before)} frames: transcode it first.")
    return target


def _plan(readers: list[VideoReader], files: list[Path], folder: Path, config: FootageConfig) -> Footage:
    first = readers[0].info
    width = config.width_px or first.width_px + first.width_px % 2
    height = config.height_px or first.height_px + first.height_px % 2
    count = sum(len(reader) for reader in readers)
    fps = config.fps or max(round(first.fps), 1)
    with VideoReader(files[0], None, MAX_TRANSCODED_PIXELS) as original:
        source = original.info
    return Footage(
        folder=folder,
        source_files=tuple(file.name for file in files),
        source_fps=first.fps,
        source_width_px=source.width_px,
        source_height_px=source.height_px,
        frame_count=count,
        fps=fps,
        width_px=width,
        height_px=height,
        gop=config.gop,
        pieces=plan_pieces(count, fps, config),
        is_anonymised=config.anonymise,
    )


def _encode(readers: list[VideoReader], footage: Footage, config: FootageConfig, progress: bool) -> None:
    writers: dict[int, tuple[VideoWriter, ExitStack]] = {}
    images = (frame.image for reader in readers for frame in reader.frames())
    size = (footage.width_px, footage.height_px)
    with ExitStack() as open_writers:
        for n, image in enumerate(tqdm(images, total=footage.frame_count, unit="frame", disable=not progress)):
            image = _resized(image, *size)
            for piece, (start, stop) in enumerate(footage.pieces):
                if not start <= n < stop:
                    continue
                if n == start:
                    stack = open_writers.enter_context(ExitStack())
                    writer = VideoWriter(footage.path(piece), float(footage.fps), *size, config.gop, config.crf)
                    writers[piece] = (stack.enter_context(writer), stack)
                writers[piece][0].write(image)
                if n == stop - 1:
                    writers.pop(piece)[1].close()


def _resized(image: UInt8[np.ndarray, "h w 3"], width: int, height: int) -> UInt8[np.ndarray, "height width 3"]:
    if image.shape[:2] == (height, width):
        return image
    import cv2

    shrinks = image.shape[0] * image.shape[1] > width * height
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
