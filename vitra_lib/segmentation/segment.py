"""Cut each hand's track into atomic actions (paper section on atomic action segmentation).

Left and right are cut independently. Per hand: world positions of the wrist where the pose is known → smoothed
velocity on the true time axis → cuts → pieces → filters. Every dropped piece is a `Rejection` that can be counted.
"""

import numpy as np
from jaxtyping import Int

from vitra_lib.contracts import Reconstruction, Segmentation
from vitra_lib.contracts.hand_track import SIDES, Side
from vitra_lib.segmentation.config import SegmentationConfig
from vitra_lib.segmentation.cuts import merge_short, prominent, rests, window_minima
from vitra_lib.segmentation.pieces import pieces_between, rejections_of, segments_of
from vitra_lib.segmentation.repeats import find_repeats
from vitra_lib.segmentation.track import Track, WristPath

_QUIET_SHARE = 0.05  # a hand stands still for at least this share of a track; the speed seen then is noise

DEFAULT_CONFIG = SegmentationConfig()


def segment(reconstruction: Reconstruction, config: SegmentationConfig = DEFAULT_CONFIG) -> Segmentation:
    """Cut both hands of a reconstruction into atomic actions.

    Args:
        reconstruction: camera and hands in metric world space.
        config: rule and thresholds, in seconds and metres.

    Returns:
        Accepted segments ordered by (start, side), what was dropped and why ("low_motion", "hand_lost",
        "too_short"), per side the cuts and the speed they were found on, and stretches of repeated motion. A side that
        is never valid has no cuts.

    Raises:
        BadInput: the frame times do not increase.
    """
    found = [segment_path(WristPath.of(reconstruction, side), side, config) for side in SIDES]
    return Segmentation(
        segments=tuple(sorted((s for part in found for s in part.segments), key=lambda s: (s.start, s.side))),
        rejections=tuple(r for part in found for r in part.rejections),
        cuts={side: part.cuts[side] for side, part in zip(SIDES, found, strict=True)},
        speed={side: part.speed[side] for side, part in zip(SIDES, found, strict=True)},
        rule=config.rule,
        repeats=tuple(sorted((r for part in found for r in part.repeats), key=lambda r: (r.start, r.side))),
    )


def segment_path(path: WristPath, side: Side = "right", config: SegmentationConfig = DEFAULT_CONFIG) -> Segmentation:
    """Cut one wrist's path; the same as `segment`, for paths that no video reconstruction gave.

    Args:
        path: the wrist in the world.
        side: the hand whose it is; cuts and speed of the result have this key alone.
        config: rule and thresholds, in seconds and metres.
    """
    track = Track.of(path, config)
    speed = np.full(len(path.time_s), np.nan)
    speed[track.frame] = track.speed
    pieces = pieces_between(track, _cuts(track, config), config)
    return Segmentation(
        segments=tuple(segments_of(pieces, side, config.rule)),
        rejections=tuple(rejections_of(pieces, side, config)),
        cuts={side: track.frame[np.union1d(pieces.first, pieces.last)]},
        speed={side: speed},
        rule=config.rule,
        repeats=tuple(find_repeats(track, pieces, side, config)),
    )


def _cuts(track: Track, config: SegmentationConfig) -> Int[np.ndarray, " cuts"]:
    """Positions in the track at which it is cut; every run of two frames or more has its first and last among them."""
    if len(track.frame) == 0:
        return np.zeros(0, np.int64)
    is_new = np.concatenate([[True], np.diff(track.run) > 0])
    first = np.flatnonzero(is_new)
    last = np.append(first[1:], len(track.frame)) - 1
    ends = np.union1d(first, last)
    if config.rule == "fixed-interval":
        elapsed = track.time_s - track.time_s[first][track.run]
        number = np.floor(elapsed / config.interval_s + 1e-6)
        inner = np.flatnonzero(np.diff(number, prepend=0) > 0)
        cuts = np.union1d(ends, inner)
        return merge_short(cuts, track.time_s, track.run, np.zeros(len(track.frame)), config.min_duration_s)
    minima = window_minima(track.time_s, track.run, track.speed, config.window_s)
    fixed, single = ends, np.zeros(0, np.int64)
    if config.rest_min_s > 0:
        noise = np.quantile(track.speed, _QUIET_SHARE)
        rest_speed = float(np.clip(config.rest_noise_factor * noise, config.rest_speed, config.rest_speed_max))
        # A long rest is a piece: its two ends are cuts. A short one is a plateau: its middle is the cut.
        first_still, last_still = rests(track.time_s, track.run, track.speed, rest_speed)
        is_long = track.time_s[last_still] - track.time_s[first_still] >= config.rest_min_s
        fixed = np.unique(np.concatenate([ends, first_still[is_long], last_still[is_long]]))
        single = ((first_still + last_still) // 2)[~is_long]
        minima = minima[track.speed[minima] >= rest_speed]
    cuts = np.unique(np.concatenate([fixed, single, minima]))
    cuts = cuts[prominent(cuts, np.isin(cuts, fixed), track.time_s, track.speed, config)]
    return merge_short(cuts, track.time_s, track.run, track.speed, config.min_duration_s)
