"""Trials in simulation: the same seed gives the same row, finished ones stay, and success is what physics says."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from prediction_makers import make_checkpoint, make_normaliser

from robot.execution.askers import ask_hold
from robot.learning import evaluate
from robot.learning.evaluate import (
    FIRST_SEED,
    AskedPolicy,
    TrialConfig,
    open_asked,
    run_trial,
    run_trials,
    trial_scenes,
)
from robot.learning.trials import ROWS, read_trials
from robot.simulation.scene import Scene
from robot.simulation.tasks import Outcome, sample_scene
from vitra_lib.cli.main import main
from vitra_lib.core.errors import BadInput, UnknownName
from vitra_lib.video import probe

TASK = "pick-place"
SHORT = TrialConfig(duration_s=1.0, width_px=64, height_px=64)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return sample_scene(TASK, FIRST_SEED, "seen")


def reaching(seen: list | None = None) -> AskedPolicy:
    """A policy that goes 4 mm further to the right of the picture with every step."""
    rest = ask_hold()

    def ask(observation: dict, settled: np.ndarray) -> np.ndarray:
        if seen is not None:
            seen.append(observation)
        steps = rest({name: value for name, value in observation.items() if name != "seed"}, settled)
        steps[:, 18] = 0.004
        return steps

    return AskedPolicy(ask, 0.1, 16, {"policy": "reaching"})


def test_a_policy_that_holds_still_fails_and_touches_nothing(scene: Scene, tmp_path: Path) -> None:
    trial = run_trial(open_asked("hold", SHORT), scene, SHORT, tmp_path / "hold.mp4")
    assert trial.outcome == "failure" and trial.reason and trial.duration_s == pytest.approx(1.0, abs=0.05)
    assert trial.figures["touched_s"] == 0.0 and trial.figures["raised_m"] < 0.002
    assert trial.answers == 2 and trial.key == (TASK, "seen", FIRST_SEED)
    assert probe(tmp_path / "hold.mp4").frame_count in (10, 11) and trial.video == "hold.mp4"


def test_a_policy_moves_the_hand_the_way_it_says(scene: Scene) -> None:
    seen: list[dict] = []
    trial = run_trial(reaching(seen), scene, replace(SHORT, duration_s=1.5))
    # In the picture's axes the wrist went right, at 40 mm a second once it was under way, and nowhere else.
    moved = seen[-1]["state"][18:21] - seen[0]["state"][18:21]
    assert moved[0] > 0.008 and np.abs(moved[1:]).max() < 0.3 * moved[0]
    assert len({one["seed"] for one in seen}) == len(seen) and trial.answers == len(seen)
    assert seen[0]["image"].shape == (64, 64, 3) and seen[0]["hands"].tolist() == [False, True]
    assert seen[0]["instruction"].startswith("Left hand: None. Right hand: ")


def test_success_is_what_physics_says_and_ends_the_trial(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def soon(simulation: object, scene: Scene) -> Outcome:
        return Outcome(simulation.time_s > 0.4, {"share": 0.5}, "" if simulation.time_s > 0.4 else "not yet")

    monkeypatch.setattr(evaluate, "outcome", soon)
    trial = run_trial(open_asked("hold", SHORT), scene, SHORT)
    assert trial.outcome == "success" and 0.35 < trial.duration_s < 0.6 and trial.figures["share"] == 0.5


def test_a_policy_that_answers_nonsense_ends_in_a_stop(scene: Scene) -> None:
    broken = AskedPolicy(lambda observation, settled: np.full((16, 36), np.nan), 0.1, 16, {})
    trial = run_trial(broken, scene, SHORT)
    assert trial.outcome in ("fault", "stopped") and "finite" in trial.reason


def test_same_seeds_same_rows_and_only_what_is_missing_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = replace(SHORT, duration_s=0.3)
    scenes = trial_scenes([TASK], "seen", 2, seed=4)
    assert [seed for *_, seed in scenes] == [FIRST_SEED + 4, FIRST_SEED + 5]
    for name, order in (("a", scenes), ("b", scenes[::-1])):
        run_trials(reaching(), order, tmp_path / name, short)
    assert (tmp_path / "a" / ROWS).read_bytes() == (tmp_path / "b" / ROWS).read_bytes()
    done: list[int] = []
    once = evaluate.run_trial
    monkeypatch.setattr(evaluate, "run_trial", lambda *given: done.append(given[1].seed) or once(*given))
    run_trials(reaching(), trial_scenes([TASK], "seen", 3, seed=4), tmp_path / "a", short)
    assert done == [FIRST_SEED + 6] and len(read_trials(tmp_path / "a")) == 3
    with pytest.raises(BadInput, match="latency_s 0.1, not 0.12"):
        run_trials(reaching(), scenes, tmp_path / "a", replace(short, latency_s=0.12))
    with pytest.raises(UnknownName, match="pick-place"):
        run_trials(reaching(), [("juggle", "seen", 1)], tmp_path / "c", short)


def test_what_can_be_tried(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="vitra robot finetune"):
        open_asked(make_checkpoint(tmp_path / "human", make_normaliser()), SHORT)
    with pytest.raises(BadInput, match="stale"):
        TrialConfig(ask_every_s=0.9, latency_s=0.2)
    with pytest.raises(BadInput, match="from 1"):
        trial_scenes([TASK], "seen", 0)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    words = ["robot", "evaluate", "--checkpoint", "hold", "--task", TASK, "--trials", "1", "--duration", "0.3"]
    places = ["--out", str(tmp_path / "log"), "--record", "trial", "--records", str(tmp_path)]
    assert main([*words, *places]) == 0
    said = capsys.readouterr().out
    assert "pick-place / success" in said and "[0.000, 0.793]" in said  # Wilson's interval of 0 in 1
    assert (tmp_path / "trial.json").is_file() and len(read_trials(tmp_path / "log")) == 1
    assert main([*words[:-4], "--task", "juggle", *places]) == 2
    assert "sweep, all" in capsys.readouterr().err
