"""The doctor's thresholds, each with its reason."""

from dataclasses import dataclass, field

from vitra_lib.core.errors import BadInput
from vitra_lib.episodes.mismatch import MismatchConfig


@dataclass(frozen=True)
class DoctorConfig:
    """What is still healthy.

    Attributes:
        orthonormal: largest entry of R^T R - 1. Released rotations reach 7e-8; float32 storage costs 1e-6.
        consistent_m: largest difference between camera-space and transformed world-space points [m]. Released files
            agree to 3e-8 m; float32 joints at 1 m to 1e-7.
        wrist_on_joint_m: largest distance of wrist and joint 0 [m]; they are the same point, to float32.
        rest_residual_m: median misfit of one flat hand to all frames [m]. The released example has 0.03 mm, a hand of
            wrong convention 3 mm and more as soon as its fingers move.
        min_pointing: least mean cosine between flat fingers and -x. Right hands have 0.94 and more; mirrored ones
            below 0.7.
        palm_m: legal distance from wrist to middle knuckle [m]: an adult's is 8 to 11 cm, a toddler's 5.
        max_wrist_speed: speed between neighbouring valid frames above which the track jumps [m/s]. Hands at work
            reach 2 m/s, a throw 8.
        max_wrist_rate: the same for its rotation [rad/s]; 30 rad/s is 57 degrees in one frame at 30 frames/s.
        max_camera_speed, max_camera_rate: the same for the camera [m/s], [rad/s]; a fast turn of the head is 8 rad/s.
        fov_deg: legal horizontal field of view of a pinhole image [degrees].
        max_fps_error: relative difference between stated and true frame rate.
        min_valid: share of valid frames of the primary hand below which an episode is worth a look.
        max_z: mean offset and spread of the data under the stated statistics, in their own deviations, above which
            these belong to other data. Augmentation alone moves released statistics by a few tenths.
        frames_per_video: frames decoded of each video, evenly spread; 0 decodes all.
        clip_len: frames per video part of official data, or None when videos are undivided.
        mismatch: what counts as label and video not belonging together.
    """

    orthonormal: float = 1e-4
    consistent_m: float = 1e-4
    wrist_on_joint_m: float = 1e-3
    rest_residual_m: float = 2e-3
    min_pointing: float = 0.8
    palm_m: tuple[float, float] = (0.04, 0.15)
    max_wrist_speed: float = 10.0
    max_wrist_rate: float = 45.0
    max_camera_speed: float = 10.0
    max_camera_rate: float = 30.0
    fov_deg: tuple[float, float] = (15.0, 170.0)
    max_fps_error: float = 0.02
    min_valid: float = 0.25
    max_z: float = 5.0
    frames_per_video: int = 8
    clip_len: int | None = None
    mismatch: MismatchConfig = field(default_factory=MismatchConfig)

    def __post_init__(self) -> None:
        if self.frames_per_video < 0:
            raise BadInput(f"frames_per_video is {self.frames_per_video}: legal are 0 (all) and more.")
        if self.clip_len is not None and self.clip_len < 1:
            raise BadInput(f"clip_len is {self.clip_len}: legal are 1 and more frames (2000 is usual).")
