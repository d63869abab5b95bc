"""What the synthetic world is made of, and which part of it each split holds out.

Splits (`allowed`): "train" draws from the training lists alone; each other split replaces ONE list by its
held-out counterpart and leaves the rest as in training, so a change in a measured figure has one cause.

| split | surfaces (table, floor, wall, object patterns) | object instances | object categories |
|---|---|---|---|
| train | training | training | training |
| unseen-texture | held out | training | training |
| unseen-object | training | held out | training |
| unseen-category | training | instances of held-out categories | held out |
"""

from dataclasses import dataclass

from vitra_lib.core.errors import UnknownName
from vitra_lib.tabletop.config import SPLITS


@dataclass(frozen=True)
class Instance:
    """One object model.

    Attributes:
        name: unique name ("mug-2").
        category: noun used in captions ("mug").
        form: which mesh builder makes it ("mug", "bottle", "bowl", "can", "plate", "jar", "lid", "box", …).
        size_m: box forms: full extents (x, y, z); round forms: (radius, radius, height).
        skills: what hands may do with it: "carry-side", "carry-top", "pour", "push", "turn", "wipe";
            "receive" = things may be put on or in it or poured into it.
    """

    name: str
    category: str
    form: str
    size_m: tuple[float, float, float]
    skills: frozenset[str]

    @property
    def is_round(self) -> bool:
        """True for surfaces of revolution about z."""
        return self.form not in _BOX_FORMS

    @property
    def radius_m(self) -> float:
        """Radius of the circle around the footprint [m]."""
        x, y, _ = self.size_m
        return x if self.is_round else float((x * x + y * y) ** 0.5 / 2)


_BOX_FORMS = frozenset({"box", "book"})
_SIDE = frozenset({"carry-side"})
_POUR = frozenset({"carry-side", "pour"})
_TOP = frozenset({"carry-top"})


def _family(
    category: str, form: str, skills: frozenset[str], sizes_mm: tuple[tuple[int, int, int], ...]
) -> tuple[Instance, ...]:
    """Instances `category-1`… with sizes given in millimetres."""
    return tuple(
        Instance(f"{category}-{i}", category, form, (x / 1e3, y / 1e3, z / 1e3), skills)
        for i, (x, y, z) in enumerate(sizes_mm, start=1)
    )


# The last two instances of every training category are held out (split "unseen-object").
_HELD_OUT_INSTANCES = 2
_TRAIN_FAMILIES = (
    _family(
        "mug", "mug", _POUR, ((36, 36, 92), (40, 40, 85), (38, 38, 100), (34, 34, 80), (42, 42, 96), (35, 35, 106))
    ),
    _family(
        "bottle",
        "bottle",
        _POUR,
        ((32, 32, 190), (35, 35, 170), (30, 30, 205), (33, 33, 180), (36, 36, 200), (29, 29, 168)),
    ),
    _family("can", "can", _SIDE | {"turn"}, ((33, 33, 115), (36, 36, 102), (31, 31, 122), (37, 37, 110), (34, 34, 96))),
    _family("jar", "jar", _SIDE | {"turn"}, ((36, 36, 105), (38, 38, 95), (34, 34, 118), (37, 37, 125), (33, 33, 92))),
    _family(
        "box",
        "box",
        _TOP | {"push"},
        ((60, 110, 70), (50, 90, 85), (55, 120, 60), (58, 100, 95), (48, 80, 75), (56, 126, 80)),
    ),
    _family(
        "block", "box", _TOP | {"push", "turn"}, ((45, 45, 45), (50, 50, 40), (40, 60, 45), (48, 48, 56), (42, 52, 38))
    ),
    _family("sponge", "box", _TOP | {"wipe"}, ((60, 95, 32), (55, 85, 36), (62, 105, 30), (58, 90, 40), (52, 100, 34))),
    _family(
        "bowl",
        "bowl",
        frozenset({"receive", "push"}),
        ((70, 70, 60), (78, 78, 55), (64, 64, 68), (82, 82, 64), (66, 66, 52)),
    ),
    _family(
        "plate",
        "plate",
        frozenset({"receive", "push"}),
        ((95, 95, 18), (105, 105, 20), (88, 88, 16), (110, 110, 22), (82, 82, 18)),
    ),
)
_HELD_OUT_FAMILIES = (
    _family("vase", "vase", _POUR, ((36, 36, 165), (34, 34, 150), (38, 38, 180))),
    _family("tin", "can", _SIDE | {"turn"}, ((41, 41, 80), (39, 39, 92), (43, 43, 74))),
    _family("candle", "candle", _SIDE, ((30, 30, 110), (33, 33, 90), (28, 28, 130))),
    _family("brick", "box", _TOP | {"push", "turn"}, ((50, 105, 58), (46, 95, 50), (52, 100, 65))),
    _family("eraser", "box", _TOP | {"wipe"}, ((50, 100, 40), (48, 110, 36), (54, 92, 44))),
    _family("pot", "pot", frozenset({"receive", "push"}), ((72, 72, 75), (68, 68, 82), (78, 78, 70))),
)

CLUTTER_FORMS = ("book", "jar", "bottle", "box", "can")
"""What stands around and is never touched."""

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (196, 42, 40),
    "green": (48, 140, 62),
    "blue": (42, 84, 186),
    "yellow": (232, 194, 48),
    "white": (236, 234, 228),
    "black": (40, 40, 44),
    "purple": (122, 62, 150),
    "turquoise": (44, 164, 164),
    "grey": (132, 136, 140),
    "pink": (226, 128, 156),
}
"""Colour names that captions use, sRGB. Skin-like orange, brown and beige are left out on purpose."""


@dataclass(frozen=True)
class Surface:
    """A procedural texture.

    Attributes:
        name: unique name.
        family: pattern that `textures.paint` knows.
        colours: sRGB colours, dominant one first.
        tile_m: side of the square of surface that one image covers [m].
    """

    name: str
    family: str
    colours: tuple[tuple[int, int, int], ...]
    tile_m: float


_OAK, _WALNUT = ((196, 156, 108), (160, 118, 74), (222, 188, 140)), ((112, 76, 52), (78, 50, 34), (140, 100, 70))
_TRAIN_TABLES = (
    Surface("oak planks", "wood", _OAK, 0.8),
    Surface("walnut planks", "wood", _WALNUT, 0.8),
    Surface("blue check cloth", "check", ((214, 222, 234), (70, 104, 168), (140, 166, 206)), 0.24),
    Surface("green check cloth", "check", ((232, 234, 222), (70, 134, 84), (150, 188, 150)), 0.20),
    Surface("striped runner", "stripe", ((226, 218, 200), (64, 84, 120), (170, 70, 60), (120, 140, 120)), 0.30),
    Surface("dotted oilcloth", "dot", ((60, 92, 120), (236, 232, 220), (210, 170, 70)), 0.22),
    Surface("grey granite", "speckle", ((128, 128, 130), (70, 70, 74), (196, 196, 198)), 0.5),
)
_TRAIN_GROUNDS = (
    Surface("parquet", "wood", ((170, 130, 90), (130, 94, 62), (196, 158, 116)), 1.6),
    Surface("square tiles", "tile", ((206, 204, 198), (120, 120, 122), (186, 180, 170)), 1.2),
    Surface("speckled carpet", "speckle", ((94, 100, 120), (60, 64, 80), (140, 146, 164)), 1.5),
)
_TRAIN_WALLS = (
    Surface("striped wallpaper", "stripe", ((222, 224, 214), (180, 192, 186), (206, 196, 170)), 0.8),
    Surface("painted brick", "brick", ((206, 200, 190), (170, 162, 152), (220, 216, 208)), 0.9),
    Surface("dotted wallpaper", "dot", ((214, 220, 226), (120, 140, 170), (230, 214, 180)), 0.7),
)
_TRAIN_PATTERNS = ("plain", "band", "dot")

_HELD_OUT_TABLES = (
    Surface("plaid blanket", "plaid", ((150, 50, 56), (40, 60, 70), (224, 214, 190), (60, 96, 80)), 0.36),
    Surface("hexagon mosaic", "hexagon", ((90, 130, 140), (222, 222, 210), (50, 76, 96), (180, 150, 100)), 0.4),
    Surface("zigzag runner", "zigzag", ((232, 226, 214), (60, 60, 90), (190, 110, 60), (90, 140, 140)), 0.3),
)
_HELD_OUT_GROUNDS = (
    Surface("terrazzo", "terrazzo", ((220, 216, 208), (150, 90, 70), (70, 100, 90), (60, 60, 66)), 1.2),
    Surface("zigzag floor", "zigzag", ((160, 124, 88), (120, 88, 60), (190, 152, 112)), 1.0),
)
_HELD_OUT_WALLS = (
    Surface("hexagon wallpaper", "hexagon", ((226, 222, 230), (150, 140, 170), (200, 190, 210)), 0.8),
    Surface("plaid wallpaper", "plaid", ((226, 226, 214), (150, 170, 150), (196, 180, 160), (120, 130, 140)), 0.9),
)
_HELD_OUT_PATTERNS = ("zigzag", "hexagon")

SKIN_TONES: tuple[tuple[int, int, int], ...] = (
    (241, 204, 178),
    (229, 184, 150),
    (214, 162, 124),
    (190, 134, 98),
    (158, 106, 74),
    (122, 80, 56),
    (92, 60, 44),
)
"""sRGB skin colours, light to dark."""

SLEEVES: tuple[tuple[int, int, int], ...] = (
    (52, 64, 92),
    (150, 40, 48),
    (88, 100, 84),
    (210, 206, 196),
    (40, 42, 46),
    (96, 70, 110),
)
"""sRGB sleeve colours."""


@dataclass(frozen=True)
class Allowed:
    """What one split may draw from.

    Attributes:
        instances: object models for hands to use.
        clutter: object models that only stand around.
        tables, grounds, walls: surfaces.
        patterns: patterns on objects.
    """

    instances: tuple[Instance, ...]
    clutter: tuple[Instance, ...]
    tables: tuple[Surface, ...]
    grounds: tuple[Surface, ...]
    walls: tuple[Surface, ...]
    patterns: tuple[str, ...]


_BOOKS = _family("book", "book", frozenset(), ((150, 210, 30), (130, 190, 22), (170, 240, 40), (140, 200, 18)))


def allowed(split: str) -> Allowed:
    """What a split may draw from (table in the module's docstring).

    Raises:
        UnknownName: no such split.
    """
    if split not in SPLITS:
        raise UnknownName("split", split, SPLITS)
    seen = tuple(i for family in _TRAIN_FAMILIES for i in family[:-_HELD_OUT_INSTANCES])
    held = tuple(i for family in _TRAIN_FAMILIES for i in family[-_HELD_OUT_INSTANCES:])
    new = tuple(i for family in _HELD_OUT_FAMILIES for i in family)
    instances = {"unseen-object": held, "unseen-category": new}.get(split, seen)
    is_new_surface = split == "unseen-texture"
    return Allowed(
        instances=instances,
        clutter=_BOOKS + tuple(i for i in instances if i.form in CLUTTER_FORMS),
        tables=_HELD_OUT_TABLES if is_new_surface else _TRAIN_TABLES,
        grounds=_HELD_OUT_GROUNDS if is_new_surface else _TRAIN_GROUNDS,
        walls=_HELD_OUT_WALLS if is_new_surface else _TRAIN_WALLS,
        patterns=_HELD_OUT_PATTERNS if is_new_surface else _TRAIN_PATTERNS,
    )


def categories() -> tuple[str, ...]:
    """Nouns of all things that captions can name, those of training first."""
    families = (*_TRAIN_FAMILIES, *_HELD_OUT_FAMILIES)
    return tuple(family[0].category for family in families)
