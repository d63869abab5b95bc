"""Batches in an exact order, from any number of worker processes, that can stop anywhere and go on.

torch's loader gives batches in the order of its sampler whatever the number of workers; the order itself is a function
(`MixtureSampler`), and every random choice of a sample is keyed by its place in it. So the whole state of a run's data
is "so many samples of this epoch were taken", and batches that workers made ahead are made again after a stop.
"""

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

from vitra_lib.core.errors import BadInput, VitraError
from vitra_lib.dataset.collate import PolicyBatch
from vitra_lib.dataset.sampler import Locality, MixtureOrder, MixtureSampler, SampleKey, Share
from vitra_lib.dataset.source import describe
from vitra_lib.dataset.training_samples import TrainingSamples

STATE_VERSION = 1


@dataclass(frozen=True)
class LoaderConfig:
    """How samples become batches.

    Attributes:
        batch_size: samples per batch of this process.
        num_workers: processes that read ahead; 0 reads in this one.
        world_size, rank: share of this process among all that train together.
        drop_last: leave out the last step of an epoch if it is not full on all ranks.
        shuffle: False reads the data sets from front to back.
        locality: shuffle so that samples of one place stay together, for slow disks and remote stores.
        is_streaming: workers follow the order by themselves instead of being told every batch.
        prefetch: batches that each worker makes ahead.
        pin_memory: give batches in page-locked memory.
        start_method: how workers start ("fork", "forkserver", "spawn"), None for the system's way.
    """

    batch_size: int
    num_workers: int = 0
    world_size: int = 1
    rank: int = 0
    drop_last: bool = True
    shuffle: bool = True
    locality: Locality | None = None
    is_streaming: bool = False
    prefetch: int = 2
    pin_memory: bool = False
    start_method: str | None = None

    def __post_init__(self) -> None:
        if self.num_workers < 0 or self.prefetch < 1:
            raise BadInput(f"num_workers {self.num_workers}, prefetch {self.prefetch}: legal are from 0 and from 1.")
        methods = torch.multiprocessing.get_all_start_methods()
        if self.start_method is not None and self.start_method not in methods:
            raise BadInput(f"start_method is {self.start_method!r}: legal here are {', '.join(methods)}.")

    @property
    def share(self) -> Share:
        """What this process takes."""
        return Share(self.batch_size, self.world_size, self.rank, self.drop_last)


@dataclass(frozen=True)
class _Failure:
    """What went wrong in a worker; torch would wrap the exception into its own words."""

    message: str


class BatchesByKey(Dataset):
    """Map-style: a list of keys in, a batch out."""

    def __init__(self, samples: TrainingSamples) -> None:
        self._samples = samples

    def __getitem__(self, keys: Sequence[SampleKey]) -> PolicyBatch | _Failure | None:
        return _made(self._samples, keys)


class StreamingBatches(IterableDataset):
    """Streaming: every worker follows the order and makes every n-th batch of it."""

    def __init__(self, samples: TrainingSamples, sampler: MixtureSampler) -> None:
        """Follow the order of `sampler`, from where `start_at` says."""
        self._samples, self._sampler = samples, sampler
        # Workers live on from loop to loop with their own copy of this object: they see changes of this tensor only.
        self._start = torch.zeros(2, dtype=torch.int64).share_memory_()

    def start_at(self, sampler: MixtureSampler) -> None:
        """Let the next loop begin where a sampler stands."""
        self._start[0], self._start[1] = sampler.epoch, sampler.position

    def __iter__(self) -> Iterator[PolicyBatch | _Failure | None]:
        worker = get_worker_info()
        number, count = (0, 1) if worker is None else (worker.id, worker.num_workers)
        follower = copy(self._sampler)
        follower.epoch, follower.position = self._start.tolist()
        for keys in follower.shard(number, count):
            yield _made(self._samples, keys)


class TrainingLoader:
    """Batches of a mixture, epoch by epoch; its state can be saved between any two batches."""

    def __init__(self, samples: TrainingSamples, weights: Sequence[float] | None, config: LoaderConfig) -> None:
        """Start at the first batch of epoch 0.

        Args:
            samples: what to load; its seed also keys the order.
            weights: sweeps of each data set per epoch; None = one of each.
            config: batches, workers, share.
        """
        self.samples, self.config = samples, config
        weights = tuple(float(weight) for weight in weights) if weights else (1.0,) * len(samples.sources)
        order = MixtureOrder(samples.lengths, weights, samples.seed, config.shuffle, config.locality)
        self.sampler = MixtureSampler(order, config.share)
        self._loader: DataLoader | None = None

    def __len__(self) -> int:
        """Batches that are left in this epoch."""
        return len(self.sampler)

    @property
    def epoch(self) -> int:
        """The epoch that the next loop reads, or goes on with."""
        return self.sampler.epoch

    def start_epoch(self, epoch: int) -> None:
        """Go to the beginning of an epoch."""
        self.sampler.start_epoch(epoch)

    def __iter__(self) -> Iterator[PolicyBatch]:
        """What is left of this epoch; a loop that runs to its end goes over to the next epoch.

        Raises:
            BadInput: a sample can't be read, decoded or augmented; the message names it.
        """
        if self._loader is None:
            self._loader = self._made_loader()
        if isinstance(self._loader.dataset, StreamingBatches):
            self._loader.dataset.start_at(self.sampler)
        for made in self._loader:
            if isinstance(made, _Failure):
                raise BadInput(made.message)
            self.sampler.advance()  # before the batch is used: a state saved in the loop counts it as taken
            if made is not None:
                yield made
        self.sampler.start_epoch(self.sampler.epoch + 1)

    def close(self) -> None:
        """Stop the workers and close all files; the loader may be used again."""
        self._loader = None
        self.samples.close()

    def _made_loader(self) -> DataLoader:
        config = self.config
        if config.num_workers:
            self.samples.close()  # an open file must not be shared with the workers, which fork from this process
        if config.is_streaming:
            dataset, sampler = StreamingBatches(self.samples, self.sampler), None
        else:
            dataset, sampler = BatchesByKey(self.samples), _Batches(self.sampler)
        return DataLoader(
            dataset,
            sampler=sampler,
            batch_size=None,
            collate_fn=_unchanged,
            num_workers=config.num_workers,
            persistent_workers=config.num_workers > 0,  # what they keep in memory serves the next epoch too
            prefetch_factor=config.prefetch if config.num_workers else None,
            pin_memory=config.pin_memory,
            worker_init_fn=_start_worker,
            multiprocessing_context=config.start_method if config.num_workers else None,
        )

    def state_dict(self) -> dict[str, Any]:
        """Where the run is, in plain numbers fit for JSON."""
        return {
            "version": STATE_VERSION,
            "sampler": self.sampler.state_dict(),
            "datasets": [describe(source) for source in self.samples.sources],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where another run stopped; the number of workers, ranks and samples per batch may differ.

        Raises:
            BadInput: the state belongs to other data, weights or another seed; the message says what differs.
        """
        if state.get("version") != STATE_VERSION:
            raise BadInput(f"The loader's state has version {state.get('version')}: legal is {STATE_VERSION}.")
        ours = [describe(source) for source in self.samples.sources]
        if state["datasets"] != ours:
            raise BadInput(f"The loader's state belongs to the data sets {state['datasets']}, not to {ours}.")
        self.sampler.load_state_dict(state["sampler"])


class _Batches:
    """An iterable of a sampler's batches that begins anew with every loop, as torch expects of a sampler."""

    def __init__(self, sampler: MixtureSampler) -> None:
        self._sampler = sampler

    def __iter__(self) -> Iterator[list[SampleKey]]:
        return iter(self._sampler)

    def __len__(self) -> int:
        return len(self._sampler)


def _made(samples: TrainingSamples, keys: Sequence[SampleKey]) -> PolicyBatch | _Failure | None:
    if not keys:
        return None  # the last step of an epoch has nothing for this rank
    try:
        return samples.batch(keys)
    except VitraError as error:
        return _Failure(str(error))


def _unchanged(batch: PolicyBatch | _Failure | None) -> PolicyBatch | _Failure | None:
    return batch


def _start_worker(_: int) -> None:
    """A worker is one of many: it computes on one thread."""
    import cv2

    cv2.setNumThreads(0)
