"""Run a captioner on clips of the synthetic world and judge it; one clip at a time, so that few pictures are held."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from vitra_lib.captioning import Captioner, caption, unanswered
from vitra_lib.contracts import Rejection, Segment
from vitra_lib.core.errors import UnknownName
from vitra_lib.evaluation.captions import Judgement, judge_clip
from vitra_lib.segmentation import SegmentationConfig, segment
from vitra_lib.tabletop.clip import TabletopClip
from vitra_lib.tabletop.config import ClipConfig
from vitra_lib.tabletop.generate import generate_clip
from vitra_lib.tabletop.rendering import clip_folder, is_done, render_one
from vitra_lib.video import VideoReader

CUTS = ("truth", "speed-minima", "fixed-interval")
SHORT_SIDE_PX = 360


@dataclass(frozen=True)
class CaptionCondition:
    """Under which a captioner is measured.

    Attributes:
        has_path: whether the palm's path is drawn on the pictures.
        cuts: where the segments come from: "truth", or a cutting rule on the true tracks.
    """

    has_path: bool = True
    cuts: str = "truth"

    def __post_init__(self) -> None:
        if self.cuts not in CUTS:
            raise UnknownName("kind of cuts", self.cuts, CUTS)


@dataclass(frozen=True)
class CaptionTrial:
    """What came out.

    Attributes:
        judged: one judgement per segment whose hand is in view.
        rejections: what the captioner dropped or could not answer, N/A included.
    """

    judged: tuple[Judgement, ...]
    rejections: tuple[Rejection, ...]

    @property
    def unanswered(self) -> int:
        """Segments that another run may still get answered."""
        return len(unanswered(self.rejections))


def world_captions(
    captioner: Captioner,
    clips: Sequence[ClipConfig],
    clips_dir: Path,
    condition: CaptionCondition | None = None,
    progress: bool = False,
) -> CaptionTrial:
    """Caption clips of the world and compare with their truth.

    Args:
        captioner: who is measured.
        clips: what to draw.
        clips_dir: folder of rendered clips; those in it are reused. Nothing is rendered for a captioner without eyes.
        condition: how the segments are cut and shown.
        progress: show a bar.
    """
    condition = condition or CaptionCondition()
    judged: list[Judgement] = []
    rejections: list[Rejection] = []
    for number, config in enumerate(tqdm(clips, desc="clips captioned", unit="clip", disable=not progress)):
        if captioner.needs_images:
            folder = render_one(config, clips_dir)
            clip = TabletopClip.load(folder)
            segments = condition_segments(clip, condition)
            with VideoReader(folder / clip.truth.video_name, max_short_side_px=SHORT_SIDE_PX) as reader:

                def images(indices: list[int], reader: VideoReader = reader) -> list[np.ndarray]:
                    return [frame.image for frame in reader.at(indices)]

                done = caption(clip.truth, segments, images, captioner, has_path=condition.has_path)
        else:
            clip = _without_pictures(config, clips_dir)
            segments = condition_segments(clip, condition)
            done = caption(clip.truth, segments, _no_pictures, captioner)
        judged += judge_clip(clip, segments, done[0], number)
        rejections += done[1]
    return CaptionTrial(tuple(judged), tuple(rejections))


def condition_segments(clip: TabletopClip, condition: CaptionCondition) -> tuple[Segment, ...]:
    """The segments of a clip under a condition."""
    if condition.cuts == "truth":
        return clip.segments
    return tuple(segment(clip.truth, SegmentationConfig(rule=condition.cuts)).segments)


def _without_pictures(config: ClipConfig, clips_dir: Path) -> TabletopClip:
    """The clip from disk if it was rendered, else planned anew, which is the same but for the video."""
    folder = clip_folder(clips_dir, config)
    return TabletopClip.load(folder) if is_done(folder, config) else generate_clip(config)


def _no_pictures(indices: list[int]) -> list[np.ndarray]:
    raise AssertionError(f"A captioner without eyes asked for frames {indices}.")
