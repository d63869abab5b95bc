"""Atomic actions: half-open frame intervals of one hand (paper section on atomic action segmentation)."""

from dataclasses import dataclass

import numpy as np

from vitra_lib.contracts.hand_track import Side
from vitra_lib.contracts.rejection import Rejection


@dataclass(frozen=True)
class Segment:
    """One atomic action of one hand.

    Attributes:
        side: the hand whose motion was cut.
        start, stop: half-open interval [start, stop) of frame indices into the reconstruction.
        path_m: length of the wrist's world path inside the segment [m].
        mean_speed: mean world speed of the wrist inside the segment [m/s].
        valid_fraction: share of frames in which the hand is valid.
        rule: "speed-minima" or "fixed-interval".
    """

    side: Side
    start: int
    stop: int
    path_m: float
    mean_speed: float
    valid_fraction: float
    rule: str


@dataclass(frozen=True)
class Repeat:
    """A stretch in which one hand does the same over and over: wiping, stirring, grating.

    Speed minima cut each stroke off; a caption says whether the strokes are one action.

    Attributes:
        side: the hand.
        start, stop: half-open interval [start, stop) of frame indices into the reconstruction; both are cuts.
        strokes: pieces between cuts in it.
        period: strokes after which the motion comes back: 1 = circles, 2 = to and fro.
    """

    side: Side
    start: int
    stop: int
    strokes: int
    period: int


@dataclass(frozen=True)
class Segmentation:
    """All segments of one reconstruction.

    Attributes:
        segments: accepted segments, ordered by (start, side).
        rejections: the dropped ones, with reasons.
        cuts: per side, the frame indices at which the track was cut (first and last included).
        speed: per side, (time,) smoothed world speed of the wrist that was cut at [m/s], NaN where invalid.
        rule: "speed-minima" or "fixed-interval".
        repeats: stretches of repeated motion, ordered by (start, side): what the rule has probably split too finely.
    """

    segments: tuple[Segment, ...]
    rejections: tuple[Rejection, ...]
    cuts: dict[str, np.ndarray]
    speed: dict[str, np.ndarray]
    rule: str
    repeats: tuple[Repeat, ...] = ()
