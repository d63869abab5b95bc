"""The unfinished part of a long import: a store that grows by commits, and a journal of what is in it.

    <out>.work/key.txt          what the import is; another one starts anew
    <out>.work/dataset          the store so far, whole at every moment
    <out>.work/journal.jsonl    one line per finished video, with what was left out of it

A line is written after the commit that holds its video. So a video without a line may be in the store already, when
the process died between the two; its episodes are then recognised by name and not written again.
"""

import dataclasses
import fcntl
import json
import logging
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from vitra_lib.contracts import Rejection
from vitra_lib.core.errors import BadInput, WriteFailed
from vitra_lib.episodes.card import CardFacts
from vitra_lib.episodes.episode import Episode
from vitra_lib.episodes.footage import FootageConfig
from vitra_lib.episodes.writer import EpisodeWriter

_log = logging.getLogger(__name__)

_WORK_PER_COMMIT = 20.0


class ImportWork:
    """Adds episodes to the store of an unfinished import; a context manager that keeps what was committed."""

    def __init__(self, out: Path, key: str, footage: FootageConfig, commit_s: float | int) -> None:
        """Begin, or go on where an equal import was stopped.

        Args:
            out: the dataset to come.
            key: what the import is; work of another key is thrown away.
            footage: how videos are copied.
            commit_s: time between commits [s].

        Raises:
            BadInput: another process is importing to the same place.
            WriteFailed: nothing can be written there.
        """
        self.folder = out.with_name(out.name + ".work")
        self.dataset = self.folder / "dataset"
        self._footage, self._commit_s = footage, commit_s
        self._writer: EpisodeWriter | None = None
        self._count = 0
        self._pending: list[tuple[str, list[Rejection]]] = []
        self._finished: dict[str, list[Rejection]] = {}
        self._made = [folder for folder in (self.folder, *self.folder.parents) if not folder.exists()]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = (self.folder / ".lock").open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadInput(f"Another import is writing {self.folder}: wait for it, or choose another --out.") from None
        except OSError as error:
            raise WriteFailed(f"{self.folder} can't be written: {error.strerror or error}.") from error
        self._resume(key)
        self._last, self._cost_s = time.monotonic(), 0.0

    def _resume(self, key: str) -> None:
        known = self.folder / "key.txt"
        if known.exists() and known.read_text() == key:
            self._read_journal()
            if self._finished:
                _log.warning("Going on with an unfinished import: %d videos are done.", len(self._finished))
            return
        for path in self.folder.iterdir():
            if path.name != ".lock":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        known.write_text(key)

    def _read_journal(self) -> None:
        path = self.folder / "journal.jsonl"
        if not path.exists() or not self.dataset.exists():
            return  # lines without a store speak of nothing
        whole, _, torn = path.read_text(encoding="utf-8").rpartition("\n")
        for line in whole.splitlines():
            entry = json.loads(line)
            self._finished[entry["video"]] = [Rejection(**one) for one in entry["left_out"]]
        if torn:
            path.write_text(whole + "\n" if whole else "", encoding="utf-8")

    @property
    def episodes(self) -> int:
        """Episodes of the finished dataset."""
        return self._count

    @property
    def rejections(self) -> tuple[Rejection, ...]:
        """What was left out so far, in the order of the videos."""
        parts = [*self._finished.values(), *(rejections for _, rejections in self._pending)]
        return tuple(rejection for part in parts for rejection in part)

    def is_done(self, video: str) -> bool:
        """Whether a video was finished, by this run or by one before."""
        return video in self._finished

    def add(self, episode: Episode, files: Sequence[Path]) -> None:
        """Write one episode, and its video before it if need be.

        Raises:
            BadInput: it doesn't fit its video.
        """
        writer = self._open()
        if writer.has(episode.name):
            return
        if (episode.dataset_prefix, episode.video_name) not in writer.video_names:
            writer.add_video(episode.video_name, files, episode.dataset_prefix)
        writer.append(episode)

    def done(self, video: str, rejections: list[Rejection]) -> None:
        """Say that all of a video is in; from time to time what is in is committed."""
        self._pending.append((video, rejections))
        if time.monotonic() - self._last >= max(self._commit_s, _WORK_PER_COMMIT * self._cost_s):
            self._commit(None)

    def finish(self, facts: CardFacts) -> None:
        """Commit the rest and write the dataset card."""
        self._commit(facts)
        self._count = len(self._open())
        self._close()

    def _open(self) -> EpisodeWriter:
        if self._writer is None:
            is_new = not self.dataset.exists()
            self._writer = (
                EpisodeWriter.create(self.dataset, self._footage) if is_new else EpisodeWriter.append_to(self.dataset)
            )
        return self._writer

    def _commit(self, facts: CardFacts | None) -> None:
        writer = self._open()
        if not len(writer):
            return  # a store needs an episode
        start = time.monotonic()
        writer.finalize(facts).close()
        self._writer = None
        with (self.folder / "journal.jsonl").open("a", encoding="utf-8") as journal:
            for video, rejections in self._pending:
                left_out = [dataclasses.asdict(rejection) for rejection in rejections]
                journal.write(json.dumps({"video": video, "left_out": left_out}, ensure_ascii=False) + "\n")
        self._finished |= dict(self._pending)
        self._pending = []
        self._last = time.monotonic()
        # Going on reads the tables of all episodes; the more of them, the rarer it must happen.
        self._open()
        self._cost_s = time.monotonic() - start if self._commit_s else 0.0

    def remove(self) -> None:
        """Remove the work folder; the dataset must have been moved away."""
        self._close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.discard()
            self._writer = None

    def __enter__(self) -> "ImportWork":
        return self

    def __exit__(self, *_) -> None:
        self._close()
        self._lock.close()
        if self.folder.exists() and not self.dataset.exists():  # nothing was finished: leave nothing behind
            shutil.rmtree(self.folder, ignore_errors=True)
            for parent in self._made[1:]:
                if parent.is_dir() and not any(parent.iterdir()):
                    parent.rmdir()
