"""Settings of the first stage: who fills which role, and how a video is cut into clips."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vitra_lib.core.errors import BadInput, UnknownName
from vitra_lib.hands.model import HAND_MODELS
from vitra_lib.reconstruction.backends.registry import check

_SMALLEST_PX = 64
_FILES = ("hands_file", "camera_file", "intrinsics_file", "depth_file")
_STEM = "{video}"


@dataclass(frozen=True)
class ReconstructConfig:
    """How a video becomes metric hands and camera.

    Attributes:
        hands: hand estimator; "mediapipe" = landmarks on CPU + the learned lifter + the clip fit; others read
            `hands_file` (see `registry.BACKENDS`).
        camera: camera estimator; "klt" decides between static and moving and runs odometry, "static" asserts
            that the camera does not move; others read `camera_file`.
        hand_model: "standin" (licence-free) or "mano" (needs MANO_RIGHT, see `vitra assets explain mano_right`).
        mano_path: file or folder of MANO_RIGHT when `hand_model` is "mano".
        hfov_rad: horizontal field of view when it is known [rad]; None = `intrinsics`.
        clip_s: longest clip processed at once [s].
        overlap_s: time shared by neighbouring clips [s].
        max_clip_frames: longest clip in frames, whatever the frame rate: bounds memory.
        working_long_side_px: frames are shrunk to this long side for every estimator [px].
        hands_file, camera_file, intrinsics_file, depth_file: what the tool of that role wrote; "{video}" in a path
            stands for the video's name without extension.
        intrinsics: "self" = self-calibration, else a prior; others read `intrinsics_file`.
        depth: "none", or who tells the metric depth that the camera path is scaled by.
        depth_sample_s: time between frames whose depth is looked at [s].
        on_wrong_way_up: "refuse" or "warn" where hands say that the video is upside down or mirrored.
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
    hands_file: Path | None = None
    camera_file: Path | None = None
    intrinsics: str = "self"
    intrinsics_file: Path | None = None
    depth: str = "none"
    depth_file: Path | None = None
    depth_sample_s: float = 1.0
    on_wrong_way_up: str = "refuse"

    def __post_init__(self) -> None:
        check("hands", self.hands, self.hands_file)
        check("camera", self.camera, self.camera_file)
        check("intrinsics", self.intrinsics, self.intrinsics_file)
        check("depth", self.depth, self.depth_file)
        if self.hand_model not in HAND_MODELS:
            raise UnknownName("hand model", self.hand_model, HAND_MODELS)
        if self.on_wrong_way_up not in ("refuse", "warn"):
            raise UnknownName("answer to a wrong way up", self.on_wrong_way_up, ("refuse", "warn"))
        if self.hfov_rad is not None and not np.deg2rad(10) <= self.hfov_rad <= np.deg2rad(170):
            raise BadInput(
                f"The horizontal field of view is {np.rad2deg(self.hfov_rad):.1f} degrees: give one from 10 to 170."
            )
        if self.hfov_rad is not None and self.intrinsics != "self":
            raise BadInput("Give either a field of view or intrinsics, not both.")
        if not 0 < self.overlap_s < self.clip_s:
            raise BadInput(
                f"Clips of {self.clip_s} s can't overlap by {self.overlap_s} s: the overlap must be positive and "
                "shorter than the clip."
            )
        if self.max_clip_frames < 2:
            raise BadInput(f"max_clip_frames is {self.max_clip_frames}: a clip needs at least 2 frames.")
        if not self.depth_sample_s > 0:
            raise BadInput(f"depth_sample_s is {self.depth_sample_s}: it must be greater than 0.")
        if self.working_long_side_px < _SMALLEST_PX:
            raise BadInput(f"working_long_side_px is {self.working_long_side_px}: give at least {_SMALLEST_PX}.")

    def for_video(self, video: Path) -> "ReconstructConfig":
        """The same settings with "{video}" in paths replaced by the name of a video."""
        changed = {}
        for name in _FILES:
            path = getattr(self, name)
            if path is not None and _STEM in str(path):
                changed[name] = Path(str(path).replace(_STEM, Path(video).stem))
        return replace(self, **changed) if changed else self
