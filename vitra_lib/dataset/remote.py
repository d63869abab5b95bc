"""Stores behind a URL: each file is fetched when it is first needed, into a bounded folder on the local disk.

Any file system that fsspec knows will do (s3://, gs://, hf://, https://, memory://…); `file://` is the local disk.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from vitra_lib.core.errors import BadInput, MissingAsset
from vitra_lib.core.files import atomic_path
from vitra_lib.core.paths import cache_folder
from vitra_lib.episodes.shards import LABELS_PER_FILE, shard_path
from vitra_lib.episodes.store import LABELS, EpisodeStore


def is_url(root: str | Path) -> bool:
    """Whether `root` names a file system other than the local one by a scheme."""
    return "://" in str(root) and not str(root).startswith("file://")


def local_path(root: str | Path) -> Path:
    """The path of a local folder that may be written as a file:// URL."""
    return Path(str(root).removeprefix("file://"))


class Mirror:
    """Local copies of a remote folder's files, fetched one by one; the oldest used ones make room for new ones."""

    def __init__(self, url: str, folder: str | Path | None = None, max_bytes: int = 50 << 30) -> None:
        """Prepare; nothing is fetched yet.

        Args:
            url: of the remote folder.
            folder: where copies go; by default a folder of the user's cache that belongs to this URL.
            max_bytes: copies of data and videos are kept up to this size; what describes the data set is never removed.
        """
        self.url = url.rstrip("/")
        key = hashlib.sha256(self.url.encode()).hexdigest()[:16]
        self.folder = Path(folder) if folder is not None else cache_folder() / "remote" / key
        self.max_bytes = max_bytes
        self._remote: tuple[int, Any, str] | None = None

    def fetch(self, relative: str) -> Path:
        """Local path of one file.

        Raises:
            BadInput: there is no such file, or it can't be fetched.
        """
        path = self.folder / relative
        if path.exists():
            os.utime(path)
            return path
        system, base = self._file_system()
        try:
            with atomic_path(path) as part:
                system.get_file(f"{base}/{relative}", str(part))
                size = part.stat().st_size
                self._make_room(size)
        except FileNotFoundError:
            raise BadInput(f"{self.url} has no file {relative}: it is incomplete, or not an episode store.") from None
        except (OSError, ValueError, ImportError) as error:
            raise BadInput(f"{self.url}/{relative} can't be fetched: {error}.") from error
        return path

    def _file_system(self) -> tuple[Any, str]:
        """The file system, opened once per process: connections do not survive a fork."""
        if self._remote is None or self._remote[0] != os.getpid():
            try:
                import fsspec
            except ImportError:
                raise MissingAsset(f"Reading {self.url} needs the package fsspec: pip install fsspec.") from None
            try:
                system, base = fsspec.core.url_to_fs(self.url)
            except (ImportError, ValueError) as error:
                raise BadInput(f"{self.url} can't be opened: {error}.") from error
            self._remote = (os.getpid(), system, base)
        return self._remote[1:]

    def _make_room(self, size: int) -> None:
        """Remove the copies that were not used for the longest time until `size` more bytes fit."""
        found = []
        for top in ("data", "videos"):
            for path in (self.folder / top).rglob("*"):
                try:
                    if path.is_file() and ".part-" not in path.name:
                        found.append((path.stat().st_mtime, path.stat().st_size, path))
                except OSError:
                    continue  # another process removed it meanwhile
        total = size + sum(entry[1] for entry in found)
        for _, freed, path in sorted(found):
            if total <= self.max_bytes:
                return
            path.unlink(missing_ok=True)
            total -= freed

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_remote": None}


class RemoteStore(EpisodeStore):
    """A store behind a URL; its files come from a `Mirror`."""

    mirror: Mirror

    @classmethod
    def open_url(cls, mirror: Mirror) -> "RemoteStore":
        """Fetch what describes the store, and open it.

        Raises:
            BadInput: there is no store, it is damaged, or it can't be reached.
        """
        for name in ("meta/info.json", "meta/vitra.json"):
            (mirror.folder / name).unlink(missing_ok=True)  # a store grows by being replaced: ask again
            mirror.fetch(name)
        episodes = _total_episodes(mirror)
        for number in {0, max(episodes - 1, 0) // LABELS_PER_FILE}:  # the store wants to see the first and the last
            mirror.fetch(shard_path(LABELS, number))
        store = cls.open(mirror.folder)
        store.mirror = mirror
        return store

    def _file(self, relative: str) -> pq.ParquetFile:
        if relative not in self._files:
            self.mirror.fetch(relative)
        return super()._file(relative)

    def fetched_video(self, relative: str) -> Path:
        """Local path of one mp4."""
        return self.mirror.fetch(relative)


def _total_episodes(mirror: Mirror) -> int:
    try:
        return int(json.loads((mirror.folder / "meta/info.json").read_text())["total_episodes"])
    except (ValueError, KeyError, TypeError):
        raise BadInput(f"{mirror.url} is damaged: meta/info.json doesn't say how many episodes there are.") from None
