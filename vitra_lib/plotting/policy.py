"""Pictures about policies: their attention, their noise, how they learn, and how they compare."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes

from vitra_lib.plotting.style import colour_of, new_axes


def plot_attention(
    may_see: Bool[np.ndarray, "token token"], names: Sequence[str], ax: Axes | None = None
) -> Axes:
    """Who sees whom: a row per token, dark where it sees the token of the column.

    Args:
        may_see: True where the row's token sees the column's.
        names: one per token.
        ax: axes to draw on; None makes some.
    """
    ax = ax or new_axes(4.6, 4.2)
    ax.imshow(may_see, cmap="Blues", vmin=0, vmax=1.3)
    ax.set_xticks(range(len(names)), names, rotation=90)
    ax.set_yticks(range(len(names)), names)
    ax.set_xlabel("is seen")
    ax.set_ylabel("sees")
    ax.grid(visible=False)
    return ax


def plot_noise_schedule(
    alphas_cumprod: Float[np.ndarray, " steps"], visited: Sequence[int], ax: Axes | None = None
) -> Axes:
    """Share of the signal that is left at every diffusion step, with the steps that a sampler visits.

    Args:
        alphas_cumprod: share of signal power.
        visited: steps of the sampler.
        ax: axes to draw on; None makes some.
    """
    ax = ax or new_axes(5.4, 2.8)
    ax.plot(np.sqrt(alphas_cumprod), color=colour_of("ours"), label="signal: sqrt(abar)")
    ax.plot(np.sqrt(1 - alphas_cumprod), color=colour_of("control"), label="noise: sqrt(1 - abar)")
    steps = list(visited)
    ax.plot(steps, np.sqrt(alphas_cumprod[steps]), "o", color=colour_of("truth"), markersize=4, label="visited")
    ax.set_xlabel("diffusion step [1]")
    ax.set_ylabel("share of the amplitude [1]")
    ax.legend()
    return ax


def plot_learning(
    curves: Mapping[str, tuple[Sequence[int], Sequence[float]]], ylabel: str, ax: Axes | None = None
) -> Axes:
    """Losses over optimizer steps, one line each.

    Args:
        curves: name -> (steps, losses).
        ylabel: what is shown, with its unit.
        ax: axes to draw on; None makes some.
    """
    ax = ax or new_axes(5.4, 2.8)
    for (name, (steps, losses)), colour in zip(curves.items(), ("train", "val", "ours", "control"), strict=False):
        ax.plot(steps, losses, color=colour_of(colour), label=name)
    ax.set_xlabel("optimizer step [1]")
    ax.set_ylabel(ylabel)
    ax.legend()
    return ax


def plot_methods(
    values: Mapping[str, tuple[float, tuple[float, float] | None]],
    ours: Sequence[str],
    xlabel: str,
    ax: Axes | None = None,
) -> Axes:
    """One bar per method with its 95 % interval, in the order given.

    Args:
        values: method -> (figure, interval or None).
        ours: methods to show in the colour of ours.
        xlabel: what is shown, with its unit.
        ax: axes to draw on; None makes some.
    """
    ax = ax or new_axes(6.0, 0.6 + 0.32 * len(values))
    for row, (name, (value, interval)) in enumerate(values.items()):
        ax.barh(row, value, color=colour_of("ours" if name in ours else "reported"))
        if interval is not None:
            ax.plot(interval, [row, row], color=colour_of("truth"), linewidth=1.5)
    ax.set_yticks(range(len(values)), list(values))
    ax.invert_yaxis()
    ax.set_xlabel(xlabel)
    return ax


def plot_scaling(
    episodes: Float[np.ndarray, " runs"], errors: Float[np.ndarray, " runs"], ylabel: str, ax: Axes | None = None
) -> Axes:
    """Error of every run against the number of episodes it learned from, and the mean of each number.

    Args:
        episodes: of each run.
        errors: of each run.
        ylabel: what is shown, with its unit.
        ax: axes to draw on; None makes some.
    """
    ax = ax or new_axes(5.0, 3.0)
    sizes = np.unique(episodes)
    ax.plot(episodes, errors, "o", color=colour_of("reported"), label="runs")
    ax.plot(sizes, [errors[episodes == size].mean() for size in sizes], "-o", color=colour_of("ours"), label="mean")
    ax.set_xscale("log")
    ax.set_xlabel("training episodes [1]")
    ax.set_ylabel(ylabel)
    ax.legend()
    return ax
