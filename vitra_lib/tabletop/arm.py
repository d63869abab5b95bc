"""The arm behind the hand: where the elbow is, which way a hand can point, and the sleeve.

All planning is for a right arm; a left arm is planned in the mirror (x -> -x of the table frame).
Table frame: origin on the table top at the middle of the near edge, x right, y away from the person, z up; metres.
"""

import numpy as np
from jaxtyping import Float

from vitra_lib.geometry.rotations import exp

SHOULDER_M = np.array([0.19, -0.17, 0.25])
UPPER_ARM_M = 0.30
FOREARM_M = 0.26
MAX_WRIST_BEND_RAD = np.deg2rad(50.0)


def frame_of(fingers: Float[np.ndarray, "3"], palm: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """Rotation of a right wrist whose fingers point along `fingers` and whose palm faces `palm` (made orthogonal)."""
    f = fingers / np.linalg.norm(fingers)
    p = palm - f * (palm @ f)
    p = p / np.linalg.norm(p)
    return np.stack([-f, -p, np.cross(f, p)], axis=1)


def pointing(heading: float, pitch: float, roll: float) -> Float[np.ndarray, "3 3"]:
    """Rotation of a right wrist from three angles [rad].

    Args:
        heading: direction of the fingers seen from above; pi/2 = straight away from the person.
        pitch: how far the fingers point down.
        roll: 0 = palm down, pi/2 = thumb up and palm to the left.
    """
    ahead = np.array([np.cos(heading), np.sin(heading), 0.0])
    f = np.cos(pitch) * ahead - np.sin(pitch) * np.array([0.0, 0.0, 1.0])
    down = -np.cos(pitch) * np.array([0.0, 0.0, 1.0]) - np.sin(pitch) * ahead
    left = np.cross(f, down)
    left = np.array([-np.sin(heading), np.cos(heading), 0.0]) if np.linalg.norm(left) < 1e-9 else left
    left = left * np.sign(left @ np.array([-np.sin(heading), np.cos(heading), 0.0]))
    return frame_of(f, np.cos(roll) * down + np.sin(roll) * left)


def natural_heading(x: float, y: float) -> float:
    """Direction [rad] in which the fingers of a right hand point when they work at (x, y) [m]: a little inwards."""
    return float(np.arctan2(y + 0.30, x - SHOULDER_M[0] * 0.9) + np.deg2rad(10.0))


def elbow_of(t_wrist: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 3"]:
    """Elbow [m] of a right arm for wrist positions: two links, elbow outwards and below the shoulder, above the table.

    A wrist out of reach pulls the shoulder along (the person leans).
    """
    to_wrist = t_wrist - SHOULDER_M
    distance = np.linalg.norm(to_wrist, axis=-1, keepdims=True)
    along = to_wrist / distance
    reach = 0.97 * (UPPER_ARM_M + FOREARM_M)
    shoulder = SHOULDER_M + along * np.maximum(distance - reach, 0.0)
    d = np.clip(distance, 0.12, reach)
    a = (UPPER_ARM_M**2 - FOREARM_M**2 + d * d) / (2 * d)
    height = np.sqrt(np.maximum(UPPER_ARM_M**2 - a * a, 0.0))
    out = np.array([0.85, -0.25, -0.45])
    out = out - along * (along @ out)[..., None]
    out = out / np.linalg.norm(out, axis=-1, keepdims=True)
    elbow = shoulder + a * along + height * out
    elbow[..., 2] = np.maximum(elbow[..., 2], 0.075)
    return elbow


def forearm_bend(
    R_table_wrist: Float[np.ndarray, "time 3 3"], t_table_wrist: Float[np.ndarray, "time 3"]
) -> Float[np.ndarray, "time 3 3"]:
    """Rotation (time, 3, 3) of the forearm against the straight arm in the wrist frame, within what a wrist can do."""
    to_elbow = elbow_of(t_table_wrist) - t_table_wrist
    d = np.einsum("tji,tj->ti", R_table_wrist, to_elbow / np.linalg.norm(to_elbow, axis=1, keepdims=True))
    axis = np.cross(np.array([1.0, 0.0, 0.0]), d)
    sine = np.linalg.norm(axis, axis=1)
    angle = np.minimum(np.arctan2(sine, d[:, 0]), MAX_WRIST_BEND_RAD)
    return exp(axis / np.maximum(sine, 1e-9)[:, None] * angle[:, None])
