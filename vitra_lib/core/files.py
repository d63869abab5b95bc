"""Writing whole files or none: a temporary name in the same folder, then one rename."""

import errno
import hashlib
import json
import math
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vitra_lib.core.errors import WriteFailed

_PART = ".part-"
_REASONS = {
    errno.ENOENT: "that folder is gone, or can't hold files; choose another output folder",
    errno.EACCES: "no permission there; choose another output folder or change its permissions",
    errno.EPERM: "no permission there; choose another output folder or change its permissions",
    errno.EROFS: "the file system is read-only; choose another output folder",
    errno.ENOSPC: "the disk is full; free some space and run the same command again",
    errno.EDQUOT: "the disk quota is used up; free some space and run the same command again",
    errno.EFBIG: "the file would be larger than this file system allows; choose another output folder",
    errno.EIO: "the disk reported an input/output error; choose another output folder",
    errno.ENOTDIR: "a part of that path is a file, not a folder; choose another output folder",
    errno.EISDIR: "there is a folder of that name; choose another name",
    errno.EEXIST: "there is a file where a folder is needed; choose another output folder",
    errno.ENOTEMPTY: "there is a folder of that name with something in it; choose another name",
    errno.ENAMETOOLONG: "that name is too long for this file system; choose a shorter one",
}


@contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary name beside `path`; rename it to `path` when the block ends well, else remove it.

    The temporary name keeps the suffix of `path`, because writers choose the format by it. Missing parent
    folders are made, and removed again if the block fails. Partial files of a killed run of the same target
    on this machine are removed first.

    Args:
        path: the file to write; an older one is replaced in one step.

    Raises:
        WriteFailed: no permission, full disk, or another reason of the file system.
    """
    path = Path(path)
    with _prepared(path) as part:
        yield part
        os.replace(part, path)


@contextmanager
def atomic_folder(path: str | os.PathLike) -> Iterator[Path]:
    """Like `atomic_path` for a whole folder: fill the yielded folder; an older folder of that name is replaced.

    Raises:
        WriteFailed: no permission, full disk, or another reason of the file system.
    """
    path = Path(path)
    with _prepared(path) as part:
        part.mkdir()
        yield part
        if path.is_dir() and not path.is_symlink():
            old = _part_of(path, "old")
            os.rename(path, old)  # a folder with files in it can't be renamed over
            os.rename(part, path)
            _remove(old)
        else:
            os.replace(part, path)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write UTF-8 text, whole or not at all.

    Raises:
        WriteFailed: see `atomic_path`.
    """
    with atomic_path(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Write `value` as indented JSON; the same value always gives the same bytes.

    NumPy scalars and arrays become numbers and lists; NaN and infinity become null, for a missing figure is
    missing and JSON has no word for it.

    Raises:
        WriteFailed: see `atomic_path`.
    """
    write_text(path, json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def sha256_of(path: str | os.PathLike) -> str:
    """Hex SHA-256 of a file; of a folder: over the sorted relative names and digests of the files in it."""
    path = Path(path)
    digest = hashlib.sha256()
    if path.is_dir():
        for file in sorted(p for p in path.rglob("*") if p.is_file()):
            digest.update(f"{file.relative_to(path).as_posix()}\0{sha256_of(file)}\n".encode())
        return digest.hexdigest()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def remove_partials(folder: str | os.PathLike) -> None:
    """Remove what killed runs of this machine left half-written anywhere below `folder`."""
    for part in list(Path(folder).rglob(f".*{_PART}{_host()}-*")):
        if not _is_running(part):
            _remove(part)


@contextmanager
def _prepared(path: Path) -> Iterator[Path]:
    """Make the parents, yield the partial name, and clean up on any error, Ctrl-C included."""
    part = _part_of(path)
    made: list[Path] = []
    try:
        made = _make_parents(path.parent)
        for stale in path.parent.glob(f".{_escape(path.stem)}{_PART}{_host()}-*{_escape(path.suffix)}"):
            if not _is_running(stale):
                _remove(stale)
        _remove(part)
        yield part
    except BaseException as error:
        _remove(part)
        for folder in reversed(made):
            try:
                folder.rmdir()
            except OSError:
                break  # something else was put there meanwhile
        if isinstance(error, OSError) and _is_about(error, path):
            reason = _REASONS.get(error.errno or 0, os.strerror(error.errno or 0))
            raise WriteFailed(f"Can't write {path}: {reason}.") from error
        raise


def _make_parents(folder: Path) -> list[Path]:
    """Make `folder`; returns the folders that were not there before, outermost first."""
    missing = []
    while not folder.exists() and folder != folder.parent:
        missing.append(folder)
        folder = folder.parent
    made = []
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        made.append(folder)
    return made


def _part_of(path: Path, kind: str = "") -> Path:
    return path.with_name(f".{path.stem}{_PART}{_host()}-{os.getpid()}{kind}{path.suffix}")


def _host() -> str:
    return "".join(c if c.isalnum() else "_" for c in socket.gethostname()) or "host"


def _escape(name: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def _is_running(part: Path) -> bool:
    """Whether the process that owns a partial name is another one that still runs."""
    digits = part.name.split(f"{_PART}{_host()}-", 1)[1]
    pid = int("".join(c for c in digits.split(".")[0] if c.isdigit()) or 0)
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return pid > 0


def _remove(path: Path) -> None:
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    except OSError:
        return  # the folder itself is not writable: then nothing of ours is in it


def _is_about(error: OSError, path: Path) -> bool:
    """Whether `error` speaks of the output, and not of some input that the block read."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return True
    if error.errno not in _REASONS or not isinstance(error.filename, str | bytes | os.PathLike):
        return False
    named = Path(os.path.abspath(os.fsdecode(error.filename)))
    target = Path(os.path.abspath(path))
    part = target.with_name(_part_of(target).name)
    return named == target or named in target.parents or named == part or part in named.parents


def _plain(value: Any) -> Any:
    """`value` in JSON's own types."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in (sorted(value) if isinstance(value, set | frozenset) else value)]
    if hasattr(value, "tolist"):  # NumPy arrays and scalars
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, os.PathLike) else value
