"""Finished stages on disk: each is one file, written under a temporary name and renamed, named after all it depends on.

The name holds a digest of the code, of the settings and of the stages before, and lies in a folder named after the
video's bytes. So a stage file that exists is finished and valid; whatever changes gets another name. A killed run
leaves finished stages behind and nothing else that counts.
"""

import dataclasses
import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import numpy as np

import vitra_lib
from vitra_lib.contracts import Caption, Rejection, Segment
from vitra_lib.core.errors import BadInput
from vitra_lib.core.files import atomic_path, sha256_of

_log = logging.getLogger(__name__)
_CODE = (".py", ".npz")

Result = TypeVar("Result")


@lru_cache(maxsize=16)
def code_digest(rooms: tuple[str, ...]) -> str:
    """Hex digest of the code and weights of some rooms of the library: results of other versions are not reused.

    Args:
        rooms: folders of the library ("reconstruction", …).
    """
    root = Path(vitra_lib.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(p for room in rooms for p in (root / room).rglob("*") if p.suffix in _CODE):
        digest.update(f"{path.relative_to(root).as_posix()}\0{sha256_of(path)}\n".encode())
    return digest.hexdigest()


def settings_digest(*settings: object) -> str:
    """Hex digest of settings: frozen dataclasses, arrays, files and folders (by content) and plain values."""
    return hashlib.sha256(json.dumps([_plain(value) for value in settings], sort_keys=True).encode()).hexdigest()


def _plain(value: object) -> object:
    """JSON form of a setting."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return sha256_of(value) if value.exists() else str(value)
    return value


def stage(
    path: Path, compute: Callable[[], Result], save: Callable[[Result, Path], None], load: Callable[[Path], Result]
) -> Result:
    """Load a finished stage, or compute it, save it atomically, and load it back.

    The result always comes from the file, so that a resumed run sees exactly what a fresh one does. A file that can't
    be read (a machine that lost power may leave one) is made again.

    Args:
        path: the stage's file.
        compute: makes the result.
        save: writes it to a path.
        load: reads it back; raises BadInput for a damaged file.
    """
    if path.exists():
        try:
            return load(path)
        except BadInput as error:
            _log.warning("%s is damaged and is made again: %s", path, error)
    result = compute()
    with atomic_path(path) as temporary:
        save(result, temporary)
    return load(path)


def save_captions(captions_and_rejections: tuple[Sequence[Caption], Sequence[Rejection]], path: Path) -> None:
    """Write captions with their segments, and the captioner's rejections, as JSON."""
    captions, rejections = captions_and_rejections
    data = {
        "captions": [dataclasses.asdict(caption) for caption in captions],
        "rejections": [dataclasses.asdict(rejection) for rejection in rejections],
    }
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False), encoding="utf-8")


def load_captions(path: Path) -> tuple[tuple[Caption, ...], tuple[Rejection, ...]]:
    """Inverse of `save_captions`.

    Raises:
        BadInput: the file is damaged.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        captions = tuple(
            Caption(**{**item, "segment": Segment(**item["segment"]), "rephrasings": tuple(item["rephrasings"])})
            for item in data["captions"]
        )
        return captions, tuple(Rejection(**item) for item in data["rejections"])
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path} holds no captions: {error}.") from error


def save_refusal(reason: str, path: Path) -> None:
    """Write why a video was refused."""
    path.write_text(json.dumps({"refusal": reason}, ensure_ascii=False), encoding="utf-8")


def load_refusal(path: Path) -> str:
    """Inverse of `save_refusal`.

    Raises:
        BadInput: the file is damaged.
    """
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["refusal"])
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path} holds no refusal: {error}.") from error
