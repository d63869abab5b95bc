"""The policy: image, instruction, field of view and hand state in; a chunk of hand actions out (paper section 3.2)."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from vitra_lib.core.errors import BadInput
from vitra_lib.policy.backbone import Backbone
from vitra_lib.policy.config import LossConfig, PolicyConfig, SamplingConfig
from vitra_lib.policy.denoiser import Denoiser
from vitra_lib.policy.diffusion import NoiseDraws, noised, sample_actions, start_noise
from vitra_lib.policy.loss import Counts, Loss, noise_loss


@dataclass(frozen=True, eq=False)
class PolicyInputs:
    """What the policy sees, as tensors.

    Attributes:
        input_ids: image placeholders, bos, instruction, newline; padded.
        attention_mask: 1 where a token counts.
        pixel_values: square images scaled to [-1, 1], RGB.
        fov_rad: full horizontal and vertical field of view before the image was made square [rad].
        state: normalised state in the unified layout.
        state_mask: True where the state is known.
    """

    input_ids: Int[Tensor, "batch text"]
    attention_mask: Int[Tensor, "batch text"]
    pixel_values: Float[Tensor, "batch 3 size size"]
    fov_rad: Float[Tensor, "batch 2"]
    state: Float[Tensor, "batch state_dim"]
    state_mask: Bool[Tensor, "batch state_dim"]

    def __len__(self) -> int:
        return len(self.input_ids)

    def to(self, device: torch.device | str) -> "PolicyInputs":
        """The same on another device."""
        return type(self)(**{name: value.to(device) for name, value in vars(self).items()})


class Policy(nn.Module):
    """A vision-language backbone whose cognition feature conditions a causal diffusion transformer.

    Attributes:
        config: sizes.
        backbone, denoiser: the two parts.
        in_bf16: True lets the backbone compute in bfloat16; weights, and the denoiser, stay in float32.
    """

    def __init__(self, config: PolicyConfig, backbone: Backbone | None = None) -> None:
        """
        Args:
            config: sizes.
            backbone: one with weights; random when None.
        """
        super().__init__()
        self.config = config
        self.backbone = Backbone(config.backbone) if backbone is None else backbone
        self.denoiser = Denoiser(config.denoiser)
        self.in_bf16 = False

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.backbone.cognition_token.device

    def cognition(self, inputs: PolicyInputs) -> Float[Tensor, "batch width"]:
        """The backbone's feature, which is all that the denoiser learns of image and instruction; in float32."""
        with torch.autocast(inputs.input_ids.device.type, torch.bfloat16, enabled=self.in_bf16):
            feature = self.backbone(inputs.input_ids, inputs.attention_mask, inputs.pixel_values, inputs.fov_rad)
        return feature.float()

    def forward(
        self,
        inputs: PolicyInputs,
        action: Float[Tensor, "batch chunk action_dim"],
        action_mask: Bool[Tensor, "batch chunk action_dim"],
        draws: NoiseDraws,
        loss: LossConfig,
        counts: Counts | None = None,
    ) -> Loss:
        """The training loss of a batch.

        Args:
            inputs: what the policy sees.
            action: true normalised actions.
            action_mask: True where they are valid.
            draws: noise, diffusion steps and dropped conditions of `repeats` passes through the denoiser; all share
                one pass of the backbone.
            loss: weights of the components.
            counts: of the whole optimizer step; this batch's own when None.

        Raises:
            BadInput: labels with NaN or infinity at valid places.
        """
        if not torch.isfinite(action[action_mask]).all():
            raise BadInput("A training batch has NaN or infinite actions where its mask says valid; run `vitra check`.")
        repeats = draws.noise.shape[0]
        action = torch.where(action_mask, action, 0.0).repeat(repeats, 1, 1)
        mask, noise, timestep = action_mask.repeat(repeats, 1, 1), draws.noise.flatten(0, 1), draws.timestep.flatten()
        condition = self.cognition(inputs).repeat(repeats, 1)
        empty = self.denoiser.z_embedder.uncondition.to(condition.dtype)
        predicted = self.denoiser(
            noised(action, noise, timestep),
            mask,
            timestep,
            torch.where(draws.drops_condition.flatten()[:, None], empty, condition),
            inputs.state.repeat(repeats, 1),
            inputs.state_mask.repeat(repeats, 1),
        )
        return noise_loss(predicted, noise, mask, loss, None if counts is None else counts.times(repeats))

    @torch.no_grad()
    def predict(
        self,
        inputs: PolicyInputs,
        action_mask: Bool[Tensor, "batch chunk action_dim"],
        sampling: SamplingConfig,
        noise: Float[Tensor, "rows chunk action_dim"] | None = None,
        known: Float[Tensor, "rows known action_dim"] | None = None,
    ) -> Float[Tensor, "batch samples chunk action_dim"]:
        """Draw action chunks; all samples of an image share one pass of the backbone.

        Args:
            inputs: what the policy sees.
            action_mask: True where actions are wanted (the hands that take part).
            sampling: steps, guidance, samples and seed.
            noise: start noise of all (batch × samples) rows; from the seed when None.
            known: first steps of each row that are settled already; see `sample_actions`.

        Returns:
            Normalised actions, zero where not wanted.
        """
        samples = sampling.samples
        condition = self.cognition(inputs)
        shape = (len(inputs) * samples, *action_mask.shape[1:])
        if noise is None:
            noise = start_noise(shape, sampling.seed, self.device)
        drawn = sample_actions(
            self.denoiser,
            condition.repeat_interleave(samples, 0),
            inputs.state.repeat_interleave(samples, 0),
            inputs.state_mask.repeat_interleave(samples, 0),
            action_mask.repeat_interleave(samples, 0),
            noise,
            sampling,
            known,
        )
        return drawn.unflatten(0, (len(inputs), samples))


def empty_policy(config: PolicyConfig) -> Policy:
    """A policy whose parameters have shapes and no storage, to be filled from a file: its weights then exist once.

    Buffers (positions, rotation frequencies) are real; no weights file holds them.
    """
    with _parameters_without_storage():
        return Policy(config)


@contextlib.contextmanager
def _parameters_without_storage() -> Iterator[None]:
    """Modules made inside register their parameters on the meta device, and nothing else."""
    register = nn.Module.register_parameter

    def on_meta(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        register(module, name, parameter)
        if parameter is not None:
            module._parameters[name] = nn.Parameter(parameter.detach().to("meta"), parameter.requires_grad)

    nn.Module.register_parameter = on_meta
    try:
        yield
    finally:
        nn.Module.register_parameter = register
