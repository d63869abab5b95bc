"""How well predicted actions match true ones: mAP at temporal IoU, over-segmentation, and intervals for all scores.

A rule that cuts gives no confidence, so its list of actions is unranked: its precision-recall curve is the one point
(recall, precision), and the area under it is their product. Recordings are independent of each other, their boundaries
are not: intervals resample whole recordings.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from vitra_lib.core.errors import BadInput

IOU_THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)


@dataclass(frozen=True)
class SegmentScore:
    """Counts of matched actions; scores of several recordings add up with `+`.

    Attributes:
        matched: pairs of a predicted and a true action, one to one, at each of `IOU_THRESHOLDS`.
        predicted: number of predicted actions.
        true: number of true actions.
    """

    matched: tuple[int, ...]
    predicted: int
    true: int

    def __add__(self, other: "SegmentScore") -> "SegmentScore":
        matched = tuple(a + b for a, b in zip(self.matched, other.matched, strict=True))
        return SegmentScore(matched, self.predicted + other.predicted, self.true + other.true)

    @classmethod
    def nothing(cls) -> "SegmentScore":
        """The score of no recording."""
        return cls((0,) * len(IOU_THRESHOLDS), 0, 0)

    @property
    def average_precision(self) -> tuple[float, ...]:
        """Precision times recall at each threshold; 0 when nothing was predicted, NaN when there is nothing true."""
        if not self.true:
            return (float("nan"),) * len(self.matched)
        return tuple(m / max(self.predicted, 1) * m / self.true for m in self.matched)

    @property
    def mean_average_precision(self) -> float:
        """Mean of the average precisions over the thresholds 0.1 to 0.7."""
        return float(np.mean(self.average_precision))

    @property
    def over_segmentation(self) -> float:
        """Predicted actions per true one: above 1 = cut too finely; NaN when there is no true one."""
        return self.predicted / self.true if self.true else float("nan")


def temporal_iou(predicted: Float[np.ndarray, "p 2"], true: Float[np.ndarray, "t 2"]) -> Float[np.ndarray, "p t"]:
    """Shared time over joint time of every pair of intervals [start, stop)."""
    shared = np.minimum(predicted[:, None, 1], true[None, :, 1]) - np.maximum(predicted[:, None, 0], true[None, :, 0])
    shared = np.maximum(shared, 0.0)
    joint = np.diff(predicted, axis=1) + np.diff(true, axis=1).T - shared
    return shared / np.where(joint > 0, joint, 1.0)


def score_segments(predicted: Float[np.ndarray, "p 2"], true: Float[np.ndarray, "t 2"]) -> SegmentScore:
    """Match actions one to one, the best overlap first, at each threshold.

    Args:
        predicted, true: intervals [start, stop) of one hand in one recording, in any one unit.

    Raises:
        BadInput: an interval ends before it starts.
    """
    for name, intervals in (("predicted", predicted), ("true", true)):
        if (intervals[:, 1] < intervals[:, 0]).any():
            raise BadInput(f"A {name} action ends before it starts: legal are intervals [start, stop).")
    iou = temporal_iou(predicted, true)
    row, column = np.nonzero(iou >= IOU_THRESHOLDS[0] - 1e-12)
    order = np.argsort(-iou[row, column], kind="stable")
    free_row, free_column, overlaps = np.ones(len(predicted), bool), np.ones(len(true), bool), []
    for i, j in zip(row[order].tolist(), column[order].tolist(), strict=True):
        if free_row[i] and free_column[j]:
            free_row[i] = free_column[j] = False
            overlaps.append(iou[i, j])
    matched = tuple(int(sum(o >= threshold - 1e-12 for o in overlaps)) for threshold in IOU_THRESHOLDS)
    return SegmentScore(matched, len(predicted), len(true))


def bootstrap_interval(
    scores: Sequence, statistic: Callable[[Any], float], seed: int = 0, draws: int = 1000
) -> tuple[float, float] | None:
    """95 % interval of one figure of pooled scores; see `bootstrap_intervals`."""
    return bootstrap_intervals(scores, [statistic], seed, draws)[0]


def bootstrap_intervals(
    scores: Sequence, statistics: Sequence[Callable[[Any], float]], seed: int = 0, draws: int = 1000
) -> list[tuple[float, float] | None]:
    """95 % intervals of figures of pooled scores, from resampling whole recordings.

    Args:
        scores: one score per recording; they add up with `+`.
        statistics: figures of a (pooled) score: `lambda score: score.f1`.
        seed: of the resampling.
        draws: number of resamples.

    Returns:
        Per figure lower and upper end; None with fewer than two recordings or where the figure is undefined.
    """
    if len(scores) < 2:
        return [None] * len(statistics)
    kind, names = type(scores[0]), tuple(scores[0].__dataclass_fields__)
    picks = np.random.default_rng(seed).integers(len(scores), size=(draws, len(scores)))
    times = np.stack([np.bincount(pick, minlength=len(scores)) for pick in picks])
    columns = [(times @ np.array([getattr(score, name) for score in scores])).tolist() for name in names]
    pooled = [kind(*map(_frozen, row)) for row in zip(*columns, strict=True)]
    return [_middle_95([statistic(score) for score in pooled]) for statistic in statistics]


def _middle_95(values: list[float]) -> tuple[float, float] | None:
    if not np.isfinite(values).any():
        return None
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)


def _frozen(total: int | list[int]) -> int | tuple[int, ...]:
    return tuple(total) if isinstance(total, list) else total
