"""Finished stages on disk: each is one file, written under a temporary name and renamed, in a folder keyed by its inputs.

The folder's name holds a digest of the video and of every setting that the result depends on, so a stage file that
exists is finished and valid. A killed run leaves finished stages behind and nothing else.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from vitra_lib.contracts import Caption, Rejection, Segment
from vitra_lib.core.files import atomic_path

PIPELINE_VERSION = 1
"""Raise whenever a stage's result changes for the same input: earlier work folders are then no longer used."""

Result = TypeVar("Result")


def settings_digest(*settings: object) -> str:
    """Hex digest of settings: frozen dataclasses, arrays, paths and plain values."""
    text = json.dumps([PIPELINE_VERSION, *map(_plain, settings)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: object) -> object:
    """JSON form of a setting."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    return value


def stage(path: Path, compute: Callable[[], Result], save: Callable[[Result, Path], None], load: Callable[[Path], Result]) -> Result:
    """Load a finished stage, or compute it, save it atomically, and load it back.

    The result always comes from the file, so that a resumed run sees exactly what a fresh one does.
    """
    if not path.exists():
        result = compute()
        with atomic_path(path) as temporary:
            save(result, temporary)
    return load(path)


def save_captions(captions_and_rejections: tuple[Sequence[Caption], Sequence[Rejection]], path: Path) -> None:
    """Write captions with their segments, and the captioner's rejections, as JSON."""
    captions, rejections = captions_and_rejections
    data = {"captions": [dataclasses.asdict(c) for c in captions], "rejections": [dataclasses.asdict(r) for r in rejections]}
    path.write_text(json.dumps(data, indent=1))


def load_captions(path: Path) -> tuple[tuple[Caption, ...], tuple[Rejection, ...]]:
    """Inverse of `save_captions`."""
    data = json.loads(path.read_text())
    captions = tuple(
        Caption(**{**item, "segment": Segment(**item["segment"]), "rephrasings": tuple(item["rephrasings"])})
        for item in data["captions"]
    )
    return captions, tuple(Rejection(**item) for item in data["rejections"])
