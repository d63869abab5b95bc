"""Drawing where hands may go on the picture they start from: paths, last skeletons, and the skin step by step."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

from vitra_lib.contracts.hand_track import Side
from vitra_lib.geometry.cameras import project, scale_K
from vitra_lib.video.overlay import SIDE_COLOURS, draw_label, draw_path, draw_skeleton
from vitra_lib.video.overlay_mesh import draw_mesh

_TIPS = (4, 8)  # thumb and index: more would hide the picture
_LONG_SIDE_PX = 960


@dataclass(frozen=True, eq=False)
class DrawnFuture:
    """One hand's draws, ready to be shown.

    Attributes:
        side: "left" or "right".
        joints_cam: joints at every point [m]; point 0 is now.
        vertices_cam: skin at every point [m]; None draws skeletons.
        faces: triangles of the skin; None without one.
    """

    side: Side
    joints_cam: Float[np.ndarray, "samples points 21 3"]
    vertices_cam: Float[np.ndarray, "samples points vert 3"] | None = None
    faces: Int[np.ndarray, "faces 3"] | None = None


def fitted(
    image: UInt8[np.ndarray, "height width 3"], K_px: Float[np.ndarray, "3 3"], long_side_px: int = _LONG_SIDE_PX
) -> tuple[UInt8[np.ndarray, "_ _ 3"], Float[np.ndarray, "3 3"]]:
    """Picture and intrinsics at a size that is pleasant to look at."""
    scale = long_side_px / max(image.shape[:2])
    how = cv2.INTER_AREA if scale < 1.0 else cv2.INTER_CUBIC
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=how), scale_K(K_px, scale, scale)


def future_picture(
    image: UInt8[np.ndarray, "height width 3"],
    K_px: Float[np.ndarray, "3 3"],
    futures: Sequence[DrawnFuture],
    text: str = "",
) -> UInt8[np.ndarray, "height width 3"]:
    """All draws at once: the hand as it is, the ways of its wrist, thumb and index tip, and where each draw ends.

    Args:
        image: RGB.
        K_px: its intrinsics.
        futures: the hands.
        text: label of the picture; "" for none.
    """
    drawn = image
    for future in futures:
        uv = project(K_px, future.joints_cam)
        points = uv.shape[1]
        for draw in uv:
            drawn = draw_skeleton(drawn, draw[-1], future.side, 0.45)
        for draw in uv:
            for tip in _TIPS:
                drawn = draw_path(drawn, draw[:, tip], _fading(future.side, points), mark="none")
            drawn = draw_path(drawn, draw[:, 0], _fading(future.side, points), mark="none")
        drawn = draw_skeleton(drawn, uv[0, 0], future.side)
    return draw_label(drawn, text) if text else drawn


def future_frames(
    image: UInt8[np.ndarray, "height width 3"],
    K_px: Float[np.ndarray, "3 3"],
    futures: Sequence[DrawnFuture],
    text: str = "",
) -> list[UInt8[np.ndarray, "_ _ 3"]]:
    """One image per point in time, with one panel per draw in a grid of ceil(sqrt(samples)) columns.

    Args:
        image: RGB of one panel.
        K_px: its intrinsics.
        futures: the hands; all with as many draws and points.
        text: label of the panels; "" for none.
    """
    samples, points = futures[0].joints_cam.shape[:2]
    columns = int(np.ceil(np.sqrt(samples)))
    rows = -(-samples // columns)
    height, width = image.shape[:2]
    frames = []
    for point in range(points):
        sheet = np.zeros((rows * height, columns * width, 3), np.uint8)
        for sample in range(samples):
            panel = image
            for future in futures:
                panel = _panel(panel, K_px, future, sample, point)
            if text:
                panel = draw_label(panel, text)
            top, left = sample // columns * height, sample % columns * width
            sheet[top : top + height, left : left + width] = panel
        frames.append(sheet)
    return frames


def _panel(image: np.ndarray, K_px: np.ndarray, future: DrawnFuture, sample: int, point: int) -> np.ndarray:
    if future.vertices_cam is not None and future.faces is not None:
        drawn = draw_mesh(image, future.vertices_cam[sample, point], future.faces, K_px, future.side)
    else:
        drawn = draw_skeleton(image, project(K_px, future.joints_cam[sample, point]), future.side)
    way = project(K_px, future.joints_cam[sample, : point + 1, 0])
    return draw_path(drawn, way, _fading(future.side, len(future.joints_cam[sample]))[: point + 1], mark="last")


def _fading(side: Side, points: int) -> np.ndarray:
    """Colours along a way: from white (now) to the hand's own (the last point)."""
    share = np.linspace(0.15, 1.0, points)[:, None]
    return np.round(255 * (1 - share) + share * np.array(SIDE_COLOURS[side])).astype(np.uint8)
