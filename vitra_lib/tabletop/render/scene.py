"""What can be seen: objects, lights, background. World frame in metres; colours are linear RGB."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

from vitra_lib.core.errors import BadInput
from vitra_lib.tabletop.render.textures import Texture


@dataclass(frozen=True)
class RenderObject:
    """One surface.

    Attributes:
        vertices: (vert, 3) in the world [m].
        faces: (faces, 3) outward-oriented triangles (seen from outside, counter-clockwise).
        instance_id: number written to the id picture; 1..65535 (0 is the background).
        albedo: (3,) or (vert, 3) linear RGB in [0, 1]; multiplies the texture.
        texture: picture on the surface, or None.
        texture_coords: (vert, 3) where each vertex sits in the texture's own space [m], e.g. the rest pose of
            a moving object, so that the texture sticks to it; None = `vertices`. Each face takes the two
            coordinates in which it is widest (box mapping).
        is_smooth: True interpolates normals over faces, False gives flat facets.
        specular: strength of the highlight, 0 (chalk) to about 0.5 (glaze).
        gloss: exponent of the highlight, 5 (dull) to 200 (polished).
        subsurface: 0 for hard surfaces; 1 for skin: light reaches around the terminator, red furthest.
        casts_shadow: False lets light through (used for walls that would shut out the lamp).
    """

    vertices: Float[np.ndarray, "vert 3"]
    faces: Int[np.ndarray, "faces 3"]
    instance_id: int
    albedo: Float[np.ndarray, "*vert 3"] = field(default_factory=lambda: np.full(3, 0.7))
    texture: Texture | None = None
    texture_coords: Float[np.ndarray, "vert 3"] | None = None
    is_smooth: bool = True
    specular: float = 0.05
    gloss: float = 20.0
    subsurface: float = 0.0
    casts_shadow: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.instance_id <= 65535:
            raise BadInput(f"instance_id must lie in 1..65535 (0 is the background), not {self.instance_id}.")
        if len(self.faces) == 0 or self.faces.max() >= len(self.vertices) or self.faces.min() < 0:
            raise BadInput(
                f"Object {self.instance_id}: faces must be non-empty and index its {len(self.vertices)} vertices."
            )
        if self.albedo.ndim == 2 and len(self.albedo) != len(self.vertices):
            raise BadInput(
                f"Object {self.instance_id}: albedo has {len(self.albedo)} rows for {len(self.vertices)} vertices."
            )


@dataclass(frozen=True)
class AreaLight:
    """A round lamp: its size makes shadows soft.

    Attributes:
        position: (3,) centre in the world [m].
        radius_m: radius [m]; 0 is a point with hard shadows.
        colour: (3,) linear RGB strength at the distance `reference_m`; falls with the square of the distance.
        reference_m: distance at which `colour` holds [m].
    """

    position: Float[np.ndarray, "3"]
    radius_m: float = 0.25
    colour: Float[np.ndarray, "3"] = field(default_factory=lambda: np.full(3, 0.8))
    reference_m: float = 1.2


@dataclass(frozen=True)
class Background:
    """Where no object is hit, and the light that comes from everywhere.

    Attributes:
        top, horizon, bottom: (3,) linear RGB towards `up`, sideways, and down.
        ambient: strength of the light from all around, in the colours above.
    """

    top: Float[np.ndarray, "3"] = field(default_factory=lambda: np.array([0.75, 0.78, 0.82]))
    horizon: Float[np.ndarray, "3"] = field(default_factory=lambda: np.array([0.55, 0.53, 0.50]))
    bottom: Float[np.ndarray, "3"] = field(default_factory=lambda: np.array([0.30, 0.27, 0.24]))
    ambient: float = 0.55

    def colour(self, cosine: Float[np.ndarray, " point"]) -> Float[np.ndarray, "point 3"]:
        """Colour seen in directions with this cosine to `up`."""
        rise = np.clip(cosine, 0.0, 1.0)[:, None].astype(np.float32)
        fall = np.clip(-cosine, 0.0, 1.0)[:, None].astype(np.float32)
        horizon = self.horizon.astype(np.float32)
        up = (self.top - self.horizon).astype(np.float32)
        down = (self.bottom - self.horizon).astype(np.float32)
        return horizon + rise * up + fall * down


@dataclass(frozen=True)
class Scene:
    """Everything that is drawn.

    Attributes:
        objects: surfaces; several may share an instance id.
        lights: round lamps; the first few carry most of the cost, one ray per sample each.
        background: environment colours.
        up: (3,) unit vector in the world.
    """

    objects: tuple[RenderObject, ...]
    lights: tuple[AreaLight, ...] = (AreaLight(np.array([0.4, 0.3, 1.4])),)
    background: Background = field(default_factory=Background)
    up: Float[np.ndarray, "3"] = field(default_factory=lambda: np.array([0.0, 0.0, 1.0]))
