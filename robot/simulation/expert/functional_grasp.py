"""The expert of the functional grasp: the handle of a pot from above, the body of a bottle by the side."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from robot.simulation.expert.grasping import WRAP, Grasp, Grip, fingers, grips_firmly, pinches, take, wraps
from robot.simulation.expert.pick_place import ATTEMPTS, back_off, grip_of
from robot.simulation.expert.primitives import Actor
from robot.simulation.scene import Scene
from robot.simulation.tasks.functional_grasp import LIFT_M, TILT_RAD
from robot.simulation.tasks.outcome import tilt_rad
from robot.simulation.tasks.things import height_m
from vitra_lib.geometry.rotations import exp
from vitra_lib.geometry.transforms import make

_HOLD_S = 1.3
_RISE_M = 0.05
_YAWS = np.deg2rad([20.0, 35.0, 5.0, 50.0, -10.0, 65.0])
_DEPTH_M, _AHEAD_M, _PITCH = 0.120, 0.055, np.deg2rad(30.0)

HANDLE = Grip(
    fingers((90.0, 5.0, 5.0), 45.0, 8.0),
    fingers((92.0, 75.0, 20.0), 92.0, 24.0),
    np.r_[np.full(4, 0.20), np.full(8, 0.20)],
    np.array(
        [
            _DEPTH_M * np.cos(_PITCH) - _AHEAD_M * np.sin(_PITCH),
            0.0,
            _DEPTH_M * np.sin(_PITCH) + _AHEAD_M * np.cos(_PITCH),
        ]
    ),
    0.075,
)
"""Fingers and thumb on both sides of a level handle, below the palm."""


def functional_grasp_script(actor: Actor, scene: Scene) -> Iterator[Any]:
    """Lift the named thing by the part by which it is used, and hold it; up to three attempts.

    Args:
        actor: the robot.
        scene: what the trial began with.
    """
    for attempt in range(ATTEMPTS):
        actor.attempts = attempt + 1
        grasps = grasps_of(actor, scene, attempt)
        if not (yield from take(actor, grasps, scene.target)):
            yield from back_off(actor)
            continue
        if (yield from _lifted(actor, scene.target)):
            yield from levelled(actor, scene.target)
            yield from actor.hold(_HOLD_S)
            if grips_firmly(actor.simulation, scene.target) and tilt_rad(actor.simulation, scene.target) < TILT_RAD:
                return True
        yield from back_off(actor, grasps[0].grip)
    return False


def grasps_of(actor: Actor, scene: Scene, attempt: int) -> list[Grasp]:
    """Ways to take the thing by its functional part as it stands now, best first.

    Args:
        actor: the robot.
        scene: of the trial.
        attempt: number, from 0.
    """
    thing, T = scene.thing(scene.target), actor.simulation.T_world_thing(scene.target)
    if thing.parts[0].kind != "vessel":
        height = float(np.clip(0.42 * height_m(thing), WRAP.lowest_m, 0.075))
        return wraps(T[:3, 3] + T[:3, 2] * height, np.roll(_YAWS, -2 * attempt), grip_of(thing))
    handle = thing.parts[1].T_thing_part
    along = T[:3, :3] @ handle[:3, 2]
    point = (T @ handle)[:3, 3] + along * (0.008 * attempt - 0.004)
    yaw = np.arctan2(along[1], along[0]) + np.pi / 2
    return pinches(point, yaw + np.deg2rad([0.0, 10.0, -10.0, 20.0, -20.0]), HANDLE, _PITCH)


def _lifted(actor: Actor, name: str) -> Iterator[Any]:
    """Raise the thing higher than the task asks for; True if it came along."""
    before = actor.simulation.T_world_thing(name)[2, 3]
    if not (yield from actor.shift(np.array([0.0, 0.0, LIFT_M + _RISE_M]))):
        return False
    yield from actor.hold(0.1)
    return bool(actor.simulation.T_world_thing(name)[2, 3] - before > LIFT_M + 0.2 * _RISE_M)


def levelled(actor: Actor, name: str, least_rad: float = np.deg2rad(6.0)) -> Iterator[Any]:
    """Turn the hand so that what it holds stands upright, if that is more tilted than `least_rad`."""
    T = actor.simulation.T_world_thing(name)
    turn = np.cross(T[:3, 2], [0.0, 0.0, 1.0])
    sine = float(np.linalg.norm(turn))
    if sine < np.sin(least_rad) or T[2, 2] <= 0:
        return True
    R = exp(turn / sine * np.arcsin(min(sine, 1.0)))
    T_hand, pivot = actor.T_world_hand, actor.simulation.palm_world
    moved = make(R @ T_hand[:3, :3], pivot + R @ (T_hand[:3, 3] - pivot))
    return (yield from actor.line(moved))
