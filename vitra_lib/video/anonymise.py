"""Blurring faces in every frame that leaves the machine or goes into a dataset.

A blurred region keeps `BLOCKS` x `BLOCKS` mean colours and nothing else of what was in it, so no filter brings the
face back from one frame. Hands are never blurred on purpose; one that covers a face is blurred with it.
"""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from vitra_lib.core.errors import BadInput
from vitra_lib.video.faces import FaceConfig, FaceSighting, find_faces, link_faces
from vitra_lib.video.reader import VideoReader
from vitra_lib.video.writer import EncoderConfig, Mp4Encoder

log = logging.getLogger(__name__)

BLOCKS = 5
CAUTION = (
    "Faces are blurred only where the detector finds them: profiles, masks, faces half hidden or half turned, and "
    "faces smaller than a twentieth of the frame can be missed, and nothing else that tells who somebody is (tattoos, "
    "screens, letters) is touched, so look at the result before sharing it."
)
"""What anonymising can't promise; said in the log and by the commands that do it."""


@dataclass(frozen=True)
class AnonymiseConfig:
    """How faces are covered.

    Attributes:
        margin: how far the blurred ellipse reaches beyond the box from brow to chin, as a share of the box (0.5 covers
            hair, ears and chin).
        max_gap_s: a face missed between two sightings at most this far apart is covered too [s].
        hold_s: a face stays covered this long before its first and after its last sighting [s].
        faces: where and how faces are looked for.
    """

    margin: float = 0.5
    max_gap_s: float = 1.0
    hold_s: float = 0.3
    faces: FaceConfig = field(default_factory=FaceConfig)

    def __post_init__(self) -> None:
        if not 0 <= self.margin <= 3:
            raise BadInput(f"AnonymiseConfig.margin must be in [0, 3], not {self.margin}.")
        for name in ("max_gap_s", "hold_s"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise BadInput(f"AnonymiseConfig.{name} must be 0 s or more, not {getattr(self, name)}.")


@dataclass(frozen=True)
class AnonymiseCounts:
    """What was covered.

    Attributes:
        frames: frames seen.
        frames_blurred: frames with at least one covered face.
        faces_found: sightings of faces, one per face and frame.
        faces_filled: faces covered in frames in which the detector missed them.
    """

    frames: int
    frames_blurred: int
    faces_found: int
    faces_filled: int


def anonymise_frames(
    images: Sequence[UInt8[np.ndarray, "_ _ 3"]],
    times_s: Sequence[float] | None = None,
    config: AnonymiseConfig | None = None,
) -> tuple[list[UInt8[np.ndarray, "_ _ 3"]], int]:
    """Frames of one clip with faces covered.

    Args:
        images: RGB frames of one size, in time order, without anything drawn on them.
        times_s: their times [s]; None: frames have nothing to do with each other, and no gap is filled.
        config: how.

    Returns:
        The frames (new ones where a face was covered, the given ones elsewhere), and how many regions were covered.

    Raises:
        MissingAsset: there is no face detector; nothing may leave then.
    """
    config = config or AnonymiseConfig()
    if times_s is not None and len(times_s) != len(images):
        raise BadInput(f"{len(images)} frames need as many times, not {len(times_s)}.")
    found = [find_faces(image, config.faces) for image in images]
    if times_s is not None:
        found = link_faces(found, np.asarray(times_s, float), config.max_gap_s, config.hold_s)
    covered = [cover_faces(image, faces, config.margin) for image, faces in zip(images, found, strict=True)]
    return covered, sum(len(faces) for faces in found)


def anonymise_video(
    source: str | os.PathLike,
    target: str | os.PathLike,
    config: AnonymiseConfig | None = None,
    progress: bool = False,
) -> AnonymiseCounts:
    """Write a copy of a video with faces covered: same frames, same times, no sound.

    The video is read twice, once to find the faces and once to cover them, one frame in memory at a time.

    Args:
        source: the video.
        target: the mp4 to write, atomically; may be `source` itself.
        config: how.
        progress: show progress bars.

    Raises:
        BadVideo: the source can't be read.
        MissingAsset: there is no face detector; nothing is written.
        WriteFailed: the target can't be written; nothing is left behind.
    """
    config = config or AnonymiseConfig()
    with VideoReader(source) as reader:
        faces, times = [], []
        for frame in tqdm(reader.frames(), total=len(reader), desc="finding faces", disable=not progress):
            faces.append(find_faces(frame.image, config.faces))
            times.append(frame.time_s)
        covered = link_faces(faces, np.array(times), config.max_gap_s, config.hold_s)
        index = reader.index
        rate = Fraction(index.fps).limit_denominator(1001)
        pts = [int(p - index.pts[0]) for p in index.pts]
        durations = [after - now for now, after in zip(pts, pts[1:], strict=False)] + [index.last_duration]
        size = reader.info.width_px, reader.info.height_px
        with Mp4Encoder(target, EncoderConfig(*size, index.time_base, rate)) as encoder:
            for frame in tqdm(reader.frames(), total=len(reader), desc="covering faces", disable=not progress):
                image = cover_faces(frame.image, covered[frame.index], config.margin)
                encoder.write(image, pts[frame.index], durations[frame.index])
    seen = sum(len(f) for f in faces)
    counts = AnonymiseCounts(
        frames=len(faces),
        frames_blurred=sum(bool(f) for f in covered),
        faces_found=seen,
        faces_filled=sum(len(f) for f in covered) - seen,
    )
    log.info("%s: faces covered in %d of %d frames", source, counts.frames_blurred, counts.frames)
    _say_caution()
    return counts


@lru_cache(maxsize=1)
def _say_caution() -> None:
    """Once per run, however many videos are anonymised."""
    log.warning(CAUTION)


def cover_faces(
    image: UInt8[np.ndarray, "height width 3"], faces: Sequence[FaceSighting], margin: float = 0.5
) -> UInt8[np.ndarray, "height width 3"]:
    """The image with each face replaced by an ellipse of its coarse mean colours; the image itself without a face.

    Args:
        image: RGB; not changed.
        faces: where the faces are, in pixels of this image.
        margin: how far the ellipse reaches beyond the box, as a share of the box.
    """
    if not faces:
        return image
    drawn = image.copy()
    for face in faces:
        _cover(drawn, face.box_px, margin)
    return drawn


def _cover(image: np.ndarray, box: np.ndarray, margin: float) -> None:
    """Replace one ellipse, in place."""
    height, width = image.shape[:2]
    centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 * (1 + margin)
    x0, y0 = np.maximum(np.floor(centre - half), 0).astype(int)
    x1, y1 = np.minimum(np.ceil(centre + half).astype(int) + 1, (width, height))
    if x1 <= x0 or y1 <= y0:
        return
    region = image[y0:y1, x0:x1]
    means = cv2.resize(region, (BLOCKS, BLOCKS), interpolation=cv2.INTER_AREA)
    smooth = cv2.resize(means, (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR)
    y, x = np.mgrid[y0:y1, x0:x1]
    inside = ((x - centre[0]) / half[0]) ** 2 + ((y - centre[1]) / half[1]) ** 2 <= 1.0
    region[inside] = smooth[inside]
