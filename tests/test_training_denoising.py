"""The denoiser alone: it learns what its condition tells, leaves the backbone as it is, and gives the same twice."""

from dataclasses import replace

import pytest
import torch
from policy_makers import mask_of, tiny_policy

from vitra_lib.core.errors import BadInput
from vitra_lib.policy.config import LossConfig
from vitra_lib.training.denoising import DenoisingConfig, KnownSamples, train_denoiser

CONFIG = DenoisingConfig(steps=60, batch=16, learning_rate=3e-3, warmup_steps=5, loss=LossConfig())
STEPS = 16


def samples(count: int) -> KnownSamples:
    """Actions that are all 2 or all -2, and a condition that tells which."""
    torch.manual_seed(0)
    sign = torch.where(torch.arange(count) % 2 == 0, 1.0, -1.0)
    mask = mask_of((count, STEPS, 192), 51, 102)
    condition = sign[:, None].expand(-1, 48)
    return KnownSamples(
        condition.clone(),
        torch.zeros(count, 212),
        mask_of((count, 212), 51, 102),
        2.0 * sign[:, None, None] * mask,
        mask,
    )


def test_the_loss_falls_and_the_backbone_stands_still() -> None:
    policy = tiny_policy()
    before = {name: value.clone() for name, value in policy.backbone.state_dict().items()}
    losses = train_denoiser(policy, samples(32), CONFIG)
    assert len(losses) == CONFIG.steps
    assert sum(losses[-10:]) < 0.85 * sum(losses[:10])
    still = train_denoiser(tiny_policy(), samples(32), replace(CONFIG, steps=10, learning_rate=1e-9))
    assert sum(still) > 0.95 * sum(losses[:10])  # the control: nothing learned, nothing gained
    assert all(torch.equal(value, before[name]) for name, value in policy.backbone.state_dict().items())
    assert not policy.denoiser.training


def test_the_same_arguments_give_the_same_weights() -> None:
    one, two, other = tiny_policy(), tiny_policy(), tiny_policy()
    short = replace(CONFIG, steps=4)
    train_denoiser(one, samples(32), short)
    train_denoiser(two, samples(32), short)
    train_denoiser(other, samples(32), replace(short, seed=1))
    weights = [policy.denoiser.state_dict() for policy in (one, two, other)]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    assert any(not torch.equal(value, weights[2][name]) for name, value in weights[0].items())  # the control


def test_a_share_is_the_first_samples() -> None:
    known = samples(10)
    part = known.first(3)
    assert len(part) == 3
    assert torch.equal(part.action, known.action[:3])
    assert not torch.equal(part.action, known.action[1:4])  # the control: the next three differ


def test_what_can_not_be_asked_for() -> None:
    with pytest.raises(BadInput, match="at least 1"):
        replace(CONFIG, steps=0)
    with pytest.raises(BadInput, match=r"must be in \[0, 1\)"):
        replace(CONFIG, ema_decay=1.0)
