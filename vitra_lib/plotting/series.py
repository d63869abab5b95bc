"""Things over time: curves with units, frames in which something was seen, boundaries of several rules."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from matplotlib.axes import Axes

from vitra_lib.plotting.style import COLOURS, colour_of, new_axes


def plot_series(
    times_s: Float[np.ndarray, " time"],
    series: Mapping[str, Shaped[np.ndarray, " time"]],
    label: str,
    colours: Mapping[str, str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Curves over time; NaN breaks a curve, and a curve that is NaN everywhere is left out.

    Args:
        times_s: times [s].
        series: name -> values. A name that has a fixed colour ("left", "truth"…) gets it.
        label: what is shown, with its unit ("wrist depth [m]").
        colours: name -> name of a fixed colour, for curves whose own name has none.
        ax: axes to draw on; None makes some.
    """
    ax = ax or new_axes(7.5, 2.4)
    for name, values in series.items():
        if not np.isfinite(values.astype(float)).any():
            continue
        key = (colours or {}).get(name, name)
        colour = colour_of(key) if key in COLOURS else None
        ax.plot(times_s, values, label=name, color=colour, linewidth=1.3)
    ax.set_xlabel("time [s]")
    ax.set_ylabel(label)
    if len(times_s):
        ax.set_xlim(times_s[0], times_s[-1])
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return ax


def plot_seen(
    times_s: Float[np.ndarray, " time"],
    seen: Mapping[str, Bool[np.ndarray, " time"]],
    colours: Mapping[str, str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """One row per name with a bar wherever it is True: when a hand was seen, and by what.

    Args:
        times_s: times [s], increasing.
        seen: name -> flag per frame; the first row is on top.
        colours: name -> name of a fixed colour ("left", "right", "truth"…).
        ax: axes to draw on; None makes some.
    """
    ax = ax or new_axes(7.5, 0.6 + 0.28 * len(seen))
    step = float(np.median(np.diff(times_s))) if len(times_s) > 1 else 1.0
    for row, (name, flags) in enumerate(seen.items()):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(int), [0]])))
        bars = [(times_s[a], times_s[b - 1] + step - times_s[a]) for a, b in zip(edges[::2], edges[1::2], strict=True)]
        ax.broken_barh(bars, (row - 0.36, 0.72), facecolor=colour_of((colours or {}).get(name, "ours")), linewidth=0)
    ax.set_yticks(range(len(seen)), list(seen))
    ax.set_ylim(len(seen) - 0.4, -0.6)
    if len(times_s):
        ax.set_xlim(times_s[0], times_s[-1] + step)
    ax.set_xlabel("time [s]")
    return ax


def plot_boundaries(
    times_s: Float[np.ndarray, " time"],
    boundaries: Mapping[str, Int[np.ndarray, " _"]],
    tolerance_frames: int = 5,
    colours: Mapping[str, str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Boundaries of several rules as ticks, one row each; the row "truth" also shades what counts as a hit.

    Args:
        times_s: times of the frames [s].
        boundaries: name -> frame indices; rows without any stay empty.
        tolerance_frames: half width of the shade around true boundaries.
        colours: name -> name of a fixed colour.
        ax: axes to draw on; None makes some.
    """
    ax = ax or new_axes(7.5, 0.7 + 0.32 * len(boundaries))
    last = len(times_s) - 1
    for frame in boundaries.get("truth", np.zeros(0, int)):
        span = times_s[[max(frame - tolerance_frames, 0), min(frame + tolerance_frames, last)]]
        ax.axvspan(*span, color=colour_of("truth"), alpha=0.1, linewidth=0)
    for row, (name, frames) in enumerate(boundaries.items()):
        key = (colours or {}).get(name, name)
        colour = colour_of(key if key in COLOURS else "ours")
        ax.vlines(times_s[np.minimum(frames, last)], row - 0.36, row + 0.36, color=colour, linewidth=2.0)
    ax.set_yticks(range(len(boundaries)), list(boundaries))
    ax.set_ylim(len(boundaries) - 0.4, -0.6)
    if len(times_s):
        ax.set_xlim(times_s[0], times_s[-1])
    ax.set_xlabel("time [s]")
    return ax


def plot_window(
    times_s: Float[np.ndarray, " time"],
    speed: Float[np.ndarray, " time"],
    cut: int,
    window_s: float,
    ax: Axes | None = None,
) -> Axes:
    """A speed curve around one cut, with the window in which the cut is the lowest point.

    Args:
        times_s: times [s].
        speed: [m/s], NaN where unknown.
        cut: frame of the cut.
        window_s: full width of the window [s].
        ax: axes to draw on; None makes some.
    """
    ax = ax or new_axes(5.0, 2.4)
    at = float(times_s[cut])
    near = np.abs(times_s - at) <= 1.5 * window_s
    ax.axvspan(at - window_s / 2, at + window_s / 2, color=colour_of("ours"), alpha=0.15, linewidth=0)
    ax.plot(times_s[near], speed[near], ".-", color=colour_of("truth"), linewidth=1.0, markersize=4)
    ax.plot([at], [speed[cut]], "o", color=colour_of("val"), markersize=7)
    ax.set_ylim(bottom=0)
    ax.set_xlabel("time [s]")
    ax.set_ylabel("wrist speed [m/s]")
    return ax
