"""Figures of every frame, and the moments that a person should look at first."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from vitra_lib.contracts import Reconstruction
from vitra_lib.contracts.camera_track import CameraTrack
from vitra_lib.contracts.hand_track import SIDES, HandTrack, Side
from vitra_lib.reconstruction.fit import reprojection_rel
from vitra_lib.reconstruction.identity import HandDetections
from vitra_lib.reconstruction.quality import SAME_PLACE_M, THRESHOLDS, jitter_m, reprojection_px

_WORTH_A_LOOK = 0.5


@dataclass(frozen=True)
class Moment:
    """A frame in which something looks wrong.

    Attributes:
        frame: index into the reconstruction.
        side: the hand, or "" when it is about the camera or both hands.
        badness: how far the worst figure is beyond its limit: 1 = at the limit, 2 = twice as bad.
        reason: one clause that names the figure and what it means.
    """

    frame: int
    side: str
    badness: float
    reason: str


def frame_figures(
    camera: CameraTrack,
    hands: dict[Side, HandTrack],
    detections: dict[Side, HandDetections],
    times_s: Float[np.ndarray, " time"],
) -> dict[str, Float[np.ndarray, " time"]]:
    """Per frame and hand, what needs the detected points or the neighbours; the other figures are in the tracks.

    Args:
        camera: the path, with K of the frames the points were detected in.
        hands: smoothed tracks by side.
        detections: detected points by side.
        times_s: times of the frames [s].

    Returns:
        With the prefix "left_" or "right_": reprojection_px [px], reprojection_rel (relative to the hand's length in
        the image) and jitter_m [m]; NaN where the hand was not seen, or is not valid.
    """
    figures = {}
    for side in SIDES:
        hand, points = hands[side], detections[side].keypoints_px
        seen = hand.is_valid & hand.is_observed
        for name, measure in (("reprojection_px", reprojection_px), ("reprojection_rel", reprojection_rel)):
            values = np.full(len(hand), np.nan)
            if seen.any():
                values[seen] = measure(hand.joints_cam[seen], points[seen], camera.K_px)
            figures[f"{side}_{name}"] = values
        figures[f"{side}_jitter_m"] = jitter_m(camera, hand, times_s)
    return figures


def worst_moments(reconstruction: Reconstruction, count: int = 6, apart_s: float = 1.0) -> tuple[Moment, ...]:
    """The frames whose figures are furthest beyond their limits or nearest to them, worst first.

    Args:
        reconstruction: camera and hands, with `frame_quality`.
        count: how many at most; frames whose figures keep to half of every limit are not among them.
        apart_s: least time between two of them [s], so that one bad stretch is shown once.
    """
    moments = [m for side in SIDES for m in _of_hand(reconstruction, side)] + _of_all(reconstruction)
    chosen: list[Moment] = []
    times = reconstruction.time_s
    for moment in sorted(moments, key=lambda m: (-m.badness, m.frame, m.side)):
        if all(abs(times[moment.frame] - times[other.frame]) >= apart_s for other in chosen):
            chosen.append(moment)
        if len(chosen) == count:
            break
    return tuple(chosen)


def _of_hand(reconstruction: Reconstruction, side: Side) -> list[Moment]:
    """Frames in which a figure of one hand is beyond half its limit, each with its worst figure."""
    hand = reconstruction.hand(side)
    figures = {"confidence": np.where(hand.is_valid & hand.is_observed, hand.confidence, np.nan)}
    figures |= {name: reconstruction.frame_quality.get(f"{side}_{name}") for name in ("reprojection_rel", "jitter_m")}
    worst: dict[int, Moment] = {}
    for threshold in (t for t in THRESHOLDS if t.of == "frame"):
        values = figures[threshold.figure]
        if values is None:
            continue
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = values / threshold.limit if threshold.is_upper else threshold.limit / np.maximum(values, 1e-3)
        for frame in np.flatnonzero(ratio > _WORTH_A_LOOK):
            if frame not in worst or ratio[frame] > worst[frame].badness:
                unit = "" if threshold.unit == "1" else f" {threshold.unit}"
                meaning = f": {threshold.reason}" if ratio[frame] > 1 else f" (limit {threshold.limit:g})"
                reason = f"{side} {threshold.figure} = {values[frame]:.2g}{unit}{meaning}"
                worst[int(frame)] = Moment(int(frame), side, float(ratio[frame]), reason)
    return list(worst.values())


def _of_all(reconstruction: Reconstruction) -> list[Moment]:
    """Frames in which the camera is lost, or both hands are at one place."""
    lost = np.flatnonzero(~reconstruction.camera.is_valid)
    moments = [Moment(int(i), "", 2.0, "the camera is lost") for i in lost]
    left, right = reconstruction.left, reconstruction.right
    both = left.is_valid & right.is_valid
    apart = np.linalg.norm(left.t_cam_wrist - right.t_cam_wrist, axis=-1)
    for i in np.flatnonzero(both & (apart < SAME_PLACE_M)):
        badness = float(min(SAME_PLACE_M / max(apart[i], 1e-3), 4.0))
        moments.append(Moment(int(i), "", badness, f"both wrists are {100 * apart[i]:.0f} cm apart: one may be false"))
    return moments
