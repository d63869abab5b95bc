"""Experiments with policies on the synthetic world: the tiny policy that sees, and a thin study of data scaling.

Both draw their own data, follow a recipe, and score on scenes that were never trained on. Everything finished is kept
and used again, so an interrupted experiment goes on; the same configuration gives the same figures on a CPU.
"""

import csv
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt8

from vitra_lib.core.errors import BadInput
from vitra_lib.core.files import atomic_path
from vitra_lib.dataset import SampleSource, open_source
from vitra_lib.dataset.decoder_cache import DecoderCache
from vitra_lib.episodes import Episode
from vitra_lib.evaluation.hand_actions import mean_interval
from vitra_lib.evaluation.policy_eval import (
    POLICY,
    Material,
    PolicyEvaluation,
    PolicyEvaluationConfig,
    evaluate_policy,
)
from vitra_lib.evaluation.world_objects import WorldObjects
from vitra_lib.hands.model import load_hand_model
from vitra_lib.pipeline.world_episodes import WorldEpisodesConfig, build_world_episodes
from vitra_lib.policy.config import SamplingConfig
from vitra_lib.policy.predict import Predictor
from vitra_lib.training.recipes import POLICY as POLICY_FOLDER
from vitra_lib.training.recipes import Recipe, RecipeRun, follow

_log = logging.getLogger(__name__)
UNSEEN_SEED = 1_000_000
"""Scenes from this seed on are for scoring; nobody trains on them."""
ROWS = "rows.csv"
COLUMNS = ("share", "episodes", "seed", "grounding_steps", "training_steps", "n", "wrist_fde_cm", "wrist_ade_cm")


@dataclass(frozen=True)
class WorldExperiment:
    """What is drawn, trained and scored.

    Attributes:
        folder: gets `data/`, and the runs.
        recipe: the two stages of training.
        episodes, unseen: how many to train on and to score on.
        split: of the scenes to score on: "train" (new scenes of known things) or what is held out.
        evaluation: pictures, draws and guidance of the scoring.
        workers: processes that draw.
        progress: show bars.
    """

    folder: Path
    recipe: Recipe = field(default_factory=Recipe.tiny)
    episodes: int = 240
    unseen: int = 48
    split: str = "train"
    evaluation: PolicyEvaluationConfig = PolicyEvaluationConfig(
        windows=240, min_steps=5, batch=16, sampling=SamplingConfig(samples=8, guidance=1.5)
    )
    workers: int = 1
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
        run: folder of the recipe's run, with the logs of both stages.
    """

    predictor: Predictor
    training: SampleSource
    unseen: SampleSource
    run: Path


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


def train_in_world(experiment: WorldExperiment) -> TrainedInWorld:
    """Draw the data and train, or go on with what is there; a finished policy is read.

    Raises:
        BadInput: the folder holds a run of another recipe.
        TrainingStopped: the loss left the rails.
    """
    training, unseen = world_data(experiment)
    run = experiment.folder / f"policy-{experiment.recipe.seed}"
    _train(experiment, training, run)
    return TrainedInWorld(Predictor.open(run / POLICY_FOLDER, load_hand_model()), training, unseen, run)


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

    All runs take the same number of steps, so that only the data differ. A share is the first episodes of the set.

    Args:
        experiment: data, recipe and scoring; the recipe's seed is replaced.
        shares: of the training episodes, in (0, 1].
        seeds: of weights, order and noise.

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
    for share in shares:
        for seed in seeds:
            if (share, seed) in done:
                continue
            part = FirstEpisodes(training, max(1, round(share * experiment.episodes)))
            one = replace(experiment, recipe=experiment.recipe.with_seed(seed))
            run = experiment.folder / f"share-{share:g}-seed-{seed}"
            _train(one, part, run)
            predictor = Predictor.open(run / POLICY_FOLDER, load_hand_model())
            evaluation = evaluate_policy(predictor, Material(unseen), load_hand_model(), experiment.evaluation)
            scores = evaluation.scores[POLICY]
            (fde, n, _), (ade, _, _) = (
                mean_interval(scores.values[metric], scores.episode) for metric in ("wrist FDE", "wrist ADE")
            )
            steps = (one.recipe.grounding.steps, one.recipe.training.steps)
            values = (share, part.episodes, seed, *steps, n, 100 * fde, 100 * ade)
            rows.append(dict(zip(COLUMNS, values, strict=True)))
            _write_rows(path, rows)
            _log.info("share %g, seed %d: wrist FDE %.2f cm", share, seed, 100 * fde)
    return path


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
        facts = {"made_by": "an experiment in the synthetic world", "seed": experiment.recipe.seed}
        follow(experiment.recipe, source, RecipeRun(run, run.exists(), facts, experiment.progress))


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
