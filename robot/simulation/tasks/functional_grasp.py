"""Functional grasp: a thing is lifted by the part by which it is used, a pot by its handle, a bottle by its body."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from robot.simulation.config import TABLE_Z_M
from robot.simulation.physics import Simulation
from robot.simulation.scene import SPLITS, Part, Scene, Thing, head_camera
from robot.simulation.tasks.backgrounds import background
from robot.simulation.tasks.outcome import FINGERS, Outcome, tilt_rad
from robot.simulation.tasks.start import aside_angles
from robot.simulation.tasks.things import OTHER_OBJECTS, SEEN, SEEN_COLOURS, UNSEEN_COLOURS, Kind, make_thing, raised
from vitra_lib.core.errors import UnknownName
from vitra_lib.geometry.rotations import exp
from vitra_lib.geometry.transforms import apply, invert, make

TARGET = "target"
LIFT_M, TILT_RAD, HOLD_S = 0.08, np.deg2rad(25.0), 1.0
_LEAST_N = 0.2
_HANDLE_BELOW_RIM_M = 0.014
_POTS = {
    "seen": Kind("pot", "pot", (0.050, 0.105, 0.100, 0.0105), (0.058, 0.118, 0.112, 0.0125), 0.24),
    "unseen-object": Kind("pot", "pot", (0.044, 0.118, 0.112, 0.0130), (0.049, 0.128, 0.120, 0.0140), 0.22),
    "unseen-category": Kind("jug", "pot", (0.042, 0.150, 0.085, 0.0105), (0.048, 0.170, 0.095, 0.0120), 0.24),
}
_BOTTLES = {
    "seen": SEEN[-1],
    "unseen-object": OTHER_OBJECTS[-1],
    "unseen-category": Kind("thermos", "jar", (0.029, 0.175), (0.033, 0.210), 0.26),
}
_OTHERS = SEEN[:3]
_BEARINGS_DEG = ((50.0, 100.0), (-5.0, 25.0))
"""Directions in which the other things are, seen from the target; the hand comes from elsewhere."""


def sample(seed: int, split: str = "seen") -> Scene:
    """A scene: a pot with its handle to the right, or a bottle, and one or two other things.

    Args:
        seed: of everything in it.
        split: "unseen-object" takes other shapes, sizes and colours of pots and bottles, "unseen-category" pans and
            thermos flasks, "unseen-background" other tables and floors.

    Raises:
        UnknownName: no such split.
    """
    if split not in SPLITS:
        raise UnknownName("split", split, SPLITS)
    rng = np.random.default_rng([seed, SPLITS.index(split), 2])
    family = _POTS if seed % 2 == 0 else _BOTTLES
    kind = family.get(split, family["seen"])
    colours = list(UNSEEN_COLOURS if split == "unseen-object" else SEEN_COLOURS)
    colour = colours[rng.integers(len(colours))]
    has_handle = kind.form == "pot"
    if has_handle:
        target = make_pot(kind, colour, rng)
    else:
        place = np.array([*rng.uniform((0.31, -0.08), (0.47, 0.12)), rng.uniform(-np.pi, np.pi)])
        target = make_thing(kind, TARGET, colour, place, rng)
    others = _others(rng, target, colours)
    part = "handle" if has_handle else "body"
    return Scene(
        task="functional-grasp",
        split=split,
        seed=seed,
        instruction=f"Lift the {target.words} by its {part}.",
        things=(target, *others),
        camera=head_camera(rng),
        target=TARGET,
        look=background(rng, split),
        start_rad=aside_angles(rng),
    )


def make_pot(kind: Kind, colour: str, rng: np.random.Generator) -> Thing:
    """A pot whose handle points along its x axis, to the right of the table.

    Args:
        kind: sizes are outer radius, height, length and radius of the handle [m].
        colour: its name.
        rng: draws size and place.
    """
    radius, height, length, thick = (float(s) for s in rng.uniform(kind.low_m, kind.high_m))
    angle = np.deg2rad(rng.uniform(-92.0, -50.0))
    place = np.array([*rng.uniform((0.37, 0.07), (0.43, 0.14)), TABLE_Z_M + 0.0008])
    level = height - _HANDLE_BELOW_RIM_M
    along = make(exp(np.array([0.0, np.pi / 2, 0.0])), np.array([radius + 0.5 * length - 0.004, 0.0, level]))
    parts = (
        Part("vessel", (radius, 0.5 * height, 0.004, 0.94 * radius), raised(0.5 * height)),
        Part("box", (1.2 * thick, 0.9 * thick, 0.5 * length), along, (0.16, 0.15, 0.15)),
    )
    paint = (SEEN_COLOURS | UNSEEN_COLOURS)[colour]
    T = make(exp(np.array([0.0, 0.0, angle])), place)
    return Thing(TARGET, kind.category, parts, kind.mass_kg, T, paint, words=f"{colour} {kind.category}")


def _others(rng: np.random.Generator, target: Thing, colours: list[str]) -> list[Thing]:
    """One or two other things, beyond the target and away from the hand's way."""
    found: list[Thing] = []
    for number in range(int(rng.integers(1, 3))):
        kind = _OTHERS[rng.integers(len(_OTHERS))]
        thing = make_thing(kind, f"other_{number + 1}", colours[rng.integers(len(colours))], np.zeros(3), rng)
        away = 0.17 + 0.02 * number
        bearing = np.deg2rad(rng.uniform(*_BEARINGS_DEG[number]))
        offset = away * np.array([np.cos(bearing), np.sin(bearing)])
        place = np.array([*(target.T_world_thing[:2, 3] + offset), TABLE_Z_M + 0.0008])
        T = make(exp(np.array([0.0, 0.0, rng.uniform(-np.pi, np.pi)])), place)
        found.append(replace(thing, T_world_thing=T))
    return found


def on_functional_part(thing: Thing, points_world: Float[np.ndarray, "n 3"], T_world_thing: np.ndarray) -> np.ndarray:
    """Which points of contact are on the part by which a thing is used.

    Args:
        thing: a pot (its handle counts) or a standing vessel (its body below the shoulder counts).
        points_world: [m].
        T_world_thing: pose now [m].
    """
    points = apply(invert(T_world_thing), points_world)
    if thing.parts[0].kind == "vessel":
        return points[:, 0] > thing.parts[0].size_m[0] + 0.004
    body = thing.parts[0]
    return points[:, 2] < float(body.T_thing_part[2, 3]) + body.size_m[1]


def pressing(simulation: Simulation, scene: Scene) -> tuple[float, float]:
    """How hard the thumb, and the hardest of the fingers, press on the functional part [N]."""
    thing, T = scene.thing(scene.target), simulation.T_world_thing(scene.target)
    force = dict.fromkeys(("thumb", *FINGERS), 0.0)
    for contact in simulation.contacts():
        pair = {contact.first, contact.second}
        for finger in pair & set(force):
            if scene.target in pair and on_functional_part(thing, contact.point_world[None], T)[0]:
                force[finger] += contact.force_n
    return force["thumb"], max(force[finger] for finger in FINGERS)


def outcome(simulation: Simulation, scene: Scene) -> Outcome:
    """The thing is at least 8 cm above the table, upright within 25 degrees, held by thumb and fingers on the part by
    which it is used, and stays so for another second if the servos go on as they are.

    That second is looked at in the simulation itself, which is then brought back to now.

    Args:
        simulation: the trial now.
        scene: what it began with.
    """
    figures, missing = _now(simulation, scene)
    figures["stays_held"] = 0.0
    if not missing:
        before, target = simulation.snapshot(), simulation.target
        simulation.step(target, HOLD_S)
        later, missing = _now(simulation, scene)
        simulation.restore(before)
        if later["lifted_m"] < figures["lifted_m"] - 0.02:
            missing.append("it sinks")
        missing = [f"{what} a second later" for what in missing]
        figures["stays_held"] = float(not missing)
    return Outcome(not missing, figures, "; ".join(missing))


def _now(simulation: Simulation, scene: Scene) -> tuple[dict[str, float], list[str]]:
    words = scene.thing(scene.target).words
    thumb, fingers = pressing(simulation, scene)
    figures = {
        "lifted_m": float(simulation.T_world_thing(scene.target)[2, 3] - TABLE_Z_M),
        "tilt_deg": float(np.rad2deg(tilt_rad(simulation, scene.target))),
        "thumb_n": thumb,
        "fingers_n": fingers,
    }
    missing = []
    if figures["lifted_m"] < LIFT_M:
        missing.append(f"the {words} is {100 * figures['lifted_m']:.0f} cm above the table")
    if figures["tilt_deg"] > np.rad2deg(TILT_RAD):
        missing.append(f"it is tilted by {figures['tilt_deg']:.0f} degrees")
    if thumb < _LEAST_N or fingers < _LEAST_N:
        missing.append("thumb and fingers do not both hold it where it is used")
    return figures, missing
