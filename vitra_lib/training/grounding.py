"""The stages before diffusion: a small backbone learns to see, then to bind a sentence to a place.

What is learned, and why, is in `vitra_lib.training.seeing`; here is the loop around it. Released backbones need none
of this.
"""

import itertools
import logging
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import nn
from tqdm import tqdm

from vitra_lib.core.errors import BadInput, UnknownName
from vitra_lib.policy.policy import Policy
from vitra_lib.policy.processor import Processor
from vitra_lib.training.config import PRECISIONS, OptimizerConfig
from vitra_lib.training.loop import RunConfig, TrainingStopped
from vitra_lib.training.optimizer import rate_share
from vitra_lib.training.parallel import Ranks
from vitra_lib.training.pictures import PictureBatch, PictureLoader, PictureTargets
from vitra_lib.training.run_folder import RunFolder, optimizer_state
from vitra_lib.training.seeing import Binding, Seeing

_log = logging.getLogger(__name__)
STAGES = ("seeing", "binding")
_WAVES = 0.7  # amplitude
_LEAST_SCALE_M = 0.01  # of places that never differ


@dataclass(frozen=True)
class GroundingConfig:
    """One stage.

    Attributes:
        stage: "seeing" (image tower, projector and word embedding) or "binding" (the whole backbone).
        steps: optimizer steps.
        batch: pictures per step.
        learning_rate: of all that learns, after the warm-up; a cosine takes it to a tenth.
        warmup_steps: of the linear warm-up.
        weight_decay: of matrices.
        clip_norm: gradients are scaled down to this norm.
        precision: "fp32" or "bf16", of the backbone's computation.
        seed: of the layers that are thrown away.
        save_every, log_every: in steps.
    """

    stage: str = "binding"
    steps: int = 400
    batch: int = 32
    learning_rate: float = 1e-3
    warmup_steps: int = 20
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    precision: str = "fp32"
    seed: int = 0
    save_every: int = 1000
    log_every: int = 10

    def __post_init__(self) -> None:
        if min(self.steps, self.batch, self.save_every, self.log_every) < 1:
            raise BadInput("steps, batch, save_every and log_every must be at least 1.")
        if self.learning_rate <= 0 or self.clip_norm <= 0:
            raise BadInput("learning_rate and clip_norm must be positive.")
        if self.precision not in PRECISIONS:
            raise UnknownName("precision", self.precision, PRECISIONS)
        if self.stage not in STAGES:
            raise UnknownName("stage", self.stage, STAGES)


@torch.no_grad()
def widen_initial_weights(policy: Policy, seed: int) -> None:
    """Give a backbone that has learned nothing yet Glorot's initial weights instead of transformers' deviation of 0.02.

    That is made for widths of thousands. At a width of 192 it leaves queries and keys so small that all attention is
    even for hundreds of steps. Patches learn where they are from waves over the picture, as strong as their contents.
    """
    generator = torch.Generator().manual_seed(seed)
    for layer in policy.backbone.model.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight, generator=generator)
    side = round(policy.config.backbone.image_tokens**0.5)
    for layer in policy.backbone.model.vision_tower.modules():
        if isinstance(layer, nn.Embedding) and layer.num_embeddings == side * side:
            layer.weight.copy_(_WAVES * _waves(side, layer.embedding_dim))


def _waves(side: int, width: int) -> Float[torch.Tensor, "tokens width"]:
    """Sines and cosines of a token's column and row, with periods from 2π to 200π tokens."""
    frequency = 100.0 ** (-torch.arange(-(-width // 4)) / (width / 4))
    row, column = (axis.reshape(-1, 1) for axis in torch.meshgrid(*[torch.arange(side)] * 2, indexing="ij"))
    parts = [wave(at * frequency) for at in (column, row) for wave in (torch.cos, torch.sin)]
    return torch.cat(parts, 1)[:, :width]


class Grounding:
    """A run of one stage: `Grounding(…).run()`. Killed and resumed it gives the same weights, as training does."""

    def __init__(
        self, policy: Policy, processor: Processor, loader: PictureLoader, config: GroundingConfig, run: RunConfig
    ) -> None:
        """Prepare; nothing is learned yet.

        Args:
            policy: whose backbone learns.
            processor: from batches to tensors.
            loader: of pictures with named things.
            config: of the stage.
            run: where it is kept.

        Raises:
            BadInput: the folder holds another run.
        """
        policy.requires_grad_(False)
        policy.backbone.requires_grad_(True)
        self.policy, self.config, self._run, self._loader = policy, config, run, loader
        places = loader.pictures.places_cam.reshape(-1, 3)
        self._middle, self._scale = places.mean(0), np.maximum(places.std(0), _LEAST_SCALE_M)
        self._side = round(policy.config.backbone.image_tokens**0.5)
        generator = torch.Generator().manual_seed(config.seed)
        if config.stage == "seeing":
            self._module: Seeing | Binding = Seeing(policy, processor, loader.pictures.sentences, generator)
        else:
            self._module = Binding(policy, processor, generator)
        self._module.to(policy.device)
        self._rates = OptimizerConfig(schedule="linear-warmup+cosine", warmup_steps=config.warmup_steps)
        parameters = list(self._module.parameters())
        groups = [
            {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": config.weight_decay},
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
        ]
        self._optimizer = torch.optim.AdamW(groups, lr=config.learning_rate)
        self._folder = RunFolder(run.folder, Ranks(0, 1, policy.device, "none"), keep=1)
        self._folder.start({"grounding": asdict(config), "policy": policy.config.to_dict()}, run.resume)

    def run(self) -> Policy:
        """Learn.

        Returns:
            The policy, whose backbone has learned; all its parameters learn again.

        Raises:
            TrainingStopped: the loss is not finite; weights are those before it.
        """
        first = self._resume() if self._run.resume else 0
        batches = itertools.chain.from_iterable(itertools.repeat(self._loader))
        steps = range(first, self.config.steps)
        name = self.config.stage
        bar = tqdm(steps, initial=first, total=self.config.steps, desc=name, disable=not self._run.progress)
        self._module.train()
        for step in bar:
            loss = self._step(step, next(batches))
            done, is_end = step + 1, step + 1 == self.config.steps
            if done % self.config.log_every == 0 or is_end:
                self._folder.log({"step": step, "loss": loss})
                bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
            if done % self.config.save_every == 0 or is_end:
                self._save(done)
        self.policy.requires_grad_(True)
        return self.policy

    @torch.no_grad()
    def answers(self, batch: PictureBatch) -> Float[np.ndarray, "batch 3"]:
        """Where the backbone says the named things are, in the camera [m], while the layer for it still exists.

        Raises:
            BadInput: the stage is not the one that binds.
        """
        if not isinstance(self._module, Binding):
            raise BadInput("Only the stage 'binding' answers where a named thing is.")
        self._module.eval()
        found = self._module.answer(batch, self.config.precision == "bf16").cpu().numpy()
        self._module.train()
        return found.astype(np.float64) * self._scale + self._middle

    def _step(self, step: int, batch: PictureBatch) -> float:
        """One optimizer step."""
        targets = PictureTargets.of(batch, self._side, self._middle, self._scale).to(self.policy.device)
        loss = self._module.loss(batch, targets, self.config.precision == "bf16")
        if not torch.isfinite(loss):
            raise TrainingStopped(
                f"At step {step} of the stage {self.config.stage!r} the loss is not finite; lower the learning rate."
            )
        share = rate_share("backbone", step, self.config.steps, self._rates)
        for group in self._optimizer.param_groups:
            group["lr"] = self.config.learning_rate * share
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self._module.parameters(), self.config.clip_norm)
        self._optimizer.step()
        return float(loss.detach())

    def _state(self) -> dict[str, Any]:
        from torch.distributed.checkpoint.state_dict import get_model_state_dict

        model = get_model_state_dict(self._module)
        return {"model": model, "optimizer": optimizer_state(self._module, self._optimizer), "average": None}

    def _save(self, done: int) -> None:
        state = self._state() | {"weights": self.policy.state_dict(), "loader": self._loader.state_dict()}
        self._folder.save(done, self.policy, state, self._run.facts | {f"{self.config.stage}_steps": done})

    def _resume(self) -> int:
        """Go to the last complete checkpoint; 0 when there is none."""
        rest = self._folder.go_on(self._module, self._optimizer, self._loader, self._state)
        if rest is None:
            return 0
        _log.info("going on at step %d of %d of the stage %r", rest["step"], self.config.steps, self.config.stage)
        return int(rest["step"])
