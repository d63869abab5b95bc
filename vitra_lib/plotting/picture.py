"""Photographs for notebooks as JPEG: frames side by side, and coordinate axes drawn into a frame.

A figure of photographs saved as PNG is ten times larger; these keep a notebook small enough to commit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from vitra_lib.core.errors import BadInput
from vitra_lib.geometry.cameras import project
from vitra_lib.video.overlay import draw_label

_GAP_PX = 6
_AXES = (("x", (213, 94, 0)), ("y", (0, 158, 115)), ("z", (0, 114, 178)))  # Okabe and Ito's vermilion, green, blue
_SHIFT = 4


@dataclass(frozen=True)
class Picture:
    """An image that a notebook shows as JPEG.

    Attributes:
        image: (height, width, 3) RGB.
        quality: JPEG quality, 1 to 100.
    """

    image: UInt8[np.ndarray, "height width 3"]
    quality: int = 82

    def _repr_jpeg_(self) -> bytes:
        bgr = cv2.cvtColor(self.image, cv2.COLOR_RGB2BGR)
        return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, self.quality])[1].tobytes()

    def __repr__(self) -> str:
        height, width = self.image.shape[:2]
        return f"picture, {width} x {height} px"


def contact_picture(
    images: Sequence[UInt8[np.ndarray, "_ _ 3"]],
    titles: Sequence[str] | None = None,
    columns: int = 4,
    width_px: int = 880,
) -> Picture:
    """Frames side by side, row by row, each with its title in a corner.

    Args:
        images: RGB frames of one size.
        titles: one per frame, or None.
        columns: frames per row.
        width_px: width of the whole picture.

    Raises:
        BadInput: no frame, or another number of titles than of frames.
    """
    if not images:
        raise BadInput("A contact picture needs at least one frame.")
    if titles is not None and len(titles) != len(images):
        raise BadInput(f"A contact picture of {len(images)} frames needs as many titles, not {len(titles)}.")
    columns = min(columns, len(images))
    height, width = images[0].shape[:2]
    cell = ((width_px + _GAP_PX) // columns) - _GAP_PX
    size = (cell, max(1, round(cell * height / width)))
    rows = -(-len(images) // columns)
    sheet = np.full((rows * (size[1] + _GAP_PX) - _GAP_PX, columns * (cell + _GAP_PX) - _GAP_PX, 3), 255, np.uint8)
    for place, image in enumerate(images):
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        if titles is not None:
            small = draw_label(small, titles[place])
        top, left = (place // columns) * (size[1] + _GAP_PX), (place % columns) * (cell + _GAP_PX)
        sheet[top : top + size[1], left : left + cell] = small
    return Picture(sheet)


def axes_picture(
    image: UInt8[np.ndarray, "height width 3"],
    K_px: Float[np.ndarray, "3 3"],
    T_cam_x: Mapping[str, Float[np.ndarray, "4 4"]],
    length_m: float = 0.07,
    width_px: int = 640,
) -> Picture:
    """A frame with coordinate axes in it: x orange-red, y green, z blue.

    Args:
        image: RGB frame of the size that `K_px` describes.
        K_px: intrinsics.
        T_cam_x: name -> pose of a coordinate frame in this camera [m].
        length_m: length of the drawn axes.
        width_px: width of the picture.
    """
    scale = width_px / image.shape[1]
    drawn = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    for name, T in T_cam_x.items():
        ends = np.concatenate([T[None, :3, 3], T[:3, 3] + length_m * T[:3, :3].T])
        uv = (project(K_px, ends) + 0.5) * scale - 0.5
        if not np.isfinite(uv).all():
            continue
        points = [tuple(int(v) for v in np.round(p * (1 << _SHIFT))) for p in np.clip(uv, -4000, 4000)]
        # The axis that points furthest away is drawn first, so that nearer ones lie on top.
        for axis in np.argsort(-ends[1:, 2]):
            letter, colour = _AXES[axis]
            cv2.arrowedLine(drawn, points[0], points[axis + 1], (255, 255, 255), 6, cv2.LINE_AA, _SHIFT, 0.15)
            cv2.arrowedLine(drawn, points[0], points[axis + 1], colour, 3, cv2.LINE_AA, _SHIFT, 0.15)
            _write(drawn, letter, uv[axis + 1] + (4, -4), colour)
        _write(drawn, name, uv[0] + (8, 20), (0, 0, 0))
    return Picture(drawn)


def _write(image: np.ndarray, text: str, place: np.ndarray, colour: tuple[int, int, int]) -> None:
    """Text with a white rim, so that it reads on any background."""
    corner = (round(float(place[0])), round(float(place[1])))
    cv2.putText(image, text, corner, cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255), 5, cv2.LINE_AA)
    cv2.putText(image, text, corner, cv2.FONT_HERSHEY_SIMPLEX, 0.6, colour, 2, cv2.LINE_AA)
