"""The diffusion process around the denoiser: cosine schedule of 100 steps, noise prediction, DDIM with guidance.

The scheduler is diffusers'. A shortened sampler is a schedule of its own, made from the kept steps of the long one, as
the official sampler does it; that gives its timesteps for every number of steps, which diffusers' own spacing rules
do not (spec of the model, 5.5).
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vitra_lib.core.errors import BadInput
from vitra_lib.policy.config import DenoiserConfig, SamplingConfig
from vitra_lib.policy.denoiser import Denoiser

if TYPE_CHECKING:
    from diffusers import DDIMScheduler

TRAIN_STEPS = 100


@functools.cache
def alphas_cumprod() -> Float[np.ndarray, "100"]:
    """Share of signal power left after each of the 100 steps: the squared cosine schedule, betas capped at 0.999."""
    edge = np.cos((np.arange(TRAIN_STEPS + 1) / TRAIN_STEPS + 0.008) / 1.008 * np.pi / 2) ** 2
    betas = np.minimum(1 - edge[1:] / edge[:-1], 0.999)
    return np.cumprod(1 - betas)


def kept_timesteps(steps: int) -> tuple[int, ...]:
    """The training steps that a sampler of `steps` steps visits, ascending: 0, k, 2k, … with the least such stride k.

    Raises:
        BadInput: no whole stride gives exactly that many.
    """
    if steps == 1:
        return (TRAIN_STEPS // 2,)
    for stride in range(1, TRAIN_STEPS):
        kept = range(0, TRAIN_STEPS, stride)
        if len(kept) == steps:
            return tuple(kept)
    raise BadInput(f"{steps} sampling steps can't be spread over {TRAIN_STEPS}; legal are {_legal_steps()}.")


def _legal_steps() -> str:
    """All legal numbers of steps, for the error's sentence."""
    counts = {1} | {len(range(0, TRAIN_STEPS, stride)) for stride in range(1, TRAIN_STEPS)}
    return ", ".join(str(count) for count in sorted(counts))


def make_scheduler(steps: int) -> "tuple[DDIMScheduler, Int[Tensor, ' steps']]":
    """A deterministic DDIM scheduler over the kept steps.

    Args:
        steps: number of sampling steps.

    Returns:
        The scheduler, whose own timesteps count down from `steps - 1`, and the training step that each of its
        timesteps stands for: `trained[t]`.
    """
    from diffusers import DDIMScheduler  # 4 s to import

    kept = kept_timesteps(steps)
    alphas = alphas_cumprod()[list(kept)]
    betas = 1 - alphas / np.concatenate([[1.0], alphas[:-1]])
    scheduler = DDIMScheduler(
        num_train_timesteps=steps,
        trained_betas=betas.astype(np.float32),
        clip_sample=False,  # actions are normalised, not bounded; clipping them is fatal
        set_alpha_to_one=True,
        timestep_spacing="leading",
        steps_offset=0,
        prediction_type="epsilon",
    )
    scheduler.alphas_cumprod = torch.from_numpy(alphas)  # in float64: ten float32 products would lose five digits
    scheduler.set_timesteps(steps)
    return scheduler, torch.tensor(kept)


@dataclass(frozen=True, eq=False)
class NoiseDraws:
    """The random choices of one training batch.

    Attributes:
        noise: standard normal.
        timestep: diffusion steps in 0…99.
        drops_condition: True where the condition is replaced by the learned `uncondition`.
    """

    noise: Float[Tensor, "repeats batch chunk dims"]
    timestep: Int[Tensor, "repeats batch"]
    drops_condition: Bool[Tensor, "repeats batch"]

    def to(self, device: torch.device | str) -> "NoiseDraws":
        """The same on another device."""
        return NoiseDraws(self.noise.to(device), self.timestep.to(device), self.drops_condition.to(device))


def draw_noise(
    seeds: Sequence[tuple[int, ...]], repeats: int, config: DenoiserConfig, shape: tuple[int, int]
) -> NoiseDraws:
    """Draw for every sample from a generator of its own, so that a sample gets the same noise on whatever process.

    Args:
        seeds: whole numbers that name each sample's place in the run, (seed, step, row) say.
        repeats: passes through the denoiser per sample.
        config: of the denoiser; gives the probability of dropping the condition.
        shape: (chunk, dims) of an action.
    """
    noise, timesteps, drops = [], [], []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        noise.append(rng.standard_normal((repeats, *shape), np.float32))
        timesteps.append(rng.integers(0, TRAIN_STEPS, repeats))
        drops.append(rng.random(repeats) < config.condition_dropout)
    return NoiseDraws(
        torch.from_numpy(np.stack(noise, 1)),
        torch.from_numpy(np.stack(timesteps, 1)),
        torch.from_numpy(np.stack(drops, 1)),
    )


def noised(
    actions: Float[Tensor, "batch chunk dims"],
    noise: Float[Tensor, "batch chunk dims"],
    timestep: Int[Tensor, " batch"],
) -> Float[Tensor, "batch chunk dims"]:
    """Actions after `timestep` of the 100 steps: sqrt(abar) actions + sqrt(1 - abar) noise."""
    share = torch.from_numpy(alphas_cumprod()).to(actions.device)[timestep][:, None, None]
    return share.sqrt().to(actions.dtype) * actions + (1 - share).sqrt().to(actions.dtype) * noise


def start_noise(shape: tuple[int, ...], seed: int, device: torch.device) -> Tensor:
    """Standard normal noise that depends on the seed alone, not on the device."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(device)


def sample_actions(
    denoiser: Denoiser,
    condition: Float[Tensor, "batch condition_width"],
    state: Float[Tensor, "batch state_dim"],
    state_mask: Bool[Tensor, "batch state_dim"],
    action_mask: Bool[Tensor, "batch chunk action_dim"],
    noise: Float[Tensor, "batch chunk action_dim"],
    config: SamplingConfig,
    known: Float[Tensor, "batch known action_dim"] | None = None,
) -> Float[Tensor, "batch chunk action_dim"]:
    """Draw action chunks by DDIM with classifier-free guidance.

    Both halves of the guided batch keep state and mask; the second one gets the learned `uncondition`. The guided
    noise u + s (c - u) applies to all dimensions; the result is masked.

    Args:
        denoiser: the network.
        condition: cognition features.
        state: normalised states.
        state_mask, action_mask: True where valid.
        noise: start noise; fixes the result.
        config: steps and guidance.
        known: first steps of the chunk that are settled already (normalised); the rest is drawn to continue them. At
            every denoising step they stand there as noised as the rest is (in-painting).

    Returns:
        Normalised actions, zero where masked.
    """
    scheduler, trained = make_scheduler(config.steps)
    guided = config.guidance != 1.0
    if guided:
        empty = denoiser.z_embedder.uncondition.to(condition.dtype).expand_as(condition)
        condition = torch.cat([condition, empty])
        state, state_mask = torch.cat([state, state]), torch.cat([state_mask, state_mask])
    twice_mask = torch.cat([action_mask, action_mask]) if guided else action_mask
    order = [int(t) for t in scheduler.timesteps]
    prepared = denoiser.prepare(trained[order].to(condition.device), condition, state, state_mask)
    x = noise
    for index, t in enumerate(order):
        if known is not None:
            level = trained[t].expand(len(x))
            x = torch.cat([noised(known, noise[:, : known.shape[1]], level.cpu()), x[:, known.shape[1] :]], 1)
        predicted = denoiser.step(torch.cat([x, x]) if guided else x, twice_mask, prepared, index)
        if guided:
            with_condition, without = predicted.chunk(2)
            predicted = without + config.guidance * (with_condition - without)
        x = scheduler.step(predicted, t, x, eta=0.0).prev_sample
    if known is not None:
        x = torch.cat([known, x[:, known.shape[1] :]], 1)
    return x * action_mask
