"""What lies between neighbouring cuts: its figures, why some of it is dropped, and the segments that stay."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from vitra_lib.contracts import Rejection, Segment
from vitra_lib.contracts.hand_track import Side
from vitra_lib.segmentation.config import SegmentationConfig
from vitra_lib.segmentation.cuts import split_long
from vitra_lib.segmentation.track import Track


@dataclass(frozen=True)
class Pieces:
    """Per piece: positions `first` and `last` in the track, [start, stop) in frames of the path, and the figures that
    decide. `reason` is "" for accepted pieces."""

    first: Int[np.ndarray, " n"]
    last: Int[np.ndarray, " n"]
    start: Int[np.ndarray, " n"]
    stop: Int[np.ndarray, " n"]
    duration_s: Float[np.ndarray, " n"]
    path_m: Float[np.ndarray, " n"]
    valid_fraction: Float[np.ndarray, " n"]
    turn_rad: Float[np.ndarray, " n"]
    reason: tuple[str, ...]


def pieces_between(track: Track, cuts: Int[np.ndarray, " cuts"], config: SegmentationConfig) -> Pieces:
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
    track: Track, first: Int[np.ndarray, " n"], last: Int[np.ndarray, " n"], config: SegmentationConfig
) -> Pieces:
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
    return Pieces(first, last, start, stop, duration_s, path_m, valid_fraction, turn_rad, tuple(reason.tolist()))


def _turns(track: Track, first: Int[np.ndarray, " n"], last: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Largest angle [rad] between the wrist in the world at the first and at any other frame of each piece."""
    if len(first) == 0 or track.source.rotation is None:
        return np.zeros(len(first))
    length = last - first + 1
    offset = np.concatenate([[0], np.cumsum(length)[:-1]])
    frame = track.frame[np.repeat(first - offset, length) + np.arange(length.sum())]
    R_world_wrist = track.source.rotation(frame)
    # trace(R0^T R) = 1 + 2 cos(angle)
    cosine = (np.einsum("nij,nij->n", np.repeat(R_world_wrist[offset], length, axis=0), R_world_wrist) - 1.0) / 2.0
    return np.arccos(np.clip(np.minimum.reduceat(cosine, offset), -1.0, 1.0))


def segments_of(pieces: Pieces, side: Side, rule: str) -> list[Segment]:
    """The accepted pieces."""
    rows = zip(
        pieces.reason, pieces.start.tolist(), pieces.stop.tolist(), pieces.path_m.tolist(),
        pieces.duration_s.tolist(), pieces.valid_fraction.tolist(), strict=True,
    )  # fmt: skip
    return [
        Segment(side, start, stop, path_m, path_m / duration_s, fraction, rule)
        for reason, start, stop, path_m, duration_s, fraction in rows
        if not reason
    ]


def rejections_of(pieces: Pieces, side: Side, config: SegmentationConfig) -> list[Rejection]:
    """The dropped pieces, each with the figures behind the decision."""
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
