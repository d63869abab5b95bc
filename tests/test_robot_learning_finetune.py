"""Fine-tuning on demonstrations: what is kept back, what a batch holds, exact resume, and what a checkpoint tells."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from prediction_makers import small_policy
from robot_makers import make_images, make_tele

from robot.hand import load_hand
from robot.learning.comparison import Arm, Comparison, compare
from robot.learning.data import (
    BatchesConfig,
    DemonstrationBatches,
    common_rate,
    split_demonstrations,
    unified_statistics,
)
from robot.learning.finetune import FinetuneConfig, FinetuneRun, finetune
from robot.learning.offline import (
    ChunkErrors,
    OfflineConfig,
    ask_all,
    before_and_after,
    hold,
    mean_step,
    score,
    scores,
    windows_of,
)
from robot.learning.pictures import draw_mapping
from robot.serving.hand_policy import PolicyFiles, open_policy
from robot.teleop import TeleData, write_tele
from robot.teleop.samples import TeleSampleConfig, TeleSamples
from robot.teleop.statistics import tele_statistics
from vitra_lib.cli.main import main
from vitra_lib.core.errors import BadInput, UnknownName
from vitra_lib.policy.checkpoint import load_policy, read_description, save_policy
from vitra_lib.policy.config import SamplingConfig
from vitra_lib.policy.loss import noise_loss
from vitra_lib.policy.policy import Policy
from vitra_lib.policy.predict import STATISTICS
from vitra_lib.training.config import OptimizerConfig
from vitra_lib.training.preflight import check_statistics

FRAMES = 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five demonstrations."""
    place = tmp_path_factory.mktemp("demonstrations")
    for number in range(5):
        write_tele(place, make_tele(number, FRAMES, name=f"{number:06d}"), make_images(FRAMES))
    return place


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a policy small enough for tests, that calls itself tiny."""
    place = tmp_path_factory.mktemp("start") / "pretrained"
    made = small_policy()
    policy = Policy(replace(made.config, profile="tiny", denoiser=replace(made.config.denoiser, chunk=16)))
    policy.load_state_dict(made.state_dict(), strict=False)
    save_policy(policy, place)
    return place


@pytest.fixture(scope="module")
def config() -> FinetuneConfig:
    """Eight steps of four samples."""
    recipe = FinetuneConfig.recipe("tiny", 8)
    rates = OptimizerConfig(3e-3, 3e-3, schedule="constant", warmup_steps=0)
    training = replace(
        recipe.training, batch_size=4, optimizer=rates, save_every=4, validate_every=4, log_every=1, precision="fp32"
    )
    return replace(recipe, training=training, held_out=0.4)


@pytest.fixture(scope="module")
def trained(folder: Path, start: Path, config: FinetuneConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    run = tmp_path_factory.mktemp("run") / "whole"
    finetune(folder, config, FinetuneRun(run, start, checks=False))
    return run


def samples_of(folder: Path, unmapped: str = "masked") -> TeleSamples:
    data = TeleData.open(folder)
    return TeleSamples(data, tele_statistics(data), config=TeleSampleConfig(unmapped=unmapped))


def test_what_is_kept_back_hangs_on_names_alone(folder: Path) -> None:
    data = TeleData.open(folder)
    learned, kept = split_demonstrations(data, 0.4)
    assert kept is not None and len(kept) == 2 and not set(kept.names) & set(learned.names)
    assert set(kept.names) | set(learned.names) == set(data.names)
    fewer = TeleData(folder, tuple(name for name in data.names if name not in kept.names[:1]))
    assert kept.names[1] in split_demonstrations(fewer, 0.25)[1].names  # it does not change sides
    assert split_demonstrations(data, 0.4, seed=1)[1].names != kept.names
    assert split_demonstrations(data, 0.0)[1] is None
    with pytest.raises(BadInput, match="kept back"):
        split_demonstrations(data, 1.0)


def test_demonstrations_of_different_rates_are_refused(tmp_path: Path) -> None:
    for number, fps in enumerate((10.0, 30.0)):
        write_tele(tmp_path, replace(make_tele(number, 8, name=f"{number:06d}"), fps=fps))
    with pytest.raises(BadInput, match="10 to 30 frames per second"):
        common_rate(TeleData.open(tmp_path))


def test_an_epoch_shows_every_sample_once_and_stops_anywhere(folder: Path) -> None:
    made = BatchesConfig(batch_size=7, seed=3)
    batches = DemonstrationBatches(samples_of(folder), made)
    first = list(batches)
    seen = [(name, int(frame)) for batch in first for name, frame in zip(batch.name, batch.frame, strict=True)]
    assert len(seen) == len(set(seen)) >= 5 * (FRAMES - 1) - 6  # the last batch is left out if not full
    other = DemonstrationBatches(samples_of(folder), made)
    taken = iter(other)
    for _ in range(5):
        next(taken)
    resumed = DemonstrationBatches(samples_of(folder), made)
    resumed.load_state_dict(json.loads(json.dumps(other.state_dict())))
    ours = next(iter(resumed))
    assert ours.name == first[5].name and torch.equal(ours.image, first[5].image)
    assert torch.equal(ours.state, first[5].state)
    with pytest.raises(BadInput, match="give the same folder"):
        resumed.load_state_dict({"version": 1, "samples": 5})


def test_what_is_kept_in_memory_changes_nothing(folder: Path) -> None:
    for batch, again in zip(
        DemonstrationBatches(samples_of(folder), BatchesConfig(8)),
        DemonstrationBatches(samples_of(folder), BatchesConfig(8, memory_bytes=400_000)),
        strict=True,
    ):
        assert torch.equal(batch.image, again.image) and torch.equal(batch.action, again.action)


def test_states_hide_as_often_as_asked_and_colours_change(folder: Path) -> None:
    hidden = DemonstrationBatches(samples_of(folder), BatchesConfig(8, state_dropout=0.5))
    share = np.mean([(~batch.state_mask.any(1)).float().mean() for batch in hidden])
    assert 0.35 < share < 0.65
    plain = DemonstrationBatches(samples_of(folder), BatchesConfig(8, state_dropout=0.0, colour=None)).plain(8, 2)
    assert all(batch.state_mask.any(1).all() for batch in plain)
    changed = next(iter(DemonstrationBatches(samples_of(folder), BatchesConfig(8))))
    same = next(iter(DemonstrationBatches(samples_of(folder), BatchesConfig(8, colour=None))))
    assert changed.name == same.name and not torch.equal(changed.image, same.image)


def test_statistics_pass_the_check_where_the_policy_has_them(folder: Path) -> None:
    data = TeleData.open(folder)
    batches = DemonstrationBatches(samples_of(folder, "zero"), BatchesConfig(8)).plain(16, 4)
    good = unified_statistics(tele_statistics(data))
    assert not [finding for finding in check_statistics(batches, good) if finding.is_problem]
    spread = replace(tele_statistics(data), action_std=tele_statistics(data).action_std * 100)
    wrong = DemonstrationBatches(TeleSamples(data, spread), BatchesConfig(8)).plain(16, 4)
    assert [finding for finding in check_statistics(wrong, unified_statistics(spread)) if finding.is_problem]


def test_the_recipes() -> None:
    paper = FinetuneConfig.recipe("paper").training
    assert (paper.steps, paper.batch_size, paper.loss.diffusion_repeats) == (20_000, 256, 2)
    assert (paper.optimizer.backbone_lr, paper.optimizer.head_lr, paper.optimizer.beta2) == (1e-5, 1e-5, 0.95)
    for name in ("tiny", "small", "paper"):
        loss = FinetuneConfig.recipe(name).training.loss
        assert (loss.wrist_weight, loss.joints_weight) == (1.6, 0.4)
    with pytest.raises(UnknownName, match="tiny, small, paper"):
        FinetuneConfig.recipe("huge")


def test_fingers_weigh_in_the_loss_though_the_first_of_them_drives_nothing(folder: Path) -> None:
    batch = DemonstrationBatches(samples_of(folder), BatchesConfig(8)).plain(8, 1)[0]
    noise = torch.zeros_like(batch.action)
    off = noise.clone()
    off[..., 57:102] = 1.0  # fingers alone are wrong, by one deviation
    robot = FinetuneConfig.recipe("tiny").training.loss
    assert not batch.action_mask[..., 57].any() and batch.action_mask[..., 57:102].sum(-1).max() == 12
    assert float(noise_loss(off, noise, batch.action_mask, robot).total) == pytest.approx(0.4 / 2)
    whole = DemonstrationBatches(samples_of(folder, "zero"), BatchesConfig(8)).plain(8, 1)[0]
    assert float(noise_loss(off, noise, whole.action_mask, robot).total) == pytest.approx(0.4 / 2)


def test_a_killed_run_goes_on_bit_by_bit(
    folder: Path, start: Path, config: FinetuneConfig, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = 0

    def killed(self: DemonstrationBatches, keys: list) -> object:
        nonlocal taken
        taken += 1
        if taken == 7:
            raise KeyboardInterrupt
        return batch(self, keys)

    batch = DemonstrationBatches._batch
    monkeypatch.setattr(DemonstrationBatches, "_batch", killed)
    with pytest.raises(KeyboardInterrupt):
        finetune(folder, config, FinetuneRun(tmp_path / "run", start, checks=False))
    monkeypatch.undo()
    with pytest.raises(BadInput, match="already holds a run"):
        finetune(folder, config, FinetuneRun(tmp_path / "run", start, checks=False))
    finetune(folder, config, FinetuneRun(tmp_path / "run", start, resume=True, checks=False))
    ours, whole = (load_policy(place / "policy").state_dict() for place in (tmp_path / "run", trained))
    assert all(torch.equal(ours[name], whole[name]) for name in whole)
    seed = replace(config, training=replace(config.training, seed=1))
    other = load_policy(finetune(folder, seed, FinetuneRun(tmp_path / "b", start, checks=False)).policy).state_dict()
    assert any(not torch.equal(other[name], whole[name]) for name in whole)


def test_it_learns_and_says_what_a_robot_needs(trained: Path, start: Path) -> None:
    lines = [json.loads(line) for line in (trained / "log.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert np.mean(losses[-2:]) < 0.98 * np.mean(losses[:2])
    assert any("validation_loss" in line for line in lines)
    facts = read_description(trained / "policy")["facts"]
    assert facts["unmapped"] == "masked" and facts["fps"] == 30.0 and len(facts["held_out"]) == 2
    assert facts["started_from"]["name"] == start.name
    policy = open_policy(PolicyFiles(trained / "policy"), sampling=SamplingConfig(5, 1.0))
    assert policy.metadata["action_dim"] == 36 and len(facts[STATISTICS]["action_right"]["mean"]) == 18


def test_another_profile_is_refused_in_a_sentence(folder: Path, trained: Path, start: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="of profile tiny, not small"):
        finetune(folder, FinetuneConfig.recipe("small", 4), FinetuneRun(tmp_path, start))
    assert not (tmp_path / "run.json").exists()


def test_errors_of_chunks_by_hand(folder: Path) -> None:
    windows = windows_of(TeleData.open(folder), OfflineConfig(windows=5, least_steps=8))
    exact = score("truth", windows.truth, windows)
    assert all(np.abs(values).max() < 1e-6 for values in exact.values.values()) and len(exact.episode) == 5
    off = windows.truth.copy()
    off[..., 18] += 0.001  # each step goes 1 mm further along x: 16 mm at the end, 8.5 on the way
    off[..., 24:] += 0.02
    shifted = score("shifted", off, windows)
    full = windows.counts[:, :, 1].all(1)
    assert shifted.values["wrist FDE"][full] == pytest.approx(0.016)
    assert shifted.values["wrist ADE"][full] == pytest.approx(0.0085)
    assert shifted.values["finger angles"] == pytest.approx(0.02)
    turned = windows.truth.copy()
    turned[..., 21:24] = 0.0
    assert score("unturned", turned, windows).values["wrist rotation"].max() > 0.01
    held = score("hold", hold(windows), windows)
    assert (held.values["wrist FDE"] > 0).all()
    mean = score("mean step", mean_step(windows, windows.truth.mean((0, 1))), windows)
    assert [figure.value < 0 for figure in exact.minus(held)] == [True] * 4
    with pytest.raises(BadInput, match="same pictures"):
        exact.minus(ChunkErrors("other", mean.values, mean.episode[::-1]))
    off[0, 0, 20] = np.nan
    with pytest.raises(BadInput, match="NaN"):
        score("broken", off, windows)


def test_a_policy_is_scored_through_what_serves_it(folder: Path, trained: Path) -> None:
    facts = read_description(trained / "policy")["facts"]
    kept = TeleData(folder, tuple(facts["held_out"]))
    policy = open_policy(PolicyFiles(trained / "policy"), sampling=SamplingConfig(5, 1.0))
    windows = windows_of(kept, OfflineConfig(windows=6))
    answers = ask_all(policy, windows, 4)
    assert np.isnan(answers[..., :18]).all() and np.isfinite(answers[..., 18:]).all()
    assert np.array_equal(answers, ask_all(policy, windows, 4), equal_nan=True)
    mean = tele_statistics(TeleData.open(folder)).action_mean
    assert [one.method for one in scores({"ours": policy}, windows, mean)] == ["ours", "hold", "mean step"]


def test_the_command(folder: Path, start: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    words = ["robot", "finetune", "--demonstrations", str(folder), "--steps", "2", "--out", str(tmp_path / "run")]
    assert main([*words, "--checkpoint", str(start), "--no-mask-unmapped"]) == 0
    assert "1 demonstrations kept back" in capsys.readouterr().out
    assert read_description(tmp_path / "run" / "policy")["facts"]["unmapped"] == "zero"
    assert main([*words, "--checkpoint", str(start)]) == 2
    assert "--resume" in capsys.readouterr().err
    assert main([*words[:-1], str(tmp_path / "other"), "--checkpoint", str(tmp_path / "no")]) == 2
    assert "policy.json is missing" in capsys.readouterr().err


def test_a_comparison_puts_beginnings_side_by_side(
    folder: Path, start: Path, config: FinetuneConfig, tmp_path: Path
) -> None:
    short = replace(config, training=replace(config.training, steps=2))
    arms = (Arm.parse(f"some={start}"), Arm.parse(f"other={start}"))
    comparison = Comparison(folder, tmp_path, arms, short, OfflineConfig(windows=4))
    by_name = {figure.name: figure for figure in compare(comparison)}
    assert by_name["offline / some / wrist FDE"].value == by_name["offline / other / wrist FDE"].value
    assert by_name["offline / other minus some / finger angles"].value == 0.0  # one beginning, one end
    assert by_name["offline / hold minus some / wrist FDE"].n == 4
    before = (tmp_path / "some" / "log.jsonl").stat().st_mtime_ns
    assert [figure.value for figure in compare(comparison)] == [figure.value for figure in by_name.values()]
    assert (tmp_path / "some" / "log.jsonl").stat().st_mtime_ns == before  # what is finished is used again
    assert Arm.parse("none").start is None
    with pytest.raises(BadInput, match="NAME=FOLDER"):
        Arm.parse("pretrained")
    with pytest.raises(BadInput, match="two arms"):
        replace(comparison, arms=arms[:1])


def test_before_and_after_are_one_policy_but_for_what_it_learned(folder: Path, trained: Path) -> None:
    windows = windows_of(TeleData.open(folder), OfflineConfig(windows=3))
    before, after = (ask_all(policy, windows) for policy in before_and_after(trained / "policy").values())
    assert before.shape == after.shape and not np.allclose(before[..., 18:], after[..., 18:])
    assert np.array_equal(ask_all(before_and_after(trained / "policy")["before"], windows), before, equal_nan=True)


def test_the_picture_of_the_mapping_names_every_motor_once_on_each_hand() -> None:
    hand = load_hand("xhand", "right")
    human, robot = draw_mapping(hand).axes
    told = [int(word[:-1]) for text in human.texts for word in text.get_text().split() if word.endswith(":")]
    assert sorted(told) == list(range(12)) == sorted(int(text.get_text()) for text in robot.texts)
