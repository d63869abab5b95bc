"""What stops a run, and that it goes on: jumps of the loss, kill -9 in the middle of a save, hidden randomness."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from training_makers import ALONE, CONFIG, TwelveSamples, new_policy
from training_processes import logged, run_workers

from vitra_lib.core.errors import BadInput
from vitra_lib.dataset.collate import PolicyBatch
from vitra_lib.policy.diffusion import NoiseDraws
from vitra_lib.policy.processor import Processor
from vitra_lib.training import loop, step
from vitra_lib.training.config import TrainingConfig
from vitra_lib.training.loop import RunConfig, Training, TrainingStopped


def train(folder: Path, config: TrainingConfig, loader: Any = None, resume: bool = False) -> Training:
    """One run on the twelve samples."""
    training = Training(new_policy(), Processor(), config, RunConfig(folder, resume), ALONE)
    training.run(TwelveSamples(config.micro_batch(1)) if loader is None else loader)
    return training


@pytest.fixture
def blown_up(monkeypatch: Any) -> None:
    """Step 6 moves the denoiser ten thousand times too far, so that the loss of step 7 jumps."""

    def rates(optimizer: torch.optim.Optimizer, at: int, *_: object) -> None:
        for group in optimizer.param_groups:
            group["lr"] = 10.0 if at == 6 and group["part"] == "head" else 1e-3

    monkeypatch.setattr(step, "set_rates", rates)
    monkeypatch.setattr(loop, "_JUMP_WINDOW", 4)


@pytest.mark.usefixtures("blown_up")
def test_a_jump_of_the_loss_stops_the_run_before_the_weights_move(tmp_path: Path) -> None:
    config = replace(CONFIG, max_loss_jump=5.0, ema_decay=0.0)
    training = Training(new_policy(), Processor(), config, RunConfig(tmp_path), ALONE)
    with pytest.raises(TrainingStopped, match=r"At step 7 the loss jumped to .* times its median.*step-00000006"):
        training.run(TwelveSamples(4))
    assert max(logged(tmp_path)) == 6
    before = train(tmp_path / "control", replace(config, steps=7)).policy.state_dict()
    assert all(torch.equal(value, before[name]) for name, value in training.policy.state_dict().items())


@pytest.mark.usefixtures("blown_up")
def test_a_higher_limit_lets_the_same_jump_pass(tmp_path: Path) -> None:
    train(tmp_path, replace(CONFIG, max_loss_jump=1e30))
    assert len(logged(tmp_path)) == CONFIG.steps


def test_a_run_killed_while_it_saves_goes_on_from_the_checkpoint_before(tmp_path: Path) -> None:
    folder, config = tmp_path / "killed", replace(CONFIG, steps=6, save_every=3)
    assert run_workers("none", folder, 6, "killed", processes=1) == [-9]
    kept = {path.name for path in (folder / "checkpoints").iterdir()}
    assert kept == {"step-00000003", ".step-00000006.part"}  # half a checkpoint never has a checkpoint's name
    train(folder, config, resume=True)
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {"step-00000003", "step-00000006"}
    train(tmp_path / "whole", config)
    assert logged(folder) == logged(tmp_path / "whole") and len(logged(folder)) == 6


def test_noise_from_a_hidden_generator_would_not_survive_a_restart(tmp_path: Path, monkeypatch: Any) -> None:
    """The control of exact resume: the same comparison fails when a run's noise is not a function of its place."""

    def from_global(batch: PolicyBatch, place: tuple[int, ...], policy: Any, repeats: int) -> NoiseDraws:
        shape = (repeats, len(batch))
        noise = torch.randn(*shape, *batch.action.shape[1:])
        return NoiseDraws(noise, torch.randint(0, 100, shape), torch.zeros(shape, dtype=torch.bool))

    monkeypatch.setattr(step, "sample_draws", from_global)
    config = replace(CONFIG, steps=5)
    torch.manual_seed(0)
    train(tmp_path / "whole", config)
    torch.manual_seed(0)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", config, TwelveSamples(4, fails_at=4))
    train(tmp_path / "cut", config, resume=True)
    whole, cut = logged(tmp_path / "whole"), logged(tmp_path / "cut")
    assert [cut[index] == whole[index] for index in range(5)] == [True, True, True, False, False]


def test_what_is_learned_can_not_change_when_a_run_goes_on_but_how_it_is_watched_can(tmp_path: Path) -> None:
    config = replace(CONFIG, steps=3)
    train(tmp_path, config)
    train(tmp_path, replace(config, log_every=5, keep=9, max_loss_jump=3.0), resume=True)
    with pytest.raises(BadInput, match="another training configuration: ema_decay was 0.9, now 0.5"):
        train(tmp_path, replace(config, ema_decay=0.5), resume=True)
