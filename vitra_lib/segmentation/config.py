"""The knobs of segmentation, in seconds and metres, with the paper's values where it gives them."""

import math
from dataclasses import dataclass, fields

from vitra_lib.core.errors import BadInput, UnknownName

RULES = ("speed-minima", "fixed-interval")


@dataclass(frozen=True)
class SegmentationConfig:
    """How a track is cut into atomic actions.

    The paper gives the signal (world speed of the wrist after smoothing) and the rule (a frame is a cut when it has
    the lowest speed in a fixed window centred on it, 0.5 s); `SegmentationConfig.to_the_letter()` is that and nothing
    else. It is silent on everything marked "ours" below. Those defaults were chosen on generated minimum-jerk motion
    with and without noise, on true tracks of the world (seeds 70000 to 70019) and on reconstructed ones (unseen
    textures, seeds 91000 to 91005); recorded figures are of other seeds.

    Attributes:
        rule: "speed-minima" (the paper's) or "fixed-interval" (its ablation).
        window_s: full width of the window in which a cut must be the minimum [s]; the paper's 0.5.
        interval_s: length of the pieces of the "fixed-interval" rule [s]; the paper's ablation uses 1.
        smoothing_s: standard deviation of the Gaussian weights of the local line fit whose slope is the velocity [s];
            ours (re-implementations use 1 to 2 frames at 30 fps).
        depth_trust: weight of speed along the line of sight of the camera. One camera sees depth several times worse
            than the rest, and its error looks like motion; ours. 1 = the paper's plain speed.
        max_gap_s: the hand may be invalid this long inside one stretch of track; longer gaps end it [s]; ours.
        min_duration_s: shorter pieces are merged with the neighbour across the faster cut [s]; ours.
        max_duration_s: longer pieces are split at their deepest minimum [s]; ours.
        max_cut_ratio: a minimum counts when its speed is at most this share of the lower of the two peaks beside
            it; a ripple on top of one movement is no boundary. Ours; 1 switches it off.
        min_pause_s: a minimum counts when the speed stays below half that peak for this long [s]; where the path turns
            back within one movement the speed touches zero for an instant only. Ours; 0 switches it off.
        rest_speed: below this speed the hand rests [m/s]; ours.
        rest_noise_factor: on a noisy track the hand rests below this multiple of the noise, which is read off as
            the 5 % quantile of the speed; ours. 0 keeps `rest_speed` whatever the noise.
        rest_speed_max: bound of that adaptation [m/s]; ours.
        rest_min_s: a rest at least this long is a piece of its own, cut at both of its ends, not one cut in its
            middle [s]; ours. 0 switches it off.
        min_path_m: pieces whose wrist path is shorter than this are dropped as "low_motion" [m]; ours...
        min_turn_rad: ...unless the wrist turns by at least this angle from where it started [rad]: pouring and
            turning a knob are actions on the spot. Ours.
        min_valid_fraction: pieces in which the hand is valid in a smaller share of frames are dropped as
            "hand_lost"; a re-implementation of the paper uses 0.5.
        repeat_shape: strokes that differ by at most this share of their size repeat each other; ours. 0 = never look.
        repeat_drift: ...unless they lie further apart than this multiple of their size; ours.
    """

    rule: str = "speed-minima"
    window_s: float | int = 0.5
    interval_s: float | int = 1.0
    smoothing_s: float | int = 0.07
    depth_trust: float | int = 0.3
    max_gap_s: float | int = 0.8
    min_duration_s: float | int = 0.3
    max_duration_s: float | int = 5.0
    max_cut_ratio: float | int = 0.8
    min_pause_s: float | int = 0.09
    rest_speed: float = 0.02
    rest_noise_factor: float | int = 6.0
    rest_speed_max: float = 0.1
    rest_min_s: float | int = 0.4
    min_path_m: float | int = 0.03
    min_turn_rad: float | int = 0.5
    min_valid_fraction: float | int = 0.5
    repeat_shape: float | int = 0.6
    repeat_drift: float | int = 1.0

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise UnknownName("segmentation rule", self.rule, RULES)
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name != "rule" and not (math.isfinite(value) and value >= 0):
                raise BadInput(f"Segmentation {field.name} is {value}: legal are finite numbers from 0 up.")
        for name in ("window_s", "interval_s", "smoothing_s"):
            if getattr(self, name) == 0:
                raise BadInput(f"Segmentation {name} is 0: legal is more than 0.")
        if self.max_duration_s < 2 * self.min_duration_s:
            raise BadInput(
                f"Segmentation max_duration_s is {self.max_duration_s:g}: legal is at least twice min_duration_s "
                f"({self.min_duration_s:g}), else a piece that is too long can't be split."
            )
        if self.rest_speed_max < self.rest_speed:
            raise BadInput(
                f"Segmentation rest_speed_max is {self.rest_speed_max:g}: "
                f"legal is at least rest_speed ({self.rest_speed:g})."
            )
        for name in ("max_cut_ratio", "min_valid_fraction", "depth_trust"):
            if getattr(self, name) > 1:
                raise BadInput(f"Segmentation {name} is {getattr(self, name):g}: legal are 0 to 1.")

    @classmethod
    def to_the_letter(cls, smoothing_s: float | int = 0.07) -> "SegmentationConfig":
        """The paper's rule and nothing else: every minimum in its window is a cut, no piece is merged or split.

        Args:
            smoothing_s: width of the smoothing, which the paper does not give [s].
        """
        return cls(
            smoothing_s=smoothing_s,
            depth_trust=1,
            max_cut_ratio=1,
            min_pause_s=0,
            rest_min_s=0,
            min_duration_s=0,
            max_duration_s=1e6,
        )
