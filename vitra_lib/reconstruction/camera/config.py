"""All knobs of the camera stage, in seconds, metres and fractions; pixels only at a stated image width."""

from dataclasses import dataclass

from vitra_lib.core.errors import BadInput

_OTHER_RULES = ("hand_margin", "focal_guesses", "assume_static")


@dataclass(frozen=True)
class CameraConfig:
    """How the camera is estimated. Pixel thresholds hold for the working image (see `long_side_px`).

    Attributes:
        long_side_px: frames are shrunk to this long side before tracking; features finer than that buy
            little accuracy and cost time. Never enlarged.
        feature_count: corners kept alive per frame.
        hand_margin: hand boxes grow by this fraction of their size on every side before they mask features.
        forward_backward_px: a track step is dropped if tracking it back misses its start by more.
        static_px: the camera is static while 30 % of the image cells moved less than this, measured at 480 px image
            width. Static tripod video measures 0.03-0.15 px, a head-mounted camera 6-115 px; half a pixel is 0.1
            degree, below what the hand tracker resolves.
        assume_static: assert that the camera stands still: no test, no refusal for lack of texture.
        static_sample_s: time between frames that the static test looks at.
        static_reference_s: the static test takes a new reference frame after this time, so that a slowly
            rearranged scene does not look like a moving camera.
        keyframes_per_s, min_keyframes: a clip has at most max(min_keyframes, keyframes_per_s * duration) keyframes:
            the cost of bundle adjustment stays linear in the length of the video.
        keyframe_motion_px: a new keyframe is due when the median track moved this far.
        rotation_only_px: if a pure rotation explains all pairs of frames to within this, at 640 px working width (65th
            percentile of the residual), translation is not observable: it is below 0.3 % of the scene's depth.
        min_parallax_rad: a point is trusted only if its rays span this angle.
        inlier_px: largest reprojection error of an observation that is kept.
        huber_px: errors above this are weighted down in bundle adjustment.
        min_tracks: fewer tracks than this between two keyframes, or inliers in a frame, make no pose.
        focal_guesses: starts of the focal length for self-calibration, in image widths.
        prior_fov_deg: horizontal field of view assumed when neither K nor parallax is available; between a phone
            (65-70) and a head-mounted action camera (85-95).
        prior_rel_std: relative 1-sigma of that prior's focal length.
        max_focal_rel_std: a self-calibrated focal length less certain than this is replaced by the prior.
        calibration_keyframes: keyframes used while the focal length is searched.
        prior_scene_depth_m: median depth of an egocentric manipulation scene, used when the hands tell no scale.
        prior_scene_rel_std: relative 1-sigma of that prior.
        max_scale_jump: clips whose scales disagree by more than this fraction in their overlap are not merged.
    """

    long_side_px: int = 640
    feature_count: int = 450
    hand_margin: float = 0.15
    forward_backward_px: float = 0.5
    static_px: float = 0.5
    assume_static: bool = False
    static_sample_s: float = 0.25
    static_reference_s: float = 5.0
    keyframes_per_s: float = 6.0
    min_keyframes: int = 24
    keyframe_motion_px: float = 10.0
    rotation_only_px: float = 1.2
    min_parallax_rad: float = 0.017
    inlier_px: float = 2.5
    huber_px: float = 0.7
    min_tracks: int = 20
    focal_guesses: tuple[float, ...] = (0.45, 0.6, 0.8, 1.05, 1.4)
    prior_fov_deg: float = 75.0
    prior_rel_std: float = 0.2
    max_focal_rel_std: float = 0.1
    calibration_keyframes: int = 14
    prior_scene_depth_m: float = 0.7
    prior_scene_rel_std: float = 0.4
    max_scale_jump: float = 0.15

    def __post_init__(self) -> None:
        positive = {name: value for name, value in vars(self).items() if name not in _OTHER_RULES}
        for name, value in positive.items():
            if not value > 0:
                raise BadInput(f"CameraConfig.{name} is {value}: it must be greater than 0.")
        if self.hand_margin < 0:
            raise BadInput(f"CameraConfig.hand_margin is {self.hand_margin}: it must be 0 or more.")
        if not self.focal_guesses or min(self.focal_guesses) <= 0:
            raise BadInput("CameraConfig.focal_guesses must hold at least one positive number (image widths).")
        if not 10.0 <= self.prior_fov_deg <= 150.0:
            raise BadInput(f"CameraConfig.prior_fov_deg is {self.prior_fov_deg}: legal are 10 to 150.")


DEFAULT_CONFIG = CameraConfig()
