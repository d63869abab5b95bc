"""Figures that say how far a reconstruction can be trusted, and plain sentences where they fall short."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from vitra_lib.contracts.camera_track import CameraTrack
from vitra_lib.contracts.hand_track import SIDES, HandTrack, Side
from vitra_lib.geometry.cameras import project
from vitra_lib.geometry.rotations import geodesic_angle
from vitra_lib.geometry.transforms import apply
from vitra_lib.reconstruction.cleaning import frame_period
from vitra_lib.reconstruction.fit import reprojection_rel
from vitra_lib.reconstruction.identity import HandDetections

SAME_PLACE_M = 0.03
"""Wrists nearer than this are at one place: two wrists of people who shake hands are 6 cm apart and more."""


@dataclass(frozen=True)
class Threshold:
    """When a figure deserves a warning.

    Attributes:
        figure: name of the figure, without the side for figures of a hand ("reprojection_rel").
        limit: value from which on it counts as poor, in the figure's unit.
        unit: of the limit; "1" for a share or ratio.
        is_upper: True: values above the limit are poor; False: values below.
        reason: what a poor value means.
        why: where the limit comes from.
        of: "clip" for one figure per video, "frame" for one per frame.
    """

    figure: str
    limit: float
    unit: str
    is_upper: bool
    reason: str
    why: str
    of: Literal["clip", "frame"] = "clip"


THRESHOLDS: tuple[Threshold, ...] = (
    Threshold(
        "reprojection_rel", 0.35, "1", True, "the fitted hand misses the detected points by a third of a hand",
        "on the sample and two real clips right fits miss them by 0.08 to 0.15; twice that and more is another pose",
    ),
    Threshold(
        "filled_fraction", 0.3, "1", True, "much of the track was filled over gaps, not seen",
        "filled frames follow a smooth curve, so above a third the curve, not the hand, decides the segments",
    ),
    Threshold(
        "jitter_m", 0.004, "m", True, "the wrist path still trembles; its speed minima may be noise",
        "at 30 frames/s 4 mm per frame are 0.12 m/s, about the speed at which a wrist counts as resting",
    ),
    Threshold(
        "longest_s", 0.5, "s", False, "no run is as long as the window that finds one action",
        "the speed minimum that ends an action is looked for in a window of half a second",
    ),
    Threshold(
        "confidence", 0.3, "1", False, "the joints of this hand are probably off by more than 5 cm",
        "confidence is the chance of less than 5 cm; a choice: twice as likely wrong as right",
    ),
    Threshold(
        "hands_same_place", 0.05, "1", True, "both hands are tracked at one place; one of them is probably false",
        "wrists of clasped hands are still 6 cm apart; more than one frame in twenty is no chance",
    ),
    Threshold(
        "camera_coverage", 0.9, "1", False, "the camera pose is unknown in many frames",
        "a followed camera is known in every frame; a tenth lost is more than a blur of a turned head",
    ),
    Threshold(
        "camera_scale_rel_std", 0.3, "1", True, "lengths in the world are uncertain by a third",
        "scale from hands is usually sure to 0.15; a choice: at 0.3 speeds and paths can no longer be compared",
    ),
    Threshold(
        "camera_focal_rel_std", 0.1, "1", True, "the focal length is a guess; depths and paths bend with it",
        "self-calibration that is no surer is thrown away for the prior, whose uncertainty this then is",
    ),
    Threshold(
        "orientation_upward", 0.0, "1", False, "the hands come from above rather than from below",
        "the wearer's arms come from below; at -0.5 the video is refused as upside down",
    ),
    Threshold(
        "orientation_wrong_sides", 0.5, "1", True, "the right hand is mostly left of the other: another's view?",
        "arms cross now and then, not half of the time; at 0.9 the video is refused",
    ),
    Threshold(
        "reprojection_rel", 0.5, "1", True, "the fitted hand misses the detected points by half a hand",
        "a choice: single frames scatter more than the median of a clip", "frame",
    ),
    Threshold(
        "jitter_m", 0.02, "m", True, "the wrist jumps against its neighbours",
        "2 cm in one frame are 18 m/s^2 at 30 frames/s, twice gravity: a hand at work seldom does that", "frame",
    ),
    Threshold(
        "confidence", 0.15, "1", False, "the joints are most probably off by more than 5 cm here",
        "half of the limit for a whole track", "frame",
    ),
)  # fmt: skip
"""All limits in one place. The report warns by those of "clip" and ranks moments by those of "frame"."""


def quality_figures(
    camera: CameraTrack,
    hands: dict[Side, HandTrack],
    detections: dict[Side, HandDetections],
    times_s: Float[np.ndarray, " time"],
    camera_figures: dict[str, float] | None = None,
) -> dict[str, float]:
    """Named figures of one reconstruction; NaN where a figure does not exist (a hand that was never seen).

    Args:
        camera: the path, with K of the frames the points were detected in.
        hands: smoothed tracks by side.
        detections: detected points by side.
        times_s: times of the frames [s].
        camera_figures: figures of the camera estimator, passed through.

    Returns:
        Per hand, with the prefix "left_" or "right_": coverage (share of frames valid), detected_fraction (share of
        frames in which the tracker saw it), filled_fraction (share of valid frames that were filled), confidence
        (mean), reprojection_rel (median error relative to the hand's length in the image), reprojection_px (the same
        in pixels of the frames the points were detected in), jitter_m (median distance of the world wrist from the
        middle of its neighbours [m]), jerk (median size of its third derivative [m/s^3]), track_count, track_s
        (median length of its runs [s]), longest_s [s].
        Of the camera: coverage, path_m [m], turn_rad [rad], scale_rel_std. Of both hands: hands_same_place (share of
        frames with both hands in which the wrists coincide), coverage_any, time_s [s].
    """
    figures = {
        "time_s": float(times_s[-1] - times_s[0]) + frame_period(times_s) if len(times_s) else 0.0,
        "coverage_any": _share(hands["left"].is_valid | hands["right"].is_valid),
        "hands_same_place": _same_place(hands),
    }
    for side in SIDES:
        for name, value in _hand_figures(camera, hands[side], detections[side], times_s).items():
            figures[f"{side}_{name}"] = value
    return figures | _camera_motion(camera) | (camera_figures or {})


def quality_warnings(quality: dict[str, float]) -> tuple[str, ...]:
    """One sentence per figure that is poor; a hand that was never seen is not a fault of the reconstruction."""
    found = []
    for threshold in (t for t in THRESHOLDS if t.of == "clip"):
        for prefix in ("", *(f"{side}_" for side in SIDES)):
            value = quality.get(prefix + threshold.figure, np.nan)
            if np.isfinite(value) and (value > threshold.limit) == threshold.is_upper and value != threshold.limit:
                bound = "above" if threshold.is_upper else "below"
                figure = f"{prefix}{threshold.figure} = {value:.3g}"
                found.append(f"{figure}, {bound} {threshold.limit:g}: {threshold.reason}.")
    return tuple(found)


def _hand_figures(
    camera: CameraTrack, hand: HandTrack, detections: HandDetections, times_s: np.ndarray
) -> dict[str, float]:
    valid, seen = hand.is_valid, hand.is_observed & hand.is_valid
    figures = {"coverage": _share(valid), "detected_fraction": _share(detections.is_detected)}
    edges = np.flatnonzero(np.diff(np.concatenate([[0], valid.astype(int), [0]])))
    starts, stops = edges[::2], edges[1::2]
    figures["track_count"] = float(len(starts))
    if not valid.any():
        unknown = ("filled_fraction", "confidence", "reprojection_rel", "reprojection_px")
        unknown += ("jitter_m", "jerk", "track_s", "longest_s")
        return figures | dict.fromkeys(unknown, float("nan"))
    missed = reprojection_rel(hand.joints_cam[seen], detections.keypoints_px[seen], camera.K_px)
    missed_px = reprojection_px(hand.joints_cam[seen], detections.keypoints_px[seen], camera.K_px)
    runs_s = times_s[stops - 1] - times_s[starts] + frame_period(times_s)
    return figures | {
        "filled_fraction": _share(~seen[valid]),
        "confidence": float(hand.confidence[valid].mean()),
        "reprojection_rel": _median(missed),
        "reprojection_px": _median(missed_px),
        "jitter_m": _median(jitter_m(camera, hand, times_s)),
        "jerk": _jerk(camera, hand, times_s),
        "track_s": float(np.median(runs_s)),
        "longest_s": float(runs_s.max()),
    }


def reprojection_px(
    joints_cam: Float[np.ndarray, "time 21 3"],
    keypoints_px: Float[np.ndarray, "time 21 2"],
    K_px: Float[np.ndarray, "3 3"],
) -> Float[np.ndarray, " time"]:
    """Mean distance of the projected joints from the detected points per frame [px]; NaN where either is missing."""
    return np.linalg.norm(project(K_px, joints_cam) - keypoints_px, axis=-1).mean(axis=-1)


def jitter_m(
    camera: CameraTrack, hand: HandTrack, times_s: Float[np.ndarray, " time"]
) -> Float[np.ndarray, " time"]:
    """Distance of the wrist from the point between its neighbours, in the world [m]; NaN where one is unknown."""
    found = np.full(len(hand), np.nan)
    if len(hand) < 3:
        return found
    t = apply(camera.T_world_cam, hand.t_cam_wrist[:, None])[:, 0]
    whole = hand.is_valid[:-2] & hand.is_valid[1:-1] & hand.is_valid[2:]
    share = ((times_s[1:-1] - times_s[:-2]) / (times_s[2:] - times_s[:-2]))[:, None]
    between = t[:-2] * (1 - share) + t[2:] * share
    found[1:-1] = np.where(whole, np.linalg.norm(t[1:-1] - between, axis=-1), np.nan)
    return found


def _jerk(camera: CameraTrack, hand: HandTrack, times_s: np.ndarray) -> float:
    """Median size of the third derivative of the wrist's world path [m/s^3]."""
    period = frame_period(times_s)
    if len(hand) < 4 or period <= 0:
        return float("nan")
    t = apply(camera.T_world_cam, hand.t_cam_wrist[:, None])[:, 0]
    whole = hand.is_valid[:-3] & hand.is_valid[1:-2] & hand.is_valid[2:-1] & hand.is_valid[3:]
    return _median(np.linalg.norm(np.diff(t, 3, axis=0), axis=-1)[whole] / period**3)


def _same_place(hands: dict[Side, HandTrack]) -> float:
    both = hands["left"].is_valid & hands["right"].is_valid
    if not both.any():
        return float("nan")
    apart = np.linalg.norm(hands["left"].t_cam_wrist - hands["right"].t_cam_wrist, axis=-1)
    return _share(apart[both] < SAME_PLACE_M)


def _camera_motion(camera: CameraTrack) -> dict[str, float]:
    pair = camera.is_valid[:-1] & camera.is_valid[1:]
    centres, R = camera.T_world_cam[:, :3, 3], camera.T_world_cam[:, :3, :3]
    steps = np.linalg.norm(np.diff(centres, axis=0), axis=-1)[pair]
    turns = geodesic_angle(R[:-1], R[1:])[pair]
    return {
        "camera_coverage": _share(camera.is_valid),
        "camera_path_m": float(steps.sum()) if camera.is_valid.any() else float("nan"),
        "camera_turn_rad": float(turns.sum()) if camera.is_valid.any() else float("nan"),
        "camera_scale_rel_std": float(camera.scale_rel_std),
    }


def _share(flags: np.ndarray) -> float:
    return float(np.mean(flags)) if len(flags) else float("nan")


def _median(values: np.ndarray) -> float:
    values = values[np.isfinite(values)]
    return float(np.median(values)) if len(values) else float("nan")
