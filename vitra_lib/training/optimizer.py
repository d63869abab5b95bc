"""Which parameter learns how fast, and which decays (spec of training, 6).

What decays is decided by a weight's whole shape, which FSDP2's shards keep. The official code looks at flattened
shards, so that nothing but the cognition token decays there.
"""

import math

import torch
from torch import nn

from vitra_lib.policy.lora import is_lora
from vitra_lib.policy.policy import Policy
from vitra_lib.training.config import OptimizerConfig

_MIN_SHARE = 0.1  # where the cosine ends
_LEARNED_TOKENS = ("backbone.cognition_token", "backbone.fov_encoder.")


def freeze(policy: Policy, what: str) -> None:
    """Let parts of the policy stand still: one of `vitra_lib.training.config.FREEZES`.

    The word embedding's gradient is only computed where it learns.
    """
    for name, parameter in policy.named_parameters():
        is_learned_token = name.startswith(_LEARNED_TOKENS)
        stands_still = {
            "nothing": False,
            "vision": name.startswith("backbone.model.vision_tower."),
            "backbone": name.startswith("backbone.") and not is_learned_token,
            "condition": name.startswith("backbone."),
        }[what]
        parameter.requires_grad_(not stands_still)


def parameter_groups(policy: Policy, config: OptimizerConfig) -> list[dict]:
    """Four groups: backbone and head, each with and without weight decay; every trained parameter is in one of them.

    New parts of the backbone (learned tokens, adapters) learn at the rate of the head.
    """
    groups: dict[tuple[str, bool], list[nn.Parameter]] = {}
    for name, parameter in policy.named_parameters():
        if parameter.requires_grad:
            is_backbone = name.startswith("backbone.") and not name.startswith(_LEARNED_TOKENS) and not is_lora(name)
            decays = parameter.ndim >= 2 and not name.endswith(".bias")
            groups.setdefault(("backbone" if is_backbone else "head", decays), []).append(parameter)
    rates = {"backbone": config.backbone_lr, "head": config.head_lr}
    return [
        {
            "params": parameters,
            "name": f"{part}_{'decay' if decays else 'no_decay'}",
            "part": part,
            "lr": rates[part],
            "base_lr": rates[part],
            "weight_decay": config.weight_decay if decays else 0.0,
        }
        for (part, decays), parameters in sorted(groups.items())
    ]


def make_optimizer(policy: Policy, config: OptimizerConfig) -> torch.optim.AdamW:
    """AdamW over the groups."""
    return torch.optim.AdamW(parameter_groups(policy, config), betas=(config.beta1, config.beta2))


def rate_share(part: str, step: int, steps: int, config: OptimizerConfig) -> float:
    """Share of the base rate at a step; a function of the step alone, so that resuming can't change it.

    Args:
        part: "backbone" or "head".
        step: optimizer step, from 0.
        steps: length of the run.
        config: schedule and warm-up.
    """
    warmup = config.warmup_steps
    if config.schedule == "backbone-freeze-warmup":
        return float(part == "head" or step >= warmup)
    if config.schedule != "constant" and step < warmup:
        return (step + 1) / warmup
    if config.schedule == "linear-warmup+cosine":
        done = min(1.0, (step - warmup) / max(1, steps - warmup))
        return _MIN_SHARE + (1 - _MIN_SHARE) * 0.5 * (1 + math.cos(math.pi * done))
    return 1.0


def set_rates(optimizer: torch.optim.Optimizer, step: int, steps: int, config: OptimizerConfig) -> None:
    """Give every group its rate for a step."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * rate_share(group["part"], step, steps, config)
