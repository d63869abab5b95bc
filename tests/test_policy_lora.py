"""Low-rank adapters: what they change, how they merge, and what is said where peft is missing."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from policy_makers import tiny_inputs, tiny_policy
from training_makers import ALONE, CONFIG, TwelveSamples, new_policy

from vitra_lib.core.errors import BadInput, MissingAsset
from vitra_lib.policy.checkpoint import load_policy
from vitra_lib.policy.lora import LoraSizes, add_lora, is_lora, merge_lora, merged_weights
from vitra_lib.policy.processor import Processor
from vitra_lib.training.loop import RunConfig, Training

needs_peft = pytest.mark.skipif(importlib.util.find_spec("peft") is None, reason="peft is not installed")
SIZES = LoraSizes(rank=2, alpha=3.0)


def test_merging_adds_the_scaled_product_and_leaves_the_rest() -> None:
    layer = "tower.q_proj"
    weights = {
        f"{layer}.base_layer.weight": torch.eye(3, 4),
        f"{layer}.lora_A.default.weight": torch.ones(2, 4),
        f"{layer}.lora_B.default.weight": torch.tensor([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]]),
        "denoiser.bias": torch.zeros(5),
    }
    merged = merged_weights(weights, SIZES)
    assert sorted(merged) == ["denoiser.bias", f"{layer}.weight"]
    wanted = torch.eye(3, 4) + 1.5 * torch.tensor([[1.0], [2.0], [0.0]])
    torch.testing.assert_close(merged[f"{layer}.weight"], wanted)
    assert (merged_weights(weights, LoraSizes(2, 6.0))[f"{layer}.weight"] - wanted).abs().max() > 1  # the control


def test_missing_peft_and_bad_sizes_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "peft" else find(name))
    with pytest.raises(MissingAsset, match="LoRA needs the package peft: `pip install peft`"):
        add_lora(tiny_policy(), SIZES)
    with pytest.raises(BadInput, match="LoRA rank 0 and alpha"):
        LoraSizes(0)


@needs_peft
@torch.no_grad()
def test_new_adapters_change_nothing_and_merged_ones_compute_the_same() -> None:
    policy = tiny_policy()
    inputs = tiny_inputs(policy)
    before = policy.cognition(inputs)
    add_lora(policy, SIZES)
    torch.testing.assert_close(policy.cognition(inputs), before)
    trained = [name for name, p in policy.backbone.model.language_model.named_parameters() if p.requires_grad]
    assert len(trained) == 14 and all(map(is_lora, trained))
    for name, parameter in policy.named_parameters():
        if "lora_B" in name:
            parameter.add_(0.3)
    with_adapters = policy.cognition(inputs)
    merge_lora(policy, SIZES)
    assert policy.state_dict().keys() == tiny_policy().state_dict().keys()
    torch.testing.assert_close(policy.cognition(inputs), with_adapters, rtol=1e-4, atol=1e-5)
    assert (with_adapters - before).abs().max() > 1e-2  # the control: the adapters did something


@needs_peft
def test_a_run_with_adapters_resumes_and_saves_plain_policies(tmp_path: Path) -> None:
    config = replace(CONFIG, lora_rank=2, ema_decay=0.0)
    start = new_policy().state_dict()
    policies = []
    for folder, fails_at in (("whole", None), ("cut", 5)):
        for is_resumed in (False, True) if fails_at else (False,):
            training = Training(new_policy(), Processor(), config, RunConfig(tmp_path / folder, is_resumed), ALONE)
            try:
                policies.append(training.run(TwelveSamples(4, None if is_resumed else fails_at)))
            except KeyboardInterrupt:
                assert fails_at
    whole, resumed = (policy.state_dict() for policy in policies)
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())
    saved = load_policy(tmp_path / "whole" / "checkpoints" / "step-00000009" / "policy").state_dict()
    assert all(torch.equal(value, whole[name]) for name, value in saved.items())
    changed = {name for name, value in saved.items() if not torch.equal(value, start[name])}
    assert any(name.endswith("q_proj.weight") for name in changed)
    assert not any("layernorm" in name for name in changed)
