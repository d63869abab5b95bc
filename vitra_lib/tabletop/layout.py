"""What stands on the table: which objects, in which colours, where, and on what."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from vitra_lib.contracts.hand_track import Side
from vitra_lib.hands.kinematics import BoneChains, chains_of
from vitra_lib.hands.model import load_hand_model
from vitra_lib.tabletop.arm import natural_heading
from vitra_lib.tabletop.catalog import COLOURS, SKIN_TONES, SLEEVES, Allowed, Instance, Surface, allowed
from vitra_lib.tabletop.config import ClipConfig
from vitra_lib.tabletop.grip import grip_of
from vitra_lib.tabletop.solids import turned

TABLE_SIZE_M = (1.3, 0.8)
FLOOR_Z_M = -0.74
WALL_Y_M = 1.9
_GAP_M, _MIN_GAP_M = 0.055, 0.01
_TRIES = 60


@dataclass(frozen=True)
class Thing:
    """One object of a scene.

    Attributes:
        instance: its model.
        colour: name in `catalog.COLOURS`.
        pattern: texture family of its surface.
        owner: the hand that may use it; None for clutter.
        T_table_object: (4, 4) pose at the start; maps points in the object to the table.
    """

    instance: Instance
    colour: str
    pattern: str
    owner: Side | None
    T_table_object: Float[np.ndarray, "4 4"]

    @property
    def label(self) -> str:
        """How captions call it: "red mug"."""
        return f"{self.colour} {self.instance.category}"


@dataclass(frozen=True)
class Scene:
    """Everything that does not move by itself.

    Attributes:
        things: objects, those for hands first.
        table, ground, wall: surfaces.
        skin, sleeve: sRGB colours.
        sleeve_start_m: distance from the wrist at which the sleeve begins [m].
        light: (3,) unit vector towards the main light, table frame.
        ambient: share of light that comes from everywhere.
        betas: (10,) hand shape, shared by both hands.
        texture_seed: of grain and irregularity.
    """

    things: tuple[Thing, ...]
    table: Surface
    ground: Surface
    wall: Surface
    skin: tuple[int, int, int]
    sleeve: tuple[int, int, int]
    sleeve_start_m: float
    light: Float[np.ndarray, "3"]
    ambient: float
    betas: Float[np.ndarray, "10"]
    texture_seed: int


def mirror_pose(T: Float[np.ndarray, "*batch 4 4"]) -> Float[np.ndarray, "*batch 4 4"]:
    """The same pose seen in the mirror x -> -x of both frames: M T M."""
    sign = np.array([-1.0, 1.0, 1.0, 1.0])
    return T * sign[:, None] * sign[None, :]


def sample_scene(config: ClipConfig) -> Scene:
    """Draw a scene; the same configuration always gives the same one."""
    rng = np.random.default_rng([config.seed, 1])
    pool = allowed(config.split)
    azimuth, elevation = rng.uniform(-np.pi, np.pi), rng.uniform(np.deg2rad(45), np.deg2rad(75))
    light = np.array([np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)])
    betas = np.clip(rng.normal(0.0, 0.6, 10), -1.5, 1.5)
    things = _sample_things(config, pool, chains_of(load_hand_model().rest_joints(betas)), rng)
    return Scene(
        things=tuple(things),
        table=pool.tables[rng.integers(len(pool.tables))],
        ground=pool.grounds[rng.integers(len(pool.grounds))],
        wall=pool.walls[rng.integers(len(pool.walls))],
        skin=SKIN_TONES[rng.integers(len(SKIN_TONES))],
        sleeve=SLEEVES[rng.integers(len(SLEEVES))],
        sleeve_start_m=float(rng.uniform(0.05, 0.13)),
        light=light,
        ambient=float(rng.uniform(0.35, 0.5)),
        betas=betas,
        texture_seed=int(rng.integers(2**31)),
    )


def _owners(config: ClipConfig) -> list[Side]:
    """The hand of each object: alternating when there are two."""
    if config.hands != "both":
        return [config.hands] * config.objects
    return ["right" if k % 2 == 0 else "left" for k in range(config.objects)]


def _choose_instances(count: int, pool: Allowed, rng: np.random.Generator) -> list[Instance]:
    """Different categories for one hand: something to pour or carry, something to put things on, then anything."""
    chosen: list[Instance] = []
    for wanted in ("pour", "receive", "carry-top", None, None, None, None, None)[:count]:
        taken = {i.category for i in chosen}
        options = [
            i for i in pool.instances if i.skills and i.category not in taken and (wanted is None or wanted in i.skills)
        ]
        if not options:
            options = [i for i in pool.instances if i.skills]
        categories = sorted({i.category for i in options})
        category = categories[rng.integers(len(categories))]
        models = [i for i in options if i.category == category]
        chosen.append(models[rng.integers(len(models))])
    return chosen


def _sample_things(config: ClipConfig, pool: Allowed, chains: BoneChains, rng: np.random.Generator) -> list[Thing]:
    owners = _owners(config)
    wanted: list[tuple[Instance, Side | None]] = []
    for side in ("right", "left"):
        wanted += [(i, side) for i in _choose_instances(owners.count(side), pool, rng)]
    headings = {i.name: _grip_heading(i, chains) for i, _ in wanted}
    wanted += [(pool.clutter[rng.integers(len(pool.clutter))], None) for _ in range(config.clutter)]
    gap = _GAP_M
    while True:  # a table that turns out too full is laid again, a little more tightly
        things: list[Thing] = []
        for instance, owner in wanted:
            T = _place(
                Spot(instance, owner, config.hands == "both", headings.get(instance.name, 0.0), gap), things, rng
            )
            if T is None and owner is not None:
                gap = max(0.92 * gap, _MIN_GAP_M)
                break
            if T is not None:
                things.append(Thing(instance, _colour(instance, things, rng), str(rng.choice(pool.patterns)), owner, T))
        else:
            return things


def _grip_heading(instance: Instance, chains: BoneChains) -> float:
    """Where the fingers point in the object's frame when a right hand holds it [rad]."""
    if not instance.skills & {"carry-side", "carry-top"}:
        return np.pi / 2
    return grip_of(instance, "side" if "carry-side" in instance.skills else "top", chains).heading


def _colour(instance: Instance, things: list[Thing], rng: np.random.Generator) -> str:
    """A colour that no other object of this category has."""
    taken = {t.colour for t in things if t.instance.category == instance.category}
    free = [c for c in COLOURS if c not in taken]
    return free[rng.integers(len(free))]


def zone(is_shared: bool) -> tuple[float, float, float, float]:
    """(x_min, x_max, y_min, y_max) [m] of a right hand's working area; narrower when two hands share the table."""
    return (0.07 if is_shared else -0.14, 0.32, 0.21, 0.42)


@dataclass(frozen=True)
class Spot:
    """What a place on the table must suit.

    Attributes:
        instance: what is to stand there.
        owner: the hand that uses it, None for clutter.
        is_shared: another hand works on the other side.
        grip_heading: direction of the fingers in the object's frame [rad]; the object is turned to suit the hand.
        gap_m: distance to keep from everything else [m].
    """

    instance: Instance
    owner: Side | None
    is_shared: bool
    grip_heading: float
    gap_m: float


def _place(spot: Spot, things: list[Thing], rng: np.random.Generator) -> np.ndarray | None:
    """A free pose on the table, or None. Tall things stand further back, clutter stands around the working area."""
    instance = spot.instance
    for _ in range(_TRIES):
        if spot.owner is None:
            x, y = rng.uniform(-0.55, 0.55), rng.uniform(0.12, 0.72)
            if abs(x) < 0.38 + instance.radius_m and y < 0.52 + instance.radius_m:
                continue
            T = turned(rng.uniform(-np.pi, np.pi), x, y)
        else:
            x0, x1, y0, y1 = zone(spot.is_shared)
            low = y0 + 0.5 * (y1 - y0) if instance.size_m[2] > 0.07 else y0 + max(instance.radius_m - 0.05, 0.0)
            x, y = rng.uniform(x0, x1), rng.uniform(low, y1)
            T = turned(natural_heading(x, y) - spot.grip_heading + rng.uniform(-0.2, 0.2), x, y)
            T = T if spot.owner == "right" else mirror_pose(T)
        if all(
            np.linalg.norm(T[:2, 3] - t.T_table_object[:2, 3]) > instance.radius_m + t.instance.radius_m + spot.gap_m
            for t in things
        ):
            return T
    return None
