"""Scaling fits: a planted law comes back, its interval covers it as often as it says, and too little is refused."""

from pathlib import Path

import numpy as np
import pytest

from vitra_lib.core.errors import BadInput, UnknownName
from vitra_lib.evaluation.scaling import figures_of_rows, fit_scaling, read_runs
from vitra_lib.runs.records import write_figures_record

EPISODES = np.repeat([3.0, 30.0, 60.0, 150.0, 300.0], [3, 3, 1, 1, 3])
EXPONENT, AT_ONE = -0.25, 20.0


def runs(rng: np.random.Generator, noise: float) -> np.ndarray:
    """Errors of runs that follow a power law but for log-normal noise."""
    return AT_ONE * EPISODES**EXPONENT * np.exp(rng.normal(0, noise, len(EPISODES)))


def test_a_planted_exponent_comes_back() -> None:
    fit = fit_scaling(EPISODES, runs(np.random.default_rng(0), 0.0))
    assert fit.slope[0] == pytest.approx(EXPONENT, abs=1e-9)
    np.testing.assert_allclose(fit.at(np.array([1.0, 16.0])), [20.0, 10.0], rtol=1e-9)
    straight = fit_scaling(EPISODES, 9.0 - 2.0 * np.log10(EPISODES), "log-linear")
    assert straight.slope[0] == pytest.approx(-2.0, abs=1e-9)
    assert fit_scaling(EPISODES, 9.0 - 2.0 * np.log10(EPISODES)).residual > 0.01  # the control: it is no power law


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    covered, flat = 0, 0
    for _ in range(150):
        _, (low, high) = fit_scaling(EPISODES, runs(rng, 0.15)).slope
        covered += low <= EXPONENT <= high
        flat += low <= 0.0 <= high
    assert 0.86 <= covered / 150 <= 0.99
    assert flat / 150 < 0.05  # the control: a law that is not the planted one is left out


def test_the_band_is_narrowest_among_the_runs_and_holds_the_line() -> None:
    fit = fit_scaling(EPISODES, runs(np.random.default_rng(2), 0.15))
    at = np.array([1.0, 60.0, 3000.0])
    low, high = fit.band(at)
    assert ((low < fit.at(at)) & (fit.at(at) < high)).all()
    width = high / low
    assert width[1] < width[0] and width[1] < width[2]


def test_what_can_not_be_fitted() -> None:
    with pytest.raises(BadInput, match="at least 4 runs of 3 sizes, not 4 of 2"):
        fit_scaling(np.array([1.0, 1.0, 2.0, 2.0]), np.ones(4))
    with pytest.raises(BadInput, match="positive and finite"):
        fit_scaling(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, np.nan, 1.0, 1.0]))
    with pytest.raises(UnknownName, match="form 'cubic'"):
        fit_scaling(EPISODES, np.ones(len(EPISODES)), "cubic")


def test_a_record_gives_the_runs_back(tmp_path: Path) -> None:
    rows = [
        {"episodes": 24.0, "seed": seed, "n": 90.0, "wrist_fde_cm": 7.0 + seed, "wrist_ade_cm": 5.0,
         "mean_of_draws_fde_cm": 6.0}
        for seed in (1.0, 0.0)
    ]  # fmt: skip
    path = write_figures_record("study", figures_of_rows(rows), {}, {}, tmp_path)
    runs = read_runs(path)
    assert (runs.episodes.tolist(), runs.seed.tolist(), runs.errors.tolist()) == ([24.0, 24.0], [0, 1], [7.0, 8.0])
    assert read_runs(path, "wrist FDE, mean of draws").errors.tolist() == [6.0, 6.0]  # the control: another metric
    with pytest.raises(UnknownName, match="metric 'jerk'"):
        read_runs(path, "jerk")
    with pytest.raises(BadInput, match="no runs"):
        read_runs(write_figures_record("other", [], {}, {}, tmp_path))
    with pytest.raises(BadInput, match="no record of a scaling study"):
        read_runs(tmp_path / "missing.json")
