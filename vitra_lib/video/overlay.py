"""Drawing on frames: hand skeletons, labels, time-coloured paths. Every function returns a new image."""

from typing import Literal

import cv2
import numpy as np
from jaxtyping import Float, Shaped, UInt8

from vitra_lib.contracts.hand_track import Side

SIDE_COLOURS: dict[str, tuple[int, int, int]] = {"left": (230, 159, 0), "right": (0, 114, 178)}
"""RGB of each hand: orange and blue, told apart with every common kind of colour blindness."""

_SHIFT = 4  # cv2 takes sub-pixel coordinates as integers in 1/16 pixel
_BONES = tuple((0 if k == 0 else base + k - 1, base + k) for base in (1, 5, 9, 13, 17) for k in range(4))
_FAR = 16_384.0  # cv2 keeps coordinates in 16 bits after its own clipping; beyond this a line has left any image


def line_width_px(image: UInt8[np.ndarray, "height width 3"]) -> int:
    """Line width that looks alike at every size: 1/240 of the shorter side, at least 1 [px]."""
    return max(1, round(min(image.shape[:2]) / 240))


def draw_skeleton(
    image: UInt8[np.ndarray, "height width 3"],
    joints_px: Float[np.ndarray, "21 2"],
    side: Side,
    alpha: float | int = 1.0,
) -> UInt8[np.ndarray, "height width 3"]:
    """Draw 21 joints and 20 bones in the colour of the hand.

    Args:
        image: (height, width, 3) RGB; not changed.
        joints_px: (21, 2) pixels (x, y), pixel (0, 0) at the centre of the top-left one; wrist, thumb 1-4, index
            1-4, middle 1-4, ring 1-4, pinky 1-4. Bones with a NaN end are left out.
        side: "left" or "right".
        alpha: opacity in [0, 1].

    Returns:
        A copy with the hand drawn.
    """
    drawn = image.copy()
    width = line_width_px(image)
    for parent, child in _BONES:
        _line(drawn, joints_px[parent], joints_px[child], SIDE_COLOURS[side], 2 * width)
    for joint in joints_px:
        _dot(drawn, joint, 1.5 * width, (255, 255, 255))
        _dot(drawn, joint, width, SIDE_COLOURS[side])
    return drawn if alpha >= 1.0 else cv2.addWeighted(drawn, alpha, image, 1.0 - alpha, 0.0)


def draw_path(
    image: UInt8[np.ndarray, "height width 3"],
    uv_px: Float[np.ndarray, "points 2"],
    colours: Shaped[np.ndarray, "points 3"],
    mark: Literal["first", "last", "none"] = "first",
) -> UInt8[np.ndarray, "height width 3"]:
    """Draw a polyline whose colour changes along it, with one end marked.

    Args:
        image: (height, width, 3) RGB; not changed.
        uv_px: (points, 2) pixels (x, y); a NaN point breaks the line.
        colours: (points, 3) RGB 0-255 of each point; a stretch has the colour of its first point.
        mark: which end gets a white-ringed dot: the first point ("now", as in the paper's overlays), the last, none.

    Returns:
        A copy with the path drawn.
    """
    drawn = image.copy()
    width = 2 * line_width_px(image)
    # Backwards, so that where the path crosses itself the earlier part lies on top.
    for i in range(len(uv_px) - 2, -1, -1):
        _line(drawn, uv_px[i], uv_px[i + 1], _rgb(colours[i]), width)
    if mark != "none" and len(uv_px):
        end = 0 if mark == "first" else len(uv_px) - 1
        _dot(drawn, uv_px[end], 2.5 * width, (255, 255, 255))
        _dot(drawn, uv_px[end], 1.75 * width, _rgb(colours[end]))
    return drawn


def draw_label(
    image: UInt8[np.ndarray, "height width 3"],
    text: str,
    corner: Literal["top-left", "top-right", "bottom-left", "bottom-right"] = "top-left",
    colour: tuple[int, int, int] = (255, 255, 255),
) -> UInt8[np.ndarray, "height width 3"]:
    """Write text on a darkened box in a corner; it shrinks to fit the image's width.

    Args:
        image: (height, width, 3) RGB; not changed.
        text: one or more lines; characters outside ASCII are drawn as "?".
        corner: where the box sits.
        colour: RGB of the text.

    Returns:
        A copy with the label drawn.
    """
    drawn = image.copy()
    lines = text.encode("ascii", "replace").decode().split("\n")
    font, thickness = cv2.FONT_HERSHEY_SIMPLEX, line_width_px(image)
    scale = max(0.3, min(image.shape[:2]) / 600)
    margin = 4 * thickness
    widest = max(cv2.getTextSize(line, font, scale, thickness)[0][0] for line in lines)
    scale *= min(1.0, (image.shape[1] - 2 * margin) / max(widest, 1))
    if scale <= 0:
        return drawn
    sizes = [cv2.getTextSize(line, font, scale, thickness)[0] for line in lines]
    step = max(height for _, height in sizes) + margin
    box_width = max(width for width, _ in sizes) + 2 * margin
    box_height = step * len(lines) + margin
    left = 0 if corner.endswith("left") else max(0, image.shape[1] - box_width)
    top = 0 if corner.startswith("top") else max(0, image.shape[0] - box_height)
    drawn[top : top + box_height, left : left + box_width] //= 3
    for row, line in enumerate(lines, start=1):
        cv2.putText(drawn, line, (left + margin, top + step * row), font, scale, colour, thickness, cv2.LINE_AA)
    return drawn


def _rgb(colour: np.ndarray) -> tuple[int, int, int]:
    return int(colour[0]), int(colour[1]), int(colour[2])


def _line(image: np.ndarray, a: np.ndarray, b: np.ndarray, colour: tuple[int, int, int], width: int) -> None:
    """Anti-aliased line between sub-pixel points; left out where an end is unknown or far outside."""
    ends = np.array([a, b], dtype=np.float64)
    if not np.isfinite(ends).all() or np.abs(ends).max() > _FAR:
        return
    start, stop = (tuple(int(v) for v in np.round(p * (1 << _SHIFT))) for p in ends)
    cv2.line(image, start, stop, colour, width, cv2.LINE_AA, _SHIFT)


def _dot(image: np.ndarray, centre: np.ndarray, radius: float | int, colour: tuple[int, int, int]) -> None:
    """Anti-aliased disc at a sub-pixel centre."""
    if not np.isfinite(centre).all() or np.abs(centre).max() > _FAR:
        return
    position = tuple(int(v) for v in np.round(np.asarray(centre, np.float64) * (1 << _SHIFT)))
    cv2.circle(image, position, round(radius * (1 << _SHIFT)), colour, -1, cv2.LINE_AA, _SHIFT)
