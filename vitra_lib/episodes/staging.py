"""All or nothing on disk: a new folder appears by one rename, a change to an old one goes through a redo journal.

New folder: everything is written into ".<name>.partial" beside it, then renamed. Existing folder: new and changed files
are written into "<folder>/.staged"; a journal that names them is then put in place by one rename, and the files are
moved. A crash before the journal leaves the old state (the staged files are swept at the next write); a crash after it
is finished by whoever opens the folder next. Either way a reader sees the old state or the new one.
"""

import fcntl
import json
import os
import shutil
from pathlib import Path

from vitra_lib.core.errors import BadInput, WriteFailed

_JOURNAL = ".commit.json"
_STAGED = ".staged"
_OWNER = ".owner"


class Staging:
    """Where files wait until all of them are written; use `folder` for new files and `commit` once."""

    def __init__(self, root: Path, is_new: bool) -> None:
        """Take the folder for writing.

        Args:
            root: the folder that will appear, or that exists and is changed.
            is_new: whether `root` must not exist yet.

        Raises:
            BadInput: `root` exists, or another process is writing it.
            WriteFailed: no permission, or the disk is full.
        """
        self.root, self.is_new = root, is_new
        self._made: list[Path] = []
        self.folder = root.parent / f".{root.name}.partial" if is_new else root / _STAGED
        if is_new and root.exists():
            raise BadInput(f"{root} exists already: name a folder that doesn't, or remove it first.")
        try:
            if is_new:
                self._made = [parent for parent in root.parents if not parent.exists()]
                root.parent.mkdir(parents=True, exist_ok=True)
            else:
                recover(root)
            self._sweep()
            self.folder.mkdir()
            self._lock = (self.folder / _OWNER).open("w")
            # The system drops the lock when the process dies, however it dies.
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise WriteFailed(f"{root} can't be written: {error.strerror}.") from error

    def _sweep(self) -> None:
        """Remove what a killed process left; refuse while its process lives."""
        if not self.folder.exists():
            return
        owner = self.folder / _OWNER
        if owner.exists():
            with owner.open() as handle:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    busy = f"{self.root} is being written by another process: wait for it, or stop it."
                    raise BadInput(busy) from None
        shutil.rmtree(self.folder)

    def path(self, relative: str) -> Path:
        """Place of a file that is being written; its folder exists."""
        path = self.folder / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def current(self, relative: str) -> Path:
        """The newest version of a file: the staged one, else the one in `root`."""
        staged = self.folder / relative
        return staged if staged.exists() or self.is_new else self.root / relative

    def commit(self) -> None:
        """Make everything that was staged visible."""
        self._release()
        if self.is_new:
            os.replace(self.folder, self.root)
            return
        files = sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())
        pending = self.folder / _JOURNAL
        pending.write_text(json.dumps(files))
        os.replace(pending, self.root / _JOURNAL)
        recover(self.root)

    def _release(self) -> None:
        (self.folder / _OWNER).unlink(missing_ok=True)
        self._lock.close()

    def discard(self) -> None:
        """Forget everything that was staged."""
        self._release()
        shutil.rmtree(self.folder, ignore_errors=True)
        for parent in self._made:
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()


def recover(root: Path) -> None:
    """Finish a change that was decided but interrupted; does nothing in the normal case."""
    journal = root / _JOURNAL
    if not journal.exists():
        return
    staged = root / _STAGED
    try:
        for relative in json.loads(journal.read_text()):
            (root / relative).parent.mkdir(parents=True, exist_ok=True)
            try:
                os.replace(staged / relative, root / relative)
            except FileNotFoundError:
                continue  # moved already, before the interruption or by another reader
        # The staged folder goes first: without the journal it would look like an unfinished change.
        shutil.rmtree(staged, ignore_errors=True)
        journal.unlink(missing_ok=True)
    except OSError as error:
        raise WriteFailed(f"{root} holds an interrupted change that can't be finished: {error.strerror}.") from error
