"""Training samples as pictures: views of virtual cameras, where they lie in the source, the numbers of an action."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from matplotlib.axes import Axes

from vitra_lib.core.errors import BadInput
from vitra_lib.dataset.virtual_camera import VirtualCameras
from vitra_lib.plotting.picture import Picture
from vitra_lib.plotting.style import new_axes
from vitra_lib.video.overlay import draw_label

_GAP_PX = 6
_OUTLINES = ((0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (230, 159, 0), (86, 180, 233))


def shelf_picture(
    images: Sequence[UInt8[np.ndarray, "_ _ 3"]], titles: Sequence[str], height_px: int = 170, width_px: int = 880
) -> Picture:
    """Images of different widths side by side at one height, in as many rows as they need.

    Args:
        images: RGB.
        titles: one per image.
        height_px: height of a row.
        width_px: width of the whole picture.

    Raises:
        BadInput: no image, or another number of titles.
    """
    if not images or len(images) != len(titles):
        raise BadInput(f"A shelf of {len(images)} images needs at least one, and as many titles, not {len(titles)}.")
    rows: list[list[np.ndarray]] = [[]]
    for image, title in zip(images, titles, strict=True):
        width = min(max(1, round(image.shape[1] * height_px / image.shape[0])), width_px)
        small = draw_label(cv2.resize(image, (width, height_px), interpolation=cv2.INTER_AREA), title)
        if rows[-1] and sum(cell.shape[1] + _GAP_PX for cell in rows[-1]) + width > width_px:
            rows.append([])
        rows[-1].append(small)
    sheet = np.full((len(rows) * (height_px + _GAP_PX) - _GAP_PX, width_px, 3), 255, np.uint8)
    for number, row in enumerate(rows):
        top, left = number * (height_px + _GAP_PX), 0
        for cell in row:
            sheet[top : top + height_px, left : left + cell.shape[1]] = cell
            left += cell.shape[1] + _GAP_PX
    return Picture(sheet)


def view_picture(
    image: UInt8[np.ndarray, "height width 3"],
    K: Float[np.ndarray, "3 3"],
    views: VirtualCameras,
    width_px: int = 640,
) -> Picture:
    """The source image with the frame of each virtual camera in it; a thick edge is the view's upper one.

    Args:
        image: RGB.
        K: its intrinsics in normalised image coordinates.
        views: virtual cameras of this image.
        width_px: width of the picture.
    """
    scale = width_px / image.shape[1]
    drawn = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    size = np.array([drawn.shape[1], drawn.shape[0]])
    corners = np.array([[0.0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]])
    for number, (K_view, R) in enumerate(zip(views.K, views.R_view_cam, strict=True)):
        rays = corners @ (K @ np.linalg.inv(R) @ np.linalg.inv(K_view)).T
        points = np.rint(rays[:, :2] / rays[:, 2:] * size).astype(np.int32)
        colour = _OUTLINES[number % len(_OUTLINES)]
        cv2.polylines(drawn, [points], True, colour, 2, cv2.LINE_AA)
        cv2.line(drawn, points[0].tolist(), points[1].tolist(), colour, 5, cv2.LINE_AA)
    return Picture(drawn)


def plot_action(
    action: Float[np.ndarray, "steps size"],
    mask: Bool[np.ndarray, "steps size"],
    parts: Mapping[str, slice],
    ax: Axes | None = None,
) -> Axes:
    """All numbers of an action as colours, one row per step; grey = masked. Each part is scaled by its largest number.

    Args:
        action: (steps, size) values.
        mask: (steps, size) True where a number counts.
        parts: name -> its place; their borders and names are drawn.
        ax: axes to draw on; None makes some.
    """
    ax = ax or new_axes(9.0, 2.6)
    shown = np.full(action.shape, np.nan)
    for place in parts.values():
        values = np.where(mask[:, place], action[:, place], np.nan)
        largest = np.nanmax(np.abs(values), initial=0.0) if np.isfinite(values).any() else 0.0
        shown[:, place] = values / (largest or 1.0)
    ax.set_facecolor("#dddddd")
    ax.imshow(shown, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto", interpolation="nearest")
    ax.grid(visible=False)
    for name, place in parts.items():
        ax.axvline(place.start - 0.5, color="black", linewidth=0.8)
        middle = (place.start + place.stop - 1) / 2
        ax.text(middle, -0.8, name, fontsize=7, rotation=90, ha="center", va="bottom")
    ax.set_xlabel("number of the action")
    ax.set_ylabel("step")
    return ax
