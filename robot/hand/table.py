"""A robot hand as its table describes it: joints, limits, finger tips, and the axes it shares with the human wrist."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from robot.arm.model import intersected
from robot.kinematic_tree import KinematicTree
from robot.tables import find_table
from vitra_lib.core.errors import BadInput, UnknownName
from vitra_lib.hands.skeleton import FINGERS, MANO_JOINTS, Side

AXES = "xyz"
SIDES: tuple[Side, ...] = ("left", "right")


@dataclass(frozen=True, eq=False)
class RobotHand:
    """One hand of one side.

    Attributes:
        name: of the table ("xhand").
        side: "left" or "right".
        tree: its joints in the order of the vector; limits are the intersection of all sources of the table.
        human_joint, human_axis: (joint,) number of MANO's joint (0 to 14) and of its Euler angle (0 to 2).
        human_sign: (joint,) +1 or -1: robot angle = sign x human angle.
        fingers: the fingers that the hand has, in the order thumb to pinky.
        tip_joint, tip_offset_m: (finger,), (finger, 3) the joint that carries each tip, and the tip in its frame [m].
        R_mount_base: (3, 3) turns vectors of the hand's base into the axes of the hand mount, which are the wrist's.
        widest: (2, joint) lower and upper limits that any source of the table allows [rad]: what the hardware can show,
            not what may be commanded.
        motor_sign: (joint,) +1 or -1: angle that a driver sends = sign x angle of the table. Some published drivers of
            one hand disagree; verify on the hardware.
    """

    name: str
    side: Side
    tree: KinematicTree
    human_joint: Int[np.ndarray, " joint"]
    human_axis: Int[np.ndarray, " joint"]
    human_sign: Float[np.ndarray, " joint"]
    fingers: tuple[str, ...]
    tip_joint: Int[np.ndarray, " finger"]
    tip_offset_m: Float[np.ndarray, "finger 3"]
    R_mount_base: Float[np.ndarray, "3 3"]
    widest: Float[np.ndarray, "2 joint"]
    motor_sign: Float[np.ndarray, " joint"]

    def __len__(self) -> int:
        return len(self.tree)

    def tips(self, q: Float[np.ndarray, "*batch joint"]) -> Float[np.ndarray, "*batch finger 3"]:
        """Finger tips in the hand's base [m]."""
        return self.tree.points(q, self.tip_joint, self.tip_offset_m)

    def tip_jacobian(self, q: Float[np.ndarray, "*batch joint"]) -> Float[np.ndarray, "*batch finger 3 joint"]:
        """Derivative of `tips` [m/rad]."""
        return self.tree.point_jacobian(q, self.tip_joint, self.tip_offset_m)

    @property
    def knuckles_m(self) -> Float[np.ndarray, "finger 3"]:
        """Where each finger's first joint sits in the hand's base [m]."""
        first = []
        for joint in self.tip_joint:
            while self.tree.parent[joint] >= 0:
                joint = self.tree.parent[joint]
            first.append(self.tree.T_parent_joint[joint, :3, 3])
        return np.array(first)


def load_hand(name: str | Path = "xhand", side: Side = "right") -> RobotHand:
    """Load one side of a hand from its table.

    Args:
        name: a shipped table, or the path of one's own: a hand is added by writing one.
        side: "left" or "right".

    Raises:
        UnknownName: no such table, or the table has no such side.
        BadInput: the table isn't whole.
    """
    table = find_table("hand", name)
    try:
        sides = tuple(s for s in SIDES if s in table["joints"][0])
        if side not in sides:
            raise UnknownName(f"side of the hand {table['name']}", side, sides)
        rows = [{**row, **row[side]} for row in table["joints"]]
        low, high = intersected(rows)
        tree = KinematicTree.from_rows(rows, low, high)
        joint, axis, sign = human_channels(table)
        fingers = tuple(finger for finger in FINGERS if finger in table["tips"])
        tips = [table["tips"][finger] for finger in fingers]
        return RobotHand(
            str(table["name"]), side, tree, joint, axis, sign, fingers,
            np.array([tree.names.index(tip["joint"]) for tip in tips]),
            np.array([tip[side] for tip in tips], float),
            _rotation(table["R_mount_base"][side]), _widest(rows), _motor_signs(table, tree.names),
        )  # fmt: skip
    except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        raise BadInput(f"The hand table {name} is not whole: {error} is missing or malformed.") from error


def human_channels(
    table: dict,
) -> tuple[Int[np.ndarray, " joint"], Int[np.ndarray, " joint"], Float[np.ndarray, " joint"]]:
    """Which human angle each joint copies: number of MANO's joint, of its Euler angle, and the sign.

    Raises:
        BadInput: an unknown joint or axis, a sign other than +1 or -1, or one angle copied twice.
    """
    joints, axes, signs = [], [], []
    for row in table["joints"]:
        human = row["human"]
        if human["joint"] not in MANO_JOINTS or human["axis"] not in AXES or human["sign"] not in (1, -1):
            raise BadInput(
                f"{row['name']} copies {human}: legal joints are {', '.join(MANO_JOINTS)}, axes x, y, z, signs 1, -1."
            )
        joints.append(MANO_JOINTS.index(human["joint"]))
        axes.append(AXES.index(human["axis"]))
        signs.append(float(human["sign"]))
    if len(set(zip(joints, axes, strict=True))) != len(joints):
        raise BadInput("Two joints of the hand table copy the same human angle; each may be copied once.")
    return np.array(joints), np.array(axes), np.array(signs)


def _widest(rows: list[dict]) -> np.ndarray:
    sources = [list(row["limits_deg"].values()) for row in rows]
    low, high = ([pick(pair[i] for pair in pairs) for pairs in sources] for i, pick in ((0, min), (1, max)))
    return np.deg2rad(np.array([low, high], float))


def _rotation(rows: object) -> np.ndarray:
    R = np.array(rows, float)
    if R.shape != (3, 3) or not np.allclose(R @ R.T, np.eye(3), atol=1e-6) or np.linalg.det(R) < 0:
        raise BadInput("R_mount_base of the hand table must be a 3x3 rotation (orthonormal, determinant +1).")
    return R


def _motor_signs(table: dict, names: tuple[str, ...]) -> np.ndarray:
    signs = table["motor_sign"] or {}
    if not set(signs) <= set(names) or not set(signs.values()) <= {1, -1}:
        raise BadInput(f"motor_sign of the hand table gives 1 or -1 for joints among {', '.join(names)}.")
    return np.array([float(signs[name]) if name in signs else 1.0 for name in names])
