"""What a fine-tuning run reads: demonstrations split into those to learn from and those to score on, and batches.

The order is the one of pretraining (`MixtureSampler`): a function of seed, epoch and position, so that a run that was
killed goes on exactly. Demonstrations are few and are shown often: what has been decoded once is kept in memory.
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from robot.hand.mapping import HandMap
from robot.teleop.files import TeleData
from robot.teleop.samples import TeleSamples
from vitra_lib.core.errors import BadInput
from vitra_lib.dataset import ActionSpace, ColourConfig, MixtureOrder, MixtureSampler, Normaliser, SampleKey, Share
from vitra_lib.dataset.collate import PolicyBatch, collate, square
from vitra_lib.dataset.colour import change_colours
from vitra_lib.dataset.draws import COLOUR, PLACE, draw_many
from vitra_lib.dataset.sample import Sample

STATE_VERSION = 1


@dataclass(frozen=True)
class BatchesConfig:
    """How demonstrations become batches.

    Attributes:
        batch_size: samples per batch of this process.
        seed: of the order and of every change.
        state_dropout: how often the state is hidden, so that the picture is looked at.
        colour: changes of light and colour, so that another table is no surprise; None for none.
        memory_bytes: so much of decoded pictures is kept; what is beyond is decoded again.
    """

    batch_size: int = 16
    seed: int = 0
    state_dropout: float = 0.1
    colour: ColourConfig | None = field(default_factory=lambda: ColourConfig(hue=0.04))
    memory_bytes: int = 1 << 30

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.memory_bytes < 0:
            raise BadInput("batch_size must be at least 1, memory_bytes 0 or more.")
        if not 0 <= self.state_dropout <= 1:
            raise BadInput(f"state_dropout is {self.state_dropout}: it is a share in [0, 1].")


def split_demonstrations(data: TeleData, share: float, seed: int = 0) -> tuple[TeleData, TeleData | None]:
    """Demonstrations to learn from, and others that are only scored on.

    Which is which depends on each name and the seed alone, so that it stays nearly the same when more are recorded.

    Args:
        data: all of them.
        share: of those to keep back, in [0, 1); at least one if above 0.
        seed: another seed, another choice.

    Returns:
        To learn from, and kept back (None if the share is 0).

    Raises:
        BadInput: a share out of range, or too few demonstrations.
    """
    if not 0 <= share < 1:
        raise BadInput(f"The share that is kept back is {share}: legal are numbers from 0 to below 1.")
    if share == 0:
        return data, None
    if len(data) < 2:
        raise BadInput("One demonstration can't be both learned from and kept back: record more, or keep back none.")
    count = min(max(1, round(share * len(data))), len(data) - 1)
    ranked = sorted(data.names, key=lambda name: (zlib.crc32(f"{seed} {name}".encode()), name))
    kept = set(ranked[:count])
    return (
        TeleData(data.root, tuple(name for name in data.names if name not in kept)),
        TeleData(data.root, tuple(name for name in data.names if name in kept)),
    )


def common_rate(data: TeleData) -> float:
    """Frames per second, the same in all demonstrations [1/s].

    Raises:
        BadInput: they differ, so that a step of a chunk would mean different times.
    """
    rates = {round(float(episode.fps), 3) for episode in data}
    if len(rates) > 1:
        raise BadInput(
            f"The demonstrations have {min(rates):g} to {max(rates):g} frames per second; a policy's step lasts the "
            "same everywhere: resample them, or train on one kind."
        )
    return float(next(iter(data)).fps)


def unified_statistics(normaliser: Normaliser, hand_map: HandMap | None = None) -> Normaliser:
    """Statistics of a robot's 36 numbers, standing where the policy's human numbers stand (102, and 122 of a state).

    Numbers that no joint copies get mean 0 and deviation 1, which leaves them as they are.
    """
    hand_map, space = hand_map or HandMap.load(), ActionSpace("angle")
    both = np.ones(2, bool)
    action_mean, _ = hand_map.robot_to_human(normaliser.action_mean, both)
    state_mean, _ = hand_map.robot_to_human(normaliser.state_mean, both)
    copied = hand_map.robot_to_human(np.ones(hand_map.dim), both)[0] != 0
    action_std, state_std = (
        np.where(copied, np.abs(hand_map.robot_to_human(std, both)[0]), 1.0)
        for std in (normaliser.action_std, normaliser.state_std)
    )
    shapes = space.state_per_hand - space.per_hand  # of a human hand; a robot's is not told
    mean = np.pad(state_mean.reshape(2, -1), ((0, 0), (0, shapes))).reshape(-1)
    std = np.pad(state_std.reshape(2, -1), ((0, 0), (0, shapes)), constant_values=1.0).reshape(-1)
    return Normaliser(mean, std, action_mean, action_std, normaliser.name, normaliser.count)


class DemonstrationBatches:
    """Batches of demonstrations, epoch after epoch; a `BatchSource` of the training loop."""

    def __init__(self, samples: TeleSamples, config: BatchesConfig, world_size: int = 1, rank: int = 0) -> None:
        """Start at the first batch of epoch 0.

        Args:
            samples: of the demonstrations, normalised.
            config: batches and changes.
            world_size, rank: share of this process among all that train together.

        Raises:
            BadInput: fewer samples than one step takes.
        """
        self._samples, self._config = samples, config
        order = MixtureOrder((len(samples),), (1.0,), config.seed)
        self._sampler = MixtureSampler(order, Share(config.batch_size, world_size, rank))
        self._kept: dict[int, Sample] = {}
        self._kept_bytes = 0

    def __len__(self) -> int:
        """Batches that are left in this epoch."""
        return len(self._sampler)

    def __iter__(self) -> Iterator[PolicyBatch]:
        """What is left of this epoch; a loop that runs to its end goes over to the next."""
        for keys in self._sampler:
            self._sampler.advance()  # before the batch is used: a state saved in the loop counts it as taken
            yield self._batch(keys)
        self._sampler.start_epoch(self._sampler.epoch + 1)

    def state_dict(self) -> dict[str, Any]:
        """Where the run is, in plain values."""
        return {"version": STATE_VERSION, "sampler": self._sampler.state_dict(), "samples": len(self._samples)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where another run stopped.

        Raises:
            BadInput: the state belongs to other demonstrations or another seed.
        """
        if state.get("version") != STATE_VERSION or state.get("samples") != len(self._samples):
            raise BadInput(
                f"The run that shall go on had {state.get('samples')} samples, these demonstrations have "
                f"{len(self._samples)}: give the same folder, or start anew."
            )
        self._sampler.load_state_dict(state["sampler"])

    def plain(self, size: int, count: int) -> list[PolicyBatch]:
        """Batches evenly spread over the demonstrations, without any change; fewer if there are fewer samples.

        Args:
            size: samples per batch.
            count: batches.
        """
        wanted = min(len(self._samples), size * count)
        numbers = np.unique(np.linspace(0, len(self._samples) - 1, wanted).astype(int)).tolist()
        groups = [numbers[start : start + size] for start in range(0, len(numbers), size)]
        return [collate([self._sample(number) for number in group]) for group in groups]

    def close(self) -> None:
        """Close the videos and forget what was decoded."""
        self._samples.close()
        self._kept, self._kept_bytes = {}, 0

    def _batch(self, keys: Sequence[SampleKey]) -> PolicyBatch:
        rows = draw_many(self._config.seed, keys[0].epoch, np.array([key.position for key in keys]))
        return collate([self._changed(self._sample(key.index), u) for key, u in zip(keys, rows, strict=True)])

    def _sample(self, number: int) -> Sample:
        """A sample with its picture already square; read once, if there is memory."""
        if number in self._kept:
            return self._kept[number]
        sample = self._samples[number]
        squared = np.ascontiguousarray(square(sample.image).permute(1, 2, 0).numpy())
        sample = replace(sample, image=squared)
        size = squared.nbytes + sample.action.nbytes + sample.action_mask.nbytes
        if self._kept_bytes + size <= self._config.memory_bytes:
            self._kept[number] = sample
            self._kept_bytes += size
        return sample

    def _changed(self, sample: Sample, u: np.ndarray) -> Sample:
        """The sample in another light, and now and then without its state."""
        image = sample.image
        if self._config.colour is not None:
            image = change_colours(image, sample.instruction, u[COLOUR], self._config.colour)
        if u[PLACE["state_dropout"]] >= self._config.state_dropout:
            return replace(sample, image=image)
        hidden = np.zeros_like(sample.state), np.zeros_like(sample.state_mask)
        return replace(sample, image=image, state=hidden[0], state_mask=hidden[1])
