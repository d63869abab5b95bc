"""How near a policy's chunks come to demonstrations that it never saw: wrist and fingers, beside two simple guesses.

A robot that fails its task says little about how far it was from doing it; the error of a chunk says it for every
frame. The policy is asked as the robot asks it, through the same layout and statistics.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float

from robot.hand import UNMAPPED
from robot.serving.hand_policy import (
    UNMAPPED_FINGERS,
    NetworkPolicy,
    PolicyFiles,
    PolicyParts,
    XHandLayout,
    open_policy,
)
from robot.teleop.episode import TeleEpisode
from robot.teleop.files import TeleData
from robot.teleop.samples import tele_instruction
from robot.teleop.vectors import PER_HAND, chunk_of, tele_states, tele_steps
from vitra_lib.contracts.hand_track import SIDES
from vitra_lib.core.errors import BadInput
from vitra_lib.evaluation.accuracy import Figure
from vitra_lib.evaluation.hand_actions import mean_interval
from vitra_lib.geometry.cameras import fov_from_K
from vitra_lib.geometry.rotations import from_euler_xyz, geodesic_angle
from vitra_lib.policy.checkpoint import read_description
from vitra_lib.policy.config import PolicyConfig, SamplingConfig
from vitra_lib.policy.policy import Policy
from vitra_lib.policy.predict import checkpoint_statistics
from vitra_lib.policy.processor import Processor
from vitra_lib.training.grounding import widen_initial_weights

METRICS = {
    "wrist FDE": ("cm", 100.0),
    "wrist ADE": ("cm", 100.0),
    "wrist rotation": ("deg", float(np.rad2deg(1.0))),
    "finger angles": ("deg", float(np.rad2deg(1.0))),
}
"""Metric -> unit of the tables and its factor: end of the chunk, mean over it, end, mean over it."""


@dataclass(frozen=True)
class OfflineConfig:
    """What is asked.

    Attributes:
        windows: pictures, spread evenly over all demonstrations; fewer if there are fewer.
        least_steps: a picture counts if so many steps are known from it on.
        batch: pictures per pass.
        chunk: steps that are compared.
    """

    windows: int = 96
    least_steps: int = 8
    batch: int = 16
    chunk: int = 16

    def __post_init__(self) -> None:
        if min(self.windows, self.least_steps, self.batch) < 1 or self.chunk < self.least_steps:
            raise BadInput("windows, least_steps and batch must be at least 1, chunk at least least_steps.")


@dataclass(frozen=True, eq=False)
class Windows:
    """Pictures of demonstrations with what happened next.

    Attributes:
        observations: as a policy takes them; their seeds differ.
        truth: (windows, chunk, 36) steps [m, rad].
        counts: (windows, chunk, 2) True where a step of a hand is known.
        state: (windows, 36) what is measured in the picture [m, rad].
        episode: (windows,) name of each one's demonstration.
    """

    observations: tuple[dict[str, Any], ...]
    truth: Float[np.ndarray, "windows chunk 36"]
    counts: Bool[np.ndarray, "windows chunk 2"]
    state: Float[np.ndarray, "windows 36"]
    episode: np.ndarray

    def __len__(self) -> int:
        return len(self.observations)


@dataclass(frozen=True, eq=False)
class ChunkErrors:
    """Errors of one method, one row per window and hand.

    Attributes:
        method: name.
        values: metric -> errors [m, rad].
        episode: demonstration of each row.
    """

    method: str
    values: dict[str, Float[np.ndarray, " rows"]]
    episode: np.ndarray

    def figures(self) -> list[Figure]:
        """Means with intervals from resampling whole demonstrations."""
        return [_figure(f"{self.method} / {name}", self.values[name], self.episode, name) for name in METRICS]

    def minus(self, other: "ChunkErrors") -> list[Figure]:
        """This one's errors less another's, row by row; below 0 this one is better.

        Raises:
            BadInput: the two are not of the same windows.
        """
        if not np.array_equal(self.episode, other.episode):
            raise BadInput(f"{self.method} and {other.method} were not scored on the same pictures.")
        title = f"{self.method} minus {other.method}"
        return [
            _figure(f"{title} / {name}", self.values[name] - other.values[name], self.episode, name) for name in METRICS
        ]


def windows_of(data: TeleData, config: OfflineConfig | None = None) -> Windows:
    """Pictures to ask about, evenly spread.

    Raises:
        BadInput: no frame has enough known steps.
        BadVideo: a video is missing or broken.
    """
    from vitra_lib.video import VideoReader

    config = config or OfflineConfig()
    episodes = tuple(data)
    places = []
    for number, episode in enumerate(episodes):
        followed = _followed(tele_steps(episode)[1], config.least_steps)
        places += [(number, k) for k in np.flatnonzero(followed).tolist()]
    if not places:
        raise BadInput(f"{data.root} has no frame that is followed by {config.least_steps} known steps.")
    chosen = np.unique(np.linspace(0, len(places) - 1, min(config.windows, len(places))).astype(int))
    rows = []
    for number in sorted({places[k][0] for k in chosen}):
        frames = [places[k][1] for k in chosen if places[k][0] == number]
        with VideoReader(data.video(episodes[number].name)) as video:
            images = {frame.index: frame.image for frame in video.at(frames)}
        rows += [
            _window(episodes[number], frame, images[frame], len(rows) + i, config) for i, frame in enumerate(frames)
        ]
    observations, truth, counts, state, names = zip(*rows, strict=True)
    return Windows(tuple(observations), np.stack(truth), np.stack(counts), np.stack(state), np.array(names))


def ask_all(policy: NetworkPolicy, windows: Windows, batch: int = 16) -> Float[np.ndarray, "windows chunk 36"]:
    """One draw per window [m, rad]; NaN for hands that are not there."""
    answers: list[np.ndarray] = []
    for start in range(0, len(windows), batch):
        prepared = [policy.prepare(one) for one in windows.observations[start : start + batch]]
        answers += [answer["actions"] for answer in policy.infer(prepared)]
    return np.stack(answers).astype(float)


def untrained_policy(files: PolicyFiles, sampling: SamplingConfig | None = None, seed: int = 0) -> NetworkPolicy:
    """What a fine-tuned policy was before, had it begun with random weights: its sizes and statistics, no learning.

    Args:
        files: the fine-tuned checkpoint.
        sampling: steps and guidance.
        seed: of the weights.

    Raises:
        BadInput: a damaged checkpoint, or one without a robot's statistics.
    """
    described = read_description(files.checkpoint)
    facts, config = described.get("facts", {}), PolicyConfig.from_dict(described["config"])
    torch.manual_seed(seed)
    policy = Policy(config)
    widen_initial_weights(policy, seed)
    layout = XHandLayout(str(facts.get(UNMAPPED_FINGERS, UNMAPPED[0])))
    normaliser = checkpoint_statistics(files.checkpoint, facts)
    return NetworkPolicy(
        PolicyParts(policy, Processor(files.tokenizer), normaliser, layout, name="untrained"), sampling
    )


def before_and_after(checkpoint: Path, guidance: float = 1.5, seed: int = 0) -> dict[str, NetworkPolicy]:
    """A fine-tuned policy, and what it would be without any learning, ready to be scored.

    Args:
        checkpoint: folder of the fine-tuned policy.
        guidance: of sampling.
        seed: of noise, and of the unlearned weights.
    """
    files, sampling = PolicyFiles(checkpoint, "xhand"), SamplingConfig(guidance=guidance, seed=seed)
    return {"before": untrained_policy(files, sampling, seed), "after": open_policy(files, sampling=sampling)}


def hold(windows: Windows) -> Float[np.ndarray, "windows chunk 36"]:
    """The guess that nothing moves: wrist steps of zero, fingers as measured [m, rad]."""
    step = windows.state.copy()
    for first in (0, PER_HAND):
        step[:, first : first + 6] = 0.0
    return np.repeat(step[:, None], windows.truth.shape[1], axis=1)


def mean_step(windows: Windows, mean: Float[np.ndarray, "36"]) -> Float[np.ndarray, "windows chunk 36"]:
    """The guess that every step is the mean step of training [m, rad]."""
    return np.broadcast_to(mean, windows.truth.shape).copy()


def score(method: str, steps: Float[np.ndarray, "windows chunk 36"], windows: Windows) -> ChunkErrors:
    """Errors of a method's chunks.

    Args:
        method: name.
        steps: its answers [m, rad].
        windows: what happened.

    Raises:
        BadInput: another shape, or NaN where a hand takes part.
    """
    if steps.shape != windows.truth.shape:
        raise BadInput(f"The answers have the shape {steps.shape}; the windows have {windows.truth.shape}.")
    rows: list[dict[str, float]] = []
    episode = []
    for window in range(len(windows)):
        for hand, _ in enumerate(SIDES):
            counts = windows.counts[window, :, hand]
            known = len(counts) if counts.all() else int(np.argmin(counts))
            if not known:
                continue
            mine = slice(hand * PER_HAND, (hand + 1) * PER_HAND)
            ours, true = steps[window, :known, mine], windows.truth[window, :known, mine]
            if not np.isfinite(ours).all():
                raise BadInput(f"{method} gave NaN or infinite steps for a hand that takes part.")
            rows.append(_errors(ours, true))
            episode.append(windows.episode[window])
    return ChunkErrors(method, {name: np.array([row[name] for row in rows]) for name in METRICS}, np.array(episode))


def _errors(ours: Float[np.ndarray, "steps 18"], true: Float[np.ndarray, "steps 18"]) -> dict[str, float]:
    """Of one hand's known steps; the pose at the first picture is the same, so steps say it all."""
    apart = np.linalg.norm(np.cumsum(ours[:, :3] - true[:, :3], axis=0), axis=1)
    turned = geodesic_angle(_turn(ours), _turn(true))
    fingers = np.abs(ours[:, 6:] - true[:, 6:]).mean()
    values = (apart[-1], apart.mean(), float(turned), fingers)
    return {name: float(value) for name, value in zip(METRICS, values, strict=True)}


def _turn(steps: Float[np.ndarray, "steps 18"]) -> Float[np.ndarray, "3 3"]:
    """All the turns of a chunk, one after another."""
    R = np.eye(3)
    for turn in from_euler_xyz(steps[:, 3:6]):
        R = turn @ R
    return R


def _followed(known: Bool[np.ndarray, "time 2"], steps: int) -> Bool[np.ndarray, " time"]:
    """Frames from which on so many steps of one hand are known without a gap."""
    padded = np.concatenate([known, np.zeros((steps - 1, 2), bool)])
    return np.lib.stride_tricks.sliding_window_view(padded, steps, axis=0).all(-1).any(-1)


def _window(
    episode: TeleEpisode, frame: int, image: np.ndarray, seed: int, config: OfflineConfig
) -> tuple[dict[str, Any], np.ndarray, np.ndarray, np.ndarray, str]:
    states, known = tele_states(episode)
    truth, counts = chunk_of(*tele_steps(episode), frame, config.chunk)
    observation = {
        "image": image,
        "instruction": tele_instruction(episode),
        "fov_rad": fov_from_K(episode.K_px, image.shape[1], image.shape[0]),
        "state": states[frame],
        "hands": known[frame],
        "seed": seed,
    }
    return observation, truth, counts & known[frame], states[frame], episode.name


def _figure(name: str, values: np.ndarray, episode: np.ndarray, metric: str) -> Figure:
    unit, factor = METRICS[metric]
    mean, count, interval = mean_interval(values, episode)
    scaled = None if interval is None else (interval[0] * factor, interval[1] * factor)
    return Figure(name, mean * factor, unit, count, scaled)


Guess = Callable[[Windows], Float[np.ndarray, "windows chunk 36"]]


def scores(
    policies: dict[str, NetworkPolicy], windows: Windows, mean: Float[np.ndarray, "36"], batch: int = 16
) -> list[ChunkErrors]:
    """Policies by name, and behind them the two guesses, on the same windows."""
    found = [score(name, ask_all(policy, windows, batch), windows) for name, policy in policies.items()]
    guesses: Sequence[tuple[str, Guess]] = (("hold", hold), ("mean step", lambda some: mean_step(some, mean)))
    return found + [score(name, guess(windows), windows) for name, guess in guesses]
