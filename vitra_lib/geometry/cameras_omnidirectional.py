"""Mei's unified model as in OpenCV's omnidir module: a sphere, a second centre xi above it, then radial distortion.

    s = p / |p|,  (x, y) = (s_x, s_y) / (s_z + xi),  r2 = x^2 + y^2
    x' = x (1 + k1 r2 + k2 r2^2) + 2 p1 x y + p2 (r2 + 2 x^2),  y' = y (…) + p1 (r2 + 2 y^2) + 2 p2 x y

xi = 0 is the pinhole with OpenCV's distortion. The intrinsics of undistorted Ego4D videos are of this kind.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from vitra_lib.core.errors import BadInput
from vitra_lib.geometry.cameras_lens import DistortedLens, check_K
from vitra_lib.geometry.cameras_radial import invert_planar, odd_limit, unit

_FAR = 1e3


@dataclass(frozen=True)
class Omnidirectional(DistortedLens):
    """A lens of Mei's unified model; `distortion` = (k1, k2, p1, p2).

    Attributes:
        xi: distance of the second centre from the sphere's, 0 or more.
    """

    xi: float

    def __post_init__(self) -> None:
        if self.distortion.shape != (4,) or not np.isfinite(self.distortion).all():
            raise BadInput("An omnidirectional lens needs four finite coefficients k1, k2, p1, p2.")
        if not (np.isfinite(self.xi) and 0 <= self.xi <= 10):
            raise BadInput(f"The mirror parameter xi is {self.xi:g}: legal are 0 to 10.")
        # Near the axis the lens is a pinhole of focal length f / (1 + xi): that is what must be plausible.
        axial = self.K_px.copy()
        axial[:2, :2] /= 1 + self.xi
        check_K(axial, self.width_px, self.height_px)

    def project(self, p_cam: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 2"]:
        """Pixels of points; NaN where the model sees nothing (behind, or past the turning point of the distortion)."""
        s = unit(p_cam)
        height = s[..., 2] + self.xi
        is_seen = (height > 1e-9) & ((self.xi <= 1) | (s[..., 2] * self.xi > -1))
        xy = s[..., :2] / np.where(is_seen, height, np.nan)[..., None]
        k = self.distortion[:2]
        xy = np.where((np.linalg.norm(xy, axis=-1) <= odd_limit(k, _FAR))[..., None], xy, np.nan)
        plane, _ = self._distorted(xy.reshape(-1, 2))
        return self._to_px(plane.reshape(xy.shape))

    def unproject(self, uv_px: Float[np.ndarray, "*batch 2"]) -> Float[np.ndarray, "*batch 3"]:
        """Unit rays of pixels; NaN where none meets them."""
        plane = self._from_px(uv_px)
        xy = invert_planar(self._distorted, plane.reshape(-1, 2)).reshape(plane.shape)
        r2 = (xy**2).sum(-1)
        xy = np.where((np.sqrt(r2) <= odd_limit(self.distortion[:2], _FAR))[..., None], xy, np.nan)
        root = 1 + (1 - self.xi**2) * r2  # of the quadratic for the height on the sphere
        scale = (self.xi + np.sqrt(np.where(root >= 0, root, np.nan))) / (1 + r2)
        return np.concatenate([xy * scale[..., None], (scale - self.xi)[..., None]], axis=-1)

    def _distorted(self, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Distortion in the plane and its derivative."""
        k1, k2, p1, p2 = self.distortion
        x, y = p[:, 0], p[:, 1]
        r2 = x * x + y * y
        radial = 1 + k1 * r2 + k2 * r2 * r2
        slope = 2 * (k1 + 2 * k2 * r2)  # d radial / d x = slope * x
        image = np.stack(
            [x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x), y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y],
            axis=1,
        )
        J = np.empty((len(p), 2, 2))
        J[:, 0, 0] = radial + slope * x * x + 2 * p1 * y + 6 * p2 * x
        J[:, 0, 1] = J[:, 1, 0] = slope * x * y + 2 * p1 * x + 2 * p2 * y
        J[:, 1, 1] = radial + slope * y * y + 6 * p1 * y + 2 * p2 * x
        return image, J
