"""Repeated motion: the speed minima cut every stroke of wiping, stirring or grating off.

The paper's rule does so by design, and its authors leave the merging to what captions say. So nothing is merged here
on geometry alone: `find_repeats` reports stretches in which strokes come back, and `merge_repeats` joins the segments
whose captions agree, before or without any geometry.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from vitra_lib.contracts import Caption, Repeat, Segment, Segmentation
from vitra_lib.contracts.hand_track import Side
from vitra_lib.core.errors import BadInput
from vitra_lib.segmentation.config import SegmentationConfig
from vitra_lib.segmentation.pieces import Pieces
from vitra_lib.segmentation.track import Track

MAX_PERIOD = 2  # strokes per cycle: a circle is one, to and fro is two; longer cycles are made of several actions
MIN_STROKES = 3
_DIRECTION = re.compile(
    r"(?:\s+(?:to|towards?)\s+the)?\s+(?:left|right|up|upwards?|down|downwards?|forwards?|backwards?|back|away)\b", re.I
)
_POINTS = 9  # places at which two strokes are compared


def find_repeats(track: Track, pieces: Pieces, side: Side, config: SegmentationConfig) -> list[Repeat]:
    """Stretches in which each stroke comes back after 1 or 2 strokes, at least three strokes long.

    Two strokes are alike when, moved together, they differ by at most `repeat_shape` of their size, when they lie no
    further apart than `repeat_drift` of it, and when neither takes more than twice as long as the other.

    Args:
        track: the valid frames of one wrist.
        pieces: what lies between its cuts, dropped pieces included.
        side: the hand.
        config: the thresholds; `repeat_shape` = 0 switches the search off.
    """
    if config.repeat_shape == 0 or len(pieces.first) < MIN_STROKES:
        return []
    points = _resampled(track, pieces)
    centre = points.mean(axis=2)
    shape = points - centre[:, :, None]
    strokes = _Strokes(centre, shape, _spread(shape))
    taken = np.zeros(len(pieces.first), bool)
    found = []
    for period in range(1, MAX_PERIOD + 1):
        for begin, stop in _groups(_alike(track, pieces, strokes, period, config), period):
            if not taken[begin:stop].any():
                taken[begin:stop] = True
                found.append((begin, stop, period))
    bridged = _bridged(sorted(found), track.run[pieces.first], strokes, config)
    return [Repeat(side, int(pieces.start[a]), int(pieces.stop[b - 1]), b - a, period) for a, b, period in bridged]


@dataclass(frozen=True)
class _Strokes:
    """Where each piece is, its path about that place, and the spread of that path [m]."""

    centre: Float[np.ndarray, "3 pieces"]
    shape: Float[np.ndarray, "3 pieces points"]
    size: Float[np.ndarray, " pieces"]


def _groups(alike: Bool[np.ndarray, " pairs"], period: int) -> list[tuple[int, int]]:
    """[begin, stop) of strokes in unbroken chains of alike ones, three or more."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], alike.astype(np.int8), [0]])))
    groups = [(int(a), int(b) + period) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    return [(begin, stop) for begin, stop in groups if stop - begin >= MIN_STROKES]


def _bridged(
    groups: list[tuple[int, int, int]],
    run: Int[np.ndarray, " pieces"],
    strokes: _Strokes,
    config: SegmentationConfig,
) -> list[tuple[int, int, int]]:
    """Groups at one place are one when fewer odd strokes lie between them than either has: some stroke went wrong."""
    joined: list[tuple[int, int, int]] = []
    centre, size = strokes.centre, strokes.size
    for begin, stop, period in groups:
        if joined:
            a, b, first_period = joined[-1]
            apart = np.linalg.norm(centre[:, a:b].mean(axis=1) - centre[:, begin:stop].mean(axis=1))
            is_near = apart <= config.repeat_drift * min(np.median(size[a:b]), np.median(size[begin:stop]))
            if is_near and run[a] == run[begin] and begin - b < min(b - a, stop - begin):
                joined[-1] = (a, stop, first_period)
                continue
        joined.append((begin, stop, period))
    return joined


def _resampled(track: Track, pieces: Pieces) -> Float[np.ndarray, "3 pieces points"]:
    """Each piece at a few frames, evenly spread over its duration."""
    share = np.linspace(0.0, 1.0, _POINTS)
    at = np.rint(pieces.first[:, None] + share * (pieces.last - pieces.first)[:, None]).astype(np.int64)
    return track.smooth[:, at]


def _spread(offset: Float[np.ndarray, "3 pieces points"]) -> Float[np.ndarray, " pieces"]:
    """Root mean square length of the offsets of each piece."""
    return np.sqrt((offset**2).sum(axis=0).mean(axis=1))


def _alike(
    track: Track, pieces: Pieces, strokes: _Strokes, period: int, config: SegmentationConfig
) -> Bool[np.ndarray, " pairs"]:
    """Whether each stroke is like the one `period` strokes later in the same run."""
    if len(strokes.size) <= period:
        return np.zeros(0, bool)
    a, b = slice(None, -period), slice(period, None)
    smaller = np.minimum(strokes.size[a], strokes.size[b])
    unlike = _spread(strokes.shape[:, a] - strokes.shape[:, b])
    drift = np.sqrt(((strokes.centre[:, a] - strokes.centre[:, b]) ** 2).sum(axis=0))
    time = pieces.duration_s
    return (
        (track.run[pieces.first[a]] == track.run[pieces.first[b]])
        & (np.minimum(pieces.path_m[a], pieces.path_m[b]) >= config.min_path_m)
        & (unlike <= config.repeat_shape * smaller)
        & (drift <= config.repeat_drift * smaller)
        & (np.maximum(time[a], time[b]) <= 2 * np.minimum(time[a], time[b]))
    )


def merged_cuts(segmentation: Segmentation, side: Side) -> Int[np.ndarray, " cuts"]:
    """The cuts of one hand without those inside a repeat: each repeat taken for one action."""
    cuts = segmentation.cuts[side]
    keep = np.ones(len(cuts), bool)
    for repeat in segmentation.repeats:
        if repeat.side == side:
            keep &= (cuts <= repeat.start) | (cuts >= repeat.stop - 1)
    return cuts[keep]


def merge_repeats(
    segments: Sequence[Segment], captions: Sequence[Caption], repeats: Sequence[Repeat] | None = None
) -> tuple[tuple[Segment, ...], tuple[Caption, ...]]:
    """Join neighbouring segments of one hand that are said to do the same.

    Two segments are joined when one ends where the other begins and their captions are the same sentence (case,
    blanks and the final period do not count). Inside a repeat, words that say only in which direction a stroke goes
    do not count either, and are left out where they differ: wiping to the left and to the right is wiping. "N/A" and
    weak captions never agree: they say nothing about the action.

    Args:
        segments: segments of both hands.
        captions: one per segment, in the same order.
        repeats: `Segmentation.repeats`; then only strokes of one repeat are joined, and two equal actions in a row
            ("Pick up the cup." twice) stay two. None: captions alone decide.

    Returns:
        Segments ordered by (start, side), and their captions: the first one's words.

    Raises:
        BadInput: captions and segments do not belong together.
    """
    if [caption.segment for caption in captions] != list(segments):
        raise BadInput(
            f"There are {len(captions)} captions for {len(segments)} segments: legal is one of each, in order."
        )
    merged: list[Caption] = []
    for caption in sorted(captions, key=lambda c: (c.segment.side, c.segment.start)):
        last = merged[-1] if merged else None
        text = None if last is None else _common_text(last, caption, repeats)
        if text is not None:
            words = {} if text == last.text else {"text": text, "rephrasings": ()}
            merged[-1] = replace(last, segment=_joined(last.segment, caption.segment), **words)
        else:
            merged.append(caption)
    merged.sort(key=lambda c: (c.segment.start, c.segment.side))
    return tuple(c.segment for c in merged), tuple(merged)


def _common_text(a: Caption, b: Caption, repeats: Sequence[Repeat] | None) -> str | None:
    """What two segments that touch are both said to do; None when they stay two."""
    is_next = a.segment.side == b.segment.side and a.segment.stop == b.segment.start
    if not is_next or a.is_na or b.is_na or a.is_weak or b.is_weak:
        return None
    if repeats is not None and not _is_one_repeat(a.segment, b.segment, repeats):
        return None
    if _plain(a.text) == _plain(b.text):
        return a.text
    if repeats is None:
        return None
    undirected = [_DIRECTION.sub("", caption.text) for caption in (a, b)]
    return undirected[0] if _plain(undirected[0]) == _plain(undirected[1]) else None


def _plain(text: str) -> str:
    return " ".join(text.lower().split()).rstrip(" .")


def _is_one_repeat(a: Segment, b: Segment, repeats: Sequence[Repeat]) -> bool:
    """Whether both lie in one repeat, to within half of the shorter: captions may come with slightly other cuts."""
    slack = min(a.stop - a.start, b.stop - b.start) // 2
    return any(r.side == a.side and r.start - slack <= a.start and b.stop <= r.stop + slack for r in repeats)


def _joined(a: Segment, b: Segment) -> Segment:
    """One segment over two that touch; speeds and shares are weighted by time."""
    seconds = sum(s.path_m / s.mean_speed for s in (a, b) if s.mean_speed > 0)
    frames = (a.stop - a.start, b.stop - b.start)
    valid = (a.valid_fraction * frames[0] + b.valid_fraction * frames[1]) / sum(frames)
    path_m = a.path_m + b.path_m
    speed = path_m / seconds if seconds > 0 else 0.0
    return replace(a, stop=b.stop, path_m=path_m, mean_speed=speed, valid_fraction=valid)
