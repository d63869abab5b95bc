"""OpenCV's fisheye model (Kannala and Brandt with four coefficients): r = theta (1 + k1 theta^2 + … + k4 theta^8)."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from vitra_lib.core.errors import BadInput
from vitra_lib.geometry.cameras_lens import DistortedLens, check_K
from vitra_lib.geometry.cameras_radial import along_angle, invert_odd, odd_limit, odd_polynomial

_WIDEST_RAD = np.pi - 1e-3


@dataclass(frozen=True)
class Fisheye(DistortedLens):
    """A fisheye lens; `distortion` = (k1, k2, k3, k4).

    Unlike `cv2.fisheye`, rays more than 90 degrees off the axis are projected too, as far as the polynomial grows.
    """

    def __post_init__(self) -> None:
        check_K(self.K_px, self.width_px, self.height_px)
        if self.distortion.shape != (4,) or not np.isfinite(self.distortion).all():
            raise BadInput("A fisheye lens needs four finite coefficients k1, k2, k3, k4.")

    @property
    def limit_rad(self) -> float:
        """Largest angle from the axis that has a place of its own in the image."""
        return odd_limit(self.distortion, _WIDEST_RAD)

    def project(self, p_cam: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 2"]:
        """Pixels of points; NaN outside of the lens's angle."""
        r = np.hypot(p_cam[..., 0], p_cam[..., 1])
        theta = np.arctan2(r, p_cam[..., 2])
        theta = np.where(theta <= self.limit_rad, theta, np.nan)
        factor = odd_polynomial(theta, self.distortion) / np.where(r < 1e-12, 1.0, r)
        return self._to_px(p_cam[..., :2] * factor[..., None])

    def unproject(self, uv_px: Float[np.ndarray, "*batch 2"]) -> Float[np.ndarray, "*batch 3"]:
        """Unit rays of pixels; NaN beyond the image circle."""
        plane = self._from_px(uv_px)
        return along_angle(
            plane, invert_odd(np.asarray(np.linalg.norm(plane, axis=-1)), self.distortion, self.limit_rad)
        )
