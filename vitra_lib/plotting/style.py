"""Fixed colours and one look for all figures; colours by Okabe and Ito, which colour-blind readers tell apart."""

from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vitra_lib.core.errors import UnknownName

COLOURS: dict[str, str] = {
    "left": "#E69F00",
    "right": "#0072B2",
    "camera": "#555555",
    "reported": "#999999",
    "ours": "#009E73",
    "truth": "#000000",
    "control": "#CC79A7",
    "train": "#56B4E9",
    "val": "#D55E00",
}
"""What a thing is -> its colour, the same in every figure."""

_RC = {
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.dpi": 100,
    "font.size": 9.0,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "svg.hashsalt": "vitra-lab",
}


def colour_of(what: str) -> str:
    """Colour of a side, a source or a split.

    Raises:
        UnknownName: no fixed colour has this name.
    """
    if what not in COLOURS:
        raise UnknownName("colour", what, COLOURS)
    return COLOURS[what]


@contextmanager
def styled() -> Iterator[None]:
    """The look of the figures, for figures made inside the block."""
    with matplotlib.rc_context(_RC):
        yield
        is_interactive = matplotlib.is_interactive()
    # A notebook's backend switches "interactive" on when the first figure loads it; leaving the context would switch it
    # off again, and no later figure would be shown.
    matplotlib.interactive(is_interactive)


def new_figure(width_in: float, height_in: float) -> Figure:
    """An empty figure in the house style; pyplot knows it, so a notebook shows it at the end of its cell."""
    with styled():
        return plt.figure(figsize=(width_in, height_in), layout="constrained")


def new_axes(width_in: float = 6.0, height_in: float = 3.5, projection: str | None = None) -> Axes:
    """Axes of a fresh figure in the house style."""
    figure = new_figure(width_in, height_in)
    with styled():
        return figure.add_subplot(projection=projection)
