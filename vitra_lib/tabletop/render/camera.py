"""The pinhole that looks at a scene."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Real

from vitra_lib.core.errors import BadInput


@dataclass(frozen=True)
class Camera:
    """A pinhole camera in OpenCV axes; pixel (0, 0) is the centre of the top-left pixel.

    Attributes:
        K_px: (3, 3) intrinsics in pixels.
        width_px, height_px: size of the picture.
        T_world_cam: (4, 4) maps points in the camera to the world [m].
    """

    K_px: Float[np.ndarray, "3 3"]
    width_px: int
    height_px: int
    T_world_cam: Float[np.ndarray, "4 4"]

    def __post_init__(self) -> None:
        if self.width_px < 1 or self.height_px < 1:
            raise BadInput(f"A camera needs a positive size in pixels, not {self.width_px}x{self.height_px}.")

    def rays(
        self, u_px: Real[np.ndarray, " ray"], v_px: Real[np.ndarray, " ray"]
    ) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "ray 3"]]:
        """Origin and directions in the world of the rays through image points.

        Args:
            u_px, v_px: (n,) image points [px].

        Returns:
            origin: (3,) centre of projection in the world [m].
            directions: (n, 3) float32, scaled so that the depth along z is the ray parameter.
        """
        x = (u_px - self.K_px[0, 2]) / self.K_px[0, 0]
        y = (v_px - self.K_px[1, 2]) / self.K_px[1, 1]
        R = self.T_world_cam[:3, :3].astype(np.float32)
        x, y = x.astype(np.float32)[:, None], y.astype(np.float32)[:, None]
        return self.T_world_cam[:3, 3].copy(), x * R[:, 0] + y * R[:, 1] + R[:, 2]
