"""Taking something that stands, such as a cup or a brush by its handle, by the side, firmly enough to work with it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from robot.simulation.expert.grasping import WRAP, Grasp, Grip, fingers, let_go, take, wraps
from robot.simulation.expert.primitives import Actor
from robot.simulation.tasks.outcome import is_held, tilt_rad
from vitra_lib.core.errors import BadInput

ATTEMPTS = 3
_YAWS_RAD = np.deg2rad([11.0, 0.0, 23.0, -11.0, 34.0, 46.0])
_PALM_M, _ALONG_M = 0.026, 0.085  # from the hand's base to the thing: out of the palm (and a little air), and along it
_FALLEN_RAD = 0.6
_SQUEEZE_RAD, _RETREAT_M = 0.35, 0.06


@dataclass(frozen=True)
class Hold:
    """Where a standing thing is taken.

    Attributes:
        name: of the thing.
        height_m: of the grasp's middle above the thing's base.
        radius_m: of the thing there.
        lift_m: how far it is lifted.
        tilt_rad: most it may lean in the hand.
    """

    name: str
    height_m: float
    radius_m: float
    lift_m: float = 0.10
    tilt_rad: float = 0.4

    def __post_init__(self) -> None:
        if not (self.height_m > 0 and 0 < self.radius_m < 0.06 and self.lift_m > 0 < self.tilt_rad):
            raise BadInput("A hold needs height, lift and tilt above 0 and a radius that a hand can span, to 0.06 m.")

    @property
    def grip(self) -> Grip:
        """The fingers around it, closed to a fist without it."""
        return replace(
            WRAP,
            open_rad=fingers((95.0, -20.0, 0.0), 6.0, 7.0),
            closed_rad=fingers((104.0, 35.0, 50.0), 103.0, 105.0),
            squeeze_rad=np.full(12, _SQUEEZE_RAD),
            centre_m=np.array([_PALM_M + self.radius_m, 0.0, _ALONG_M]),
        )


def take_upright(actor: Actor, hold: Hold) -> "Iterator[Any]":
    """Take a standing thing and lift it; tries again from another direction when it slips or leans.

    Returns:
        True when it is held above where it stood.
    """
    simulation = actor.simulation
    for attempt in range(ATTEMPTS):
        actor.attempts = attempt + 1
        T = simulation.T_world_thing(hold.name)
        if tilt_rad(simulation, hold.name) > _FALLEN_RAD:
            return False
        grasps = _grasps(hold, T, attempt)
        if not (yield from take(actor, grasps, hold.name)):
            yield from actor.shift(np.array([0.0, 0.0, _RETREAT_M]))
            continue
        yield from actor.shift(np.array([0.0, 0.0, hold.lift_m]))
        rose_m = simulation.T_world_thing(hold.name)[2, 3] - T[2, 3]
        leans = tilt_rad(simulation, hold.name) > hold.tilt_rad
        if is_held(simulation, hold.name) and rose_m > 0.5 * hold.lift_m and not leans:
            return True
        yield from actor.shift(np.array([0.0, 0.0, 0.004 - hold.lift_m]))
        yield from let_go(actor, hold.grip, -0.09 * actor.T_world_hand[:3, 0])
    return False


def _grasps(hold: Hold, T_world_thing: np.ndarray, attempt: int) -> list[Grasp]:
    """From the right, or from above; other attempts begin with others."""
    point = T_world_thing[:3, 3] + hold.height_m * T_world_thing[:3, 2]
    beside = wraps(point, np.roll(_YAWS_RAD, -2 * attempt), hold.grip)
    above = [Grasp(grasp.grip, grasp.T_world_hand, np.array([0.0, 0.0, -1.0])) for grasp in beside]
    return [*beside, *above] if attempt % 2 == 0 else [*above, *beside]
