"""Cut each hand's track into atomic actions (paper section on atomic action segmentation).

Left and right are cut independently. Per hand: world positions of the wrist where the pose is known → smoothed
velocity on the true time axis → cuts → pieces → filters. Every dropped piece is a `Rejection` that can be counted.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from vitra_lib.contracts import Reconstruction, Rejection, Segment, Segmentation
from vitra_lib.contracts.hand_track import SIDES, Side
from vitra_lib.core.errors import BadInput
from vitra_lib.segmentation.config import SegmentationConfig
from vitra_lib.segmentation.cuts import merge_short, prominent, rests, split_long, window_minima
from vitra_lib.segmentation.speed import runs_of, smoothed_motion

_QUIET_SHARE = 0.05  # a hand stands still for at least this share of a track; the speed seen then is noise


DEFAULT_CONFIG = SegmentationConfig()


@dataclass(frozen=True)
class _Track:
    """The valid frames of one hand; `frame` are their indices into the reconstruction `source`."""

    frame: Int[np.ndarray, " n"]
    time_s: Float[np.ndarray, " n"]
    run: Int[np.ndarray, " n"]
    speed: Float[np.ndarray, " n"]
    path_so_far: Float[np.ndarray, " n"]
    source: Reconstruction
    side: Side


@dataclass(frozen=True)
class _Pieces:
    """What lies between two cuts, per piece: positions `first` and `last` in the track, [start, stop) in frames of the
    reconstruction, and the figures that decide. `reason` is "" for accepted pieces."""

    first: Int[np.ndarray, " n"]
    last: Int[np.ndarray, " n"]
    start: Int[np.ndarray, " n"]
    stop: Int[np.ndarray, " n"]
    duration_s: Float[np.ndarray, " n"]
    path_m: Float[np.ndarray, " n"]
    valid_fraction: Float[np.ndarray, " n"]
    turn_rad: Float[np.ndarray, " n"]
    reason: tuple[str, ...]


def segment(reconstruction: Reconstruction, config: SegmentationConfig = DEFAULT_CONFIG) -> Segmentation:
    """Cut both hands of a reconstruction into atomic actions.

    Args:
        reconstruction: camera and hands in metric world space.
        config: rule and thresholds, in seconds and metres.

    Returns:
        Accepted segments ordered by (start, side), what was dropped and why ("low_motion", "hand_lost",
        "too_short"), and per side the cuts and the speed they were found on. A side that is never valid has no cuts.

    Raises:
        BadInput: the frame times do not increase.
    """
    if np.any(np.diff(reconstruction.time_s) <= 0):
        raise BadInput(
            f"The frame times of {reconstruction.video_name} do not increase: segmentation needs a time axis."
        )
    segments: list[Segment] = []
    rejections: list[Rejection] = []
    cuts: dict[str, np.ndarray] = {}
    speed: dict[str, np.ndarray] = {}
    for side in SIDES:
        track = _track(reconstruction, side, config)
        speed[side] = np.full(len(reconstruction), np.nan)
        speed[side][track.frame] = track.speed
        pieces = _pieces(track, _cuts(track, config), config)
        segments += _segments(pieces, side, config.rule)
        rejections += _rejections(pieces, side, config)
        cuts[side] = track.frame[np.union1d(pieces.first, pieces.last)]
    segments.sort(key=lambda s: (s.start, s.side))
    return Segmentation(tuple(segments), tuple(rejections), cuts, speed, config.rule)


def _track(reconstruction: Reconstruction, side: Side, config: SegmentationConfig) -> _Track:
    """Valid frames of one hand with smoothed speed and path."""
    hand, camera = reconstruction.hand(side), reconstruction.camera
    position = reconstruction.t_world_wrist(side) if hand.is_valid.any() else hand.t_cam_wrist
    frame = np.flatnonzero(hand.is_valid & camera.is_valid & np.isfinite(position.sum(axis=1)))
    time_s = reconstruction.time_s[frame]
    run = runs_of(time_s, config.max_gap_s)
    smooth, velocity = smoothed_motion(time_s, position[frame], run, config.smoothing_s)
    step = np.linalg.norm(np.diff(smooth, axis=0), axis=1)
    return _Track(
        frame=frame,
        time_s=time_s,
        run=run,
        speed=np.linalg.norm(velocity, axis=1),
        path_so_far=np.concatenate([[0.0], np.cumsum(step)])[: len(frame)],
        source=reconstruction,
        side=side,
    )


def _cuts(track: _Track, config: SegmentationConfig) -> Int[np.ndarray, " cuts"]:
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


def _pieces(track: _Track, cuts: Int[np.ndarray, " cuts"], config: SegmentationConfig) -> _Pieces:
    """Measure and judge what lies between neighbouring cuts of a run; accepted pieces that are too long are split."""
    is_piece = track.run[cuts[:-1]] == track.run[cuts[1:]]
    # A run of a single frame is a piece without length, so that its rejection is counted too.
    is_lone = ~np.append(is_piece, False) & ~np.append(False, is_piece) if len(cuts) else np.zeros(0, bool)
    first = np.sort(np.concatenate([cuts[:-1][is_piece], cuts[is_lone]]))
    last = np.sort(np.concatenate([cuts[1:][is_piece], cuts[is_lone]]))
    pieces = _judged(track, first, last, config)
    too_long = [i for i in np.flatnonzero(pieces.duration_s > config.max_duration_s) if not pieces.reason[i]]
    if not too_long:
        return pieces
    splits = [split_long(int(first[i]), int(last[i]), track.time_s, track.speed, config) for i in too_long]
    added = np.array([frame for frames in splits for frame in frames], np.int64)
    return _judged(track, np.union1d(first, added), np.union1d(last, added), config)


def _judged(
    track: _Track, first: Int[np.ndarray, " n"], last: Int[np.ndarray, " n"], config: SegmentationConfig
) -> _Pieces:
    """The figures of the pieces [first, last] of a track, and why some of them are dropped."""
    # The last frame of a run belongs to its last piece; else it opens the next piece.
    is_run_end = np.append(np.diff(track.run) > 0, True)[last] if len(last) else np.zeros(0, bool)
    start, stop = track.frame[first], track.frame[last] + is_run_end
    duration_s = track.time_s[last] - track.time_s[first]
    path_m = track.path_so_far[last] - track.path_so_far[first]
    valid_fraction = (last - first + is_run_end) / np.maximum(stop - start, 1)
    is_short = duration_s < config.min_duration_s - 1e-9
    is_lost = ~is_short & (valid_fraction < config.min_valid_fraction)
    is_near = ~is_short & ~is_lost & (path_m < config.min_path_m)
    turn_rad = np.full(len(first), np.nan)
    turn_rad[is_near] = _turns(track, first[is_near], last[is_near])
    is_still = is_near & (turn_rad < config.min_turn_rad)
    reason = np.select([is_short, is_lost, is_still], ["too_short", "hand_lost", "low_motion"], "")
    return _Pieces(first, last, start, stop, duration_s, path_m, valid_fraction, turn_rad, tuple(reason.tolist()))


def _turns(track: _Track, first: Int[np.ndarray, " n"], last: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Largest angle [rad] between the wrist in the world at the first and at any other frame of each piece."""
    if len(first) == 0:
        return np.zeros(0)
    length = last - first + 1
    offset = np.concatenate([[0], np.cumsum(length)[:-1]])
    frame = track.frame[np.repeat(first - offset, length) + np.arange(length.sum())]
    R_world_wrist = track.source.camera.T_world_cam[frame, :3, :3] @ track.source.hand(track.side).R_cam_wrist[frame]
    # trace(R0^T R) = 1 + 2 cos(angle)
    cosine = (np.einsum("nij,nij->n", np.repeat(R_world_wrist[offset], length, axis=0), R_world_wrist) - 1.0) / 2.0
    return np.arccos(np.clip(np.minimum.reduceat(cosine, offset), -1.0, 1.0))


def _segments(pieces: _Pieces, side: Side, rule: str) -> list[Segment]:
    rows = zip(
        pieces.reason, pieces.start.tolist(), pieces.stop.tolist(), pieces.path_m.tolist(),
        pieces.duration_s.tolist(), pieces.valid_fraction.tolist(), strict=True,
    )  # fmt: skip
    return [
        Segment(side, start, stop, path_m, path_m / duration_s, fraction, rule)
        for reason, start, stop, path_m, duration_s, fraction in rows
        if not reason
    ]


def _rejections(pieces: _Pieces, side: Side, config: SegmentationConfig) -> list[Rejection]:
    rejections = []
    for i, reason in enumerate(pieces.reason):
        if not reason:
            continue
        start, stop, seconds = int(pieces.start[i]), int(pieces.stop[i]), pieces.duration_s[i]
        if reason == "too_short":
            detail = f"The hand is seen for {seconds:.2f} s; at least {config.min_duration_s:g} s are needed."
        elif reason == "hand_lost":
            detail = f"The hand is valid in {pieces.valid_fraction[i]:.0%} of {stop - start} frames."
        else:
            moved, turned = 100 * pieces.path_m[i], np.degrees(pieces.turn_rad[i])
            detail = f"The wrist moves {moved:.1f} cm and turns {turned:.0f} degrees in {seconds:.2f} s."
        item = f"{side} hand, frames [{start}, {stop})"
        rejections.append(Rejection("segmentation", item, reason, detail, start, stop))
    return rejections
