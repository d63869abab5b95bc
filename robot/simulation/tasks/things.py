"""Things to grasp: categories with their shapes, sizes and colours; what is seen in training, and what is held out."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from robot.simulation.config import TABLE_Z_M
from robot.simulation.scene import Part, Thing
from vitra_lib.core.errors import UnknownName
from vitra_lib.geometry.rotations import exp
from vitra_lib.geometry.transforms import make

SEEN_COLOURS = {
    "red": (0.78, 0.16, 0.14),
    "green": (0.18, 0.55, 0.25),
    "blue": (0.15, 0.33, 0.72),
    "yellow": (0.92, 0.78, 0.20),
    "white": (0.92, 0.91, 0.88),
}
UNSEEN_COLOURS = {"purple": (0.48, 0.22, 0.62), "turquoise": (0.17, 0.64, 0.64), "black": (0.13, 0.13, 0.14)}
_DARK, _PALE = (0.22, 0.22, 0.24), (0.88, 0.86, 0.80)
_AIR_M = 0.0008  # under things at the beginning

FORMS = ("block", "ball", "ellipsoid", "cylinder", "cup", "jar", "bottle")
"""Shapes that `make_thing` knows."""


@dataclass(frozen=True)
class Kind:
    """A category, or some of its instances.

    Attributes:
        category: noun of the instruction.
        form: one of `FORMS`, or a shape that a task makes itself. Its sizes are: block (half x, half y, height) ·
            ball (radius) · ellipsoid (half axes) · cylinder, jar (radius, height) · cup (radius of the rim, radius of
            the foot, height) · bottle (radius, height of the body, height).
        low_m, high_m: smallest and largest sizes.
        mass_kg: of a thing.
    """

    category: str
    form: str
    low_m: tuple[float, ...]
    high_m: tuple[float, ...]
    mass_kg: float


SEEN = (
    Kind("block", "block", (0.023, 0.024, 0.054), (0.028, 0.034, 0.070), 0.12),
    Kind("ball", "ball", (0.029,), (0.033,), 0.08),
    Kind("can", "cylinder", (0.030, 0.100), (0.035, 0.120), 0.18),
    Kind("cup", "cup", (0.034, 0.028, 0.092), (0.038, 0.032, 0.105), 0.12),
    Kind("bottle", "bottle", (0.029, 0.115, 0.170), (0.033, 0.130, 0.195), 0.22),
)
OTHER_OBJECTS = (
    Kind("block", "block", (0.020, 0.040, 0.056), (0.023, 0.050, 0.066), 0.12),
    Kind("ball", "ball", (0.0345,), (0.036,), 0.10),
    Kind("can", "cylinder", (0.026, 0.125), (0.028, 0.140), 0.16),
    Kind("cup", "cup", (0.033, 0.033, 0.108), (0.036, 0.036, 0.118), 0.13),
    Kind("bottle", "bottle", (0.026, 0.105, 0.190), (0.028, 0.115, 0.210), 0.20),
)
OTHER_CATEGORIES = (
    Kind("jar", "jar", (0.032, 0.095), (0.036, 0.115), 0.22),
    Kind("lemon", "ellipsoid", (0.036, 0.028, 0.028), (0.042, 0.031, 0.031), 0.09),
    Kind("candle", "cylinder", (0.027, 0.110), (0.031, 0.135), 0.20),
)


def kinds_of(split: str) -> tuple[tuple[Kind, ...], dict[str, tuple[float, float, float]]]:
    """Kinds of the things that the task is about, and their colours, in a split."""
    if split == "unseen-object":
        return OTHER_OBJECTS, UNSEEN_COLOURS
    return (OTHER_CATEGORIES if split == "unseen-category" else SEEN), SEEN_COLOURS


def make_thing(kind: Kind, name: str, colour: str, place: Float[np.ndarray, "3"], rng: np.random.Generator) -> Thing:
    """A thing of a kind.

    Args:
        kind: sizes are drawn between its lowest and highest.
        name: in the scene.
        colour: its name.
        place: x, y [m] on the table, and the turn around the vertical [rad].
        rng: draws the sizes.
    """
    size = rng.uniform(kind.low_m, kind.high_m)
    paint = (SEEN_COLOURS | UNSEEN_COLOURS)[colour]
    T = make(exp(np.array([0.0, 0.0, place[2]])), np.array([place[0], place[1], TABLE_Z_M + _AIR_M]))
    rolls = kind.form in ("ball", "ellipsoid")
    return Thing(
        name=name,
        category=kind.category,
        parts=_parts(kind.form, tuple(float(s) for s in size)),
        mass_kg=kind.mass_kg,
        T_world_thing=T,
        colour=paint,
        rolling_m=0.001 if rolls else 0.0005,
        words=f"{colour} {kind.category}",
    )


def _parts(form: str, size: tuple[float, ...]) -> tuple[Part, ...]:
    """The solids of a form, standing on the origin."""
    if form == "block":
        return (Part("box", (size[0], size[1], 0.5 * size[2]), raised(0.5 * size[2])),)
    if form == "ball":
        return (Part("sphere", size, raised(size[0])),)
    if form == "ellipsoid":
        return (Part("ellipsoid", size, raised(size[2])),)
    if form == "cylinder":
        return (Part("cylinder", (size[0], 0.5 * size[1]), raised(0.5 * size[1])),)
    if form == "cup":
        return (Part("vessel", (size[0], 0.5 * size[2], 0.003, size[1]), raised(0.5 * size[2])),)
    if form == "jar":
        body = Part("cylinder", (size[0], 0.4 * size[1]), raised(0.4 * size[1]))
        return body, Part("cylinder", (0.92 * size[0], 0.1 * size[1]), raised(0.9 * size[1]), _PALE)
    if form == "bottle":
        radius, body, height = size
        neck = 0.42 * radius
        shoulder = 0.25 * (height - body)
        return (
            Part("cylinder", (radius, 0.5 * body), raised(0.5 * body)),
            Part("ellipsoid", (0.98 * radius, 0.98 * radius, 1.6 * shoulder), raised(body)),
            Part("cylinder", (neck, 0.5 * (height - body)), raised(0.5 * (height + body))),
            Part("cylinder", (1.2 * neck, 0.008), raised(height), _DARK),
        )
    raise UnknownName("form", form, FORMS)


def raised(height_m: float) -> Float[np.ndarray, "4 4"]:
    """A pose above the origin."""
    return make(np.eye(3), np.array([0.0, 0.0, height_m]))


def height_m(thing: Thing) -> float:
    """Of a standing thing."""
    return max(float(part.T_thing_part[2, 3]) + _half_height(part) for part in thing.parts)


def radius_m(thing: Thing) -> float:
    """Of the circle around a thing's footprint."""
    sizes = []
    for part in thing.parts:
        wide = float(np.hypot(*part.size_m[:2])) if part.kind == "box" else max(_wide(part))
        sizes.append(wide + float(np.hypot(*part.T_thing_part[:2, 3])))
    return max(sizes)


def _half_height(part: Part) -> float:
    if part.kind in ("box", "ellipsoid"):
        return part.size_m[2]
    return part.size_m[0] if part.kind == "sphere" else part.size_m[1]


def _wide(part: Part) -> tuple[float, ...]:
    if part.kind == "ellipsoid":
        return part.size_m[:2]
    return (part.size_m[0], part.size_m[3]) if part.kind == "vessel" else part.size_m[:1]
