"""Exponential average of the weights, kept beside them."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn


class WeightAverage:
    """After every step: average ← decay · average + (1 - decay) · weights; younger runs forget faster.

    Attributes:
        values: the averages of the trained parameters, by name.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        """
        Args:
            module: whose trained parameters are averaged; the averages start as copies.
            decay: share that stays per step.
        """
        self._decay = decay
        self.values = {name: p.detach().clone() for name, p in module.named_parameters() if p.requires_grad}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Take in the weights after step `step` (from 1)."""
        decay = min(self._decay, (1 + step) / (10 + step))
        for name, parameter in module.named_parameters():
            if name in self.values:
                self.values[name].lerp_(parameter.detach(), 1 - decay)

    @contextlib.contextmanager
    def in_place_of(self, module: nn.Module) -> Iterator[None]:
        """While inside, the module has the averaged weights."""
        self._swap(module)
        try:
            yield
        finally:
            self._swap(module)

    @torch.no_grad()
    def _swap(self, module: nn.Module) -> None:
        for name, parameter in module.named_parameters():
            if name in self.values:
                kept: Tensor = parameter.detach().clone()
                parameter.copy_(self.values[name])
                self.values[name].copy_(kept)
