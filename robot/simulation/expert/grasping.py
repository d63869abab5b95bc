"""How the hand takes things: shapes of the fingers, where the thing is in the hand, from where the hand comes.

Hand frame: z along the fingers, x out of the palm, y to the thumb (a right hand). Angles of the fingers are in the
order of the joints of the XHand: thumb (3), index (3), middle, ring, pinky (2 each).
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from robot.simulation.expert.primitives import Actor
from robot.simulation.physics import Simulation
from robot.simulation.tasks.outcome import FINGERS
from vitra_lib.geometry.transforms import make

STAND_OFF_M = 0.11


def fingers(thumb_deg: tuple[float, float, float], proximal_deg: float, distal_deg: float) -> Float[np.ndarray, "12"]:
    """Angles of a hand whose four fingers do the same [rad]."""
    return np.deg2rad([*thumb_deg, 0.0, *[proximal_deg, distal_deg] * 4])


@dataclass(frozen=True, eq=False)
class Grip:
    """One way of the fingers.

    Attributes:
        open_rad, closed_rad: before, and where the fingers would come without a thing between them.
        squeeze_rad: how far the commands of stopped joints go on.
        centre_m: where the thing's middle is in the hand.
        lowest_m: how far above the table that middle must at least be, for the fingers to stay above it.
    """

    open_rad: Float[np.ndarray, "12"]
    closed_rad: Float[np.ndarray, "12"]
    squeeze_rad: Float[np.ndarray, "12"]
    centre_m: Float[np.ndarray, "3"]
    lowest_m: float


def _squeeze(thumb_rad: float, fingers_rad: float) -> Float[np.ndarray, "12"]:
    return np.r_[np.full(4, thumb_rad), np.full(8, fingers_rad)]


WRAP = Grip(
    fingers((90.0, 0.0, 10.0), 25.0, 10.0),
    fingers((95.0, 50.0, 60.0), 100.0, 90.0),
    _squeeze(0.10, 0.10),
    np.array([0.065, 0.0, 0.09]),
    0.062,
)
"""Around an upright body, thumb against fingers, palm behind: a bottle, a can, a cup, a handle."""
SLIM = Grip(
    WRAP.open_rad,
    fingers((95.0, 62.0, 72.0), 106.0, 100.0),
    _squeeze(0.16, 0.16),
    np.array([0.058, 0.0, 0.086]),
    WRAP.lowest_m,
)
"""As `WRAP`, nearer to the palm and pressing more: a body of less than 29 mm radius."""
SLIM_RADIUS_M = 0.029
PINCH = Grip(
    fingers((90.0, 0.0, 10.0), 55.0, 5.0),
    fingers((90.0, 60.0, 30.0), 100.0, 30.0),
    _squeeze(0.15, 0.12),
    np.array([0.105, 0.0, 0.080]),
    0.0445,
)
"""From above, palm down, the straight fingers and the thumb on both sides: a ball, a block."""


def oriented(
    yaw: float, pitch: float, roll: float, point_world: Float[np.ndarray, "3"], centre_m: Float[np.ndarray, "3"]
) -> Float[np.ndarray, "4 4"]:
    """Pose of the hand's base in the world whose point `centre_m` is at a point of the world.

    Args:
        yaw: direction of the fingers around the vertical; 0 is away from the robot, positive to the left [rad].
        pitch: of the fingers below the horizon [rad].
        roll: 0 has the palm to the left and the thumb up, pi / 2 the palm down [rad].
        point_world: where `centre_m` shall be [m].
        centre_m: point in the hand [m].
    """
    ahead = np.array([np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), -np.sin(pitch)])
    left = np.array([-np.sin(yaw), np.cos(yaw), 0.0])
    above = np.cross(ahead, left)
    palm = np.cos(roll) * left - np.sin(roll) * above
    R = np.stack([palm, np.cross(ahead, palm), ahead], axis=1)
    return make(R, point_world - R @ centre_m)


@dataclass(frozen=True, eq=False)
class Grasp:
    """One way to take a thing.

    Attributes:
        grip: of the fingers.
        T_world_hand: of the hand's base when the fingers close [m].
        approach: unit vector in the world along which the hand comes.
    """

    grip: Grip
    T_world_hand: Float[np.ndarray, "4 4"]
    approach: Float[np.ndarray, "3"]

    @property
    def T_world_before(self) -> Float[np.ndarray, "4 4"]:
        """Where the hand stands before it comes [m]."""
        T = self.T_world_hand.copy()
        T[:3, 3] -= STAND_OFF_M * self.approach
        return T


def wraps(point_world: Float[np.ndarray, "3"], yaws: Collection[float], grip: Grip = WRAP) -> list[Grasp]:
    """Grasps of an upright body at a point, palm sideways, one per direction of the fingers."""
    found = []
    for yaw in yaws:
        T = oriented(yaw, np.deg2rad(5), np.deg2rad(8), point_world, grip.centre_m)
        found.append(Grasp(grip, T, T[:3, 0]))
    return found


def pinches(
    point_world: Float[np.ndarray, "3"], yaws: Collection[float], grip: Grip = PINCH, pitch: float = np.deg2rad(30)
) -> list[Grasp]:
    """Grasps from above at a point, palm down, one per direction in which thumb and fingers close."""
    poses = (oriented(yaw, pitch, np.pi / 2, point_world, grip.centre_m) for yaw in yaws)
    return [Grasp(grip, T, np.array([0.0, 0.0, -1.0])) for T in poses]


def take(actor: Actor, grasps: list[Grasp], name: str) -> Iterator[Any]:
    """Take a thing by the first grasp whose whole way is free; False if there is none.

    Args:
        actor: the robot.
        grasps: in the order of preference.
        name: of the thing.
    """
    for grasp in grasps:
        ways = ways_to(actor, grasp, name)
        if ways is not None:
            yield from actor.follow(ways[0], grasp.grip.open_rad)
            yield from actor.follow(ways[1])
            return (yield from actor.close(grasp.grip.closed_rad, grasp.grip.squeeze_rad))
    return False


def ways_to(
    actor: Actor, grasp: Grasp, name: str
) -> tuple[Float[np.ndarray, "step 7"], Float[np.ndarray, "last 7"]] | None:
    """The ways to where the hand stands before a grasp, and from there to it; they meet nothing but, at the end, the
    thing itself. None where there are no such ways.
    """
    shape = grasp.grip.open_rad
    before = actor.planner.reach(grasp.T_world_before, actor.arm, shape)
    last = None if before is None else actor.planner.line(before, grasp.T_world_hand, shape)
    if last is None:
        return None
    rows = np.hstack([last, np.broadcast_to(shape, (len(last), len(shape)))])
    if actor.surroundings.meets(rows, ignoring=(name,)):
        return None
    way = actor.way_to(before, shape)
    return None if way is None else (way, last)


def let_go(actor: Actor, grip: Grip, away: Float[np.ndarray, "3"]) -> Iterator[Any]:
    """Open the fingers and draw the hand back along a vector [m], then up."""
    yield from actor.shape(0.5 * (actor.fingers + grip.open_rad))
    yield from actor.shape(grip.open_rad)
    yield from actor.shift(away)
    return (yield from actor.shift(np.array([0.0, 0.0, 0.08])))


def grips_firmly(simulation: Simulation, name: str, least_n: float = 0.2) -> bool:
    """The thumb and a finger press on a thing [N]."""
    force = simulation.touching(name)
    pressing = max(force.get(finger, 0.0) for finger in FINGERS)
    return force.get("thumb", 0.0) >= least_n and pressing >= least_n
