"""The image of a virtual camera: one homography, after the source was shrunk to the target's resolution (spec 3.3).

Image coordinates are normalised, and pixel i of n has its centre at (i + 1/2) / n. Outside the source it is black.
"""

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

from vitra_lib.core.errors import BadInput, UnknownName

_SHRINK_BELOW = 2 / 3
RESAMPLINGS: tuple[str, ...] = ("linear", "lanczos")


def warp(
    image: UInt8[np.ndarray, "height width 3"],
    K: Float[np.ndarray, "3 3"],
    K_view: Float[np.ndarray, "3 3"],
    R_view_cam: Float[np.ndarray, "3 3"],
    size_px: Int[np.ndarray, "2"],
    resampling: str = "linear",
) -> UInt8[np.ndarray, "out_height out_width 3"]:
    """The view of a virtual camera out of the source image.

    Args:
        image: the source, RGB.
        K, K_view: intrinsics of source and view in normalised image coordinates.
        R_view_cam: source camera to view; determinant -1 mirrors.
        size_px: width and height of the target.
        resampling: "linear" averages areas where the view is coarser than two thirds of the source, and interpolates
            linearly; "lanczos" is the official way, with Lanczos kernels for both. On a real 480 x 368 px clip they
            differ by 0.9 of 255 levels on average.

    Raises:
        BadInput: an empty image, or a view that is not finite.
        UnknownName: another resampling.
    """
    if resampling not in RESAMPLINGS:
        raise UnknownName("resampling", resampling, RESAMPLINGS)
    width, height = (int(n) for n in size_px)
    if min(image.shape[:2]) < 1 or min(width, height) < 1:
        raise BadInput(f"Can't warp an image of {image.shape[1]} x {image.shape[0]} px to {width} x {height} px.")
    H = K @ np.linalg.inv(R_view_cam) @ np.linalg.inv(K_view)  # target to source, normalised
    if not np.isfinite(H).all():
        raise BadInput("Can't warp an image: the virtual camera is not finite.")
    # The source at the resolution that the view has on its axis.
    wanted = np.array([K_view[0, 0] * width / K[0, 0], K_view[1, 1] * height / K[1, 1]])
    wanted = np.maximum(wanted.astype(np.int64), 1)
    if resampling == "lanczos":
        from PIL import Image

        source = np.asarray(Image.fromarray(image).resize((int(wanted[0]), int(wanted[1])), Image.Resampling.LANCZOS))
        grid = _source_grid(H, width, height, wanted)
        return cv2.remap(source, *grid, cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    size = np.array([image.shape[1], image.shape[0]])
    source = image
    if (wanted < _SHRINK_BELOW * size).any():  # between that and 1 linear interpolation hardly aliases
        size = np.minimum(wanted, size)
        source = cv2.resize(image, (int(size[0]), int(size[1])), interpolation=cv2.INTER_AREA)
    to_target, to_source = _pixels(width, height), np.linalg.inv(_pixels(int(size[0]), int(size[1])))
    return cv2.warpPerspective(
        source,
        to_source @ H @ to_target,
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=0,
    )


def _pixels(width: int, height: int) -> np.ndarray:
    """(3, 3) maps pixel indices to normalised image coordinates."""
    return np.array([[1 / width, 0, 0.5 / width], [0, 1 / height, 0.5 / height], [0, 0, 1.0]])


def _source_grid(H: np.ndarray, width: int, height: int, size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Source pixel indices of every target pixel."""
    u, v = (np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height
    rays = H[:, 0] * u[None, :, None] + H[:, 1] * v[:, None, None] + H[:, 2]
    xy = rays[..., :2] / rays[..., 2:] * size - 0.5
    return np.ascontiguousarray(xy[..., 0], np.float32), np.ascontiguousarray(xy[..., 1], np.float32)
