"""What hands do: each skill appends its atomic actions to a `HandPlanner` and returns False when it can't.

A skill that says no may leave moves behind; callers work on a fork (`HandPlanner.fork`).
"""

import numpy as np
from jaxtyping import Float

from vitra_lib.geometry.transforms import make
from vitra_lib.hands.grasps import blend_poses, named_pose
from vitra_lib.tabletop.arm import natural_heading, pointing
from vitra_lib.tabletop.grip import Grip, push_grip
from vitra_lib.tabletop.layout import zone
from vitra_lib.tabletop.planner import CONTACT, HandPlanner, Request, rest_pose
from vitra_lib.tabletop.solids import turned

UP = np.array([0.0, 0.0, 1.0])
_MAX_TWIST_RAD = np.deg2rad(38.0)
_HOLLOW = frozenset({"bowl", "pot"})


def way_to_hold(planner: HandPlanner, thing: int) -> str:
    """ "side" or "top", whichever the object is carried by."""
    return "side" if "carry-side" in planner.models[thing].skills else "top"


def is_covered(planner: HandPlanner, thing: int) -> bool:
    """Whether something stands on or in this object."""
    here = planner.T_things[thing][:3, 3]
    r = planner.models[thing].radius_m
    return any(
        i != thing and T[2, 3] > here[2] + 0.003 and np.linalg.norm(T[:2, 3] - here[:2]) < r
        for i, T in enumerate(planner.T_things)
    )


def _yaw(T: np.ndarray) -> float:
    return float(np.arctan2(T[1, 0], T[0, 0]))


def _wrap(angle: float) -> float:
    return (angle + np.pi) % (2 * np.pi) - np.pi


def _fit_grip(planner: HandPlanner, thing: int, way: str, twist: float = 0.0) -> Grip | None:
    """The grip turned to suit the arm (plus `twist` [rad]), or None when the wrist would have to bend too far."""
    T = planner.T_things[thing]
    grip = planner.grip_on(thing, way)
    wanted = natural_heading(T[0, 3], T[1, 3]) + twist
    if grip.is_free:
        return grip.turned(wanted + float(planner.rng.normal(0.0, 0.08)) - _yaw(T) - grip.heading)
    choices = [0.0] if planner.models[thing].form == "mug" else [0.0, np.pi]
    best = min(choices, key=lambda a: abs(_wrap(_yaw(T) + grip.heading + a - wanted)))
    if abs(_wrap(_yaw(T) + grip.heading + best - wanted)) > _MAX_TWIST_RAD:
        return None
    return grip.turned(best)


def _approach(R: Float[np.ndarray, "3 3"], way: str) -> Float[np.ndarray, "3"]:
    """From where a hand comes to an object, and where it goes when it lets go [m]."""
    if way == "side":
        return 0.075 * R[:, 1] + 0.085 * R[:, 0] + 0.02 * UP
    return 0.10 * UP + 0.04 * R[:, 0] * np.array([1.0, 1.0, 0.0])


def reach(planner: HandPlanner, thing: int, grip: Grip, way: str, label: str) -> bool:
    """Move the open hand to the object and close the fingers on it."""
    T_goal = planner.T_things[thing] @ grip.T_object_wrist
    opened = grip.open_pose if way == "side" else blend_poses(grip.open_pose, named_pose("spread"), 0.12)
    almost = blend_poses(grip.open_pose, grip.closed_pose, 0.3)
    if not planner.go(
        Request(
            T_goal,
            "reach",
            f"Reach for the {label}.",
            thing,
            depart=planner.leave,
            arrive=_approach(T_goal[:3, :3], way),
            fingers=((0.65, opened), (0.97, almost), (CONTACT, grip.closed_pose)),
        )
    ):
        return False
    planner.grasp(thing, grip)
    return True


def take(planner: HandPlanner, thing: int, label: str) -> bool:
    """Reach for an object that is to be carried, and close the hand on it."""
    way = way_to_hold(planner, thing)
    grip = _fit_grip(planner, thing, way)
    return grip is not None and not is_covered(planner, thing) and reach(planner, thing, grip, way, label)


def pick(planner: HandPlanner, thing: int, label: str) -> bool:
    """Reach for an object and lift it."""
    if not take(planner, thing, label):
        return False
    T_goal = planner.T_wrist.copy()
    rng = planner.rng
    T_goal[:3, 3] += [rng.uniform(-0.03, 0.03), rng.uniform(-0.08, -0.02), rng.uniform(0.09, 0.15)]
    return planner.go(Request(T_goal, "lift", f"Pick up the {label}.", thing, depart=0.05 * UP))


def _goal_upright(planner: HandPlanner, x: float, y: float, z: float) -> np.ndarray:
    """Wrist pose that puts the held object upright at (x, y, z), turned as the arm likes it."""
    spin = float(np.clip(_wrap(natural_heading(x, y) - planner.grip.heading - _held_yaw(planner)), -0.6, 0.6))
    return turned(_held_yaw(planner) + spin, x, y, z) @ planner.grip.T_object_wrist


def _held_yaw(planner: HandPlanner) -> float:
    return _yaw(planner.T_things[planner.held])


def _free_spot(planner: HandPlanner, is_direct: bool) -> tuple[float, float] | None:
    """A place on the table for the held object, clear of everything; failing that, where it was taken from.

    `is_direct`: at least 10 cm from where it is, and never the old place.
    """
    x0, x1, y0, y1 = zone(planner.is_shared)
    here = planner.T_things[planner.held][:2, 3]
    r = planner.models[planner.held].radius_m
    low = y0 + 0.4 * (y1 - y0) if planner.models[planner.held].size_m[2] > 0.07 else y0
    for _ in range(60):
        p = np.array([planner.rng.uniform(x0, x1), planner.rng.uniform(low, y1)])
        if np.linalg.norm(p - here) > (0.10 if is_direct else 0.0) and all(
            np.linalg.norm(p - T[:2, 3]) > r + m.radius_m + 0.045
            for i, (m, T) in enumerate(zip(planner.models, planner.T_things, strict=True))
            if i != planner.held
        ):
            return float(p[0]), float(p[1])
    origin = planner.origin
    return None if is_direct or origin[2] > 0.001 else (float(origin[0]), float(origin[1]))


def _way_of_held(planner: HandPlanner) -> str:
    return way_to_hold(planner, planner.held)


def place(planner: HandPlanner, label: str, is_direct: bool) -> bool:
    """Put the held object on a free spot of the table and let go.

    Args:
        label: what captions call it.
        is_direct: it was not lifted before: the caption then says where it goes.
    """
    thing = planner.held
    for _ in range(4):
        spot = _free_spot(planner, is_direct)
        if spot is None:
            return False
        move = np.array(spot) - planner.T_things[thing][:2, 3]
        if abs(move[0]) >= abs(move[1]):
            where = f"to the {planner.lateral(move[0])}"
        else:
            where = "further away" if move[1] > 0 else "closer"
        text = f"Move the {label} {where}." if is_direct else f"Put down the {label}."
        if _put(planner, thing, (*spot, 0.0), text):
            return True
    return False


def _put(
    planner: HandPlanner, thing: int, at: tuple[float, float, float], text: str, near: frozenset[int] = frozenset()
) -> bool:
    """Carry the held object to `at` and let go."""
    way = _way_of_held(planner)
    T_goal = _goal_upright(planner, *at)
    depart = 0.09 * UP if planner.T_wrist[2, 3] < T_goal[2, 3] + 0.05 else 0.02 * UP
    if not planner.go(Request(T_goal, "place", text, thing, depart=depart, arrive=0.10 * UP, near=near)):
        return False
    planner.release(_approach(T_goal[:3, :3], way))
    return True


def put_on(planner: HandPlanner, label: str, target: int, target_label: str) -> bool:
    """Put the held object in or on another one and let go."""
    thing = planner.held
    held, receiver = planner.models[thing], planner.models[target]
    if "receive" not in receiver.skills or is_covered(planner, target):
        return False
    is_hollow = receiver.form in _HOLLOW
    if held.radius_m > (0.62 if is_hollow else 0.60) * receiver.radius_m or (
        is_hollow and way_to_hold(planner, thing) == "side"
    ):
        return False
    T = planner.T_things[target]
    height = 0.30 * receiver.size_m[2] if is_hollow else 0.005
    word = "in" if is_hollow else "on"
    at = (float(T[0, 3]), float(T[1, 3]), float(T[2, 3]) + height)
    return _put(planner, thing, at, f"Put the {label} {word} the {target_label}.", frozenset({target}))


def pour(planner: HandPlanner, label: str, target: int, target_label: str) -> bool:
    """Carry the held vessel over another, tip it to the palm's side, and tip it back."""
    thing = planner.held
    vessel, receiver = planner.models[thing], planner.models[target]
    if "pour" not in vessel.skills or receiver.form not in _HOLLOW or is_covered(planner, target):
        return False
    r, _, h = vessel.size_m
    angle = float(planner.rng.uniform(np.deg2rad(75), np.deg2rad(95)))
    centre = planner.T_things[target][:3, 3]
    z = receiver.size_m[2] + 0.025
    spot = centre[:2] + np.array([0.42 * h + 0.015, -0.01])
    T_goal = _goal_upright(planner, float(spot[0]), float(spot[1]), z)
    heading = planner.grip.heading + _yaw(T_goal @ np.linalg.inv(planner.grip.T_object_wrist))
    axis = np.array([np.cos(heading), np.sin(heading), 0.0])
    left = np.array([-axis[1], axis[0], 0.0])
    lip = np.array([*spot, z + h]) + r * left
    end = np.array([*centre[:2], receiver.size_m[2] + 0.04])
    end += axis * ((lip - end) @ axis)
    # The centre of the turn by -angle about `axis` that takes the lip over the receiver.
    chord = end - lip
    middle, half = 0.5 * (lip + end), 0.5 * float(np.linalg.norm(chord))
    point = middle + np.cross(axis, chord / (2 * half)) * (-half / np.tan(angle / 2))
    near = frozenset({target})
    over = Request(T_goal, "over", f"Move the {label} over the {target_label}.", thing, 0.03 * UP, 0.05 * UP, near=near)
    tip = Request(
        None,
        "pour",
        f"Pour from the {label} into the {target_label}.",
        thing,
        pivot=(axis, point, -angle),
        near=near,
        tempo=1.2,
    )
    back = Request(None, "upright", f"Tilt the {label} back upright.", thing, pivot=(axis, point, angle), near=near)
    return planner.go(over) and planner.go(tip) and planner.go(back)


def push(planner: HandPlanner, thing: int, label: str) -> bool:
    """Push an object with the flat hand towards the palm's side."""
    if is_covered(planner, thing):
        return False
    T = planner.T_things[thing]
    model = planner.models[thing]
    wanted = natural_heading(T[0, 3], T[1, 3]) - _yaw(T) - np.pi / 2
    turn = wanted if model.is_round else np.pi / 2 * round(wanted / (np.pi / 2))
    if abs(_wrap(turn - wanted)) > np.deg2rad(42):
        return False
    grip = push_grip(planner.solids[thing], turn, planner.chains)
    T_goal = T @ grip.T_object_wrist
    R = T_goal[:3, :3]
    side = R[:, 1] * np.array([1.0, 1.0, 0.0])
    side /= np.linalg.norm(side)
    approach = 0.09 * side + 0.05 * UP + 0.03 * R[:, 0]
    opening = ((0.7, grip.open_pose),)
    if not planner.go(
        Request(T_goal, "reach", f"Reach for the {label}.", thing, planner.leave, approach, fingers=opening)
    ):
        return False
    planner.grasp(thing, grip)
    T_stop = T_goal.copy()
    T_stop[:3, 3] -= side * planner.rng.uniform(0.09, 0.16)
    x0 = zone(planner.is_shared)[0]
    if (T_stop @ np.linalg.inv(grip.T_object_wrist))[0, 3] < min(x0, 0.0) + model.radius_m:
        return False
    text = f"Push the {label} to the {planner.lateral(-side[0])}."
    if not planner.go(Request(T_stop, "push", text, thing, tremor=0.0, is_sliding=True)):
        return False
    planner.release(approach)
    return True


def turn(planner: HandPlanner, thing: int, label: str) -> bool:
    """Hold an object from above and turn it where it stands."""
    angle = float(planner.rng.choice([-1.0, 1.0]) * planner.rng.uniform(np.deg2rad(40), np.deg2rad(65)))
    grip = _fit_grip(planner, thing, "top", -0.5 * angle)
    if grip is None or is_covered(planner, thing) or not reach(planner, thing, grip, "top", label):
        return False
    is_clockwise = (angle < 0) == (planner.side == "right")
    text = f"Turn the {label} {'clockwise' if is_clockwise else 'counterclockwise'}."
    point = planner.T_things[thing][:3, 3].copy()
    if not planner.go(Request(None, "turn", text, thing, pivot=(UP, point, angle), tremor=0.0, is_sliding=True)):
        return False
    planner.release(_approach(planner.T_wrist[:3, :3], "top"))
    return True


def wipe(planner: HandPlanner, thing: int, label: str) -> bool:
    """Slide an object over the table, to and fro."""
    grip = _fit_grip(planner, thing, "top")
    if grip is None or is_covered(planner, thing) or not reach(planner, thing, grip, "top", label):
        return False
    stroke = _free_stroke(planner, thing)
    if stroke is None:
        return False
    for sign in (1.0, -1.0, 1.0)[: int(planner.rng.integers(2, 4))]:
        T_goal = planner.T_wrist.copy()
        T_goal[:3, 3] += sign * stroke
        text = f"Wipe the table to the {planner.lateral(sign * stroke[0])} with the {label}."
        if not planner.go(Request(T_goal, "wipe", text, thing, tremor=0.0, is_sliding=True)):
            return False
    planner.release(_approach(planner.T_wrist[:3, :3], "top"))
    return True


def _free_stroke(planner: HandPlanner, thing: int) -> np.ndarray | None:
    """A slide over the table, mostly sideways, on which the object meets nothing [m]."""
    here, r = planner.T_things[thing][:2, 3], planner.models[thing].radius_m
    x0, x1, _, _ = zone(planner.is_shared)
    for _ in range(30):
        stroke = planner.rng.uniform(0.09, 0.18) * np.array(
            [planner.rng.choice([-1.0, 1.0]), planner.rng.uniform(-0.5, 0.5), 0.0]
        )
        swept = here + np.linspace(0.0, 1.0, 5)[:, None] * stroke[:2]
        if x0 - 0.02 < swept[-1, 0] < x1 + 0.02 and all(
            np.linalg.norm(swept - T[:2, 3], axis=1).min() > 0.8 * r + m.radius_m
            for i, (m, T) in enumerate(zip(planner.models, planner.T_things, strict=True))
            if i != thing
        ):
            return stroke
    return None


def withdraw(planner: HandPlanner) -> bool:
    """Take the empty hand back."""
    relaxed = blend_poses(named_pose("relaxed"), named_pose("flat"), float(planner.rng.uniform(0.0, 0.4)))
    for _ in range(4):
        T_goal = rest_pose(planner.rng)
        if planner.go(
            Request(T_goal, "withdraw", "", depart=planner.leave, arrive=0.03 * UP, fingers=((0.7, relaxed),))
        ):
            planner.leave = np.array([0.0, 0.0, 0.05])
            return True
    return False


def idle(planner: HandPlanner, duration_s: float | None = None) -> bool:
    """Hover: a small slow shift."""
    rng = planner.rng
    for _ in range(4):
        shift = rng.uniform(0.015, 0.04) * _unit(rng.normal(size=3) * [1.0, 1.0, 0.6] + [0.0, 0.0, 0.3])
        T = planner.T_wrist
        turn_by = pointing(np.pi / 2 + rng.normal(0.0, 0.08), 0.0, 0.0) @ pointing(np.pi / 2, 0.0, 0.0).T
        T_goal = make(turn_by @ T[:3, :3], T[:3, 3] + shift)
        tempo = float(rng.uniform(1.2, 2.0)) if duration_s is None else duration_s / 0.6
        if planner.go(Request(T_goal, "idle", "", tempo=tempo)):
            return True
    still = Request(planner.T_wrist, "idle", "", tempo=1.5, is_sliding=True, near=frozenset(range(len(planner.models))))
    return planner.go(still)


def _unit(v: np.ndarray) -> np.ndarray:
    return v / np.linalg.norm(v)
