"""Visibility through Embree: which triangle a ray meets, and whether something lies in its way."""

from dataclasses import dataclass

import numpy as np
from embreex import rtcore_scene
from embreex.mesh_construction import TriangleMesh
from jaxtyping import Float, Int

from vitra_lib.tabletop.render.scene import RenderObject, Scene

MISS = -1


@dataclass(frozen=True)
class Hits:
    """First hits of n rays.

    Attributes:
        face: (n,) index into the packed faces, -1 where nothing is hit.
        u, v: (n,) barycentric weights of the face's second and third vertex.
        distance: (n,) ray parameter of the hit.
    """

    face: Int[np.ndarray, " ray"]
    u: Float[np.ndarray, " ray"]
    v: Float[np.ndarray, " ray"]
    distance: Float[np.ndarray, " ray"]


def _smooth_normals(vertices: np.ndarray, faces: np.ndarray, cross: np.ndarray) -> np.ndarray:
    n = len(vertices)
    total = np.stack([np.bincount(faces.ravel(), np.repeat(cross[:, k], 3), n) for k in range(3)], axis=1)
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-20)


def _attributes(thing: RenderObject) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Vertices, faces, per-vertex (normal, albedo, texture coordinates) and per-face texture axes of one object."""
    vertices, faces = np.asarray(thing.vertices, np.float64), np.asarray(thing.faces)
    coords = vertices if thing.texture_coords is None else thing.texture_coords
    albedo = np.broadcast_to(thing.albedo, vertices.shape)
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    cross = np.cross(b - a, c - a)
    if thing.is_smooth:
        normals = _smooth_normals(vertices, faces, cross)
    else:
        # Flat facets share nothing: every face gets three vertices of its own.
        corners = faces.ravel()
        vertices, albedo, coords = vertices[corners], albedo[corners], coords[corners]
        unit = cross / np.maximum(np.linalg.norm(cross, axis=1, keepdims=True), 1e-20)
        normals = np.repeat(unit, 3, axis=0)
        faces = np.arange(len(corners)).reshape(-1, 3)
    ta, tb, tc = (coords[faces[:, i]] for i in range(3))
    thin = np.abs(np.cross(tb - ta, tc - ta)).argmax(axis=1)
    uv_axes = np.array([[1, 2], [0, 2], [0, 1]])[thin]
    return vertices, faces, np.concatenate([normals, albedo, coords], axis=1), uv_axes


class PackedScene:
    """All objects of a scene as one triangle soup with attributes, committed to Embree.

    Args:
        scene: what to pack.
    """

    def __init__(self, scene: Scene) -> None:
        vertices, faces, attributes, uv_axes, owner, first = [], [], [], [], [], 0
        for k, thing in enumerate(scene.objects):
            part = _attributes(thing)
            vertices.append(part[0])
            faces.append(part[1] + first)
            attributes.append(part[2])
            uv_axes.append(part[3])
            owner.append(np.full(len(part[1]), k))
            first += len(part[0])
        self.objects = scene.objects
        self.is_empty = not vertices
        if self.is_empty:
            return
        self.vertices = np.ascontiguousarray(np.concatenate(vertices), np.float32)
        self.faces = np.ascontiguousarray(np.concatenate(faces), np.int32)
        packed = np.concatenate(attributes)
        self.attributes = np.ascontiguousarray(packed[:, :6], np.float32)
        self.texture_coords = np.ascontiguousarray(packed[:, 6:], np.float32)
        self.uv_axes = np.concatenate(uv_axes)
        self.owner = np.concatenate(owner).astype(np.int32)
        a, b, c = (self.vertices[self.faces[:, i]] for i in range(3))
        cross = np.cross(b - a, c - a)
        self.face_normals = cross / np.maximum(np.linalg.norm(cross, axis=1, keepdims=True), 1e-20)
        self._all = self._commit(self.faces)
        shades = np.array([thing.casts_shadow for thing in scene.objects])
        self._casters = self._all if shades.all() else self._commit(self.faces[shades[self.owner]])

    def _commit(self, faces: np.ndarray) -> rtcore_scene.EmbreeScene | None:
        if len(faces) == 0:
            return None
        embree = rtcore_scene.EmbreeScene()
        TriangleMesh(embree, self.vertices, np.ascontiguousarray(faces))
        return embree

    def first_hits(self, origins: Float[np.ndarray, "ray 3"], directions: Float[np.ndarray, "ray 3"]) -> Hits:
        """The nearest triangle along each ray; directions need not be unit length.

        Args:
            origins, directions: (n, 3) float32 in the world.
        """
        if self.is_empty or len(origins) == 0:
            n = len(origins)
            zero = np.zeros(n, np.float32)
            return Hits(np.full(n, MISS, np.int32), zero, zero, np.full(n, np.inf, np.float32))
        out = self._all.run(origins, directions, output=1)
        return Hits(out["primID"], out["u"], out["v"], np.where(out["primID"] >= 0, out["tfar"], np.float32(np.inf)))

    def is_blocked(
        self,
        origins: Float[np.ndarray, "ray 3"],
        directions: Float[np.ndarray, "ray 3"],
        reach: Float[np.ndarray, " ray"],
        *,
        all_objects: bool = False,
    ) -> np.ndarray:
        """Whether anything lies between each origin and origin + reach * direction.

        Args:
            origins, directions: (n, 3) float32 in the world.
            reach: (n,) float32 ray parameter of the far end.
            all_objects: True counts objects that cast no shadow, too.
        """
        embree = self._all if all_objects else self._casters
        if embree is None or len(origins) == 0:
            return np.zeros(len(origins), bool)
        return embree.run(origins, directions, reach, query="OCCLUDED") == 0
