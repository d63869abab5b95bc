"""What a captioner is given, one per segment; faces are blurred here, before anything is drawn or sent."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from vitra_lib.captioning.overlay import FrameSource, OverlayFrame, overlay_frames
from vitra_lib.captioning.question import item_of
from vitra_lib.contracts import Reconstruction, Segment

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CaptionTask:
    """One segment to describe.

    Attributes:
        reconstruction: camera and hands of its video.
        segment: the atomic action.
        frames: its pictures; empty for a captioner that needs none.
    """

    reconstruction: Reconstruction
    segment: Segment
    frames: tuple[OverlayFrame, ...] = ()

    @property
    def item(self) -> str:
        """How messages call it."""
        return item_of(self.segment, self.reconstruction.video_name)


@dataclass(frozen=True)
class PictureConfig:
    """What pictures a captioner gets.

    Attributes:
        is_needed: whether it looks at pictures at all; if not, none are decoded.
        has_path: whether the palm's path is drawn on them; False is the ablation (paper, Table 2).
        blurs_faces: whether faces are blurred first.
    """

    is_needed: bool = True
    has_path: bool = True
    blurs_faces: bool = False


def caption_tasks(
    reconstruction: Reconstruction, segments: Sequence[Segment], images: FrameSource, pictures: PictureConfig
) -> Iterator[CaptionTask]:
    """Tasks of one video, in order; their pictures are read when a task is taken, so that few are held at a time.

    Args:
        reconstruction: camera and hands of the video.
        segments: atomic actions of either hand.
        images: reader of the video's frames; not called when no pictures are needed.
        pictures: what is done to them.
    """
    source = without_faces(reconstruction, images) if pictures.blurs_faces else images
    for segment in segments:
        if pictures.is_needed:
            frames = overlay_frames(reconstruction, segment, source, has_path=pictures.has_path)
            yield CaptionTask(reconstruction, segment, frames)
        else:
            yield CaptionTask(reconstruction, segment)


def without_faces(reconstruction: Reconstruction, images: FrameSource) -> FrameSource:
    """A reader that blurs faces in what another one reads.

    Raises:
        MissingAsset: (when frames are read) no face detector can be loaded; then no frame may leave this machine.
    """
    from vitra_lib.video.anonymise import CAUTION, anonymise_frames  # loads mediapipe

    _log.info(CAUTION)

    def read(indices: list[int]) -> list[np.ndarray]:
        return anonymise_frames(images(indices), [float(reconstruction.time_s[i]) for i in indices])[0]

    return read
