"""Where the arm waits at the beginning of a trial of grasping: low on the right, pointing away, palm to the left."""

import numpy as np
from jaxtyping import Float

from robot.arm import IkConfig, load_arm, solve_ik
from robot.safety.limits import rig_limits
from vitra_lib.geometry.rotations import exp
from vitra_lib.geometry.transforms import make

ASIDE = np.array([-1.482, 1.149, 0.227, 1.686, 1.455, 1.207, -1.491])
"""Angles of the arm from which all grasps of the experts are near [rad]."""
OPEN_HAND = np.deg2rad([80.0, 0.0, 12.0, 0.0, *[20.0, 12.0] * 4])
"""Angles of the hand at the beginning [rad]."""
_SHIFT_M, _TURN_RAD = 0.03, np.deg2rad(6.0)


def aside_angles(rng: np.random.Generator | None = None, raised_m: float = 0.0) -> Float[np.ndarray, " joints"]:
    """The nineteen angles at the beginning [rad].

    Args:
        rng: moves the hand by up to 3 cm along each axis and turns it by up to 6 degrees; None for no shift.
        raised_m: how much higher the hand waits, above tall things; with a generator only.
    """
    if rng is None:
        return np.r_[ASIDE, OPEN_HAND]
    arm, limits = load_arm(), rig_limits()
    T = arm.forward(ASIDE)
    shift = rng.uniform(-_SHIFT_M, _SHIFT_M, 3) + [0.0, 0.0, raised_m]
    turn = rng.uniform(-_TURN_RAD, _TURN_RAD)
    moved = make(exp(np.array([0.0, 0.0, turn])) @ T[:3, :3], T[:3, 3] + shift)
    found = solve_ik(arm, moved[None], ASIDE[None], IkConfig(iterations=60))
    inside = (found.q[0] > limits.lower_rad[:7] + 0.05) & (found.q[0] < limits.upper_rad[:7] - 0.05)
    return np.r_[found.q[0] if found.is_reached[0] and inside.all() else ASIDE, OPEN_HAND]
