"""The published sampler, re-stated plainly, as the yardstick of `policy_speed.py`.

It does what the released code does for one draw: at every DDIM step the doubled batch of classifier-free guidance goes
through the whole denoiser; the condition, the state and the time are embedded anew, every block computes its own
adaLN values from them, attention takes an explicit causal mask, and the step's coefficients are scalars of the
shortened schedule. Weights are read from a `Denoiser`, so both samplers have the same ones.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vitra_lib.policy.denoiser import Denoiser
from vitra_lib.policy.diffusion import alphas_cumprod, kept_timesteps


class OfficialSampler:
    """Guided DDIM over one denoiser, nothing kept between steps."""

    def __init__(self, denoiser: Denoiser) -> None:
        """
        Args:
            denoiser: whose weights are used.
        """
        self.net = denoiser

    @torch.no_grad()
    def __call__(
        self,
        condition: Tensor,
        state: Tensor,
        state_mask: Tensor,
        action_mask: Tensor,
        noise: Tensor,
        steps: int = 10,
        guidance: float = 5.0,
    ) -> Tensor:
        """Draw action chunks; arguments as `vitra_lib.policy.diffusion.sample_actions` has them."""
        kept = kept_timesteps(steps)
        alphas = np.array([alphas_cumprod()[t] for t in kept])
        before = np.concatenate([[1.0], alphas[:-1]])
        empty = self.net.z_embedder.uncondition.expand_as(condition)
        both = torch.cat([condition, empty])
        mask, state, state_mask = (torch.cat([value, value]) for value in (action_mask, state, state_mask))
        x = noise
        for index in reversed(range(steps)):
            timestep = torch.full((len(both),), kept[index], dtype=torch.long)
            predicted = self._denoise(torch.cat([x, x]), mask, timestep, both, state, state_mask)
            with_condition, without = predicted.chunk(2)
            noise_guess = without + guidance * (with_condition - without)
            clean = x * math.sqrt(1 / alphas[index]) - noise_guess * math.sqrt(1 / alphas[index] - 1)
            x = clean * math.sqrt(before[index]) + noise_guess * math.sqrt(1 - before[index])
        return x * action_mask

    def _denoise(
        self, x: Tensor, mask: Tensor, timestep: Tensor, z: Tensor, state: Tensor, state_mask: Tensor
    ) -> Tensor:
        """One pass through the denoiser."""
        net, mask, state_mask = self.net, mask.float(), state_mask.float()
        x = net.x_embedder.projector(torch.cat([x * mask, mask], -1))
        state_token = net.state_embedder.projector(torch.cat([state * state_mask, state_mask], -1))
        z = net.z_embedder.linear(z)
        half = 128
        frequencies = torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float32) / half)
        angles = timestep[:, None].float() * frequencies
        c = z + net.t_embedder.mlp(torch.cat([angles.cos(), angles.sin()], -1))
        tokens = torch.cat([z[:, None], state_token[:, None], x], 1) + net.positional_embedding
        for block in net.blocks:
            tokens = self._block(block, tokens, c)
        shift, scale = net.final_layer.adaLN_modulation(c).chunk(2, -1)
        tokens = _normed(tokens) * (1 + scale[:, None]) + shift[:, None]
        return net.final_layer.linear(tokens)[:, -self.net.config.chunk :]

    def _block(self, block: torch.nn.Module, tokens: Tensor, c: Tensor) -> Tensor:
        """One transformer block, its modulation computed here."""
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = block.adaLN_modulation(c)[:, None].chunk(6, -1)
        tokens = tokens + gate_a * self._attention(block.attn, _normed(tokens) * (1 + scale_a) + shift_a)
        hidden = F.gelu(block.mlp.fc1(_normed(tokens) * (1 + scale_m) + shift_m), approximate="tanh")
        return tokens + gate_m * block.mlp.fc2(hidden)

    def _attention(self, attention: torch.nn.Module, x: Tensor) -> Tensor:
        """Causal attention with an explicit mask, queries and keys divided by the root of their variance."""
        batch, count, width = x.shape
        heads = self.net.config.heads
        qkv = attention.qkv(x).reshape(batch, count, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
        q, k = (
            part * torch.rsqrt(part.var(-1, keepdim=True) + 1e-6) * norm.weight
            for part, norm in ((qkv[0], attention.q_norm), (qkv[1], attention.k_norm))
        )
        mask = torch.ones(count, count, dtype=torch.bool).tril()
        mixed = F.scaled_dot_product_attention(q, k, qkv[2], attn_mask=mask)
        return attention.proj(mixed.transpose(1, 2).reshape(batch, count, width))


def _normed(x: Tensor) -> Tensor:
    """LayerNorm without affine."""
    return F.layer_norm(x, x.shape[-1:], eps=1e-6)
