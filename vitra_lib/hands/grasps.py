"""Joint limits, named hand poses and plausible random poses, as MANO-order Euler angles.

Angles are static-axes 'xyz' (R = Rz Ry Rx, scipy lower case) in the right-hand convention, so they hold for
both hands. For a finger, z is flexion (positive = towards the palm), y spreads towards the thumb side, x twists.
For the thumb's base joint x brings the thumb in front of the palm (opposition), y moves it away from the index,
z bends it towards the palm; its two outer joints bend about the thumb's own oblique axis.

Limits: ranges of motion of the American Academy of Orthopaedic Surgeons (1965), "Joint motion: method of
measuring and recording" (MCP flexion 90, PIP 100, DIP 90, MCP hyperextension 45, thumb MCP flexion 50, thumb IP
flexion 80 degrees), moved by up to 15 degrees towards what is reached without force. The spread of the fingers, the
small twists and the box around the thumb's base joint are this project's choices; that joint turns about two oblique
axes (A. Hollister et al. 1992, "The axes of rotation of the thumb carpometacarpal joint", Journal of Orthopaedic
Research 10: 454-460). Distal joints follow proximal ones (DIP about 2/3 of PIP: J. Lee and T. Kunii 1995, "Model-based
analysis of hand posture", IEEE Computer Graphics and Applications 15(5): 77-86).
"""

from functools import lru_cache

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from vitra_lib.core.errors import UnknownName
from vitra_lib.geometry.rotations import euler_xyz
from vitra_lib.hands.anthropometry import flexion_axis
from vitra_lib.hands.skeleton import MANO_FINGERS

_FINGER_LIMITS_DEG = np.array(
    [
        [[-8, 8], [-20, 20], [-30, 90]],
        [[-4, 4], [-4, 4], [-5, 105]],
        [[-4, 4], [-4, 4], [-10, 80]],
    ]
)
_THUMB_LIMITS_DEG = np.array([[[-30, 70], [-45, 40], [-35, 45]]])


def _flexion_to_euler(angle_rad: np.ndarray) -> np.ndarray:
    """Static xyz Euler angles of turns about the thumb's own flexion axis."""
    return Rotation.from_rotvec(np.asarray(angle_rad)[..., None] * flexion_axis("thumb")).as_euler("xyz")


@lru_cache(maxsize=1)
def _limits() -> np.ndarray:
    limits = np.zeros((15, 3, 2))
    for k in range(4):
        limits[3 * k : 3 * k + 3] = np.deg2rad(_FINGER_LIMITS_DEG)
    limits[12] = np.deg2rad(_THUMB_LIMITS_DEG[0])
    for joint, (low, high) in ((13, (-15.0, 60.0)), (14, (-20.0, 85.0))):
        sweep = _flexion_to_euler(np.deg2rad(np.linspace(low, high, 40)))
        slack = np.deg2rad(6.0)
        limits[joint] = np.stack([sweep.min(axis=0) - slack, sweep.max(axis=0) + slack], axis=-1)
    limits.setflags(write=False)
    return limits


def joint_limits() -> Float[np.ndarray, "15 3 2"]:
    """Lower and upper limit [rad] of each Euler angle (static xyz) of each MANO joint, read-only."""
    return _limits()


# Per finger: (MCP flexion, MCP spread towards the thumb, PIP flexion, DIP flexion); thumb: base joint (x, y, z),
# then flexion of its two outer joints. Degrees. Index, middle, pinky, ring, thumb as in MANO.
_Finger = tuple[float, float, float, float]
_Thumb = tuple[float, float, float, float, float]
_POSES_DEG: dict[str, tuple[_Finger, _Finger, _Finger, _Finger, _Thumb]] = {
    "flat": ((0, 0, 0, 0), (0, 0, 0, 0), (0, 0, 0, 0), (0, 0, 0, 0), (0, 0, 0, 0, 0)),
    "together": ((5, -5, 5, 3), (5, 0, 5, 3), (6, 13, 6, 4), (5, 5, 5, 3), (0, -18, 0, 4, 4)),
    "spread": ((-5, 9, 3, 2), (-4, 1, 3, 2), (-5, -12, 4, 3), (-4, -6, 3, 2), (0, 18, -5, 0, 0)),
    "relaxed": ((18, -4, 28, 14), (24, 0, 32, 18), (32, 10, 30, 16), (28, 4, 33, 18), (16, -8, 4, 12, 15)),
    "power": ((58, -6, 72, 38), (62, 0, 76, 42), (64, 16, 70, 40), (63, 7, 76, 42), (49, -18, 6, 8, 10)),
    "cylinder": ((38, -5, 48, 24), (42, 0, 50, 26), (46, 13, 46, 24), (44, 6, 50, 26), (48, 16, 19, 22, 34)),
    "wide_cylinder": ((22, 0, 36, 18), (24, 0, 38, 19), (28, 4, 36, 18), (26, 2, 38, 19), (48, 13, 26, 8, 14)),
    "sphere": ((28, 4, 40, 22), (30, 0, 42, 23), (32, -2, 40, 22), (30, -1, 42, 23), (45, 13, 22, 12, 21)),
    "pinch": ((48, -5, 46, 22), (34, 0, 32, 16), (26, 10, 26, 14), (28, 4, 28, 14), (46, -9, -1, 13, 19)),
    "precision_pinch": ((52, -4, 54, 24), (48, 2, 50, 24), (24, 8, 30, 16), (34, 4, 40, 20), (48, -7, 4, 15, 21)),
    "tripod": ((48, -3, 50, 24), (52, 4, 52, 26), (56, 14, 62, 34), (56, 6, 62, 34), (47, -3, 6, 12, 22)),
    "pour_grip": ((34, -3, 44, 22), (38, 0, 46, 24), (40, 11, 44, 22), (40, 5, 46, 24), (46, 18, 24, 22, 31)),
    "lateral": ((40, -3, 62, 30), (48, 0, 66, 34), (54, 14, 64, 34), (52, 6, 66, 34), (6, -24, 2, 6, 10)),
    "hook": ((12, -4, 78, 40), (14, 0, 82, 44), (18, 12, 76, 40), (16, 5, 82, 44), (6, -16, 4, 12, 12)),
    "point": ((8, -2, 10, 5), (64, 0, 82, 46), (70, 16, 80, 44), (68, 7, 84, 46), (50, -20, 4, 8, 14)),
    "fist": ((76, -6, 94, 56), (80, 0, 96, 58), (80, 17, 90, 56), (80, 8, 96, 58), (42, -6, -1, 18, 39)),
    "push": ((6, -3, 14, 8), (6, 0, 14, 8), (8, 9, 14, 8), (7, 4, 14, 8), (4, 2, -2, 4, 4)),
    "claw": ((8, 2, 58, 32), (8, 0, 60, 34), (10, 0, 58, 32), (9, 0, 60, 34), (34, 4, 0, 16, 28)),
}  # fmt: skip

POSES: tuple[str, ...] = tuple(_POSES_DEG)
"""Names that `named_pose` knows."""

FINGER_HALF_DEPTH_M = 0.009
"""Distance from a finger bone to the skin of its palm side [m]."""

GRASP_POSES: tuple[str, ...] = (
    "power", "cylinder", "wide_cylinder", "sphere", "pour_grip", "pinch", "precision_pinch", "tripod", "lateral",
    "hook",
)  # fmt: skip
"""Poses that hold an object."""

FREE_POSES: tuple[str, ...] = tuple(name for name in POSES if name not in GRASP_POSES)


def named_pose(name: str) -> Float[np.ndarray, "15 3"]:
    """Euler angles (static xyz) [rad] of a named pose, MANO's order.

    Args:
        name: one of `POSES`.

    Raises:
        UnknownName: any other name.
    """
    if name not in _POSES_DEG:
        raise UnknownName("hand pose", name, POSES)
    *fingers, thumb = _POSES_DEG[name]
    angles = np.zeros((15, 3))
    for k, (mcp, spread, pip, dip) in enumerate(fingers):
        angles[3 * k] = np.deg2rad([0.0, spread, mcp])
        angles[3 * k + 1, 2], angles[3 * k + 2, 2] = np.deg2rad([pip, dip])
    angles[12] = np.deg2rad(thumb[:3])
    angles[13:] = _flexion_to_euler(np.deg2rad(thumb[3:]))
    return angles


def clip_to_limits(angles: Float[np.ndarray, "*batch 15 3"]) -> Float[np.ndarray, "*batch 15 3"]:
    """Clip Euler angles [rad] to `joint_limits`.

    Args:
        angles: (..., 15, 3) static xyz Euler angles, MANO's order.
    """
    return np.clip(angles, joint_limits()[..., 0], joint_limits()[..., 1])


def blend_poses(a: Float[np.ndarray, "15 3"], b: Float[np.ndarray, "15 3"], weight: float) -> Float[np.ndarray, "15 3"]:
    """The pose a share `weight` of the way from `a` to `b`, joint by joint on the shortest arc.

    Args:
        a, b: (15, 3) Euler angles [rad].
        weight: 0 gives `a`, 1 gives `b`.
    """
    start = Rotation.from_euler("xyz", a)
    step = (start.inv() * Rotation.from_euler("xyz", b)).as_rotvec()
    return (start * Rotation.from_rotvec(weight * step)).as_euler("xyz")


def sample_pose(
    rng: np.random.Generator, spread: float = 1.0, names: tuple[str, ...] = POSES
) -> Float[np.ndarray, "15 3"]:
    """A plausible random pose: two named poses mixed, then correlated noise within the joint limits.

    Args:
        rng: source of randomness.
        spread: scales the noise; 0 gives pure mixtures, 1 the default variety.
        names: the poses to mix.

    Returns:
        (15, 3) static xyz Euler angles [rad], MANO's order, inside `joint_limits`.
    """
    first, second = rng.choice(len(names), size=2)
    angles = blend_poses(named_pose(names[first]), named_pose(names[second]), float(rng.uniform(0.0, 1.0)))
    curl_all = rng.normal(0.0, np.deg2rad(7.0) * spread)
    for k in range(len(MANO_FINGERS) - 1):
        curl = curl_all + rng.normal(0.0, np.deg2rad(6.0) * spread)
        angles[3 * k : 3 * k + 3, 2] += curl * np.array([1.0, 1.1, 0.7])
        angles[3 * k, 1] += rng.normal(0.0, np.deg2rad(3.0) * spread)
        angles[3 * k : 3 * k + 2, 2] += rng.normal(0.0, np.deg2rad(3.0) * spread, 2)
    angles[12] += rng.normal(0.0, np.deg2rad(6.0) * spread, 3)
    bend = rng.normal(0.0, np.deg2rad(6.0) * spread, 2)
    outer = Rotation.from_euler("xyz", angles[13:]) * Rotation.from_rotvec(bend[:, None] * flexion_axis("thumb"))
    angles[13:] = outer.as_euler("xyz")
    return clip_to_limits(angles)


def to_rotations(angles: Float[np.ndarray, "*batch 15 3"]) -> Float[np.ndarray, "*batch 15 3 3"]:
    """Rotation matrices of static xyz Euler angles.

    Args:
        angles: (..., 15, 3) [rad].
    """
    return Rotation.from_euler("xyz", angles.reshape(-1, 3)).as_matrix().reshape(*angles.shape[:-1], 3, 3)


def within_limits(R_parent_joint: Float[np.ndarray, "*batch 15 3 3"], slack_rad: float = 1e-6) -> bool:
    """Whether every joint of every pose is inside `joint_limits`.

    Args:
        R_parent_joint: (..., 15, 3, 3) local rotations, MANO's order.
        slack_rad: tolerance [rad].
    """
    angles = euler_xyz(R_parent_joint)
    limits = joint_limits()
    return bool(np.all((angles >= limits[..., 0] - slack_rad) & (angles <= limits[..., 1] + slack_rad)))


def grasp_cylinder(joints: Float[np.ndarray, "21 3"]) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"], float]:
    """The upright cylinder that a closed hand holds, from its joints in any frame.

    A circle is fitted to the bones of the four fingers and the thumb across the knuckle line; the radius leaves
    room for the flesh.

    Args:
        joints: (21, 3) joints of the posed hand [m].

    Returns:
        centre: (3,) of the cylinder, in the frame of `joints` [m].
        axis: (3,) unit vector from the little finger to the index.
        radius: [m].
    """
    axis = joints[5] - joints[17]
    axis = axis / np.linalg.norm(axis)
    held = [*range(5, 20), 3, 4]
    points = np.concatenate([joints[held], 0.5 * (joints[[5, 9, 13, 17]] + joints[[6, 10, 14, 18]])])
    centre = points.mean(axis=0)
    side = joints[9] - joints[0]
    side = side - axis * (side @ axis)
    side /= np.linalg.norm(side)
    other = np.cross(axis, side)
    flat = (points - centre) @ np.stack([side, other], axis=1)
    # Algebraic circle: x^2 + y^2 = 2 a x + 2 b y + c.
    a, b, c = np.linalg.lstsq(np.column_stack([2 * flat, np.ones(len(flat))]), (flat**2).sum(axis=1), rcond=None)[0]
    radius = float(np.sqrt(max(c + a * a + b * b, 0.0)))
    return centre + a * side + b * other, axis, max(radius - FINGER_HALF_DEPTH_M, 0.004)
