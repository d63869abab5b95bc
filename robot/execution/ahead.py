"""A policy that is asked while its last chunk is still being played: the steps until its answer comes are settled.

Those steps stand in the new chunk from the start of the denoising (in-painting at every step), so that the rest
continues them and the change of chunks makes no jump.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from robot.hand import HandMap
from robot.serving.hand_policy import NetworkPolicy, PolicyParts
from robot.serving.policies import Observation
from vitra_lib.core.errors import BadInput
from vitra_lib.policy.config import SamplingConfig


class AheadPolicy(NetworkPolicy):
    """A policy for XHands whose chunk can begin with settled steps."""

    def __init__(self, parts: PolicyParts, sampling: SamplingConfig | None = None) -> None:
        """
        Args:
            parts: networks, statistics and the XHand's layout.
            sampling: see `NetworkPolicy`.

        Raises:
            BadInput: the parts are for other actions than XHands'.
        """
        super().__init__(parts, sampling)
        self._hand_map = HandMap.load("xhand")
        if parts.layout.action_dim != self._hand_map.dim:
            raise BadInput(
                f"The policy's steps have {parts.layout.action_dim} numbers, a robot with XHands needs "
                f"{self._hand_map.dim}; fine-tune the checkpoint on robot data first."
            )
        self._settled: Float[np.ndarray, "known 36"] | None = None

    @classmethod
    def of(cls, opened: NetworkPolicy, sampling: SamplingConfig | None = None) -> "AheadPolicy":
        """The same policy, asked ahead."""
        return cls(opened._parts, sampling or opened._sampling)

    def infer_after(self, observation: dict[str, Any], settled: Float[np.ndarray, "known 36"]) -> dict[str, Any]:
        """One chunk that begins with settled steps.

        Args:
            observation: what is seen now.
            settled: the steps that will be played until the answer comes [m, rad]; fewer than a chunk has.

        Returns:
            As `NetworkPolicy.infer`.

        Raises:
            BadInput: too many settled steps, or some that are not finite where a hand takes part.
        """
        prepared = self.prepare(observation)
        if len(settled) >= self._chunk:
            raise BadInput(f"{len(settled)} steps are settled already; a chunk has {self._chunk}: ask earlier.")
        mine = np.repeat(prepared.hands, settled.shape[1] // 2)
        if not np.isfinite(settled[:, mine]).all():
            raise BadInput("A settled step is NaN or infinite.")
        self._settled = np.where(mine, settled, 0.0) if len(settled) else None
        try:
            return self.infer([prepared])[0]
        finally:
            self._settled = None

    def _known(self, prepared: Sequence[Observation]) -> torch.Tensor | None:
        """The settled steps as the networks see them."""
        if self._settled is None:
            return None
        hands = np.repeat(prepared[0].hands[None], len(self._settled), 0)
        steps = self._parts.normaliser.normalise_action(self._settled)
        unified, _ = self._hand_map.unified_action(steps, hands)
        return torch.from_numpy(unified)[None].to(self._parts.policy.device)
