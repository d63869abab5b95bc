"""One optimizer step: gather its batches, go through them, and move the weights."""

import math
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vitra_lib.dataset.collate import PolicyBatch
from vitra_lib.policy.diffusion import NoiseDraws, draw_noise
from vitra_lib.policy.loss import Counts
from vitra_lib.policy.policy import Policy
from vitra_lib.policy.processor import Processor
from vitra_lib.training.config import TrainingConfig
from vitra_lib.training.optimizer import set_rates
from vitra_lib.training.parallel import Ranks, gradients_exchanged


@dataclass(frozen=True)
class StepFigures:
    """What one step was like, over all processes.

    Attributes:
        loss: of the whole batch.
        components: of the loss, by name.
        gradient_norm: before clipping.
        wait_s: time in which this process waited for data [s].
        samples: in the batch.
        text_tokens: of the longest sentence, to which the others are padded.
        is_taken: False where the loss or its gradients were not fit to learn from, and the weights stayed.
    """

    loss: float
    components: dict[str, float]
    gradient_norm: float
    wait_s: float
    samples: int
    text_tokens: int
    is_taken: bool


def sample_draws(batch: PolicyBatch, place: tuple[int, ...], policy: Policy, repeats: int) -> NoiseDraws:
    """Noise that depends on the run's seed, the step and the sample, not on the process that has it or on its row."""
    named = zip(batch.name, batch.frame.tolist(), strict=True)
    seeds = [(*place, zlib.crc32(name.encode()), frame) for name, frame in named]
    return draw_noise(seeds, repeats, policy.config.denoiser, tuple(batch.action.shape[1:]))


class Stepper:
    """Takes optimizer steps."""

    def __init__(
        self,
        policy: Policy,
        module: nn.Module,
        optimizer: torch.optim.Optimizer,
        processor: Processor,
        config: TrainingConfig,
        ranks: Ranks,
    ) -> None:
        """
        Args:
            policy: what learns.
            module: the policy, or its distributed form; this is what gets called.
            optimizer: over the policy's parameters.
            processor: from batches to tensors.
            config: of the run.
            ranks: this process's place.
        """
        self._policy, self._module, self._optimizer = policy, module, optimizer
        self._processor, self._config, self._ranks = processor, config, ranks

    def take(self, step: int, batches: Iterator[PolicyBatch], limit: float = math.inf) -> StepFigures:
        """One step on the next batches.

        Args:
            step: its number, from 0.
            batches: endless.
            limit: a larger loss moves no weights.
        """
        began = time.perf_counter()
        parts = [next(batches).to(self._ranks.device) for _ in range(self._config.accumulation)]
        waited = time.perf_counter() - began
        counts = self._total(parts)
        set_rates(self._optimizer, step, self._config.steps, self._config.optimizer)
        self._optimizer.zero_grad(set_to_none=True)
        losses = [self._accumulate(step, index, parts, counts) for index in range(len(parts))]
        sums = self._ranks.sum(torch.stack([value for value, *_ in losses]).sum(0))
        norm = nn.utils.clip_grad_norm_(self._policy.parameters(), self._config.optimizer.clip_norm)
        norm = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
        is_taken = bool(torch.isfinite(norm)) and bool(torch.isfinite(sums).all()) and float(sums[0]) <= limit
        if is_taken:
            self._optimizer.step()
        names = losses[0][1]
        return StepFigures(
            float(sums[0]),
            dict(zip(names, sums[1:].tolist(), strict=True)),
            float(norm),
            waited,
            self._config.batch_size,
            max(tokens for *_, tokens in losses) - self._policy.config.backbone.image_tokens,
            is_taken,
        )

    def _total(self, parts: Sequence[PolicyBatch]) -> Counts:
        """How much there is to learn from in this step, over all parts and processes."""
        counts = Counts.of(parts[0].action_mask)
        for part in parts[1:]:
            counts = counts + Counts.of(part.action_mask)
        both = self._ranks.sum(torch.stack([counts.entries, counts.rows]))
        return Counts(both[0], both[1])

    def _accumulate(
        self, step: int, index: int, parts: Sequence[PolicyBatch], counts: Counts
    ) -> tuple[Tensor, tuple[str, ...], int]:
        """Forward and backward of one part; its share of loss and components, the components' names, and row length."""
        batch = parts[index]
        inputs = self._processor.of_batch(self._policy.config, batch).to(self._ranks.device)
        draws = sample_draws(batch, (self._config.seed, step), self._policy, self._config.loss.diffusion_repeats)
        with gradients_exchanged(self._module, self._ranks, index == len(parts) - 1):
            loss = self._module(
                inputs, batch.action, batch.action_mask, draws.to(self._ranks.device), self._config.loss, counts
            )
            # Processes average their gradients; the parts' losses are meant to be added.
            (loss.total * self._ranks.world_size).backward()
        values = torch.stack([loss.total.detach(), *loss.components.values()])
        return values, tuple(loss.components), inputs.input_ids.shape[1]
