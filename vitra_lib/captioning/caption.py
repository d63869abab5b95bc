"""Caption every segment with one captioner; "N/A" and unusable answers are counted, never hidden."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from tqdm import tqdm

from vitra_lib.captioning.answer import Answer, BadAnswer
from vitra_lib.captioning.chat import ChatCaptioner
from vitra_lib.captioning.motion import MotionCaptioner
from vitra_lib.captioning.overlay import FrameSource, OverlayFrame, overlay_frames
from vitra_lib.contracts import Caption, Reconstruction, Rejection, Segment
from vitra_lib.core.errors import UnknownName

CAPTIONERS = ("motion-only", "openai:<model>")


@runtime_checkable
class Captioner(Protocol):
    """Anything that can answer for a segment.

    Attributes:
        name: recorded as the caption's source.
        is_weak: its sentences name no object.
        needs_images: whether `answer` looks at the frames (if not, none are decoded).
    """

    name: str
    is_weak: bool
    needs_images: bool

    def answer(self, reconstruction: Reconstruction, segment: Segment, frames: tuple[OverlayFrame, ...]) -> Answer:
        """Describe one segment."""
        ...


def make_captioner(name: str, cache_dir: Path | None = None) -> Captioner:
    """A captioner by name: "motion-only", or "openai:<model>" for an OpenAI-compatible endpoint.

    Raises:
        UnknownName: neither of the two.
        MissingAsset: an endpoint was asked for and none is set in the environment.
    """
    if name == MotionCaptioner.name:
        return MotionCaptioner()
    if name.startswith("openai:") and len(name) > len("openai:"):
        return ChatCaptioner(name.removeprefix("openai:"), cache_dir)
    raise UnknownName("captioner", name, CAPTIONERS)


def caption(
    reconstruction: Reconstruction,
    segments: Sequence[Segment],
    images: FrameSource,
    captioner: Captioner,
    progress: bool = False,
    on_each: Callable[[Caption], None] | None = None,
) -> tuple[tuple[Caption, ...], tuple[Rejection, ...]]:
    """Caption segments in order.

    Args:
        reconstruction: camera and hands of the video.
        segments: atomic actions of either hand.
        images: reader of video frames; not called when the captioner needs none.
        captioner: who answers.
        progress: show a progress bar.
        on_each: called after each caption.

    Returns:
        captions: one per answered segment, "N/A" ones included (`is_na`).
        rejections: one per "N/A" answer and per segment whose answer was unusable.
    """
    captions, rejections = [], []
    for segment in tqdm(segments, desc="captions", disable=not progress):
        frames = overlay_frames(reconstruction, segment, images) if captioner.needs_images else ()
        item = f"{segment.side} hand, frames [{segment.start}, {segment.stop})"
        try:
            answer = captioner.answer(reconstruction, segment, frames)
        except BadAnswer as error:
            rejections.append(Rejection("captioning", item, "bad_answer", str(error), segment.start, segment.stop))
            continue
        if answer.is_na:
            rejections.append(Rejection("captioning", item, "caption_na", answer.think, segment.start, segment.stop))
        captions.append(Caption(segment, answer.action, answer.is_na, captioner.name, captioner.is_weak, answer.think))
        if on_each is not None:
            on_each(captions[-1])
    return tuple(captions), tuple(rejections)
