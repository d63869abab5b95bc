"""Sweep: crumbs on the table go into a dustpan, or onto a marked place, with a brush that stands beside them."""

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
    inside_area,
    scattered,
)
from robot.simulation.tasks.outcome import Outcome, is_dropped, is_held
from robot.simulation.tasks.start import aside_angles
from robot.simulation.tasks.things import SEEN_COLOURS, UNSEEN_COLOURS
from vitra_lib.core.errors import UnknownName
from vitra_lib.geometry.rotations import exp
from vitra_lib.geometry.transforms import make

BRUSH, PAN = "brush", "pan"
IN_PAN_SHARE = 0.8
PAN_HALF_M = (0.095, 0.070)
CRUMB_HALF_M = (0.046, 0.040)
_REST_M_S, _DEEP_M = 0.05, 0.05
_AIR_M = 0.0005  # under things at the beginning
_TURN_RAD = 0.12
_RAISED_M = 0.07  # the hand waits above the handle
_LIP_M, _LIP_RAD = 0.012, np.deg2rad(7.0)  # a ramp at the edge, 3 mm high, that keeps crumbs from rolling out


@dataclass(frozen=True)
class Tool:
    """Something to sweep with: a head with an upright handle.

    Attributes:
        category: its name.
        head_m: half sizes of the head: across the stroke, along it, and up.
        handle_m: radius and half length.
        mass_kg: of all.
        foot: colour of the head's lower half.
    """

    category: str
    head_m: tuple[float, float, float]
    handle_m: tuple[float, float]
    mass_kg: float
    foot: tuple[float, float, float]


BRUSHES = (
    Tool("brush", (0.075, 0.019, 0.020), (0.0200, 0.055), 0.18, (0.85, 0.80, 0.62)),
    Tool("brush", (0.068, 0.021, 0.020), (0.0220, 0.056), 0.18, (0.30, 0.26, 0.22)),
)
OTHER_BRUSHES = (
    Tool("brush", (0.080, 0.018, 0.018), (0.0190, 0.058), 0.17, (0.75, 0.45, 0.40)),
    Tool("brush", (0.063, 0.023, 0.022), (0.0235, 0.056), 0.20, (0.55, 0.62, 0.70)),
)
SPONGE = Tool("sponge", (0.060, 0.030, 0.022), (0.0210, 0.056), 0.16, (0.93, 0.82, 0.25))
TOOLS = {"seen": BRUSHES, "unseen-object": OTHER_BRUSHES, "unseen-category": (SPONGE,)}
PAN_COLOURS = {"grey": (0.50, 0.52, 0.55), "yellow": (0.90, 0.75, 0.20), "black": (0.15, 0.15, 0.16)}
CRUMB_COLOURS = ((0.62, 0.42, 0.20), (0.80, 0.62, 0.35), (0.35, 0.22, 0.14))


def sample(seed: int, split: str = "seen") -> Scene:
    """A scene: a standing brush on the right, crumbs in the middle, a dustpan or a marked place on the left.

    Args:
        seed: of everything in it.
        split: "unseen-object" takes other brushes and colours, "unseen-category" a sponge with a handle and a marked
            place, "unseen-background" other tables and floors.

    Raises:
        UnknownName: no such split.
    """
    if split not in SPLITS:
        raise UnknownName("split", split, SPLITS)
    rng = np.random.default_rng([seed, SPLITS.index(split), 4])
    tools = TOOLS.get(split, TOOLS["seen"])
    tool = tools[rng.integers(len(tools))]
    colours = UNSEEN_COLOURS if split == "unseen-object" else SEEN_COLOURS
    middle, turn = rng.uniform((0.42, 0.00), (0.46, 0.03)), float(rng.uniform(-_TURN_RAD, _TURN_RAD))
    R = exp(np.array([0.0, 0.0, turn]))
    brush = _brush(rng, tool, colours, _spot(R, middle, rng.uniform((-0.015, -0.145), (0.015, -0.13))))
    pan = _pan(rng, _spot(R, middle, rng.uniform((-0.01, 0.15), (0.01, 0.165))), split == "unseen-category")
    crumbs = GranuleConfig(friction=0.4, colour=CRUMB_COLOURS[rng.integers(len(CRUMB_COLOURS))])
    level = scattered(rng, int(rng.integers(14, 21)), CRUMB_HALF_M, 2.4 * crumbs.radius_m)
    points = np.column_stack([level, np.zeros(len(level))]) @ R.T
    points += [*middle, TABLE_Z_M + crumbs.radius_m]
    return Scene(
        task="sweep",
        split=split,
        seed=seed,
        instruction=f"Sweep the crumbs {'onto' if pan.category == 'mark' else 'into'} the {pan.words} "
        f"with the {brush.words}.",
        things=(brush, pan, *granule_things(points, crumbs)),
        camera=head_camera(rng),
        target=BRUSH,
        container=PAN,
        look=background(rng, split),
        start_rad=aside_angles(rng, raised_m=_RAISED_M),
    )


def outcome(simulation: Simulation, scene: Scene) -> Outcome:
    """At least 80 % of the crumbs rest in the dustpan (on the marked place), and the brush was not dropped.

    Args:
        simulation: the trial now.
        scene: what it began with.
    """
    names = granule_names(scene)
    is_in = inside_area(granule_points(simulation, scene), scene.thing(PAN).T_world_thing, PAN_HALF_M, _DEEP_M)
    speed = fastest_m_s(simulation, names, is_in)
    figures = {
        "crumbs": float(len(names)),
        "in_pan_share": float(is_in.mean()),
        "speed_in_pan_m_s": float(speed),
        "is_held": float(is_held(simulation, scene.target)),
    }
    missing = []
    if figures["in_pan_share"] < IN_PAN_SHARE:
        missing.append(f"only {is_in.sum()} of {len(names)} crumbs are where they should be")
    if speed > _REST_M_S:
        missing.append("the crumbs do not rest yet")
    if is_dropped(simulation, scene.target):
        missing.append(f"the {scene.thing(scene.target).category} was dropped")
    return Outcome(not missing, figures, "; ".join(missing))


def _spot(R: np.ndarray, middle: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Pose of something at an offset in the layout's own axes (y is the way of the stroke)."""
    return make(R, np.array([*middle, TABLE_Z_M]) + R @ [*offset, 0.0])


def _brush(rng: np.random.Generator, tool: Tool, colours: dict[str, tuple[float, ...]], T: np.ndarray) -> Thing:
    """A standing tool of random colour."""
    colour = list(colours)[rng.integers(len(colours))]
    across, along, up = tool.head_m
    radius, half = tool.handle_m
    parts = (
        Part("box", (across - 0.003, along - 0.002, 0.5 * up), _up(0.5 * up), tool.foot),
        Part("box", (across, along, 0.5 * up), _up(1.5 * up)),
        Part("cylinder", (radius, half), _up(2.0 * up + half)),
    )
    T = T @ _up(_AIR_M)
    return Thing(BRUSH, tool.category, parts, tool.mass_kg, T, colours[colour], 0.4, words=f"{colour} {tool.category}")


def _pan(rng: np.random.Generator, T: np.ndarray, is_mark: bool) -> Thing:
    """A dustpan that is open towards -y, with a small ramp there; or a square of paint."""
    colour = list(PAN_COLOURS)[rng.integers(len(PAN_COLOURS))]
    across, along = PAN_HALF_M
    if is_mark:
        paint = (Part("box", (across, along, 0.0004), _up(0.0004), is_solid=False),)
        return Thing(PAN, "mark", paint, 0.1, T, PAN_COLOURS[colour], is_fixed=True, words=f"{colour} mark")
    rise = _LIP_M * np.sin(_LIP_RAD)
    lip = make(exp(np.array([_LIP_RAD, 0.0, 0.0])), np.array([0.0, _LIP_M - along, rise - 0.002]))
    parts = (
        Part("box", (across, along, 0.0005), _up(0.0005)),
        Part("box", (across, _LIP_M, 0.002), lip),
        Part("box", (across + 0.004, 0.003, 0.016), _at(0.0, along + 0.003, 0.016)),
        *(Part("box", (0.002, along, 0.012), _at(side * (across + 0.002), 0.0, 0.012)) for side in (-1.0, 1.0)),
    )
    return Thing(PAN, "dustpan", parts, 0.3, T, PAN_COLOURS[colour], 0.4, is_fixed=True, words=f"{colour} dustpan")


def _at(x: float, y: float, z: float) -> np.ndarray:
    return make(np.eye(3), np.array([x, y, z]))


def _up(z: float) -> np.ndarray:
    return _at(0.0, 0.0, z)
