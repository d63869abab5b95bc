"""Pick and place: the named thing goes into the box; the others stay where they are, or at least out of it."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from robot.simulation.config import TABLE_Z_M
from robot.simulation.physics import PARTS, Simulation
from robot.simulation.scene import SPLITS, Part, Scene, Thing, head_camera
from robot.simulation.tasks.backgrounds import background
from robot.simulation.tasks.outcome import Outcome
from robot.simulation.tasks.start import aside_angles
from robot.simulation.tasks.things import SEEN, height_m, kinds_of, make_thing, radius_m
from vitra_lib.core.errors import BadInput, UnknownName
from vitra_lib.geometry.rotations import exp
from vitra_lib.geometry.transforms import apply, invert, make

TARGET, CONTAINER = "target", "container"
INNER_HALF_M, WALL_M, DEPTH_M = (0.105, 0.085), 0.005, 0.065
"""Half the inner length and width of the box, its wall, and its inner depth."""
AWAY_M = 0.05
_REST_M_S = 0.03
_NEAR, _FAR = np.array([0.30, -0.08]), np.array([0.48, 0.09])
_OTHERS_NEAR, _OTHERS_FAR = np.array([0.26, -0.13]), np.array([0.60, 0.13])
_ROOM_M, _OWN_ROOM_M = 0.02, 0.055  # between things; between the named thing and others
_HAND_SIDE_RAD, _HAND_ROOM_M = np.deg2rad([-160.0, -40.0]), 0.30
"""Bearings, seen from the named thing, from which the hand comes, and how far they are kept free of others."""
_HAND_PARTS = set(PARTS) - {"table"}
_CARDBOARD = (0.66, 0.52, 0.36)


def sample(seed: int, split: str = "seen") -> Scene:
    """A scene: the named thing, three or four others, and an open box on the left.

    No two things have the same words; some others share the named thing's colour or its category.

    Args:
        seed: of everything in it.
        split: "unseen-object" takes other shapes, sizes and colours of the categories, "unseen-category" other
            categories, "unseen-background" other tables and floors.

    Raises:
        UnknownName: no such split.
    """
    if split not in SPLITS:
        raise UnknownName("split", split, SPLITS)
    rng = np.random.default_rng([seed, SPLITS.index(split), 1])
    kinds, colours = kinds_of(split)
    every = kinds if split != "unseen-category" else (*kinds, *SEEN)
    names = list(colours)
    wanted = kinds[rng.integers(len(kinds))], names[rng.integers(len(names))]
    others: list[tuple] = []
    for number in range(int(rng.integers(3, 5))):
        choices = [(kind, colour) for kind in every for colour in names]
        if number == 0:  # something that only the colour tells apart
            choices = [choice for choice in choices if choice[0].category == wanted[0].category]
        elif number == 1:  # something that only the category tells apart
            choices = [choice for choice in choices if choice[1] == wanted[1]]
        taken = {(kind.category, colour) for kind, colour in (wanted, *others)}
        choices = [choice for choice in choices if (choice[0].category, choice[1]) not in taken]
        others.append(choices[rng.integers(len(choices))])
    things = [
        make_thing(kind, TARGET if number == 0 else f"other_{number}", colour, np.zeros(3), rng)
        for number, (kind, colour) in enumerate((wanted, *others))
    ]
    container = open_box(rng.uniform((0.38, 0.275), (0.43, 0.295)), rng.uniform(-0.15, 0.15))
    placed = scattered(rng, things)
    return Scene(
        task="pick-place",
        split=split,
        seed=seed,
        instruction=f"Put the {things[0].words} into the box.",
        things=(*placed, container),
        camera=head_camera(rng),
        target=TARGET,
        container=CONTAINER,
        look=background(rng, split),
        start_rad=aside_angles(rng),
    )


def scattered(rng: np.random.Generator, things: list[Thing]) -> tuple[Thing, ...]:
    """The things at random places; the first one has more room around it, and its right side is free for the hand.

    Raises:
        BadInput: there is no room for so many.
    """
    for _ in range(200):
        places = [rng.uniform(_NEAR, _FAR)]
        for thing in things[1:]:
            for _ in range(60):
                place = rng.uniform(_OTHERS_NEAR, _OTHERS_FAR)
                gaps = [np.linalg.norm(place - other) - radius_m(things[k]) for k, other in enumerate(places)]
                room = np.array(gaps) - radius_m(thing) - np.r_[_OWN_ROOM_M, np.full(len(gaps) - 1, _ROOM_M)]
                if (room >= 0).all() and not _is_in_the_way(place - places[0]):
                    places.append(place)
                    break
        if len(places) == len(things):
            return tuple(_moved(thing, place, rng) for thing, place in zip(things, places, strict=True))
    raise BadInput(f"There is no room on the table for {len(things)} things.")


def _is_in_the_way(offset: np.ndarray) -> bool:
    bearing = np.arctan2(offset[1], offset[0])
    return bool(_HAND_SIDE_RAD[0] < bearing < _HAND_SIDE_RAD[1] and np.linalg.norm(offset) < _HAND_ROOM_M)


def _moved(thing: Thing, place: np.ndarray, rng: np.random.Generator) -> Thing:
    turn = exp(np.array([0.0, 0.0, rng.uniform(-np.pi, np.pi)]))
    return replace(thing, T_world_thing=make(turn, np.array([*place, thing.T_world_thing[2, 3]])))


def open_box(centre: Float[np.ndarray, "2"], turn_rad: float) -> Thing:
    """An open cardboard box on the table."""
    (x, y), wall, depth = INNER_HALF_M, WALL_M, DEPTH_M
    outside, high = 0.5 * wall, 0.5 * (depth + wall)
    parts = [Part("box", (x + wall, y + wall, outside), make(np.eye(3), np.array([0.0, 0.0, outside])))]
    for sign in (-1.0, 1.0):
        parts.append(Part("box", (outside, y + wall, high), make(np.eye(3), np.array([sign * (x + outside), 0, high]))))
        parts.append(Part("box", (x + wall, outside, high), make(np.eye(3), np.array([0, sign * (y + outside), high]))))
    T = make(exp(np.array([0.0, 0.0, turn_rad])), np.array([*centre, TABLE_Z_M + 0.0005]))
    return Thing(CONTAINER, "box", tuple(parts), 0.7, T, _CARDBOARD, friction=1.0, words="box")


def outcome(simulation: Simulation, scene: Scene) -> Outcome:
    """The named thing rests in the box, no other thing is in it, and the hand has let go and is away.

    Args:
        simulation: the trial now.
        scene: what it began with.
    """
    inside = {
        thing.name: is_inside(simulation, thing.name, scene.container)
        for thing in scene.things
        if thing.name != scene.container
    }
    others = sum(inside[name] for name in inside if name != scene.target)
    place = simulation.T_world_thing(scene.target)[:3, 3]
    speed, spin = simulation.thing_speed(scene.target)
    hand = np.vstack([simulation.tips_world, simulation.palm_world])
    figures = {
        "is_inside": float(inside[scene.target]),
        "others_inside": float(others),
        "distance_to_box_m": float(np.linalg.norm(place - simulation.T_world_thing(scene.container)[:3, 3])),
        "lifted_m": float(place[2] - TABLE_Z_M),
        "speed_m_s": speed,
        "hand_distance_m": float(np.linalg.norm(hand - place, axis=1).min()),
    }
    missing = []
    if not inside[scene.target]:
        missing.append(f"the {scene.thing(scene.target).words} is not in the box")
    if others:
        missing.append(f"{others} other things are in the box")
    if speed > _REST_M_S or spin > 20 * _REST_M_S:
        missing.append("it does not rest yet")
    if _HAND_PARTS & set(simulation.touching(scene.target)) or figures["hand_distance_m"] < AWAY_M:
        missing.append("the hand has not let go")
    return Outcome(not missing, figures, "; ".join(missing))


def is_inside(simulation: Simulation, name: str, container: str) -> bool:
    """The middle of a thing is between the walls of the box, and the thing touches nothing outside of it."""
    T_container = simulation.T_world_thing(container)
    thing = simulation.scene.thing(name)
    middle = apply(simulation.T_world_thing(name), np.array([[0.0, 0.0, 0.5 * height_m(thing)]]))
    x, y, z = apply(invert(T_container), middle)[0]
    level = abs(x) < INNER_HALF_M[0] and abs(y) < INNER_HALF_M[1]
    return bool(level and 0 < z < 2.2 * DEPTH_M and "table" not in simulation.touching(name))
