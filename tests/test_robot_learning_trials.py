"""Wilson's interval against its definition, and the log of trials: whole, resumable, the same bytes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from robot.learning.comparison import closed_loop_figures
from robot.learning.trials import ROWS, Trial, TrialLog, mean_figure, read_trials, success_of, trial_figures
from vitra_lib.core.errors import BadInput, UnknownName
from vitra_lib.evaluation.proportions import Proportion


def test_wilson_ends_are_the_shares_at_which_the_score_test_turns() -> None:
    for hits, n in ((0, 8), (3, 8), (8, 8), (32, 40), (1, 1000)):
        low, high = Proportion(hits, n).interval()
        for end in (low, high):
            if 0 < end < 1:  # |p - q| = z sqrt(q (1 - q) / n), which is what defines it
                assert abs(hits / n - end) == pytest.approx(1.959964 * np.sqrt(end * (1 - end) / n), rel=1e-5)
        assert low <= hits / n <= high


def test_wilson_known_values_and_a_control() -> None:
    # 32 of 40 and 5 of 8, as tables of the method have them to four digits; the plain normal interval is the control.
    assert Proportion(32, 40).interval() == pytest.approx((0.6524, 0.8950), abs=1e-4)
    assert Proportion(5, 8).interval() == pytest.approx((0.3057, 0.8632), abs=1e-4)
    plain = 0.625 + 1.96 * np.sqrt(0.625 * 0.375 / 8)
    assert abs(plain - 0.8632) > 0.05
    assert Proportion(0, 50).interval()[0] == 0.0 and 0.07 < Proportion(0, 50).interval()[1] < 0.072
    assert Proportion(5, 5).interval()[1] == 1.0


def test_wilson_covers_a_planted_share_about_as_often_as_it_says() -> None:
    hits = np.random.default_rng(0).binomial(24, 0.3, 4000)
    covered = {k: Proportion(k, 24).interval()[0] <= 0.3 <= Proportion(k, 24).interval()[1] for k in set(hits.tolist())}
    assert 0.93 < np.mean([covered[k] for k in hits.tolist()]) < 0.98


@pytest.mark.parametrize(("hits", "trials"), [(1, 0), (3, 2), (-1, 5)])
def test_no_share_without_trials(hits: int, trials: int) -> None:
    with pytest.raises(BadInput, match="no share"):
        Proportion(hits, trials)


def trial(task: str = "pour", seed: int = 0, outcome: str = "failure", **changes: object) -> Trial:
    """A trial that did not quite do it."""
    base = Trial(task, "seen", seed, outcome, "3 of 20 granules; time was up", 12.345, 7, 24, {"in_bowl_share": 0.15})
    return replace(base, **changes)


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    log = TrialLog(tmp_path / "log", {"latency_s": 0.1})
    done = [trial(seed=3), trial(seed=1, outcome="success", video="pour.mp4"), trial("sweep", 2, figures={})]
    for one in done:
        log.add(one)
    assert sorted(read_trials(tmp_path / "log"), key=lambda t: t.key) == sorted(done, key=lambda t: t.key)
    assert log.has("pour", "seen", 3) and not log.has("pour", "unseen-object", 3) and not log.has("pour", "seen", 2)


def test_same_trials_in_another_order_give_the_same_bytes(tmp_path: Path) -> None:
    done = [trial(seed=3), trial(seed=1), trial("sweep", 2)]
    for name, order in (("a", done), ("b", done[::-1])):
        log = TrialLog(tmp_path / name, {})
        for one in order:
            log.add(one)
    assert (tmp_path / "a" / ROWS).read_bytes() == (tmp_path / "b" / ROWS).read_bytes()


def test_a_log_goes_on_but_only_with_its_own_settings(tmp_path: Path) -> None:
    TrialLog(tmp_path, {"latency_s": 0.1, "checkpoint": "abc"}).add(trial(seed=5))
    assert TrialLog(tmp_path, {"latency_s": 0.1, "checkpoint": "abc"}).has("pour", "seen", 5)
    with pytest.raises(BadInput, match="latency_s 0.1, not 0.2"):
        TrialLog(tmp_path, {"latency_s": 0.2, "checkpoint": "abc"})


def test_a_damaged_row_is_a_sentence(tmp_path: Path) -> None:
    log = TrialLog(tmp_path, {})
    log.add(trial())
    path = tmp_path / ROWS
    path.write_text(path.read_text().replace("12.345", "twelve"))
    with pytest.raises(BadInput, match="damaged"):
        TrialLog(tmp_path, {})
    with pytest.raises(UnknownName, match="success, failure"):
        trial(outcome="won")


def test_figures_of_trials() -> None:
    trials = [
        trial(seed=k, outcome="success" if k < 3 else "failure", figures={"lifted_m": 0.01 * k}) for k in range(4)
    ]
    trials += [trial("sweep", k) for k in range(4)]
    by_name = {figure.name: figure for figure in trial_figures(trials)}
    assert by_name["pour / success"].value == 0.75 and by_name["pour / success"].n == 4
    assert by_name["pour / success"].ci95 == Proportion(3, 4).interval()
    assert by_name["pour / lifted_m"].value == pytest.approx(0.015) and by_name["pour / lifted_m"].unit == "m"
    assert by_name["mean over tasks / success"].value == 0.375
    assert by_name["mean over tasks / success"].ci95 == Proportion(3, 8).interval()
    uneven = {figure.name: figure for figure in trial_figures(trials[:-1])}
    assert uneven["mean over tasks / success"].ci95 is None
    assert success_of(trials).hits == 3
    units = {
        unit: mean_figure("any", [1.0], unit).unit for unit in ("speed_m_s", "tilt_deg", "is_held", "touched_s", "s")
    }
    assert units == {"speed_m_s": "m/s", "tilt_deg": "deg", "is_held": "1", "touched_s": "s", "s": "s"}
    with pytest.raises(BadInput, match="no trials"):
        trial_figures([])


def test_arms_are_compared_scene_by_scene() -> None:
    # Scenes differ by far more than the arms do; taken scene by scene the small difference is sure all the same.
    far = np.linspace(0.05, 0.35, 8)
    arms = {
        "none": [trial(seed=k, figures={"nearest_m": far[k]}) for k in range(8)],
        "100 %": [trial(seed=k, outcome="success", figures={"nearest_m": far[k] - 0.02}) for k in range(8)],
    }
    by_name = {figure.name: figure for figure in closed_loop_figures(arms, "none")}
    apart = by_name["closed loop / 100 % minus none / nearest_m"]
    assert apart.value == pytest.approx(-0.02) and apart.ci95 == pytest.approx((-0.02, -0.02)) and apart.unit == "m"
    low, high = by_name["closed loop / none / nearest_m"].ci95
    assert high - low > 0.1  # the control: unpaired, it is lost among the scenes
    assert by_name["closed loop / 100 % / success"].value == 1.0
    assert np.isnan(by_name["closed loop / none / touched_s"].value)
    with pytest.raises(BadInput, match="same scenes"):
        closed_loop_figures(arms | {"10 %": arms["none"][1:]}, "none")
