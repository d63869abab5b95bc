"""Where a right hand takes hold of an object, and how far each finger closes until it touches.

Two ways of holding: from the side round an upright body ("side") and from above between thumb and fingers ("top").
Both are solved on the object's simple solid: first the wrist, then every finger closes from its preshape towards
a fist-like end pose until the first contact. Wrist directions are those of a seated person's right arm (`arm`).
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from jaxtyping import Float

from vitra_lib.geometry.rotations import euler_xyz, from_euler_xyz
from vitra_lib.geometry.transforms import apply
from vitra_lib.hands.grasps import blend_poses, named_pose, to_rotations
from vitra_lib.hands.kinematics import BoneChains, joints_of
from vitra_lib.tabletop.arm import pointing
from vitra_lib.tabletop.catalog import Instance
from vitra_lib.tabletop.solids import Solid, turned

SKIN_M = 0.0075
"""How far the skin of a finger's palm side is from the line through its joints."""
_PALM_M = 0.014
_STEPS = 25
_FINGER_JOINTS = np.array([[5, 6, 7, 8], [9, 10, 11, 12], [17, 18, 19, 20], [13, 14, 15, 16], [1, 2, 3, 4]])
_MUG_HEADING = np.deg2rad(170.0)


@dataclass(frozen=True)
class Grip:
    """One way to hold one object with a right hand.

    Attributes:
        T_object_wrist: (4, 4) maps points in the wrist to the object.
        open_pose, closed_pose: (15, 3) Euler angles [rad] before contact and in contact.
        heading: direction of the fingers in the object's frame, seen from above [rad].
        is_free: True when the object may be held from any side (then turn `T_object_wrist` about z).
    """

    T_object_wrist: Float[np.ndarray, "4 4"]
    open_pose: Float[np.ndarray, "15 3"]
    closed_pose: Float[np.ndarray, "15 3"]
    heading: float
    is_free: bool

    def turned(self, angle: float) -> "Grip":
        """The same grip, turned about the object's axis by an angle [rad]."""
        return replace(self, T_object_wrist=turned(angle) @ self.T_object_wrist, heading=self.heading + angle)

    def yaw_for(self, heading: float) -> float:
        """Yaw of the object for which the fingers point along `heading` [rad]."""
        return heading - self.heading


def finger_points(chains: BoneChains, pose: Float[np.ndarray, "*batch 15 3"]) -> Float[np.ndarray, "*batch 5 7 3"]:
    """Joints of each finger and points midway between them, relative to the wrist; fingers in MANO's order [m]."""
    joints = joints_of(chains, to_rotations(pose))[..., _FINGER_JOINTS, :]
    middle = 0.5 * (joints[..., 1:, :] + joints[..., :-1, :])
    points = np.empty((*joints.shape[:-2], 7, 3))
    points[..., 0::2, :], points[..., 1::2, :] = joints, middle
    return points


def close_fingers(
    chains: BoneChains,
    solid: Solid,
    T_object_wrist: Float[np.ndarray, "4 4"],
    start: Float[np.ndarray, "15 3"],
    stop: Float[np.ndarray, "15 3"],
) -> Float[np.ndarray, "15 3"]:
    """Close every finger from `start` towards `stop` until its skin touches the solid.

    Returns:
        (15, 3) Euler angles [rad]; a finger that meets nothing ends at `stop`.
    """
    weights = np.linspace(0.0, 1.0, _STEPS)
    poses = np.stack([blend_poses(start, stop, float(w)) for w in weights])
    points = finger_points(chains, poses)[..., 2:, :]
    distance = (
        solid.distance(apply(T_object_wrist, points.reshape(-1, 3))).reshape(points.shape[:-1]).min(axis=-1) - SKIN_M
    )
    pose = poses[-1].copy()
    for finger in range(5):
        touching = np.flatnonzero(distance[:, finger] < 0.0)
        if len(touching):
            k = int(touching[0])
            pose[3 * finger : 3 * finger + 3] = poses[max(k - 1, 0), 3 * finger : 3 * finger + 3]
    return pose


def grip_of(instance: Instance, way: str, chains: BoneChains) -> Grip:
    """The grip on a catalogue entry.

    Args:
        instance: what to hold.
        way: "side" or "top".
        chains: skeleton of the right hand.
    """
    solid = Solid.of(instance)
    if way == "top":
        return _top(solid, chains)
    grip = _side(solid, chains)
    if instance.form == "mug":
        # The handle (-y of the object) stays in the gap between finger tips and thumb.
        return replace(grip.turned(_MUG_HEADING - grip.heading), is_free=False)
    return grip


def _side(solid: Solid, chains: BoneChains) -> Grip:
    """Round an upright body: thumb up, palm to the left and a little down."""
    R = pointing(np.pi / 2, np.deg2rad(8.0), np.deg2rad(80.0))
    radius, _, height = solid.size_m
    knuckles = chains.joints[[5, 9, 13, 17]].mean(axis=0)
    centre = np.array([knuckles[0] - 0.004 - 0.15 * radius, -(_PALM_M + radius), knuckles[2]])
    T = np.eye(4)
    T[:3, :3] = R
    T[:3, 3] = np.array([0.0, 0.0, 0.47 * height]) - R @ centre
    # The palm may not enter the body: push the wrist away along the palm until it does not.
    palm = np.concatenate([chains.joints[[5, 9, 13, 17]], 0.5 * chains.joints[[5, 9, 13, 17]]])
    inside = _PALM_M - float(solid.distance(apply(T, palm)).min())
    T[:3, 3] += max(inside, 0.0) * R[:, 1] * np.array([1.0, 1.0, 0.0])
    start = blend_poses(named_pose("push"), named_pose("flat"), 0.5)
    end = blend_poses(named_pose("power"), named_pose("fist"), 0.5)
    for _ in range(3):  # the little finger may not enter the table
        closed = close_fingers(chains, solid, T, start, end)
        low = apply(T, finger_points(chains, np.stack([closed, start])).reshape(-1, 3))[:, 2].min()
        T[2, 3] += max(SKIN_M + 0.004 - float(low), 0.0)
    closed[12:] = oppose_thumb(chains, solid, T, closed, 0.0)
    preshape = blend_poses(start, closed, 0.15)
    preshape[12:] = oppose_thumb(chains, solid, T, closed, 0.016)
    return Grip(T, preshape, closed, np.pi / 2, solid.is_round)


@lru_cache(maxsize=1)
def _thumb_choices() -> Float[np.ndarray, "choices 3 3"]:
    """Thumb poses to choose from: Euler angles of its three joints [rad], within their limits."""
    bends = [to_rotations(blend_poses(named_pose("flat"), named_pose("fist"), w))[13:] for w in (0.1, 0.5, 0.9)]
    outer = [euler_xyz(R) for R in bends]
    grid = np.deg2rad(
        np.stack(np.meshgrid(np.arange(-10, 71, 10), np.arange(-40, 41, 10), np.arange(-30, 46, 15), indexing="ij"), -1)
    )
    base = grid.reshape(-1, 3)
    return np.concatenate(
        [np.concatenate([base[:, None], np.broadcast_to(o, (len(base), 2, 3))], axis=1) for o in outer]
    )


def oppose_thumb(
    chains: BoneChains,
    solid: Solid,
    T_object_wrist: Float[np.ndarray, "4 4"],
    pose: Float[np.ndarray, "15 3"],
    gap_m: float,
) -> Float[np.ndarray, "3 3"]:
    """The thumb pose that faces the other fingers across the solid, its pad `gap_m` from touching [m]."""
    choices = _thumb_choices()
    R = from_euler_xyz(choices)
    R[:, 1] = R[:, 0] @ R[:, 1]
    R[:, 2] = R[:, 1] @ R[:, 2]
    joints = chains.base[4] + np.cumsum(np.einsum("njab,jb->nja", R, chains.bones[4]), axis=1)
    points = np.concatenate([joints, 0.5 * (joints[:, 1:] + joints[:, :-1])], axis=1)
    placed = apply(T_object_wrist, points.reshape(-1, 3)).reshape(points.shape)
    distance = solid.distance(placed) - SKIN_M - 0.001
    pad = 0.7 * placed[:, 2] + 0.3 * placed[:, 1]
    fingers = apply(T_object_wrist, finger_points(chains, pose)[:2, 5:].reshape(-1, 3)).mean(axis=0)
    across = (
        pad[:, :2] / np.linalg.norm(pad[:, :2], axis=1, keepdims=True) @ (fingers[:2] / np.linalg.norm(fingers[:2]))
    )
    comfort = np.linalg.norm(choices[:, 0] - named_pose("cylinder")[12], axis=1)
    cost = (
        40.0 * np.abs(solid.distance(pad) - SKIN_M - gap_m)
        + 400.0 * np.maximum(gap_m * 0.6 - distance.min(axis=1), 0.0)
        + 400.0 * np.maximum(SKIN_M + 0.004 - placed[..., 2].min(axis=1), 0.0)
        + 0.35 * across
        + 6.0 * np.abs(pad[:, 2] - fingers[2])
        + 0.15 * comfort
    )
    return choices[int(cost.argmin())]


@lru_cache(maxsize=1)
def _pinch_poses() -> tuple[np.ndarray, np.ndarray]:
    """Widest and narrowest end of a grasp between thumb and fingers from above."""
    wide, narrow = blend_poses(named_pose("wide_cylinder"), named_pose("claw"), 0.35), named_pose("tripod")
    wide[12:] = named_pose("wide_cylinder")[12:]
    return wide, narrow


def _tips(chains: BoneChains, pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pads of the thumb and of index and middle together, relative to the wrist [m]."""
    joints = joints_of(chains, to_rotations(pose))
    pads = 0.75 * joints[..., [4, 8, 12], :] + 0.25 * joints[..., [3, 7, 11], :]
    return pads[..., 0, :], 0.5 * (pads[..., 1, :] + pads[..., 2, :])


def _top(solid: Solid, chains: BoneChains) -> Grip:
    """From above: the pads of thumb and fingers on opposite sides, as level as the wrist allows."""
    width = 2 * solid.size_m[0] if solid.is_round else min(solid.size_m[:2])
    height = solid.size_m[2]
    wide, narrow = _pinch_poses()
    weights = np.linspace(-0.35, 1.0, 28)
    poses = np.stack([blend_poses(wide, narrow, float(w)) for w in weights])
    thumb, fingers = _tips(chains, poses)
    aperture = np.linalg.norm(fingers - thumb, axis=-1)
    k = int(np.abs(aperture - (width + 2 * SKIN_M + 0.002)).argmin())
    axis = fingers[k] - thumb[k]
    best: tuple[float, np.ndarray] | None = None
    for pitch in np.deg2rad(np.arange(30.0, 76.0, 5.0)):
        for roll in np.deg2rad(np.arange(-10.0, 51.0, 5.0)):
            R = pointing(np.pi / 2, float(pitch), float(roll))
            cost = (
                abs((R @ axis)[2]) / np.linalg.norm(axis)
                + 0.25 * abs(pitch - np.deg2rad(52))
                + 0.15 * abs(roll - np.deg2rad(15))
            )
            if best is None or cost < best[0]:
                best = (cost, R)
    R = best[1]
    centre = 0.5 * (thumb[k] + fingers[k])
    T = np.eye(4)
    T[:3, :3] = R
    T[:3, 3] = np.array([0.0, 0.0, max(height - min(0.45 * height, 0.028), 0.014)]) - R @ centre
    # Turn the hand so that it closes across the narrow side.
    closing = R @ axis
    across = 0.0 if solid.is_round or solid.size_m[0] <= solid.size_m[1] else np.pi / 2
    angle = across - float(np.arctan2(closing[1], closing[0]))
    angle = (angle + np.pi / 2) % np.pi - np.pi / 2
    grip = Grip(T, poses[max(k - 7, 0)], poses[k], np.pi / 2, solid.is_round)
    grip = grip if solid.is_round else grip.turned(angle)
    grip = _raised(grip, solid, chains)
    end = blend_poses(narrow, named_pose("fist"), 0.25)
    closed = close_fingers(chains, solid, grip.T_object_wrist, grip.open_pose, end)
    closed[12:] = oppose_thumb(chains, solid, grip.T_object_wrist, closed, 0.0)
    return replace(grip, closed_pose=closed)


def _raised(grip: Grip, solid: Solid, chains: BoneChains) -> Grip:
    """Lift the wrist until open fingers and palm clear both the object's top and the table."""
    T = grip.T_object_wrist.copy()
    points = finger_points(chains, grip.open_pose).reshape(-1, 3)
    for _ in range(40):
        p = apply(T, points)
        if p[:, 2].min() >= SKIN_M + 0.002 and solid.distance(p).min() >= 0.6 * SKIN_M:
            break
        T[2, 3] += 0.002
    return replace(grip, T_object_wrist=T)


def push_grip(solid: Solid, yaw: float, chains: BoneChains) -> Grip:
    """A flat hand on edge against the right side of an object, fingers ahead, ready to push to the left.

    Args:
        solid: what is pushed.
        yaw: direction of the fingers in the object's frame minus pi/2 [rad]; must face a side of a box squarely.
        chains: skeleton of the right hand.
    """
    R = pointing(np.pi / 2, np.deg2rad(8.0), np.deg2rad(80.0))
    pose = named_pose("push")
    points = finger_points(chains, pose).reshape(-1, 3)
    x, y, _ = solid.size_m
    half = x if solid.is_round else 0.5 * (x if abs(np.cos(yaw)) > 0.7 else y)
    reach = chains.joints[9] * 0.6 + chains.joints[12] * 0.4
    T = np.eye(4)
    T[:3, :3] = R
    T[:3, 3] = -R @ reach
    facing = T[:3, :3] @ points.T + T[:3, 3:4]
    T[0, 3] += half + SKIN_M - float(facing[0].min())
    low = np.concatenate([facing.T, apply(T, chains.joints[[5, 9, 13, 17]])])[:, 2].min()
    T[2, 3] += 0.016 - low
    return Grip(turned(yaw) @ T, pose, pose, np.pi / 2 + yaw, solid.is_round)
