"""Experiments with policies on the synthetic world: the tiny policy that sees, and a thin study of data scaling.

Both draw their own data, follow a recipe, and score on scenes that were never trained on. Everything finished is kept
and used again, so an interrupted experiment goes on; the same configuration gives the same figures on a CPU.
"""

import csv
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int, UInt8

from vitra_lib.core.errors import BadInput
from vitra_lib.core.files import atomic_path
from vitra_lib.dataset import Normaliser, SampleSource, TrainingSamples, open_source, source_statistics
from vitra_lib.dataset.decoder_cache import DecoderCache
from vitra_lib.episodes import Episode
from vitra_lib.evaluation.hand_actions import mean_interval
from vitra_lib.evaluation.policy_eval import (
    POLICY,
    POLICY_MEAN,
    Material,
    PolicyEvaluation,
    PolicyEvaluationConfig,
    evaluate_policy,
)
from vitra_lib.evaluation.world_objects import WorldObjects
from vitra_lib.hands.model import load_hand_model
from vitra_lib.pipeline.world_episodes import WorldEpisodesConfig, build_world_episodes
from vitra_lib.pipeline.world_pictures import NamedPictures, WorldPicturesConfig, draw_world_pictures
from vitra_lib.policy.checkpoint import load_policy, save_policy
from vitra_lib.policy.config import SamplingConfig
from vitra_lib.policy.policy import Policy
from vitra_lib.policy.predict import REL_MODE, STATISTICS, Predictor
from vitra_lib.training.denoising import DenoisingConfig, KnownSamples, known_samples, train_denoiser
from vitra_lib.training.recipes import GROUNDED, Recipe, RecipeRun, ground, train
from vitra_lib.training.recipes import POLICY as POLICY_FOLDER

_log = logging.getLogger(__name__)
_FACTS = {"made_by": "an experiment in the synthetic world"}
UNSEEN_SEED = 1_000_000
"""Scenes from this seed on are for scoring; nobody trains on them."""
PICTURES_SEED = 2_000_000
"""Scenes from this seed on are in the pictures that a backbone learns to see from."""
ROWS = "rows.csv"
COLUMNS = (
    "share", "episodes", "seed", "binding_steps", "training_steps", "n", "wrist_fde_cm", "wrist_ade_cm",
    "mean_of_draws_fde_cm",
)  # fmt: skip


@dataclass(frozen=True)
class WorldExperiment:
    """What is drawn, trained and scored.

    Attributes:
        folder: gets `data/`, and the runs.
        recipe: the three stages of training.
        episodes, unseen: how many to train on and to score on.
        pictures: how many to learn to see from.
        split: of the scenes to score on: "train" (new scenes of known things) or what is held out.
        evaluation: pictures, draws and guidance of the scoring; windows with seven known steps begin before the hand
            has gone far.
        workers: processes that draw.
        threads: of torch while it trains; another number gives other last digits.
        progress: show bars.
    """

    folder: Path
    recipe: Recipe = field(default_factory=Recipe.tiny)
    episodes: int = 240
    unseen: int = 48
    pictures: int = 2400
    split: str = "train"
    evaluation: PolicyEvaluationConfig = PolicyEvaluationConfig(
        windows=480, min_steps=7, batch=16, sampling=SamplingConfig(samples=8, guidance=1.0)
    )
    workers: int = 1
    threads: int = 2
    progress: bool = False

    def __post_init__(self) -> None:
        if self.episodes >= UNSEEN_SEED // 8:
            raise BadInput(f"episodes is {self.episodes}; fewer than {UNSEEN_SEED // 8} keep training scenes apart.")


@dataclass(frozen=True, eq=False)
class TrainedInWorld:
    """A trained policy with its data.

    Attributes:
        predictor: the policy, ready to be asked.
        training, unseen: the data sets.
        run: folder of the training stage.
        grounding: folder of the two stages before it.
    """

    predictor: Predictor
    training: SampleSource
    unseen: SampleSource
    run: Path
    grounding: Path


def world_data(experiment: WorldExperiment) -> tuple[SampleSource, SampleSource]:
    """The training and the unseen data set, drawn if they are not there yet."""
    wanted = {
        f"train-{experiment.episodes}": WorldEpisodesConfig.tiny(experiment.episodes),
        f"{experiment.split}-unseen-{experiment.unseen}": WorldEpisodesConfig.tiny(
            experiment.unseen, UNSEEN_SEED, experiment.split
        ),
    }
    sources = []
    for name, config in wanted.items():
        folder = experiment.folder / "data" / name
        if not folder.exists():
            folder.parent.mkdir(parents=True, exist_ok=True)
            build_world_episodes(config, folder, experiment.workers, experiment.progress).close()
        sources.append(open_source(folder))
    return sources[0], sources[1]


def world_pictures(experiment: WorldExperiment) -> NamedPictures:
    """The pictures to learn to see from, drawn if they are not there yet."""
    path = experiment.folder / "data" / f"pictures-{experiment.pictures}.npz"
    if not path.exists():
        config = WorldPicturesConfig.tiny(experiment.pictures, PICTURES_SEED)
        draw_world_pictures(config, experiment.workers, experiment.progress).save(path)
    return NamedPictures.read(path)


def grounded_policy(experiment: WorldExperiment) -> Path:
    """Folder of the policy whose backbone sees and whose denoiser knows nothing; made if it is not there yet.

    Raises:
        BadInput: the folder holds a run of another recipe.
        TrainingStopped: a loss is not finite.
    """
    run = experiment.folder / f"grounding-{experiment.recipe.binding.seed}"
    if not (run / GROUNDED).is_dir():
        pictures = world_pictures(experiment)
        with _threads(experiment.threads):
            ground(experiment.recipe, pictures, RecipeRun(run, run.exists(), _FACTS, experiment.progress))
    return run / GROUNDED


def train_in_world(experiment: WorldExperiment) -> TrainedInWorld:
    """Draw the data, ground and train, or go on with what is there; a finished policy is read.

    Raises:
        BadInput: the folder holds a run of another recipe.
        TrainingStopped: the loss left the rails.
    """
    training, unseen = world_data(experiment)
    run = experiment.folder / f"policy-{experiment.recipe.seed}"
    _train(experiment, training, run)
    predictor = Predictor.open(run / POLICY_FOLDER, load_hand_model())
    return TrainedInWorld(predictor, training, unseen, run, grounded_policy(experiment).parent)


def score_unseen(experiment: WorldExperiment, trained: TrainedInWorld) -> PolicyEvaluation:
    """The policy beside all baselines on the unseen scenes."""
    material = Material(trained.unseen, (trained.training,), WorldObjects())
    return evaluate_policy(trained.predictor, material, load_hand_model(), experiment.evaluation, experiment.progress)


def beaten_baselines(evaluation: PolicyEvaluation, metric: str = "wrist FDE", ours: str = POLICY) -> dict[str, bool]:
    """Baseline -> whether the policy is better with an interval of the difference that leaves zero out.

    Args:
        evaluation: scores of all methods.
        metric: in which.
        ours: "policy" (each draw by itself) or "mean of draws" (one answer, as the baselines give).
    """
    before, behind = f"{ours} minus ", f" / {metric}"
    return {
        figure.name.removeprefix(before).removesuffix(behind): figure.ci95 is not None and figure.ci95[1] < 0
        for figure in evaluation.figures()
        if figure.name.startswith(before) and figure.name.endswith(behind)
    }


def scaling(experiment: WorldExperiment, shares: Sequence[float], seeds: Sequence[int]) -> Path:
    """Train on shares of the data with several seeds; every finished run adds one row to `rows.csv`.

    All runs give the same grounded backbone a new denoiser, as the published ones give one to the same PaliGemma, and
    take the same number of steps, so that only the episodes differ. The backbone stands still. A share is the first
    episodes of the set; statistics are those of the whole set.

    Args:
        experiment: data, recipe and scoring; the recipe's seed is replaced, and its `denoising` is what is run.
        shares: of the training episodes, in (0, 1].
        seeds: of the denoiser's weights, order and noise.

    Returns:
        The file of rows, with the columns of `COLUMNS`.

    Raises:
        BadInput: a share out of range.
    """
    if not shares or not all(0 < share <= 1 for share in shares):
        raise BadInput(f"The shares are {list(shares)}; each must be in (0, 1].")
    training, unseen = world_data(experiment)
    path = experiment.folder / ROWS
    rows = read_rows(path)
    done = {(row["share"], row["seed"]) for row in rows}
    wanted = [(share, seed) for share in shares for seed in seeds if (share, seed) not in done]
    if not wanted:
        return path
    study = _Study.of(experiment, training)
    for share, seed in wanted:
        part = FirstEpisodes(training, max(1, round(share * experiment.episodes)))
        config = experiment.recipe.with_seed(seed).denoising
        predictor = study.trained(len(part), config, experiment.folder / f"share-{share:g}-seed-{seed}")
        evaluation = evaluate_policy(predictor, Material(unseen), load_hand_model(), experiment.evaluation)
        values = (share, part.episodes, seed, experiment.recipe.binding.steps, config.steps, *_scores(evaluation))
        rows.append(dict(zip(COLUMNS, values, strict=True)))
        _write_rows(path, rows)
        _log.info("share %g, seed %d: wrist FDE %.2f cm", share, seed, rows[-1]["wrist_fde_cm"])
    return path


@dataclass(frozen=True, eq=False)
class _Study:
    """What all runs of a scaling study share.

    Attributes:
        policy: the grounded one; its denoiser is replaced in every run.
        known: all training samples, seen by it.
        normaliser, rel_mode: of the samples.
        threads: of torch while it trains.
        progress: show bars.
    """

    policy: Policy
    known: KnownSamples
    normaliser: Normaliser
    rel_mode: str
    threads: int
    progress: bool

    @classmethod
    def of(cls, experiment: WorldExperiment, source: SampleSource) -> "_Study":
        """Let the grounded backbone see all samples once."""
        recipe = experiment.recipe
        policy = load_policy(grounded_policy(experiment), recipe.profile)
        policy.in_bf16 = recipe.binding.precision == "bf16"
        plain = replace(recipe.sample, augmentation=None)
        normaliser = source_statistics(source, plain, recipe.binding.seed).normaliser(source.name)
        with _threads(experiment.threads):
            known = known_samples(policy, TrainingSamples([source], plain, normaliser), experiment.progress)
        policy.in_bf16 = False
        return cls(policy, known, normaliser, plain.rel_mode, experiment.threads, experiment.progress)

    def trained(self, samples: int, config: DenoisingConfig, run: Path) -> Predictor:
        """A policy trained on the first samples, kept in `run/policy`; the next run changes it."""
        if not (run / POLICY_FOLDER).is_dir():
            with _threads(self.threads):
                train_denoiser(self.policy, self.known.first(samples), config, self.progress)
            facts = _FACTS | {"seed": config.seed, "samples": samples, "training_steps": config.steps}
            facts |= {STATISTICS: self.normaliser.to_official(), REL_MODE: self.rel_mode}
            save_policy(self.policy, run / POLICY_FOLDER, facts, dtype=torch.bfloat16)
        return Predictor.open(run / POLICY_FOLDER, load_hand_model())


def _scores(evaluation: PolicyEvaluation) -> tuple[float, float, float, float]:
    """Number of pictures and hands; FDE and ADE of single draws, FDE of their mean [cm]."""
    single, mean = evaluation.scores[POLICY], evaluation.scores[POLICY_MEAN]
    wanted = ((single, "wrist FDE"), (single, "wrist ADE"), (mean, "wrist FDE"))
    found = [mean_interval(scores.values[metric], scores.episode) for scores, metric in wanted]
    return float(found[0][1]), *(100 * value for value, *_ in found)


def read_rows(path: Path) -> list[dict[str, float]]:
    """Rows of a scaling study; none where the file is not there yet."""
    if not path.is_file():
        return []
    with path.open(newline="") as stream:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(stream)]


def _write_rows(path: Path, rows: Sequence[dict[str, float]]) -> None:
    with atomic_path(path) as part, part.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        writer.writerows({name: f"{value:.6g}" for name, value in row.items()} for row in rows)


def _train(experiment: WorldExperiment, source: SampleSource, run: Path) -> None:
    """Follow the recipe unless its policy is there already."""
    if not (run / POLICY_FOLDER).is_dir():
        start = grounded_policy(experiment)
        facts = _FACTS | {"seed": experiment.recipe.seed}
        with _threads(experiment.threads):
            train(experiment.recipe, start, source, RecipeRun(run, run.exists(), facts, experiment.progress))


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Let torch compute with so many threads meanwhile; elsewhere one per process is best."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class FirstEpisodes:
    """The first episodes of a data set, as a data set.

    Attributes:
        name: of the whole.
        episodes: how many.
    """

    def __init__(self, whole: SampleSource, episodes: int) -> None:
        """
        Args:
            whole: the data set.
            episodes: how many of its first episodes; all if it has fewer.
        """
        self.name, self._whole = whole.name, whole
        numbers, _ = whole.locate(np.arange(len(whole)))
        self._samples = int(np.searchsorted(numbers, episodes))
        self.episodes = int(numbers[self._samples - 1]) + 1

    def __len__(self) -> int:
        return self._samples

    def locate(self, samples: Int[np.ndarray, " n"]) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
        """Episode number, and frame in the episode, of some samples."""
        return self._whole.locate(samples)

    def episode(self, number: int) -> Episode:
        """Read one episode."""
        return self._whole.episode(number)

    def episode_name(self, number: int) -> str:
        """Name of an episode."""
        return self._whole.episode_name(number)

    def images(
        self, number: int, frames: Sequence[int], cache: DecoderCache
    ) -> list[UInt8[np.ndarray, "height width 3"]]:
        """RGB images of some frames of one episode."""
        return self._whole.images(number, frames, cache)

    def close(self) -> None:
        """Close the whole."""
        self._whole.close()
