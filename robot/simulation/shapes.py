"""Meshes of the solids that scenes and the rig are made of."""

import numpy as np
from jaxtyping import Float, Int

from robot.simulation.scene import Part
from vitra_lib.core.errors import UnknownName
from vitra_lib.tabletop.meshes import Mesh, box, lathe

_ARC = 7
_RIM_M = 0.0006  # rounds the corners of cylinders, so that they catch light


def solid_mesh(
    kind: str, size_m: tuple[float, ...], T: Float[np.ndarray, "4 4"] | None = None
) -> tuple[Float[np.ndarray, "vert 3"], Int[np.ndarray, "faces 3"], bool]:
    """Vertices [m], faces and smoothness of a solid.

    Args:
        kind: a kind of `Part`.
        size_m: half sizes, as in `Part`.
        T: pose of the solid; at the origin when None.

    Raises:
        UnknownName: another kind.
    """
    mesh = _mesh(kind, size_m)
    vertices = mesh.vertices
    if T is not None:
        vertices = vertices @ T[:3, :3].T + T[:3, 3]
    return vertices, mesh.faces, mesh.is_smooth


def part_mesh(part: Part) -> tuple[Float[np.ndarray, "vert 3"], Int[np.ndarray, "faces 3"], bool]:
    """Mesh of a part in its thing's frame."""
    return solid_mesh(part.kind, part.size_m, part.T_thing_part)


def _mesh(kind: str, size_m: tuple[float, ...]) -> Mesh:
    if kind == "box":
        x, y, z = (2 * float(half) for half in size_m)
        mesh = box((x, y, z), min(0.003, 0.1 * min(x, y, z)))
        return _shifted(mesh, -0.5 * z)
    arc = np.linspace(-np.pi / 2, np.pi / 2, 2 * _ARC + 1)
    if kind == "sphere":
        return lathe(size_m[0] * np.stack([np.cos(arc), np.sin(arc)], axis=1))
    if kind == "ellipsoid":
        ball = lathe(np.stack([np.cos(arc), np.sin(arc)], axis=1))
        return Mesh(ball.vertices * np.array(size_m), ball.faces, ball.uv, True)
    if kind == "capsule":
        radius, half = size_m
        lift = np.where(np.arange(len(arc)) < _ARC, -half, half)
        ring = np.stack([radius * np.cos(arc), radius * np.sin(arc) + lift], axis=1)
        return lathe(np.insert(ring, _ARC, [radius, -half], axis=0))
    if kind == "cylinder":
        r, h = size_m
        edge = min(_RIM_M, 0.1 * h, 0.1 * r)
        return lathe(np.array([(0, -h), (r - edge, -h), (r, -h + edge), (r, h - edge), (r - edge, h), (0, h)], float))
    if kind == "vessel":
        return _vessel(*size_m)
    raise UnknownName("kind of solid", kind, ("box", "sphere", "ellipsoid", "capsule", "cylinder", "vessel"))


def _vessel(rim: float, half: float, wall: float, foot: float) -> Mesh:
    """Outside up, over the rim, inside down."""
    inner_foot = foot + (rim - foot) * wall / (2 * half) - wall
    outside = [(0.0, -half), (foot, -half), (rim, half)]
    return lathe(np.array([*outside, (rim - wall, half), (inner_foot, -half + wall), (0.0, -half + wall)]))


def _shifted(mesh: Mesh, z: float) -> Mesh:
    return Mesh(mesh.vertices + np.array([0.0, 0.0, z]), mesh.faces, mesh.uv, mesh.is_smooth)
