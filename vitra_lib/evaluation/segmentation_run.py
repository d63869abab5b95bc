"""Score segmentation rules on recordings with known boundaries: one table per set of recordings."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from vitra_lib.core.errors import BadInput
from vitra_lib.evaluation.accuracy import Figure
from vitra_lib.evaluation.boundaries import BoundaryScore, score_boundaries
from vitra_lib.evaluation.segmentation_rules import COMPARED
from vitra_lib.evaluation.segments import SegmentScore, bootstrap_intervals, score_segments
from vitra_lib.segmentation import WristPath

_ROUNDING_S = 1e-6
_ON_A_PAGE = ("predicted per true boundary", "mAP at IoU 0.1-0.7")


@dataclass(frozen=True)
class Recording:
    """One hand in one recording, with what is true.

    Attributes:
        group: what the recording counts towards in resampling: hands of one clip are not independent.
        path: the wrist as it was tracked.
        boundary_s: (n,) times of true boundaries inside the recording [s].
        action_s: (m, 2) true actions [s]; empty where only boundaries are known.
        in_view: (time,) True where the hand could be seen; boundaries elsewhere are nobody's to find.
    """

    group: str
    path: WristPath
    boundary_s: Float[np.ndarray, " n"]
    action_s: Float[np.ndarray, "m 2"]
    in_view: Bool[np.ndarray, " time"]


@dataclass(frozen=True)
class RuleScores:
    """Scores of one rule, per independent recording.

    Attributes:
        rule: its name.
        boundaries: per tolerance [s], one score per group.
        segments: one score per group.
    """

    rule: str
    boundaries: dict[float, tuple[BoundaryScore, ...]]
    segments: tuple[SegmentScore, ...]

    def pooled(self, tolerance_s: float) -> BoundaryScore:
        """Counts over all recordings."""
        return sum(self.boundaries[tolerance_s], BoundaryScore(0, 0, 0))


def score_rules(
    recordings: Iterable[Recording],
    tolerances_s: Sequence[float],
    rules: Sequence[str] = tuple(COMPARED),
    seed: int = 0,
) -> tuple[RuleScores, ...]:
    """Run rules on recordings and count hits.

    Args:
        recordings: what to cut.
        tolerances_s: largest distance between a predicted and a true boundary that match [s].
        rules: names of rules, see `segmentation_rules.COMPARED`.
        seed: of the random rule.

    Raises:
        BadInput: there is no recording.
    """
    recordings = list(recordings)
    if not recordings:
        raise BadInput("There is no recording with known boundaries to score segmentation on.")
    groups = list(dict.fromkeys(recording.group for recording in recordings))
    scored = []
    for number, rule in enumerate(rules):
        rng = np.random.default_rng([seed, number])
        boundaries = {t: dict.fromkeys(groups, BoundaryScore(0, 0, 0)) for t in tolerances_s}
        segments = dict.fromkeys(groups, SegmentScore.nothing())
        for recording in recordings:
            predicted = COMPARED[rule](recording.path, rng)
            for t in tolerances_s:
                found, true = (_in_view(b, recording, t) for b in (predicted.boundary_s, recording.boundary_s))
                boundaries[t][recording.group] += score_boundaries(found, true, t + _ROUNDING_S)
            if len(recording.action_s):
                segments[recording.group] += score_segments(predicted.action_s, recording.action_s)
        by_tolerance = {t: tuple(scores.values()) for t, scores in boundaries.items()}
        scored.append(RuleScores(rule, by_tolerance, tuple(segments.values())))
    return tuple(scored)


def _in_view(time_s: Float[np.ndarray, " n"], recording: Recording, tolerance_s: float) -> Float[np.ndarray, " m"]:
    """Boundaries with the hand in view on both sides of them: what leaves the picture can't be cut."""
    clock, in_view = recording.path.time_s, recording.in_view
    before = np.searchsorted(clock, time_s - tolerance_s - _ROUNDING_S)
    after = np.searchsorted(clock, time_s + tolerance_s + _ROUNDING_S, side="right") - 1
    last = len(clock) - 1
    return time_s[in_view[np.clip(before, 0, last)] & in_view[np.clip(after, 0, last)]]


_OF_BOUNDARIES: dict[str, Callable[[BoundaryScore], float]] = {
    "precision": lambda score: score.precision,
    "recall": lambda score: score.recall,
    "F1": lambda score: score.f1,
}
_OF_ACTIONS: dict[str, Callable[[SegmentScore], float]] = {
    "mAP at IoU 0.1-0.7": lambda score: score.mean_average_precision,
    "AP at IoU 0.5": lambda score: score.average_precision[4],
    "predicted per true action": lambda score: score.over_segmentation,
}


def figures_of(label: str, scores: Sequence[RuleScores], seed: int = 0) -> tuple[Figure, ...]:
    """All scores as figures with intervals, named "<label> / <rule> / <score>"."""
    figures: list[Figure] = []
    for row in scores:
        title = f"{label} / {row.rule} / "
        for tolerance, parts in row.boundaries.items():
            names = {f"{title}{name} at {tolerance:.3g} s": read for name, read in _OF_BOUNDARIES.items()}
            figures += _figures(names, row.pooled(tolerance), parts, seed)
        widest = max(row.boundaries)
        names = {f"{title}predicted per true boundary": lambda score: score.over_segmentation}
        figures += _figures(names, row.pooled(widest), row.boundaries[widest], seed)
        actions = sum(row.segments, SegmentScore.nothing())
        if actions.true:
            names = {f"{title}{name}": read for name, read in _OF_ACTIONS.items()}
            figures += _figures(names, actions, row.segments, seed)
    return tuple(figures)


def _figures(
    names: dict[str, Callable], total: BoundaryScore | SegmentScore, parts: Sequence, seed: int
) -> list[Figure]:
    found = bootstrap_intervals(parts, list(names.values()), seed)
    return [
        Figure(name, read(total), "ratio", total.true, interval)
        for (name, read), interval in zip(names.items(), found, strict=True)
    ]


def paired_difference(
    scores: Sequence[RuleScores], better: str, worse: str, tolerance_s: float, label: str, seed: int = 0
) -> Figure:
    """F1 of one rule minus F1 of another; both are resampled together, recording by recording."""
    rows = {row.rule: row.boundaries[tolerance_s] for row in scores}
    a, b = rows[better], rows[worse]
    rng = np.random.default_rng(seed)
    counts = np.array([[[s.matched, s.predicted, s.true] for s in row] for row in (a, b)], float)
    picks = rng.integers(len(a), size=(1000, len(a)))
    sums = counts[:, picks].sum(axis=2)
    f1 = 2 * sums[..., 0] / np.maximum(sums[..., 1] + sums[..., 2], 1)
    whole = counts.sum(axis=1)
    difference = 2 * whole[:, 0] / np.maximum(whole[:, 1] + whole[:, 2], 1)
    low, high = np.percentile(f1[0] - f1[1], [2.5, 97.5])
    name = f"{label} / F1 at {tolerance_s:.3g} s, {better} minus {worse}"
    interval = (float(low), float(high)) if len(a) > 1 else None
    return Figure(name, float(difference[0] - difference[1]), "ratio", int(whole[0, 2]), interval)


def table_of(scores: Sequence[RuleScores], tolerance_s: float) -> list[tuple[str, float, float, float, float, float]]:
    """Rows for a page: rule, precision, recall, F1 at a tolerance, predicted per true boundary, mAP."""
    rows = []
    for row in scores:
        total, actions = row.pooled(tolerance_s), sum(row.segments, SegmentScore.nothing())
        rows.append(
            (row.rule, total.precision, total.recall, total.f1, total.over_segmentation, actions.mean_average_precision)
        )
    return rows


def recorded_table(record: Path, label: str, tolerance_s: float) -> list[tuple[str, float, str, float, float]]:
    """Rows of a page from a record of `vitra evaluate segmentation`: rule, F1, its interval, cuts per true one, mAP.

    Args:
        record: the `.json` file.
        label: condition in it ("truth", "3 mm jitter"…).
        tolerance_s: of the F1 [s]; one that was measured.

    Raises:
        BadInput: the record is missing, or holds nothing of that label and tolerance.
    """
    try:
        values = json.loads(record.read_text(encoding="utf-8"))["values"]
    except (OSError, ValueError, KeyError) as error:
        raise BadInput(f"{record.name} can't be read: make it with `vitra evaluate segmentation`.") from error
    found = {value["name"]: value for value in values}
    rows = []
    for rule in COMPARED:
        f1 = found.get(f"{label} / {rule} / F1 at {tolerance_s:.3g} s")
        if f1 is None:
            raise BadInput(f"{record.name} has no F1 of {rule!r} for {label!r} at {tolerance_s:.3g} s.")
        low, high = f1["ci95"] or (float("nan"),) * 2
        others = [found.get(f"{label} / {rule} / {name}", {}).get("value") for name in _ON_A_PAGE]
        over, mean_ap = (float("nan") if value is None else float(value) for value in others)
        rows.append((rule, float(f1["value"]), f"{low:.3f} to {high:.3f}", over, mean_ap))
    return rows
