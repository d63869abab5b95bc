"""Pinhole cameras in OpenCV axes (x right, y down, z forward); pixel (0, 0) is the CENTRE of the top-left pixel."""

import numpy as np
from jaxtyping import Float

from vitra_lib.core.errors import BadInput


def project(K_px: Float[np.ndarray, "3 3"], p_cam: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 2"]:
    """Pixel coordinates of camera-frame points [m]; NaN for points that are not in front of the camera."""
    z = np.where(p_cam[..., 2] > 1e-6, p_cam[..., 2], np.nan)
    return np.stack([K_px[0, 0] * p_cam[..., 0] / z + K_px[0, 2], K_px[1, 1] * p_cam[..., 1] / z + K_px[1, 2]], axis=-1)


def rays(K_px: Float[np.ndarray, "3 3"], uv_px: Float[np.ndarray, "*batch 2"]) -> Float[np.ndarray, "*batch 3"]:
    """Viewing rays of pixels, scaled so that z = 1 (not unit length)."""
    x = (uv_px[..., 0] - K_px[0, 2]) / K_px[0, 0]
    y = (uv_px[..., 1] - K_px[1, 2]) / K_px[1, 1]
    return np.stack([x, y, np.ones_like(x)], axis=-1)


def K_from_focal(focal_px: float, width_px: int, height_px: int) -> Float[np.ndarray, "3 3"]:
    """Square-pixel intrinsics with the principal point at the image centre (width/2, height/2)."""
    return np.array([[focal_px, 0.0, width_px / 2.0], [0.0, focal_px, height_px / 2.0], [0.0, 0.0, 1.0]])


def fov_from_K(K_px: Float[np.ndarray, "3 3"], width_px: int, height_px: int) -> Float[np.ndarray, "2"]:
    """(2,) full field of view (horizontal, vertical) [rad] of a camera with a centred principal point."""
    return np.array([2 * np.arctan(0.5 * width_px / K_px[0, 0]), 2 * np.arctan(0.5 * height_px / K_px[1, 1])])


def scale_K(K_px: Float[np.ndarray, "3 3"], scale_x: float, scale_y: float) -> Float[np.ndarray, "3 3"]:
    """Intrinsics of the same camera after the image was resized by (scale_x, scale_y)."""
    return np.diag([scale_x, scale_y, 1.0]) @ K_px


def resize_K(K_px: Float[np.ndarray, "3 3"], scale_x: float, scale_y: float) -> Float[np.ndarray, "3 3"]:
    """Intrinsics of the same camera after a resize that keeps the image's corners: exact for calibrated K.

    Pixel centres are at integers, so the image's corner is at -1/2 and stays there. `scale_K` keeps "the principal
    point is at width/2" instead, the convention of K that is not calibrated; they differ by half a pixel at most.
    """
    moved = np.array([[scale_x, 0.0, 0.5 * (scale_x - 1)], [0.0, scale_y, 0.5 * (scale_y - 1)], [0.0, 0.0, 1.0]])
    return moved @ K_px


def rotate_K(
    K_px: Float[np.ndarray, "3 3"], width_px: int, height_px: int, clockwise_deg: int
) -> Float[np.ndarray, "3 3"]:
    """Intrinsics after the image was turned by quarter turns (and the camera's axes with it).

    Args:
        K_px: (3, 3) of the image before, without skew.
        width_px, height_px: size of the image before.
        clockwise_deg: 0, 90, 180 or 270.

    Raises:
        BadInput: another angle.
    """
    fx, fy, cx, cy = K_px[0, 0], K_px[1, 1], K_px[0, 2], K_px[1, 2]
    right, bottom = width_px - 1 - cx, height_px - 1 - cy
    turned = {0: (fx, fy, cx, cy), 90: (fy, fx, bottom, cx), 180: (fx, fy, right, bottom), 270: (fy, fx, cy, right)}
    if clockwise_deg not in turned:
        raise BadInput(f"Images are turned by 0, 90, 180 or 270 degrees, not by {clockwise_deg}.")
    fx, fy, cx, cy = turned[clockwise_deg]
    return np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])
