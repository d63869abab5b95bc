"""Mean and deviation of states and actions over a data set, in one pass, mergeable; and mixtures of them (spec 4)."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context

import numpy as np
from jaxtyping import Bool, Float
from tqdm import tqdm

from vitra_lib.core.errors import BadInput, UnknownName
from vitra_lib.dataset.arrays import EpisodeArrays
from vitra_lib.dataset.draws import draw_many
from vitra_lib.dataset.normalisation import Normaliser
from vitra_lib.dataset.sample import LabelBatch, SampleConfig, make_label_batch
from vitra_lib.dataset.source import SampleSource
from vitra_lib.episodes.statistics import Sums, combined

MIXINGS: tuple[str, ...] = ("official", "pooled")
_BATCH, _BLOCK = 512, 8192


@dataclass(frozen=True, eq=False)
class LabelStatistics:
    """Running statistics of both hands, over valid rows only (Welford's method; Chan, Golub, LeVeque to merge).

    Attributes:
        state, action: count, mean and sum of squared deviations of each number, left hand first.
        frames: frames seen, valid or not.
    """

    state: Sums
    action: Sums
    frames: int = 0

    @classmethod
    def empty(cls, config: SampleConfig) -> "LabelStatistics":
        """Statistics of nothing, for the action space of `config`."""
        sizes = (config.space.state_dim, config.space.action_dim)
        state, action = (tuple(np.zeros(size) for _ in range(3)) for size in sizes)
        return cls(state, action)  # type: ignore[arg-type]

    def with_batch(self, batch: LabelBatch) -> "LabelStatistics":
        """Also count a batch that was not normalised; its actions count step by step."""
        steps = batch.raw_action.reshape(-1, batch.raw_action.shape[-1])
        added = LabelStatistics(
            state=_sums(batch.raw_state, batch.raw_state_mask),
            action=_sums(steps, batch.raw_action_mask.reshape(-1, 2)),
            frames=len(batch.raw_state),
        )
        return self.merged(added)

    def merged(self, other: "LabelStatistics") -> "LabelStatistics":
        """Statistics of two parts of a data set together, whichever way it was divided."""
        return LabelStatistics(
            combined(self.state, other.state), combined(self.action, other.action), self.frames + other.frames
        )

    def normaliser(self, name: str) -> Normaliser:
        """Mean and population standard deviation; 0 and 0 for a hand that was never seen."""
        (state_count, state_mean, state_m2), (action_count, action_mean, action_m2) = self.state, self.action
        return Normaliser(
            state_mean=state_mean,
            state_std=np.sqrt(state_m2 / np.maximum(state_count, 1)),
            action_mean=action_mean,
            action_std=np.sqrt(action_m2 / np.maximum(action_count, 1)),
            name=name,
            count=self.frames,
        )


def _sums(values: Float[np.ndarray, "rows size"], mask: Bool[np.ndarray, "rows 2"]) -> Sums:
    wide = np.repeat(mask, values.shape[1] // 2, axis=1)
    count = wide.sum(0).astype(np.float64)
    mean = np.where(wide, values, 0.0).sum(0) / np.maximum(count, 1)
    return count, mean, (np.where(wide, values - mean, 0.0) ** 2).sum(0)


def label_statistics(
    parts: Iterable[EpisodeArrays], config: SampleConfig, seed: int = 0, first_index: int = 0
) -> LabelStatistics:
    """Statistics of every frame of the data set, first step only, as the official script counts them.

    Args:
        parts: the data set, in pieces that fit into memory.
        config: as in training, augmentation included; chunk, past and state dropout are not used.
        seed: of the augmentation.
        first_index: number of the first frame, so that workers with different parts draw different numbers.

    Returns:
        Statistics that can be merged with those of other parts.
    """
    config = replace(config, chunk=1, past=0, state_dropout=0.0)
    total, index = LabelStatistics.empty(config), first_index
    for arrays in parts:
        episode = np.repeat(np.arange(len(arrays)), arrays.length)
        frame = np.concatenate([np.arange(n) for n in arrays.length])
        for start in range(0, len(frame), _BATCH):
            rows = slice(start, start + _BATCH)
            count = len(frame[rows])
            u = draw_many(seed, 0, np.arange(index, index + count))
            total = total.with_batch(make_label_batch(arrays, episode[rows], frame[rows], u, config))
            index += count
    return total


def source_statistics(
    source: SampleSource, config: SampleConfig, seed: int = 0, workers: int = 1, progress: bool = False
) -> LabelStatistics:
    """Statistics of every sample of a data set, without images, as `label_statistics` counts them.

    Args:
        source: the data set.
        config: as in training, augmentation included.
        seed: of the augmentation; each sample's numbers come from its place in the data set.
        workers: processes; the result is the same, bit for bit, for any number of them.
        progress: show a bar.

    Raises:
        BadInput: the data set is empty, or a sample can't be made; the message names it.
    """
    config = replace(config, chunk=1, past=0, state_dropout=0.0)
    blocks = [(start, min(start + _BLOCK, len(source))) for start in range(0, len(source), _BLOCK)]
    if not blocks:
        raise BadInput(f"The data set {source.name} has no samples: there is nothing to take statistics of.")
    total = LabelStatistics.empty(config)
    one = partial(_block_statistics, source, config, seed)
    with ExitStack() as stack:
        if workers > 1 and len(blocks) > 1:
            # A fresh interpreter per worker: forking a process in which libraries run threads can hang.
            pool = ProcessPoolExecutor(min(workers, len(blocks)), mp_context=get_context("spawn"))
            parts = stack.enter_context(pool).map(one, blocks)
        else:
            parts = map(one, blocks)
        for part in tqdm(parts, total=len(blocks), disable=not progress, desc="statistics", unit="block"):
            total = total.merged(part)
    return total


def _block_statistics(source: SampleSource, config: SampleConfig, seed: int, block: tuple[int, int]) -> LabelStatistics:
    """Statistics of the samples [start, stop)."""
    samples = np.arange(*block)
    episode, frame = source.locate(samples)
    total = LabelStatistics.empty(config)
    for start in range(0, len(samples), _BATCH):
        rows = slice(start, start + _BATCH)
        numbers, place = np.unique(episode[rows], return_inverse=True)
        arrays = EpisodeArrays.of(*(source.episode(int(number)) for number in numbers))
        u = draw_many(seed, 0, samples[rows])
        total = total.with_batch(make_label_batch(arrays, place, frame[rows], u, config))
    return total


def mixed(parts: Sequence[Normaliser], weights: Sequence[float], mixing: str, name: str) -> Normaliser:
    """Statistics of a mixture of data sets.

    Args:
        parts: statistics of each data set.
        weights: share of each in the mixture (its length times its weight), not necessarily summing to 1.
        mixing: "official" averages the standard deviations, as the released statistics were made; "pooled" is the
            standard deviation of the mixture, which also has the spread of the means in it.
        name: of the mixture.

    Raises:
        BadInput: no part, weights that don't fit, or parts of different lengths.
        UnknownName: another mixing.
    """
    if mixing not in MIXINGS:
        raise UnknownName("mixing of statistics", mixing, MIXINGS)
    share = np.array(weights, dtype=np.float64)
    if not parts or len(parts) != len(share) or not np.isfinite(share).all() or (share < 0).any() or share.sum() <= 0:
        raise BadInput(f"A mixture needs one weight >= 0 per data set, not all 0; got {weights}.")
    share = share / share.sum()
    values = {}
    for kind in ("state", "action"):
        mean, std = (_stacked([getattr(part, f"{kind}_{moment}") for part in parts]) for moment in ("mean", "std"))
        middle = share @ mean
        values[f"{kind}_mean"] = middle
        pooled = np.sqrt(share @ (std**2 + (mean - middle) ** 2))
        values[f"{kind}_std"] = share @ std if mixing == "official" else pooled
    return Normaliser(**values, name=name)


def _stacked(rows: list[np.ndarray]) -> np.ndarray:
    if len({len(row) for row in rows}) != 1:
        raise BadInput("Statistics of different action spaces can't be mixed.")
    return np.stack(rows)
