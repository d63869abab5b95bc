"""The grounding stage: a small backbone learns to see before anything is denoised.

The paper starts from PaliGemma, which has seen the world; a small backbone starts from noise, and the diffusion loss
alone does not teach it to look within minutes: the gradient of "which picture is this" drowns in the noise that is to
be predicted. So for a few hundred steps the backbone has to say where the palms are and where they will be at the end
of the chunk. The first needs the picture, the second also the instruction, which names the thing that the hand goes
to. It says so twice, through linear layers that are thrown away afterwards: the cognition feature in metres, in the
camera; and the tokens of the picture by marking themselves, for a token that knows "it is me" is what the cognition
token can look at. Labels of any data set will do; nothing but states, actions and the field of view is used. This
stands in for PaliGemma's pretraining where that checkpoint is not at hand, and claims nothing about it.
"""

import itertools
import logging
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from tqdm import tqdm

from vitra_lib.core.errors import BadInput, UnknownName
from vitra_lib.dataset import ActionSpace, Normaliser, PolicyBatch
from vitra_lib.dataset.normalisation import EPSILON
from vitra_lib.geometry.rotations import from_euler_xyz
from vitra_lib.policy.policy import Policy, PolicyInputs
from vitra_lib.policy.processor import Processor
from vitra_lib.training.config import PRECISIONS, OptimizerConfig
from vitra_lib.training.loop import BatchSource, RunConfig, TrainingStopped
from vitra_lib.training.optimizer import rate_share
from vitra_lib.training.parallel import Ranks
from vitra_lib.training.run_folder import RunFolder, optimizer_state

_log = logging.getLogger(__name__)
PLACES = 2 * 2 * 3  # (now, at the end of the chunk) × (left, right) × (x, y, z)
_LEAST_SCALE_M = 0.01  # of a hand that was never seen, or never moved
_PALM_M = 0.09  # from the wrist joint to the middle of the palm


@dataclass(frozen=True)
class GroundingConfig:
    """The stage.

    Attributes:
        steps: optimizer steps.
        learning_rate: of the whole backbone and the linear layer, after the warm-up; a cosine takes it to a tenth.
        warmup_steps: of the linear warm-up.
        weight_decay: of matrices.
        clip_norm: gradients are scaled down to this norm.
        precision: "fp32" or "bf16", of the backbone's computation.
        seed: of the linear layer.
        save_every, log_every: in steps.
    """

    steps: int = 350
    learning_rate: float = 1e-3
    warmup_steps: int = 20
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    precision: str = "fp32"
    seed: int = 0
    save_every: int = 1000
    log_every: int = 10

    def __post_init__(self) -> None:
        if min(self.steps, self.save_every, self.log_every) < 1 or self.learning_rate <= 0 or self.clip_norm <= 0:
            raise BadInput("steps, save_every and log_every must be at least 1, rate and clip_norm positive.")
        if self.precision not in PRECISIONS:
            raise UnknownName("precision", self.precision, PRECISIONS)


def palm_places(
    batch: PolicyBatch, normaliser: Normaliser
) -> tuple[Float[np.ndarray, "batch 2 2 3"], Bool[np.ndarray, "batch 2 2"]]:
    """Where the palms are now and at the end of the chunk's valid steps, in the sample's camera.

    Args:
        batch: normalised samples.
        normaliser: the statistics they were normalised by.

    Returns:
        (now, end) × (left, right) positions of the middle of the palm [m], and which are known.
    """
    space = ActionSpace("angle")
    action = normaliser.restore_action(batch.action[..., : space.action_dim].double().numpy())
    state = batch.state[:, : space.action_dim].double().numpy()
    places, known = np.zeros((len(batch), 2, 2, 3)), np.zeros((len(batch), 2, 2), bool)
    for hand, side in enumerate(("left", "right")):
        part, first = space.slices[f"{side}_6d"], hand * space.state_per_hand
        scale = normaliser.state_std[first : first + 6] + EPSILON
        pose = state[:, part] * scale + normaliser.state_mean[first : first + 6]
        valid = batch.action_mask[:, :, part.start].numpy()
        moved = np.where(valid[..., None], action[..., part], 0.0)
        R = R_end = from_euler_xyz(pose[:, 3:])
        for step in range(moved.shape[1]):
            R_end = from_euler_xyz(moved[:, step, 3:]) @ R_end
        along = _PALM_M * (1.0 if side == "left" else -1.0)
        places[:, 0, hand] = pose[:, :3] + along * R[..., 0]
        places[:, 1, hand] = pose[:, :3] + moved[..., :3].sum(1) + along * R_end[..., 0]
        known[:, :, hand] = batch.state_mask[:, part.start, None].numpy()
        known[:, 1, hand] &= valid.any(1)
    return places, known


def token_shares(
    places_m: Float[np.ndarray, "batch 2 2 3"], fov_rad: Float[np.ndarray, "batch 2"], side: int
) -> tuple[Float[np.ndarray, "batch 2 2 tokens"], Bool[np.ndarray, "batch 2 2"]]:
    """Which tokens of the picture show a place: a bell over the grid, one token wide, that sums to one.

    Args:
        places_m: points in the camera [m].
        fov_rad: field of view of the picture before it was made square [rad].
        side: tokens per side of the picture.

    Returns:
        Shares, row by row of the picture, and whether the place is inside it.
    """
    depth = np.maximum(places_m[..., 2:], 1e-3)
    uv = 0.5 + 0.5 * places_m[..., :2] / depth / np.tan(0.5 * fov_rad)[:, None, None]
    centre = (np.arange(side) + 0.5) / side
    bell = np.exp(-0.5 * ((uv[..., None] - centre) * side) ** 2)
    share = (bell[..., 1, :, None] * bell[..., 0, None, :]).reshape(*uv.shape[:-1], side * side)
    inside = (places_m[..., 2] > 0.05) & ((uv >= 0) & (uv < 1)).all(-1)
    return share / np.maximum(share.sum(-1, keepdims=True), 1e-12), inside


@torch.no_grad()
def widen_initial_weights(policy: Policy, seed: int) -> None:
    """Give a backbone that has learned nothing yet Glorot's initial weights instead of transformers' deviation of 0.02.

    That is made for widths of thousands. At a width of 192 it leaves queries and keys so small that all attention is
    even for hundreds of steps.
    """
    generator = torch.Generator().manual_seed(seed)
    for layer in policy.backbone.model.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight, generator=generator)


class _Grounder(nn.Module):
    """The backbone with the linear layers that are thrown away."""

    def __init__(self, policy: Policy, seed: int) -> None:
        super().__init__()
        self.backbone = policy.backbone
        width = policy.config.backbone.width
        self.places, self.marks = nn.Linear(width, PLACES), nn.Linear(width, PLACES // 3)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for layer in (self.places, self.marks):
                layer.weight.copy_(0.02 * torch.randn(layer.weight.shape, generator=generator))
                layer.bias.zero_()

    def forward(
        self, inputs: PolicyInputs, in_bf16: bool
    ) -> tuple[Float[Tensor, "batch 2 2 3"], Float[Tensor, "batch 2 2 tokens"]]:
        """Scaled places out of the cognition feature, and a logit of every token of the picture for each of them."""
        with torch.autocast(inputs.input_ids.device.type, torch.bfloat16, enabled=in_bf16):
            tokens = self.backbone.tokens(
                inputs.input_ids, inputs.attention_mask, inputs.pixel_values, inputs.fov_rad
            )
        picture = tokens[:, : self.backbone.config.image_tokens].float()
        places = self.places(tokens[:, -1].float()).unflatten(1, (2, 2, 3))
        return places, self.marks(picture).transpose(1, 2).unflatten(1, (2, 2))


class Grounding:
    """A grounding run: `Grounding(…).run(loader)`. Killed and resumed it gives the same weights, as training does."""

    def __init__(
        self, policy: Policy, processor: Processor, normaliser: Normaliser, config: GroundingConfig, run: RunConfig
    ) -> None:
        """Prepare; nothing is read or learned yet.

        Args:
            policy: whose backbone learns.
            processor: from batches to tensors.
            normaliser: the statistics that the loader normalises by.
            config: of the stage.
            run: where it is kept.

        Raises:
            BadInput: the folder holds another run.
        """
        policy.requires_grad_(False)
        policy.backbone.requires_grad_(True)
        policy.in_bf16 = config.precision == "bf16"
        self.policy, self.config, self._run = policy, config, run
        self._processor, self._normaliser = processor, normaliser
        half = len(normaliser.state_mean) // 2
        parts = [slice(first, first + 3) for first in (0, half)]
        self._middle = np.stack([normaliser.state_mean[part] for part in parts])
        self._scale = np.stack([np.maximum(normaliser.state_std[part], _LEAST_SCALE_M) for part in parts])
        self._module = _Grounder(policy, config.seed)
        self._rates = OptimizerConfig(schedule="linear-warmup+cosine", warmup_steps=config.warmup_steps)
        parameters = list(self._module.parameters())
        groups = [
            {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": config.weight_decay},
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
        ]
        self._optimizer = torch.optim.AdamW(groups, lr=config.learning_rate)
        self._folder = RunFolder(run.folder, Ranks(0, 1, policy.device, "none"), keep=1)
        self._folder.start({"grounding": asdict(config), "policy": policy.config.to_dict()}, run.resume)

    def run(self, loader: BatchSource) -> Policy:
        """Learn to say where the hands are and where they go.

        Args:
            loader: of normalised batches with pictures.

        Returns:
            The policy, whose backbone has learned; all its parameters learn again.

        Raises:
            TrainingStopped: the loss is not finite; weights are those before it.
        """
        first = self._resume(loader) if self._run.resume else 0
        batches = itertools.chain.from_iterable(itertools.repeat(loader))
        steps = range(first, self.config.steps)
        bar = tqdm(steps, initial=first, total=self.config.steps, desc="grounding", disable=not self._run.progress)
        self._module.train()
        for step in bar:
            loss = self._step(step, next(batches))
            done, is_end = step + 1, step + 1 == self.config.steps
            if done % self.config.log_every == 0 or is_end:
                self._folder.log({"step": step, "grounding_loss": loss})
                bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
            if done % self.config.save_every == 0 or is_end:
                self._save(done, loader)
        self.policy.requires_grad_(True)
        return self.policy

    @torch.no_grad()
    def predict(self, batch: PolicyBatch) -> Float[np.ndarray, "batch 2 2 3"]:
        """What the layer says of a batch, while it still exists: palms [m] as in `palm_places`."""
        self._module.eval()
        found, _ = self._module(self._processor.of_batch(self.policy.config, batch), self.policy.in_bf16)
        return found.numpy() * self._scale + self._middle

    def _loss(self, batch: PolicyBatch) -> Tensor:
        """Squared error of known places, in deviations, plus cross-entropy of the tokens' marks."""
        device = self.policy.device
        places, known = palm_places(batch, self._normaliser)
        side = round(self.policy.config.backbone.image_tokens**0.5)
        shares, inside = token_shares(places, batch.fov_rad.double().numpy(), side)
        inputs = self._processor.of_batch(self.policy.config, batch).to(device)
        found, logits = self._module(inputs, self.policy.in_bf16)
        wanted = torch.from_numpy((places - self._middle) / self._scale).float().to(device)
        is_known = torch.from_numpy(known).float().to(device)
        is_seen = torch.from_numpy(known & inside).float().to(device)
        error = ((found - wanted).square().mean(-1) * is_known).sum() / is_known.sum().clamp(min=1)
        surprise = -(torch.from_numpy(shares).float().to(device) * logits.log_softmax(-1)).sum(-1)
        return error + (surprise * is_seen).sum() / is_seen.sum().clamp(min=1)

    def _step(self, step: int, batch: PolicyBatch) -> float:
        """One optimizer step."""
        loss = self._loss(batch)
        if not torch.isfinite(loss):
            raise TrainingStopped(f"At grounding step {step} the loss is not finite; lower the learning rate.")
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

    def _save(self, done: int, loader: BatchSource) -> None:
        state = self._state() | {"weights": self.policy.state_dict(), "loader": loader.state_dict()}
        self._folder.save(done, self.policy, state, self._run.facts | {"grounding_steps": done})

    def _resume(self, loader: BatchSource) -> int:
        """Go to the last complete checkpoint; 0 when there is none."""
        from torch.distributed.checkpoint.state_dict import set_model_state_dict, set_optimizer_state_dict

        steps = self._folder.steps()
        if not steps:
            self._folder.trim_log(0)
            return 0
        state = self._state()
        rest = self._folder.load(steps[-1], state)
        set_model_state_dict(self._module, state["model"])
        set_optimizer_state_dict(self._module, self._optimizer, state["optimizer"])
        loader.load_state_dict(rest["loader"])
        self._folder.trim_log(rest["step"])
        _log.info("going on at grounding step %d of %d", rest["step"], self.config.steps)
        return int(rest["step"])
