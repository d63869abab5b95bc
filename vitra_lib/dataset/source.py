"""Where samples come from: a store on a disk or behind a URL, or the official VITRA-1M folders as they were unpacked.

A sample is one frame of one episode. A source knows the number of samples and finds the episode and frame of any of
them without opening a file; labels and pictures are read when they are asked for.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int, UInt8

from vitra_lib.core.errors import BadInput
from vitra_lib.dataset.decoder_cache import DecoderCache
from vitra_lib.dataset.remote import Mirror, RemoteStore, is_url, local_path
from vitra_lib.episodes.episode import Episode
from vitra_lib.episodes.naming import find_video
from vitra_lib.episodes.schema import VIDEO_KEY
from vitra_lib.episodes.shards import FILES_PER_CHUNK
from vitra_lib.episodes.store import EpisodeStore
from vitra_lib.episodes.vitra_1m_index import EpisodeIndex, open_vitra_1m

_KNOWN_VIDEOS = 4096
_RECENT = 64
_PARENTS = (".", "Annotation", "Metadata")


@runtime_checkable
class SampleSource(Protocol):
    """One data set. Safe to hand to worker processes: what is open is not carried along."""

    name: str

    def __len__(self) -> int:
        """Number of samples."""
        ...

    def locate(self, samples: Int[np.ndarray, " n"]) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
        """Episode number, and frame in the episode, of some samples."""
        ...

    def episode(self, number: int) -> Episode:
        """Read one episode."""
        ...

    def episode_name(self, number: int) -> str:
        """Name of an episode, for messages; works where reading it does not."""
        ...

    def images(
        self, number: int, frames: Sequence[int], cache: DecoderCache
    ) -> list[UInt8[np.ndarray, "height width 3"]]:
        """RGB images of some frames of one episode."""
        ...

    def close(self) -> None:
        """Close what reading opened; the source may be used again."""
        ...


@dataclass(frozen=True)
class SourceConfig:
    """How data sets are found and read.

    Attributes:
        videos: folder of the official videos, or None to look beside the annotations; stores have their own.
        clip_len: frames per part of official videos, None where they are undivided.
        fps: frame rate that official labels are given, which don't hold one [1/s].
        cache: folder for files of remote stores, None for the user's cache.
        max_cache_bytes: limit of that folder.
    """

    videos: str | Path | None = None
    clip_len: int | None = None
    fps: float = 30.0
    cache: str | Path | None = None
    max_cache_bytes: int = 50 << 30

    def __post_init__(self) -> None:
        if self.clip_len is not None and self.clip_len < 1:
            raise BadInput(f"clip_len is {self.clip_len}: legal are 1 and more frames (2000 is usual).")
        if not self.fps > 0 or self.max_cache_bytes < 1:
            raise BadInput(f"fps is {self.fps}, max_cache_bytes {self.max_cache_bytes}: legal are numbers above 0.")


class StoreSource:
    """The frames of an episode store."""

    def __init__(self, store: EpisodeStore, name: str) -> None:
        """Read how long each episode is and where its pictures are: five numbers per episode."""
        self.store, self.name = store, name
        columns = ("length", "source_start", "video_chunk", "video_file", "video_start")
        table = store.labels(columns)
        length, source_start, chunk, file, video_start = (table.column(c).to_numpy().astype(np.int64) for c in columns)
        self._first = np.concatenate([[0], np.cumsum(length)])
        self._video = chunk * FILES_PER_CHUNK + file
        self._offset = source_start - video_start

    def __len__(self) -> int:
        return int(self._first[-1])

    def locate(self, samples: Int[np.ndarray, " n"]) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
        """Episode number, and frame in the episode, of some samples."""
        episodes = np.searchsorted(self._first, samples, side="right") - 1
        return episodes, samples - self._first[episodes]

    def episode(self, number: int) -> Episode:
        """Read one episode."""
        return self.store[number]

    def episode_name(self, number: int) -> str:
        """Name of an episode, from the labels."""
        return str(self.store.label(number)["name"])

    def images(
        self, number: int, frames: Sequence[int], cache: DecoderCache
    ) -> list[UInt8[np.ndarray, "height width 3"]]:
        """RGB images of some frames of one episode; its labels are not needed."""
        chunk, file = divmod(int(self._video[number]), FILES_PER_CHUNK)
        relative = f"videos/{VIDEO_KEY}/chunk-{chunk:03d}/file-{file:03d}.mp4"
        is_remote = isinstance(self.store, RemoteStore)
        path = self.store.fetched_video(relative) if is_remote else self.store.root / relative
        offset = int(self._offset[number])
        return cache.images(path, [offset + int(frame) for frame in frames], self.store.fps)

    def close(self) -> None:
        """Close the store's files."""
        self.store.close()


class OfficialSource:
    """The samples of official VITRA-1M folders: labels in `.npy` files, videos as they were prepared."""

    def __init__(self, index: EpisodeIndex, name: str, videos: Sequence[Path], config: SourceConfig) -> None:
        """Look nothing up yet.

        Args:
            index: of the episodes.
            name: of the data set.
            videos: folders in which videos are looked for.
            config: parts and frame rate.
        """
        self.index, self.name = index, name
        self._roots, self._config = [Path(folder) for folder in videos], config
        self._found: OrderedDict[str, list[Path]] = OrderedDict()
        self._recent: OrderedDict[int, Episode] = OrderedDict()

    def __len__(self) -> int:
        return self.index.total_samples

    def locate(self, samples: Int[np.ndarray, " n"]) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
        """Episode number, and frame in the episode, of some samples."""
        episodes, frames = self.index.samples(samples)
        return episodes.astype(np.int64), frames.astype(np.int64)

    def episode(self, number: int) -> Episode:
        """Read one episode; the last few are kept, since labels and pictures both need it."""
        if number not in self._recent:
            self._recent[number] = self.index.episode(number, self._config.fps)
            if len(self._recent) > _RECENT:
                self._recent.popitem(last=False)
        return self._recent[number]

    def episode_name(self, number: int) -> str:
        """Name of an episode, from the index."""
        return self.index.name(number)

    def images(
        self, number: int, frames: Sequence[int], cache: DecoderCache
    ) -> list[UInt8[np.ndarray, "height width 3"]]:
        """RGB images of some frames of one episode."""
        episode = self.episode(number)
        source = [int(episode.source_frame[frame]) for frame in frames]
        clip_len = self._config.clip_len
        files = self._files(episode, max(source))
        if clip_len is None:
            return cache.images(files[0], source)
        images: list[np.ndarray] = []
        for frame in source:
            part, within = divmod(frame, clip_len)
            images += cache.images(files[part], [within])
        return images

    def _files(self, episode: Episode, last_frame: int) -> list[Path]:
        parts = 1 if self._config.clip_len is None else last_frame // self._config.clip_len + 1
        found = self._found.get(episode.video_name)
        if found is None or len(found) < parts:
            prefix, clip_len = episode.dataset_prefix, self._config.clip_len
            found = find_video(prefix, episode.video_name, self._roots, last_frame, clip_len)
            self._found[episode.video_name] = found
            if len(self._found) > _KNOWN_VIDEOS:
                self._found.popitem(last=False)
        return found

    def close(self) -> None:
        """Forget the episodes that were read last; no file stays open."""
        self._recent.clear()


def open_source(root: str | Path, name: str = "", config: SourceConfig | None = None) -> SampleSource:
    """Open one data set: a store, or an official folder; which of them is seen from its files.

    Args:
        root: the data set itself, or (with `name`) a folder or URL that holds it: "{name}", "Annotation/{name}" or
            "Metadata/{name}".
        name: of the data set.
        config: videos, parts, cache.

    Raises:
        BadInput: there is no data set; the message says where it was looked for.
    """
    config = config or SourceConfig()
    if is_url(root):
        url = f"{str(root).rstrip('/')}/{name}".rstrip("/")
        store = RemoteStore.open_url(Mirror(url, _cache_of(config, name), config.max_cache_bytes))
        return StoreSource(store, name or url.rsplit("/", 1)[-1])
    root = local_path(root)
    tried = [root / parent / name for parent in _PARENTS] if name else [root]
    for folder in tried:
        if (folder / "meta" / "vitra.json").is_file():
            return StoreSource(EpisodeStore.open(folder), name or folder.name)
    for folder in tried:
        if (folder / "episodic_annotations").is_dir() or not name and _holds_sets(folder):
            videos = _video_roots(root, folder, config)
            return OfficialSource(open_vitra_1m(folder), name or folder.name, videos, config)
    places = ", ".join(dict.fromkeys(str(folder) for folder in tried))
    raise BadInput(f"There is no data set at {places}: expected a store (meta/vitra.json) or official episodes.")


def _holds_sets(folder: Path) -> bool:
    return any(any((folder / parent).glob("*/episodic_annotations")) for parent in _PARENTS)


def _video_roots(root: Path, folder: Path, config: SourceConfig) -> list[Path]:
    if config.videos is not None:
        return [Path(config.videos)]
    return list(dict.fromkeys([folder, root, *folder.parents[:2]]))


def _cache_of(config: SourceConfig, name: str) -> Path | None:
    return None if config.cache is None else Path(config.cache) / (name or "store")


def describe(source: SampleSource) -> dict[str, Any]:
    """What tells one data set from another in a saved state: its name and length."""
    return {"name": source.name, "samples": len(source)}
