"""The official VITRA-1M folders -> a store (spec of the episode format, 1.1 to 1.6)."""

import dataclasses
import logging
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from tqdm import tqdm

from vitra_lib.contracts import Rejection
from vitra_lib.core.errors import BadInput, UnsafePickle
from vitra_lib.core.pickles import load_npz
from vitra_lib.episodes.episode import Episode
from vitra_lib.episodes.footage import FootageConfig
from vitra_lib.episodes.naming import find_video
from vitra_lib.episodes.store import EpisodeStore
from vitra_lib.episodes.vitra_1m import read_official
from vitra_lib.episodes.writer import EpisodeWriter
from vitra_lib.video import VideoReader
from vitra_lib.video.transcode import MAX_TRANSCODED_PIXELS

logger = logging.getLogger(__name__)

INDEX_FILE = "episode_frame_index.npz"
_ANNOTATIONS = "episodic_annotations"


@dataclass(frozen=True)
class AnnotationSet:
    """One folder of official episodes.

    Attributes:
        name: of the dataset folder.
        files: its `.npy` files, by name.
        index: its index file, or None.
        videos: a "videos" folder beside it, or None.
    """

    name: str
    files: tuple[Path, ...]
    index: Path | None
    videos: Path | None


@dataclass(frozen=True)
class ImportConfig:
    """How official data are read.

    Attributes:
        clip_len: frames per video part, or None when videos are undivided.
        skip_bad: leave out what can't be imported, with a reason, instead of stopping at it.
        footage: how videos are copied.
    """

    clip_len: int | None = None
    skip_bad: bool = False
    footage: FootageConfig = dataclasses.field(default_factory=FootageConfig)

    def __post_init__(self) -> None:
        if self.clip_len is not None and self.clip_len < 1:
            raise BadInput(f"clip_len is {self.clip_len}: legal are 1 and more frames (2000 is usual).")


def find_annotations(root: str | Path) -> tuple[AnnotationSet, ...]:
    """Find official episodes: one file, a folder of files, one dataset folder, or a folder of dataset folders.

    "Metadata/{dataset}", "Annotation/{dataset}" and "{dataset}" layouts are all understood.

    Raises:
        BadInput: nothing is there.
    """
    root = Path(root)
    if root.is_file():
        return (AnnotationSet(root.stem, (root,), None, None),)
    folders = [root] if (root / _ANNOTATIONS).is_dir() else []
    for parent in (root, root / "Annotation", root / "Metadata"):
        folders += sorted(path.parent for path in parent.glob(f"*/{_ANNOTATIONS}") if path.is_dir())
    found = [_annotation_set(folder, folder / _ANNOTATIONS) for folder in folders]
    if not folders:
        found = [_annotation_set(root, root)]
    found = [one for one in found if one.files]
    if not found:
        raise BadInput(f"No official episodes at {root}: expected .npy files there, or in */{_ANNOTATIONS}.")
    return tuple(found)


def _annotation_set(folder: Path, annotations: Path) -> AnnotationSet:
    index, videos = folder / INDEX_FILE, folder / "videos"
    return AnnotationSet(
        name=folder.name,
        files=tuple(sorted(annotations.glob("*.npy"))),
        index=index if index.is_file() else None,
        videos=videos if videos.is_dir() else None,
    )


def import_vitra_1m(
    annotations: str | Path,
    videos: str | Path | None,
    out: str | Path,
    config: ImportConfig | None = None,
    progress: bool = False,
) -> tuple[EpisodeStore, tuple[Rejection, ...]]:
    """Import official episodes with their videos into a new store, all or nothing.

    Args:
        annotations: see `find_annotations`.
        videos: folder of the videos, or the root of the official "Video" folders; None = "videos" beside the labels.
        out: the store; must not exist.
        config: parts, error policy, video size.
        progress: show a progress bar.

    Returns:
        the store, and what was left out (empty unless `config.skip_bad`).

    Raises:
        UnsafePickle: a file asks for more than plain data; nothing in it was run.
        BadInput: a file is damaged, a video is missing (the names tried are listed), label and video disagree.
        WriteFailed: no permission, or the disk is full.
    """
    config = config or ImportConfig()
    if videos is not None and not Path(videos).is_dir():
        raise BadInput(f"There is no folder of videos at {videos}.")
    sets = find_annotations(annotations)
    rejections: list[Rejection] = []
    with EpisodeStore.create(out, config.footage) as writer:
        total = sum(len(one.files) for one in sets)
        with tqdm(total=total, unit="episode", disable=not progress) as bar:
            for one in sets:
                rejections += _check_index(one, config)
                roots = [Path(videos)] if videos is not None else []
                roots += [one.videos] if one.videos is not None else []
                for _, group in groupby(one.files, key=lambda path: path.stem.rsplit("_ep_", 1)[0]):
                    files = list(group)
                    rejections += _import_video(writer, files, roots, config)
                    bar.update(len(files))
        if not len(writer):
            first = f"; the first reason: {rejections[0].detail}" if rejections else ""
            raise BadInput(f"No episode of {annotations} could be imported{first}")
        store = writer.finalize()
    return store, tuple(rejections)


def _refuse(error: BadInput, item: str, reason: str, config: ImportConfig) -> Rejection:
    if not config.skip_bad:
        raise error
    logger.warning("left out %s: %s", item, error)
    return Rejection("episodes", item, reason, str(error))


def _check_index(one: AnnotationSet, config: ImportConfig) -> list[Rejection]:
    """Every episode that the index names must be there."""
    if one.index is None:
        return []
    index = load_npz(one.index)
    if not {"index_frame_pair", "index_to_episode_id"} <= set(index):
        raise BadInput(f"{one.index} lacks index_frame_pair or index_to_episode_id.")
    present = {path.stem for path in one.files}
    missing = [str(name) for name in index["index_to_episode_id"] if str(name) not in present]
    if not missing:
        return []
    error = BadInput(f"{one.index} names {len(missing)} episodes that are not there, {missing[0]}.npy first.")
    return [_refuse(error, str(one.index), "annotation_missing", config)]


def _import_video(writer: EpisodeWriter, files: list[Path], roots: list[Path], config: ImportConfig) -> list[Rejection]:
    """All episodes of one video."""
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
        times, fps = _add_video(writer, episodes, roots, config)
    except BadInput as error:
        return [*rejections, *(_refuse(error, episode.name, "video_missing", config) for episode in episodes)]
    for episode in episodes:
        try:
            writer.append(_timed(episode, times, fps))
        except BadInput as error:
            rejections.append(_refuse(error, episode.name, "label_video_mismatch", config))
    return rejections


def _add_video(
    writer: EpisodeWriter, episodes: list[Episode], roots: list[Path], config: ImportConfig
) -> tuple[np.ndarray, float]:
    """Add the video of these episodes; returns (frames,) presentation times [s] and the mean rate [1/s]."""
    prefix, name = episodes[0].dataset_prefix, episodes[0].video_name
    last = max(int(episode.source_frame.max()) for episode in episodes)
    files = find_video(prefix, name, roots, last, config.clip_len)
    times: list[np.ndarray] = []
    end = 0.0
    rates = []
    for number, file in enumerate(files):
        with VideoReader(file, None, MAX_TRANSCODED_PIXELS) as reader:
            if number + 1 < len(files) and len(reader) != config.clip_len:
                found = f"{file.name} has {len(reader)} frames"
                raise BadInput(f"{found}; a part that others follow must have {config.clip_len}.")
            times.append(end + reader.index.time_s)
            end += reader.info.duration_s
            rates.append(reader.info.fps)
    if (prefix, name) not in writer.video_names:
        writer.add_video(name, files, prefix)
    return np.concatenate(times), rates[0]


def _timed(episode: Episode, times: np.ndarray, fps: float) -> Episode:
    frames = episode.source_frame
    if frames.min() < 0 or frames.max() >= len(times):
        raise BadInput(f"{episode.name} needs frames {frames.min()} to {frames.max()}, but its video has {len(times)}.")
    return dataclasses.replace(episode, fps=float(fps), time_s=times[frames].astype(np.float64))
