"""Does a joint turn the way its human angle turns? The physical check of a hand's table, as numbers and as a figure.

A joint's axis at q = 0, in the axes of the hand mount, is compared with the signed axis of the human angle it copies.
Human finger angles are in the right-hand convention for both sides, so a left hand is looked at in the mirror: a
rotation about w becomes one about (w_x, -w_y, -w_z).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from robot.hand.table import AXES, RobotHand
from vitra_lib.hands.skeleton import MANO_JOINTS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

EXACT = 1e-3  # of a cosine


@dataclass(frozen=True, eq=False)
class AxisCheck:
    """How well each joint's axis agrees with the human angle it copies.

    Attributes:
        joints: names.
        copies: what each copies: sign, joint and axis ("-thumb1.y").
        axis_human: (joint, 3) the joint's axis in the human convention.
        cosine: (joint,) with the signed human axis: 1 the same, 0 a mere choice of the nearest freedom.
    """

    joints: tuple[str, ...]
    copies: tuple[str, ...]
    axis_human: Float[np.ndarray, "joint 3"]
    cosine: Float[np.ndarray, " joint"]

    @property
    def exact(self) -> int:
        """Number of joints whose axis is the human one."""
        return int((self.cosine > 1 - EXACT).sum())


def check_axes(hand: RobotHand) -> AxisCheck:
    """Compare the axes of a hand at q = 0 with the human axes that its table names."""
    R_base_joint = hand.tree.forward(np.zeros(len(hand)))[:, :3, :3]
    axis = np.einsum("ab,jbc,jc->ja", hand.R_mount_base, R_base_joint, hand.tree.axis)
    if hand.side == "left":
        axis = axis * np.array([1.0, -1.0, -1.0])
    signs = {1.0: "+", -1.0: "-"}
    copies = tuple(
        f"{signs[float(sign)]}{MANO_JOINTS[joint]}.{AXES[number]}"
        for joint, number, sign in zip(hand.human_joint, hand.human_axis, hand.human_sign, strict=True)
    )
    cosine = hand.human_sign * axis[np.arange(len(hand)), hand.human_axis]
    return AxisCheck(hand.tree.names, copies, axis, cosine)


def draw_axis_check(check: AxisCheck, ax: "Axes | None" = None) -> "Axes":
    """Bars of the cosines, one per joint: green exact, grey tilted, pink another axis.

    Args:
        check: what `check_axes` found.
        ax: where to draw; a new figure when None.
    """
    from vitra_lib.plotting.style import colour_of, new_axes, styled

    with styled():
        ax = new_axes(6.0, 0.6 + 0.25 * len(check.joints)) if ax is None else ax
        names = [colour_of("ours" if c > 1 - EXACT else "reported" if c > 0.5 else "control") for c in check.cosine]
        rows = np.arange(len(check.joints))
        ax.barh(rows, check.cosine, color=names)
        for row, cosine in zip(rows, check.cosine, strict=True):
            ax.text(max(cosine, 0.0) + 0.01, row, f"{cosine:.3f}", va="center")
        ax.set_yticks(rows, [f"{j}  ({c})" for j, c in zip(check.joints, check.copies, strict=True)])
        ax.invert_yaxis()
        ax.set_xlim(min(0.0, float(check.cosine.min())), 1.15)
        ax.set_xlabel("cosine between the joint's axis and the human axis it copies")
    return ax
