"""Robot vectors to human vectors and back, by a table of joint names (spec of the robot, 7.1 and 7.2).

A robot vector has, for the left hand and then the right, the wrist [xyz (3), euler (3)] and the hand's joints: 18
numbers per XHand, 36 for two. The wrist is copied; each joint is one signed Euler angle of a human finger joint. The
mapping acts on NORMALISED numbers, so that the statistics of the robot's own data are used before it.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from robot.hand.table import human_channels
from robot.tables import find_table
from vitra_lib.core.errors import BadInput, UnknownName
from vitra_lib.dataset.action_space import UNIFIED_ACTION, UNIFIED_STATE, ActionSpace
from vitra_lib.dataset.normalisation import Normaliser

UNMAPPED: tuple[str, ...] = ("masked", "zero")
"""What happens to human finger angles that no joint copies: left out of the mask, or taught to be zero (official)."""

_WRIST = 6


@dataclass(frozen=True, eq=False)
class HandMap:
    """The mapping of one kind of hand; the same for both sides, since finger angles are in one convention.

    Attributes:
        name: of the hand's table.
        joints: names, in the order of the vector.
        channel: (joint,) place of each joint's angle among the 51 numbers of a human hand.
        sign: (joint,) +1 or -1; its own inverse.
    """

    name: str
    joints: tuple[str, ...]
    channel: Int[np.ndarray, " joint"]
    sign: Float[np.ndarray, " joint"]

    @classmethod
    def load(cls, name: str | Path = "xhand") -> "HandMap":
        """Read the mapping out of a hand's table.

        Raises:
            UnknownName: no such table.
            BadInput: the table isn't whole.
        """
        table = find_table("hand", name)
        try:
            joint, axis, sign = human_channels(table)
            names = tuple(row["name"] for row in table["joints"])
            return cls(str(table["name"]), names, _WRIST + 3 * joint + axis, sign)
        except (KeyError, TypeError) as error:
            raise BadInput(f"The hand table {name} is not whole: {error} is missing or malformed.") from error

    @property
    def per_hand(self) -> int:
        """Numbers of one hand in a robot vector: 18 for the XHand."""
        return _WRIST + len(self.joints)

    @property
    def dim(self) -> int:
        """Numbers of both hands: 36 for the XHand."""
        return 2 * self.per_hand

    @property
    def unmapped(self) -> int:
        """Human finger angles of one hand that no joint copies: 33 for the XHand."""
        return _SPACE.fingers - len(self.joints)

    def human_to_robot(self, human: Float[np.ndarray, "*batch human"]) -> Float[np.ndarray, "*batch robot"]:
        """Human numbers (102, or a unified vector with padding behind them) as robot numbers."""
        if human.shape[-1] < _SPACE.action_dim:
            raise BadInput(f"A human vector has {_SPACE.action_dim} numbers or more, not {human.shape[-1]}.")
        places, signs = self._places()
        return human[..., places] * signs.astype(human.dtype)

    def robot_to_human(
        self, robot: Float[np.ndarray, "*batch robot"], mask: Bool[np.ndarray, "*batch 2"], unmapped: str = "masked"
    ) -> tuple[Float[np.ndarray, "*batch 102"], Bool[np.ndarray, "*batch 102"]]:
        """Robot numbers as human numbers, with a mask number by number.

        Args:
            robot: normalised numbers of both hands; what is masked comes back as zero.
            mask: True where a hand (left, right) counts.
            unmapped: "masked" leaves angles that no joint copies out of the mask; "zero", the official behaviour,
                keeps them in it with the value zero, so that training teaches them to be zero.

        Raises:
            UnknownName: `unmapped` is neither.
            BadInput: another number of values.
        """
        if unmapped not in UNMAPPED:
            raise UnknownName("rule for unmapped fingers", unmapped, UNMAPPED)
        if robot.shape[-1] != self.dim:
            raise BadInput(f"A vector of two {self.name} hands has {self.dim} numbers, not {robot.shape[-1]}.")
        places, signs = self._places()
        valid = np.repeat(mask, _SPACE.per_hand, axis=-1)
        if unmapped == "masked":
            copied = np.zeros(_SPACE.action_dim, bool)
            copied[places] = True
            valid = valid & copied
        human = np.zeros(valid.shape, robot.dtype)
        human[..., places] = robot * signs.astype(robot.dtype)
        return np.where(valid, human, robot.dtype.type(0)), valid

    def unified_action(
        self, robot: Float[np.ndarray, "*batch robot"], mask: Bool[np.ndarray, "*batch 2"], unmapped: str = "masked"
    ) -> tuple[Float[np.ndarray, "*batch 192"], Bool[np.ndarray, "*batch 192"]]:
        """Robot actions as the policy's 192 numbers and their mask; arguments as in `robot_to_human`."""
        return _padded(*self.robot_to_human(robot, mask, unmapped), UNIFIED_ACTION)

    def unified_state(
        self, robot: Float[np.ndarray, "*batch robot"], mask: Bool[np.ndarray, "*batch 2"], unmapped: str = "masked"
    ) -> tuple[Float[np.ndarray, "*batch 212"], Bool[np.ndarray, "*batch 212"]]:
        """A robot state as the policy's 212 numbers and their mask; arguments as in `robot_to_human`."""
        return _padded(*self.robot_to_human(robot, mask, unmapped), UNIFIED_STATE)

    def restored_action(
        self, unified: Float[np.ndarray, "*batch 192"], normaliser: Normaliser
    ) -> Float[np.ndarray, "*batch robot"]:
        """What a policy predicted, as robot numbers in metres and radians.

        Args:
            unified: normalised actions of the policy.
            normaliser: the robot's own statistics.

        Raises:
            BadInput: the statistics are of another robot.
        """
        if len(normaliser.action_mean) != self.dim:
            raise BadInput(f"The statistics have {len(normaliser.action_mean)} numbers; this robot has {self.dim}.")
        return normaliser.restore_action(self.human_to_robot(unified.astype(np.float64)))

    def action_mask(
        self, mask: Bool[np.ndarray, "*batch 2"], unmapped: str = "masked"
    ) -> Bool[np.ndarray, "*batch 192"]:
        """Which of the 192 numbers a policy is asked for, given the hands (left, right) that take part."""
        return self.unified_action(np.zeros((*mask.shape[:-1], self.dim), np.float32), mask, unmapped)[1]

    def _places(self) -> tuple[np.ndarray, np.ndarray]:
        """(robot,) place of each robot number among the 102, and its sign."""
        hand = np.concatenate([np.arange(_WRIST), self.channel])
        return np.concatenate([hand, hand + _SPACE.per_hand]), np.tile(np.concatenate([np.ones(_WRIST), self.sign]), 2)


_SPACE = ActionSpace("angle")


def _padded(values: np.ndarray, mask: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    wide, known = np.zeros((*mask.shape[:-1], size), np.float32), np.zeros((*mask.shape[:-1], size), bool)
    wide[..., : mask.shape[-1]], known[..., : mask.shape[-1]] = values, mask
    return wide, known
