"""Signed distances of the simple solids that stand for objects in planning: capped cylinders and boxes."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from vitra_lib.geometry.transforms import apply, invert
from vitra_lib.tabletop.catalog import Instance


@dataclass(frozen=True)
class Solid:
    """A solid standing on z = 0 of its own frame.

    Attributes:
        size_m: box: extents (x, y, z); cylinder: (radius, radius, height).
        is_round: cylinder about z, or box.
    """

    size_m: tuple[float, float, float]
    is_round: bool

    @classmethod
    def of(cls, instance: Instance) -> "Solid":
        """The solid of a catalogue entry (handles are left out)."""
        return cls(instance.size_m, instance.is_round)

    def distance(self, p: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch"]:
        """Signed distance [m] of points in the solid's frame; negative inside."""
        x, y, h = self.size_m
        up = np.abs(p[..., 2] - h / 2) - h / 2
        if self.is_round:
            q = np.stack([np.hypot(p[..., 0], p[..., 1]) - x, up], axis=-1)
        else:
            q = np.stack([np.abs(p[..., 0]) - x / 2, np.abs(p[..., 1]) - y / 2, up], axis=-1)
        return np.linalg.norm(np.maximum(q, 0.0), axis=-1) + np.minimum(q.max(axis=-1), 0.0)

    def distance_at(
        self, T_table_object: Float[np.ndarray, "4 4"], p_table: Float[np.ndarray, "points 3"]
    ) -> Float[np.ndarray, " points"]:
        """Signed distance [m] of points in the table frame to the solid placed there."""
        return self.distance(apply(invert(T_table_object), p_table))

    def corners(self) -> Float[np.ndarray, "points 3"]:
        """Points on the outline of bottom, middle and top [m]."""
        x, y, h = self.size_m
        if self.is_round:
            theta = np.linspace(0, 2 * np.pi, 9)[:-1]
            ring = np.stack([x * np.cos(theta), x * np.sin(theta)], axis=1)
        else:
            ring = np.array([[a * x / 2, b * y / 2] for a in (-1, 0, 1) for b in (-1, 0, 1) if a or b])
        return np.concatenate([np.column_stack([ring, np.full(len(ring), z)]) for z in (0.0, h / 2, h)])


def turned(yaw: float, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Float[np.ndarray, "4 4"]:
    """Pose of an upright object: turned by yaw [rad] about z, then moved to (x, y, z) [m]."""
    c, s = np.cos(yaw), np.sin(yaw)
    return np.array([[c, -s, 0, x], [s, c, 0, y], [0, 0, 1, z], [0, 0, 0, 1]], float)
