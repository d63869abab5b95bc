"""Pinhole cameras in OpenCV axes (x right, y down, z forward); pixel (0, 0) is the CENTRE of the top-left pixel."""

import numpy as np
from jaxtyping import Float


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
