"""The training loop: exact resume, equal losses however a batch is cut, decay groups, schedules, what stops a run."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from policy_makers import tiny_policy
from training_makers import ALONE, CONFIG, RATES, TwelveSamples, batch_of, new_policy

from vitra_lib.core.errors import BadInput, UnknownName
from vitra_lib.dataset.collate import PolicyBatch
from vitra_lib.policy.checkpoint import load_policy
from vitra_lib.policy.policy import Policy
from vitra_lib.policy.processor import Processor
from vitra_lib.training.config import OptimizerConfig, TrainingConfig
from vitra_lib.training.loop import RunConfig, Training, TrainingStopped
from vitra_lib.training.optimizer import freeze, make_optimizer, parameter_groups, rate_share


def train(folder: Path, config: TrainingConfig = CONFIG, loader: Any = None, resume: bool = False) -> Policy:
    """One run on the twelve samples."""
    training = Training(new_policy(), Processor(), config, RunConfig(folder, resume), ALONE)
    loader = TwelveSamples(config.micro_batch(1)) if loader is None else loader
    return training.run(loader, [batch_of([20, 21])])


def losses(folder: Path) -> dict[int, float]:
    """Training loss of every logged step."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return {line["step"]: line["loss"] for line in lines if "loss" in line}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Policy]:
    """A run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("run") / "whole"
    return folder, train(folder)


@pytest.mark.parametrize("killed_at", [2, 5, 7])
def test_a_killed_run_goes_on_bit_by_bit(tmp_path: Path, whole: tuple[Path, Policy], killed_at: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, loader=TwelveSamples(4, fails_at=killed_at))
    policy = train(tmp_path, resume=True)
    assert losses(tmp_path) == losses(whole[0]) and len(losses(tmp_path)) == 9
    for name, value in policy.state_dict().items():
        assert torch.equal(value, whole[1].state_dict()[name]), name


def test_another_seed_gives_another_curve(tmp_path: Path, whole: tuple[Path, Policy]) -> None:
    train(tmp_path, replace(CONFIG, seed=1, steps=3))
    assert losses(tmp_path)[0] != losses(whole[0])[0]


def test_accumulated_parts_give_the_step_of_the_whole_batch(tmp_path: Path, whole: tuple[Path, Policy]) -> None:
    train(tmp_path, replace(CONFIG, accumulation=2))
    for step, loss in losses(tmp_path).items():
        assert loss == pytest.approx(losses(whole[0])[step], rel=1e-4)


def test_saved_policies_are_the_averaged_ones_and_only_the_newest_stay(whole: tuple[Path, Policy]) -> None:
    folder, policy = whole
    kept = sorted(path.name for path in (folder / "checkpoints").iterdir())
    assert kept == ["step-00000006", "step-00000009"]
    saved = load_policy(folder / "checkpoints" / "step-00000009" / "policy").state_dict()
    assert all(torch.equal(value, policy.state_dict()[name]) for name, value in saved.items())
    assert load_policy(folder / "best").config == policy.config


def test_a_run_is_not_overwritten_nor_continued_with_another_configuration(whole: tuple[Path, Policy]) -> None:
    with pytest.raises(BadInput, match="already holds a run; go on with --resume"):
        train(whole[0])
    with pytest.raises(BadInput, match="had another training"):
        train(whole[0], replace(CONFIG, seed=5), resume=True)


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    train(tmp_path, replace(CONFIG, steps=3))
    (tmp_path / "checkpoints" / "step-00000003" / "training.json").write_text("{")
    with pytest.raises(BadInput, match="step-00000003 can't be read"):
        train(tmp_path, replace(CONFIG, steps=3), resume=True)


def test_nan_gradients_stop_the_run_and_name_the_last_good_checkpoint(tmp_path: Path) -> None:
    class Poisoned(TwelveSamples):
        def __iter__(self) -> Iterator[PolicyBatch]:
            for index, batch in enumerate(super().__iter__()):
                yield replace(batch, state=batch.state + 1e38 * 1e38) if index == 4 else batch

    with pytest.raises(TrainingStopped, match="At step 4 the loss is not finite.*step-00000003"):
        train(tmp_path, loader=Poisoned(4))
    assert all(np.isfinite(value) for value in losses(tmp_path).values())


def test_every_parameter_is_in_one_group_and_only_matrices_decay() -> None:
    policy = tiny_policy()
    freeze(policy, "vision")
    groups = parameter_groups(policy, OptimizerConfig())
    trained = [p for p in policy.parameters() if p.requires_grad]
    assert sum(len(group["params"]) for group in groups) == len(trained)
    for group in groups:
        assert all((p.ndim >= 2) == (group["weight_decay"] > 0) for p in group["params"]), group["name"]
    vision = policy.backbone.model.vision_tower
    assert not any(p.requires_grad for p in vision.parameters())
    freeze(policy, "backbone")
    heads = {group["part"] for group in parameter_groups(policy, OptimizerConfig())}
    assert heads == {"head"}
    assert any(p.requires_grad for p in policy.backbone.parameters())  # its learned tokens
    freeze(policy, "condition")
    assert not any(p.requires_grad for p in policy.backbone.parameters())
    assert all(p.requires_grad for p in policy.denoiser.parameters())


def test_weight_decay_moves_what_has_no_gradient_and_nothing_else() -> None:
    policy = tiny_policy()
    freeze(policy, "nothing")
    optimizer = make_optimizer(policy, replace(RATES, weight_decay=0.5))
    before = {name: p.detach().clone() for name, p in policy.named_parameters()}
    for parameter in policy.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in policy.named_parameters():
        factor = 1 - 1e-3 * 0.5 if parameter.ndim >= 2 else 1.0
        torch.testing.assert_close(parameter.detach(), factor * before[name], msg=name)


def test_schedules_are_functions_of_the_step() -> None:
    frozen = OptimizerConfig(schedule="backbone-freeze-warmup", warmup_steps=10)
    assert [rate_share("backbone", step, 100, frozen) for step in (0, 9, 10)] == [0.0, 0.0, 1.0]
    assert rate_share("head", 0, 100, frozen) == 1.0
    cosine = OptimizerConfig(schedule="linear-warmup+cosine", warmup_steps=10)
    assert [rate_share("head", step, 110, cosine) for step in (0, 9, 10, 60, 110)] == pytest.approx(
        [0.1, 1.0, 1.0, 0.55, 0.1]
    )
    with pytest.raises(UnknownName, match="legal are constant"):
        OptimizerConfig(schedule="step")
    with pytest.raises(BadInput, match="can't be split over 3 processes"):
        replace(CONFIG, batch_size=4).micro_batch(3)
    with pytest.raises(UnknownName, match="training parameter 'lr'"):
        TrainingConfig.from_dict({"lr": 1})
