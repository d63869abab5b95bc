"""A trained policy behind the server: one pass of the networks for several observations.

Two layouts: human hands (states of 122 numbers, steps of 102) as pretraining has them, and XHands (36 and 36) as
fine-tuning on a robot has them; which one a checkpoint is for follows from its normalisation statistics.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float

from robot.hand import UNMAPPED, HandMap
from robot.serving.policies import Observation, describe, read_observation
from vitra_lib.contracts.hand_track import SIDES
from vitra_lib.core.errors import BadInput
from vitra_lib.dataset.action_space import ActionSpace
from vitra_lib.dataset.normalisation import Normaliser, read_statistics
from vitra_lib.policy.checkpoint import load_policy, read_description
from vitra_lib.policy.config import SamplingConfig
from vitra_lib.policy.diffusion import kept_timesteps, start_noise
from vitra_lib.policy.policy import Policy
from vitra_lib.policy.predict import REL_MODE, checkpoint_statistics, understood
from vitra_lib.policy.processor import Processor

LAYOUTS = ("hand", "xhand")
UNMAPPED_FINGERS = "unmapped"
"""Name, among the facts of a checkpoint, of what training did with human finger angles that no robot joint copies."""


@runtime_checkable
class Layout(Protocol):
    """How a client's numbers stand in the policy's unified vectors.

    Attributes:
        state_dim, action_dim: a client's numbers of both hands.
    """

    state_dim: int
    action_dim: int

    def pack_state(
        self, state: Float[np.ndarray, "batch state"], hands: Bool[np.ndarray, "batch 2"]
    ) -> tuple[Float[np.ndarray, "batch 212"], Bool[np.ndarray, "batch 212"]]:
        """Normalised states, and what of them is known."""
        ...

    def action_mask(self, hands: Bool[np.ndarray, "*batch 2"]) -> Bool[np.ndarray, "*batch 192"]:
        """What the policy is asked for."""
        ...

    def unpack_action(self, unified: Float[np.ndarray, "*batch 192"]) -> Float[np.ndarray, "*batch action"]:
        """A client's normalised steps."""
        ...


class HandLayout:
    """Human hands: [t, euler(R), 45 finger angles, 10 betas] of a state, [dt, euler(dR), 45 angles] of a step."""

    def __init__(self) -> None:
        self._space = ActionSpace("angle")
        self.state_dim, self.action_dim = self._space.state_dim, self._space.action_dim

    def pack_state(
        self, state: Float[np.ndarray, "batch state"], hands: Bool[np.ndarray, "batch 2"]
    ) -> tuple[Float[np.ndarray, "batch 212"], Bool[np.ndarray, "batch 212"]]:
        """Normalised states, and what of them is known."""
        return self._space.pack_state(state, hands)

    def action_mask(self, hands: Bool[np.ndarray, "*batch 2"]) -> Bool[np.ndarray, "*batch 192"]:
        """What the policy is asked for."""
        return self._space.pack_action(np.zeros((*hands.shape[:-1], self.action_dim)), hands)[1]

    def unpack_action(self, unified: Float[np.ndarray, "*batch 192"]) -> Float[np.ndarray, "*batch action"]:
        """A client's normalised steps."""
        return unified[..., : self.action_dim]


class XHandLayout:
    """XHands: [xyz, euler, 12 joints] per hand, mapped after normalisation as the official code maps them."""

    def __init__(self, unmapped: str = UNMAPPED[0]) -> None:
        """
        Args:
            unmapped: what training did with fingers that no joint copies; see `HandMap.robot_to_human`.
        """
        self._map, self._unmapped = HandMap.load("xhand"), unmapped
        self.state_dim = self.action_dim = self._map.dim

    def pack_state(
        self, state: Float[np.ndarray, "batch state"], hands: Bool[np.ndarray, "batch 2"]
    ) -> tuple[Float[np.ndarray, "batch 212"], Bool[np.ndarray, "batch 212"]]:
        """Normalised states, and what of them is known."""
        return self._map.unified_state(state, hands, self._unmapped)

    def action_mask(self, hands: Bool[np.ndarray, "*batch 2"]) -> Bool[np.ndarray, "*batch 192"]:
        """What the policy is asked for."""
        return self._map.action_mask(hands, self._unmapped)

    def unpack_action(self, unified: Float[np.ndarray, "*batch 192"]) -> Float[np.ndarray, "*batch action"]:
        """A client's normalised steps."""
        return self._map.human_to_robot(unified)


@dataclass(frozen=True, eq=False)
class PolicyParts:
    """What answers are made with.

    Attributes:
        policy: the networks, on the device where they compute.
        processor: from pictures and sentences to tensors.
        normaliser: of the layout's numbers.
        layout: how a client's numbers stand in the policy's.
        rel_mode: what steps are relative to.
        name: what clients are told.
    """

    policy: Policy
    processor: Processor
    normaliser: Normaliser
    layout: Layout
    rel_mode: str = "step"
    name: str = "policy"

    def __post_init__(self) -> None:
        given = len(self.normaliser.state_mean), len(self.normaliser.action_mean)
        legal = self.layout.state_dim, self.layout.action_dim
        if given != legal:
            raise BadInput(
                f"The statistics are for states and steps of {given[0]} and {given[1]} numbers, these answers need "
                f"{legal[0]} and {legal[1]}; choose other actions, or a checkpoint that was trained for them."
            )
        self.processor.check_fits(self.policy.config)


class NetworkPolicy:
    """Serves a policy's steps.

    Attributes:
        metadata: what clients are told.
    """

    def __init__(self, parts: PolicyParts, sampling: SamplingConfig | None = None) -> None:
        """
        Args:
            parts: networks, statistics and layout.
            sampling: steps, guidance, and the seed of requests that give none; one draw per request.

        Raises:
            BadInput: more than one draw, or an impossible number of steps.
        """
        self._parts, self._sampling = parts, sampling or SamplingConfig()
        if self._sampling.samples != 1:
            raise BadInput(f"samples is {self._sampling.samples}; a server answers with one draw.")
        kept_timesteps(self._sampling.steps)
        parts.policy.eval()
        self._chunk = parts.policy.config.denoiser.chunk
        layout = parts.layout
        self.metadata = describe(parts.name, parts.rel_mode, layout.state_dim, layout.action_dim, self._chunk)

    def prepare(self, observation: dict[str, Any]) -> Observation:
        """Check an observation, and give its sentence the form of training."""
        said = observation.get("instruction", observation.get("prompt"))
        if "hands" not in observation and isinstance(said, str):
            told = understood(said, None)[1]
            observation = observation | {"hands": [side in told for side in SIDES]}
        read = read_observation(observation, self._parts.layout.state_dim, self._sampling.seed)
        sides = tuple(side for side, wanted in zip(SIDES, read.hands, strict=True) if wanted)
        text, _ = understood(read.instruction, sides)
        return Observation(read.image, text, read.fov_rad, read.state, read.hands, read.seed)

    @torch.no_grad()
    def infer(self, prepared: Sequence[Observation]) -> list[dict[str, Any]]:
        """Draw one chunk for each observation.

        Returns:
            `actions` (chunk, 102 or 36) float32 in metres and radians, NaN for a hand that was not asked for; `hands`.

        Raises:
            BadInput: a sentence that is too long.
        """
        parts, policy = self._parts, self._parts.policy
        hands = np.stack([one.hands for one in prepared])
        state = parts.normaliser.normalise_state(np.stack([one.state for one in prepared]))
        inputs = parts.processor(
            policy.config, [one.image for one in prepared], [one.instruction for one in prepared],
            np.stack([one.fov_rad for one in prepared]), *parts.layout.pack_state(state, hands),
        ).to(policy.device)  # fmt: skip
        mask = torch.from_numpy(parts.layout.action_mask(np.repeat(hands[:, None], self._chunk, axis=1)))
        # The noise of a request comes from its own seed, so that its answer does not depend on its neighbours.
        noise = torch.cat([start_noise((1, *mask.shape[1:]), one.seed, policy.device) for one in prepared])
        drawn = policy.predict(inputs, mask.to(policy.device), self._sampling, noise, self._known(prepared))[:, 0]
        steps = parts.layout.unpack_action(drawn.cpu().numpy().astype(np.float64))
        actions = parts.normaliser.restore_action(steps).astype(np.float32)
        if not np.isfinite(actions).all():
            raise RuntimeError("The policy drew NaN or infinite actions; its weights or statistics are damaged.")
        actions[~np.repeat(hands, actions.shape[-1] // 2, axis=-1)[:, None].repeat(self._chunk, 1)] = np.nan
        return [{"actions": row, "hands": one.hands.tolist()} for row, one in zip(actions, prepared, strict=True)]

    def _known(self, prepared: Sequence[Observation]) -> torch.Tensor | None:
        """First steps of the chunks that are settled already, normalised; a server knows of none."""
        return None


@dataclass(frozen=True)
class PolicyFiles:
    """What to serve.

    Attributes:
        checkpoint: folder with weights and description.
        actions: "hand", "xhand", or "auto": as the statistics are.
        statistics: file of statistics; those in the checkpoint when None.
        tokenizer: folder of a PaliGemma checkpoint whose tokenizer is used; the shipped one when None.
    """

    checkpoint: Path
    actions: str = "auto"
    statistics: Path | None = None
    tokenizer: Path | None = None

    def __post_init__(self) -> None:
        if self.actions not in ("auto", *LAYOUTS):
            raise BadInput(f"Unknown actions {self.actions!r}: legal are auto, {', '.join(LAYOUTS)}.")


def open_policy(files: PolicyFiles, device: str = "cpu", sampling: SamplingConfig | None = None) -> NetworkPolicy:
    """Read a checkpoint and make it ready to be served.

    Args:
        files: what to serve.
        device: where to compute.
        sampling: steps, guidance and seed.

    Raises:
        BadInput: a damaged checkpoint, one without statistics, or statistics for other actions.
    """
    facts = read_description(files.checkpoint).get("facts", {})
    given = files.statistics
    normaliser = checkpoint_statistics(files.checkpoint, facts) if given is None else read_statistics(given)
    actions = files.actions
    if actions == "auto":
        actions = "xhand" if len(normaliser.action_mean) == XHandLayout().action_dim else "hand"
    layout = HandLayout() if actions == "hand" else XHandLayout(str(facts.get(UNMAPPED_FINGERS, UNMAPPED[0])))
    processor, policy = Processor(files.tokenizer), load_policy(files.checkpoint).to(device)
    rel_mode = str(facts.get(REL_MODE, "step"))
    return NetworkPolicy(PolicyParts(policy, processor, normaliser, layout, rel_mode, files.checkpoint.name), sampling)


def fresh_policy(
    normaliser: Normaliser, profile: str = "tiny", seed: int = 0, sampling: SamplingConfig | None = None
) -> NetworkPolicy:
    """Networks for XHands with random weights: they know nothing and cost what trained ones cost.

    For measuring, and for trying server, loop and safety layer before anything was trained.

    Args:
        normaliser: of the robot's 36 numbers.
        profile: sizes of the networks.
        seed: of the weights.
        sampling: steps, guidance and seed; one draw without guidance when None, which fresh weights can't use.
    """
    processor = Processor()
    torch.manual_seed(seed)
    policy = Policy(processor.policy_config(profile))
    parts = PolicyParts(policy, processor, normaliser, XHandLayout(), name=f"{profile}, fresh weights")
    return NetworkPolicy(parts, sampling or SamplingConfig(10, 1.0))
