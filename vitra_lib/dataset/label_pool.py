"""Labels of recently used episodes, kept ready in one ring of rows: a batch points into it and nothing is copied.

Turning an episode into the arrays of a window costs more than the window itself. The ring has a fixed size; a new
episode overwrites the oldest ones.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from jaxtyping import Int

from vitra_lib.core.errors import BadInput
from vitra_lib.dataset.arrays import EpisodeArrays
from vitra_lib.episodes.episode import Episode

_ROW_FIELDS = (
    "R_cam_world",
    "t_cam_world",
    "R_world_wrist",
    "t_world_wrist",
    "R_parent_joint",
    "finger_euler",
    "joints_world",
    "palm_world",
    "is_valid",
)
_TUPLES = ("names", "texts")
_PER_EPISODE = tuple(f.name for f in fields(EpisodeArrays) if f.name not in (*_ROW_FIELDS, *_TUPLES))


class LabelPool:
    """A ring of label rows. Copies made for worker processes start empty."""

    def __init__(self, max_rows: int = 16384) -> None:
        """Prepare an empty ring.

        Args:
            max_rows: frames whose labels are kept, about 4 kB each.
        """
        if max_rows < 1:
            raise BadInput(f"A label pool of {max_rows} rows can't work: legal are whole numbers from 1.")
        self.max_rows = max_rows
        self._rows: dict[str, np.ndarray] = {}
        self._head = 0
        self._places: dict[Hashable, tuple[int, int]] = {}
        self._heads: dict[Hashable, EpisodeArrays] = {}

    def gather(
        self, keys: Sequence[Hashable], load: Callable[[Any], Episode]
    ) -> tuple[EpisodeArrays, Int[np.ndarray, " samples"]]:
        """The labels of some episodes, and for each key the number of its episode in them.

        Args:
            keys: one per sample; repeats are read once.
            load: reads the episode of a key that is not kept.

        Returns:
            Arrays that are good until the next call.
        """
        distinct = list(dict.fromkeys(keys))
        fresh: dict[Hashable, EpisodeArrays] = {}
        for key in distinct:
            if key not in self._places:
                fresh[key] = EpisodeArrays.of(load(key))
        needed = sum(int(arrays.length[0]) for arrays in fresh.values())
        needed += sum(self._places[key][1] for key in distinct if key in self._places)
        number = {key: n for n, key in enumerate(distinct)}
        numbers = np.array([number[key] for key in keys], np.int64)
        # What is in use must not be overwritten; wrapping round may waste up to one episode's rows at the end.
        if 2 * needed > self.max_rows:
            return _joined([fresh.get(key) or self._copy(key) for key in distinct]), numbers
        for key in distinct:  # what the new rows may overwrite is written anew behind them
            if key not in fresh and self._is_endangered(key, needed):
                fresh[key] = self._copy(key)
                self._drop(key)
        for key, arrays in fresh.items():
            self._insert(key, arrays)
        return self._view(distinct), numbers

    def close(self) -> None:
        """Forget everything."""
        self._rows, self._head = {}, 0
        self._places.clear()
        self._heads.clear()

    def _is_endangered(self, key: Hashable, needed: int) -> bool:
        """Whether the next `needed` rows, wherever they wrap, may reach this episode."""
        start, length = self._places[key]
        reach = self._head + 2 * needed
        ahead = start + length > self._head and start < reach
        return ahead or start < reach - self.max_rows

    def _insert(self, key: Hashable, arrays: EpisodeArrays) -> None:
        length = int(arrays.length[0])
        if self._head + length > self.max_rows:
            self._head = 0
        start, stop = self._head, self._head + length
        self._evict(start, stop)
        for name in _ROW_FIELDS:
            values = getattr(arrays, name)
            if name not in self._rows:
                self._rows[name] = np.zeros((self.max_rows, *values.shape[1:]), values.dtype)
            self._rows[name][start:stop] = values
        self._head = stop
        self._places[key] = (start, length)
        self._heads[key] = _without_rows(arrays)

    def _evict(self, start: int, stop: int) -> None:
        for key in [key for key, (begin, length) in self._places.items() if begin < stop and begin + length > start]:
            self._drop(key)

    def _drop(self, key: Hashable) -> None:
        del self._places[key], self._heads[key]

    def _copy(self, key: Hashable) -> EpisodeArrays:
        start, length = self._places[key]
        rows = {name: values[start : start + length].copy() for name, values in self._rows.items()}
        return _replaced(self._heads[key], rows, np.zeros(1, np.int64))

    def _view(self, keys: Sequence[Hashable]) -> EpisodeArrays:
        starts = np.array([self._places[key][0] for key in keys], np.int64)
        return _stacked([self._heads[key] for key in keys], self._rows, starts)

    def __getstate__(self) -> dict[str, int]:
        return {"max_rows": self.max_rows}

    def __setstate__(self, state: dict[str, int]) -> None:
        self.__init__(**state)


def _without_rows(arrays: EpisodeArrays) -> EpisodeArrays:
    rows = {name: getattr(arrays, name)[:0].copy() for name in _ROW_FIELDS}
    return _replaced(arrays, rows, np.zeros(1, np.int64))


def _replaced(arrays: EpisodeArrays, rows: dict[str, np.ndarray], start: np.ndarray) -> EpisodeArrays:
    kept = {f.name: getattr(arrays, f.name) for f in fields(EpisodeArrays)}
    return EpisodeArrays(**{**kept, **rows, "start": start})


def _stacked(heads: Sequence[EpisodeArrays], rows: dict[str, np.ndarray], start: np.ndarray) -> EpisodeArrays:
    """Episodes side by side whose rows are somewhere in `rows`."""
    values: dict[str, Any] = {name: np.concatenate([getattr(h, name) for h in heads]) for name in _PER_EPISODE}
    values |= {name: tuple(item for h in heads for item in getattr(h, name)) for name in _TUPLES}
    return EpisodeArrays(**{**values, **rows, "start": start})


def _joined(parts: Sequence[EpisodeArrays]) -> EpisodeArrays:
    """Episodes end to end, each with its own rows."""
    rows = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _ROW_FIELDS}
    starts = np.concatenate([[0], np.cumsum([len(part.is_valid) for part in parts])[:-1]])
    return _stacked(parts, rows, starts)
