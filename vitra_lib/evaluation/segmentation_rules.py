"""The rules that a segmentation is compared with, and the noise that a perfect track is tried under."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from vitra_lib.contracts import Segmentation
from vitra_lib.segmentation import SegmentationConfig, WristPath, merged_cuts, segment_path

OURS = "minima + pauses"
MERGED = "minima + pauses, repeats merged"
TURNING = "minima + turning points, repeats merged"
LETTER = "minima to the letter"
NAIVE = "minima, no smoothing"
FIXED = "fixed 1 s"
RANDOM = "uniform random"

_SIDE = "right"  # one path at a time: which hand it is makes no difference


@dataclass(frozen=True)
class Prediction:
    """What a rule says about one path.

    Attributes:
        boundary_s: (n,) times at which it cuts, without the first and last frame of the track [s].
        action_s: (m, 2) start and stop of the actions it keeps [s].
    """

    boundary_s: Float[np.ndarray, " n"]
    action_s: Float[np.ndarray, "m 2"]


@dataclass(frozen=True)
class TrackNoise:
    """What tracking adds to a wrist path.

    Attributes:
        white_m: jitter of every frame by itself [m].
        correlated_m: jitter that lasts [m]...
        correlation_s: ...for about so long [s].
        drift_m: error that changes over a second [m].
        lost: share of frames in which the hand is lost, for up to 0.4 s at a time.
    """

    white_m: float | int = 0.0
    correlated_m: float | int = 0.0
    correlation_s: float | int = 0.2
    drift_m: float | int = 0.0
    lost: float | int = 0.0


NOISE_LEVELS = {
    "truth": TrackNoise(),
    "3 mm jitter": TrackNoise(white_m=0.003),
    "15 mm drift": TrackNoise(drift_m=0.015),
    "15 % lost": TrackNoise(lost=0.15),
    "3 mm jitter, 1 cm drift, 10 % lost": TrackNoise(white_m=0.003, drift_m=0.01, lost=0.1),
    "1 cm over 0.2 s, 2 mm jitter, 10 % lost": TrackNoise(white_m=0.002, correlated_m=0.01, lost=0.1),
}
"""Levels from none to worse than the default reconstruction."""


def with_noise(path: WristPath, noise: TrackNoise, rng: np.random.Generator) -> WristPath:
    """The path as a tracker might see it."""
    from scipy.ndimage import gaussian_filter1d

    count = len(path.time_s)
    fps = (count - 1) / (path.time_s[-1] - path.time_s[0])
    position = path.position + noise.white_m * rng.normal(size=(count, 3))
    for size, width_s in ((noise.correlated_m, noise.correlation_s), (noise.drift_m, 1.0)):
        slow = gaussian_filter1d(rng.normal(size=(count, 3)), width_s * fps, axis=0)
        position = position + size * slow / slow.std()
    is_valid = path.is_valid.copy()
    longest = max(round(0.4 * fps), 1)
    for start in rng.integers(0, count, round(2 * count * noise.lost / (longest + 1))):
        is_valid[start : start + rng.integers(1, longest + 1)] = False
    return replace(path, position=position, is_valid=is_valid)


def _by_cuts(path: WristPath, cuts: Int[np.ndarray, " cuts"], found: Segmentation) -> Prediction:
    """Cuts of a segmentation, and its accepted segments joined where no cut lies between them."""
    time_s = path.time_s
    actions: list[list[float]] = []
    kept = set(cuts.tolist())
    for s in found.segments:
        start, stop = float(time_s[s.start]), float(time_s[min(s.stop, len(time_s) - 1)])
        if actions and actions[-1][1] == start and s.start not in kept:
            actions[-1][1] = stop
        else:
            actions.append([start, stop])
    return Prediction(time_s[cuts[1:-1]], np.array(actions, float).reshape(-1, 2))


def _of_config(path: WristPath, config: SegmentationConfig, merge: bool = False) -> Prediction:
    found = segment_path(path, _SIDE, config)
    return _by_cuts(path, merged_cuts(found, _SIDE) if merge else found.cuts[_SIDE], found)


def _random(path: WristPath, rng: np.random.Generator) -> Prediction:
    """As many cuts as our rule makes, anywhere."""
    count = len(_of_config(path, SegmentationConfig()).boundary_s)
    frame = np.flatnonzero(path.is_valid)
    if len(frame) < 2:
        return Prediction(np.zeros(0), np.zeros((0, 2)))
    first, last = path.time_s[frame[[0, -1]]]
    cuts = np.sort(rng.uniform(first, last, count))
    ends = np.concatenate([[first], cuts, [last]])
    return Prediction(cuts, np.stack([ends[:-1], ends[1:]], axis=1))


Rule = Callable[[WristPath, np.random.Generator], Prediction]

COMPARED: dict[str, Rule] = {
    OURS: lambda path, rng: _of_config(path, SegmentationConfig()),
    MERGED: lambda path, rng: _of_config(path, SegmentationConfig(), merge=True),
    TURNING: lambda path, rng: _of_config(path, SegmentationConfig(min_pause_s=0), merge=True),
    LETTER: lambda path, rng: _of_config(path, SegmentationConfig.to_the_letter()),
    NAIVE: lambda path, rng: _of_config(path, SegmentationConfig.to_the_letter(smoothing_s=1e-6)),
    FIXED: lambda path, rng: _of_config(path, SegmentationConfig(rule="fixed-interval")),
    RANDOM: _random,
}
"""Ours in three variants, the paper's rule with and without smoothing, its ablation, and chance."""
