"""Which frames of a wrist path in the world can't be true: jumps, flips, impossible speeds, too short sightings."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from vitra_lib.core.errors import BadInput
from vitra_lib.geometry.rotations import geodesic_angle
from vitra_lib.geometry.smoothing import fill_rotations, running_median

_EPS_S = 1e-6
_GAUSSIAN_MAD = 1.4826


@dataclass(frozen=True)
class CleaningConfig:
    """Thresholds of the cleaning; the same runs (sightings that belong together) are later filled and smoothed.

    Attributes:
        median_window_s: window of the running median [s].
        outlier_mads: a frame further from the median than this many robust standard deviations is dropped...
        outlier_floor_m: ... unless it's within this distance [m]: a fast reach bends away from its median too.
        outlier_turn_rad: wrist turned more than this against both neighbours, which agree: dropped [rad].
        max_speed: no wrist moves faster [m/s]...
        jump_floor_m: ... by more than this distance, which one frame's noise may add [m].
        max_gap_s: longest time between two sightings of one run [s]; exactly this long still belongs together.
        min_run_s: shortest run that is kept [s]; exactly this long is kept.
    """

    median_window_s: float = 0.35
    outlier_mads: float = 5.0
    outlier_floor_m: float = 0.05
    outlier_turn_rad: float = 0.8
    max_speed: float = 6.0
    jump_floor_m: float = 0.05
    max_gap_s: float = 0.3
    min_run_s: float = 0.2

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value >= 0:
                raise BadInput(f"CleaningConfig.{name} must be 0 or more, not {value}.")


@dataclass(frozen=True)
class WristPath:
    """A wrist in the world; values are meaningful where `is_valid`.

    Attributes:
        R: (time, 3, 3) rotation of the wrist frame into the world.
        t: (time, 3) wrist joint in the world [m].
        times_s: (time,) [s].
        is_valid: (time,).
    """

    R: Float[np.ndarray, "time 3 3"]
    t: Float[np.ndarray, "time 3"]
    times_s: Float[np.ndarray, " time"]
    is_valid: Bool[np.ndarray, " time"]


def clean(path: WristPath, config: CleaningConfig) -> dict[str, Bool[np.ndarray, " time"]]:
    """Find what has to go, one rule after the other, each on what the earlier ones left.

    Returns:
        Dropped frames per reason: "outlier_position", "outlier_rotation", "impossible_speed", "short_track".
    """
    dropped = {}
    for reason, find in _RULES.items():
        bad = find(path, config) & path.is_valid
        dropped[reason] = bad
        path = WristPath(path.R, path.t, path.times_s, path.is_valid & ~bad)
    return dropped


def find_runs(path: WristPath, config: CleaningConfig) -> list[Int[np.ndarray, " frames"]]:
    """Valid frames that belong together: no gap longer than `max_gap_s`, no impossible step."""
    frames = np.flatnonzero(path.is_valid)
    if len(frames) == 0:
        return []
    step_s = np.diff(path.times_s[frames])
    is_cut = (step_s > config.max_gap_s + _EPS_S) | _too_fast(path, frames, config)
    return np.split(frames, np.flatnonzero(is_cut) + 1)


def frame_period(times_s: Float[np.ndarray, " time"]) -> float:
    """Median time between frames [s]; 0 for a single frame."""
    return float(np.median(np.diff(times_s))) if len(times_s) > 1 else 0.0


def _too_fast(path: WristPath, frames: np.ndarray, config: CleaningConfig) -> np.ndarray:
    distance = np.linalg.norm(np.diff(path.t[frames], axis=0), axis=-1)
    return distance > config.max_speed * np.diff(path.times_s[frames]) + config.jump_floor_m


def _split_at_gaps(path: WristPath, config: CleaningConfig) -> list[np.ndarray]:
    frames = np.flatnonzero(path.is_valid)
    is_cut = np.diff(path.times_s[frames]) > config.max_gap_s + _EPS_S
    return np.split(frames, np.flatnonzero(is_cut) + 1) if len(frames) else []


def _position_outliers(path: WristPath, config: CleaningConfig) -> np.ndarray:
    distance = np.zeros(len(path.t))
    for run in _split_at_gaps(path, config):
        dense = np.arange(run[0], run[-1] + 1)  # missing frames on a line, so that gaps do not make windows lopsided
        t = np.stack([np.interp(path.times_s[dense], path.times_s[run], x) for x in path.t[run].T], axis=-1)
        median = running_median(t, path.times_s[dense], config.median_window_s)
        distance[run] = np.linalg.norm(t - median, axis=-1)[run - run[0]]
    if not path.is_valid.any():
        return np.zeros(len(path.t), bool)
    spread = _GAUSSIAN_MAD * np.median(distance[path.is_valid])
    return distance > max(config.outlier_mads * spread, config.outlier_floor_m)


def _rotation_outliers(path: WristPath, config: CleaningConfig) -> np.ndarray:
    bad = np.zeros(len(path.t), bool)
    for run in _split_at_gaps(path, config):
        if len(run) < 3:
            continue
        R, times = path.R[run], path.times_s[run]
        turn = np.zeros(len(run))
        for parity in (0, 1):  # frames of one parity between their neighbours, which are of the other
            inner = np.arange(1 + parity, len(run) - 1, 2)
            between = np.arange(parity, len(run), 2)
            turn[inner] = geodesic_angle(R[inner], fill_rotations(R[between], times[between], times[inner]))
        apart = geodesic_angle(R[:-2], R[2:])
        bad[run[1:-1]] = (turn[1:-1] > config.outlier_turn_rad) & (apart < config.outlier_turn_rad)
    return bad


def _impossible_pieces(path: WristPath, config: CleaningConfig) -> np.ndarray:
    """Short pieces between impossible steps: of two places at once the one that lasts is believed."""
    is_valid = path.is_valid.copy()
    while True:
        current = WristPath(path.R, path.t, path.times_s, is_valid)
        worst = None
        for run in _split_at_gaps(current, config):
            cuts = np.flatnonzero(_too_fast(path, run, config)) + 1
            if len(cuts):
                shortest = min(np.split(run, cuts), key=len)
                is_short = _duration(shortest, path.times_s) < config.min_run_s - _EPS_S
                if is_short and (worst is None or len(shortest) < len(worst)):
                    worst = shortest
        if worst is None:
            return path.is_valid & ~is_valid
        is_valid[worst] = False


def _short_runs(path: WristPath, config: CleaningConfig) -> np.ndarray:
    bad = np.zeros(len(path.t), bool)
    for run in find_runs(path, config):
        if _duration(run, path.times_s) < config.min_run_s - _EPS_S:
            bad[run] = True
    return bad


def _duration(run: np.ndarray, times_s: np.ndarray) -> float:
    """Time covered by a run, its last frame included [s]."""
    return float(times_s[run[-1]] - times_s[run[0]]) + frame_period(times_s)


_RULES: dict[str, Callable[[WristPath, CleaningConfig], np.ndarray]] = {
    "outlier_position": _position_outliers,
    "outlier_rotation": _rotation_outliers,
    "impossible_speed": _impossible_pieces,
    "short_track": _short_runs,
}
