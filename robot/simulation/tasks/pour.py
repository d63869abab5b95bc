"""Pour: granules go from a cup into a bowl; the cup stays in the hand."""

from dataclasses import dataclass

import numpy as np

from robot.simulation.config import TABLE_Z_M
from robot.simulation.physics import Simulation
from robot.simulation.scene import SPLITS, Part, Scene, Thing, head_camera
from robot.simulation.tasks.backgrounds import background
from robot.simulation.tasks.granules import (
    GranuleConfig,
    fastest_m_s,
    granule_names,
    granule_points,
    granule_things,
    inside_vessel,
    stacked,
)
from robot.simulation.tasks.outcome import Outcome, is_dropped, is_held
from robot.simulation.tasks.start import aside_angles
from robot.simulation.tasks.things import SEEN_COLOURS, UNSEEN_COLOURS
from vitra_lib.core.errors import UnknownName
from vitra_lib.geometry.transforms import apply, make

SOURCE, BOWL = "source", "bowl"
IN_BOWL_SHARE, ON_TABLE_SHARE = 0.8, 0.1
_REST_M_S = 0.05
_AIR_M = 0.0005  # under things at the beginning


@dataclass(frozen=True)
class Kind:
    """A category of vessels.

    Attributes:
        category: its name.
        rim_m, foot_m, height_m: lowest and highest outer radius of rim and foot, and height.
        wall_m: thickness.
        mass_kg: empty.
    """

    category: str
    rim_m: tuple[float, float]
    foot_m: tuple[float, float]
    height_m: tuple[float, float]
    wall_m: float
    mass_kg: float


CUP = Kind("cup", (0.034, 0.038), (0.028, 0.032), (0.105, 0.120), 0.003, 0.12)
CAN = Kind("can", (0.033, 0.036), (0.033, 0.036), (0.100, 0.115), 0.003, 0.10)
SLIM_CUP = Kind("cup", (0.031, 0.033), (0.027, 0.029), (0.115, 0.130), 0.003, 0.10)
WIDE_CUP = Kind("cup", (0.038, 0.040), (0.030, 0.034), (0.105, 0.115), 0.003, 0.14)
FLASK = Kind("flask", (0.026, 0.029), (0.036, 0.039), (0.110, 0.125), 0.003, 0.12)
VASE = Kind("vase", (0.039, 0.042), (0.025, 0.027), (0.115, 0.130), 0.003, 0.12)
BOWL_KIND = Kind("bowl", (0.076, 0.086), (0.046, 0.052), (0.052, 0.062), 0.004, 0.40)
SOURCES = {"seen": (CUP, CAN), "unseen-object": (SLIM_CUP, WIDE_CUP), "unseen-category": (FLASK, VASE)}
BOWL_COLOURS = {"white": (0.92, 0.92, 0.89), "grey": (0.55, 0.57, 0.60), "yellow": (0.92, 0.78, 0.25)}


def sample(seed: int, split: str = "seen") -> Scene:
    """A scene: a filled vessel on the right, a bowl on the left.

    Args:
        seed: of everything in it.
        split: "unseen-object" takes other shapes and colours of cups, "unseen-category" flasks and vases,
            "unseen-background" other tables and floors.

    Raises:
        UnknownName: no such split.
    """
    if split not in SPLITS:
        raise UnknownName("split", split, SPLITS)
    rng = np.random.default_rng([seed, SPLITS.index(split), 3])
    kinds = SOURCES.get(split, SOURCES["seen"])
    colours = UNSEEN_COLOURS if split == "unseen-object" else SEEN_COLOURS
    source = _vessel(rng, SOURCE, kinds[rng.integers(len(kinds))], colours, rng.uniform((0.42, -0.15), (0.49, -0.03)))
    bowl = _vessel(rng, BOWL, BOWL_KIND, BOWL_COLOURS, rng.uniform((0.40, 0.15), (0.46, 0.20)))
    granules = GranuleConfig()
    points = stacked(source.parts[0], int(rng.integers(15, 21)), granules.radius_m)
    filling = granule_things(apply(source.T_world_thing @ source.parts[0].T_thing_part, points), granules)
    return Scene(
        task="pour",
        split=split,
        seed=seed,
        instruction=f"Pour the granules from the {source.words} into the {bowl.words}.",
        things=(source, bowl, *filling),
        camera=head_camera(rng),
        target=SOURCE,
        container=BOWL,
        look=background(rng, split),
        start_rad=aside_angles(rng),
    )


def outcome(simulation: Simulation, scene: Scene) -> Outcome:
    """At least 80 % of the granules rest in the bowl, at most 10 % are neither there nor in the vessel, and the vessel
    was not dropped.

    Args:
        simulation: the trial now.
        scene: what it began with.
    """
    names = granule_names(scene)
    points = granule_points(simulation, scene)
    bowl, source = (_inside(simulation, scene.thing(name), points) for name in (scene.container, scene.target))
    speed = fastest_m_s(simulation, names, bowl)
    figures = {
        "granules": float(len(names)),
        "in_bowl_share": float(bowl.mean()),
        "in_source_share": float((source & ~bowl).mean()),
        "on_table_share": float((~bowl & ~source).mean()),
        "speed_in_bowl_m_s": float(speed),
        "is_held": float(is_held(simulation, scene.target)),
    }
    missing = []
    if figures["in_bowl_share"] < IN_BOWL_SHARE:
        missing.append(f"only {bowl.sum()} of {len(names)} granules are in the bowl")
    if figures["on_table_share"] > ON_TABLE_SHARE:
        missing.append(f"{(~bowl & ~source).sum()} of {len(names)} granules were spilled")
    if speed > _REST_M_S:
        missing.append("the granules do not rest yet")
    if is_dropped(simulation, scene.target):
        missing.append(f"the {scene.thing(scene.target).category} was dropped")
    return Outcome(not missing, figures, "; ".join(missing))


def _inside(simulation: Simulation, vessel: Thing, points: np.ndarray) -> np.ndarray:
    return inside_vessel(points, vessel.parts[0], simulation.T_world_thing(vessel.name))


def _vessel(
    rng: np.random.Generator, name: str, kind: Kind, colours: dict[str, tuple[float, float, float]], at: np.ndarray
) -> Thing:
    """A vessel of random size and colour, standing at a place of the table."""
    colour = list(colours)[rng.integers(len(colours))]
    rim, height = float(rng.uniform(*kind.rim_m)), float(rng.uniform(*kind.height_m))
    foot = rim if kind.rim_m == kind.foot_m else float(rng.uniform(*kind.foot_m))
    shape = (rim, 0.5 * height, kind.wall_m, foot)
    part = Part("vessel", shape, make(np.eye(3), np.array([0.0, 0.0, 0.5 * height])))
    T_world_thing = make(np.eye(3), np.array([*at, TABLE_Z_M + _AIR_M]))
    words = f"{colour} {kind.category}"
    return Thing(name, kind.category, (part,), kind.mass_kg, T_world_thing, colours[colour], words=words)
