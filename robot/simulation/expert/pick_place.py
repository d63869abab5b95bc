"""The expert of pick and place: take the named thing by the side or from above, carry it over the box, let it down."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float

from robot.simulation.config import TABLE_Z_M
from robot.simulation.expert.grasping import (
    PINCH,
    SLIM,
    SLIM_RADIUS_M,
    WRAP,
    Grasp,
    Grip,
    grips_firmly,
    let_go,
    pinches,
    take,
    wraps,
)
from robot.simulation.expert.primitives import Actor
from robot.simulation.scene import Scene, Thing
from robot.simulation.tasks.pick_place import WALL_M, is_inside
from robot.simulation.tasks.things import height_m
from vitra_lib.geometry.rotations import exp
from vitra_lib.geometry.transforms import invert, make

ATTEMPTS = 3
LIFT_M = 0.10
_YAWS = np.deg2rad([20.0, 35.0, 5.0, 50.0, -10.0, 65.0])
_TURNS = np.deg2rad([0.0, 20.0, -20.0, 40.0, -40.0, 60.0])
_DROPS_M = (0.012, 0.03, 0.045, 0.06, 0.08)
_TALL_M = 0.085


def pick_place_script(actor: Actor, scene: Scene) -> Iterator[Any]:
    """Take the named thing and put it into the box; up to three attempts.

    Args:
        actor: the robot.
        scene: what the trial began with.
    """
    name, container = scene.target, scene.container
    for attempt in range(ATTEMPTS):
        actor.attempts = attempt + 1
        grasps = grasps_of(actor, scene.thing(name), attempt)
        if not (yield from take(actor, grasps, name)):
            yield from back_off(actor)
            continue
        grip = grasps[0].grip
        if not (yield from lift(actor, name)):
            yield from back_off(actor, grip)
            continue
        if (yield from put_into(actor, name, container, grip)):
            yield from actor.hold(0.6)
            if is_inside(actor.simulation, name, container):
                return True
    return False


def grasps_of(actor: Actor, thing: Thing, attempt: int) -> list[Grasp]:
    """Ways to take a thing as it lies now, best first; other attempts begin with others.

    Args:
        actor: the robot.
        thing: what is taken.
        attempt: number, from 0.
    """
    T, height = actor.simulation.T_world_thing(thing.name), height_m(thing)
    stands = T[2, 2] > 0.9
    yaws = np.roll(_YAWS, -2 * attempt)
    if stands and height >= _TALL_M:
        grip_height = np.clip(0.45 * height, WRAP.lowest_m, 0.085)
        point = T[:3, 3] + np.array([0.0, 0.0, grip_height])
        beside = wraps(point, yaws, grip_of(thing))
        above = [Grasp(grasp.grip, grasp.T_world_hand, np.array([0.0, 0.0, -1.0])) for grasp in beside]
        return [*beside, *above] if attempt % 2 == 0 else [*above, *beside]
    middle = T[:3, :3] @ np.array([0.0, 0.0, 0.5 * height]) + T[:3, 3]
    point = np.array([*middle[:2], max(middle[2], TABLE_Z_M + PINCH.lowest_m)])
    return pinches(point, closing_yaws(thing, T, yaws))


def grip_of(thing: Thing) -> Grip:
    """How an upright thing is held by its body."""
    return SLIM if max(part.size_m[0] for part in thing.parts) < SLIM_RADIUS_M else WRAP


def closing_yaws(thing: Thing, T_world_thing: Float[np.ndarray, "4 4"], yaws: Float[np.ndarray, " yaw"]) -> list[float]:
    """Directions in which thumb and fingers shall close on a thing from above: across its narrower side.

    Args:
        thing: its first part is what is held.
        T_world_thing: pose now [m].
        yaws: directions that suit the arm; for round things they are the answer [rad].
    """
    part = thing.parts[0]
    along = T_world_thing[:3, 2] if T_world_thing[2, 2] < 0.7 else None  # lying: across its long axis
    if along is None and part.kind in ("sphere", "cylinder", "vessel"):
        return list(yaws)
    if along is None:
        along = T_world_thing[:3, int(np.argmax(part.size_m[:2]))]
    across = np.arctan2(along[1], along[0]) + np.pi / 2
    middle = np.deg2rad(30.0)
    nearest = middle + (across - middle + np.pi / 2) % np.pi - np.pi / 2
    choices = [nearest, nearest + np.deg2rad(12), nearest - np.deg2rad(12)]
    if part.kind == "box" and max(part.size_m[:2]) <= 0.036 and T_world_thing[2, 2] > 0.7:
        choices += [nearest + np.pi / 2, nearest - np.pi / 2]
    return choices


def lift(actor: Actor, name: str, by_m: float = LIFT_M) -> Iterator[Any]:
    """Raise the hand; True if the thing came with it."""
    before = actor.simulation.T_world_thing(name)[2, 3]
    if not (yield from actor.shift(np.array([0.0, 0.0, by_m]))):
        return False
    yield from actor.hold(0.1)
    rose = actor.simulation.T_world_thing(name)[2, 3] - before
    return bool(rose > 0.5 * by_m and grips_firmly(actor.simulation, name))


def back_off(actor: Actor, grip: Grip | None = None) -> Iterator[Any]:
    """Open the hand and go up, to begin anew."""
    yield from actor.shape(actor.fingers if grip is None else grip.open_rad)
    return (yield from actor.shift(np.array([0.0, 0.0, 0.08])))


def put_into(actor: Actor, name: str, container: str, grip: Grip) -> Iterator[Any]:
    """Carry what is held over a box, let it down as far as the box allows, let go and draw back."""
    found = placing(actor, name, container)
    if found is None:
        return False
    above, low = found
    level = actor.planner.line(actor.arm, above, actor.fingers)  # keeps the thing as it is, where nothing is in the way
    if level is not None and not actor.meets(level, actor.fingers, held=name):
        yield from actor.follow(level)
    elif not (yield from actor.go(above, held=name)):
        return False
    yield from actor.line(low)
    away = np.array([0.0, 0.0, 0.09]) if grip is PINCH else -0.08 * actor.T_world_hand[:3, 0]
    return (yield from let_go(actor, grip, away))


def placing(
    actor: Actor, name: str, container: str
) -> tuple[Float[np.ndarray, "4 4"], Float[np.ndarray, "4 4"]] | None:
    """Poses of the hand above a box and as low in it as the hand may go; None where none can be reached."""
    simulation = actor.simulation
    T_thing, T_box = simulation.T_world_thing(name), simulation.T_world_thing(container)
    T_thing_hand = invert(T_thing) @ simulation.T_world_hand
    middle = T_thing[:3, :3] @ np.array([0.0, 0.0, 0.5 * height_m(simulation.scene.thing(name))])
    lowest = _lowest(simulation.scene.thing(name), T_thing)
    for turn in _TURNS:
        R = exp(np.array([0.0, 0.0, turn]))
        for drop in _DROPS_M:
            place = T_box[:3, 3] - np.array([*(R @ middle)[:2], lowest - WALL_M - drop])
            low = make(R @ T_thing[:3, :3], place) @ T_thing_hand
            above = low.copy()
            above[2, 3] += 0.16 - drop
            q = actor.planner.reach(above, actor.arm, actor.fingers)
            if q is None:
                break
            path = actor.planner.line(q, low, actor.fingers)
            if path is not None and not actor.meets(path, actor.fingers, held=name):
                if actor.way(above, actor.fingers, held=name) is None:
                    break
                return above, low
    return None


def _lowest(thing: Thing, T_world_thing: Float[np.ndarray, "4 4"]) -> float:
    """Height of the lowest point of a thing over its origin, as it is turned now [m]; at most 0."""
    low = 0.0
    for part in thing.parts:
        half = np.array(part.size_m[:3] if part.kind in ("box", "ellipsoid") else (*[part.size_m[0]] * 2, 0.0))
        if part.kind not in ("box", "ellipsoid"):
            half[2] = part.size_m[0] if part.kind == "sphere" else part.size_m[1]
        T = T_world_thing[:3, :3] @ part.T_thing_part[:3, 3]
        if part.kind in ("sphere", "ellipsoid"):
            low = min(low, T[2] - float(np.linalg.norm(T_world_thing[2, :3] * half)))
        elif part.kind == "box":
            low = min(low, T[2] - float(np.abs(T_world_thing[2, :3]) @ half))
        else:
            radius = max(part.size_m[0], part.size_m[3] if part.kind == "vessel" else 0.0)
            axis = abs(T_world_thing[2, 2])
            low = min(low, T[2] - half[2] * axis - radius * float(np.sqrt(max(0.0, 1 - axis**2))))
    return low
