"""Policies with the deterministic weights that the frozen numbers of the official code were made with."""

import numpy as np
import torch

from vitra_lib.policy.config import BackboneConfig, DenoiserConfig, PolicyConfig
from vitra_lib.policy.denoiser import Denoiser
from vitra_lib.policy.official_weights import official_names
from vitra_lib.policy.policy import Policy, PolicyInputs


def wave(shape: tuple[int, ...], frequency: float) -> torch.Tensor:
    """sin(frequency × flat index), computed in float64, as float32."""
    values = np.sin(frequency * np.arange(np.prod(shape)))
    return torch.from_numpy(values.astype(np.float32).reshape(shape))


def fill(parameters: dict[str, torch.nn.Parameter], scale: float) -> None:
    """The k-th parameter by name becomes scale × sin(0.1 × flat index + k)."""
    with torch.no_grad():
        for k, name in enumerate(sorted(parameters)):
            value = parameters[name]
            numbers = scale * np.sin(0.1 * np.arange(value.numel()) + k)
            value.copy_(torch.from_numpy(numbers.astype(np.float32)).view(value.shape))


def mask_of(shape: tuple[int, ...], start: int, stop: int) -> torch.Tensor:
    """True in [start, stop) of the last axis."""
    mask = torch.zeros(shape, dtype=torch.bool)
    mask[..., start:stop] = True
    return mask


def golden_denoiser(**changes: object) -> Denoiser:
    """DiT-T with the official code's deterministic weights."""
    denoiser = Denoiser(DenoiserConfig.of_size("T", 2304, **changes)).eval()
    fill(dict(denoiser.named_parameters()), 0.1)
    return denoiser


def denoiser_inputs() -> dict[str, torch.Tensor]:
    """The inputs of the frozen numbers: one right-handed and one two-handed action chunk."""
    action_mask = torch.stack([mask_of((16, 192), 51, 102), mask_of((16, 192), 0, 102)])
    return {
        "noisy": wave((2, 16, 192), 0.01),
        "action_mask": action_mask,
        "timestep": torch.tensor([7, 90]),
        "condition": wave((2, 2304), 0.003),
        "state": wave((2, 212), 0.07),
        "state_mask": mask_of((2, 212), 51, 102),
    }


def golden_policy() -> Policy:
    """A two-layer policy with PaliGemma's vocabulary and the official code's deterministic weights."""
    backbone = BackboneConfig(224, 48, 2, 2, 96, 64, 2, 2, 1, 32, 128, 257216, 257152)
    policy = Policy(PolicyConfig("golden", backbone, DenoiserConfig.of_size("T", 64))).eval()
    parameters = dict(policy.named_parameters())
    fill({theirs: parameters[ours] for theirs, ours in official_names(policy).items() if "lm_head" not in theirs}, 0.05)
    return policy


def golden_inputs() -> PolicyInputs:
    """One image, one instruction of two words."""
    ids = torch.tensor([[257152] * 256 + [2, 7000, 235292, 1234, 108]])
    return PolicyInputs(
        ids,
        torch.ones_like(ids),
        wave((1, 3, 224, 224), 0.001),
        torch.tensor([[1.2, 0.9]]),
        wave((1, 212), 0.07),
        mask_of((1, 212), 51, 102),
    )


def tiny_policy(vocabulary: int = 400, **changes: object) -> Policy:
    """A policy small enough for tests, with weights that do something."""
    backbone = BackboneConfig(28, 32, 1, 2, 64, 48, 1, 2, 1, 24, 96, vocabulary, vocabulary - 1, query_scale=24)
    torch.manual_seed(0)
    policy = Policy(PolicyConfig("test", backbone, DenoiserConfig(32, 2, 2, 48, **changes))).eval()
    with torch.no_grad():
        for parameter in policy.denoiser.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return policy


def tiny_inputs(policy: Policy, batch: int = 2) -> PolicyInputs:
    """Random pictures and words for `tiny_policy`."""
    generator = torch.Generator().manual_seed(1)
    config = policy.config.backbone
    words = torch.randint(3, config.vocabulary - 1, (batch, 6), generator=generator)
    ids = torch.cat([torch.full((batch, config.image_tokens), config.image_token_id), words], 1)
    size = (batch, 3, config.image_size_px, config.image_size_px)
    return PolicyInputs(
        ids,
        torch.ones_like(ids),
        torch.rand(size, generator=generator) * 2 - 1,
        torch.tensor([[1.2, 0.9]]).expand(batch, 2),
        torch.randn(batch, 212, generator=generator),
        mask_of((batch, 212), 51, 102),
    )
