"""The stages of one video: reconstruction, segmentation, captions, episodes; what is finished is read, not redone.

<work>/<video name>-<digest of its bytes>/reconstruction-<digest>.npz    or refused-<digest>.json
                                         /captions-<digest>.json
                                         /footage-<digest>/              the store's copy of the pictures
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from vitra_lib.captioning import ChatConfig, caption, make_captioner, make_rephraser, rephrase, unanswered
from vitra_lib.contracts import Caption, Reconstruction, Rejection, Segmentation
from vitra_lib.core.errors import BadInput, BadVideo, RefusedClip
from vitra_lib.core.files import sha256_of
from vitra_lib.episodes import Episode, EpisodeConfig, FootageConfig, build_episodes, prepare_footage
from vitra_lib.pipeline.stages import (
    code_digest,
    load_captions,
    load_refusal,
    save_captions,
    save_refusal,
    settings_digest,
    stage,
)
from vitra_lib.reconstruction.backends import ReconstructConfig
from vitra_lib.reconstruction.reconstruct import reconstruct
from vitra_lib.reconstruction.store import load_reconstruction, save_reconstruction
from vitra_lib.segmentation import SegmentationConfig, merge_repeats, segment
from vitra_lib.video import VideoReader

_log = logging.getLogger(__name__)

SEEING_ROOMS = ("core", "geometry", "hands", "contracts", "video", "reconstruction")
ALL_ROOMS = (*SEEING_ROOMS, "segmentation", "captioning", "episodes", "pipeline")
_SHORTEST_CAPTION_SIDE_PX = 64


@dataclass(frozen=True)
class BuildConfig:
    """Settings of the whole way from video to episodes.

    Attributes:
        reconstruct: hands, camera and world space.
        segmentation: the cutting rule and its filters.
        episodes: what makes an acceptable episode.
        captioner: "motion-only", "openai:<model>" or "local:<folder of a model>".
        rephraser: who writes four other wordings of each caption: "none", "verbs" (offline) or "openai:<model>".
        chat: address, limits and patience of a chat endpoint.
        skips_unanswered: leave out segments that an endpoint did not answer; False = stop and say so, and the same
            build asks only for them when it is run again.
        dataset_prefix: first part of every episode's name; no "_" and no "/".
        caption_short_side_px: size of the frames that a captioner and the report see [px].
        footage: how videos are copied into the dataset.
    """

    reconstruct: ReconstructConfig = field(default_factory=ReconstructConfig)
    segmentation: SegmentationConfig = field(default_factory=SegmentationConfig)
    episodes: EpisodeConfig = field(default_factory=EpisodeConfig)
    captioner: str = "motion-only"
    rephraser: str = "none"
    chat: ChatConfig = field(default_factory=ChatConfig)
    skips_unanswered: bool = False
    merges_repeats: bool = False
    dataset_prefix: str = "Custom"
    caption_short_side_px: int = 360
    footage: FootageConfig = field(default_factory=FootageConfig)

    def __post_init__(self) -> None:
        prefix = self.dataset_prefix
        if not prefix.strip() or any(c in prefix for c in "_/\\\0\n") or prefix.startswith("."):
            raise BadInput(f"The prefix {prefix!r} can't begin an episode's name: use letters, digits and '-'.")
        if self.caption_short_side_px < _SHORTEST_CAPTION_SIDE_PX:
            raise BadInput(
                f"caption_short_side_px is {self.caption_short_side_px}: give at least {_SHORTEST_CAPTION_SIDE_PX}."
            )


@dataclass(frozen=True)
class StageResults:
    """What the stages made of one video; everything but `refusal` is empty when the video was refused.

    Attributes:
        reconstruction, segmentation, captions, episodes: results of the stages.
        rejections: everything dropped on the way, of all stages.
        refusal: why the whole video was refused, or "".
    """

    reconstruction: Reconstruction | None = None
    segmentation: Segmentation | None = None
    captions: tuple[Caption, ...] = ()
    episodes: tuple[Episode, ...] = ()
    rejections: tuple[Rejection, ...] = ()
    refusal: str = ""


@dataclass(frozen=True)
class VideoResult:
    """One video of a build; its results are read from the finished stages when they are asked for.

    So a build holds one video's tracks in memory at a time, however many videos it has.

    Attributes:
        path: the video.
        work: folder of finished stages.
        config: settings of all stages.
    """

    path: Path
    work: Path
    config: BuildConfig

    @property
    def stages(self) -> StageResults:
        """Results of all stages, or the refusal."""
        return _last_stages(self)

    @property
    def reconstruction(self) -> Reconstruction | None:
        """Camera and hands; None when the video was refused."""
        return self.stages.reconstruction

    @property
    def segmentation(self) -> Segmentation | None:
        """Atomic actions of both hands; None when the video was refused."""
        return self.stages.segmentation

    @property
    def captions(self) -> tuple[Caption, ...]:
        """One per segment that was answered, "N/A" ones included."""
        return self.stages.captions

    @property
    def episodes(self) -> tuple[Episode, ...]:
        """What went into the dataset."""
        return self.stages.episodes

    @property
    def rejections(self) -> tuple[Rejection, ...]:
        """Everything dropped on the way."""
        return self.stages.rejections

    @property
    def refusal(self) -> str:
        """Why the whole video was refused, or ""."""
        return self.stages.refusal


@lru_cache(maxsize=1)
def _last_stages(result: VideoResult) -> StageResults:
    return run_stages(result.path, result.work, result.config)


def reconstruction_of(
    video: Path, work: Path, config: BuildConfig | None = None, progress: bool = False
) -> Reconstruction:
    """The first stage alone: the reconstruction of one video, from `work` where an earlier run finished it.

    Args:
        video: the video file.
        work: folder of finished stages; `build` uses "<dataset>.work".
        config: settings of all stages; they decide which finished stage is the right one.
        progress: show a progress bar.

    Raises:
        VitraError: the video can't be read, or is refused; nothing is left in `work`.
    """
    config = _for_video(config or BuildConfig(), video)
    return stage(
        stage_folder(video, work) / f"reconstruction-{seeing_key(config)}.npz",
        lambda: reconstruct(video, config.reconstruct, progress=progress),
        save_reconstruction,
        load_reconstruction,
    )


def run_stages(video: Path, work: Path, config: BuildConfig, progress: bool = False) -> StageResults:
    """All stages of one video; a video that can't be used gives a refusal, which is remembered like any result.

    Args:
        video: the video file.
        work: folder of finished stages.
        config: settings of all stages.
        progress: show progress bars.

    Raises:
        VitraError: something other than the video is at fault (a full disk, a missing package, no endpoint).
    """
    config = _for_video(config, video)
    refused = _refusal_file(video, work, config)
    if refused.exists():
        return StageResults(refusal=load_refusal(refused))
    try:
        reconstruction = reconstruction_of(video, work, config, progress)
    except (RefusedClip, BadVideo) as error:
        return StageResults(refusal=stage(refused, lambda e=error: str(e), save_refusal, load_refusal))
    segmentation = segment(reconstruction, config.segmentation)  # seconds for hours of track: need not be kept on disk
    captions, caption_rejections = stage(
        stage_folder(video, work) / f"captions-{_captions_key(config)}.json",
        lambda: _caption(video, reconstruction, segmentation, config, work / "answers", progress),
        save_captions,
        load_captions,
    )
    # A caption that is N/A is rejected once, by the captioner; the episode builder need not count it again.
    spoken = tuple(item for item in captions if not item.is_na)
    episodes, episode_rejections = build_episodes(reconstruction, spoken, config.episodes, config.dataset_prefix)
    rejections = (*reconstruction.rejections, *segmentation.rejections, *caption_rejections, *episode_rejections)
    return StageResults(reconstruction, segmentation, captions, episodes, rejections)


def footage_of(video: Path, work: Path, config: FootageConfig, progress: bool) -> Path:
    """The store's copy of a video, kept as a finished stage (encoding is slow)."""
    key = settings_digest(code_digest(("core", "video", "episodes")), config)[:12]
    path = stage_folder(video, work) / f"footage-{key}"
    if not path.exists():
        prepare_footage([video], path, config, progress)
    return path


def forget_refusal(video: Path, work: Path, config: BuildConfig) -> None:
    """Remove the finished stage that says that a video was refused, if there is one."""
    _refusal_file(video, work, _for_video(config, video)).unlink(missing_ok=True)


def _for_video(config: BuildConfig, video: Path) -> BuildConfig:
    """The settings with the files of other tools that belong to this video."""
    return replace(config, reconstruct=config.reconstruct.for_video(video))


def stage_folder(video: Path, work: Path) -> Path:
    """Where the finished stages of one video are: its name and a digest of its bytes."""
    return work / f"{video.stem}-{video_digest(video)[:12]}"


def seeing_key(config: BuildConfig) -> str:
    """What a reconstruction depends on besides the video: code, weights and settings."""
    return settings_digest(code_digest(SEEING_ROOMS), config.reconstruct)[:12]


def _refusal_file(video: Path, work: Path, config: BuildConfig) -> Path:
    return stage_folder(video, work) / f"refused-{seeing_key(config)}.json"


def _captions_key(config: BuildConfig) -> str:
    seen = (seeing_key(config), code_digest(("segmentation", "captioning")))
    asked = (config.captioner, config.rephraser, config.chat.anonymise, config.caption_short_side_px)
    asked = (*asked, config.merges_repeats)
    return settings_digest(*seen, config.segmentation, *asked)[:12]


def video_digest(video: Path) -> str:
    """Digest of a video's bytes, read once as long as its size and time of change stay the same."""
    state = video.stat()
    return _digest_of_state(video.absolute(), state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=4096)
def _digest_of_state(video: Path, _size: int, _mtime_ns: int) -> str:
    return sha256_of(video)


def _caption(
    video: Path,
    reconstruction: Reconstruction,
    segmentation: Segmentation,
    config: BuildConfig,
    cache: Path,
    progress: bool,
) -> tuple[tuple[Caption, ...], tuple[Rejection, ...]]:
    captioner = make_captioner(config.captioner, cache, config.chat)
    rephraser = make_rephraser(config.rephraser, cache, config.chat)
    with VideoReader(video, max_short_side_px=config.caption_short_side_px) as reader:

        def images(indices: Sequence[int]) -> list[np.ndarray]:
            return [frame.image for frame in reader.at([int(reconstruction.source_frame[i]) for i in indices])]

        captions, rejections = caption(reconstruction, segmentation.segments, images, captioner, progress)
    missing = unanswered(rejections)
    if missing and not config.skips_unanswered:
        raise BadInput(
            f"{len(missing)} of {len(segmentation.segments)} segments of {video.name} got no caption "
            f"({missing[0].item}: {missing[0].detail}). Run the same command again: only these are asked; or leave "
            "them out with --skip-unanswered."
        )
    if config.merges_repeats:
        _, captions = merge_repeats([caption.segment for caption in captions], captions, segmentation.repeats)
    return rephrase(captions, rephraser), rejections
