"""How long a robot takes to do what it is told: the delay between commands and measured angles, and its correction.

A joint follows its command some frames later. The delay is where the cross-correlation of the two is highest, refined
between frames by a parabola through the three values around the peak; joints that hardly move have no say. It is the
whole delay, transport and the drive's own slowness together, for that is what shifting commands can correct. Arms and
hands of one robot differ much, so every joint has its own.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from vitra_lib.core.errors import BadInput


@dataclass(frozen=True)
class LagConfig:
    """How the delay is measured.

    Attributes:
        max_lag_s: longest delay looked for.
        min_range: joints whose command spans less than this have no say [unit of the joint].
        min_correlation: joints whose best correlation is lower have no say.
    """

    max_lag_s: float = 0.5
    min_range: float = 0.2
    min_correlation: float = 0.9

    def __post_init__(self) -> None:
        if not (self.max_lag_s > 0 and self.min_range >= 0 and 0 <= self.min_correlation < 1):
            raise BadInput("LagConfig: max_lag_s is above 0, min_range 0 or more, min_correlation in [0, 1).")


@dataclass(frozen=True, eq=False)
class Lag:
    """The delay of one episode or of several.

    Attributes:
        lag_s: median over the joints that move; NaN when none does.
        joint_lag_s: (joint,) delay of each; NaN where it has no say.
        joint_correlation: (joint,) correlation at that delay; NaN where the joint doesn't move.
        fps: frames per second [1/s].
    """

    lag_s: float
    joint_lag_s: Float[np.ndarray, " joint"]
    joint_correlation: Float[np.ndarray, " joint"]
    fps: float

    @property
    def frames(self) -> float:
        """The delay in frames."""
        return self.lag_s * self.fps


def measure_lag(
    commands: list[Float[np.ndarray, "_ _"]],
    states: list[Float[np.ndarray, "_ _"]],
    fps: float,
    config: LagConfig | None = None,
) -> Lag:
    """Delay between commands and states of one or more episodes of one robot.

    Args:
        commands, states: (time, joint) per episode, in the same unit and order of joints.
        fps: frames per second [1/s].
        config: how to measure.

    Raises:
        BadInput: lists or shapes that don't fit, or an episode shorter than the delays looked for.
    """
    config = config or LagConfig()
    longest = int(round(config.max_lag_s * fps))
    if not commands or len(commands) != len(states) or not fps > 0:
        raise BadInput("The delay needs as many command arrays as state arrays, and a frame rate above 0.")
    for command, state in zip(commands, states, strict=True):
        if command.shape != state.shape or len(command) < 2 * longest:
            raise BadInput(
                f"Commands {command.shape} and states {state.shape} must have one shape and "
                f"{2 * longest} frames or more to find delays up to {config.max_lag_s:g} s."
            )
    scores = _correlation(commands, states, longest)
    spans = np.max([np.ptp(command, axis=0) for command in commands], axis=0)
    best = np.argmax(scores, axis=0)
    joints = np.arange(scores.shape[1])
    top = scores[best, joints]
    counts = (spans >= config.min_range) & (top >= config.min_correlation) & (best < longest)
    lags = np.where(counts, (best + _between(scores, best)) / fps, np.nan)
    return Lag(
        lag_s=float(np.median(lags[counts])) if counts.any() else float("nan"),
        joint_lag_s=lags,
        joint_correlation=np.where(spans >= config.min_range, top, np.nan),
        fps=float(fps),
    )


def align_commands(
    commands: Float[np.ndarray, "time joint"], lag_s: Float[np.ndarray, " joint"], fps: float
) -> tuple[Float[np.ndarray, "time joint"], Bool[np.ndarray, " time"]]:
    """The commands at the frames in which the robot does them: what was sent `lag_s` earlier.

    Args:
        commands: (time, joint) as recorded.
        lag_s: delay of each joint; between frames the commands are interpolated. NaN leaves a joint as it is.
        fps: frames per second [1/s].

    Returns:
        (time, joint) and (time,) True where all commands were recorded; before that the first command is repeated.

    Raises:
        BadInput: a delay is negative or infinite, or there are not as many as joints.
    """
    lag_s = np.nan_to_num(lag_s, nan=0.0)
    if lag_s.shape != commands.shape[1:] or (lag_s < 0).any() or np.isinf(lag_s).any():
        raise BadInput(f"{commands.shape[1]} delays of 0 s or more are needed to align these commands.")
    frame = np.arange(len(commands), dtype=float)
    moved = [np.interp(frame - lag * fps, frame, column) for lag, column in zip(lag_s, commands.T, strict=True)]
    return np.stack(moved, axis=1).astype(commands.dtype), frame >= lag_s.max(initial=0.0) * fps


def _correlation(commands: list[np.ndarray], states: list[np.ndarray], longest: int) -> np.ndarray:
    """(lag, joint) correlation about the means, summed over episodes, for lags 0 to `longest`."""
    rows = []
    for lag in range(longest + 1):
        product = power_a = power_b = 0.0
        for command, state in zip(commands, states, strict=True):
            # The same stretch of commands for every lag, so that the lags are judged on equal terms.
            a = command[: len(command) - longest]
            b = state[lag : lag + len(a)]
            a, b = a - a.mean(0), b - b.mean(0)
            product, power_a, power_b = product + (a * b).sum(0), power_a + (a * a).sum(0), power_b + (b * b).sum(0)
        rows.append(product / np.sqrt(np.maximum(power_a * power_b, 1e-300)))
    return np.array(rows)


def _between(scores: np.ndarray, best: np.ndarray) -> np.ndarray:
    """(joint,) offset of the peak of a parabola through three lags, in (-0.5, 0.5); 0 at the ends."""
    joints, inner = np.arange(scores.shape[1]), np.clip(best, 1, len(scores) - 2)
    low, mid, high = (scores[inner + d, joints] for d in (-1, 0, 1))
    bend = low - 2 * mid + high
    offset = np.where(bend < 0, 0.5 * (low - high) / np.where(bend < 0, bend, -1.0), 0.0)
    return np.where(inner == best, np.clip(offset, -0.5, 0.5), 0.0)
