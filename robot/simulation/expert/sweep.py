"""Sweeping: take the brush by its handle, set it down behind the crumbs, push them into the pan; again for the rest."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float

from robot.simulation.expert.primitives import Actor
from robot.simulation.expert.upright import Hold, take_upright
from robot.simulation.scene import Scene
from robot.simulation.tasks.granules import granule_names, granule_points, inside_area
from robot.simulation.tasks.outcome import is_held
from robot.simulation.tasks.sweep import IN_PAN_SHARE, PAN_HALF_M
from vitra_lib.geometry.rotations import exp
from vitra_lib.geometry.transforms import apply, invert, make

STROKES = 3
_TURNS_RAD = (0.0, 0.1, -0.1, 0.2, -0.2, 0.35, -0.35)
_LEANS_RAD = 0.2
_ABOVE_TABLE_M, _RAISED_M = 0.005, 0.05
_BEHIND_M, _INTO_PAN_M, _LANE_M, _EDGE_M = 0.016, 0.055, 0.05, 0.008
_DEEP_M = 0.05
_MAY_STAY_SHARE = 0.07  # one crumb of fifteen or more is not worth another stroke


def sweep_script(actor: Actor, scene: Scene) -> "Iterator[Any]":
    """Take the tool and sweep, up to three times, until the crumbs are in the pan.

    Args:
        actor: the robot.
        scene: what the trial began with.

    Returns:
        True when the tool was taken and enough crumbs are in the pan.
    """
    _, head, handle = scene.thing(scene.target).parts
    radius, half = handle.size_m
    height = float(handle.T_thing_part[2, 3]) + 0.1 * half
    hold = Hold(scene.target, height, radius, lift_m=_RAISED_M, tilt_rad=_LEANS_RAD)
    for _ in range(STROKES):
        if not is_held(actor.simulation, scene.target) and not (yield from take_upright(actor, hold)):
            return False
        plan = _plan(actor, *head.size_m[:2])
        if plan is None:
            break
        for path in plan:
            yield from actor.follow(path)
        yield from actor.hold(0.3)
        yield from actor.shift(np.array([0.0, 0.0, _RAISED_M]))
        if _outside(actor).mean() <= _MAY_STAY_SHARE:
            break
    return bool(_outside(actor).mean() <= 1.0 - IN_PAN_SHARE)


def _outside(actor: Actor) -> np.ndarray:
    """(crumb,) True for crumbs that are not in the pan."""
    simulation, scene = actor.simulation, actor.simulation.scene
    T_world_pan = scene.thing(scene.container).T_world_thing
    return ~inside_area(granule_points(simulation, scene), T_world_pan, PAN_HALF_M, _DEEP_M)


def _plan(actor: Actor, across_m: float, along_m: float) -> tuple[np.ndarray, ...] | None:
    """Ways of the arm: to above the place behind the crumbs, down, and along the stroke into the pan.

    Args:
        actor: holds the tool.
        across_m, along_m: half sizes of the tool's head, across the stroke and along it.
    """
    simulation, scene = actor.simulation, actor.simulation.scene
    T_world_pan = scene.thing(scene.container).T_world_thing
    crumbs = apply(invert(T_world_pan), granule_points(simulation, scene)[_outside(actor)])[:, :2]
    crumbs = crumbs[crumbs[:, 1] < -PAN_HALF_M[1] + 0.01]  # what is beside or behind the pan is lost
    if not len(crumbs):
        return None
    lanes = np.abs(crumbs[:, None, 0] - crumbs[:, 0]) <= _LANE_M
    lane = crumbs[lanes[lanes.sum(1).argmax()]]  # the one with most crumbs
    # As near the pan's middle line as the head, with all these crumbs before it, can be; in the pan between its sides.
    covers = across_m - _EDGE_M
    side = float(np.clip(0.0, lane[:, 0].max() - covers, lane[:, 0].min() + covers))
    room = PAN_HALF_M[0] - across_m - _EDGE_M
    begin = np.array([side, lane[:, 1].min() - along_m - _BEHIND_M])
    end = np.array([np.clip(side, -room, room), -PAN_HALF_M[1] + _INTO_PAN_M - along_m])
    T_tool_hand = invert(simulation.T_world_thing(scene.target)) @ simulation.T_world_hand
    for turn in _TURNS_RAD:
        low, far = (_tool_pose(T_world_pan, spot, turn) @ T_tool_hand for spot in (begin, end))
        high = low.copy()
        high[2, 3] += _RAISED_M
        first = actor.way(high, actor.fingers, granule_names(scene), held=scene.target)
        if first is None:
            continue
        down = actor.planner.line(first[-1], low, actor.fingers)
        stroke = None if down is None else actor.planner.line(down[-1], far, actor.fingers)
        if stroke is not None:
            return first, down, stroke
    return None


def _tool_pose(T_world_pan: np.ndarray, spot: np.ndarray, turn_rad: float) -> Float[np.ndarray, "4 4"]:
    """Upright, its head just above the table, at a place of the pan's frame."""
    R = exp(np.array([0.0, 0.0, turn_rad]))
    return T_world_pan @ make(R, np.array([*spot, _ABOVE_TABLE_M]))
