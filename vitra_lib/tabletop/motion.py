"""How a wrist and its fingers move: minimum-jerk speed on curved paths, slow variability, preshaping fingers.

Facts behind the numbers: point-to-point reaches have a bell-shaped, minimum-jerk speed profile (Flash & Hogan 1985)
whose peak comes a little before the middle; the aperture of the fingers peaks at about two thirds of a reach
(Jeannerod 1984). Speed is therefore near zero where two actions meet, which is what the paper's rule cuts at.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d

from vitra_lib.geometry.rotations import exp, log
from vitra_lib.geometry.transforms import invert

_ARC_SAMPLES = 129


def minimum_jerk(u: Float[np.ndarray, " time"], skew: float = 1.0) -> Float[np.ndarray, " time"]:
    """Path fraction at time fraction u in [0, 1]: 10 w^3 - 15 w^4 + 6 w^5 with w = u^skew.

    Args:
        u: (time,) share of the movement time; clipped to [0, 1].
        skew: below 1 the speed peak comes before the middle.
    """
    w = np.clip(u, 0.0, 1.0) ** skew
    return w**3 * (10.0 - 15.0 * w + 6.0 * w * w)


@dataclass(frozen=True)
class Move:
    """One movement of a wrist between two standstills.

    Attributes:
        start_s, stop_s: when it moves [s].
        T_table_start, T_table_stop: (4, 4) wrist pose at both ends; maps points in the wrist to the table.
        depart, arrive: (3,) offsets [m] of the inner Bezier control points from the start and from the stop.
        pivot: None, or (axis (3,), point (3,), angle): the wrist turns rigidly about a line in the table frame
            [unit vector, m, rad]; then `depart` and `arrive` are not used.
        skew: time skew of `minimum_jerk`.
        tremor: 0 = none, 1 = free; held back while something stands on the table.
    """

    start_s: float
    stop_s: float
    T_table_start: Float[np.ndarray, "4 4"]
    T_table_stop: Float[np.ndarray, "4 4"]
    depart: Float[np.ndarray, "3"] = field(default_factory=lambda: np.zeros(3))
    arrive: Float[np.ndarray, "3"] = field(default_factory=lambda: np.zeros(3))
    pivot: tuple[np.ndarray, np.ndarray, float] | None = None
    skew: float = 0.92
    tremor: float = 1.0

    def sample(self, times_s: Float[np.ndarray, " time"]) -> Float[np.ndarray, "time 4 4"]:
        """Wrist poses (time, 4, 4) at times [s], without tremor; constant outside the movement."""
        s = minimum_jerk((times_s - self.start_s) / (self.stop_s - self.start_s), self.skew)
        if self.pivot is not None:
            axis, point, angle = self.pivot
            return turn_about(axis, point, angle * s) @ self.T_table_start
        T = np.tile(np.eye(4), (len(times_s), 1, 1))
        R0, R1 = self.T_table_start[:3, :3], self.T_table_stop[:3, :3]
        T[:, :3, :3] = R0 @ exp(s[:, None] * log(R0.T @ R1))
        T[:, :3, 3] = self._at_arc(s)
        return T

    def _at_arc(self, s: Float[np.ndarray, " time"]) -> Float[np.ndarray, "time 3"]:
        """Positions at fractions of the curve's length, so that the speed profile is the bell itself."""
        p0, p3 = self.T_table_start[:3, 3], self.T_table_stop[:3, 3]
        v = np.linspace(0.0, 1.0, _ARC_SAMPLES)[:, None]
        control = (p0, p0 + self.depart, p3 + self.arrive, p3)
        weights = ((1 - v) ** 3, 3 * v * (1 - v) ** 2, 3 * v**2 * (1 - v), v**3)
        curve = sum(w * c for w, c in zip(weights, control, strict=True))
        length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(curve, axis=0), axis=1))])
        if length[-1] < 1e-9:
            return np.tile(p0, (len(s), 1))
        return np.stack([np.interp(s * length[-1], length, curve[:, k]) for k in range(3)], axis=1)


def turn_about(
    axis: Float[np.ndarray, "3"], point: Float[np.ndarray, "3"], angle: Float[np.ndarray, " time"]
) -> Float[np.ndarray, "time 4 4"]:
    """Rotations (time, 4, 4) by angles [rad] about the line through a point [m] along a unit axis, in one frame."""
    T = np.tile(np.eye(4), (len(angle), 1, 1))
    T[:, :3, :3] = exp(angle[:, None] * axis)
    T[:, :3, 3] = point - T[:, :3, :3] @ point
    return T


@dataclass(frozen=True)
class Tremor:
    """Slow human variability around the planned path.

    Attributes:
        position_m: standard deviation per axis of the position [m].
        rotation_rad: standard deviation per axis of the orientation [rad].
        correlation_s: width of the Gaussian that smooths white noise [s].
    """

    position_m: float = 0.0012
    rotation_rad: float = 0.012
    correlation_s: float = 0.16

    def sample(self, count: int, fps: float, rng: np.random.Generator) -> Float[np.ndarray, "time 6"]:
        """(time, 6) noise: position [m], rotation vector [rad]."""
        noise = gaussian_filter1d(rng.normal(size=(count + 200, 6)), self.correlation_s * fps, axis=0)[
            100 : 100 + count
        ]
        noise /= max(float(noise.std()), 1e-9)
        return noise * np.repeat([self.position_m, self.rotation_rad], 3)


def wrist_path(
    moves: Sequence[Move], times_s: Float[np.ndarray, " time"], tremor: Float[np.ndarray, "time 6"]
) -> Float[np.ndarray, "time 4 4"]:
    """Wrist poses of a chain of moves; the wrist stands still between them.

    Tremor is faded to nothing at both ends of every move, so that a hand which holds something that stands on the
    table does not shake it.

    Args:
        moves: in order of time, each starting where the last one stopped.
        times_s: (time,) increasing times [s].
        tremor: (time, 6) noise of `Tremor.sample`.

    Returns:
        (time, 4, 4) maps points in the wrist to the table.
    """
    T = np.tile(moves[0].T_table_start, (len(times_s), 1, 1))
    for move in moves:
        after = times_s >= move.start_s
        T[after] = move.sample(times_s[after])
        inside = np.flatnonzero((times_s >= move.start_s) & (times_s <= move.stop_s))
        u = (times_s[inside] - move.start_s) / (move.stop_s - move.start_s)
        fade = move.tremor * np.clip(np.minimum(u, 1 - u) / 0.25, 0.0, 1.0)[:, None]
        fade = fade * fade * (3 - 2 * fade)
        T[inside, :3, 3] += fade * tremor[inside, :3]
        T[inside, :3, :3] = T[inside, :3, :3] @ exp(fade * tremor[inside, 3:])
    return T


def finger_path(
    keys: Sequence[tuple[float, np.ndarray]], times_s: Float[np.ndarray, " time"]
) -> Float[np.ndarray, "time 15 3"]:
    """Finger angles through key poses, at rest at each of them (minimum jerk in between).

    Args:
        keys: (time [s], (15, 3) static-xyz Euler angles [rad]) in order of time; keys closer than 20 ms to
            their predecessor replace it.
        times_s: (time,) times [s].
    """
    kept: list[tuple[float, np.ndarray]] = []
    for key in keys:
        if kept and key[0] - kept[-1][0] < 0.02:
            kept[-1] = (kept[-1][0], key[1])
        else:
            kept.append(key)
    at = np.array([time for time, _ in kept])
    poses = np.stack([pose for _, pose in kept])
    i = np.clip(np.searchsorted(at, times_s, side="right") - 1, 0, len(at) - 1)
    j = np.minimum(i + 1, len(at) - 1)
    span = np.where(j > i, at[j] - at[i], 1.0)
    s = np.where(j > i, minimum_jerk((times_s - at[i]) / span), 0.0)
    return poses[i] + s[:, None, None] * (poses[j] - poses[i])


def between(T_table_a: Float[np.ndarray, "4 4"], T_table_b: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "4 4"]:
    """`T_a_b` of two poses in the table frame."""
    return invert(T_table_a) @ T_table_b
