"""The causal diffusion transformer that denoises an action chunk (paper section 3.2, spec of the model 5.4).

Its tokens are [condition, state, action 0, …, action 15]; with the strict causal mask an action sees the past only.
Parameters carry the names and shapes of the released weights.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from vitra_lib.policy.config import DenoiserConfig

TIME_FREQUENCIES = 256
_EPS = 1e-6


def timestep_embedding(timestep: Int[Tensor, " batch"]) -> Float[Tensor, "batch 256"]:
    """Sinusoids of a diffusion step in 0…99: 128 cosines, then 128 sines, of periods from 2π to 10,000·2π."""
    half = TIME_FREQUENCIES // 2
    frequency = torch.exp(-math.log(10_000.0) * torch.arange(half, device=timestep.device, dtype=torch.float32) / half)
    angle = timestep[:, None].float() * frequency
    return torch.cat([angle.cos(), angle.sin()], -1)


class QkNorm(nn.Module):
    """Norm of queries and keys over a head's channels, with a learned weight.

    The released weights were trained with a norm that divides by the root of the unbiased variance about the mean
    and does not subtract that mean; `true_rms` gives the usual root-mean-square norm, which is another function.
    """

    def __init__(self, channels: int, true_rms: bool) -> None:
        """
        Args:
            channels: per head.
            true_rms: False for the released weights.
        """
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self._true_rms = true_rms

    def forward(self, x: Float[Tensor, "*batch channels"]) -> Float[Tensor, "*batch channels"]:
        """Normalise the last axis."""
        wide = x.float()
        if self._true_rms:
            power = wide.square().mean(-1, keepdim=True)
        else:  # the variance in two passes: torch's own `var` is several times slower on a short last axis
            centred = wide - wide.mean(-1, keepdim=True)
            power = centred.square().sum(-1, keepdim=True) / (x.shape[-1] - 1)
        return (wide * torch.rsqrt(power + _EPS) * self.weight).to(x.dtype)


class Attention(nn.Module):
    """Multi-head self-attention with normalised queries and keys."""

    def __init__(self, config: DenoiserConfig) -> None:
        """
        Args:
            config: of the denoiser.
        """
        super().__init__()
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.q_norm = QkNorm(config.width // config.heads, config.qk_norm == "rms")
        self.k_norm = QkNorm(config.width // config.heads, config.qk_norm == "rms")
        self.proj = nn.Linear(config.width, config.width)
        self._heads = config.heads
        self._is_causal = config.is_causal

    def forward(self, x: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens width"]:
        """Attend; causally unless configured otherwise."""
        batch, tokens, width = x.shape
        qkv = self.qkv(x).view(batch, tokens, 3, self._heads, width // self._heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(self.q_norm(q), self.k_norm(k), v, is_causal=self._is_causal)
        return self.proj(mixed.transpose(1, 2).reshape(batch, tokens, width))


class Mlp(nn.Module):
    """The feed-forward half of a block."""

    def __init__(self, width: int) -> None:
        """
        Args:
            width: of the tokens; the hidden layer is four times as wide.
        """
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens width"]:
        """Two layers with a tanh-approximated GELU between."""
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


def _modulated(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """LayerNorm without affine, then shift and scale given per sample."""
    return F.layer_norm(x, x.shape[-1:], eps=_EPS) * (1 + scale[:, None]) + shift[:, None]


class Block(nn.Module):
    """A transformer block whose norms are shifted, scaled and gated by the condition (adaLN-zero)."""

    def __init__(self, config: DenoiserConfig) -> None:
        """
        Args:
            config: of the denoiser.
        """
        super().__init__()
        self.attn = Attention(config)
        self.mlp = Mlp(config.width)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(config.width, 6 * config.width))

    def forward(
        self, x: Float[Tensor, "batch tokens width"], modulation: Float[Tensor, "batch modulation"]
    ) -> Float[Tensor, "batch tokens width"]:
        """One block; `modulation` is `adaLN_modulation` of the condition, computed by the caller."""
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = modulation.chunk(6, -1)
        x = x + gate_a[:, None] * self.attn(_modulated(x, shift_a, scale_a))
        return x + gate_m[:, None] * self.mlp(_modulated(x, shift_m, scale_m))


class FinalLayer(nn.Module):
    """From tokens to the predicted noise."""

    def __init__(self, config: DenoiserConfig) -> None:
        """
        Args:
            config: of the denoiser.
        """
        super().__init__()
        self.linear = nn.Linear(config.width, config.action_dim)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(config.width, 2 * config.width))

    def forward(
        self, x: Float[Tensor, "batch tokens width"], modulation: Float[Tensor, "batch modulation"]
    ) -> Float[Tensor, "batch tokens dims"]:
        """Modulated norm and a linear map."""
        shift, scale = modulation.chunk(2, -1)
        return self.linear(_modulated(x, shift, scale))


def _projector(sizes: tuple[int, ...]) -> nn.Module:
    """Linear layers with exact GELUs between, under the name `projector`."""
    layers: list[nn.Module] = []
    for index, (into, out) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
        layers += [nn.GELU()] * (index > 0) + [nn.Linear(into, out)]
    module = nn.Module()
    module.projector = nn.Sequential(*layers)
    return module


@dataclass(frozen=True, eq=False)
class Prepared:
    """What stays the same while a chunk is denoised: computed once for all steps.

    Attributes:
        context: (batch, context tokens, width) condition and state tokens.
        modulations: (steps, batch, values) adaLN values of all blocks and of the final layer, side by side.
    """

    context: Float[Tensor, "batch context width"]
    modulations: Float[Tensor, "steps batch values"]


class Denoiser(nn.Module):
    """Predicts the noise in an action chunk."""

    def __init__(self, config: DenoiserConfig) -> None:
        """
        Args:
            config: sizes and options.
        """
        super().__init__()
        width = config.width
        self.config = config
        self.x_embedder = _projector((2 * config.action_dim, width, width))
        self.t_embedder = nn.Module()
        self.t_embedder.mlp = nn.Sequential(nn.Linear(TIME_FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width))
        self.z_embedder = nn.Module()
        self.z_embedder.linear = nn.Linear(config.condition_width, width)
        self.z_embedder.uncondition = nn.Parameter(torch.zeros(1, config.condition_width))
        if config.uses_state:
            self.state_embedder = _projector((2 * config.state_dim, 4 * width, width, width))
        tokens = config.context_tokens + config.chunk
        self.positional_embedding = nn.Parameter(width**-0.5 * torch.randn(tokens, width))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.final_layer = FinalLayer(config)
        self._initialise()

    def _initialise(self) -> None:
        """Xavier for linears, N(0, 0.02) for embedders, zeros for what gates: a new denoiser predicts 0."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        embedders = [self.x_embedder, self.t_embedder, self.z_embedder]
        for embedder in [*embedders, self.state_embedder] if self.config.uses_state else embedders:
            for name, parameter in embedder.named_parameters():
                if name.endswith("weight") or name == "uncondition":
                    nn.init.normal_(parameter, std=0.02)
        for layer in [*(block.adaLN_modulation[1] for block in self.blocks), self.final_layer.adaLN_modulation[1]]:
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.final_layer.linear.weight)
        nn.init.zeros_(self.final_layer.linear.bias)

    def forward(
        self,
        noisy: Float[Tensor, "batch chunk action_dim"],
        action_mask: Bool[Tensor, "batch chunk action_dim"],
        timestep: Int[Tensor, " batch"],
        condition: Float[Tensor, "batch condition_width"],
        state: Float[Tensor, "batch state_dim"],
        state_mask: Bool[Tensor, "batch state_dim"],
    ) -> Float[Tensor, "batch chunk action_dim"]:
        """Predict the noise.

        Args:
            noisy: noisy normalised actions; masked here.
            action_mask: True where an action is valid; given to the network beside the actions.
            timestep: diffusion step in 0…99.
            condition: cognition feature, or `uncondition`.
            state: normalised state; masked here. Ignored when the denoiser has no state token.
            state_mask: True where valid.

        Returns:
            The predicted noise, of all dimensions.
        """
        z, context = self._context(condition, state, state_mask)
        c = z + self._time(timestep)
        return self.step(noisy, action_mask, Prepared(context, self._modulations(c[None])), 0)

    def prepare(
        self,
        timesteps: Int[Tensor, " steps"],
        condition: Float[Tensor, "batch condition_width"],
        state: Float[Tensor, "batch state_dim"],
        state_mask: Bool[Tensor, "batch state_dim"],
    ) -> Prepared:
        """All that doesn't depend on the actions, for all steps in one go."""
        z, context = self._context(condition, state, state_mask)
        return Prepared(context, self._modulations(z[None] + self._time(timesteps)[:, None]))

    def step(
        self,
        noisy: Float[Tensor, "batch chunk action_dim"],
        action_mask: Bool[Tensor, "batch chunk action_dim"],
        prepared: Prepared,
        index: int,
    ) -> Float[Tensor, "batch chunk action_dim"]:
        """Predict the noise at step `index` of the timesteps that were prepared."""
        return self._network(noisy, action_mask, prepared.context, prepared.modulations[index])

    def _network(self, noisy: Tensor, action_mask: Tensor, context: Tensor, modulation: Tensor) -> Tensor:
        """The network from tensors to a tensor, so that it can be compiled as one."""
        dtype = self.final_layer.linear.weight.dtype
        mask = action_mask.to(dtype)
        actions = self.x_embedder.projector(torch.cat([noisy.to(dtype) * mask, mask], -1))
        x = torch.cat([context, actions], 1) + self.positional_embedding
        width = self.config.width
        parts = modulation.split([6 * width] * len(self.blocks) + [2 * width], -1)
        for block, part in zip(self.blocks, parts[:-1], strict=True):
            x = block(x, part)
        return self.final_layer(x[:, self.config.context_tokens :], parts[-1]).to(noisy.dtype)

    def _time(self, timestep: Int[Tensor, " batch"]) -> Float[Tensor, "batch width"]:
        """Embedding of diffusion steps."""
        return self.t_embedder.mlp(timestep_embedding(timestep).to(self.final_layer.linear.weight.dtype))

    def _context(self, condition: Tensor, state: Tensor, state_mask: Tensor) -> tuple[Tensor, Tensor]:
        """The embedded condition (batch, width), and the context tokens (batch, context, width)."""
        dtype = self.final_layer.linear.weight.dtype
        z = self.z_embedder.linear(condition.to(dtype))
        if not self.config.uses_state:
            return z, z[:, None]
        valid = state_mask.to(dtype)
        token = self.state_embedder.projector(torch.cat([state.to(dtype) * valid, valid], -1))
        return z, torch.stack([z, token], 1)

    def _modulations(self, c: Float[Tensor, "steps batch width"]) -> Float[Tensor, "steps batch values"]:
        """adaLN values of every layer; SiLU is applied once, each weight is read once for all steps."""
        layers = [block.adaLN_modulation[1] for block in self.blocks] + [self.final_layer.adaLN_modulation[1]]
        activated = F.silu(c)
        return torch.cat([layer(activated) for layer in layers], -1)
