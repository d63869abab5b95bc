"""Boundary scores: closed forms, an exhaustive oracle for the matching, and a control that must score low."""

import itertools

import numpy as np
import pytest

from vitra_lib.contracts import Segment
from vitra_lib.core.errors import BadInput
from vitra_lib.evaluation.boundaries import (
    BoundaryScore,
    inner_boundaries,
    inner_cuts,
    match_boundaries,
    score_boundaries,
)


def test_known_scores():
    true = np.array([10, 40, 80])
    assert score_boundaries(true, true, 0) == BoundaryScore(3, 3, 3)
    score = score_boundaries(np.array([14, 46, 81, 200]), true, 5)
    assert (score.matched, score.precision, score.recall) == (2, 0.5, pytest.approx(2 / 3))
    assert score.f1 == pytest.approx(2 * 0.5 * (2 / 3) / (0.5 + 2 / 3))
    assert score.over_segmentation == pytest.approx(4 / 3)
    assert score_boundaries(np.array([15]), np.array([10]), 5).matched == 1, "the tolerance is inclusive"
    assert score_boundaries(np.array([15.01]), np.array([10.0]), 5).matched == 0


def test_pairs_are_one_to_one_and_ordered():
    pairs = match_boundaries(np.array([30, 9, 11, 10]), np.array([10, 31]), 3)
    np.testing.assert_array_equal(pairs, [[1, 0], [0, 1]])
    assert score_boundaries(np.array([9, 10, 11]), np.array([10]), 3).matched == 1


@pytest.mark.parametrize("seed", range(40))
def test_matching_is_as_large_as_any(seed):
    rng = np.random.default_rng(seed)
    predicted, true = rng.integers(0, 20, rng.integers(0, 6)), rng.integers(0, 20, rng.integers(0, 6))
    tolerance = int(rng.integers(0, 5))
    short, long = sorted((predicted, true), key=len)
    best = max(
        (
            sum(abs(a - b) <= tolerance for a, b in zip(short, chosen, strict=True))
            for chosen in itertools.permutations(long, len(short))
        ),
        default=0,
    )
    pairs = match_boundaries(predicted, true, tolerance)
    assert len(pairs) == best
    assert all(abs(predicted[i] - true[j]) <= tolerance for i, j in pairs)
    assert len(set(pairs[:, 0])) == len(set(pairs[:, 1])) == len(pairs)


def test_random_cuts_score_low():
    """Control: as many cuts as there are true ones, anywhere."""
    rng = np.random.default_rng(0)
    total = BoundaryScore(0, 0, 0)
    for _ in range(20):
        true = np.cumsum(rng.integers(20, 50, 30))
        total += score_boundaries(rng.integers(0, true[-1], 30), true, 5)
    assert 0.1 < total.f1 < 0.4
    assert total.over_segmentation == pytest.approx(1.0)


def test_nothing_is_nan_not_zero():
    nothing = np.zeros(0, np.int64)
    empty = score_boundaries(nothing, nothing, 5)
    assert np.isnan([empty.precision, empty.recall, empty.f1, empty.over_segmentation]).all()
    missed = score_boundaries(nothing, np.array([3]), 5)
    assert np.isnan(missed.precision) and missed.recall == 0.0 and missed.f1 == 0.0
    invented = score_boundaries(np.array([3]), nothing, 5)
    assert invented.precision == 0.0 and np.isnan(invented.recall) and invented.f1 == 0.0
    for tolerance in (-1.0, float("nan")):
        with pytest.raises(BadInput, match="legal are 0 and more"):
            match_boundaries(np.array([3]), np.array([3]), tolerance)


def test_boundaries_of_segments():
    def segment(side, start, stop):
        return Segment(side, start, stop, 0.1, 0.1, 1.0, "speed-minima")

    segments = [segment("right", 30, 60), segment("right", 0, 30), segment("left", 5, 9), segment("right", 70, 99)]
    np.testing.assert_array_equal(inner_boundaries(segments, "right"), [30, 60, 70])
    np.testing.assert_array_equal(inner_boundaries(segments, "left"), [])
    np.testing.assert_array_equal(inner_boundaries([], "left"), [])
    np.testing.assert_array_equal(inner_cuts(np.array([0, 3, 50, 99]), 0, 99), [3, 50])
