"""Two processes learn what one learns, by DDP and FSDP2 over gloo; any number of them can go on from a checkpoint."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from training_makers import ALONE, CONFIG, TwelveSamples, new_policy
from training_processes import logged, run_workers

from vitra_lib.policy.checkpoint import load_policy
from vitra_lib.policy.processor import Processor
from vitra_lib.training.config import TrainingConfig
from vitra_lib.training.loop import RunConfig, Training

if not torch.distributed.is_available():
    pytest.skip("this build of torch has no torch.distributed", allow_module_level=True)

STEPS = 20
WHOLE = replace(CONFIG, steps=STEPS, save_every=STEPS // 2)


def train_alone(folder: Path, config: TrainingConfig = WHOLE, resume: bool = False) -> dict[int, float]:
    """The run in this process; its losses."""
    training = Training(new_policy(), Processor(), config, RunConfig(folder, resume), ALONE)
    training.run(TwelveSamples(config.micro_batch(1)))
    return logged(folder)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> dict[int, float]:
    """Losses of the run of one process."""
    return train_alone(tmp_path_factory.mktemp("parallel") / "one")


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run by two processes that share weights, gradients and optimizer."""
    folder = tmp_path_factory.mktemp("parallel") / "fsdp"
    assert run_workers("fsdp", folder, STEPS) == [0, 0]
    return folder


def half(folder: Path, copy: Path) -> Path:
    """A copy of a run as it was after half of its steps."""
    shutil.copytree(folder, copy)
    shutil.rmtree(copy / "checkpoints" / f"step-{STEPS:08d}")
    return copy


def test_fsdp2_has_the_losses_of_one_process(one: dict[int, float], sharded: Path) -> None:
    assert len(one) == STEPS
    assert logged(sharded) == pytest.approx(one, rel=1e-5)


def test_ddp_has_the_losses_of_one_process(one: dict[int, float], tmp_path: Path) -> None:
    assert run_workers("ddp", tmp_path, STEPS) == [0, 0]
    assert logged(tmp_path) == pytest.approx(one, rel=1e-5)


def test_other_noise_has_other_losses(one: dict[int, float], tmp_path: Path) -> None:
    """The control of both: the tolerance tells runs apart that differ in their noise alone."""
    other = train_alone(tmp_path, replace(WHOLE, steps=2, seed=1))
    assert all(abs(loss - one[step]) > 1e-3 for step, loss in other.items())


def test_a_sharded_checkpoint_goes_on_bit_by_bit_on_as_many_processes(sharded: Path, tmp_path: Path) -> None:
    folder = half(sharded, tmp_path / "two")
    assert run_workers("fsdp", folder, STEPS, "resume") == [0, 0]
    assert logged(folder) == logged(sharded)
    name = Path("checkpoints") / f"step-{STEPS:08d}" / "policy"
    before, after = load_policy(sharded / name).state_dict(), load_policy(folder / name).state_dict()
    assert all(torch.equal(value, before[key]) for key, value in after.items())


def test_a_sharded_checkpoint_goes_on_in_one_process(sharded: Path, tmp_path: Path) -> None:
    losses = train_alone(half(sharded, tmp_path / "one"), resume=True)
    assert losses == pytest.approx(logged(sharded), rel=1e-6) and len(losses) == STEPS
