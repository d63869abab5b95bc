"""One look at a whole reconstruction: where things went, when and how surely each hand was known, how fast it was."""

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vitra_lib.contracts import Reconstruction
from vitra_lib.contracts.hand_track import SIDES
from vitra_lib.geometry.smoothing import velocity
from vitra_lib.plotting.paths import plot_paths_3d, plot_paths_top
from vitra_lib.plotting.style import colour_of, new_axes, new_figure, styled

_SPEED_WINDOW_S = 0.12


def plot_confidence(reconstruction: Reconstruction, ax: Axes | None = None) -> Axes:
    """Confidence of both hands over time; thin bars below mark frames that were seen (dark) or filled (light)."""
    ax = ax or new_axes(7.5, 2.2)
    times = reconstruction.time_s
    for row, side in enumerate(SIDES):
        hand = reconstruction.hand(side)
        colour = colour_of(side)
        ax.plot(times, np.where(hand.is_valid, hand.confidence, np.nan), color=colour, linewidth=1.3, label=side)
        for flags, alpha in ((hand.is_valid & hand.is_observed, 1.0), (hand.is_valid & ~hand.is_observed, 0.35)):
            height = np.full(flags.sum(), -0.08 - 0.09 * row)
            ax.plot(times[flags], height, "|", color=colour, alpha=alpha, markersize=5)
    ax.set_ylim(-0.25, 1.05)
    ax.set_yticks([0, 0.5, 1])
    ax.set_xlabel("time [s]")
    ax.set_ylabel("confidence [0 to 1]")
    ax.legend(loc="upper right", ncols=2)
    return ax


def plot_confidence_against_error(
    confidence: Float[np.ndarray, " frames"], error_m: Float[np.ndarray, " frames"], ax: Axes | None = None
) -> Axes:
    """Each frame's confidence and true error, with the median error of ten groups of equal size.

    Args:
        confidence: in [0, 1].
        error_m: distance of the wrist from the true one [m]; frames without truth (NaN) are left out.
        ax: axes to draw on.
    """
    ax = ax or new_axes(6.0, 3.2)
    known = np.isfinite(error_m) & np.isfinite(confidence)
    x, y = confidence[known], 100 * error_m[known]
    ax.plot(x, y, ".", color=colour_of("ours"), markersize=3, alpha=0.4, label="one frame")
    groups = [g for g in np.array_split(np.argsort(x, kind="stable"), 10) if len(g)]
    middle = [(np.median(x[g]), np.median(y[g])) for g in groups]
    if middle:
        black = colour_of("truth")
        ax.plot(*np.array(middle).T, "o-", color=black, markersize=4, linewidth=1.2, label="median of a tenth")
        ax.legend(loc="best")
    ax.set_xlabel("confidence [0 to 1]")
    ax.set_ylabel("true wrist error [cm]")
    ax.set_ylim(bottom=0)
    return ax


def plot_reconstruction(reconstruction: Reconstruction) -> Figure:
    """Paths in 3-D and from above, confidence and world speed of both wrists."""
    figure = new_figure(10.0, 7.5)
    with styled():
        grid = figure.add_gridspec(3, 2, height_ratios=(2.2, 1, 1))
        plot_paths_3d(reconstruction, figure.add_subplot(grid[0, 0], projection="3d"))
        plot_paths_top(reconstruction, figure.add_subplot(grid[0, 1]))
        plot_confidence(reconstruction, figure.add_subplot(grid[1, :]))
        _plot_speeds(reconstruction, figure.add_subplot(grid[2, :]))
    figure.suptitle(f"{reconstruction.video_name}: {len(reconstruction)} frames at {reconstruction.fps:.3g} frames/s")
    return figure


def _plot_speeds(reconstruction: Reconstruction, ax: Axes) -> Axes:
    for side in SIDES:
        hand = reconstruction.hand(side)
        edges = np.flatnonzero(np.diff(np.concatenate([[0], hand.is_valid.astype(int), [0]])))
        wrist = reconstruction.t_world_wrist(side)
        for start, stop in zip(edges[::2], edges[1::2], strict=True):
            times = reconstruction.time_s[start:stop]
            speed = np.linalg.norm(velocity(wrist[start:stop], times, _SPEED_WINDOW_S), axis=-1)
            ax.plot(times, speed, color=colour_of(side), linewidth=1.3)
    ax.set_ylim(bottom=0)
    ax.set_xlabel("time [s]")
    ax.set_ylabel("wrist speed [m/s]")
    return ax
