"""Pouring: take the vessel, bring its lip over the bowl, turn it about the lip, and further if something stays."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float

from robot.simulation.expert.grasping import oriented
from robot.simulation.expert.primitives import Actor
from robot.simulation.expert.upright import Hold, take_upright
from robot.simulation.scene import Scene
from robot.simulation.tasks.granules import granule_names, granule_points, inside_vessel, vessel_radius_m
from vitra_lib.geometry.transforms import invert

GRASP_HEIGHT_M = 0.068
_TILTS_RAD = np.deg2rad(np.arange(30.0, 121.0, 10.0))
_MORE_RAD = np.deg2rad(np.arange(130.0, 151.0, 10.0))
_YAWS_RAD = (0.4, 0.2, 0.6, 0.0, 0.8, -0.2)
_ABOVE_RIM_M, _HIGHEST_M, _BEFORE_MIDDLE_M = 0.045, 0.13, 0.03
_DRAIN_S = 0.6


def pour_script(actor: Actor, scene: Scene) -> "Iterator[Any]":
    """Take the vessel, empty it into the bowl and turn it upright again.

    Args:
        actor: the robot.
        scene: what the trial began with.

    Returns:
        True when the vessel was taken and emptied.
    """
    vessel = scene.thing(scene.target).parts[0]
    radius = float(vessel_radius_m(vessel, np.array(GRASP_HEIGHT_M - vessel.size_m[1]))) + vessel.size_m[2]
    if not (yield from take_upright(actor, Hold(scene.target, GRASP_HEIGHT_M, radius))):
        return False
    plan = _plan(actor)
    if plan is None:
        return False
    carry, tilt, more, upright = plan
    yield from actor.follow(carry)
    yield from actor.follow(tilt)
    yield from actor.hold(_DRAIN_S)
    back = tilt
    if _left(actor) and more is not None:
        yield from actor.follow(more)
        yield from actor.hold(_DRAIN_S)
        back = np.concatenate([tilt, more[1:]])
    yield from actor.follow(back[::-1])
    yield from actor.line(upright)
    return not _left(actor)


def _left(actor: Actor) -> int:
    """Granules that are still in the vessel."""
    simulation, scene = actor.simulation, actor.simulation.scene
    vessel, pose = scene.thing(scene.target).parts[0], simulation.T_world_thing(scene.target)
    return int(inside_vessel(granule_points(simulation, scene), vessel, pose).sum())


def _plan(actor: Actor) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray] | None:
    """Ways of the arm to the bowl with the vessel inclined, for the turn about the lip, and for a further turn; and the
    pose of the hand with the vessel upright again.
    """
    simulation, scene = actor.simulation, actor.simulation.scene
    bowl = scene.thing(scene.container).parts[0]
    rim = simulation.T_world_thing(scene.container)[:3, 3] + [0.0, 0.0, 2 * bowl.size_m[1]]
    lip, tilts = _lip_in_hand(actor), np.r_[_TILTS_RAD, _MORE_RAD]
    # While it is steep, the vessel's side hangs down outside the bowl's rim; so the lip comes down as it turns.
    overlap = bowl.size_m[0] - _BEFORE_MIDDLE_M
    above = _ABOVE_RIM_M + np.clip(overlap / np.tan(np.minimum(tilts, 0.5 * np.pi)), 0.0, _HIGHEST_M - _ABOVE_RIM_M)
    for yaw in _YAWS_RAD:
        before = np.array([np.sin(yaw), -np.cos(yaw), 0.0]) * _BEFORE_MIDDLE_M
        spots = rim + before + above[:, None] * [0.0, 0.0, 1.0]
        poses = [oriented(yaw, 0.0, tilt, spot, lip) for tilt, spot in zip(tilts, spots, strict=True)]
        carry = actor.way(poses[0], actor.fingers, granule_names(scene), held=scene.target)
        if carry is None:
            continue
        tilt = _through(actor, carry[-1], poses[1 : len(_TILTS_RAD)])
        if tilt is not None:
            upright = oriented(yaw, 0.0, 0.0, spots[0], lip)
            return carry, tilt, _through(actor, tilt[-1], poses[len(_TILTS_RAD) :]), upright
    return None


def _lip_in_hand(actor: Actor) -> Float[np.ndarray, "3"]:
    """The point of the rim over which the granules go, in the hand's base [m]: the farthest one out of the palm."""
    simulation, scene = actor.simulation, actor.simulation.scene
    rim, half = scene.thing(scene.target).parts[0].size_m[:2]
    T_hand_vessel = invert(simulation.T_world_hand) @ simulation.T_world_thing(scene.target)
    out = T_hand_vessel[:3, :3].T @ [1.0, 0.0, 0.0]
    out[2] = 0.0
    point = rim * out / np.linalg.norm(out) + [0.0, 0.0, 2 * half]
    return T_hand_vessel[:3, :3] @ point + T_hand_vessel[:3, 3]


def _through(actor: Actor, start: np.ndarray, poses: list[np.ndarray]) -> np.ndarray | None:
    """Angles of the arm along lines from pose to pose; None where one can't be gone."""
    path = start[None]
    for pose in poses:
        line = actor.planner.line(path[-1], pose, actor.fingers)
        if line is None:
            return None
        path = np.concatenate([path, line[1:]])
    return path
