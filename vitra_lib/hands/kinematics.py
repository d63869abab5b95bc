"""Forward kinematics of the 21-point hand in numpy, with its analytic Jacobian in the joint angles.

Every finger is a chain of three ball joints on the wrist, so a hand is five independent chains. All points here are
in the right-hand template frame relative to the wrist joint (fingers -x, palm -y, thumb side +z); the fingertip moves
rigidly with the last joint. A joint turns by up to three angles about fixed axes of its parent, R = R3 R2 R1; for a
finger these are the static xyz Euler angles, a hinge keeps one axis and locks the others.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float

from vitra_lib.core.errors import BadInput
from vitra_lib.geometry.rotations import euler_xyz, exp
from vitra_lib.hands.anthropometry import flexion_axis
from vitra_lib.hands.grasps import joint_limits
from vitra_lib.hands.mirror import mirror_points
from vitra_lib.hands.model import HandModel
from vitra_lib.hands.skeleton import MANO_FINGERS, Side, finger_joints

CHAINS = np.array([finger_joints(finger) for finger in MANO_FINGERS])
"""(5, 4) 21-joint indices of each finger's three joints and tip; row f owns local rotations 3 f .. 3 f + 2."""
CHAINS.setflags(write=False)


@dataclass(frozen=True)
class BoneChains:
    """The rest skeleton of one hand shape.

    Attributes:
        joints: (21, 3) joints of the flat right hand relative to the wrist joint, template frame [m].
        base: (5, 3) first joint of each finger relative to the wrist [m].
        bones: (5, 3, 3) the vectors joint 1 -> 2, 2 -> 3, 3 -> tip of each finger at rest [m].
    """

    joints: Float[np.ndarray, "21 3"]
    base: Float[np.ndarray, "5 3"]
    bones: Float[np.ndarray, "5 3 3"]


@dataclass(frozen=True)
class FingerDofs:
    """What the 15 finger joints can do, MANO order: three angles each about fixed axes, applied in order.

    Attributes:
        axes: (15, 3, 3) row k is the unit axis of angle k in the parent's frame; R = R3 R2 R1.
        lower, upper: (15, 3) bounds of the angles [rad]; an angle whose bounds agree is locked.
    """

    axes: Float[np.ndarray, "15 3 3"]
    lower: Float[np.ndarray, "15 3"]
    upper: Float[np.ndarray, "15 3"]

    def __post_init__(self) -> None:
        if np.any(self.lower > self.upper):
            raise BadInput("Every joint limit needs lower <= upper.")

    @property
    def is_free(self) -> Bool[np.ndarray, "15 3"]:
        """True where an angle can change."""
        return self.upper - self.lower > 1e-9

    @classmethod
    def anatomical(cls) -> "FingerDofs":
        """21 angles: a knuckle spreads (y) and flexes (z), a finger's outer joints flex, the thumb's base turns freely
        and its outer joints bend about the thumb's oblique axis; ranges of `hands.grasps`, twists locked at zero."""
        return _anatomical()

    @classmethod
    def euler_box(cls) -> "FingerDofs":
        """45 angles: all static xyz Euler angles of every joint within `hands.grasps.joint_limits`."""
        limits = joint_limits()
        return cls(np.tile(np.eye(3), (15, 1, 1)), limits[..., 0].copy(), limits[..., 1].copy())


@lru_cache(maxsize=1)
def _anatomical() -> FingerDofs:
    limits = joint_limits()
    axes = np.tile(np.eye(3), (15, 1, 1))
    lower, upper = np.zeros((15, 3)), np.zeros((15, 3))
    for finger in range(4):
        rows = slice(3 * finger, 3 * finger + 3)
        lower[rows, 2], upper[rows, 2] = limits[rows, 2].T
        lower[3 * finger, 1], upper[3 * finger, 1] = limits[3 * finger, 1]
    lower[12], upper[12] = limits[12].T
    bend = np.deg2rad(np.arange(-45.0, 110.0, 0.5))
    about = flexion_axis("thumb")
    for joint in (13, 14):
        axes[joint, 2] = about
        angles = euler_xyz(exp(bend[:, None] * about))
        legal = bend[np.all((angles >= limits[joint, :, 0]) & (angles <= limits[joint, :, 1]), axis=1)]
        lower[joint, 2], upper[joint, 2] = legal[0], legal[-1]
    return FingerDofs(axes, lower, upper)


def chains_of(joints: Float[np.ndarray, "21 3"]) -> BoneChains:
    """Chains of a flat right hand given by its 21 joints in the template frame [m]."""
    relative = joints - joints[:1]
    return BoneChains(relative, relative[CHAINS[:, 0]], np.diff(relative[CHAINS], axis=1))


def rest_chains(model: HandModel, betas: Float[np.ndarray, "10"]) -> BoneChains:
    """Chains of a hand model's flat hand for one shape; the tips are the model's own tip points."""
    return chains_of(np.asarray(model.rest_joints(betas), float))


def global_rotations(R_parent_joint: Float[np.ndarray, "*batch 15 3 3"]) -> Float[np.ndarray, "*batch 5 3 3 3"]:
    """Rotation of each finger joint relative to the wrist, as (finger, joint) in the order of `CHAINS`."""
    local = R_parent_joint.reshape(*R_parent_joint.shape[:-3], 5, 3, 3, 3)
    first = local[..., 0, :, :]
    second = first @ local[..., 1, :, :]
    return np.stack([first, second, second @ local[..., 2, :, :]], axis=-3)


def joints_of(
    chains: BoneChains, R_parent_joint: Float[np.ndarray, "*batch 15 3 3"]
) -> Float[np.ndarray, "*batch 21 3"]:
    """21 joints of the right hand relative to the wrist joint, template frame [m]."""
    G = global_rotations(R_parent_joint)
    steps = np.einsum("...fjab,fjb->...fja", G, chains.bones)
    first = np.broadcast_to(chains.base[:, None], (*steps.shape[:-2], 1, 3))
    points = np.cumsum(np.concatenate([first, steps], axis=-2), axis=-2)
    joints = np.zeros((*R_parent_joint.shape[:-3], 21, 3))
    joints[..., CHAINS.ravel(), :] = points.reshape(*points.shape[:-3], 20, 3)
    return joints


def pose_joints(
    model: HandModel,
    side: Side,
    R_a_wrist: Float[np.ndarray, "time 3 3"],
    t_a_wrist: Float[np.ndarray, "time 3"],
    R_parent_joint: Float[np.ndarray, "time 15 3 3"],
    betas: Float[np.ndarray, "10"],
) -> Float[np.ndarray, "time 21 3"]:
    """The 21 joints in frame a [m], as `posed.pose_hand` gives them but without skinning (hundreds of times faster).

    The stand-in's tips move rigidly with the last joint; another model (MANO: tips are skin points) is asked itself.
    """
    if model.name == "standin":
        joints = joints_of(rest_chains(model, betas), R_parent_joint)
    else:
        joints = _model_joints(model, R_parent_joint, betas)
    if side == "left":
        joints = mirror_points(joints)
    return joints @ np.swapaxes(R_a_wrist, -1, -2) + t_a_wrist[:, None]


def _model_joints(model: HandModel, R_parent_joint: np.ndarray, betas: np.ndarray) -> np.ndarray:
    """Joints relative to the wrist from the model itself, in chunks that bound memory."""
    import torch

    parts = [np.zeros((0, 21, 3))]
    with torch.no_grad():
        for start in range(0, len(R_parent_joint), 64):
            R = torch.as_tensor(np.ascontiguousarray(R_parent_joint[start : start + 64], dtype=np.float64))
            J = model(R, torch.as_tensor(betas, dtype=torch.float64).expand(len(R), 10)).joints.numpy()
            parts.append(J - J[:, :1])
    return np.concatenate(parts)


def joint_rotations(
    dofs: FingerDofs, angles: Float[np.ndarray, "*batch 15 3"]
) -> tuple[Float[np.ndarray, "*batch 15 3 3"], Float[np.ndarray, "*batch 15 3 3"]]:
    """Local rotations of joint angles, and the axes about which a change of each angle turns.

    Returns:
        (R, turned): column k of `turned` is the unit axis of angle k in the parent's frame.
    """
    R1, R2, R3 = (_about(dofs.axes[:, k], angles[..., k]) for k in range(3))
    R32 = R3 @ R2
    last = np.broadcast_to(dofs.axes[:, 2], angles.shape)
    turned = np.stack([_turn(R32, dofs.axes[:, 0]), _turn(R3, dofs.axes[:, 1]), last], axis=-1)
    return R32 @ R1, turned


def chain_jacobian(
    chains: BoneChains, dofs: FingerDofs, angles: Float[np.ndarray, "time 15 3"]
) -> tuple[Float[np.ndarray, "time 5 4 3"], Float[np.ndarray, "time 5 3 3 3 3"]]:
    """Points of every finger and their derivatives in the angles of that finger.

    Args:
        chains: the rest skeleton.
        dofs: axes of the angles.
        angles: joint angles [rad], MANO order.

    Returns:
        points: (time, finger, point, 3) the chain's three joints and tip relative to the wrist [m].
        jacobian: (time, finger, point, xyz, joint, angle) derivative [m/rad] of the second, third and tip point; the
            first point does not move.
    """
    R, axes = joint_rotations(dofs, angles)
    R, axes = R.reshape(-1, 5, 3, 3, 3), axes.reshape(-1, 5, 3, 3, 3)
    first = R[:, :, 0]
    second = first @ R[:, :, 1]
    G = np.stack([first, second, second @ R[:, :, 2]], axis=2)
    steps = np.einsum("tfjab,fjb->tfja", G, chains.bones)
    base = np.broadcast_to(chains.base[None, :, None], (len(angles), 5, 1, 3))
    points = np.cumsum(np.concatenate([base, steps], axis=2), axis=2)
    turned = np.stack([axes[:, :, 0], first @ axes[:, :, 1], second @ axes[:, :, 2]], axis=2)
    jacobian = np.zeros((len(angles), 5, 3, 3, 3, 3))
    for joint in range(3):
        for point in range(joint, 3):
            arm = points[:, :, point + 1] - points[:, :, joint]
            jacobian[:, :, point, :, joint, :] = np.cross(turned[:, :, joint], arm[..., None], axis=2)
    return points, jacobian


def _about(axis: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Rodrigues: rotations about one fixed unit axis per joint."""
    x, y, z = axis.T
    zero = np.zeros_like(x)
    cross = np.stack([np.stack([zero, -z, y], -1), np.stack([z, zero, -x], -1), np.stack([-y, x, zero], -1)], -2)
    along = axis[:, :, None] * axis[:, None, :]
    c, s = np.cos(angle)[..., None, None], np.sin(angle)[..., None, None]
    return along + c * (np.eye(3) - along) + s * cross


def _turn(R: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.einsum("...jab,jb->...ja", R, v)
