"""What became of a trial, and how to see from physics whether something is held or fell."""

from dataclasses import dataclass

import numpy as np

from robot.simulation.physics import Simulation

FINGERS = ("index", "middle", "ring", "pinky")


@dataclass(frozen=True)
class Outcome:
    """Judged from poses, speeds and contacts alone.

    Attributes:
        success: the task is done.
        figures: what was measured, by name; units in the names where they have one.
        reason: a sentence on what is missing, or "" for a success.
    """

    success: bool
    figures: dict[str, float]
    reason: str


def is_held(simulation: Simulation, name: str, least_n: float = 0.2) -> bool:
    """Thumb or palm, and a finger, press on a thing [N]."""
    force = simulation.touching(name)
    against = max(force.get("thumb", 0.0), force.get("palm", 0.0))
    return against >= least_n and max(force.get(finger, 0.0) for finger in FINGERS) >= least_n


def tilt_rad(simulation: Simulation, name: str) -> float:
    """Angle of a thing's z axis to the vertical."""
    return float(np.arccos(np.clip(simulation.T_world_thing(name)[2, 2], -1.0, 1.0)))


def is_dropped(simulation: Simulation, name: str, tilted_rad: float = 0.5) -> bool:
    """A thing neither is held nor stands: it lies, or is below the table's surface."""
    below = simulation.T_world_thing(name)[2, 3] < simulation.rig.config.table_z_m - 0.05
    return bool(below or (not is_held(simulation, name) and tilt_rad(simulation, name) > tilted_rad))
