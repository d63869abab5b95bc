"""Joint limits of an arm with its hand: the intersection of all sources that the joint tables state."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float

from robot.arm.model import intersected, load_arm
from robot.tables import find_table
from vitra_lib.core.errors import BadInput

ARM_JOINTS, HAND_JOINTS = 7, 12
JOINTS = ARM_JOINTS + HAND_JOINTS


@dataclass(frozen=True, eq=False)
class Limits:
    """What each joint may do; the arm's seven come first, then the hand's twelve in the vendor's order.

    Attributes:
        names: "arm.joint_1" … "hand.pinky_joint2".
        lower_rad, upper_rad: ends of the range.
        speed_rad_s: the hardware's fastest.
    """

    names: tuple[str, ...]
    lower_rad: Float[np.ndarray, " joints"]
    upper_rad: Float[np.ndarray, " joints"]
    speed_rad_s: Float[np.ndarray, " joints"]

    def __post_init__(self) -> None:
        rows = zip(self.names, self.lower_rad, self.upper_rad, self.speed_rad_s, strict=True)
        for name, low, high, speed in rows:
            if not low < high or not 0 < speed < np.inf:
                raise BadInput(
                    f"The limits of {name} leave no room: [{low:.4f}, {high:.4f}] rad at {speed:.4f} rad/s; "
                    "a lower end must be below the upper one."
                )

    def narrowed(self, lower_rad: Float[np.ndarray, " joints"], upper_rad: Float[np.ndarray, " joints"]) -> "Limits":
        """These limits and another source's: the intersection.

        Raises:
            BadInput: nothing is left of a joint.
        """
        low, high = np.maximum(self.lower_rad, lower_rad), np.minimum(self.upper_rad, upper_rad)
        return Limits(self.names, low, high, self.speed_rad_s)


@cache
def rig_limits() -> Limits:
    """Limits of an RM75 with an XHand: nineteen joints, the distal ones with their floor of 5 degrees."""
    arm, rows = load_arm().tree, find_table("hand", "xhand")["joints"]
    low, high = intersected(rows)
    speed = [float(row["velocity_rad_s"]) for row in rows]
    return Limits(
        tuple(f"arm.{name}" for name in arm.names) + tuple(f"hand.{row['name']}" for row in rows),
        np.concatenate([arm.lower, low]),
        np.concatenate([arm.upper, high]),
        np.concatenate([arm.velocity, speed]),
    )
