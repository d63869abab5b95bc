"""The samples of one or several data sets, by number: the map-style data set of torch, and whole batches at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from operator import index as as_index
from typing import SupportsIndex

import numpy as np
from jaxtyping import Float, Int, UInt8
from torch.utils.data import Dataset

from vitra_lib.core.errors import BadInput, VitraError
from vitra_lib.dataset.arrays import EpisodeArrays
from vitra_lib.dataset.collate import PolicyBatch, batch_of, concatenated
from vitra_lib.dataset.decoder_cache import DecoderCache
from vitra_lib.dataset.draws import N_DRAWS, draw_many
from vitra_lib.dataset.label_pool import LabelPool
from vitra_lib.dataset.normalisation import Normaliser
from vitra_lib.dataset.sample import LabelBatch, Sample, SampleConfig, make_label_batch, render_image
from vitra_lib.dataset.sampler import SampleKey
from vitra_lib.dataset.source import SampleSource

_AT_ONCE = 64  # samples whose labels are made together: more gain nothing and need more memory


@dataclass(frozen=True)
class ReadConfig:
    """What one process keeps in memory while it reads samples.

    Attributes:
        with_images: False leaves the videos closed.
        frame_bytes: limit of the decoded frames that are kept.
        open_videos: limit of the videos that are kept open.
        label_rows: limit of the frames whose labels are kept, about 4 kB each.
    """

    with_images: bool = True
    frame_bytes: int = 256 << 20
    open_videos: int = 32
    label_rows: int = 16384


class TrainingSamples(Dataset):
    """Samples by number or by key. Safe to hand to worker processes: what is open or kept is not carried along."""

    def __init__(
        self,
        sources: Sequence[SampleSource],
        config: SampleConfig,
        normaliser: Normaliser | None = None,
        seed: int = 0,
        read: ReadConfig | None = None,
    ) -> None:
        """Read nothing yet.

        Args:
            sources: the data sets.
            config: what a sample holds.
            normaliser: statistics to normalise by; None leaves metres and radians.
            seed: of every random choice that a sample makes.
            read: what is kept in memory.

        Raises:
            BadInput: there are no data sets, or one is empty.
        """
        if not sources or any(len(source) == 0 for source in sources):
            raise BadInput("Training needs at least one data set, and every data set at least one sample.")
        self.sources, self.config, self.normaliser, self.seed = tuple(sources), config, normaliser, seed
        self.read = read or ReadConfig()
        self.cache = DecoderCache(self.read.frame_bytes, self.read.open_videos)
        self._pool = LabelPool(self.read.label_rows)
        self._ends = np.cumsum([len(source) for source in sources])

    @property
    def lengths(self) -> tuple[int, ...]:
        """Samples of each data set."""
        return tuple(len(source) for source in self.sources)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def key(self, number: SupportsIndex) -> SampleKey:
        """The key of sample `number` of all data sets end to end, with the random choices of epoch 0."""
        number = as_index(number)
        if not -len(self) <= number < len(self):
            raise IndexError(f"sample {number}: there are 0 to {len(self) - 1}")
        number %= len(self)
        dataset = int(np.searchsorted(self._ends, number, side="right"))
        return SampleKey(dataset, number - int(self._ends[dataset]) + len(self.sources[dataset]), 0, number)

    def __getitem__(self, key: SampleKey | SupportsIndex) -> Sample:
        """One sample, by its number or by a sampler's key.

        Raises:
            BadInput: it can't be read, decoded or augmented; the message names it.
        """
        return self.__getitems__([key])[0]

    def __getitems__(self, keys: Sequence[SampleKey | SupportsIndex]) -> list[Sample]:
        """Several samples; cheaper than one by one."""
        known = [key if isinstance(key, SampleKey) else self.key(key) for key in keys]
        samples: list[Sample] = []
        for begin in range(0, len(known), _AT_ONCE):
            labels, images = self._read(known[begin : begin + _AT_ONCE])
            samples += [_sample(labels, None if images is None else images[n], n) for n in range(len(labels.name))]
        return samples

    def batch(self, keys: Sequence[SampleKey]) -> PolicyBatch:
        """A batch of samples for the policy, the same as `collate` of the single samples.

        Raises:
            BadInput: a sample can't be read, decoded or augmented; the message names it.
        """
        if not keys:
            raise BadInput("A batch needs at least one sample.")
        parts = []
        for begin in range(0, len(keys), _AT_ONCE):
            some = keys[begin : begin + _AT_ONCE]
            labels, images = self._read(some)
            parts.append(batch_of(labels, images, np.array([key.dataset for key in some])))
        return concatenated(parts)

    def labels(self, keys: Sequence[SampleKey]) -> LabelBatch:
        """The labels of some samples, raw ones included; no video is opened."""
        labels, *_ = self._labels(keys, None)
        return labels

    def close(self) -> None:
        """Close all files and forget what is kept; needed before a process forks."""
        self.cache.close()
        self._pool.close()
        for source in self.sources:
            source.close()

    def _read(self, keys: Sequence[SampleKey]) -> tuple[LabelBatch, list[UInt8[np.ndarray, "_ _ 3"]] | None]:
        if not self.read.with_images:
            return self.labels(keys), None
        places = self._places(keys)
        frames = self._images(keys, places)
        labels, arrays, numbers, u = self._labels(keys, frames, places)
        images = [
            render_image(frame, arrays.K[number], labels, n, row, self.config)
            for n, (frame, number, row) in enumerate(zip(frames, numbers.tolist(), u, strict=True))
        ]
        return labels, images

    def _labels(
        self,
        keys: Sequence[SampleKey],
        frames: Sequence[UInt8[np.ndarray, "_ _ 3"]] | None,
        places: Sequence[tuple[int, int, int]] | None = None,
    ) -> tuple[LabelBatch, EpisodeArrays, Int[np.ndarray, " n"], Float[np.ndarray, "n draws"]]:
        places = self._places(keys) if places is None else places
        arrays, numbers = self._pool.gather([place[:2] for place in places], self._episode)
        if frames is not None:
            size = arrays.size_px.copy()
            for number, frame in zip(numbers.tolist(), frames, strict=True):
                size[number] = frame.shape[1], frame.shape[0]
            arrays = replace(arrays, size_px=size)
        u = self._draws(keys)
        at = np.array([place[2] for place in places], np.int64)
        return make_label_batch(arrays, numbers, at, u, self.config, self.normaliser), arrays, numbers, u

    def _places(self, keys: Sequence[SampleKey]) -> list[tuple[int, int, int]]:
        """(data set, episode, frame) of each key."""
        dataset = np.array([key.dataset for key in keys], np.int64)
        index = np.array([key.index for key in keys], np.int64)
        lengths = np.array(self.lengths)
        if ((dataset < 0) | (dataset >= len(lengths))).any() or ((index < 0) | (index >= lengths[dataset])).any():
            raise BadInput(f"A sample's key is outside the data sets, which have {self.lengths} samples.")
        episode, frame = np.empty_like(index), np.empty_like(index)
        for number in np.unique(dataset):
            mine = dataset == number
            episode[mine], frame[mine] = self.sources[number].locate(index[mine])
        return list(zip(dataset.tolist(), episode.tolist(), frame.tolist(), strict=True))

    def _draws(self, keys: Sequence[SampleKey]) -> Float[np.ndarray, "n draws"]:
        epochs = np.array([key.epoch for key in keys], np.int64)
        positions = np.array([key.position for key in keys], np.int64)
        u = np.empty((len(keys), N_DRAWS))
        for epoch in np.unique(epochs):
            u[epochs == epoch] = draw_many(self.seed, int(epoch), positions[epochs == epoch])
        return u

    def _episode(self, place: tuple[int, int]) -> object:
        dataset, number = place
        return self._named(place, None, lambda: self.sources[dataset].episode(number))

    def _images(
        self, keys: Sequence[SampleKey], places: Sequence[tuple[int, int, int]]
    ) -> list[UInt8[np.ndarray, "_ _ 3"]]:
        """The video's frame of each key; those of one episode together, in the order of time."""
        images: list[np.ndarray | None] = [None] * len(keys)
        for n in sorted(range(len(keys)), key=lambda n: places[n]):
            dataset, number, frame = places[n]
            source = self.sources[dataset]
            images[n] = self._named(
                (dataset, number), frame, lambda s=source, e=number, f=frame: s.images(e, [f], self.cache)[0]
            )
        return images

    def _named(self, place: tuple[int, int], frame: int | None, read: Callable[[], object]) -> object:
        """Say whose fault it is when something can't be read."""
        try:
            return read()
        except (VitraError, OSError, IndexError) as error:
            source = self.sources[place[0]]
            try:
                name = source.episode_name(place[1])
            except (VitraError, OSError):
                name = f"number {place[1]}"
            at = "" if frame is None else f", frame {frame}"
            raise BadInput(f"Sample of {source.name}: episode {name}{at}: {error}") from error


def _sample(labels: LabelBatch, image: np.ndarray | None, n: int) -> Sample:
    return Sample(
        image=image,
        instruction=labels.instruction[n],
        fov_rad=labels.fov_rad[n],
        K_px=labels.K_px[n],
        action=labels.action[n],
        action_mask=labels.action_mask[n],
        state=labels.state[n],
        state_mask=labels.state_mask[n],
        name=labels.name[n],
        frame=int(labels.frame[n]),
    )
