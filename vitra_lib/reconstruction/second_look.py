"""A second, closer look at the frames in which a known hand was lost.

A hand that grasps is often missed in the whole picture and found in an enlarged one. Where a hand was seen before or
after a gap, a window follows the straight line between the two places, and the tracker runs on that enlarged window,
forward and time-reversed again. Hands that were never seen cost nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Float

from vitra_lib.reconstruction.identity import HandDetections, Sighting, fuse

Passes = Callable[[Sequence[np.ndarray]], tuple[list[list[Sighting]], list[list[Sighting]]]]


@dataclass(frozen=True)
class LookConfig:
    """Where to look again.

    Attributes:
        reach_s: how far from a sighting [s].
        window: side of the window in units of the hand's size.
        side_px: side of the enlarged window [px].
    """

    reach_s: float = 1.3
    window: float = 3.0
    side_px: int = 288


@dataclass(frozen=True)
class Gap:
    """Frames [start, stop) in which one hand is looked for again.

    Attributes:
        start, stop: half-open interval of frames.
        centre_px: (time, 2) middle of the window in each of them [px].
        size_px: (time,) side of the window [px].
    """

    start: int
    stop: int
    centre_px: Float[np.ndarray, "time 2"]
    size_px: Float[np.ndarray, " time"]


def gaps_of(hand: HandDetections, fps: float, config: LookConfig) -> list[Gap]:
    """Frames near a sighting of this hand in which it was not seen, with the windows to search."""
    seen = np.flatnonzero(hand.is_detected)
    if len(seen) in (0, len(hand)):
        return []
    low, high = hand.keypoints_px[seen].min(axis=1), hand.keypoints_px[seen].max(axis=1)
    centre, size = 0.5 * (low + high), (high - low).max(axis=-1)
    reach = round(config.reach_s * fps)
    distance = np.abs(np.arange(len(hand))[:, None] - seen[None]).min(axis=1)
    wanted = np.flatnonzero((distance > 0) & (distance <= reach))
    runs = np.split(wanted, np.flatnonzero(np.diff(wanted) > 1) + 1)
    gaps = []
    for run in runs:
        if len(run) == 0:
            continue
        # the windows keep the larger of the two sizes: a hand that shrinks away is still inside
        x = np.stack([np.interp(run, seen, centre[:, k]) for k in (0, 1)], axis=1)
        side = config.window * np.maximum(np.interp(run, seen, size), 0.8 * float(np.median(size)))
        gaps.append(Gap(int(run[0]), int(run[-1]) + 1, x, side))
    return gaps


def look_again(
    frames: Sequence[np.ndarray], hand: HandDetections, fps: float, passes: Passes, config: LookConfig
) -> list[list[Sighting]]:
    """What an enlarged window shows in the gaps of one hand.

    Args:
        frames: the video.
        hand: what is known of the hand.
        fps: frames per second [1/s].
        passes: forward and time-reversed tracker.
        config: where to look.

    Returns:
        Sightings per frame of the video, in its pixels.
    """
    found: list[list[Sighting]] = [[] for _ in frames]
    for gap in gaps_of(hand, fps, config):
        scale = config.side_px / gap.size_px
        shift = 0.5 * config.side_px - scale[:, None] * gap.centre_px
        windows = [
            cv2.warpAffine(
                frames[gap.start + k], np.array([[s, 0.0, dx], [0.0, s, dy]]), (config.side_px, config.side_px)
            )
            for k, (s, (dx, dy)) in enumerate(zip(scale, shift, strict=True))
        ]
        for k, (a, b) in enumerate(zip(*passes(windows), strict=True)):
            for s in fuse(a, b, 0.5):
                keypoints = (s.keypoints_px - shift[k]) / scale[k]
                found[gap.start + k].append(replace(s, frame=gap.start + k, keypoints_px=keypoints))
    return found
