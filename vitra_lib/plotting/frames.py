"""Pictures: hand skeletons on a frame, and frames side by side."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vitra_lib.contracts.hand_track import Side
from vitra_lib.core.errors import BadInput
from vitra_lib.hands.skeleton import BONES
from vitra_lib.plotting.style import colour_of, new_axes, new_figure, styled


def plot_skeletons(
    image: UInt8[np.ndarray, "height width 3"],
    joints_px: Mapping[Side, Float[np.ndarray, "21 2"]],
    ax: Axes | None = None,
) -> Axes:
    """A frame with the 21 joints of each given hand; hands with NaN joints are left out.

    Args:
        image: RGB frame.
        joints_px: joints by side [px], pixel (0, 0) is the centre of the top-left pixel.
        ax: axes to draw on; None makes some of the frame's shape.
    """
    height, width = image.shape[:2]
    ax = ax or new_axes(5.0, 5.0 * height / width)
    ax.imshow(image, interpolation="nearest" if width < 300 else "antialiased")
    for side, joints in joints_px.items():
        for parent, child in BONES:
            bone = joints[[parent, child]]
            if np.isfinite(bone).all():
                ax.plot(bone[:, 0], bone[:, 1], color="black", linewidth=3.0, alpha=0.5, solid_capstyle="round")
                ax.plot(bone[:, 0], bone[:, 1], color=colour_of(side), linewidth=1.6, solid_capstyle="round")
        ax.plot(joints[:, 0], joints[:, 1], "o", color=colour_of(side), markersize=2.5, markeredgewidth=0)
    ax.set_xlim(-0.5, width - 0.5)
    ax.set_ylim(height - 0.5, -0.5)
    ax.set_axis_off()
    return ax


def plot_contact_sheet(
    images: Sequence[UInt8[np.ndarray, "_ _ 3"]], titles: Sequence[str] | None = None, columns: int = 4
) -> Figure:
    """Frames side by side, row by row.

    Args:
        images: RGB frames.
        titles: one per frame ("1.20 s"), or None.
        columns: frames per row.

    Raises:
        BadInput: no frame, or another number of titles than of frames.
    """
    if not images:
        raise BadInput("A contact sheet needs at least one frame.")
    if titles is not None and len(titles) != len(images):
        raise BadInput(f"A contact sheet of {len(images)} frames needs as many titles, not {len(titles)}.")
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    height, width = images[0].shape[:2]
    cell = 10.0 / columns
    figure = new_figure(10.0, rows * (cell * height / width + (0.25 if titles else 0.05)))
    with styled():
        grid = figure.subplots(rows, columns, squeeze=False)
    for place, ax in enumerate(grid.ravel()):
        ax.set_axis_off()
        if place < len(images):
            ax.imshow(images[place])
            if titles:
                ax.set_title(titles[place], fontsize=8)
    return figure
