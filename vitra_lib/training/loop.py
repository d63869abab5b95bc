"""The training loop: steps, log, validation, checkpoints, and exact resume.

Every random choice of a step is a function of the run's seed, the step and the sample; the data's order is a function
of its own seed. So a run that was killed goes on from its last checkpoint exactly as if nothing had happened.
"""

import contextlib
import itertools
import logging
import math
import statistics
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from tqdm import tqdm

from vitra_lib.core.errors import VitraError
from vitra_lib.dataset.collate import PolicyBatch
from vitra_lib.policy.lora import LoraSizes, add_lora, merge_lora, merged_weights
from vitra_lib.policy.policy import Policy
from vitra_lib.policy.processor import Processor
from vitra_lib.training.average import WeightAverage
from vitra_lib.training.config import FREE_ON_RESUME, TrainingConfig
from vitra_lib.training.flops import training_flops
from vitra_lib.training.log import Meter, RunLog, summary
from vitra_lib.training.optimizer import freeze, make_optimizer
from vitra_lib.training.parallel import Ranks, put_away, shared
from vitra_lib.training.run_folder import RunFolder, average_state, optimizer_state, whole_weights
from vitra_lib.training.step import StepFigures, Stepper, sample_draws

_log = logging.getLogger(__name__)
_JUMP_WINDOW = 100
_VALIDATION_PLACE = (1 << 30,)  # validation noise is the same at every validation


@runtime_checkable
class BatchSource(Protocol):
    """What a run reads: `vitra_lib.dataset.TrainingLoader`, or anything that keeps its place as that does."""

    def __iter__(self) -> Iterator[PolicyBatch]:
        """Batches from where it stands to the end of the epoch."""

    def state_dict(self) -> dict[str, Any]:
        """Where it stands, in plain values."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go there."""


class TrainingStopped(VitraError):
    """The loss or the gradients left the rails; the message names the last good checkpoint."""


@dataclass(frozen=True)
class RunConfig:
    """Where a run is kept and what is said of it.

    Attributes:
        folder: of the run.
        resume: go on with the run that is there.
        facts: kept in every checkpoint: data, normalisation statistics…
        progress: show a bar.
    """

    folder: Path
    resume: bool = False
    facts: dict[str, Any] = field(default_factory=dict)
    progress: bool = False


class Training:
    """A run: `Training(…).run()` trains to the configured number of steps.

    Attributes:
        policy: what learns.
        config: of the training.
        speed: samples per second, data wait, model FLOPs utilisation and peak memory of the last `run`.
    """

    def __init__(
        self, policy: Policy, processor: Processor, config: TrainingConfig, run: RunConfig, ranks: Ranks
    ) -> None:
        """Prepare policy, optimizer and folder; nothing is read or learned yet.

        Args:
            policy: what shall learn; on the device of `ranks`.
            processor: from batches to tensors.
            config: of the training.
            run: where it is kept.
            ranks: this process's place.

        Raises:
            BadInput: the folder holds another run.
        """
        freeze(policy, config.freeze)
        self._lora = LoraSizes(config.lora_rank, config.lora_alpha, config.seed) if config.lora_rank else None
        if self._lora is not None:
            add_lora(policy, self._lora)
        policy.in_bf16 = config.precision == "bf16"
        if config.checkpointing:
            policy.backbone.model.language_model.gradient_checkpointing_enable({"use_reentrant": False})
        if config.compile:
            policy.denoiser.compile(dynamic=False)
        self.policy, self.config, self._run, self._ranks = policy, config, run, ranks
        self._processor = processor
        self._module = shared(policy, ranks)
        self._optimizer = make_optimizer(policy, config.optimizer)
        self._average = WeightAverage(policy, config.ema_decay) if config.ema_decay else None
        self._folder = RunFolder(run.folder, ranks, config.keep)
        described = {"training": config.to_dict(), "policy": policy.config.to_dict()}
        self._folder.start(described, run.resume, FREE_ON_RESUME)
        self._log = RunLog(self._folder, config, ranks)
        self._stepper = Stepper(policy, self._module, self._optimizer, processor, config, ranks)
        self._recent: deque[float] = deque(maxlen=_JUMP_WINDOW)
        self._best = float("inf")
        self.speed: dict[str, float] = {}

    def run(self, loader: BatchSource, validation: Sequence[PolicyBatch] = ()) -> Policy:
        """Train.

        Args:
            loader: of training batches, `config.micro_batch` samples each.
            validation: batches that are never trained on; the best checkpoint has the lowest loss on them.

        Returns:
            The policy, with averaged weights if an average is kept.

        Raises:
            TrainingStopped: NaN or a jump of the loss; weights and log are those before it.
        """
        first = self._resume(loader) if self._run.resume else 0
        batches = _endless(loader)
        bar = tqdm(
            range(first, self.config.steps),
            initial=first,
            total=self.config.steps,
            unit="step",
            desc="training",
            disable=not (self._run.progress and self._ranks.is_first),
        )
        self._module.train()
        self._log.start(first)
        meter = Meter.of_device(self._ranks, self.config.precision)
        try:
            for step in bar:
                figures = self._stepper.take(step, batches, self._limit())
                self._watch(step, figures)
                if self._average is not None:
                    self._average.update(self.policy, step + 1)
                meter.add(figures.samples, figures.samples * self._flops(figures), figures.wait_s)
                done, is_end = step + 1, step + 1 == self.config.steps
                if done % self.config.log_every == 0 or is_end:
                    speed = meter.figures(self._ranks.device)
                    self._log.write(self._line(step, figures) | speed)
                    bar.set_postfix_str(f"loss {figures.loss:.3f}, {summary(speed)}", refresh=False)
                if validation and (done % self.config.validate_every == 0 or is_end):
                    self._validate(done, validation)
                if done % self.config.save_every == 0 or is_end:
                    self._save(done, loader)
        finally:
            self.speed = meter.figures(self._ranks.device)
            self._log.close(self.speed)
        return self._finished()

    def _finished(self) -> Policy:
        """The policy to use: with the averaged weights, and adapters put into the weights, where there are any."""
        if self._average is not None:
            self.policy.load_state_dict(self._average.values, strict=False)
        if self._lora is not None and self._ranks.kind != "fsdp":
            merge_lora(self.policy, self._lora)
        return self.policy

    def validation_loss(self, batches: Sequence[PolicyBatch]) -> float:
        """Mean loss on batches, with the same noise every time, in evaluation mode."""
        self._module.eval()
        total = torch.zeros(2, device=self._ranks.device)
        with torch.no_grad(), self._averaged():
            for batch in batches:
                batch = batch.to(self._ranks.device)
                inputs = self._processor.of_batch(self.policy.config, batch).to(self._ranks.device)
                draws = sample_draws(batch, _VALIDATION_PLACE, self.policy, 4).to(self._ranks.device)
                loss = self._module(inputs, batch.action, batch.action_mask, draws, self.config.loss)
                total += torch.stack([loss.total * len(batch), torch.tensor(float(len(batch)), device=total.device)])
            put_away(self.policy)
        self._module.train()
        total = self._ranks.sum(total)
        return float(total[0] / total[1])

    def _averaged(self) -> contextlib.AbstractContextManager[None]:
        """With the averaged weights in place, if there are any."""
        return contextlib.nullcontext() if self._average is None else self._average.in_place_of(self.policy)

    def _limit(self) -> float:
        """The largest loss that is believed."""
        full = len(self._recent) == self._recent.maxlen
        return self.config.max_loss_jump * statistics.median(self._recent) if full else float("inf")

    def _watch(self, step: int, figures: StepFigures) -> None:
        """Stop a run whose loss or gradients left the rails."""
        if figures.is_taken:
            self._recent.append(figures.loss)
            return
        typical = statistics.median(self._recent) if self._recent else float("nan")
        finite = math.isfinite(figures.loss) and math.isfinite(figures.gradient_norm)
        good = self._folder.steps()
        where = f"the last good checkpoint is {self._folder.checkpoint(good[-1])}" if good else "no checkpoint yet"
        what = (
            f"jumped to {figures.loss:.3g}, {figures.loss / typical:.0f} times its median"
            if finite
            else "is not finite"
        )
        raise TrainingStopped(
            f"At step {step} the loss {what} (gradient norm {figures.gradient_norm:.3g}); {where}. Lower the rates or "
            "look at the data with `vitra check`, then go on with --resume."
        )

    def _flops(self, figures: StepFigures) -> float:
        """Useful operations per sample of a step."""
        frozen = "backbone" if self._lora is not None else self.config.freeze
        return training_flops(self.policy.config, figures.text_tokens, self.config.loss.diffusion_repeats, frozen)

    def _line(self, step: int, figures: StepFigures) -> dict[str, Any]:
        """One line of the log, but for the speed."""
        rates = {group["name"]: group["lr"] for group in self._optimizer.param_groups}
        norm = figures.gradient_norm
        return {"step": step, "loss": figures.loss, **figures.components, "gradient_norm": norm, "rates": rates}

    def _validate(self, done: int, batches: Sequence[PolicyBatch]) -> None:
        """Log the validation loss, and keep the policy if it is the best so far."""
        loss = self.validation_loss(batches)
        self._log.write({"step": done - 1, "validation_loss": loss, "steps_done": done})
        if loss < self._best:
            self._best = loss
            with self._averaged():
                weights = self._usable_weights()
                facts = self._run.facts | {"steps": done, "validation_loss": loss}
                self._folder.save_best(self.policy, weights, facts)

    def _usable_weights(self) -> dict[str, torch.Tensor]:
        """All weights on the first process, adapters put into them."""
        weights = whole_weights(self.policy, self._ranks)
        return weights if self._lora is None else merged_weights(weights, self._lora)

    def _state(self) -> dict[str, Any]:
        """Tensors of a checkpoint."""
        from torch.distributed.checkpoint.state_dict import get_model_state_dict

        return {
            "model": get_model_state_dict(self.policy),
            "optimizer": optimizer_state(self.policy, self._optimizer),
            "average": average_state(self._average),
        }

    def _save(self, done: int, loader: BatchSource) -> None:
        """A checkpoint from which the run can go on."""
        with self._averaged():
            weights = self._usable_weights()
            weights = {name: value.clone() for name, value in weights.items()} if self._average else weights
        plain = {"loader": loader.state_dict(), "recent": list(self._recent), "best": self._best}
        self._folder.save(
            done, self.policy, self._state() | {"weights": weights} | plain, self._run.facts | {"steps": done}
        )

    def _resume(self, loader: BatchSource) -> int:
        """Go to the last complete checkpoint; 0 when there is none."""
        rest = self._folder.go_on(self.policy, self._optimizer, loader, self._state)
        if rest is None:
            return 0
        self._recent.extend(rest["recent"])
        self._best = float("inf") if rest["best"] is None else rest["best"]
        _log.info("going on at step %d of %d", rest["step"], self.config.steps)
        return int(rest["step"])


def _endless(loader: BatchSource) -> Iterator[PolicyBatch]:
    """Batches, epoch after epoch."""
    return itertools.chain.from_iterable(itertools.repeat(loader))
