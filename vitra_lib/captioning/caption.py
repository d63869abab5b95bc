"""Caption every segment with one captioner; "N/A" and unusable answers are counted, never hidden."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from tqdm import tqdm

from vitra_lib.captioning.answer import Answer
from vitra_lib.captioning.answer_cache import Failure
from vitra_lib.captioning.chat import ChatCaptioner
from vitra_lib.captioning.chat_config import ChatConfig
from vitra_lib.captioning.client import UNANSWERED
from vitra_lib.captioning.local import LocalCaptioner
from vitra_lib.captioning.motion import MotionCaptioner
from vitra_lib.captioning.overlay import FrameSource
from vitra_lib.captioning.question import item_of
from vitra_lib.captioning.task import CaptionTask, PictureConfig, caption_tasks
from vitra_lib.contracts import Caption, Reconstruction, Rejection, Segment
from vitra_lib.core.errors import UnknownName

CAPTIONERS = ("motion-only", "openai:<model>", "local:<folder of a model>")


@runtime_checkable
class Captioner(Protocol):
    """Anything that can answer for segments. One that blurs faces says so in `blurs_faces`.

    Attributes:
        name: recorded as the caption's source.
        is_weak: its sentences name no object.
        needs_images: whether `answers` looks at the frames (if not, none are decoded).
    """

    name: str
    is_weak: bool
    needs_images: bool

    def answers(self, tasks: Iterable[CaptionTask]) -> Iterator[tuple[int, Answer | Failure]]:
        """Describe segments: (position, answer or failure), each position once, in any order."""
        ...


def make_captioner(name: str, cache_dir: Path | None = None, chat: ChatConfig | None = None) -> Captioner:
    """A captioner by name.

    Args:
        name: "motion-only"; "openai:<model>" for an OpenAI-compatible endpoint; "local:<folder>" for a chat
            vision-language model on disk, run through transformers.
        cache_dir: folder of an endpoint's answers.
        chat: address and limits of an endpoint.

    Raises:
        UnknownName: none of these.
        MissingAsset: an endpoint was asked for and none is set, or the model's folder is not there.
    """
    kind, _, rest = name.partition(":")
    if name == MotionCaptioner.name:
        return MotionCaptioner()
    if kind == "openai" and rest:
        return ChatCaptioner(rest, cache_dir, chat)
    if kind == "local" and rest:
        return LocalCaptioner(Path(rest))
    raise UnknownName("captioner", name, CAPTIONERS)


def caption(
    reconstruction: Reconstruction,
    segments: Sequence[Segment],
    images: FrameSource,
    captioner: Captioner,
    progress: bool = False,
    has_path: bool = True,
) -> tuple[tuple[Caption, ...], tuple[Rejection, ...]]:
    """Caption segments.

    Args:
        reconstruction: camera and hands of the video.
        segments: atomic actions of either hand.
        images: reader of video frames; not called when the captioner needs none.
        captioner: who answers.
        progress: show a progress bar.
        has_path: whether the palm's path is drawn on the pictures; False is the ablation (paper, Table 2).

    Returns:
        captions: one per answered segment in the order of the segments, "N/A" ones included (`is_na`).
        rejections: one per segment that is "N/A" ("caption_na"), whose answers were unusable ("bad_answer"), that the
            model declined ("refused"), or that the endpoint did not answer ("unanswered": ask again).
    """
    pictures = PictureConfig(captioner.needs_images, has_path, getattr(captioner, "blurs_faces", False))
    tasks = caption_tasks(reconstruction, segments, images, pictures)
    outcomes: dict[int, Answer | Failure] = {}
    for position, outcome in tqdm(captioner.answers(tasks), total=len(segments), desc="captions", disable=not progress):
        outcomes[position] = outcome
    captions = [
        _caption(segments[i], outcomes[i], captioner) for i in sorted(outcomes) if isinstance(outcomes[i], Answer)
    ]
    rejections = [_rejection(segments[i], outcomes.get(i)) for i in range(len(segments))]
    return tuple(captions), tuple(r for r in rejections if r is not None)


def unanswered(rejections: Iterable[Rejection]) -> tuple[Rejection, ...]:
    """Those rejections that another run may mend: the endpoint failed, or a limit was reached."""
    return tuple(r for r in rejections if r.stage == "captioning" and r.reason == UNANSWERED)


def _caption(segment: Segment, answer: Answer, captioner: Captioner) -> Caption:
    return Caption(segment, answer.action, answer.is_na, captioner.name, captioner.is_weak, answer.think)


def _rejection(segment: Segment, outcome: Answer | Failure | None) -> Rejection | None:
    """Why a segment has no caption; None when it has one."""
    if isinstance(outcome, Answer) and not outcome.is_na:
        return None
    reason, detail = UNANSWERED, "it was never asked"
    if isinstance(outcome, Answer):
        reason, detail = "caption_na", outcome.think
    elif outcome is not None:
        reason, detail = outcome.reason, outcome.detail
    return Rejection("captioning", item_of(segment), reason, detail, segment.start, segment.stop)
