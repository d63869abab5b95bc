"""An index over official VITRA-1M folders: a million episodes known by name and length, none of them opened.

The official `episode_frame_index.npz` names every episode and every frame, as arrays that must be unpacked whole. They
are rewritten once as flat arrays that the system maps into memory, so opening costs milliseconds whatever the size:

    index.json          sets, counts, and the size and time of each source file, by which a stale index is noticed
    names.npy           all names, UTF-8, one after another        name_offsets.npy    where each begins
    sets.npy            number of each episode's set               first_sample.npy    its first sample
    frames.npy          frame of every sample, only where a set's list is not simply every frame of every episode
"""

import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int
from tqdm import tqdm

from vitra_lib.core.errors import BadInput, WriteFailed
from vitra_lib.core.files import atomic_folder, write_json
from vitra_lib.core.paths import cache_folder
from vitra_lib.core.pickles import load_npz
from vitra_lib.episodes.episode import Episode
from vitra_lib.episodes.vitra_1m import read_official

logger = logging.getLogger(__name__)

INDEX_FILE = "episode_frame_index.npz"
ANNOTATIONS = "episodic_annotations"
_VERSION = 1
_FOLDER = ".vitra-index"
_PARENTS = (".", "Annotation", "Metadata")


@dataclass(frozen=True)
class _Set:
    """One data set while the index is made: its folder below the root, names, and the frame of every sample."""

    folder: str
    source: Path
    names: list[str]
    counts: np.ndarray
    frames: np.ndarray | None


class EpisodeIndex:
    """Names, files and samples of official episodes; arrays stay on disk until they are touched."""

    def __init__(self, root: Path, card: dict, arrays: dict[str, np.ndarray]) -> None:
        """Use `open_vitra_1m`."""
        self.root, self._card, self._arrays = root, card, arrays
        self.sets: tuple[str, ...] = tuple(Path(one["folder"]).name for one in card["sets"])

    def __len__(self) -> int:
        return self._card["episodes"]

    @property
    def total_samples(self) -> int:
        """Training samples: one per listed frame of every episode."""
        return self._card["samples"]

    def name(self, episode: int) -> str:
        """Name of an episode: its file name without ".npy"."""
        self._check(episode, len(self), "episode")
        start, stop = self._arrays["name_offsets"][episode : episode + 2]
        return bytes(self._arrays["names"][start:stop]).decode()

    def set_of(self, episode: int) -> int:
        """Number in `sets` of the data set that an episode belongs to."""
        self._check(episode, len(self), "episode")
        return int(self._arrays["sets"][episode])

    def path(self, episode: int) -> Path:
        """File of an episode."""
        folder = self._card["sets"][self.set_of(episode)]["folder"]
        return self.root / folder / ANNOTATIONS / f"{self.name(episode)}.npy"

    def sample_count(self, episode: int) -> int:
        """Samples of one episode; its number of frames where every frame is listed."""
        self._check(episode, len(self), "episode")
        return int(np.diff(self._arrays["first_sample"][episode : episode + 2])[0])

    def sample(self, number: int) -> tuple[int, int]:
        """(episode, frame in the episode) of one sample."""
        self._check(number, self.total_samples, "sample")
        episodes, frames = self.samples(np.array([number]))
        return int(episodes[0]), int(frames[0])

    def samples(self, numbers: Int[np.ndarray, " n"]) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
        """Episode and frame of many samples at once.

        Args:
            numbers: 0 to `total_samples` - 1, in any order.
        """
        first = self._arrays["first_sample"]
        episodes = np.searchsorted(first, numbers, side="right") - 1
        frames = self._arrays.get("frames")
        return episodes, (numbers - first[episodes] if frames is None else frames[numbers].astype(np.int64))

    def episode(self, episode: int, fps: float = 30.0) -> Episode:
        """Read one episode.

        Args:
            episode: its number.
            fps: frame rate of its video [1/s]; the official files don't hold it.

        Raises:
            BadInput: the file is missing or damaged, or has fewer frames than the index lists.
        """
        path = self.path(episode)
        if not path.is_file():
            raise BadInput(f"The index names an episode that is not there: {path}. Unpack the whole data set.")
        return read_official(path, fps)

    def _check(self, number: int, count: int, what: str) -> None:
        if not 0 <= number < count:
            raise IndexError(f"{what} {number}: the index has 0 to {count - 1}")

    def __getstate__(self) -> dict:
        return {"folder": self._card["index"], "root": self.root}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(_load(Path(state["folder"]), state["root"]).__dict__)


def open_vitra_1m(root: str | Path, index: str | Path | None = None, progress: bool = False) -> EpisodeIndex:
    """Open official folders through their index, which is made at the first time and whenever the sources changed.

    Args:
        root: one data set's folder, or a folder of them ("Annotation/{set}", "Metadata/{set}" or "{set}").
        index: folder of the index; by default ".vitra-index" in `root`, or the user's cache where `root` is read-only.
        progress: show a progress bar while it is made.

    Raises:
        BadInput: there are no official episodes, or an official index is damaged.
        UnsafePickle: an official index asks for more than plain data; nothing in it was run.
        WriteFailed: the index can't be written.
    """
    root = Path(root).absolute()
    sources = _sources(root)
    places = [Path(index)] if index is not None else [root / _FOLDER, cache_folder() / "index" / _key(root)]
    for place in places:
        if _is_fresh(place, sources):
            return _load(place, root)
    *first, last = places
    for place in first:
        try:
            _make(root, sources, place, progress)
            return _load(place, root)
        except WriteFailed:
            logger.info("%s can't be written: the index goes to %s.", place, last)
    _make(root, sources, last, progress)
    return _load(last, root)


def _key(root: Path) -> str:
    return hashlib.sha256(str(root).encode()).hexdigest()[:16]


def _sources(root: Path) -> dict[str, Path]:
    """Folder below the root -> the file or folder by whose change the index becomes stale."""
    folders = [root] if (root / ANNOTATIONS).is_dir() else []
    for parent in _PARENTS:
        inner = root / parent
        folders += sorted(path for path in inner.glob("*") if (path / ANNOTATIONS).is_dir()) if inner.is_dir() else []
    found = {}
    for folder in folders:
        official = folder / INDEX_FILE
        found[folder.relative_to(root).as_posix()] = official if official.is_file() else folder / ANNOTATIONS
    if not found:
        raise BadInput(f"No official episodes at {root}: expected a folder with {ANNOTATIONS}, or folders of such.")
    return found


def _state(source: Path) -> list[int]:
    state = source.stat()
    return [state.st_size, state.st_mtime_ns]


def _is_fresh(place: Path, sources: dict[str, Path]) -> bool:
    try:
        card = json.loads((place / "index.json").read_text())
        known = {one["folder"]: one["state"] for one in card["sets"]}
        return card["version"] == _VERSION and known == {name: _state(path) for name, path in sources.items()}
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _load(place: Path, root: Path) -> EpisodeIndex:
    card = json.loads((place / "index.json").read_text()) | {"index": str(place)}
    arrays = {}
    for name in ("names", "name_offsets", "sets", "first_sample", *(["frames"] if card["has_frames"] else [])):
        arrays[name] = np.load(place / f"{name}.npy", mmap_mode="r")
    return EpisodeIndex(root, card, arrays)


def _make(root: Path, sources: dict[str, Path], place: Path, progress: bool) -> None:
    sets = [_read_set(name, source, progress) for name, source in sources.items()]
    encoded = [name.encode() for one in sets for name in one.names]
    counts = np.concatenate([one.counts for one in sets])
    if not len(encoded):
        raise BadInput(f"No official episodes at {root}: the folders are there, but empty.")
    has_frames = any(one.frames is not None for one in sets)
    card = {
        "version": _VERSION,
        "episodes": len(encoded),
        "samples": int(counts.sum()),
        "has_frames": has_frames,
        "sets": [{"folder": one.folder, "state": _state(one.source)} for one in sets],
    }
    with atomic_folder(place) as part:
        np.save(part / "names.npy", np.frombuffer(b"".join(encoded), np.uint8))
        np.save(part / "name_offsets.npy", _starts(np.array([len(name) for name in encoded])))
        np.save(part / "sets.npy", np.repeat(np.arange(len(sets), dtype=np.uint16), [len(one.names) for one in sets]))
        np.save(part / "first_sample.npy", _starts(counts))
        if has_frames:
            whole = [one.frames if one.frames is not None else _every_frame(one.counts) for one in sets]
            np.save(part / "frames.npy", np.concatenate(whole).astype(np.uint32))
        write_json(part / "index.json", card)


def _starts(counts: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])


def _every_frame(counts: np.ndarray) -> np.ndarray:
    return np.arange(counts.sum()) - np.repeat(_starts(counts)[:-1], counts)


def _read_set(folder: str, source: Path, progress: bool) -> _Set:
    if source.name != INDEX_FILE:
        return _scan(folder, source, progress)
    index = load_npz(source)
    if not {"index_frame_pair", "index_to_episode_id"} <= set(index):
        raise BadInput(f"{source} lacks index_frame_pair or index_to_episode_id.")
    names = [str(name) for name in index["index_to_episode_id"].reshape(-1).tolist()]
    bad = next((name for name in names if not name or "/" in name or "\\" in name or "\0" in name), None)
    if bad is not None:
        raise BadInput(f"{source}: {bad!r} can't be the name of an episode's file.")
    pairs = index["index_frame_pair"]
    if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.dtype.kind not in "iu":
        raise BadInput(f"{source}: index_frame_pair is {pairs.dtype} {pairs.shape}; it must be whole numbers (n, 2).")
    episodes, frames = pairs[:, 0].astype(np.int64), pairs[:, 1].astype(np.int64)
    if len(pairs) and (episodes.min() < 0 or episodes.max() >= len(names) or frames.min() < 0):
        raise BadInput(f"{source}: index_frame_pair points to episodes or frames that don't exist.")
    if (np.diff(episodes) < 0).any():  # samples keep the order of their episodes
        order = np.argsort(episodes, kind="stable")
        episodes, frames = episodes[order], frames[order]
    counts = np.bincount(episodes, minlength=len(names)).astype(np.int64)
    is_simple = np.array_equal(frames, _every_frame(counts))
    return _Set(folder, source, names, counts, None if is_simple else frames)


def _scan(folder: str, annotations: Path, progress: bool) -> _Set:
    """Without an official index every file must be opened once, to know how many frames it has."""
    files = sorted(annotations.glob("*.npy"))
    bar = tqdm(files, unit="episode", desc=f"index {folder}", disable=not progress)
    counts = np.array([len(read_official(path, 30.0)) for path in bar], dtype=np.int64)
    return _Set(folder, annotations, [path.stem for path in files], counts, None)
