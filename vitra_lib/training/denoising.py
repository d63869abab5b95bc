"""Training of the denoiser alone on a backbone that stands still: the cheapest way to many small policies.

What a backbone that does not learn says of a sample is always the same. So it is asked once for every sample, and all
runs of a study share the answers; a step then costs a pass through the denoiser and nothing else. The published policy
is trained as a whole (`vitra_lib.training.loop`); this is for studies and for short training on the CPU.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from tqdm import tqdm

from vitra_lib.core.errors import BadInput
from vitra_lib.dataset import TrainingSamples
from vitra_lib.policy.config import LossConfig
from vitra_lib.policy.denoiser import Denoiser
from vitra_lib.policy.diffusion import draw_noise, noised
from vitra_lib.policy.loss import noise_loss
from vitra_lib.policy.policy import Policy
from vitra_lib.policy.processor import Processor
from vitra_lib.training.average import WeightAverage
from vitra_lib.training.config import OptimizerConfig
from vitra_lib.training.loop import TrainingStopped
from vitra_lib.training.optimizer import rate_share

_AT_ONCE = 32


@dataclass(frozen=True)
class DenoisingConfig:
    """One run.

    Attributes:
        steps: optimizer steps.
        batch: samples per step, drawn with replacement.
        learning_rate: after the warm-up; a cosine takes it to a tenth.
        warmup_steps: of the linear warm-up.
        weight_decay: of matrices.
        clip_norm: gradients are scaled down to this norm.
        ema_decay: of the average of the weights that is kept in the end.
        loss: weights of the components; its repeats are not used, since new samples cost nothing.
        seed: of weights, order and noise.
    """

    steps: int = 600
    batch: int = 32
    learning_rate: float = 1e-3
    warmup_steps: int = 20
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    ema_decay: float = 0.98
    loss: LossConfig = LossConfig()
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.steps, self.batch) < 1 or self.learning_rate <= 0 or self.clip_norm <= 0:
            raise BadInput("steps and batch must be at least 1, learning_rate and clip_norm positive.")
        if not 0.0 <= self.ema_decay < 1.0:
            raise BadInput(f"ema_decay is {self.ema_decay}; it must be in [0, 1).")


@dataclass(frozen=True, eq=False)
class KnownSamples:
    """Samples with what a backbone says of them, ready for the denoiser.

    Attributes:
        condition: cognition features.
        state, state_mask: normalised states.
        action, action_mask: normalised actions.
    """

    condition: Float[Tensor, "n width"]
    state: Float[Tensor, "n state_dim"]
    state_mask: Bool[Tensor, "n state_dim"]
    action: Float[Tensor, "n chunk action_dim"]
    action_mask: Bool[Tensor, "n chunk action_dim"]

    def __len__(self) -> int:
        return len(self.condition)

    def first(self, count: int) -> "KnownSamples":
        """The first samples."""
        return KnownSamples(**{name: value[:count] for name, value in vars(self).items()})


@torch.no_grad()
def known_samples(policy: Policy, samples: TrainingSamples, progress: bool = False) -> KnownSamples:
    """Ask a backbone about every sample once.

    Args:
        policy: its backbone is asked, in the precision that `in_bf16` says.
        samples: of data sets, normalised; without augmentation they are the same in every pass.
        progress: show a bar.
    """
    processor = Processor()
    policy.eval()
    parts: list[dict[str, Tensor]] = []
    numbers = range(0, len(samples), _AT_ONCE)
    for begin in tqdm(numbers, desc="features", unit="batch", disable=not progress):
        batch = samples.batch([samples.key(n) for n in range(begin, min(begin + _AT_ONCE, len(samples)))])
        inputs = processor.of_batch(policy.config, batch).to(policy.device)
        parts.append(
            {
                "condition": policy.cognition(inputs),
                "state": inputs.state,
                "state_mask": inputs.state_mask,
                "action": batch.action.to(policy.device),
                "action_mask": batch.action_mask.to(policy.device),
            }
        )
    return KnownSamples(**{name: torch.cat([part[name] for part in parts]) for name in parts[0]})


def train_denoiser(policy: Policy, known: KnownSamples, config: DenoisingConfig, progress: bool = False) -> list[float]:
    """Give a policy a new denoiser and train it; the same arguments give the same weights.

    Args:
        policy: gets the denoiser, with averaged weights, in evaluation mode; its backbone stays as it is.
        known: what is learned from.
        config: of the run.
        progress: show a bar.

    Returns:
        The loss of every step.

    Raises:
        TrainingStopped: the loss is not finite.
    """
    torch.manual_seed(config.seed)
    denoiser = Denoiser(policy.config.denoiser).to(policy.device).train()
    average = WeightAverage(denoiser, config.ema_decay)
    parameters = list(denoiser.parameters())
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": config.weight_decay},
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
        ]
    )
    rates = OptimizerConfig(schedule="linear-warmup+cosine", warmup_steps=config.warmup_steps)
    losses = []
    for step in tqdm(range(config.steps), desc="denoising", disable=not progress):
        rows = np.random.default_rng([config.seed, step]).integers(0, len(known), config.batch)
        loss = _loss(denoiser, known, torch.from_numpy(rows), (config.seed, step), config.loss)
        if not torch.isfinite(loss):
            raise TrainingStopped(f"At step {step} the loss is not finite; lower the learning rate.")
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * rate_share("head", step, config.steps, rates)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, config.clip_norm)
        optimizer.step()
        average.update(denoiser, step + 1)
        losses.append(float(loss.detach()))
    with torch.no_grad():
        for name, parameter in denoiser.named_parameters():
            parameter.copy_(average.values[name])
    policy.denoiser = denoiser.eval()
    return losses


def _loss(
    denoiser: Denoiser, known: KnownSamples, rows: Int[Tensor, " batch"], seed: tuple[int, int], weights: LossConfig
) -> Tensor:
    """Squared error of the noise for some samples, each with noise of its own."""
    config = denoiser.config
    shape = (config.chunk, config.action_dim)
    draws = draw_noise([(*seed, row) for row in range(len(rows))], 1, config, shape).to(known.condition.device)
    action, mask, condition = known.action[rows], known.action_mask[rows], known.condition[rows]
    empty = denoiser.z_embedder.uncondition.expand_as(condition)
    predicted = denoiser(
        noised(torch.where(mask, action, 0.0), draws.noise[0], draws.timestep[0]),
        mask,
        draws.timestep[0],
        torch.where(draws.drops_condition[0][:, None], empty, condition),
        known.state[rows],
        known.state_mask[rows],
    )
    return noise_loss(predicted, draws.noise[0], mask, weights).total
