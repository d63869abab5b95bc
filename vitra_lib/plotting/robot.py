"""A robot's run: what was wished, sent and measured, where the safety layer stepped in, and how chunks were played."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from vitra_lib.geometry.cameras import project
from vitra_lib.plotting.picture import Picture
from vitra_lib.plotting.style import COLOURS, colour_of, new_axes, new_figure, styled
from vitra_lib.video.overlay import draw_path

_STEPS = (("wished", "control", 1.0), ("sent", "ours", 2.0), ("measured", "truth", 0.9))


def plot_commands(
    times_s: Float[np.ndarray, " time"],
    wished: Float[np.ndarray, "time joints"],
    sent: Float[np.ndarray, "time joints"],
    measured: Float[np.ndarray, "time joints"],
    names: Sequence[str],
) -> Figure:
    """One panel per joint: what was wished for, what was sent, what was measured.

    The height of a panel is that of what was sent and measured; wishes far outside leave it.

    Args:
        times_s: of the ticks [s].
        wished, sent, measured: angles [rad]; NaN where there was none.
        names: of the joints.
    """
    figure = new_figure(8.6, 1.5 * len(names) + 0.4)
    with styled():
        panels = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
    for joint, (ax, name) in enumerate(zip(panels, names, strict=True)):
        inside = np.concatenate([sent[:, joint], measured[:, joint]])
        low, high = np.nanmin(inside), np.nanmax(inside)
        room = 0.4 * max(high - low, 0.05)
        for (label, colour, width), values in zip(_STEPS, (wished, sent, measured), strict=True):
            ax.plot(times_s, values[:, joint], color=colour_of(colour), linewidth=width, label=label)
        ax.set_ylim(low - room, high + room)
        ax.set_ylabel(f"{name} [rad]")
    panels[0].legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    panels[-1].set_xlabel("time [s]")
    panels[-1].set_xlim(times_s[0], times_s[-1])
    return figure


def plot_interventions(
    times_s: Float[np.ndarray, " time"],
    stepped_in: Mapping[str, Bool[np.ndarray, " time"]],
    kinds: Mapping[str, str],
    attacks: Sequence[tuple[str, float, float]] = (),
    ax: Axes | None = None,
) -> Axes:
    """A timeline: one row per reason, a bar wherever the safety layer gave it.

    Args:
        times_s: of the ticks [s].
        stepped_in: reason -> flag per tick; the first one is on top.
        kinds: reason -> what the layer does then; reasons of one kind have one colour.
        attacks: (name, start, stop) of what was done to the robot, shaded and written above.
        ax: axes to draw on; None makes some.
    """
    ax = ax or new_axes(8.6, 0.9 + 0.3 * len(stepped_in))
    palette = ("train", "control", "left", "val", "right", "camera")
    order = list(dict.fromkeys(kinds[name] for name in stepped_in))
    colour = {kind: COLOURS[palette[k % len(palette)]] for k, kind in enumerate(order)}
    step = float(np.median(np.diff(times_s))) if len(times_s) > 1 else 1.0
    for number, (name, start, stop) in enumerate(attacks):
        ax.axvspan(start, stop, color=colour_of("truth"), alpha=0.07 if number % 2 else 0.12, linewidth=0)
        ax.text(start, -0.75, name, rotation=35, ha="left", va="bottom", fontsize=8)
    for row, (name, flags) in enumerate(stepped_in.items()):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(int), [0]])))
        bars = [(times_s[a], times_s[b - 1] + step - times_s[a]) for a, b in zip(edges[::2], edges[1::2], strict=True)]
        ax.broken_barh(bars, (row - 0.38, 0.76), facecolor=colour[kinds[name]], linewidth=0)
    ax.set_yticks(range(len(stepped_in)), list(stepped_in))
    ax.set_ylim(len(stepped_in) - 0.4, -0.6)
    if len(times_s):
        ax.set_xlim(times_s[0], times_s[-1] + step)
    ax.set_xlabel("time [s]")
    handles = [Patch(color=colour[kind], label=kind) for kind in order]
    ax.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return ax


def plot_shares_of_cap(
    times_s: Float[np.ndarray, " time"],
    shares: Mapping[str, Float[np.ndarray, " time"]],
    label: str,
    ax: Axes | None = None,
) -> Axes:
    """How much of a cap was used over time, on a logarithmic axis, with the cap at 1.

    Args:
        times_s: of the ticks [s].
        shares: name -> largest share over all joints; a name that has a fixed colour gets it.
        label: what is shown ("speed / cap").
        ax: axes to draw on; None makes some.
    """
    ax = ax or new_axes(8.6, 2.2)
    for name, values in shares.items():
        colour = next((c for step, c, _ in _STEPS if step == name), name)
        shown = np.where(values > 1e-3, values, np.nan)
        ax.plot(times_s, shown, label=name, linewidth=1.3, color=colour_of(colour) if colour in COLOURS else None)
    ax.axhline(1.0, color=colour_of("val"), linewidth=1.0, linestyle="--", label="cap")
    ax.set_yscale("log")
    ax.set_xlabel("time [s]")
    ax.set_ylabel(f"{label} [1]")
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return ax


def plot_chunks(
    chunks: Sequence[tuple[Float[np.ndarray, " _"], Float[np.ndarray, " _"]]],
    played: Mapping[str, tuple[Float[np.ndarray, " _"], Float[np.ndarray, " _"]]],
    label: str,
    ax: Axes | None = None,
) -> Axes:
    """Overlapping chunks of one joint, and what came of them.

    Args:
        chunks: times [s] and values of each chunk, its start first.
        played: name -> times [s] and values; "wished", "sent" and "measured" have their own colours.
        label: what is shown, with its unit.
        ax: axes to draw on; None makes some.
    """
    ax = ax or new_axes(8.6, 2.8)
    for number, (times, values) in enumerate(chunks):
        name = f"chunks ({len(chunks)})" if number == 0 else None
        ax.plot(times, values, ".-", color=colour_of("train"), linewidth=0.8, markersize=2.5, alpha=0.75, label=name)
        ax.plot(times[:1], values[:1], "o", color=colour_of("right"), markersize=3.5)
    for name, (times, values) in played.items():
        colour, width = next(((c, w) for step, c, w in _STEPS if step == name), (name, 1.4))
        ax.plot(times, values, color=colour_of(colour) if colour in COLOURS else None, linewidth=width, label=name)
    ax.set_xlabel("time [s]")
    ax.set_ylabel(label)
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return ax


def plot_latencies(latencies_ms: Mapping[str, Float[np.ndarray, " _"]], ax: Axes | None = None) -> Axes:
    """Times of requests as dots, one row per kind of request, with their medians; logarithmic.

    Args:
        latencies_ms: name -> time of each request [ms].
        ax: axes to draw on; None makes some.
    """
    ax = ax or new_axes(7.5, 0.8 + 0.5 * len(latencies_ms))
    for row, values in enumerate(latencies_ms.values()):
        spread = np.linspace(-0.25, 0.25, len(values))  # the order of the requests, so that a slow first one shows
        ax.plot(values, row + spread, ".", color=colour_of("ours"), markersize=4, alpha=0.7)
        median = float(np.median(values))
        ax.plot([median, median], [row - 0.38, row + 0.38], color=colour_of("truth"), linewidth=1.6)
        ax.annotate(f"{median:.3g} ms", (median, row - 0.4), fontsize=8, ha="center", va="bottom")
    ax.set_xscale("log")
    ax.set_yticks(range(len(latencies_ms)), list(latencies_ms))
    ax.set_ylim(len(latencies_ms) - 0.4, -0.85)
    ax.set_xlabel("from question to answer [ms]")
    return ax


def paths_picture(
    image: UInt8[np.ndarray, "height width 3"],
    K_px: Float[np.ndarray, "3 3"],
    paths_cam: Sequence[Float[np.ndarray, "_ 3"]],
    width_px: int = 480,
) -> Picture:
    """A frame with ways in it, from white (their beginning, with a dot) to full colour (their end).

    Args:
        image: RGB frame of the size that `K_px` describes.
        K_px: intrinsics.
        paths_cam: points in this camera [m].
        width_px: width of the picture.
    """
    scale = width_px / image.shape[1]
    drawn = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    white, full = np.array([255.0, 255.0, 255.0]), np.array([213.0, 94.0, 0.0])
    for path in paths_cam:
        share = np.linspace(0.0, 1.0, len(path))[:, None]
        uv = (project(K_px, path) + 0.5) * scale - 0.5
        drawn = draw_path(drawn, uv, (1 - share) * white + share * full)
    return Picture(drawn)
