"""How well predicted cuts hit true ones: precision, recall and F1 at a tolerance, and over-segmentation.

Count only cuts inside the track: its two ends are always right and would flatter every rule.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from vitra_lib.contracts import Segment, Segmentation
from vitra_lib.contracts.hand_track import Side
from vitra_lib.core.errors import BadInput


@dataclass(frozen=True)
class BoundaryScore:
    """Counts of matched boundaries; scores of several videos add up with `+`.

    Attributes:
        matched: pairs of a predicted and a true boundary within the tolerance, one to one.
        predicted: number of predicted boundaries.
        true: number of true boundaries.
    """

    matched: int
    predicted: int
    true: int

    def __add__(self, other: "BoundaryScore") -> "BoundaryScore":
        return BoundaryScore(self.matched + other.matched, self.predicted + other.predicted, self.true + other.true)

    @property
    def precision(self) -> float:
        """Share of predicted boundaries that are true; NaN when none was predicted."""
        return self.matched / self.predicted if self.predicted else float("nan")

    @property
    def recall(self) -> float:
        """Share of true boundaries that were found; NaN when there is none."""
        return self.matched / self.true if self.true else float("nan")

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; NaN when there is nothing to find and nothing was predicted."""
        total = self.predicted + self.true
        return 2 * self.matched / total if total else float("nan")

    @property
    def over_segmentation(self) -> float:
        """Predicted boundaries per true one: above 1 = cut too often; NaN when there is no true one."""
        return self.predicted / self.true if self.true else float("nan")


def match_boundaries(
    predicted: Float[np.ndarray, " p"] | Int[np.ndarray, " p"],
    true: Float[np.ndarray, " t"] | Int[np.ndarray, " t"],
    tolerance: float | int,
) -> Int[np.ndarray, "pairs 2"]:
    """Pair predicted and true boundaries one to one, as many pairs as possible, each within the tolerance.

    Going through both in order and pairing the earliest that fit is optimal, because all tolerances are equal.

    Args:
        predicted, true: boundaries in any one unit (frames or seconds), in any order.
        tolerance: largest distance of a pair, the same unit, inclusive.

    Returns:
        (pairs, 2) positions in `predicted` and in `true`, ordered in time.

    Raises:
        BadInput: the tolerance is negative or not a number.
    """
    if not tolerance >= 0:
        raise BadInput(f"The tolerance of boundaries is {tolerance}: legal are 0 and more.")
    p_order, t_order = np.argsort(predicted, kind="stable"), np.argsort(true, kind="stable")
    pairs = []
    i = j = 0
    while i < len(p_order) and j < len(t_order):
        gap = float(predicted[p_order[i]]) - float(true[t_order[j]])
        if abs(gap) <= tolerance:
            pairs.append((p_order[i], t_order[j]))
            i += 1
            j += 1
        elif gap < 0:
            i += 1
        else:
            j += 1
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def score_boundaries(
    predicted: Float[np.ndarray, " p"] | Int[np.ndarray, " p"],
    true: Float[np.ndarray, " t"] | Int[np.ndarray, " t"],
    tolerance: float | int,
) -> BoundaryScore:
    """Count matches at a tolerance; see `match_boundaries` for the arguments."""
    return BoundaryScore(len(match_boundaries(predicted, true, tolerance)), len(predicted), len(true))


def inner_boundaries(found: Segmentation | Iterable[Segment], side: Side) -> Int[np.ndarray, " boundaries"]:
    """Frames at which one hand's actions begin or end, without the first and the last of all.

    Args:
        found: a segmentation: all its cuts count, those beside a piece that was dropped too (where a rest ends, say).
            Or segments alone, of any hands and in any order, that cover the track.
        side: the hand to look at.

    Returns:
        (boundaries,) increasing frame indices; a stop and the start that follows it at once are one boundary.
    """
    if isinstance(found, Segmentation):
        return found.cuts[side][1:-1].astype(np.int64)
    ends = np.unique([frame for s in found if s.side == side for frame in (s.start, s.stop)])
    return ends[1:-1].astype(np.int64)


def inner_cuts(cuts: Int[np.ndarray, " cuts"], first: int, last: int) -> Int[np.ndarray, " inner"]:
    """The cuts strictly between the track's first and last frame."""
    return cuts[(cuts > first) & (cuts < last)]
