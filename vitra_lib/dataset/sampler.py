"""The order of training: which sample of which data set comes at which position, for any share of the work.

There is one order, that of a single process without workers. It is a function of (seed, epoch, position) and is never
stored: a rank of a cluster, a worker of a loader and a run that goes on after a stop compute their own part of it.

As in the published recipe, data set d gives int(weight * length) samples per epoch, and these are consecutive pieces
of an endless row of permutations of that data set: a weight of 0.5 sweeps it in two epochs without repeating a
sample, a weight of 3 shows each sample three times per epoch. Data sets are mixed evenly: among any few thousand
positions each has its share to within a sample or two.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from vitra_lib.core.errors import BadInput
from vitra_lib.dataset.permutation import derive_key, derive_keys, permute, permute_in_blocks

_WINDOW = 4096  # positions among which data sets are mixed
_CHUNK = 4096  # positions whose order is computed at once
_MIX, _WITHIN = 1, 2  # what a key is for
STATE_VERSION = 1


class SampleKey(NamedTuple):
    """Names one draw of one sample.

    Attributes:
        dataset: number of the data set.
        index: sample number in it.
        epoch, position: place in the order; with the seed they key the sample's random draws.
    """

    dataset: int
    index: int
    epoch: int
    position: int


@dataclass(frozen=True)
class Locality:
    """A shuffle that keeps samples of one place together, for data that are slow to reach (`permute_in_blocks`).

    Attributes:
        block: neighbouring samples that stay in one window.
        window: random blocks that are mixed with each other.
    """

    block: int = 512
    window: int = 64

    def __post_init__(self) -> None:
        for name in ("block", "window"):
            if getattr(self, name) < 1:
                raise BadInput(f"Locality.{name} is {getattr(self, name)}: legal are whole numbers from 1.")


@dataclass(frozen=True)
class MixtureOrder:
    """The order of the samples of several data sets.

    Attributes:
        lengths: samples of each data set.
        weights: how often each data set is swept per epoch; may be a fraction.
        seed: another seed, another order.
        shuffle: False reads each data set from front to back.
        locality: keep neighbours together; None mixes the whole data set.
    """

    lengths: tuple[int, ...]
    weights: tuple[float, ...]
    seed: int = 0
    shuffle: bool = True
    locality: Locality | None = None

    def __post_init__(self) -> None:
        if not self.lengths or len(self.lengths) != len(self.weights):
            raise BadInput(f"A mixture of {len(self.lengths)} data sets needs as many weights, not {self.weights}.")
        if any(length < 1 for length in self.lengths):
            raise BadInput(f"The data sets have {self.lengths} samples: every one needs at least one; leave it out.")
        if not all(math.isfinite(weight) and weight > 0 for weight in self.weights):
            raise BadInput(f"The weights are {self.weights}: legal are numbers above 0; leave a data set out instead.")
        if self.samples_per_epoch >= 1 << 31:
            raise BadInput(f"An epoch of {self.samples_per_epoch} samples is too long: lower the weights.")
        if not 0 <= self.seed < 1 << 63:
            raise BadInput(f"The seed is {self.seed}: legal are whole numbers from 0.")

    @property
    def shares(self) -> tuple[int, ...]:
        """Samples of each data set per epoch; at least one."""
        return tuple(max(int(w * n), 1) for w, n in zip(self.weights, self.lengths, strict=True))

    @property
    def samples_per_epoch(self) -> int:
        """Samples per epoch."""
        return sum(self.shares)

    def at(self, epoch: int, positions: Int[np.ndarray, " n"]) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
        """What comes at some positions of an epoch.

        Args:
            epoch: 0 and up.
            positions: (n,) in [0, samples_per_epoch).

        Returns:
            (n,) data set numbers and (n,) sample numbers in them.

        Raises:
            BadInput: a position or the epoch is outside.
        """
        positions = positions.astype(np.int64)
        total = self.samples_per_epoch
        if epoch < 0 or len(positions) and not 0 <= positions.min() <= positions.max() < total:
            raise BadInput(f"Epoch {epoch} has the positions 0 to {total - 1}; epochs count from 0.")
        shares = np.array(self.shares, np.int64)
        if self.shuffle:
            dataset, rank = self._mixed(epoch, positions, shares)
        else:
            ends = np.cumsum(shares)
            dataset = np.searchsorted(ends, positions, side="right")
            rank = positions - (ends - shares)[dataset]
        index = np.empty_like(rank)
        for number in np.unique(dataset):
            mine = dataset == number
            index[mine] = self._within(int(number), epoch * int(shares[number]) + rank[mine])
        return dataset.astype(np.int64), index

    def _mixed(
        self, epoch: int, positions: Int[np.ndarray, " n"], shares: Int[np.ndarray, " datasets"]
    ) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
        """Data set of each position, and how many of its samples came in earlier windows or places.

        Window w takes, of each data set, the samples from floor(w W share / total) on, so its length is W to within
        one sample per data set, and every sample is in exactly one window.
        """
        total = int(shares.sum())

        def taken(window: np.ndarray) -> np.ndarray:
            return np.minimum(window * _WINDOW, total)[:, None] * shares // total

        window = positions // _WINDOW
        # The windows before w hold between w W - datasets and w W samples: the right one is this or a later one.
        while (late := taken(window + 1).sum(1) <= positions).any():
            window = window + late
        before, after = taken(window), taken(window + 1)
        start, stop = before.sum(1), after.sum(1)
        keys = derive_keys(derive_key(self.seed, _MIX, epoch), window)
        place = permute(positions - start, stop - start, keys)
        ends = np.cumsum(after - before, axis=1)
        dataset = (place[:, None] >= ends).sum(1)
        row = np.arange(len(positions))
        rank = before[row, dataset] + place - (ends - (after - before))[row, dataset]
        return dataset, rank

    def _within(self, dataset: int, number: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
        """Sample at place `number` of the endless row of permutations of one data set."""
        length = self.lengths[dataset]
        sweep, place = np.divmod(number, length)
        if not self.shuffle:
            return place
        keys = derive_keys(derive_key(self.seed, _WITHIN, dataset), sweep)
        if self.locality is not None:
            return permute_in_blocks(place, length, keys, self.locality.block, self.locality.window)
        return permute(place, np.full(len(place), length), keys)


@dataclass(frozen=True)
class Share:
    """Which part of the order one process takes.

    Attributes:
        batch_size: samples per batch of this process.
        world_size, rank: of each global batch (batch_size * world_size neighbours in the order) this process takes
            every `world_size`-th sample, from the `rank`-th on.
        drop_last: leave out the last global batch of an epoch if it is not full, so that all ranks take the same
            number of steps; False loses no sample, but the last batches may be short, or missing on some ranks.
    """

    batch_size: int
    world_size: int = 1
    rank: int = 0
    drop_last: bool = True

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.world_size < 1:
            raise BadInput(f"batch_size {self.batch_size} and world_size {self.world_size} must be at least 1.")
        if not 0 <= self.rank < self.world_size:
            raise BadInput(f"rank is {self.rank}: legal are 0 to {self.world_size - 1}.")

    @property
    def step(self) -> int:
        """Samples that all ranks together take per step."""
        return self.batch_size * self.world_size


class MixtureSampler:
    """One process's batches, epoch by epoch, from any point on.

    Its whole state is two numbers: the epoch, and how many samples of the epoch all ranks together have taken. So a
    state may be loaded by a run with another number of ranks, workers or samples per batch: the order goes on.
    """

    def __init__(self, order: MixtureOrder, share: Share) -> None:
        """Start at the first sample of epoch 0."""
        self.order, self.share = order, share
        self.epoch, self.position = 0, 0
        if share.drop_last and order.samples_per_epoch < share.step:
            raise BadInput(
                f"An epoch has {order.samples_per_epoch} samples, fewer than one step of {share.world_size} x "
                f"{share.batch_size}: use a smaller batch, more data, or drop_last=False."
            )

    def __len__(self) -> int:
        """Steps that are left in this epoch."""
        left = self.order.samples_per_epoch - self.position
        return left // self.share.step if self.share.drop_last else -(-left // self.share.step)

    def __iter__(self) -> Iterator[list[SampleKey]]:
        """The batches that are left in this epoch; does not change the state: call `advance` for each one used.

        Without `drop_last` the last one may be empty for this rank; it still counts as a step.
        """
        return self.shard(0, 1)

    def shard(self, worker: int, workers: int) -> Iterator[list[SampleKey]]:
        """Every `workers`-th of these batches, from number `worker` on, as a loader's worker needs them."""
        share, epoch, first, steps = self.share, self.epoch, self.position, len(self)
        total = self.order.samples_per_epoch
        per_chunk = max(_CHUNK // share.batch_size, 1)
        mine = range(worker, steps, workers)
        for begin in range(0, len(mine), per_chunk):
            numbers = np.array(mine[begin : begin + per_chunk], np.int64)
            places = first + numbers[:, None] * share.step + share.rank + np.arange(share.batch_size) * share.world_size
            dataset, index = self.order.at(epoch, places[places < total])
            keys = iter(zip(dataset.tolist(), index.tolist(), strict=True))
            for row in places.tolist():
                yield [SampleKey(*next(keys), epoch, position) for position in row if position < total]

    def advance(self) -> None:
        """One more step is done."""
        self.position = min(self.position + self.share.step, self.order.samples_per_epoch)

    @property
    def is_epoch_done(self) -> bool:
        """No step is left in this epoch."""
        return len(self) == 0

    def start_epoch(self, epoch: int) -> None:
        """Go to the first sample of an epoch."""
        if epoch < 0:
            raise BadInput(f"epoch is {epoch}: legal are whole numbers from 0.")
        self.epoch, self.position = epoch, 0

    def state_dict(self) -> dict[str, Any]:
        """Where the run is, in plain numbers fit for JSON."""
        return {"version": STATE_VERSION, "epoch": self.epoch, "position": self.position, "order": _plain(self.order)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to where another run was.

        Raises:
            BadInput: the state belongs to another order; the message says what differs.
        """
        if state.get("version") != STATE_VERSION:
            raise BadInput(f"The sampler's state has version {state.get('version')}: legal is {STATE_VERSION}.")
        ours, theirs = _plain(self.order), state["order"]
        different = [name for name in ours if theirs.get(name) != ours[name]]
        wrong = [f"{name} ({theirs.get(name)} then, {ours[name]} now)" for name in different]
        if wrong:
            raise BadInput(f"The sampler's state belongs to another order: {', '.join(wrong)}.")
        if not 0 <= state["position"] <= self.order.samples_per_epoch or state["epoch"] < 0:
            raise BadInput(f"The sampler's state is damaged: position {state['position']} of epoch {state['epoch']}.")
        self.epoch, self.position = int(state["epoch"]), int(state["position"])


def _plain(order: MixtureOrder) -> dict[str, Any]:
    values = asdict(order)
    return values | {"lengths": list(order.lengths), "weights": [float(w) for w in order.weights]}
