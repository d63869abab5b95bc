"""`vitra build`: videos in, one LeRobot v3 dataset of captioned episodes out, with a report.

Stages per video (`video_stages`), then all episodes are written into the store at once. Finished stages stay in
`<dataset>.work`; a run that was killed goes on from them and gives the same bytes. The dataset appears by one rename.
"""

import fcntl
import logging
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from vitra_lib.captioning import ChatConfig, make_captioner
from vitra_lib.core.errors import BadInput, BadVideo, RefusedClip, WriteFailed
from vitra_lib.core.files import write_text
from vitra_lib.episodes import EpisodeStore
from vitra_lib.episodes.card import CardFacts, known_errors
from vitra_lib.pipeline.report import write_report
from vitra_lib.pipeline.stages import code_digest, settings_digest
from vitra_lib.pipeline.video_stages import (
    ALL_ROOMS,
    BuildConfig,
    StageResults,
    VideoResult,
    footage_of,
    forget_refusal,
    run_stages,
    video_digest,
)
from vitra_lib.reconstruction.outputs import check_folder
from vitra_lib.video import probe

_log = logging.getLogger(__name__)
_KEY = Path("meta") / "build_key.txt"
_LOCK = ".lock"


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
        BadInput: no videos, equal names, another build is writing there, or `out` holds something else.
        RefusedClip: no video gave an episode (with the reasons).
        BadVideo: the only video can't be read, or one of several isn't there. (One of several that is damaged is
            refused with its reason, and the others go on.)
        WriteFailed: nothing can be written there, or the disk is full; finished stages stay for the next run.
    """
    config = config or BuildConfig()
    videos = [Path(video) for video in videos]
    out = Path(os.path.abspath(out))
    _check_names(videos, out)
    make_captioner(config.captioner)  # an unknown name or a missing key must show before the long work, not after it
    _check_videos(videos)
    named = [(video.stem, video_digest(video), config.reconstruct.for_video(video)) for video in videos]
    # How hard an endpoint was asked is no part of what came of it; whether it saw faces is.
    lasting = replace(config, chat=ChatConfig(anonymise=config.chat.anonymise))
    key = settings_digest(code_digest(ALL_ROOMS), lasting, named)
    work = out.with_name(out.name + ".work")
    results = tuple(VideoResult(video, work, config) for video in videos)
    done = BuildResult(out, out / "report.html", out / "report.json", results)
    if out.exists():
        if not _is_made_by(out, key):
            raise BadInput(f"{out} exists and was not made by this build: choose another --out, or remove it.")
        return done
    check_folder(out.parent)
    with _workplace(work):
        _run_all(videos, work, config, progress)
        _write_dataset(done, key, config, progress)
    return done


def _check_names(videos: Sequence[Path], out: Path) -> None:
    if not videos:
        raise BadInput("No video was given: name at least one file.")
    if not out.name:
        raise BadInput(f"{out} can't be the folder of a dataset: name a new folder.")
    twins = sorted(stem for stem, count in Counter(video.stem for video in videos).items() if count > 1)
    if twins:
        raise BadInput(f"Several videos are called {twins[0]!r}: episodes are named after their video, so rename one.")


def _check_videos(videos: Sequence[Path]) -> None:
    """Say now what would only show later: a misspelt path, or an only video that is no video."""
    if len(videos) == 1:
        probe(videos[0])
    for video in videos:
        if not video.is_file():
            raise BadVideo(f"{video} is not a video file: check the spelling of the path.")


def _is_made_by(out: Path, key: str) -> bool:
    try:
        return (out / _KEY).read_text() == key
    except OSError:
        return False


@contextmanager
def _workplace(work: Path) -> Iterator[None]:
    """Hold the work folder against other builds; leave no empty folders behind when nothing was finished."""
    made = [folder for folder in (work, *work.parents) if not folder.exists()]
    try:
        work.mkdir(parents=True, exist_ok=True)
        lock = (work / _LOCK).open("w")
    except OSError as error:
        raise WriteFailed(f"The work folder {work} can't be made: {error.strerror or error}.") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadInput(f"Another `vitra build` is writing {work}: wait for it, or choose another --out.") from None
        try:
            yield
        except BaseException:
            _remove_empty(work, made)
            raise


def _remove_empty(work: Path, made: Sequence[Path]) -> None:
    """Remove folders in which nothing was finished: those of videos, the work folder, and parents made for it."""
    for folder in [path for path in work.iterdir() if path.is_dir()]:
        if not any(folder.iterdir()):
            folder.rmdir()
    if [path.name for path in work.iterdir()] == [_LOCK]:
        (work / _LOCK).unlink()
        for folder in made:
            if any(folder.iterdir()):
                break
            folder.rmdir()


def _run_all(videos: Sequence[Path], work: Path, config: BuildConfig, progress: bool) -> None:
    """Finish all stages of all videos; refuse the whole when not a single episode came out."""
    reasons, count = [], 0
    for video in videos:
        stages = run_stages(video, work, config, progress)
        if stages.refusal:
            _log.warning("%s was refused: %s", video.name, stages.refusal)
        if not stages.episodes:
            reasons.append(_why_nothing(video, stages))
        count += len(stages.episodes)
    if count == 0:
        if len(videos) == 1:
            forget_refusal(videos[0], work, config)  # a lone refused video leaves nothing behind
            raise RefusedClip(reasons[0])
        raise RefusedClip(f"No episode came out of {len(videos)} videos. " + " ".join(reasons))


def _why_nothing(video: Path, stages: StageResults) -> str:
    """One sentence on why a video gave no episode."""
    if stages.refusal:
        return stages.refusal if video.name in stages.refusal else f"{video.name}: {stages.refusal}"
    counts = Counter(rejection.reason for rejection in stages.rejections)
    dropped = ", ".join(f"{count} x {reason}" for reason, count in sorted(counts.items()))
    return f"{video.name} gave no episode; dropped were: {dropped or 'nothing, the hands never move'}."


def _facts(config: BuildConfig) -> CardFacts:
    """What the dataset card says of this way of making labels."""
    made_by = f"built from videos (hands: {config.reconstruct.hands}, camera: {config.reconstruct.camera}, " + (
        f"cut by {config.segmentation.rule}, captions: {config.captioner})"
    )
    ours = (config.reconstruct.hands, config.reconstruct.camera) == ("mediapipe", "klt")
    return CardFacts(made_by, known_errors() if ours else ())


def _write_dataset(result: BuildResult, key: str, config: BuildConfig, progress: bool) -> None:
    """Write dataset and report inside the work folder, then move them to their place in one step."""
    work = result.videos[0].work
    staging = work / "dataset"
    shutil.rmtree(staging, ignore_errors=True)
    try:
        with EpisodeStore.create(staging, config.footage) as writer:
            for video in result.videos:
                episodes = video.episodes
                if episodes:
                    footage = footage_of(video.path, work, writer.footage_config, progress)
                    writer.add_video(video.path.stem, [video.path], config.dataset_prefix, prepared=footage)
                for episode in episodes:
                    writer.append(episode)
            writer.finalize(_facts(config))
        write_report(staging, result.videos, config.captioner, config.caption_short_side_px)
        write_text(staging / _KEY, key)
        os.replace(staging, result.dataset)
    except OSError as error:
        raise WriteFailed(f"{result.dataset} can't be written: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
