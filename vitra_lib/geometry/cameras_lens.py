"""Lenses: what maps points in the camera to pixels and back, whatever the glass does.

Axes are OpenCV's (x right, y down, z forward); pixel (0, 0) is the centre of the top-left pixel. Every lens has

    project(p_cam)    (*batch, 3) -> (*batch, 2) pixels; NaN where the lens does not see the point
    unproject(uv_px)  (*batch, 2) -> (*batch, 3) unit rays; NaN where no ray meets the pixel
    resized(w, h)     the same lens on frames of another size (same field of view)
    shifted(x, y, w, h)  the same lens on a crop that starts at pixel (x, y)

`Pinhole` is here; the others are in `cameras_fisheye`, `cameras_omnidirectional` and `cameras_fisheye624`.
"""

from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from vitra_lib.core.errors import BadInput
from vitra_lib.geometry.cameras import project, rays, resize_K
from vitra_lib.geometry.cameras_radial import unit


@runtime_checkable
class Lens(Protocol):
    """A calibrated lens in front of a sensor of width_px x height_px."""

    @property
    def width_px(self) -> int: ...

    @property
    def height_px(self) -> int: ...

    def project(self, p_cam: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 2"]: ...

    def unproject(self, uv_px: Float[np.ndarray, "*batch 2"]) -> Float[np.ndarray, "*batch 3"]: ...

    def resized(self, width_px: int, height_px: int) -> "Lens": ...

    def shifted(self, x_px: float | int, y_px: float | int, width_px: int, height_px: int) -> "Lens": ...


@dataclass(frozen=True)
class Pinhole:
    """A lens without distortion.

    Attributes:
        K_px: (3, 3) intrinsics in pixels.
        width_px, height_px: size of the frames.
    """

    K_px: Float[np.ndarray, "3 3"]
    width_px: int
    height_px: int

    def __post_init__(self) -> None:
        check_K(self.K_px, self.width_px, self.height_px)

    def project(self, p_cam: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 2"]:
        """Pixels of points; NaN behind the camera."""
        return project(self.K_px, p_cam)

    def unproject(self, uv_px: Float[np.ndarray, "*batch 2"]) -> Float[np.ndarray, "*batch 3"]:
        """Unit rays of pixels."""
        return unit(rays(self.K_px, uv_px))

    def resized(self, width_px: int, height_px: int) -> "Pinhole":
        """The same lens on frames of another size."""
        K = resize_K(self.K_px, width_px / self.width_px, height_px / self.height_px)
        return Pinhole(K, width_px, height_px)

    def shifted(self, x_px: float | int, y_px: float | int, width_px: int, height_px: int) -> "Pinhole":
        """The same lens on a crop that starts at (x_px, y_px)."""
        return Pinhole(shift_K(self.K_px, x_px, y_px), width_px, height_px)


@dataclass(frozen=True)
class DistortedLens:
    """What lenses with a matrix K and distortion coefficients share; see the classes that derive from it.

    Attributes:
        K_px: (3, 3) intrinsics in pixels.
        distortion: coefficients, in the order of the class.
        width_px, height_px: size of the frames.
    """

    K_px: Float[np.ndarray, "3 3"]
    distortion: Float[np.ndarray, " coefficients"]
    width_px: int
    height_px: int

    def resized(self, width_px: int, height_px: int) -> "DistortedLens":
        """The same lens on frames of another size: coefficients are in units of the focal length and stay."""
        K = resize_K(self.K_px, width_px / self.width_px, height_px / self.height_px)
        return replace(self, K_px=K, width_px=width_px, height_px=height_px)

    def shifted(self, x_px: float | int, y_px: float | int, width_px: int, height_px: int) -> "DistortedLens":
        """The same lens on a crop that starts at (x_px, y_px)."""
        return replace(self, K_px=shift_K(self.K_px, x_px, y_px), width_px=width_px, height_px=height_px)

    def _to_px(self, plane: np.ndarray) -> np.ndarray:
        K = self.K_px
        u = K[0, 0] * plane[..., 0] + K[0, 1] * plane[..., 1] + K[0, 2]
        return np.stack([u, K[1, 1] * plane[..., 1] + K[1, 2]], axis=-1)

    def _from_px(self, uv_px: np.ndarray) -> np.ndarray:
        K = self.K_px
        y = (uv_px[..., 1] - K[1, 2]) / K[1, 1]
        return np.stack([(uv_px[..., 0] - K[0, 2] - K[0, 1] * y) / K[0, 0], y], axis=-1)


def shift_K(K_px: Float[np.ndarray, "3 3"], x_px: float | int, y_px: float | int) -> Float[np.ndarray, "3 3"]:
    """Intrinsics of a crop that starts at (x_px, y_px)."""
    K = K_px.copy()
    K[0, 2] -= x_px
    K[1, 2] -= y_px
    return K


def check_K(K_px: Float[np.ndarray, "3 3"], width_px: int, height_px: int) -> None:
    """Refuse a matrix that is no camera's.

    Raises:
        BadInput: not finite, not upper triangular, or a focal length below a twentieth of the image's longer side or
            above fifty times of it.
    """
    if not np.isfinite(K_px).all():
        raise BadInput("The intrinsics hold NaN or infinity: give finite numbers.")
    if width_px < 1 or height_px < 1:
        raise BadInput(f"The intrinsics are for frames of {width_px} x {height_px} pixels: give the true size.")
    if abs(K_px[1, 0]) + abs(K_px[2, 0]) + abs(K_px[2, 1]) > 1e-9 or abs(K_px[2, 2] - 1) > 1e-9:
        raise BadInput("The intrinsics aren't a matrix [[fx, s, cx], [0, fy, cy], [0, 0, 1]].")
    longer = max(width_px, height_px)
    for name, focal in (("fx", K_px[0, 0]), ("fy", K_px[1, 1])):
        if not longer / 20 <= focal <= longer * 50:
            raise BadInput(
                f"The focal length {name} = {focal:g} px can't belong to frames of {width_px} x {height_px}: legal are "
                f"{longer / 20:g} to {longer * 50:g} px (is it for another size, or in millimetres?)."
            )
    if not (-width_px < K_px[0, 2] < 2 * width_px and -height_px < K_px[1, 2] < 2 * height_px):
        raise BadInput(
            f"The principal point ({K_px[0, 2]:g}, {K_px[1, 2]:g}) lies far outside of frames of {width_px} x "
            f"{height_px}: are the intrinsics for another size?"
        )
