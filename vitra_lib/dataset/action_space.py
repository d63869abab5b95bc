"""The unified vectors: 192 numbers of an action and 212 of a state, as named slices (spec of the sample, 2.2 to 2.5).

One hand of an action is [dt (3), euler(dR) (3), fingers], of a state [t (3), euler(R) (3), fingers, betas (10)].
Fingers are 45 Euler angles ("angle") or 21 points in the wrist frame ("keypoints"). Left comes first. What follows the
two hands is padding; the shape (betas) is dropped when a state is packed.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from vitra_lib.core.errors import BadInput, UnknownName
from vitra_lib.hands.skeleton import JOINT_NAMES, MANO_JOINTS

ACTION_TYPES: tuple[str, ...] = ("angle", "keypoints")
UNIFIED_ACTION, UNIFIED_STATE = 192, 212
BETAS = 10


@dataclass(frozen=True)
class ActionSpace:
    """Where each number of a vector is.

    Attributes:
        action_type: "angle" (45 finger angles) or "keypoints" (63 coordinates in the wrist frame).
    """

    action_type: str = "angle"

    def __post_init__(self) -> None:
        if self.action_type not in ACTION_TYPES:
            raise UnknownName("action type", self.action_type, ACTION_TYPES)

    @property
    def fingers(self) -> int:
        """Finger numbers of one hand."""
        return 3 * len(MANO_JOINTS) if self.action_type == "angle" else 3 * len(JOINT_NAMES)

    @property
    def per_hand(self) -> int:
        """Numbers of one hand in an action, and in a packed state: 51 or 69."""
        return 6 + self.fingers

    @property
    def state_per_hand(self) -> int:
        """Numbers of one hand in a state with its shape: 61 or 79."""
        return self.per_hand + BETAS

    @property
    def action_dim(self) -> int:
        """Numbers of both hands in an action: 102 or 138."""
        return 2 * self.per_hand

    @property
    def state_dim(self) -> int:
        """Numbers of both hands in a state with shapes: 122 or 158."""
        return 2 * self.state_per_hand

    @property
    def slices(self) -> dict[str, slice]:
        """Named parts of the packed action and of the packed state, which share them."""
        parts = {"translation": (0, 3), "rotation": (3, 6), "6d": (0, 6), "fingers": (6, self.per_hand)}
        named = {
            f"{side}_{part}": slice(offset + start, offset + stop)
            for side, offset in (("left", 0), ("right", self.per_hand))
            for part, (start, stop) in parts.items()
        }
        return named | {"left": slice(0, self.per_hand), "right": slice(self.per_hand, self.action_dim)}

    @property
    def padding(self) -> dict[str, slice]:
        """What no hand uses, in the action and in the state; the state's last twenty are the official betas' places."""
        return {"action": slice(self.action_dim, UNIFIED_ACTION), "state": slice(self.action_dim, UNIFIED_STATE)}

    def pack_action(
        self, action: Float[np.ndarray, "*batch action_dim"], mask: Bool[np.ndarray, "*batch 2"]
    ) -> tuple[Float[np.ndarray, "*batch 192"], Bool[np.ndarray, "*batch 192"]]:
        """Both hands into the unified action; what is masked is zero.

        Args:
            action: (…, 102 or 138) left, right.
            mask: (…, 2) True where the hand's numbers count.

        Returns:
            float32 values and their mask, number by number.
        """
        self._check(action.shape[-1], self.action_dim, "action")
        return self._pack(action, mask, UNIFIED_ACTION)

    def unpack_action(
        self, unified: Float[np.ndarray, "*batch 192"], mask: Bool[np.ndarray, "*batch 192"]
    ) -> tuple[Float[np.ndarray, "*batch action_dim"], Bool[np.ndarray, "*batch 2"]]:
        """Inverse of `pack_action` (masked numbers come back as zero)."""
        return unified[..., : self.action_dim].copy(), mask[..., [0, self.per_hand]]

    def pack_state(
        self, state: Float[np.ndarray, "*batch state_dim"], mask: Bool[np.ndarray, "*batch 2"]
    ) -> tuple[Float[np.ndarray, "*batch 212"], Bool[np.ndarray, "*batch 212"]]:
        """Both hands into the unified state, without their shapes; what is masked is zero.

        Args:
            state: (…, 122 or 158) left, right, each with its ten betas at the end.
            mask: (…, 2) True where the hand is known.
        """
        self._check(state.shape[-1], self.state_dim, "state")
        hands = state.reshape(*state.shape[:-1], 2, self.state_per_hand)[..., : self.per_hand]
        return self._pack(hands.reshape(*state.shape[:-1], self.action_dim), mask, UNIFIED_STATE)

    def unpack_state(
        self,
        unified: Float[np.ndarray, "*batch 212"],
        mask: Bool[np.ndarray, "*batch 212"],
        betas: Float[np.ndarray, "*batch 2 10"],
    ) -> tuple[Float[np.ndarray, "*batch state_dim"], Bool[np.ndarray, "*batch 2"]]:
        """Inverse of `pack_state`, given the shapes that packing drops."""
        hands = unified[..., : self.action_dim].reshape(*unified.shape[:-1], 2, self.per_hand)
        state = np.concatenate([hands, betas.astype(hands.dtype)], axis=-1)
        return state.reshape(*unified.shape[:-1], self.state_dim), mask[..., [0, self.per_hand]]

    def _pack(self, values: np.ndarray, mask: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
        wide = np.zeros((*mask.shape[:-1], size), bool)
        for hand in range(2):
            wide[..., hand * self.per_hand : (hand + 1) * self.per_hand] = mask[..., hand : hand + 1]
        unified = np.zeros(wide.shape, np.float32)
        unified[..., : self.action_dim] = np.where(wide[..., : self.action_dim], values, 0.0)
        return unified, wide

    def _check(self, given: int, legal: int, what: str) -> None:
        if given != legal:
            raise BadInput(f"An {self.action_type} {what} has {legal} numbers, not {given}.")
