"""A camera through time: one pinhole K and a metric pose per frame (paper section on 3-D labelling)."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from vitra_lib.geometry.cameras import fov_from_K
from vitra_lib.geometry.transforms import invert


@dataclass(frozen=True)
class CameraTrack:
    """Pinhole intrinsics and camera path of one video.

    Attributes:
        K_px: (3, 3) pinhole intrinsics in pixels of the video as it is shown (after rotation
            metadata), OpenCV axes (x right, y down, z forward), no skew.
        width_px, height_px: size of the shown frame.
        T_world_cam: (time, 4, 4) maps points in the camera of each frame to the world; metres;
            world = camera of the first valid frame.
        is_valid: (time,) True where the pose is known.
        is_static: True when the camera was judged not to move (then every pose is the identity).
        intrinsics_source: where K comes from: "given", "self-calibration", "prior", "truth".
        scale_source: where the metre comes from: "hands", "depth", "hands+depth", "tool" (the tool whose path it is
            says so), "prior", "truth", "none".
        scale_rel_std: relative 1-sigma uncertainty of the metric scale of the path; NaN if unknown.
        method: the estimator's name ("klt-odometry", "static", "megasam", …).
        focal_rel_std: relative 1-sigma uncertainty of the focal length; 0 when K was given, NaN if unknown.
    """

    K_px: Float[np.ndarray, "3 3"]
    width_px: int
    height_px: int
    T_world_cam: Float[np.ndarray, "time 4 4"]
    is_valid: Bool[np.ndarray, " time"]
    is_static: bool
    intrinsics_source: str
    scale_source: str
    scale_rel_std: float
    method: str
    focal_rel_std: float = float("nan")

    def __len__(self) -> int:
        return len(self.T_world_cam)

    @property
    def T_cam_world(self) -> Float[np.ndarray, "time 4 4"]:
        """(time, 4, 4) maps points in the world to the camera of each frame."""
        return invert(self.T_world_cam)

    @property
    def fov_rad(self) -> Float[np.ndarray, "2"]:
        """(2,) full horizontal and vertical field of view [rad]."""
        return fov_from_K(self.K_px, self.width_px, self.height_px)
