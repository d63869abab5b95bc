"""Distances between bodies, the table plane and the workspace box."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from robot.safety.bodies import CAPSULES, PAIRS, Bodies, place

_FIRST, _SECOND = (np.array(column) for column in zip(*PAIRS, strict=True))
_ABOVE_TABLE = np.arange(CAPSULES.index("forearm"), len(CAPSULES))  # the pedestal may stand on the table


@dataclass(frozen=True, eq=False)
class Clearance:
    """How far poses are from what they must not reach; negative is inside.

    Attributes:
        box_m: (batch,) from the hand's base to the nearest wall of the workspace box, positive inside the box.
        table_m: (batch,) from the lowest capsule's surface to the table plane.
        self_m: (batch,) between the surfaces of the nearest pair of bodies.
    """

    box_m: Float[np.ndarray, " batch"]
    table_m: Float[np.ndarray, " batch"]
    self_m: Float[np.ndarray, " batch"]


@dataclass(frozen=True, eq=False)
class Scene:
    """What is around the arm, in its base frame.

    Attributes:
        T_flange_hand: pose of the hand's base on the flange.
        box_lower_m, box_upper_m: corners of the box in which the hand's base must stay.
        table_normal: unit vector away from the table.
        table_offset_m: the plane is normal · p = offset.
    """

    T_flange_hand: Float[np.ndarray, "4 4"]
    box_lower_m: Float[np.ndarray, "3"]
    box_upper_m: Float[np.ndarray, "3"]
    table_normal: Float[np.ndarray, "3"]
    table_offset_m: float


def clearances(bodies: Bodies, scene: Scene, angles: Float[np.ndarray, "batch joints"]) -> Clearance:
    """How far each pose is from box, table and itself.

    Args:
        bodies: of the side.
        scene: surroundings.
        angles: of all nineteen joints [rad]; finite.
    """
    placed = place(bodies, scene.T_flange_hand, angles)
    walls = (placed.hand - scene.box_lower_m[:, None], scene.box_upper_m[:, None] - placed.hand)
    box = np.minimum(*walls).min(0)
    start, stop = placed.start, placed.stop
    heights = [np.tensordot(scene.table_normal, ends[:, _ABOVE_TABLE], 1) for ends in (start, stop)]
    table = (np.minimum(*heights) - bodies.radii_m[_ABOVE_TABLE, None]).min(0) - scene.table_offset_m
    gaps = segment_distance(start[:, _FIRST], stop[:, _FIRST], start[:, _SECOND], stop[:, _SECOND])
    radii = bodies.radii_m[_FIRST] + bodies.radii_m[_SECOND]
    return Clearance(box, table, (gaps - radii[:, None]).min(0))


def segment_distance(
    p0: Float[np.ndarray, "3 *pairs batch"],
    p1: Float[np.ndarray, "3 *pairs batch"],
    q0: Float[np.ndarray, "3 *pairs batch"],
    q1: Float[np.ndarray, "3 *pairs batch"],
) -> Float[np.ndarray, "*pairs batch"]:
    """Shortest distance between the segments p0 p1 and q0 q1; segments of length zero are points.

    Coordinates come first, which makes every operation one run through memory.
    """
    u, v, w = p1 - p0, q1 - q0, p0 - q0
    a, b, c, d, e = _dot(u, u), _dot(u, v), _dot(v, v), _dot(u, w), _dot(v, w)
    tiny = 1e-18
    s = np.clip((b * e - c * d) / np.maximum(a * c - b * b, tiny), 0.0, 1.0)
    t = np.clip((b * s + e) / np.maximum(c, tiny), 0.0, 1.0)
    s = np.clip((b * t - d) / np.maximum(a, tiny), 0.0, 1.0)  # the best s for that t; exact after the clip of t
    w += s * u
    w -= t * v
    return np.sqrt(_dot(w, w))


def _dot(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return x[0] * y[0] + x[1] * y[1] + x[2] * y[2]
