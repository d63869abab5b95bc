"""Light on surfaces: soft shadows from round lamps, ambient occlusion, diffuse light with a skin term, highlights."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from vitra_lib.tabletop.render.scene import AreaLight, Background, Scene
from vitra_lib.tabletop.render.tracing import Hits, PackedScene

_BAYER = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]])
_SKIN_WRAP = np.array([0.34, 0.16, 0.11], np.float32)
_SURFACE_OFFSET_M = 6e-4
_SKIN_OFFSET_M = 1.8e-3
# The plastic number's powers give a two-dimensional sequence that is even at any length (M. Roberts 2018).
_R2 = np.array([0.7548776662466927, 0.5698402909980532])


@dataclass(frozen=True)
class Surface:
    """What the rays hit, in the world.

    Attributes:
        points, normals, view: (n, 3) float32 position [m], unit shading normal, unit direction to the camera.
        geometric: (n, 3) unit normal of the triangle, towards the camera.
        albedo: (n, 3) linear RGB.
        owner: (n,) index of the object.
        pattern: (n,) which of the repeating sample patterns a point uses.
    """

    points: Float[np.ndarray, "point 3"]
    normals: Float[np.ndarray, "point 3"]
    view: Float[np.ndarray, "point 3"]
    geometric: Float[np.ndarray, "point 3"]
    albedo: Float[np.ndarray, "point 3"]
    owner: Int[np.ndarray, " point"]
    pattern: Int[np.ndarray, " point"]


def screen_pattern(x: Int[np.ndarray, " point"], y: Int[np.ndarray, " point"]) -> Int[np.ndarray, " point"]:
    """Pattern number 0..15 of each pixel: neighbours in a 4x4 block never share one."""
    return _BAYER[y % 4, x % 4]


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.maximum(np.sqrt(np.einsum("ij,ij->i", x, x))[:, None], np.float32(1e-12))


def _object_values(packed: PackedScene, name: str) -> np.ndarray:
    return np.array([getattr(thing, name) for thing in packed.objects], np.float32)


def _blend(attributes: np.ndarray, corner: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Interpolate vertex attributes inside triangles."""
    values = attributes[corner[:, 0]] * (1 - u - v)
    values += attributes[corner[:, 1]] * u
    values += attributes[corner[:, 2]] * v
    return values


def gather(
    packed: PackedScene,
    hits: Hits,
    origin: Float[np.ndarray, "3"],
    directions: Float[np.ndarray, "ray 3"],
    pixel_angle: float,
    pattern: Int[np.ndarray, " ray"],
) -> tuple[Int[np.ndarray, " point"], Surface]:
    """Position, normal and albedo where rays hit.

    Args:
        packed: the committed scene.
        hits: result of `first_hits` for these rays.
        origin: (3,) of all rays.
        directions: (n, 3) of the rays.
        pixel_angle: angle that a pixel spans [rad]; picks the texture's level of detail.
        pattern: (n,) sample pattern per ray.

    Returns:
        rows: which rays hit something, and their surface.
    """
    rows = np.flatnonzero(hits.face >= 0)
    face = hits.face[rows]
    u, v = hits.u[rows, None], hits.v[rows, None]
    corner = packed.faces[face]
    values = _blend(packed.attributes, corner, u, v)
    ray = directions[rows]
    points = origin.astype(np.float32) + ray * hits.distance[rows, None]
    view = -_unit(ray)
    normals, geometric = _unit(values[:, :3]), packed.face_normals[face]
    away = np.einsum("ij,ij->i", geometric, view) < 0
    normals = np.where(away[:, None], -normals, normals)
    geometric = np.where(away[:, None], -geometric, geometric)
    albedo, owner = values[:, 3:6], packed.owner[face]
    for k, thing in enumerate(packed.objects):
        if thing.texture is None:
            continue
        mine = np.flatnonzero(owner == k)
        if len(mine) == 0:
            continue
        coords = _blend(packed.texture_coords, corner[mine], u[mine], v[mine])
        uv = np.take_along_axis(coords, packed.uv_axes[face[mine]], axis=1)
        far = np.sqrt(((points[mine] - origin.astype(np.float32)) ** 2).sum(axis=1))
        slope = np.abs(np.einsum("ij,ij->i", geometric[mine], view[mine]))
        # Halfway between the footprint's short and long side: sharper than its area, little aliasing.
        footprint = far * np.float32(pixel_angle) / np.sqrt(np.maximum(slope, 0.05))
        albedo[mine] = albedo[mine] * thing.texture.sample(uv, footprint)
    return rows, Surface(points, normals, view, geometric, albedo, owner, pattern[rows])


def _sequence(pattern: np.ndarray, sample: int, samples: int, seed: int) -> np.ndarray:
    """(n, 2) float32 points in the unit square: one well-spread set over all patterns and samples."""
    table = np.arange(64 * samples)[:, None] * _R2 + np.random.default_rng(seed).random(2)
    return (table % 1.0).astype(np.float32)[pattern * samples + sample]


def _start(packed: PackedScene, surface: Surface) -> np.ndarray:
    """Where secondary rays start: a little off the surface, further off skin, which light can pass under."""
    skin = _object_values(packed, "subsurface")[surface.owner, None]
    return surface.points + surface.geometric * (_SURFACE_OFFSET_M + skin * (_SKIN_OFFSET_M - _SURFACE_OFFSET_M))


def light_visibility(
    packed: PackedScene, surface: Surface, light: AreaLight, samples: int, seed: int
) -> Float[np.ndarray, " point"]:
    """Share of the lamp that each point sees; NaN where the surface turns away from it.

    Args:
        packed: the committed scene.
        surface: the points.
        light: the lamp.
        samples: shadow rays per point.
        seed: shifts the sample pattern.
    """
    visible = np.full(len(surface.points), np.nan, np.float32)
    centre = light.position.astype(np.float32)
    facing = np.einsum("ij,ij->i", surface.normals, centre - surface.points) > 0
    rows = np.flatnonzero(facing)
    if len(rows) == 0:
        return visible
    start = _start(packed, surface)[rows]
    axis = _unit(centre - start)
    side = _unit(np.cross(axis, np.array([0.31, 0.93, 0.2], np.float32)))
    other = np.cross(axis, side)
    clear = np.zeros(len(rows), np.float32)
    reach = np.ones(len(rows), np.float32)
    for sample in range(samples):
        square = _sequence(surface.pattern[rows], sample, samples, seed)
        radius = np.float32(light.radius_m) * np.sqrt(square[:, :1])
        angle = np.float32(2 * np.pi) * square[:, 1:]
        target = centre + radius * (np.cos(angle) * side + np.sin(angle) * other)
        clear += ~packed.is_blocked(start, target - start, reach)
    visible[rows] = clear / samples
    return visible


def ambient_visibility(
    packed: PackedScene, surface: Surface, samples: int, reach_m: float, seed: int
) -> Float[np.ndarray, " point"]:
    """Cosine-weighted share of the hemisphere that is open within `reach_m`.

    Args:
        packed: the committed scene.
        surface: the points.
        samples: rays per point; 0 gives 1 everywhere.
        reach_m: what is further away does not darken [m].
        seed: shifts the sample pattern.
    """
    if samples == 0:
        return np.ones(len(surface.points), np.float32)
    start = _start(packed, surface)
    reach = np.full(len(start), reach_m, np.float32)
    is_open = np.zeros(len(start), np.float32)
    for sample in range(samples):
        square = _sequence(surface.pattern, sample, samples, seed + 1)
        z = 2 * square[:, :1] - 1
        ring, angle = np.sqrt(np.maximum(1 - z * z, 0)), np.float32(2 * np.pi) * square[:, 1:]
        ball = np.concatenate([ring * np.cos(angle), ring * np.sin(angle), z], axis=1)
        # A point of the unit sphere around the tip of the normal is cosine-distributed.
        direction = _unit(surface.normals + np.float32(0.999) * ball)
        is_open += ~packed.is_blocked(start, direction, reach, all_objects=True)
    return is_open / samples


def _environment(background: Background, cosine: np.ndarray) -> np.ndarray:
    """Light from all around on a surface whose normal has this cosine to `up`: the environment, blurred."""
    rise = (0.5 + 0.5 * cosine)[:, None].astype(np.float32)
    top = (0.7 * background.top + 0.3 * background.horizon).astype(np.float32)
    bottom = (0.7 * background.bottom + 0.3 * background.horizon).astype(np.float32)
    return (bottom + rise * (top - bottom)) * np.float32(background.ambient)


def compose(
    packed: PackedScene,
    scene: Scene,
    surface: Surface,
    visibility: list[Float[np.ndarray, " point"]],
    openness: Float[np.ndarray, " point"],
) -> Float[np.ndarray, "point 3"]:
    """Linear RGB of surface points.

    Args:
        packed: the committed scene.
        scene: its lights and background.
        surface: the points.
        visibility: per light, (n,) share of the lamp seen, NaN where turned away.
        openness: (n,) result of `ambient_visibility`.

    Returns:
        (n, 3) float32 linear RGB.
    """
    skin = _object_values(packed, "subsurface")[surface.owner]
    specular = _object_values(packed, "specular")[surface.owner]
    gloss = _object_values(packed, "gloss")[surface.owner]
    # Inside a crevice light has bounced off the same bright surface: occlusion darkens less and warmer.
    colour_open = openness[:, None] + (1 - openness[:, None]) * (0.25 + 0.45 * surface.albedo) * openness[:, None]
    cosine_up = surface.normals @ scene.up.astype(np.float32)
    total = surface.albedo * _environment(scene.background, cosine_up) * colour_open
    for light, seen in zip(scene.lights, visibility, strict=True):
        towards = light.position.astype(np.float32) - surface.points
        distance2 = np.einsum("ij,ij->i", towards, towards)
        towards /= np.sqrt(distance2)[:, None]
        cosine = np.einsum("ij,ij->i", surface.normals, towards)
        strength = light.colour.astype(np.float32) * (np.float32(light.reference_m**2) / distance2)[:, None]
        # Around the terminator skin passes light on, so its own shadow fades in with the cosine.
        shadowed = 1 - skin * (1 - np.clip(cosine / 0.3, 0.0, 1.0) ** 2)
        clear = np.nan_to_num(seen, nan=0.0) * shadowed + (1 - shadowed)
        wrap = skin[:, None] * _SKIN_WRAP
        diffuse = np.maximum((cosine[:, None] + wrap) / (1 + wrap), 0.0)
        total += surface.albedo * diffuse * clear[:, None] * strength
        half = _unit(towards + surface.view)
        highlight = np.maximum(np.einsum("ij,ij->i", surface.normals, half), 0.0) ** gloss
        edge = 1.0 - np.maximum(np.einsum("ij,ij->i", surface.view, half), 0.0)
        fresnel = 0.35 + 0.65 * edge**5
        total += ((cosine > 0) * clear * specular * fresnel * highlight * (gloss + 8) / 12)[:, None] * strength
    return total
