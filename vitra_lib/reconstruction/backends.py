"""Which estimators can fill each role of the pipeline, by name; an unknown name is refused with the legal ones."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vitra_lib.core.errors import BadInput, UnknownName

HAND_BACKENDS = ("mediapipe",)
CAMERA_BACKENDS = ("klt", "static")
HAND_MODELS = ("standin", "mano")
_SMALLEST_PX = 64


@dataclass(frozen=True)
class ReconstructConfig:
    """How a video becomes metric hands and camera.

    Attributes:
        hands: hand estimator; "mediapipe" = landmarks on CPU + the learned lifter + the clip fit.
        camera: camera estimator; "klt" decides between static and moving and runs odometry, "static" asserts
            that the camera does not move.
        hand_model: "standin" (licence-free) or "mano" (needs MANO_RIGHT, see `vitra assets explain mano_right`).
        mano_path: file or folder of MANO_RIGHT when `hand_model` is "mano".
        hfov_rad: horizontal field of view when it is known [rad]; None = self-calibration, else a prior.
        clip_s: longest clip processed at once [s].
        overlap_s: time shared by neighbouring clips [s].
        max_clip_frames: longest clip in frames, whatever the frame rate: bounds memory.
        working_long_side_px: frames are shrunk to this long side for every estimator [px].
    """

    hands: str = "mediapipe"
    camera: str = "klt"
    hand_model: str = "standin"
    mano_path: Path | None = None
    hfov_rad: float | None = None
    clip_s: float = 20.0
    overlap_s: float = 2.0
    max_clip_frames: int = 720
    working_long_side_px: int = 640

    def __post_init__(self) -> None:
        for what, given, legal in (
            ("hand backend", self.hands, HAND_BACKENDS),
            ("camera backend", self.camera, CAMERA_BACKENDS),
            ("hand model", self.hand_model, HAND_MODELS),
        ):
            if given not in legal:
                raise UnknownName(what, given, legal)
        if self.hfov_rad is not None and not np.deg2rad(10) <= self.hfov_rad <= np.deg2rad(170):
            raise BadInput(
                f"The horizontal field of view is {np.rad2deg(self.hfov_rad):.1f} degrees: give one from 10 to 170."
            )
        if not 0 < self.overlap_s < self.clip_s:
            raise BadInput(
                f"Clips of {self.clip_s} s can't overlap by {self.overlap_s} s: the overlap must be positive and "
                "shorter than the clip."
            )
        if self.max_clip_frames < 2:
            raise BadInput(f"max_clip_frames is {self.max_clip_frames}: a clip needs at least 2 frames.")
        if self.working_long_side_px < _SMALLEST_PX:
            raise BadInput(f"working_long_side_px is {self.working_long_side_px}: give at least {_SMALLEST_PX}.")
