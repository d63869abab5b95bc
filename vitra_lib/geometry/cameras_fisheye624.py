"""Project Aria's FISHEYE624: six radial, two tangential and four thin-prism coefficients, one focal length.

    theta = angle from the axis
    (x, y) = theta (1 + k0 theta^2 + … + k5 theta^12) (cos phi, sin phi),  r2 = x^2 + y^2
    x' = x + 2 x (p0 x + p1 y) + p0 r2 + s0 r2 + s1 r2^2,  y' = y + 2 y (p0 x + p1 y) + p1 r2 + s2 r2 + s3 r2^2
    u = f x' + cu,  v = f y' + cv

Parameters in the order of Aria's calibration files (FisheyeRadTanThinPrism): f, cu, cv, k0..k5, p0, p1, s0..s3.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from vitra_lib.core.errors import BadInput
from vitra_lib.geometry.cameras_lens import DistortedLens, check_K
from vitra_lib.geometry.cameras_radial import along_angle, invert_odd, invert_planar, odd_limit, odd_polynomial

_WIDEST_RAD = 0.5 * np.pi
_PARAMS = 15


@dataclass(frozen=True)
class Fisheye624(DistortedLens):
    """An Aria camera; `distortion` = (k0..k5, p0, p1, s0..s3).

    Attributes:
        valid_radius_px: pixels further from the principal point were not calibrated and count as unseen; infinite
            when that is not known.
    """

    valid_radius_px: float = float("inf")

    def __post_init__(self) -> None:
        check_K(self.K_px, self.width_px, self.height_px)
        if self.distortion.shape != (12,) or not np.isfinite(self.distortion).all():
            raise BadInput("A FISHEYE624 lens needs twelve finite coefficients k0..k5, p0, p1, s0..s3.")

    @classmethod
    def from_params(cls, params: Float[np.ndarray, " parameters"], width_px: int, height_px: int) -> "Fisheye624":
        """From the fifteen numbers of a calibration file.

        Raises:
            BadInput: another count of numbers, or impossible ones.
        """
        if params.shape != (_PARAMS,):
            raise BadInput(
                f"FISHEYE624 has {_PARAMS} parameters (f, cu, cv, k0..k5, p0, p1, s0..s3), not {params.size}."
            )
        f, cu, cv = params[:3]
        return cls(np.array([[f, 0, cu], [0, f, cv], [0, 0, 1.0]]), params[3:].copy(), width_px, height_px)

    @property
    def limit_rad(self) -> float:
        """Largest angle from the axis that has a place of its own in the image, at most 90 degrees."""
        return odd_limit(self.distortion[:6], _WIDEST_RAD)

    def project(self, p_cam: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 2"]:
        """Pixels of points; NaN outside of the lens's angle or of its calibrated circle."""
        r = np.hypot(p_cam[..., 0], p_cam[..., 1])
        theta = np.arctan2(r, p_cam[..., 2])
        theta = np.where(theta <= self.limit_rad, theta, np.nan)
        factor = odd_polynomial(theta, self.distortion[:6]) / np.where(r < 1e-12, 1.0, r)
        xy = p_cam[..., :2] * factor[..., None]
        plane, _ = self._distorted(xy.reshape(-1, 2))
        return self._inside(self._to_px(plane.reshape(xy.shape)))

    def unproject(self, uv_px: Float[np.ndarray, "*batch 2"]) -> Float[np.ndarray, "*batch 3"]:
        """Unit rays of pixels; NaN where none meets them."""
        plane = self._from_px(self._inside(uv_px))
        xy = invert_planar(self._distorted, plane.reshape(-1, 2)).reshape(plane.shape)
        return along_angle(xy, invert_odd(np.asarray(np.linalg.norm(xy, axis=-1)), self.distortion[:6], self.limit_rad))

    def _inside(self, uv_px: np.ndarray) -> np.ndarray:
        if not np.isfinite(self.valid_radius_px):
            return uv_px
        is_near = np.linalg.norm(uv_px - self.K_px[:2, 2], axis=-1) <= self.valid_radius_px
        return np.where(is_near[..., None], uv_px, np.nan)

    def _distorted(self, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Tangential and thin-prism distortion in the plane, and its derivative."""
        p0, p1, s0, s1, s2, s3 = self.distortion[6:]
        x, y = p[:, 0], p[:, 1]
        r2 = x * x + y * y
        lean = 2 * (p0 * x + p1 * y)
        image = np.stack(
            [x + lean * x + (p0 + s0) * r2 + s1 * r2 * r2, y + lean * y + (p1 + s2) * r2 + s3 * r2 * r2], axis=1
        )
        slope_x, slope_y = 2 * (p0 + s0 + 2 * s1 * r2), 2 * (p1 + s2 + 2 * s3 * r2)
        J = np.empty((len(p), 2, 2))
        J[:, 0, 0] = 1 + lean + 2 * p0 * x + slope_x * x
        J[:, 0, 1] = 2 * p1 * x + slope_x * y
        J[:, 1, 0] = 2 * p0 * y + slope_y * x
        J[:, 1, 1] = 1 + lean + 2 * p1 * y + slope_y * y
        return image, J
