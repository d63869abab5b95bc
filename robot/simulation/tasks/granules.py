"""Granules: small balls that are poured and swept; how they begin, and counting where they are."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from robot.simulation.physics import Simulation
from robot.simulation.scene import Part, Scene, Thing
from vitra_lib.core.errors import BadInput
from vitra_lib.geometry.transforms import apply, invert, make

CATEGORY = "granule"
_AIR_M = 0.0004  # between neighbours at the beginning, so that nothing begins in contact


@dataclass(frozen=True)
class GranuleConfig:
    """What granules are like.

    Attributes:
        radius_m: of the balls.
        mass_kg: of one.
        friction: sliding friction; theirs is the larger one in a contact with something slippery.
        spin_damping: of their rotation [N m s/rad]; lets them come to rest.
        colour: RGB 0 to 1 as on a screen.
    """

    radius_m: float = 0.0065
    mass_kg: float = 0.0015
    friction: float = 0.5
    spin_damping: float = 1e-6
    colour: tuple[float, float, float] = (0.85, 0.65, 0.25)

    def __post_init__(self) -> None:
        if not 0.002 <= self.radius_m <= 0.02:
            raise BadInput(f"radius_m of a granule is {self.radius_m}; legal are 0.002 to 0.02 m.")


def granule_things(points_world: Float[np.ndarray, "granule 3"], config: GranuleConfig) -> tuple[Thing, ...]:
    """Granules at rest with their centres at the given points of the world [m]; each one's frame is at its centre."""
    part = (Part("sphere", (config.radius_m,)),)
    return tuple(
        Thing(
            f"granule_{number:02d}", CATEGORY, part, config.mass_kg, make(np.eye(3), point), config.colour,
            config.friction, spin_damping=config.spin_damping,
        )
        for number, point in enumerate(points_world)
    )  # fmt: skip


def granule_names(scene: Scene) -> tuple[str, ...]:
    """Names of the scene's granules."""
    return tuple(thing.name for thing in scene.things if thing.category == CATEGORY)


def granule_points(simulation: Simulation, scene: Scene) -> Float[np.ndarray, "granule 3"]:
    """Where the granules are [m]."""
    return np.array([simulation.T_world_thing(name)[:3, 3] for name in granule_names(scene)]).reshape(-1, 3)


def fastest_m_s(simulation: Simulation, names: tuple[str, ...], chosen: Bool[np.ndarray, " granule"]) -> float:
    """Speed of the fastest of the chosen granules; 0 where none is chosen."""
    speeds = [simulation.thing_speed(name)[0] for name, is_in in zip(names, chosen, strict=True) if is_in]
    return float(max(speeds, default=0.0))


def vessel_radius_m(part: Part, height_m: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Inner radius of a vessel at heights above its middle [m]; beyond its ends, that of the end."""
    rim, half, wall, foot = part.size_m
    return np.asarray(foot + (rim - foot) * np.clip(0.5 * (height_m / half + 1.0), 0.0, 1.0) - wall)


def stacked(part: Part, count: int, radius_m: float) -> Float[np.ndarray, "granule 3"]:
    """Centres of balls that fill a vessel in level layers from its floor upwards, in the vessel's frame [m].

    Raises:
        BadInput: the vessel is too small for so many.
    """
    _, half, wall, _ = part.size_m
    pitch = 2.0 * radius_m + _AIR_M
    height, points = -half + wall + radius_m + _AIR_M, []
    for layer in range(1000):
        ends = height + np.array([-radius_m, radius_m])
        room = float(vessel_radius_m(part, ends).min()) - radius_m - _AIR_M
        if height > half - radius_m or room < 0:
            raise BadInput(f"A vessel of {half * 2:.3f} m holds {len(points)} granules, not {count}; make it larger.")
        shift = np.array([0.5 * pitch, pitch / (2.0 * np.sqrt(3.0))]) * (layer % 2)
        level = _triangular(room, pitch, shift)
        points.extend((x, y, height) for x, y in level[: count - len(points)])
        if len(points) == count:
            return np.array(points).reshape(-1, 3)
        height += pitch
    raise BadInput(f"{count} granules are too many.")


def _triangular(room_m: float, pitch_m: float, shift: np.ndarray) -> np.ndarray:
    """Points of a triangular lattice within a circle, nearest to the middle first."""
    reach = int(np.ceil(room_m / (pitch_m * np.sqrt(0.75)))) + 2
    i, j = np.meshgrid(np.arange(-reach, reach + 1), np.arange(-reach, reach + 1), indexing="ij")
    points = np.stack([pitch_m * (i + 0.5 * j), pitch_m * np.sqrt(0.75) * j], -1).reshape(-1, 2) + shift
    distance = np.linalg.norm(points, axis=1)
    order = np.lexsort((points[:, 1], points[:, 0], distance.round(9)))
    return points[order[distance[order] <= room_m]]


def scattered(
    rng: np.random.Generator, count: int, half_m: tuple[float, float], distance_m: float
) -> Float[np.ndarray, "granule 2"]:
    """Points in a rectangle around the origin that keep a distance [m].

    Raises:
        BadInput: the rectangle is too small for so many.
    """
    points: list[np.ndarray] = []
    for _ in range(2000):
        point = rng.uniform(-1.0, 1.0, 2) * half_m
        if all(np.linalg.norm(point - other) >= distance_m for other in points):
            points.append(point)
        if len(points) == count:
            return np.array(points)
    raise BadInput(f"A rectangle of {half_m} m (half) has no room for {count} granules; make it larger.")


def inside_vessel(
    points_world: Float[np.ndarray, "granule 3"], part: Part, T_world_thing: Float[np.ndarray, "4 4"]
) -> Bool[np.ndarray, " granule"]:
    """Which points are in the hollow of a vessel, between its floor, wall and rim.

    Args:
        points_world: centres [m].
        part: the vessel.
        T_world_thing: pose of the thing that it is part of [m].
    """
    if part.kind != "vessel":
        raise BadInput(f"Granules are counted in a vessel, not in a {part.kind}.")
    points = apply(invert(T_world_thing @ part.T_thing_part), points_world)
    _, half, wall, _ = part.size_m
    inner = np.linalg.norm(points[:, :2], axis=1) < vessel_radius_m(part, points[:, 2])
    return inner & (points[:, 2] > -half) & (points[:, 2] < half)


def inside_area(
    points_world: Float[np.ndarray, "granule 3"],
    T_world_thing: Float[np.ndarray, "4 4"],
    half_m: tuple[float, float],
    height_m: float,
) -> Bool[np.ndarray, " granule"]:
    """Which points are above a rectangle around a thing's origin, up to a height [m]."""
    points = apply(invert(T_world_thing), points_world)
    level = (np.abs(points[:, :2]) <= half_m).all(1)
    return level & (points[:, 2] > -0.002) & (points[:, 2] < height_m)
