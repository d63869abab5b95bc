"""`vitra build`: videos in, one LeRobot v3 dataset of captioned episodes out, with a report.

Stages per video: reconstruction, segmentation, captions; then all episodes are written into the store at once.
Finished stages stay in `<dataset>.work`; a run that was killed goes on from them and gives the same bytes.
"""

import logging
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vitra_lib.captioning import caption, make_captioner
from vitra_lib.contracts import Caption, Reconstruction, Rejection, Segmentation
from vitra_lib.core.errors import BadInput, RefusedClip, VitraError, WriteFailed
from vitra_lib.core.files import sha256_of, write_text
from vitra_lib.episodes import Episode, EpisodeConfig, EpisodeStore, FootageConfig, build_episodes, prepare_footage
from vitra_lib.pipeline.report import write_report
from vitra_lib.pipeline.stages import load_captions, save_captions, settings_digest, stage
from vitra_lib.reconstruction.backends import ReconstructConfig
from vitra_lib.reconstruction.reconstruct import reconstruct
from vitra_lib.reconstruction.store import load_reconstruction, save_reconstruction
from vitra_lib.segmentation import SegmentationConfig, segment
from vitra_lib.video import VideoReader, probe

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BuildConfig:
    """Settings of the whole way from video to episodes.

    Attributes:
        reconstruct: hands, camera and world space.
        segmentation: the cutting rule and its filters.
        episodes: what makes an acceptable episode.
        captioner: "motion-only" or "openai:<model>".
        dataset_prefix: first part of every episode's name.
        caption_short_side_px: size of the frames that a captioner and the report see [px].
    """

    reconstruct: ReconstructConfig = field(default_factory=ReconstructConfig)
    segmentation: SegmentationConfig = field(default_factory=SegmentationConfig)
    episodes: EpisodeConfig = field(default_factory=EpisodeConfig)
    captioner: str = "motion-only"
    dataset_prefix: str = "Custom"
    caption_short_side_px: int = 360


@dataclass(frozen=True)
class VideoResult:
    """What one video became.

    Attributes:
        path: the video.
        reconstruction, segmentation, captions, episodes: results of the stages; None / empty when `refusal` is set.
        rejections: everything dropped on the way, of all stages.
        refusal: why the whole video was refused, or "".
    """

    path: Path
    reconstruction: Reconstruction | None = None
    segmentation: Segmentation | None = None
    captions: tuple[Caption, ...] = ()
    episodes: tuple[Episode, ...] = ()
    rejections: tuple[Rejection, ...] = ()
    refusal: str = ""


@dataclass(frozen=True)
class BuildResult:
    """A finished dataset.

    Attributes:
        dataset: its folder.
        report_html, report_json: the report inside it.
        videos: one result per video, in the order given.
    """

    dataset: Path
    report_html: Path
    report_json: Path
    videos: tuple[VideoResult, ...]


def build(videos: Sequence[Path], out: Path, config: BuildConfig | None = None, progress: bool = False) -> BuildResult:
    """Turn videos into one dataset of episodes.

    Args:
        videos: video files; their names without extension must differ.
        out: the dataset's folder; it must not exist, unless an equal build wrote it, which is then returned as it is.
        config: settings of all stages.
        progress: show progress bars.

    Raises:
        BadInput: no videos, equal names, or `out` holds something else.
        RefusedClip: no video gave an episode (with the reasons).
        VitraError: the only video can't be read.
    """
    config = config or BuildConfig()
    videos = [Path(video) for video in videos]
    _check_names(videos)
    make_captioner(config.captioner)  # an unknown name or a missing key must show before the long work, not after it
    for video in videos:
        probe(video)
    key = settings_digest(config, [sha256_of(video) for video in videos])
    key_file = out / "meta" / "build_key.txt"
    if out.exists() and not (key_file.exists() and key_file.read_text() == key):
        raise BadInput(f"{out} exists and was not made by this build: choose another --out, or remove it.")

    work = out.with_name(out.name + ".work")
    results = tuple(_build_one(video, work, config, len(videos) == 1, progress) for video in videos)
    episodes = [episode for result in results for episode in result.episodes]
    if not episodes:
        raise RefusedClip(_refusal(results))
    if not out.exists():
        _write_dataset(out, key, work, results, config, progress)
    return BuildResult(out, out / "report.html", out / "report.json", results)


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
    config = config or BuildConfig()
    folder = _stage_folder(work, video, config)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteFailed(f"The folder {folder} can't be made: {error.strerror or error}.") from error
    try:
        return stage(
            folder / "reconstruction.npz",
            lambda: reconstruct(video, config.reconstruct, progress=progress),
            save_reconstruction,
            load_reconstruction,
        )
    except VitraError:
        _remove_empty(folder)
        raise


def _check_names(videos: Sequence[Path]) -> None:
    if not videos:
        raise BadInput("No video was given: name at least one file.")
    stems = [video.stem for video in videos]
    twins = sorted({stem for stem in stems if stems.count(stem) > 1})
    if twins:
        raise BadInput(f"Several videos are called {twins[0]!r}: episodes are named after their video, so rename one.")


def _build_one(video: Path, work: Path, config: BuildConfig, alone: bool, progress: bool) -> VideoResult:
    """All stages of one video; a refusal is an error when it is the only video, and a counted reason otherwise."""
    folder = _stage_folder(work, video, config)
    try:
        reconstruction = reconstruction_of(video, work, config, progress)
    except VitraError as error:
        if alone:
            raise
        _log.warning("%s: %s", video.name, error)
        return VideoResult(video, refusal=str(error))
    segmentation = segment(reconstruction, config.segmentation)  # seconds for hours of track: no need to keep it on disk
    captions, caption_rejections = stage(
        folder / "captions.json",
        lambda: _caption(video, reconstruction, segmentation, config, work / "answers", progress),
        save_captions,
        load_captions,
    )
    # A caption that is N/A is rejected once, by the captioner; the episode builder need not count it again.
    spoken = tuple(item for item in captions if not item.is_na)
    episodes, episode_rejections = build_episodes(reconstruction, spoken, config.episodes, config.dataset_prefix)
    rejections = (*reconstruction.rejections, *segmentation.rejections, *caption_rejections, *episode_rejections)
    return VideoResult(video, reconstruction, segmentation, captions, episodes, rejections)


def _caption(
    video: Path, reconstruction: Reconstruction, segmentation: Segmentation, config: BuildConfig, cache: Path, progress: bool
) -> tuple[tuple[Caption, ...], tuple[Rejection, ...]]:
    captioner = make_captioner(config.captioner, cache)
    with VideoReader(video, max_short_side_px=config.caption_short_side_px) as reader:

        def images(indices: list[int]) -> list[np.ndarray]:
            return [frame.image for frame in reader.at([int(reconstruction.source_frame[i]) for i in indices])]

        return caption(reconstruction, segmentation.segments, images, captioner, progress)


def _write_dataset(out: Path, key: str, work: Path, results: Sequence[VideoResult], config: BuildConfig, progress: bool) -> None:
    """Write dataset and report into a temporary folder beside `out`, then rename it."""
    staging = out.with_name(f".{out.name}.partial")
    shutil.rmtree(staging, ignore_errors=True)
    try:
        with EpisodeStore.create(staging) as writer:
            for result in results:
                if result.episodes:
                    footage = _footage(result.path, _stage_folder(work, result.path, config), writer.footage_config, progress)
                    writer.add_video(result.path.stem, [result.path], config.dataset_prefix, prepared=footage)
                    for episode in result.episodes:
                        writer.append(episode)
            writer.finalize()
        write_report(staging, results, config.captioner, config.caption_short_side_px)
        write_text(staging / "meta" / "build_key.txt", key)
        os.replace(staging, out)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise


def _footage(video: Path, folder: Path, config: FootageConfig, progress: bool) -> Path:
    """The store's copy of a video, kept as a finished stage (transcoding is slow)."""
    path = folder / f"footage-{settings_digest(config)[:8]}"
    if not path.exists():
        prepare_footage([video], path, config, progress)
    return path


def _stage_folder(work: Path, video: Path, config: BuildConfig) -> Path:
    """Where the finished stages of one video are: its name, and a digest of its bytes and of all settings."""
    return work / f"{video.stem}-{settings_digest(config, sha256_of(video))[:12]}"


def _remove_empty(folder: Path) -> None:
    """Remove a stage folder and its parent when nothing was finished in them."""
    for path in (folder, folder.parent):
        if path.exists() and not any(path.iterdir()):
            path.rmdir()


def _refusal(results: Sequence[VideoResult]) -> str:
    """One sentence on why there is not a single episode."""
    parts = []
    for result in results:
        if result.refusal:
            parts.append(f"{result.path.name}: {result.refusal}")
            continue
        reasons: dict[str, int] = {}
        for rejection in result.rejections:
            reasons[rejection.reason] = reasons.get(rejection.reason, 0) + 1
        counts = ", ".join(f"{count} x {reason}" for reason, count in sorted(reasons.items())) or "no motion to cut"
        parts.append(f"{result.path.name}: {counts}")
    return "No episode came out of " + "; ".join(parts) + "."
