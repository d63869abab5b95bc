"""Triangle meshes of objects, room and sleeves, built from a few lathe profiles, boxes and tubes.

Object frame: origin at the centre of the base, z up, x right, y away. Every object is symmetric under x -> -x, so a
clip of the left hand, which is planned in the mirror, uses the same meshes.
Texture coordinates: v runs up; one unit covers one tile of the texture (see `textures`).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from vitra_lib.core.errors import UnknownName
from vitra_lib.tabletop.catalog import Instance

_AROUND = 40


@dataclass(frozen=True)
class Mesh:
    """Triangles with texture coordinates.

    Attributes:
        vertices: (vert, 3) [m], in the object's own frame.
        faces: (faces, 3) outward-oriented vertex indices.
        uv: (vert, 2) texture coordinates; they repeat with period 1.
        is_smooth: True where normals are to be interpolated (surfaces of revolution), False for flat sides.
    """

    vertices: Float[np.ndarray, "vert 3"]
    faces: Int[np.ndarray, "faces 3"]
    uv: Float[np.ndarray, "vert 2"]
    is_smooth: bool = True


def join(parts: list[Mesh]) -> Mesh:
    """One mesh of several; smooth if the first one is."""
    shift = np.cumsum([0] + [len(p.vertices) for p in parts[:-1]])
    return Mesh(
        np.concatenate([p.vertices for p in parts]),
        np.concatenate([p.faces + s for p, s in zip(parts, shift, strict=True)]),
        np.concatenate([p.uv for p in parts]),
        parts[0].is_smooth,
    )


def lathe(profile: Float[np.ndarray, "points 2"]) -> Mesh:
    """Surface of revolution about z of a polyline (radius, height) [m].

    The polyline runs from the bottom centre outwards and up; walls come out with normals to the outside. Corners
    sharper than 40 degrees get a doubled ring, so that normals do not smear over edges.
    """
    steps = np.diff(profile, axis=0)
    angle = np.arctan2(steps[:, 1], steps[:, 0])
    rings: list[np.ndarray] = [profile[0]]
    breaks: list[int] = []
    for k in range(1, len(profile)):
        rings.append(profile[k])
        turn = 0.0 if k == len(profile) - 1 else abs((angle[k] - angle[k - 1] + np.pi) % (2 * np.pi) - np.pi)
        if turn > np.deg2rad(40.0):
            breaks.append(len(rings) - 1)
            rings.append(profile[k])
    rz = np.array(rings)
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(rz, axis=0), axis=1))])
    theta = np.linspace(0.0, 2 * np.pi, _AROUND + 1) - np.pi / 2
    x, y = rz[:, :1] * np.cos(theta), rz[:, :1] * np.sin(theta)
    vertices = np.stack([x, y, np.broadcast_to(rz[:, 1:], x.shape)], axis=-1).reshape(-1, 3)
    around = max(1, round(2 * np.pi * float(rz[:, 0].max()) / 0.12))
    u = np.broadcast_to(np.linspace(0.0, around, _AROUND + 1), x.shape)
    v = np.broadcast_to(length[:, None] / 0.12, x.shape)
    i, j = np.meshgrid(np.setdiff1d(np.arange(len(rz) - 1), breaks), np.arange(_AROUND), indexing="ij")
    a = (i * (_AROUND + 1) + j).ravel()
    b, c, d = a + 1, a + _AROUND + 2, a + _AROUND + 1
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    area = np.linalg.norm(
        np.cross(vertices[faces[:, 1]] - vertices[faces[:, 0]], vertices[faces[:, 2]] - vertices[faces[:, 0]]), axis=1
    )
    return Mesh(vertices, faces[area > 1e-12], np.stack([u.ravel(), v.ravel()], axis=1))


def box(size: tuple[float, float, float], bevel_m: float = 0.004) -> Mesh:
    """Box standing on z = 0 with chamfered edges; texture 0.12 m per tile."""
    half = np.array([size[0] / 2, size[1] / 2, size[2] / 2])
    bevel = min(bevel_m, 0.3 * float(half.min()))
    corners = np.array([[sx, sy, sz] for sx in (-1, 1) for sy in (-1, 1) for sz in (-1, 1)], float)
    quads = []
    for axis in range(3):
        inner = half - bevel * (np.arange(3) != axis)
        for sign in (-1.0, 1.0):
            a, b = (axis + 1) % 3, (axis + 2) % 3
            ring = []
            for ca, cb in ((-1, -1), (1, -1), (1, 1), (-1, 1)) if sign > 0 else ((-1, -1), (-1, 1), (1, 1), (1, -1)):
                p = np.zeros(3)
                p[axis], p[a], p[b] = sign * inner[axis], ca * inner[a], cb * inner[b]
                ring.append(p)
            quads.append(np.array(ring))
    for axis in range(3):  # the twelve chamfers
        a, b = (axis + 1) % 3, (axis + 2) % 3
        for sa in (-1.0, 1.0):
            for sb in (-1.0, 1.0):
                ring = []
                for end, on_a in ((-1, True), (1, True), (1, False), (-1, False)):
                    p = np.zeros(3)
                    p[axis] = end * (half[axis] - bevel)
                    p[a] = sa * (half[a] if on_a else half[a] - bevel)
                    p[b] = sb * (half[b] - bevel if on_a else half[b])
                    ring.append(p)
                quads.append(np.array(ring if sa * sb < 0 else ring[::-1]))
    triangles = []
    for c in corners:
        tri = [c * (half - bevel * (np.arange(3) != axis)) for axis in range(3)]
        triangles.append(np.array(tri if np.prod(c) > 0 else tri[::-1]))
    vertices = np.concatenate(quads + triangles) + np.array([0.0, 0.0, half[2]])
    n = 4 * len(quads)
    q = np.arange(0, n, 4)[:, None]
    t = np.arange(n, len(vertices), 3)[:, None]
    faces = np.concatenate([q + [0, 1, 2], q + [0, 2, 3], t + [0, 1, 2]])
    return Mesh(vertices, faces, _box_uv(vertices, faces), False)


def _box_uv(vertices: np.ndarray, faces: np.ndarray) -> Float[np.ndarray, "vert 2"]:
    """Texture coordinates of a vertex from the two axes across its face's normal."""
    normal = np.cross(vertices[faces[:, 1]] - vertices[faces[:, 0]], vertices[faces[:, 2]] - vertices[faces[:, 0]])
    axis = np.abs(normal).argmax(axis=1)
    uv = np.zeros((len(vertices), 2))
    for k, (a, b) in enumerate(((1, 2), (0, 2), (0, 1))):
        at = faces[axis == k].ravel()
        uv[at] = vertices[at][:, [a, b]] / 0.12
    return uv


def quad(corners: Float[np.ndarray, "4 3"], tile_m: float) -> Mesh:
    """A flat rectangle (counter-clockwise seen from its front), textured in metres."""
    size = np.linalg.norm(corners[1] - corners[0]), np.linalg.norm(corners[3] - corners[0])
    uv = np.array([[0, 0], [size[0], 0], [size[0], size[1]], [0, size[1]]]) / tile_m
    return Mesh(corners.astype(float), np.array([[0, 1, 2], [0, 2, 3]]), uv, False)


def tube(points: Float[np.ndarray, "points 3"], radii: Float[np.ndarray, " points"], around: int = 20) -> Mesh:
    """A tube along a polyline with one radius per point [m]; ends closed."""
    tangent = np.gradient(points, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    side = np.cross(tangent[0], [0.0, 0.0, 1.0] if abs(tangent[0, 2]) < 0.9 else [1.0, 0.0, 0.0])
    rings = []
    for p, t, r in zip(points, tangent, radii, strict=True):
        side = side - t * (side @ t)
        side /= np.linalg.norm(side)
        up = np.cross(t, side)
        theta = np.linspace(0, 2 * np.pi, around + 1)
        rings.append(p + r * (np.cos(theta)[:, None] * side + np.sin(theta)[:, None] * up))
    n = around + 1
    vertices = np.concatenate([*rings, points[:1], points[-1:]])
    i, j = np.meshgrid(np.arange(len(points) - 1), np.arange(around), indexing="ij")
    a = (i * n + j).ravel()
    faces = [np.stack([a, a + 1, a + n + 1], 1), np.stack([a, a + n + 1, a + n], 1)]
    k = np.arange(around)
    first, last = len(vertices) - 2, len(vertices) - 1
    faces.append(np.stack([k + 1, k, np.full(around, first)], 1))
    base = (len(points) - 1) * n
    faces.append(np.stack([base + k, base + k + 1, np.full(around, last)], 1))
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))]) / 0.12
    uv = np.stack([np.tile(np.linspace(0, 2, n), len(points)), np.repeat(length, n)], axis=1)
    return Mesh(vertices, np.concatenate(faces), np.concatenate([uv, [[0.0, 0.0], [0.0, length[-1]]]]))


def _hollow(r: float, h: float, wall: float, foot: float) -> Mesh:
    """A vessel: outer wall, rim, inner wall, floor; `foot` scales the radius at the base."""
    rise = np.linspace(0.0, 1.0, 9)[1:-1]
    shape = foot + (1 - foot) * np.sin(rise * np.pi / 2)
    outer = [(0.0, 0.0), (r * foot - 0.003, 0.0), (r * foot, 0.003), *zip(r * shape, h * rise, strict=True), (r, h)]
    inner = [(max(a - wall, 0.0), max(b, wall)) for a, b in outer[:1:-1]]
    return lathe(np.array([*outer, (r - 0.3 * wall, h + 0.001), *inner[:-1], (inner[-1][0], wall), (0.0, wall)]))


# Profiles of solid bodies, bottom to top: radius = a r + b, height = c h + d, as (a, b, c, d), b and d in metres.
_PROFILES: dict[str, tuple[tuple[float, float, float, float], ...]] = {
    "bottle": (
        (0.0, 0.0, 0.0, 0.0), (1.0, -0.004, 0.0, 0.0), (1.0, 0.0, 0.0, 0.004), (1.0, 0.0, 0.62, 0.0),
        (0.93, 0.0, 0.68, 0.0), (0.66, 0.0, 0.77, 0.0), (0.38, 0.0, 0.84, 0.0), (0.38, 0.0, 0.93, 0.0),
        (0.38, 0.003, 0.935, 0.0), (0.38, 0.003, 1.0, 0.0), (0.0, 0.0, 1.0, 0.0),
    ),
    "can": (
        (0.0, 0.0, 0.0, 0.0), (1.0, -0.004, 0.0, 0.0), (1.0, 0.0, 0.0, 0.005), (1.0, 0.0, 1.0, -0.005),
        (1.0, -0.003, 1.0, 0.0), (1.0, -0.005, 1.0, -0.003), (0.0, 0.0, 1.0, -0.003),
    ),
    "jar": (
        (0.0, 0.0, 0.0, 0.0), (1.0, -0.004, 0.0, 0.0), (1.0, 0.0, 0.0, 0.004), (1.0, 0.0, 0.70, 0.0),
        (0.90, 0.0, 0.77, 0.0), (0.90, 0.0, 0.80, 0.0), (0.98, 0.0, 0.80, 0.0), (0.98, 0.0, 1.0, -0.002),
        (0.95, 0.0, 1.0, 0.0), (0.0, 0.0, 1.0, 0.0),
    ),
    "plate": (
        (0.0, 0.0, 0.0, 0.0), (0.55, 0.0, 0.0, 0.0), (0.62, 0.0, 0.0, 0.003), (1.0, -0.002, 1.0, -0.002),
        (1.0, 0.0, 1.0, 0.0), (1.0, -0.004, 1.0, 0.0), (0.62, 0.0, 0.0, 0.006), (0.58, 0.0, 0.0, 0.005),
        (0.0, 0.0, 0.0, 0.005),
    ),
    "candle": (
        (0.0, 0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0), (1.0, 0.0, 1.0, -0.004), (0.9, 0.0, 1.0, 0.0),
        (0.3, 0.0, 1.0, -0.002), (0.0, 0.003, 1.0, -0.002), (0.0, 0.0025, 1.0, 0.012), (0.0, 0.0, 1.0, 0.012),
    ),
}  # fmt: skip
_VESSELS: dict[str, tuple[float, float]] = {
    "mug": (0.004, 1.0),
    "bowl": (0.005, 0.5),
    "pot": (0.004, 0.92),
    "vase": (0.004, 0.75),
}
"""Wall thickness [m] and radius of the foot (share of the rim's) of hollow forms."""


def _mug_handle(r: float, h: float) -> Mesh:
    turn = np.linspace(-1.25, 1.25, 13)
    height = h * (0.52 + 0.30 * np.sin(turn) / np.sin(1.25))
    return tube(np.stack([np.zeros(13), -r + 0.004 - 0.030 * np.cos(turn), height], axis=1), np.full(13, 0.0055), 12)


def _pot_ear(r: float, h: float, sign: float) -> Mesh:
    turn = np.linspace(-1.3, 1.3, 9)
    bow = np.stack([sign * (r - 0.003 + 0.022 * np.cos(turn)), 0.03 * np.sin(turn), np.full(9, 0.8 * h)], axis=1)
    return tube(bow, np.full(9, 0.005), 10)


def object_mesh(instance: Instance) -> Mesh:
    """The mesh of one catalogue entry.

    Raises:
        UnknownName: the entry's form has no builder.
    """
    r, _, h = instance.size_m
    form = instance.form
    if form in ("box", "book"):
        return box(instance.size_m, 0.008 if instance.category == "sponge" else 0.003)
    if form in _PROFILES:
        return lathe(np.array([(a * r + b, c * h + d) for a, b, c, d in _PROFILES[form]]))
    if form not in _VESSELS:
        raise UnknownName("form", form, ("box", "book", *_PROFILES, *_VESSELS))
    wall, foot = _VESSELS[form]
    body = _hollow(r, h, wall, foot)
    if form == "mug":
        return join([body, _mug_handle(r, h)])
    if form == "pot":
        return join([body, _pot_ear(r, h, -1.0), _pot_ear(r, h, 1.0)])
    return body
