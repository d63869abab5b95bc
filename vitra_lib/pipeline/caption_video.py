"""Captions of one video without a dataset: ask, estimate the cost, or carry questions to a batch service and back."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vitra_lib.captioning import Price, caption, make_captioner, make_rephraser, parse_answer, rephrase, unanswered
from vitra_lib.captioning.batch_files import BatchCounts, export_batch, import_batch
from vitra_lib.captioning.chat import ChatCaptioner
from vitra_lib.captioning.chat_config import CostEstimate
from vitra_lib.captioning.overlay import FrameSource
from vitra_lib.captioning.prompt import PROMPT_VERSION
from vitra_lib.captioning.question import Question
from vitra_lib.captioning.task import PictureConfig, caption_tasks
from vitra_lib.contracts import Caption, Reconstruction, Rejection, Segment
from vitra_lib.core.environment import OPENAI_URL
from vitra_lib.core.errors import BadInput, MissingAsset
from vitra_lib.core.files import write_json
from vitra_lib.pipeline.video_stages import BuildConfig, reconstruction_of
from vitra_lib.segmentation import segment
from vitra_lib.video import VideoReader


@dataclass(frozen=True)
class VideoCaptions:
    """What a captioner said of one video.

    Attributes:
        captions: one per answered segment, "N/A" ones included.
        rejections: what was dropped or is unanswered, with reasons.
        counts: what the client of an endpoint did; empty for other captioners.
    """

    captions: tuple[Caption, ...]
    rejections: tuple[Rejection, ...]
    counts: dict[str, int]

    @property
    def unanswered(self) -> tuple[Rejection, ...]:
        """Segments that another run may still get answered."""
        return unanswered(self.rejections)


@dataclass(frozen=True)
class CaptionJob:
    """One video that is to be captioned.

    Attributes:
        video: the video file.
        work: folder of finished stages and of answers.
        config: settings of all stages.
    """

    video: Path
    work: Path
    config: BuildConfig

    @property
    def answers(self) -> Path:
        """Folder of an endpoint's answers; `build` uses the same one."""
        return self.work / "answers"


def caption_video(job: CaptionJob, progress: bool = False) -> VideoCaptions:
    """Reconstruct, cut and caption one video; what is finished in the work folder is not made again.

    Raises:
        VitraError: the video is refused, or the endpoint takes no question.
    """
    captioner = make_captioner(job.config.captioner, job.answers, job.config.chat)
    rephraser = make_rephraser(job.config.rephraser, job.answers, job.config.chat)
    with _opened(job, progress) as (reconstruction, segments, images):
        captions, rejections = caption(reconstruction, segments, images, captioner, progress)
    counts = vars(captioner.client.counts) if isinstance(captioner, ChatCaptioner) else {}
    return VideoCaptions(rephrase(captions, rephraser), rejections, dict(counts))


def estimate_cost(job: CaptionJob, price: Price | None = None, progress: bool = False) -> CostEstimate:
    """What captioning a video would ask and cost; asks nothing. Rewording is not in it: it depends on the answers."""
    captioner = _chat(job)
    with _opened(job, progress) as opened:
        return captioner.client.estimate(_questions(captioner, *opened), price)


def write_batch(job: CaptionJob, path: Path, progress: bool = False) -> tuple[Path, ...]:
    """Write the questions about a video that have no answer yet as files for OpenAI's Batch API."""
    captioner = _chat(job)
    with _opened(job, progress) as opened:
        client = captioner.client
        return export_batch(_questions(captioner, *opened), path, client.cache, client.config.max_answer_tokens)


def read_batch(job: CaptionJob, path: Path) -> BatchCounts:
    """Take the answers of a batch into the work folder; `caption_video` and `build` find them there."""
    captioner = _chat(job)
    return import_batch(path, captioner.model, captioner.client.cache, parse_answer)


def write_captions(done: VideoCaptions, job: CaptionJob, path: Path) -> None:
    """Write captions, and what was dropped, as JSON; the same answers give the same bytes.

    Raises:
        WriteFailed: the folder can't be written.
    """
    entries = [{**asdict(c.segment), **{k: v for k, v in vars(c).items() if k != "segment"}} for c in done.captions]
    content = {
        "schema": 1,
        "video": job.video.name,
        "caption_source": job.config.captioner,
        "is_weak": any(c.is_weak for c in done.captions),
        "prompt_version": PROMPT_VERSION,
        "captions": entries,
        "rejections": [asdict(rejection) for rejection in done.rejections],
    }
    write_json(path, content)


@contextmanager
def _opened(job: CaptionJob, progress: bool) -> Iterator[tuple[Reconstruction, tuple[Segment, ...], FrameSource]]:
    """Reconstruction, segments and frames of the video."""
    reconstruction = reconstruction_of(job.video, job.work, job.config, progress)
    segments = tuple(segment(reconstruction, job.config.segmentation).segments)
    with VideoReader(job.video, max_short_side_px=job.config.caption_short_side_px) as reader:

        def images(indices: list[int]) -> list[np.ndarray]:
            return [frame.image for frame in reader.at([int(reconstruction.source_frame[i]) for i in indices])]

        yield reconstruction, segments, images


def _chat(job: CaptionJob) -> ChatCaptioner:
    """The captioner whose questions are counted or written, not sent: where no endpoint is set, none is needed."""
    chat = job.config.chat
    captioner: Any
    try:
        captioner = make_captioner(job.config.captioner, job.answers, chat)
    except MissingAsset:
        captioner = make_captioner(job.config.captioner, job.answers, replace(chat, base_url=OPENAI_URL))
    if not isinstance(captioner, ChatCaptioner):
        raise BadInput(f"{captioner.name} asks no endpoint: costs and batches need --captioner openai:<model>.")
    return captioner


def _questions(
    captioner: ChatCaptioner, reconstruction: Reconstruction, segments: tuple[Segment, ...], images: FrameSource
) -> Iterator[Question]:
    pictures = PictureConfig(blurs_faces=captioner.blurs_faces)
    return captioner.questions(caption_tasks(reconstruction, segments, images, pictures))
