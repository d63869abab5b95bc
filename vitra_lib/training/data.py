"""What a run reads: data sets with weights, their statistics, the loader, and validation batches."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vitra_lib.core.devices import is_gpu
from vitra_lib.core.errors import BadInput
from vitra_lib.core.files import write_json
from vitra_lib.dataset import (
    LoaderConfig,
    Mixture,
    Normaliser,
    PolicyBatch,
    SampleConfig,
    SampleSource,
    TrainingLoader,
    TrainingSamples,
    mixed,
    open_source,
    read_statistics,
    source_statistics,
)
from vitra_lib.policy.predict import REL_MODE, STATISTICS
from vitra_lib.training.parallel import Ranks

STATISTICS_FILE = "statistics.json"


@dataclass(frozen=True)
class DataConfig:
    """Which data sets are read, and how.

    Attributes:
        datasets: folders or URLs, each with ":weight" behind it if that is not 1; or, with `root`, names or a published
            mixture ("magic_mix", "epic:1,ssv2:5").
        root: folder or URL that holds the named data sets; None = `datasets` are places themselves.
        sample: what a sample holds.
        statistics: file to normalise by; None = computed from the data, and kept in the run's folder.
        workers: processes per device that read ahead, and that compute statistics.
        seed: of order and augmentation.
    """

    datasets: tuple[str, ...]
    root: str | None = None
    sample: SampleConfig = SampleConfig()
    statistics: Path | None = None
    workers: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.datasets:
            raise BadInput("Training needs at least one data set.")
        if self.workers < 0:
            raise BadInput(f"The number of workers is {self.workers}; it must be 0 or more.")
        if self.sample.action_type != "angle" or self.sample.use_rel:
            raise BadInput("The policy learns absolute finger angles: action_type is 'angle' and use_rel is false.")


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Opened data sets.

    Attributes:
        config: how they were asked for.
        sources: the data sets.
        weights: sweeps of each per epoch.
        normaliser: what states and actions are normalised by.
    """

    config: DataConfig
    sources: tuple[SampleSource, ...]
    weights: tuple[float, ...]
    normaliser: Normaliser

    def loader(self, micro_batch: int, ranks: Ranks) -> TrainingLoader:
        """Batches of one process."""
        samples = TrainingSamples(self.sources, self.config.sample, self.normaliser, self.config.seed)
        on_gpu = is_gpu(ranks.device)
        config = LoaderConfig(
            micro_batch, self.config.workers, world_size=ranks.world_size, rank=ranks.rank, pin_memory=on_gpu
        )
        return TrainingLoader(samples, self.weights, config)

    def first_batches(self, size: int, count: int) -> list[PolicyBatch]:
        """The first batches of a run, read in this process."""
        samples = TrainingSamples(self.sources, self.config.sample, self.normaliser, self.config.seed)
        loader = TrainingLoader(samples, self.weights, LoaderConfig(size, drop_last=False))
        batches = [batch for batch, _ in zip(loader, range(count), strict=False)]
        samples.close()
        return batches

    def facts(self) -> dict[str, Any]:
        """What a checkpoint tells of its data: prediction needs the statistics and what steps are relative to."""
        return {
            STATISTICS: self.normaliser.to_official(),
            REL_MODE: self.config.sample.rel_mode,
            "datasets": [
                {"name": source.name, "samples": len(source), "weight": weight}
                for source, weight in zip(self.sources, self.weights, strict=True)
            ],
            "fps": [rate for rate in map(frame_rate, self.sources) if rate is not None],
        }

    def close(self) -> None:
        """Close all files."""
        for source in self.sources:
            source.close()


def open_data(
    config: DataConfig, folder: Path, ranks: Ranks, is_resumed: bool = False, progress: bool = False
) -> TrainingData:
    """Open the data sets and get their statistics; the first process computes them, the others read what it wrote.

    Args:
        config: what to read.
        folder: of the run.
        ranks: this process's place.
        is_resumed: use the statistics that the run began with.
        progress: show a bar.

    Raises:
        BadInput: a data set or the file of statistics is not there or damaged, or the folder holds another run.
    """
    kept = folder / STATISTICS_FILE
    if (folder / "run.json").exists() and not is_resumed:
        raise BadInput(f"{folder} already holds a run; go on with --resume, or name another folder.")
    sources, weights = _open(config)
    if ranks.is_first and not (is_resumed and kept.exists()):
        given = config.statistics
        found = _computed(sources, weights, config, progress) if given is None else read_statistics(given)
        write_json(kept, found.to_official())
    ranks.wait()
    return TrainingData(config, sources, weights, read_statistics(kept))


def validation_batches(
    dataset: str, data: TrainingData, size: int, count: int, ranks: Ranks
) -> tuple[PolicyBatch, ...]:
    """Batches of another data set, evenly spread over it, without augmentation; every process has its share.

    Raises:
        BadInput: the data set is not there, or has too few samples for every process to have one.
    """
    source = open_source(dataset)
    config = replace(data.config.sample, augmentation=None, state_dropout=0.0)
    samples = TrainingSamples((source,), config, data.normaliser, data.config.seed)
    wanted = min(len(samples), size * count * ranks.world_size)
    if wanted < ranks.world_size:
        raise BadInput(f"The validation set {dataset} has {len(samples)} samples for {ranks.world_size} processes.")
    numbers = np.unique(np.linspace(0, len(samples) - 1, wanted).astype(int))[ranks.rank :: ranks.world_size].tolist()
    groups = [numbers[start : start + size] for start in range(0, len(numbers), size)]
    batches = tuple(samples.batch([samples.key(number) for number in group]) for group in groups)
    samples.close()
    return batches


def frame_rate(source: SampleSource) -> float | None:
    """Frames per second of a data set, where it says so [1/s]."""
    rate = getattr(getattr(source, "store", None), "fps", None)
    return None if rate is None else float(rate)


def read_config(path: Path) -> dict[str, Any]:
    """A JSON file of settings, by section.

    Raises:
        BadInput: no such file, or not a JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} is no JSON file of settings ({error}).") from None
    if not isinstance(content, dict):
        raise BadInput(f"{path} holds a {type(content).__name__}, not sections of settings.")
    return content


def _open(config: DataConfig) -> tuple[tuple[SampleSource, ...], tuple[float, ...]]:
    if config.root is not None:
        mixture = Mixture.parse(",".join(config.datasets))
        return mixture.open(config.root), mixture.weights
    places = [_place(text) for text in config.datasets]
    sources = tuple(open_source(place) for place, _ in places)
    return sources, tuple(weight for _, weight in places)


def _place(text: str) -> tuple[str, float]:
    """ "folder:2" → ("folder", 2.0); a folder whose own name looks like that is taken as it is."""
    place, colon, weight = text.rpartition(":")
    if not colon or Path(text).exists():
        return text, 1.0
    try:
        number = float(weight)
    except ValueError:
        return text, 1.0
    if not 0 < number < float("inf"):
        raise BadInput(f"The weight of {place} is {weight}: legal are numbers above 0.")
    return place, number


def _computed(
    sources: Sequence[SampleSource], weights: Sequence[float], config: DataConfig, progress: bool
) -> Normaliser:
    """Statistics of the mixture: those of each data set, in proportion to the samples that an epoch shows of it."""
    workers = max(1, config.workers)
    parts = [source_statistics(s, config.sample, config.seed, workers, progress).normaliser(s.name) for s in sources]
    if len(parts) == 1:
        return parts[0]
    shown = [weight * len(source) for source, weight in zip(sources, weights, strict=True)]
    return mixed(parts, shown, "pooled", "+".join(source.name for source in sources))
