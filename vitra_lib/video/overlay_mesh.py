"""Drawing a hand's skin on a frame with the processor alone: triangles from far to near, lit from the camera."""

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

from vitra_lib.contracts.hand_track import Side
from vitra_lib.geometry.cameras import project
from vitra_lib.video.overlay import SIDE_COLOURS

_SHIFT = 4  # cv2 takes sub-pixel coordinates as integers in 1/16 pixel
_AMBIENT = 0.35
_FAR_PX = 16_384.0  # cv2 keeps coordinates in 16 bits after its own clipping


def draw_mesh(
    image: UInt8[np.ndarray, "height width 3"],
    vertices_cam: Float[np.ndarray, "vert 3"],
    faces: Int[np.ndarray, "faces 3"],
    K_px: Float[np.ndarray, "3 3"],
    side: Side,
    alpha: float | int = 0.75,
) -> UInt8[np.ndarray, "height width 3"]:
    """Draw a closed surface in the colour of the hand.

    Triangles that face away are left out and the others painted from far to near, which is exact for a hand at this
    size except where fingers cross within a triangle's depth.

    Args:
        image: (height, width, 3) RGB; not changed.
        vertices_cam: (vert, 3) in the camera [m]; a triangle with a corner that is not in front of it is left out.
        faces: (faces, 3) outward-oriented triangles (counter-clockwise seen from outside).
        K_px: intrinsics of this image.
        side: "left" or "right".
        alpha: opacity in [0, 1].

    Returns:
        A copy with the surface drawn.
    """
    corners = vertices_cam[faces]
    uv = project(K_px, vertices_cam)[faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(normal, axis=-1)
    centre = corners.mean(axis=1)
    facing = -np.sum(normal * centre, axis=-1) / np.maximum(length * np.linalg.norm(centre, axis=-1), 1e-12)
    shown = (facing > 0) & np.isfinite(uv).all(axis=(1, 2)) & (np.abs(uv) < _FAR_PX).all(axis=(1, 2))
    order = np.flatnonzero(shown)[np.argsort(-centre[shown, 2], kind="stable")]
    light = _AMBIENT + (1 - _AMBIENT) * facing[order]
    colours = np.clip(light[:, None] * np.array(SIDE_COLOURS[side]) * 1.25, 0, 255)
    points = np.round(uv[order] * (1 << _SHIFT)).astype(np.int32)
    drawn = image.copy()
    for triangle, colour in zip(points, colours.tolist(), strict=True):
        cv2.fillConvexPoly(drawn, triangle, colour, cv2.LINE_8, _SHIFT)
    return drawn if alpha >= 1 else cv2.addWeighted(drawn, float(alpha), image, 1.0 - float(alpha), 0.0)
