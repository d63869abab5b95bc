"""Faster ways to draw from the same weights; each is asked for by name and says what it costs in exactness.

All routes embed condition and state once and compute the adaLN values of all steps together, as `Denoiser` does.

    exact      float32 throughout: what every parity test uses
    fp32       float32 weights in oneDNN's own order, and leave to round the factors of products to bfloat16. Processors
               without bfloat16 tiles (AMX) don't round; those with them have the error of "bf16"
    bf16       the same with weights and activations in bfloat16: off by about 1 % of an action's spread
    compiled   "bf16", the denoiser through torch.compile with frozen weights: needs a C++ compiler, and some ten
               seconds before the first draw of every new number of rows
"""

import contextlib
import copy
import shutil
from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from vitra_lib.core.errors import MissingAsset, UnknownName
from vitra_lib.policy.denoiser import Denoiser, Prepared
from vitra_lib.policy.policy import Policy, PolicyInputs

ROUTES = ("exact", "fp32", "bf16", "compiled")


def optimised(policy: Policy, route: str) -> Policy:
    """The same policy, for drawing only, by a faster route.

    Args:
        policy: stays as it is; "exact" returns it, "fp32" shares the backbone.
        route: one of `ROUTES`.

    Raises:
        UnknownName: another route.
        MissingAsset: "compiled" without a C++ compiler.
    """
    _check(route)
    return policy if route == "exact" else FastPolicy(policy, route)


class FastPolicy(Policy):
    """A policy that only draws, by one of the routes."""

    def __init__(self, policy: Policy, route: str) -> None:
        """
        Args:
            policy: whose weights are used.
            route: "fp32", "bf16" or "compiled".
        """
        _check(route)
        nn.Module.__init__(self)  # weights are taken over, not made anew
        self.config, self.in_bf16, self._route = policy.config, False, route
        self.backbone = policy.backbone if route == "fp32" else _copied(policy.backbone, torch.bfloat16)
        self.denoiser = FastDenoiser(policy.denoiser, route)
        self.train(False)

    def cognition(self, inputs: PolicyInputs) -> Float[Tensor, "batch width"]:
        """As `Policy.cognition`."""
        with _products(self._route):
            return super().cognition(inputs)


class FastDenoiser(Denoiser):
    """A denoiser that only draws, by one of the routes."""

    def __init__(self, denoiser: Denoiser, route: str) -> None:
        """
        Args:
            denoiser: whose weights are copied, to bfloat16 except by the route "fp32".
            route: "fp32", "bf16" or "compiled".
        """
        _check(route)
        nn.Module.__init__(self)
        source = _copied(denoiser, torch.float32 if route == "fp32" else torch.bfloat16)
        self.config, self._route = denoiser.config, route
        for name, module in source.named_children():
            self.add_module(name, module)
        self.positional_embedding = source.positional_embedding
        if route != "compiled" and _can_pack(source.positional_embedding):
            with _products(route):
                for block in self.blocks:
                    _pack(block)
        if route == "compiled":
            network = super()._network
            self._compiled = torch.compile(network, dynamic=False)

    @torch.no_grad()
    def prepare(
        self,
        timesteps: Int[Tensor, " steps"],
        condition: Float[Tensor, "batch condition_width"],
        state: Float[Tensor, "batch state_dim"],
        state_mask: Bool[Tensor, "batch state_dim"],
    ) -> Prepared:
        """As `Denoiser.prepare`."""
        with _products(self._route):
            return super().prepare(timesteps, condition, state, state_mask)

    @torch.no_grad()
    def _network(self, noisy: Tensor, action_mask: Tensor, context: Tensor, modulation: Tensor) -> Tensor:
        """As `Denoiser._network`."""
        if self._route == "compiled":
            import torch._inductor.config as inductor

            with inductor.patch(freezing=True):  # weights become constants, so that they are put in order once
                return self._compiled(noisy, action_mask, context, modulation)
        with _products(self._route):
            return super()._network(noisy, action_mask, context, modulation)


def _check(route: str) -> None:
    """Refuse what is not there."""
    if route not in ROUTES:
        raise UnknownName("route", route, ROUTES)
    if route == "compiled" and shutil.which("g++") is None and shutil.which("clang++") is None:
        raise MissingAsset('The route "compiled" needs a C++ compiler: install g++, or choose the route "bf16".')


@contextlib.contextmanager
def _products(route: str) -> Iterator[None]:
    """While inside, float32 matrix products on the CPU go through oneDNN if the route says so."""
    matmul = torch.backends.mkldnn.matmul
    before = matmul.fp32_precision
    if route == "fp32":
        matmul.fp32_precision = "bf16"
    try:
        yield
    finally:
        matmul.fp32_precision = before


def _copied(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """A copy with weights of another type, made one by one; those that have it already are shared, buffers copied."""
    weights = {id(p): nn.Parameter(p.detach().to(dtype), requires_grad=False) for p in module.parameters()}
    return copy.deepcopy(module, weights)


class PackedLinear(nn.Module):
    """A linear layer whose weight lies in oneDNN's own order; a plain one has it put in order at every call."""

    def __init__(self, linear: nn.Linear, activation: str = "none") -> None:
        """
        Args:
            linear: whose weights are used.
            activation: "none", or "gelu" for the tanh-approximated GELU, computed with the product.
        """
        super().__init__()
        self._weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach())
        self._bias = linear.bias.detach()
        self._activation = (activation, [], "tanh" if activation == "gelu" else "")

    def forward(self, x: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch out"]:
        """The product."""
        return torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, *self._activation)


def _can_pack(weight: Tensor) -> bool:
    """Whether oneDNN is there for weights like this one."""
    return weight.device.type == "cpu" and torch.backends.mkldnn.is_available()


def _pack(block: nn.Module) -> None:
    """Put the linear layers of a block in order, in place."""
    block.attn.qkv, block.attn.proj = PackedLinear(block.attn.qkv), PackedLinear(block.attn.proj)
    block.adaLN_modulation[1] = PackedLinear(block.adaLN_modulation[1])
    block.mlp = nn.Sequential(PackedLinear(block.mlp.fc1, "gelu"), PackedLinear(block.mlp.fc2))
