"""What a run logs, counted work against torch's own counter, and that recomputing and compiling really happen."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from training_makers import ALONE, CONFIG, TwelveSamples, batch_of, new_policy

from vitra_lib.core.errors import MissingAsset
from vitra_lib.policy.policy import Policy
from vitra_lib.policy.processor import Processor
from vitra_lib.training.flops import denoiser_flops, measured_peak, text_flops, training_flops, vision_flops
from vitra_lib.training.log import RunLog, summary
from vitra_lib.training.loop import RunConfig, Training
from vitra_lib.training.optimizer import freeze
from vitra_lib.training.run_folder import RunFolder
from vitra_lib.training.step import sample_draws

REPEATS = 2


def loss_of(policy: Policy, rows: list[int]) -> torch.Tensor:
    """The training loss of samples."""
    batch = batch_of(rows)
    inputs = Processor().of_batch(policy.config, batch)
    draws = sample_draws(batch, (0,), policy, REPEATS)
    return policy(inputs, batch.action, batch.action_mask, draws, CONFIG.loss).total


def text_tokens(policy: Policy, rows: list[int]) -> int:
    """Tokens of the sentences."""
    inputs = Processor().of_batch(policy.config, batch_of(rows))
    return inputs.input_ids.shape[1] - policy.config.backbone.image_tokens


def test_counted_work_is_what_torch_counts() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    policy, rows = new_policy(), [1, 2]
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        loss_of(policy, rows)
    config, words = policy.config, text_tokens(policy, rows)
    parts = vision_flops(config.backbone), text_flops(config.backbone, words), REPEATS * denoiser_flops(config.denoiser)
    # torch does not count its fused attention on a CPU: image tower 4 tokens, denoiser 2 blocks of 18 tokens, 32 wide
    fused = 4 * 4**2 * 32 + REPEATS * 2 * 4 * 18**2 * 32
    assert len(rows) * (sum(parts) - fused) == counter.get_total_flops()
    assert len(rows) * sum(parts[1:]) != counter.get_total_flops()  # the control
    assert training_flops(config, words, REPEATS, "nothing") == 3 * sum(parts)
    assert training_flops(config, words, REPEATS, "vision") == 3 * sum(parts) - 2 * parts[0]


def test_a_log_line_tells_speed_waiting_use_and_memory(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = replace(CONFIG, steps=2, precision="bf16", checkpointing=True)
    with caplog.at_level("INFO", logger="vitra_lib.training.log"):
        Training(new_policy(), Processor(), config, RunConfig(tmp_path), ALONE).run(TwelveSamples(4))
    line = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    assert line["samples_per_s"] > 0 and line["peak_memory_gb"] > 0.05
    assert 0 <= line["data_wait"] < 1 and 0 < line["mfu"] < 1
    assert "samples/s, data wait" in caplog.text and "peak memory" in caplog.text
    wanted = {"samples_per_s": 28.61, "data_wait": 0.034, "mfu": 0.412, "peak_memory_gb": 80.0}
    assert summary(wanted) == "28.6 samples/s, data wait 3.4 %, MFU 41.2 %, peak memory 80.00 GB"
    assert measured_peak(torch.device("cpu"), torch.float32) > 1e8


@pytest.mark.skipif(importlib.util.find_spec("tensorboard") is None, reason="TensorBoard is not installed")
def test_tensorboard_gets_the_same_figures(tmp_path: Path) -> None:
    Training(new_policy(), Processor(), replace(CONFIG, steps=2), RunConfig(tmp_path), ALONE).run(TwelveSamples(4))
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [event.value for event in events.Scalars("loss")] == pytest.approx([line["loss"] for line in lines])


def test_a_wanted_but_missing_wandb_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RunFolder(tmp_path, ALONE, 1)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingAsset, match="Weights & Biases needs its package"):
        RunLog(folder, replace(CONFIG, wandb_project="hands"), ALONE)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_checkpointing_computes_the_text_tower_twice_and_changes_no_gradient(
    tmp_path: Path, checkpointing: bool
) -> None:
    config = replace(CONFIG, steps=1, checkpointing=checkpointing)
    training = Training(new_policy(), Processor(), config, RunConfig(tmp_path), ALONE)
    passes = []
    layer = training.policy.backbone.model.language_model.layers[0]
    layer.mlp.register_forward_hook(lambda *_: passes.append(1))
    training.run(TwelveSamples(4))
    assert len(passes) == (2 if checkpointing else 1)
    norm = json.loads((tmp_path / "log.jsonl").read_text())["gradient_norm"]
    plain = new_policy().train()
    freeze(plain, "vision")
    batch = next(iter(TwelveSamples(4)))
    inputs = Processor().of_batch(plain.config, batch)
    draws = sample_draws(batch, (CONFIG.seed, 0), plain, REPEATS)
    plain(inputs, batch.action, batch.action_mask, draws, CONFIG.loss).total.backward()
    wanted = torch.nn.utils.clip_grad_norm_(plain.parameters(), 1e9)
    assert norm == pytest.approx(float(wanted), rel=1e-5)


@pytest.mark.parametrize("compiles", [False, True])
def test_compiling_is_done_to_the_denoiser_if_asked(tmp_path: Path, compiles: bool) -> None:
    config = replace(CONFIG, steps=1, compile=compiles)
    training = Training(new_policy(), Processor(), config, RunConfig(tmp_path), ALONE)
    assert (training.policy.denoiser._compiled_call_impl is not None) == compiles
