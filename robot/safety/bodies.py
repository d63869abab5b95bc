"""Where the arm's and the hand's bodies are: capsules along the kinematic chains, vectorised over poses.

The chains are those of the joint tables; the general tree of `robot.kinematic_tree` gives the same points (a test holds
that) some five times slower, which a check of every command can't afford.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from robot.arm.model import load_arm
from robot.kinematic_tree import KinematicTree
from robot.safety.limits import ARM_JOINTS
from robot.tables import find_table, read_table
from vitra_lib.contracts.hand_track import Side

CAPSULES = ("pedestal", "upper_arm", "forearm", "wrist", "palm", "thumb", "index", "middle", "ring", "pinky")
_PEDESTAL, _UPPER, _FOREARM, _WRIST, _PALM = range(5)
_FINGERS = tuple(range(5, 10))
PAIRS: tuple[tuple[int, int], ...] = (
    (_FOREARM, _PEDESTAL),
    (_WRIST, _PEDESTAL),
    (_WRIST, _UPPER),
    *((body, part) for body in (_PALM, *_FINGERS) for part in (_PEDESTAL, _UPPER, _FOREARM)),
)
"""Bodies that share no joint and must keep apart. Fingers may touch each other and the palm: that is a grasp."""


@dataclass(frozen=True, eq=False)
class Chain:
    """A chain of rotary joints whose frames are turned so that every axis is z.

    Attributes:
        joints: index of each joint in the vector of all.
        origins_m: (joints, 3) origin of each joint in its parent's turned frame.
        R_parent_joint: (joints, 3, 3) its rotation at angle 0.
        R_turned_own: (3, 3) from the last joint's own frame to its turned one.
        tip_m: end of the last link in its turned frame.
    """

    joints: Int[np.ndarray, " joints"]
    origins_m: Float[np.ndarray, "joints 3"]
    R_parent_joint: Float[np.ndarray, "joints 3 3"]
    R_turned_own: Float[np.ndarray, "3 3"]
    tip_m: Float[np.ndarray, "3"]


def chain_to(tree: KinematicTree, last: int, tip_m: Float[np.ndarray, "3"], first_angle: int) -> Chain:
    """The chain from the tree's base to its joint `last`.

    Args:
        tree: joints.
        last: number of the last joint.
        tip_m: end of its link, in its own frame [m].
        first_angle: where the tree's joints begin in the vector of all angles.
    """
    numbers = [last]
    while tree.parent[numbers[0]] >= 0:
        numbers.insert(0, int(tree.parent[numbers[0]]))
    R_turned_parent, origins, rotations = np.eye(3), [], []
    for number in numbers:
        R_own_turned = _z_onto(tree.axis[number])
        origins.append(R_turned_parent @ tree.T_parent_joint[number, :3, 3])
        rotations.append(R_turned_parent @ tree.T_parent_joint[number, :3, :3] @ R_own_turned)
        R_turned_parent = R_own_turned.T
    angles = np.array(numbers) + first_angle
    return Chain(angles, np.stack(origins), np.stack(rotations), R_turned_parent, R_turned_parent @ tip_m)


def _z_onto(axis: np.ndarray) -> np.ndarray:
    """A rotation that takes the z axis onto a given one."""
    other = np.array([1.0, 0.0, 0.0]) if abs(axis[0]) < 0.5 else np.array([0.0, 1.0, 0.0])
    y = np.cross(axis, other)
    y /= np.linalg.norm(y)
    return np.stack([np.cross(y, axis), y, axis], axis=1)


def along(
    chain: Chain,
    angles: Float[np.ndarray, "all_joints batch"],
    R: Float[np.ndarray, "3 3 batch"],
    t: Float[np.ndarray, "3 batch"],
) -> tuple[list[Float[np.ndarray, "3 batch"]], Float[np.ndarray, "3 3 batch"]]:
    """Origins of the chain's joints and its tip in the frame where its root has pose (R, t), and the last rotation.

    The batch comes last, which makes every operation one run through memory.
    """
    points = []
    for joint, origin, fixed in zip(chain.joints, chain.origins_m, chain.R_parent_joint, strict=True):
        t = t + _moved(R, origin)
        R = fixed.T @ R
        c, s = np.cos(angles[joint]), np.sin(angles[joint])
        turned = np.empty_like(R)
        turned[:, 0] = c * R[:, 0] + s * R[:, 1]
        turned[:, 1] = c * R[:, 1] - s * R[:, 0]
        turned[:, 2] = R[:, 2]
        R = turned
        points.append(t)
    points.append(t + _moved(R, chain.tip_m))
    return points, chain.R_turned_own.T @ R


def _moved(R: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """R @ offset; an offset of zero costs nothing."""
    return (offset @ R) if offset.any() else np.zeros((3, 1))


@dataclass(frozen=True, eq=False)
class Bodies:
    """All chains of one side, and the radii of its capsules.

    Attributes:
        arm: the seven joints; its tip is the flange.
        fingers: thumb, index, middle, ring, pinky; angles are those of the whole rig.
        palm_m: (2, 3) ends of the palm's segment in the hand's base.
        radii_m: (capsules,) in the order of `CAPSULES`.
    """

    arm: Chain
    fingers: tuple[Chain, ...]
    palm_m: Float[np.ndarray, "2 3"]
    radii_m: Float[np.ndarray, " capsules"]


def hand_tree(side: Side) -> KinematicTree:
    """The XHand's joints in its base."""
    rows = find_table("hand", "xhand")["joints"]
    flat = [{**row, **row[side]} for row in rows]
    ends = np.full(len(rows), np.pi)  # limits belong to `limits.rig_limits`
    return KinematicTree.from_rows(flat, -ends, ends)


@cache
def rig_bodies(side: Side, variant: str) -> Bodies:
    """Bodies of an RM75 of that variant with an XHand of that side."""
    shapes = read_table(Path(__file__).parent / "bodies.yaml")
    tree = hand_tree(side)
    fingers = []
    for tip in find_table("hand", "xhand")["tips"].values():
        last = tree.names.index(tip["joint"])
        fingers.append(chain_to(tree, last, np.array(tip[side], float), ARM_JOINTS))
    radii = shapes["radii_m"]
    mirror = np.array([1.0, -1.0 if side == "left" else 1.0, 1.0])
    return Bodies(
        chain_to(load_arm(variant).tree, ARM_JOINTS - 1, np.zeros(3), 0),
        tuple(fingers),
        np.array(shapes["palm_m"], float) * mirror,
        np.array([radii.get(name, radii["finger"]) for name in CAPSULES]),
    )


@dataclass(frozen=True, eq=False)
class Placed:
    """Where the capsules of some poses are, in the arm's base; coordinates first, poses last.

    Attributes:
        start, stop: (3, capsules, batch) ends of the segments [m].
        hand: (3, batch) origin of the hand's base [m].
    """

    start: Float[np.ndarray, "3 capsules batch"]
    stop: Float[np.ndarray, "3 capsules batch"]
    hand: Float[np.ndarray, "3 batch"]


def place(bodies: Bodies, T_flange_hand: Float[np.ndarray, "4 4"], angles: Float[np.ndarray, "batch joints"]) -> Placed:
    """Forward kinematics of all capsules.

    Args:
        bodies: of the side.
        T_flange_hand: pose of the hand's base on the arm's flange.
        angles: of all nineteen joints [rad].
    """
    batch, turned = len(angles), np.ascontiguousarray(angles.T)
    eye, zero = np.repeat(np.eye(3)[..., None], batch, 2), np.zeros((3, batch))
    joints, R_base_flange = along(bodies.arm, turned, eye, zero)
    shoulder, elbow, wrist, flange = joints[0], joints[2], joints[4], joints[-1]
    R = T_flange_hand[:3, :3].T @ R_base_flange
    hand = flange + T_flange_hand[:3, 3] @ R_base_flange
    palm = [hand + end @ R for end in bodies.palm_m]
    fingers = [along(chain, turned, R, hand)[0][-2:] for chain in bodies.fingers]
    start = [zero, shoulder, elbow, wrist, palm[0], *(ends[0] for ends in fingers)]
    stop = [shoulder, elbow, wrist, flange, palm[1], *(ends[1] for ends in fingers)]
    return Placed(np.stack(start, 1), np.stack(stop, 1), hand)
