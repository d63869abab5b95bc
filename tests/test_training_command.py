"""`vitra train`: what it reads, the checks before it starts, what a run leaves, and how it goes on."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from dataset_stores import make_store
from prediction_makers import small_policy

from vitra_lib.cli.main import main
from vitra_lib.core.errors import BadInput, UnknownName
from vitra_lib.dataset import Normaliser, PolicyBatch, SampleConfig
from vitra_lib.policy.checkpoint import load_policy
from vitra_lib.policy.config import LossConfig
from vitra_lib.policy.policy import Policy
from vitra_lib.policy.predict import checkpoint_statistics
from vitra_lib.policy.processor import Processor
from vitra_lib.training.config import OptimizerConfig, TrainingConfig
from vitra_lib.training.data import DataConfig, TrainingData, open_data, validation_batches
from vitra_lib.training.parallel import Ranks
from vitra_lib.training.preflight import (
    Finding,
    PreflightFailed,
    check_batches,
    check_overfit,
    check_statistics,
    check_timing,
    report,
)
from vitra_lib.training.presets import preset

ALONE = Ranks(0, 1, torch.device("cpu"), "none")
RATES = OptimizerConfig(1e-3, 1e-3, schedule="constant")
TRAINING = TrainingConfig(4, 4, optimizer=RATES, loss=LossConfig(diffusion_repeats=2), freeze="nothing")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two data sets, a and b."""
    place = tmp_path_factory.mktemp("train")
    make_store(place / "a")
    make_store(place / "b", seed=4, video_name="other")
    return place


@pytest.fixture(scope="module")
def data(folder: Path) -> TrainingData:
    """Data set a, opened for a run."""
    return open_data(DataConfig((str(folder / "a"),)), folder / "data-run", ALONE)


@pytest.fixture(scope="module")
def batches(data: TrainingData) -> list[PolicyBatch]:
    """Its first batches."""
    return data.first_batches(8, 3)


@pytest.fixture(scope="module")
def processor() -> Processor:
    """The shipped one."""
    return Processor()


@pytest.fixture(scope="module")
def policy() -> Policy:
    """A small policy."""
    return small_policy()


def sentences(findings: list[Finding]) -> str:
    """All findings as one text."""
    return " ".join(finding.sentence for finding in findings)


def test_weights_and_statistics_of_several_data_sets(folder: Path, tmp_path: Path) -> None:
    places = (f"{folder / 'a'}:2", str(folder / "b"))
    both = open_data(DataConfig(places), tmp_path / "one", ALONE)
    assert both.weights == (2.0, 1.0) and [source.name for source in both.sources] == ["a", "b"]
    named = open_data(DataConfig(("a:2,b",), str(folder)), tmp_path / "two", ALONE)
    assert named.weights == both.weights
    np.testing.assert_array_equal(named.normaliser.action_mean, both.normaliser.action_mean)
    equal = open_data(DataConfig((str(folder / "a"), str(folder / "b"))), tmp_path / "three", ALONE)
    assert not np.allclose(equal.normaliser.action_mean, both.normaliser.action_mean)  # control: weights count
    facts = both.facts()
    assert [entry["weight"] for entry in facts["datasets"]] == [2.0, 1.0] and facts["fps"] == [30.0, 30.0]
    assert facts["rel_mode"] == "step" and facts["statistics"]["action_right"]["mean"]
    with pytest.raises(BadInput, match="numbers above 0"):
        open_data(DataConfig((f"{folder / 'a'}:0",)), tmp_path / "four", ALONE)
    with pytest.raises(BadInput, match="finger angles"):
        DataConfig(("a",), sample=SampleConfig(action_type="keypoints"))


def test_validation_is_shared_out_without_overlap(folder: Path, data: TrainingData) -> None:
    whole = validation_batches(str(folder / "b"), data, 4, 3, ALONE)
    ranks = [Ranks(rank, 2, torch.device("cpu"), "ddp") for rank in (0, 1)]
    halves = [validation_batches(str(folder / "b"), data, 4, 3, one) for one in ranks]
    seen = [{(n, int(f)) for batch in part for n, f in zip(batch.name, batch.frame, strict=True)} for part in halves]
    assert sum(len(batch) for batch in whole) == 12 and not seen[0] & seen[1]


def report_of(findings: list[Finding]) -> str:
    """What stops the run."""
    with pytest.raises(PreflightFailed) as failed:
        report(findings)
    return str(failed.value)


def test_good_data_pass_all_checks(
    batches: list[PolicyBatch], data: TrainingData, policy: Policy, processor: Processor
) -> None:
    assert [f for f in check_batches(batches, policy.config, processor) if f.is_problem] == []
    assert check_statistics(batches, data.normaliser) == []
    assert check_timing([30.0, 29.97], 16) == []
    assert report([Finding("A remark.", is_problem=False)]) == ["A remark."]


def spoiled(batch: PolicyBatch, what: str) -> PolicyBatch:
    """The batch with one thing wrong."""
    action, state = batch.action.clone(), batch.state.clone()
    match what:
        case "chunk":
            return replace(batch, action=action[:, :8], action_mask=batch.action_mask[:, :8])
        case "nan":
            action[2, 0, 60] = float("nan")
        case "masked":
            return replace(batch, action_mask=torch.zeros_like(batch.action_mask), action=torch.zeros_like(action))
        case "mask":
            state[~batch.state_mask] = 1.0
        case "template":
            return replace(batch, instruction=("Left: Cut. Right: None.", *batch.instruction[1:]))
        case "long":
            return replace(batch, instruction=(f"Left hand: None. Right hand: {'cut ' * 900}.", *batch.instruction[1:]))
        case "pictures":
            return replace(batch, image=None)
        case "fov":
            return replace(batch, fov_rad=batch.fov_rad * 0)
    return replace(batch, action=action, state=state)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("chunk", "has the shape (8, 192), the policy's (16, 192)"),
        ("nan", "has NaN or infinite actions"),
        ("masked", "A whole batch has no valid action"),
        ("mask", "Masked numbers of the state are not zero"),
        ("template", "is not of the form"),
        ("long", "shorten it"),
        ("pictures", "no pictures"),
        ("fov", "A field of view is outside"),
    ],
)
def test_every_fault_of_a_batch_is_one_sentence(
    what: str, said: str, batches: list[PolicyBatch], policy: Policy, processor: Processor
) -> None:
    findings = check_batches([batches[0], spoiled(batches[1], what)], policy.config, processor)
    (finding,) = [finding for finding in findings if finding.is_problem]
    assert said in finding.sentence
    with pytest.raises(PreflightFailed, match="--skip-preflight"):
        report(findings)


def test_statistics_of_other_data_and_tiny_deviations_are_found(batches: list[PolicyBatch], data: TrainingData) -> None:
    own = data.normaliser
    shifted = [replace(b, action=torch.where(b.action_mask, b.action + 5.0, 0.0)) for b in batches]
    assert "not those of these data" in sentences(check_statistics(shifted, own))
    blown = [replace(b, action=torch.where(b.action_mask, b.action * 30.0, 0.0)) for b in batches]
    assert "not those of these data" in sentences(check_statistics(blown, own))
    std = own.action_std.copy()
    std[60] = 1e-6
    (finding,) = check_statistics(batches, replace(own, action_std=std))
    assert "deviation below" in finding.sentence and not finding.is_problem  # these batches hardly use it
    varied = [replace(b, action=b.action.clone()) for b in batches]
    varied[0].action[:, :, 60] = torch.where(varied[0].action_mask[:, :, 60], 1e4, 0.0)
    assert "noise in them is blown up" in report_of(check_statistics(varied, replace(own, action_std=std)))
    std[60] = np.nan
    assert "not finite" in sentences(check_statistics(batches, replace(own, action_std=std)))
    robot = Normaliser(np.zeros(36), np.ones(36), np.zeros(36), np.ones(36))
    assert "have 36 numbers" in sentences(check_statistics(batches, robot))
    few = [replace(b, action=b.action.clone()) for b in batches]
    for batch in few:
        batch.action[:, :, 51] = torch.where(batch.action_mask[:, :, 51], 50.0, 0.0)
    (finding,) = check_statistics(few, own)
    assert "more than 10 deviations" in finding.sentence and not finding.is_problem


def test_frame_rates_that_differ_or_make_a_strange_horizon_are_found() -> None:
    (finding,) = check_timing([12.0, 30.0], 16)
    assert "12 to 30 frames per second" in finding.sentence and not finding.is_problem
    assert "16 steps last 0.13 s" in sentences(check_timing([120.0], 16))


def test_one_batch_is_learned_and_the_weights_come_back(
    batches: list[PolicyBatch], policy: Policy, processor: Processor
) -> None:
    before = {name: value.clone() for name, value in policy.state_dict().items()}
    assert check_overfit(policy, processor, batches[0], TRAINING) == []
    assert all(torch.equal(value, before[name]) for name, value in policy.state_dict().items())
    assert not policy.training and all(p.requires_grad and p.grad is None for p in policy.parameters())
    noise = replace(batches[0], action=torch.full_like(batches[0].action, float("nan")))
    assert "can't be learned from" in sentences(check_overfit(policy, processor, noise, TRAINING))


def test_a_policy_that_cannot_learn_is_found(
    batches: list[PolicyBatch], processor: Processor, monkeypatch: pytest.MonkeyPatch
) -> None:
    stiff = small_policy()
    monkeypatch.setattr("vitra_lib.training.preflight._OVERFIT_STEPS", 2)
    monkeypatch.setattr("vitra_lib.training.preflight._OVERFIT_RATE", 0.0)
    assert "can't learn from these labels" in sentences(check_overfit(stiff, processor, batches[0], TRAINING))


def train(folder: Path, out: Path, *words: str, steps: int = 2) -> int:
    """Run the command on data set a, two samples per step."""
    training = {"save_every": 1, "log_every": 1, "keep": 2, "loss": {"diffusion_repeats": 1}}
    settings = {"training": training, "augmentation": True}
    (folder / "settings.json").write_text(json.dumps(settings))
    places = [str(folder / "a"), "--out", str(out), "--config", str(folder / "settings.json"), "--batch-size", "2"]
    return main(["train", *places, "--steps", str(steps), "--device", "cpu", *words])


@pytest.fixture(scope="module")
def finished(folder: Path) -> Path:
    """A run of two steps."""
    assert train(folder, folder / "run", "--validation", str(folder / "b")) == 0
    return folder / "run"


def weights(run: Path, step: int) -> dict[str, torch.Tensor]:
    """Of one checkpoint."""
    return load_policy(run / "checkpoints" / f"step-{step:08d}" / "policy").state_dict()


def test_a_run_leaves_a_policy_with_what_prediction_needs(finished: Path) -> None:
    description = json.loads((finished / "best" / "policy.json").read_text())
    facts = description["facts"]
    normaliser = checkpoint_statistics(finished / "best", facts)
    kept = json.loads((finished / "statistics.json").read_text())
    assert normaliser.to_official() == kept
    assert facts["profile"] == "tiny" == description["config"]["profile"] and facts["datasets"][0]["name"] == "a"
    lines = [json.loads(line) for line in (finished / "log.jsonl").read_text().splitlines()]
    assert any("validation_loss" in line for line in lines) and any("data_wait" in line for line in lines)


def test_a_stopped_run_goes_on_to_the_same_weights(folder: Path, finished: Path) -> None:
    stopped = folder / "stopped"
    shutil.copytree(finished, stopped)
    shutil.rmtree(stopped / "checkpoints" / "step-00000002")
    assert train(folder, stopped, "--resume", "--validation", str(folder / "b")) == 0
    ours, theirs = weights(stopped, 2), weights(finished, 2)
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    first = weights(finished, 1)
    assert any(not torch.equal(value, theirs[name]) for name, value in first.items())  # control


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "already holds a run; go on with --resume"),
        (("--resume", "--seed", "3"), "had another training"),
        (("--profile", "huge"), "legal are tiny, small, paper"),
        (("--parallel", "ddp"), "under torchrun"),
        (("--pretrained", "nowhere"), "No policy checkpoint"),
        (("--batch-size", "0"), "must be at least 1"),
    ],
)
def test_bad_requests_are_one_sentence(
    words: tuple[str, ...], said: str, folder: Path, finished: Path, capsys: pytest.CaptureFixture
) -> None:
    assert train(folder, finished, *words) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert said in error and error.startswith("vitra: ")


def test_settings_of_a_file_are_checked(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for content, said in (
        ("{", "no JSON file of settings"),
        ("[]", "not sections"),
        ('{"traning": {}}', "legal are training, sample, augmentation"),
        ('{"training": {"lr": 1}}', "Unknown training parameter"),
        ('{"sample": {"chunks": 1}}', "does not exist"),
    ):
        (tmp_path / "s.json").write_text(content)
        words = ["train", str(folder / "a"), "--out", str(tmp_path / "run"), "--steps", "1"]
        assert main([*words, "--config", str(tmp_path / "s.json")]) == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_presets_are_whole_configurations() -> None:
    for profile in ("tiny", "small", "paper"):
        TrainingConfig.from_dict(preset(profile, 1000))
    published = TrainingConfig.from_dict(preset("paper", 1000))
    assert published.batch_size == 512 and published.freeze == "vision" and published.optimizer.warmup_steps == 5000
    with pytest.raises(UnknownName):
        preset("huge", 1)
