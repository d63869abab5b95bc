"""Names, parents and orders of hand joints: the 21-joint skeleton and MANO's 16-joint tree.

Two orders exist (spec of the episode format, 1.4). The 21-joint order is the wrist, then thumb, index,
middle, ring, pinky with four joints each from the palm to the tip. MANO's order is the wrist, then three
joints each for index, middle, PINKY, RING, thumb; rotations (`R_parent_joint`) always come in MANO's order.
"""

from typing import Literal

import numpy as np
from jaxtyping import Float

Side = Literal["left", "right"]

FINGERS: tuple[str, ...] = ("thumb", "index", "middle", "ring", "pinky")

JOINT_NAMES: tuple[str, ...] = (
    "wrist",
    "thumb_cmc", "thumb_mcp", "thumb_ip", "thumb_tip",
    "index_mcp", "index_pip", "index_dip", "index_tip",
    "middle_mcp", "middle_pip", "middle_dip", "middle_tip",
    "ring_mcp", "ring_pip", "ring_dip", "ring_tip",
    "pinky_mcp", "pinky_pip", "pinky_dip", "pinky_tip",
)  # fmt: skip

PARENTS: tuple[int, ...] = (-1, 0, 1, 2, 3, 0, 5, 6, 7, 0, 9, 10, 11, 0, 13, 14, 15, 0, 17, 18, 19)

BONES: tuple[tuple[int, int], ...] = tuple((parent, child) for child, parent in enumerate(PARENTS) if parent >= 0)
"""The 20 bones of the 21-joint skeleton as (parent, child)."""

TIPS: tuple[int, ...] = (4, 8, 12, 16, 20)
"""The five finger tips in the 21-joint order (thumb to pinky)."""

PALM_JOINTS: tuple[int, ...] = (0, 2, 5, 9, 13, 17)
"""The joints that VITRA draws as the palm: wrist, thumb MCP and the four knuckles."""

MANO_FINGERS: tuple[str, ...] = ("index", "middle", "pinky", "ring", "thumb")

MANO_JOINTS: tuple[str, ...] = tuple(f"{finger}{i}" for finger in MANO_FINGERS for i in (1, 2, 3))
"""The 15 joints that have a local rotation, in the order of `R_parent_joint`."""

MANO_PARENTS: tuple[int, ...] = (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14)
"""Parents of MANO's 16 joints (wrist first)."""

MANO16_PLUS_TIPS_TO_21: tuple[int, ...] = (
    0, 13, 14, 15, 16, 1, 2, 3, 17, 4, 5, 6, 18, 10, 11, 12, 19, 7, 8, 9, 20,
)  # fmt: skip
"""`x21 = concat(mano16, tips[thumb, index, middle, ring, pinky])[MANO16_PLUS_TIPS_TO_21]`."""

JOINT21_OF_MANO16: tuple[int, ...] = (0, 5, 6, 7, 9, 10, 11, 17, 18, 19, 13, 14, 15, 1, 2, 3)
"""Index in the 21-joint order of each of MANO's 16 joints."""


def bone_lengths(joints: Float[np.ndarray, "*batch 21 3"]) -> Float[np.ndarray, "*batch 20"]:
    """Lengths [m] of the 20 bones, in the order of `BONES`.

    Args:
        joints: (..., 21, 3) joints in any frame [m].

    Returns:
        (..., 20) distances between parent and child [m].
    """
    parent, child = np.array(BONES).T
    return np.linalg.norm(joints[..., child, :] - joints[..., parent, :], axis=-1)


def finger_joints(finger: str) -> tuple[int, int, int, int]:
    """The four joints of one finger in the 21-joint order, palm to tip.

    Args:
        finger: one of `FINGERS`.
    """
    start = 1 + 4 * FINGERS.index(finger)
    return (start, start + 1, start + 2, start + 3)
