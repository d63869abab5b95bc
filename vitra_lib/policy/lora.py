"""Low-rank adapters in the text tower, through the optional package peft (spec of training, 6).

While a policy has adapters, its weights have other names. So what is saved is always the merged form: W + s·B·A under
the names of a plain policy, which needs no peft to be read.
"""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vitra_lib.core.errors import BadInput, MissingAsset
from vitra_lib.policy.policy import Policy

_TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
_ADAPTER = "default"
_BASE, _A, _B = ".base_layer.", f".lora_A.{_ADAPTER}.weight", f".lora_B.{_ADAPTER}.weight"


@dataclass(frozen=True)
class LoraSizes:
    """Size and strength of the adapters.

    Attributes:
        rank: of every adapter.
        alpha: adapters are scaled by alpha / rank.
        seed: of their start; a new adapter changes nothing.
    """

    rank: int = 16
    alpha: float = 32.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.rank < 1 or self.alpha <= 0:
            raise BadInput(f"LoRA rank {self.rank} and alpha {self.alpha}: both must be positive (16 and 32, say).")


def add_lora(policy: Policy, sizes: LoraSizes) -> None:
    """Put adapters into all linear layers of the text tower, in place; the tower's own weights then stand still.

    Raises:
        MissingAsset: peft is not installed.
    """
    if importlib.util.find_spec("peft") is None:
        raise MissingAsset(
            "LoRA needs the package peft: `pip install peft`, or train with lora_rank 0, which needs nothing."
        )
    from peft import LoraConfig, inject_adapter_in_model

    tower = policy.backbone.model.language_model
    config = LoraConfig(r=sizes.rank, lora_alpha=sizes.alpha, target_modules=list(_TARGETS), lora_dropout=0.0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(sizes.seed)
        inject_adapter_in_model(config, tower, adapter_name=_ADAPTER)
    tower.to(policy.device)
    for name, parameter in tower.named_parameters():
        parameter.requires_grad_(is_lora(name))


def is_lora(name: str) -> bool:
    """Whether a parameter of this name is part of an adapter."""
    return name.endswith((_A, _B))


def merged_weights(weights: Mapping[str, Tensor], sizes: LoraSizes) -> dict[str, Tensor]:
    """Weights of a policy with adapters, as those of a plain one; weights without adapters come back unchanged."""
    plain = {}
    for name, value in weights.items():
        if is_lora(name):
            continue
        layer = name.removesuffix(f"{_BASE}weight")
        if layer != name and layer + _A in weights:
            shift = weights[layer + _B].float() @ weights[layer + _A].float()
            value = (value.float() + sizes.alpha / sizes.rank * shift).to(value.dtype)
        plain[name.replace(_BASE, ".")] = value
    return plain


def merge_lora(policy: Policy, sizes: LoraSizes) -> None:
    """Put the adapters into the weights and take them out of the policy, in place."""
    weights = merged_weights(policy.state_dict(), sizes)
    tower = policy.backbone.model.language_model
    for name, module in list(tower.named_modules()):
        if hasattr(module, "lora_A") and isinstance(getattr(module, "base_layer", None), nn.Linear):
            parent, _, child = name.rpartition(".")
            setattr(tower.get_submodule(parent), child, module.base_layer)
    policy.load_state_dict(weights)
