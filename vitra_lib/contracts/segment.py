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
class Segmentation:
    """All segments of one reconstruction.

    Attributes:
        segments: accepted segments, ordered by (start, side).
        rejections: the dropped ones, with reasons.
        cuts: per side, the frame indices at which the track was cut (first and last included).
        speed: per side, (time,) smoothed world speed of the wrist [m/s], NaN where invalid.
        rule: "speed-minima" or "fixed-interval".
    """

    segments: tuple[Segment, ...]
    rejections: tuple[Rejection, ...]
    cuts: dict[str, np.ndarray]
    speed: dict[str, np.ndarray]
    rule: str
