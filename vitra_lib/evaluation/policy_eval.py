"""A policy and the baselines on the same pictures of a data set, scored with the same figures."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int
from tqdm import tqdm

from vitra_lib.contracts.hand_track import SIDES
from vitra_lib.core.errors import BadInput
from vitra_lib.dataset import LabelBatch, ReadConfig, SampleConfig, SampleSource, TrainingSamples, replay
from vitra_lib.evaluation.accuracy import Figure
from vitra_lib.evaluation.baselines import STATE_PER_HAND, Baseline, Memory, Question, baselines, hand_sentence
from vitra_lib.evaluation.hand_actions import (
    HandWay,
    MethodScores,
    chunk_errors,
    figures_of,
    known_steps,
    paired_figures,
)
from vitra_lib.evaluation.world_objects import WorldObjects
from vitra_lib.geometry.rotations import euler_xyz, from_euler_xyz, nearest_rotation
from vitra_lib.hands.model import HAND_MODELS, HandModel
from vitra_lib.policy.config import SamplingConfig
from vitra_lib.policy.predict import Predictor, joints_of_points, shape_for

POLICY, POLICY_MEAN, TRUTH = "policy", "mean of draws", "truth"
_PER_HAND = 51


@dataclass(frozen=True)
class PolicyEvaluationConfig:
    """What is measured.

    Attributes:
        windows: pictures, evenly spread over the data set.
        min_steps: steps that must be known from a picture on, for a hand to count (and for a training hand to be
            remembered).
        batch: pictures that the policy sees at once.
        memory_windows: training pictures that baselines remember, evenly spread.
        sampling: how the policy draws.
        seed: of the bootstrap.
    """

    windows: int = 200
    min_steps: int = 8
    batch: int = 8
    memory_windows: int = 4000
    sampling: SamplingConfig = SamplingConfig(samples=8)
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.windows, self.min_steps, self.batch, self.memory_windows) < 1:
            raise BadInput("windows, min_steps, batch and memory_windows must be 1 or more.")


@dataclass(frozen=True, eq=False)
class Material:
    """What a policy is measured on.

    Attributes:
        source: data set that the policy was not trained on.
        training: data sets that baselines remember; without any only those without memory are scored.
        world: where the clips of the data set are, for the distance to objects; None = no such metric.
    """

    source: SampleSource
    training: Sequence[SampleSource] = ()
    world: WorldObjects | None = None


@dataclass(frozen=True, eq=False)
class PolicyEvaluation:
    """Scores of all methods on the same rows.

    Attributes:
        scores: "policy" (each draw by itself), "mean of draws" (one prediction out of several), the baselines, and
            "truth" (no errors; its jerk and hand-object distance are for comparison).
        pictures: how many pictures had a hand that counts.
    """

    scores: dict[str, MethodScores]
    pictures: int

    def figures(self, seed: int = 0) -> tuple[Figure, ...]:
        """Every figure of every method, and the policy against each baseline."""
        found = [figure for scores in self.scores.values() for figure in figures_of(scores, seed)]
        for ours in (POLICY, POLICY_MEAN):
            for name, other in self.scores.items():
                if ours in self.scores and name not in (POLICY, POLICY_MEAN, TRUTH):
                    found += paired_figures(self.scores[ours], other, seed)
        return tuple(found)


@dataclass(frozen=True, eq=False)
class _Row:
    """One hand in one picture."""

    place: int
    hand: int
    question: Question
    truth: HandWay
    steps: int
    betas: Float[np.ndarray, "10"]
    fps: float
    object_points_cam: Float[np.ndarray, "n 3"] | None


def evaluate_policy(
    predictor: Predictor | None,
    material: Material,
    model: HandModel,
    config: PolicyEvaluationConfig,
    progress: bool = False,
) -> PolicyEvaluation:
    """Score a policy beside the baselines.

    Args:
        predictor: the policy; None scores the baselines alone.
        material: data sets.
        model: makes joints of finger angles, of truth and predictions alike.
        config: how many pictures, how many draws.
        progress: show a bar.

    Raises:
        BadInput: a data set can't be read, or no picture has a hand that counts.
    """
    chunk = 16 if predictor is None else predictor.policy.config.denoiser.chunk
    methods = baselines(_memory(material.training, chunk, config) if material.training else None)
    reading = ReadConfig(with_images=predictor is not None)
    samples = TrainingSamples((material.source,), SampleConfig(chunk=chunk, past=1), None, read=reading)
    numbers = np.unique(np.linspace(0, len(samples) - 1, config.windows).astype(int))
    errors: dict[str, list[dict[str, np.ndarray]]] = {}
    episodes: list[str] = []
    sides: list[str] = []
    pictures = 0
    for start in tqdm(range(0, len(numbers), config.batch), desc="pictures", unit="batch", disable=not progress):
        keys = [samples.key(int(number)) for number in numbers[start : start + config.batch]]
        labels = samples.labels(keys)
        rows = _rows(labels, material, [key.index for key in keys], model, config.min_steps)
        if not rows:
            continue
        pictures += len({row.place for row in rows})
        sampling = replace(config.sampling, seed=config.sampling.seed + start)  # noise of its own for every batch
        drawn = None if predictor is None else _drawn(predictor, samples, keys, labels, rows, sampling)
        for row in rows:
            episodes.append(labels.name[row.place])
            sides.append(SIDES[row.hand])
            ways = {
                name: _way(row, steps, model, predictor.rel_mode if name == POLICY and predictor else "step")
                for name, steps in _answers(methods, row, drawn).items()
            }
            if POLICY in ways and len(ways[POLICY].points) > 1:
                mean = mean_way(ways[POLICY].points)
                ways[POLICY_MEAN] = HandWay(mean, joints_of_points(mean, SIDES[row.hand], row.betas, model))
            ways[TRUTH] = HandWay(row.truth.points[None], row.truth.joints_cam[None])
            for name, way in ways.items():
                found = chunk_errors(way, row.truth, row.steps, row.fps, row.object_points_cam)
                errors.setdefault(name, []).append(found)
    samples.close()
    if not errors:
        raise BadInput(f"No picture of {material.source.name} has a hand that is known for {config.min_steps} steps.")
    return PolicyEvaluation(
        {name: MethodScores.of(name, found, episodes, sides) for name, found in errors.items()}, pictures
    )


def mean_way(points: Float[np.ndarray, "samples points 51"]) -> Float[np.ndarray, "1 points 51"]:
    """The mean of several draws, as one draw: mean positions and finger angles, and the mean rotations of the wrist."""
    mean = points.mean(0, keepdims=True)
    mean[..., 3:6] = euler_xyz(nearest_rotation(from_euler_xyz(points[..., 3:6]).mean(0, keepdims=True)))
    return mean


def _memory(training: Sequence[SampleSource], chunk: int, config: PolicyEvaluationConfig) -> Memory:
    samples = TrainingSamples(training, SampleConfig(chunk=chunk), None, read=ReadConfig(with_images=False))
    numbers = np.unique(np.linspace(0, len(samples) - 1, config.memory_windows).astype(int))
    memory = Memory.of(samples.labels([samples.key(int(number)) for number in numbers]), config.min_steps)
    samples.close()
    return memory


def _rows(
    labels: LabelBatch, material: Material, numbers: Sequence[int], model: HandModel, min_steps: int
) -> list[_Row]:
    """The hands of some pictures that count."""
    state = labels.raw_state.reshape(len(labels.name), 2, STATE_PER_HAND)
    steps = labels.raw_action.reshape(*labels.raw_action.shape[:2], 2, _PER_HAND)
    episode_of, frame_of = material.source.locate(np.array(numbers))
    rows = []
    for place in range(len(labels.name)):
        episode = material.source.episode(int(episode_of[place]))
        for hand, side in enumerate(SIDES):
            mask: Bool[np.ndarray, " steps"] = labels.raw_action_mask[place, :, hand]
            known = known_steps(mask[1:])
            if not labels.raw_state_mask[place, hand] or known < min(min_steps, len(mask) - 1):
                continue
            now, true_steps = state[place, hand], steps[place, 1:, hand]
            question = Question(
                hand,
                now,
                steps[place, 0, hand] if mask[0] else None,
                hand_sentence(labels.instruction[place], hand),
                len(true_steps),
            )
            named = episode.hand(side).hand_model
            betas = shape_for(model, named if named in HAND_MODELS else "", now[_PER_HAND:])
            points = replay(now, true_steps)
            truth = HandWay(points, joints_of_points(points, side, betas, model))
            target = material.world and material.world.points_cam(episode, int(frame_of[place]), side)
            rows.append(_Row(place, hand, question, truth, known, betas, episode.fps, target))
    return rows


def _drawn(
    predictor: Predictor,
    samples: TrainingSamples,
    keys: Sequence,
    labels: LabelBatch,
    rows: Sequence[_Row],
    sampling: SamplingConfig,
) -> dict[int, Float[np.ndarray, "samples chunk 102"]]:
    """The policy's steps for the pictures of a batch that have a hand that counts, by place in the batch."""
    used = sorted({row.place for row in rows})
    wanted: Bool[np.ndarray, "batch 2"] = np.zeros((len(keys), 2), bool)
    for row in rows:
        wanted[row.place, row.hand] = True
    images = [sample.image for sample in samples.__getitems__([keys[place] for place in used])]
    inputs = predictor.inputs(
        images,
        [labels.instruction[place] for place in used],
        labels.fov_rad[used].astype(np.float64),
        labels.raw_state[used],
        labels.raw_state_mask[used],
    )
    return dict(zip(used, predictor.draw(inputs, wanted[used], sampling), strict=True))


def _answers(
    methods: dict[str, Baseline], row: _Row, drawn: dict[int, np.ndarray] | None
) -> dict[str, Float[np.ndarray, "samples steps 51"]]:
    """What each method predicts for one hand in one picture."""
    own = slice(_PER_HAND * row.hand, _PER_HAND * (row.hand + 1))
    answers = {} if drawn is None else {POLICY: drawn[row.place][:, :, own]}
    return answers | {name: method(row.question)[None] for name, method in methods.items()}


def _way(row: _Row, steps: Float[np.ndarray, "samples steps 51"], model: HandModel, rel_mode: str) -> HandWay:
    points = np.stack([replay(row.question.state, one, rel_mode) for one in steps])
    return HandWay(points, joints_of_points(points, SIDES[row.hand], row.betas, model))


def table_of(evaluation: PolicyEvaluation, metrics: Sequence[str]) -> list[tuple[str, ...]]:
    """Rows (method, figure…) for a screen: the mean over rows with its interval, best of the draws in brackets."""
    values = {figure.name: figure for figure in evaluation.figures()}
    rows = []
    for name, scores in evaluation.scores.items():
        cells = []
        for metric in metrics:
            mean = values.get(f"{name} / {metric} / mean / both hands")
            best = values.get(f"{name} / {metric} / best of {scores.draws} / both hands")
            if mean is None:
                cells.append("-")
                continue
            interval = "" if mean.ci95 is None else f" [{mean.ci95[0]:.2f}, {mean.ci95[1]:.2f}]"
            cells.append(f"{mean.value:.2f}{interval}" + ("" if best is None else f" (best {best.value:.2f})"))
        rows.append((name, *cells))
    return rows


def rows_used(evaluation: PolicyEvaluation) -> Int[np.ndarray, "2"]:
    """(left, right) hands that were scored."""
    side = next(iter(evaluation.scores.values())).side
    return np.array([(side == name).sum() for name in SIDES])
