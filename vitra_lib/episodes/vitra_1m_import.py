"""The official VITRA-1M folders -> a store (spec of the episode format, 1.1 to 1.6).

Videos are taken one after another, each with all its episodes. What is finished is committed into a store inside
"<out>.work", with a journal of finished videos; a run that was killed goes on after the last of them and ends with the
same bytes, because appending to a store equals writing it at once. The dataset appears by one rename.
"""

import dataclasses
import logging
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from tqdm import tqdm

from vitra_lib.contracts import Rejection
from vitra_lib.core.errors import BadInput, UnsafePickle, WriteFailed
from vitra_lib.core.files import write_json
from vitra_lib.core.pickles import load_npz
from vitra_lib.episodes.card import CardFacts
from vitra_lib.episodes.episode import Episode
from vitra_lib.episodes.footage import FootageConfig
from vitra_lib.episodes.mismatch import MismatchConfig, find_mismatches
from vitra_lib.episodes.naming import find_video
from vitra_lib.episodes.store import EpisodeStore
from vitra_lib.episodes.vitra_1m import read_official
from vitra_lib.episodes.vitra_1m_index import ANNOTATIONS, INDEX_FILE
from vitra_lib.episodes.vitra_1m_statistics import OFFICIAL_STATISTICS, find_statistics
from vitra_lib.episodes.vitra_1m_work import ImportWork
from vitra_lib.video import VideoReader
from vitra_lib.video.transcode import MAX_TRANSCODED_PIXELS

logger = logging.getLogger(__name__)

REPORT = "meta/vitra/import.json"
_FACTS = CardFacts(
    made_by="imported from VITRA-1M",
    errors=("The authors of VITRA-1M state that roughly 90 % of its labels were good in a manual check.",),
)


@dataclass(frozen=True)
class AnnotationSet:
    """One folder of official episodes.

    Attributes:
        name: of the dataset folder.
        files: its `.npy` files, by name.
        index: its index file, or None.
        videos: a "videos" folder beside it, or None.
        statistics: its released statistics file, or None.
    """

    name: str
    files: tuple[Path, ...]
    index: Path | None
    videos: Path | None
    statistics: Path | None = None


@dataclass(frozen=True)
class ImportConfig:
    """How official data are read.

    Attributes:
        clip_len: frames per video part, or None when videos are undivided.
        skip_bad: leave out what can't be imported or doesn't fit its video, with a reason, instead of stopping at it.
        footage: how videos are copied.
        mismatch: what counts as label and video not belonging together.
        commit_s: finished videos are committed at least this often; a killed run loses no more than this [s].
    """

    clip_len: int | None = None
    skip_bad: bool = False
    footage: FootageConfig = dataclasses.field(default_factory=FootageConfig)
    mismatch: MismatchConfig = dataclasses.field(default_factory=MismatchConfig)
    commit_s: float | int = 30.0

    def __post_init__(self) -> None:
        if self.clip_len is not None and self.clip_len < 1:
            raise BadInput(f"clip_len is {self.clip_len}: legal are 1 and more frames (2000 is usual).")
        if self.commit_s < 0:
            raise BadInput(f"commit_s is {self.commit_s}: legal are 0 s (after every video) and more.")


@dataclass(frozen=True)
class _Video:
    """The files of a source video that labels ask for.

    Attributes:
        files: in order.
        time_s: (frames,) presentation time of every frame [s].
        fps: mean rate [1/s].
        width_px, height_px: size of its image.
    """

    files: tuple[Path, ...]
    time_s: np.ndarray
    fps: float
    width_px: int
    height_px: int


def find_annotations(root: str | Path) -> tuple[AnnotationSet, ...]:
    """Find official episodes: one file, a folder of files, one dataset folder, or a folder of dataset folders.

    "Metadata/{dataset}", "Annotation/{dataset}" and "{dataset}" layouts are all understood.

    Raises:
        BadInput: nothing is there.
    """
    root = Path(root)
    if root.is_file():
        return (AnnotationSet(root.stem, (root,), None, None),)
    folders = [root] if (root / ANNOTATIONS).is_dir() else []
    for parent in (root, root / "Annotation", root / "Metadata"):
        folders += sorted(path.parent for path in parent.glob(f"*/{ANNOTATIONS}") if path.is_dir())
    found = [_annotation_set(folder, folder / ANNOTATIONS) for folder in folders]
    if not folders:
        found = [_annotation_set(root, root)]
    found = [one for one in found if one.files]
    if not found:
        raise BadInput(f"No official episodes at {root}: expected .npy files there, or in */{ANNOTATIONS}.")
    return tuple(found)


def _annotation_set(folder: Path, annotations: Path) -> AnnotationSet:
    index, videos = folder / INDEX_FILE, folder / "videos"
    return AnnotationSet(
        name=folder.name,
        files=tuple(sorted(annotations.glob("*.npy"))),
        index=index if index.is_file() else None,
        videos=videos if videos.is_dir() else None,
        statistics=find_statistics(folder),
    )


def import_vitra_1m(
    annotations: str | Path,
    videos: str | Path | None,
    out: str | Path,
    config: ImportConfig | None = None,
    progress: bool = False,
) -> tuple[EpisodeStore, tuple[Rejection, ...]]:
    """Import official episodes with their videos into a new store; a run that was killed goes on where it was.

    Args:
        annotations: see `find_annotations`.
        videos: folder of the videos, or the root of the official "Video" folders; None = "videos" beside the labels.
        out: the store; must not exist.
        config: parts, error policy, video size.
        progress: show a progress bar.

    Returns:
        the store, and what was left out (empty unless `config.skip_bad`); the store's "meta/vitra/import.json" has
        the same list.

    Raises:
        UnsafePickle: a file asks for more than plain data; nothing in it was run.
        BadInput: a file is damaged, a video is missing (the names tried are listed), label and video disagree.
        WriteFailed: no permission, or the disk is full; finished videos stay in "<out>.work" for the next run.
    """
    config = config or ImportConfig()
    out = Path(os.path.abspath(out))
    if out.exists():
        raise BadInput(f"{out} exists already: name a folder that doesn't, or remove it first.")
    if videos is not None and not Path(videos).is_dir():
        raise BadInput(f"There is no folder of videos at {videos}.")
    sets = find_annotations(annotations)
    with ImportWork(out, _key(sets, videos, config), config.footage, config.commit_s) as work:
        _check_indices(sets, work, config)
        total = sum(len(one.files) for one in sets)
        with tqdm(total=total, unit="episode", disable=not progress) as bar:
            for name, files, roots in _videos(sets, videos):
                if not work.is_done(name):
                    work.done(name, _import_video(work, name.split("/")[0], files, roots, config))
                bar.update(len(files))
        work.finish(_FACTS)
        if not work.episodes:
            rejections = work.rejections
            first = f"; the first reason: {rejections[0].detail}" if rejections else ""
            raise BadInput(f"No episode of {annotations} could be imported{first}")
        _add_extras(work.dataset, sets, work.rejections)
        try:
            os.replace(work.dataset, out)
        except OSError as error:
            raise WriteFailed(f"{out} can't be written: {error.strerror or error}.") from error
        work.remove()
    return EpisodeStore.open(out), work.rejections


def _key(sets: tuple[AnnotationSet, ...], videos: str | Path | None, config: ImportConfig) -> str:
    """What an unfinished import must agree in, to be gone on with."""
    settings = {key: value for key, value in dataclasses.asdict(config).items() if key != "commit_s"}
    found = [(one.name, len(one.files), str(one.files[0].parent.absolute())) for one in sets]
    return repr((found, str(videos), settings))


def _videos(sets: tuple[AnnotationSet, ...], videos: str | Path | None) -> Iterator[tuple[str, list[Path], list[Path]]]:
    """Per source video: a name, the files of its episodes, and the folders in which it may be."""
    for one in sets:
        roots = [Path(videos)] if videos is not None else []
        roots += [one.videos] if one.videos is not None else []
        for stem, group in groupby(one.files, key=lambda path: path.stem.rsplit("_ep_", 1)[0]):
            yield f"{one.name}/{stem}", list(group), roots


def _refuse(error: BadInput, item: str, reason: str, config: ImportConfig) -> Rejection:
    if not config.skip_bad:
        raise error
    logger.warning("left out %s: %s", item, error)
    return Rejection("episodes", item, reason, str(error))


def _check_indices(sets: tuple[AnnotationSet, ...], work: ImportWork, config: ImportConfig) -> None:
    """Every episode that an index names must be there."""
    for one in sets:
        if one.index is None or work.is_done(f"{one.name}/{INDEX_FILE}"):
            continue
        index = load_npz(one.index)
        if not {"index_frame_pair", "index_to_episode_id"} <= set(index):
            raise BadInput(f"{one.index} lacks index_frame_pair or index_to_episode_id.")
        present = {path.stem for path in one.files}
        missing = [str(name) for name in index["index_to_episode_id"] if str(name) not in present]
        rejections = []
        if missing:
            error = BadInput(f"{one.index} names {len(missing)} episodes that are not there, {missing[0]}.npy first.")
            rejections = [_refuse(error, str(one.index), "annotation_missing", config)]
        work.done(f"{one.name}/{INDEX_FILE}", rejections)


def _import_video(
    work: ImportWork, dataset: str, files: list[Path], roots: list[Path], config: ImportConfig
) -> list[Rejection]:
    """All episodes of one video; the video comes in only if one of them fits it."""
    rejections, episodes = [], []
    for path in files:
        try:
            # The rate is not in the file; it is set when the video is known.
            episodes.append(read_official(path, fps=1.0))
        except BadInput as error:
            reason = "unsafe_pickle" if isinstance(error, UnsafePickle) else "damaged_annotation"
            rejections.append(_refuse(error, path.name, reason, config))
    if not episodes:
        return rejections
    try:
        video = _open_video(episodes, roots, config)
    except BadInput as error:
        return [*rejections, *(_refuse(error, episode.name, "video_missing", config) for episode in episodes)]
    fitting = []
    for episode in episodes:
        mismatches = find_mismatches(episode, len(video.time_s), video.width_px, video.height_px, config.mismatch)
        if mismatches:
            error = BadInput(f"{episode.name} {mismatches[0].detail}.")
            rejections.append(_refuse(error, episode.name, mismatches[0].reason, config))
        else:
            times = video.time_s[episode.source_frame].astype(np.float64)
            provenance = episode.provenance | {"dataset": dataset}
            fitting.append(dataclasses.replace(episode, fps=video.fps, time_s=times, provenance=provenance))
    for episode in fitting:
        try:
            work.add(episode, video.files)
        except BadInput as error:
            rejections.append(_refuse(error, episode.name, "label_video_mismatch", config))
    return rejections


def _open_video(episodes: list[Episode], roots: list[Path], config: ImportConfig) -> _Video:
    """Find the video of these episodes and read its times and its size."""
    prefix, name = episodes[0].dataset_prefix, episodes[0].video_name
    last = max(int(episode.source_frame.max()) for episode in episodes)
    files = find_video(prefix, name, roots, last, config.clip_len)
    times: list[np.ndarray] = []
    end = 0.0
    infos = []
    for number, file in enumerate(files):
        with VideoReader(file, None, MAX_TRANSCODED_PIXELS) as reader:
            if number + 1 < len(files) and len(reader) != config.clip_len:
                found = f"{file.name} has {len(reader)} frames"
                raise BadInput(f"{found}; a part that others follow must have {config.clip_len}.")
            times.append(end + reader.index.time_s)
            end += reader.info.duration_s
            infos.append(reader.info)
    first = infos[0]
    return _Video(tuple(files), np.concatenate(times), float(first.fps), first.width_px, first.height_px)


def _add_extras(dataset: Path, sets: tuple[AnnotationSet, ...], rejections: tuple[Rejection, ...]) -> None:
    """The list of what was left out, and the released statistics, letter by letter."""
    write_json(dataset / REPORT, {"left_out": [dataclasses.asdict(rejection) for rejection in rejections]})
    for one in sets:
        if one.statistics is not None:
            target = dataset / OFFICIAL_STATISTICS / f"{one.name}.json"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(one.statistics, target)
