"""Wrist speed through time with the cuts on it: what the segmentation saw and what it decided."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from vitra_lib.contracts import Segment, Segmentation
from vitra_lib.contracts.hand_track import SIDES, Side
from vitra_lib.plotting.style import colour_of, new_axes


def plot_wrist_speed(
    segmentation: Segmentation, times_s: Float[np.ndarray, " time"], side: Side, ax: Axes | None = None
) -> Axes:
    """World speed of one wrist, its cuts as vertical lines, accepted segments shaded.

    Args:
        segmentation: speed, cuts and segments.
        times_s: times of the frames [s].
        side: which hand.
        ax: axes to draw on; None makes some.
    """
    ax = ax or new_axes(7.5, 2.4)
    speed = np.asarray(segmentation.speed.get(side, np.full(len(times_s), np.nan)))
    ax.plot(times_s, speed, color=colour_of(side), linewidth=1.4)
    for segment in segmentation.segments:
        if segment.side == side:
            start, stop = times_s[segment.start], _end(times_s, segment.stop)
            ax.axvspan(start, stop, color=colour_of(side), alpha=0.12, linewidth=0)
    for cut in np.asarray(segmentation.cuts.get(side, []), int).tolist():
        ax.axvline(_end(times_s, cut), color="#333333", linewidth=0.8, linestyle="--")
    if np.isfinite(speed).any():
        ax.set_ylim(0, max(np.nanmax(speed) * 1.08, 0.05))
    else:
        ax.text(0.5, 0.5, f"{side} hand not seen", transform=ax.transAxes, ha="center", va="center", color="#777777")
        ax.set_ylim(0, 1)
    if len(times_s):
        ax.set_xlim(times_s[0], _end(times_s, len(times_s)))
    ax.set_xlabel("time [s]")
    ax.set_ylabel(f"{side} wrist speed [m/s]")
    return ax


def plot_segments(segments: Sequence[Segment], times_s: Float[np.ndarray, " time"], ax: Axes | None = None) -> Axes:
    """Segments of both hands as bars over time."""
    ax = ax or new_axes(7.5, 1.6)
    for row, side in enumerate(SIDES):
        bars = [(times_s[s.start], _end(times_s, s.stop) - times_s[s.start]) for s in segments if s.side == side]
        ax.broken_barh(bars, (row - 0.35, 0.7), facecolor=colour_of(side), edgecolor="white", linewidth=1.5)
    ax.set_yticks(range(len(SIDES)), SIDES)
    ax.set_ylim(-0.6, len(SIDES) - 0.4)
    if len(times_s):
        ax.set_xlim(times_s[0], _end(times_s, len(times_s)))
    ax.set_xlabel("time [s]")
    ax.set_ylabel("hand")
    return ax


def _end(times_s: Float[np.ndarray, " time"], stop: int) -> float:
    """Time at which a half-open interval ends [s]; one frame after the last one at the end of the video."""
    if stop < len(times_s):
        return float(times_s[stop])
    return float(times_s[-1] + (times_s[-1] - times_s[-2] if len(times_s) > 1 else 0.0))
