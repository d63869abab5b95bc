"""Scene and camera to picture, depth and instance ids.

One ray per pixel decides what is seen. Shadows and ambient occlusion take a few rays per pixel in a pattern that
repeats every 4x4 pixels and are then averaged over that block within the same surface, which gives soft, quiet
shadows for the price of hard ones. Pixels on an outline or a crease are traced again with four rays.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8, UInt16

from vitra_lib.core.errors import BadInput
from vitra_lib.tabletop.render import shading
from vitra_lib.tabletop.render.camera import Camera
from vitra_lib.tabletop.render.postprocess import PostConfig, apply_camera_effects
from vitra_lib.tabletop.render.scene import Scene
from vitra_lib.tabletop.render.tracing import Hits, PackedScene

# Rotated grid: four sub-pixel positions that resolve near-horizontal and near-vertical edges in four steps.
_SUBPIXELS = np.array([(-0.125, -0.375), (0.375, -0.125), (0.125, 0.375), (-0.375, 0.125)])


@dataclass(frozen=True)
class RenderConfig:
    """Quality and exposure.

    Attributes:
        antialias: four rays for pixels on edges.
        shadow_samples: shadow rays per pixel and lamp; averaged over 16 pixels.
        ambient_samples: ambient-occlusion rays per pixel; averaged over 16 pixels; 0 = none.
        ambient_reach_m: distance within which neighbours darken each other [m].
        exposure: gain before the display curve.
        post: what the camera adds.
        seed: shifts the sample patterns.
    """

    antialias: bool = True
    shadow_samples: int = 2
    ambient_samples: int = 1
    ambient_reach_m: float = 0.10
    exposure: float = 1.0
    post: PostConfig | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.shadow_samples < 1 or self.ambient_samples < 0:
            raise BadInput("shadow_samples must be at least 1 and ambient_samples at least 0.")
        if self.ambient_reach_m <= 0 or self.exposure <= 0:
            raise BadInput("ambient_reach_m and exposure must be positive.")


@dataclass(frozen=True)
class Rendered:
    """One picture with its truth.

    Attributes:
        image: (height, width, 3) RGB, sRGB curve.
        depth_m: (height, width) distance along the camera's z axis at each pixel centre [m]; inf where nothing is.
        instance_id: (height, width) id of the object at each pixel centre; 0 = background.
    """

    image: UInt8[np.ndarray, "height width 3"]
    depth_m: Float[np.ndarray, "height width"]
    instance_id: UInt16[np.ndarray, "height width"]


def _srgb_table() -> np.ndarray:
    x = np.arange(4097) / 4096.0
    curve = np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055)
    return np.rint(255 * curve).astype(np.uint8)


_SRGB = _srgb_table()


def encode(light: Float[np.ndarray, "*shape 3"]) -> UInt8[np.ndarray, "*shape 3"]:
    """Linear light in 0..1 as 8-bit sRGB."""
    return _SRGB[np.clip(np.rint(light * 4096), 0, 4096).astype(np.int32)]


def display(linear: Float[np.ndarray, "*shape 3"], exposure: float) -> Float[np.ndarray, "*shape 3"]:
    """Exposure and a soft shoulder, so that highlights bend instead of clipping; still linear light in 0..1."""
    x = np.maximum(linear * np.float32(exposure), 0)
    knee = np.float32(0.75)
    return np.where(x < knee, x, knee + (1 - knee) * (1 - np.exp(-(x - knee) / (1 - knee))))


def _same_surface_blur(
    values: Float[np.ndarray, "height width"], depth: Float[np.ndarray, "height width"], owner: np.ndarray
) -> Float[np.ndarray, "height width"]:
    """Average over the 4x4 sample pattern without crossing outlines; NaN (no value) neither gives nor takes.

    The five taps (1/2, 1, 1, 1, 1/2) sum each of the four pattern columns exactly once.
    """
    known = np.isfinite(values)
    depth = np.where(known, depth, np.float32(0))
    filled = np.where(known, values, 0).astype(np.float32)
    for axis in (1, 0):
        total, weight = filled * known, known.astype(np.float32)
        for shift in (1, 2):
            tap = np.float32(1.0 if shift == 1 else 0.5)
            a = [slice(None)] * 2
            b = [slice(None)] * 2
            a[axis], b[axis] = slice(shift, None), slice(None, -shift)
            a, b = tuple(a), tuple(b)
            alike = (owner[a] == owner[b]) & (np.abs(depth[a] - depth[b]) < 0.012 * shift) & known[a] & known[b]
            alike = alike * tap
            total[a] += alike * filled[b]
            total[b] += alike * filled[a]
            weight[a] += alike
            weight[b] += alike
        filled = total / np.maximum(weight, 1e-6)
    return np.where(known, filled, np.nan)


def _edges(owner: np.ndarray, depth: np.ndarray, normals: np.ndarray) -> Bool[np.ndarray, "height width"]:
    """Pixels where a direct neighbour shows another object, a jump in depth or a crease."""
    edge = np.zeros(owner.shape, bool)
    finite = np.where(np.isfinite(depth), depth, 1e3)
    for a, b in (
        ((slice(None), slice(1, None)), (slice(None), slice(None, -1))),
        ((slice(1, None), slice(None)), (slice(None, -1), slice(None))),
    ):
        near = np.minimum(finite[a], finite[b])
        differs = owner[a] != owner[b]
        differs |= np.abs(finite[a] - finite[b]) > 0.025 * near
        differs |= np.einsum("hwc,hwc->hw", normals[a], normals[b]) < 0.75
        edge[a] |= differs
        edge[b] |= differs
    return edge


class _Painter:
    """One scene seen by one camera."""

    def __init__(self, scene: Scene, camera: Camera, config: RenderConfig) -> None:
        self.scene, self.camera, self.config = scene, camera, config
        self.packed = PackedScene(scene)
        self.pixel_angle = float(1.0 / camera.K_px[0, 0])

    def trace(self, u_px: np.ndarray, v_px: np.ndarray) -> tuple[Hits, np.ndarray, np.ndarray]:
        origin, directions = self.camera.rays(u_px, v_px)
        origins = np.broadcast_to(origin.astype(np.float32), directions.shape)
        return self.packed.first_hits(np.ascontiguousarray(origins), directions), origin, directions

    def sky(self, directions: np.ndarray) -> np.ndarray:
        length = np.sqrt(np.einsum("ij,ij->i", directions, directions))
        return self.scene.background.colour(directions @ self.scene.up.astype(np.float32) / length)

    def full_frame(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Linear picture, depth, owner and normals with one primary ray per pixel."""
        h, w = self.camera.height_px, self.camera.width_px
        y, x = (a.ravel() for a in np.mgrid[:h, :w])
        hits, origin, directions = self.trace(x, y)
        picture = self.sky(directions)
        depth, owner = hits.distance.copy(), np.full(h * w, -1, np.int32)
        normals = np.zeros((h * w, 3), np.float32)
        if (hits.face >= 0).any():
            pattern = shading.screen_pattern(x, y)
            rows, surface = shading.gather(self.packed, hits, origin, directions, self.pixel_angle, pattern)
            owner[rows], normals[rows] = surface.owner, surface.normals
            shape, config = (h, w), self.config

            def smooth(values: np.ndarray) -> np.ndarray:
                canvas = np.full(h * w, np.nan, np.float32)
                canvas[rows] = values
                return _same_surface_blur(canvas.reshape(shape), depth.reshape(shape), owner.reshape(shape)).ravel()[
                    rows
                ]

            seen = [
                smooth(shading.light_visibility(self.packed, surface, light, config.shadow_samples, config.seed))
                for light in self.scene.lights
            ]
            openness = shading.ambient_visibility(
                self.packed, surface, config.ambient_samples, config.ambient_reach_m, config.seed
            )
            picture[rows] = shading.compose(self.packed, self.scene, surface, seen, smooth(openness))
        return picture.reshape(h, w, 3), depth.reshape(h, w), owner.reshape(h, w), normals.reshape(h, w, 3)

    def supersampled(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Display-linear colour of single pixels, averaged over four rays each."""
        u = (columns[:, None] + _SUBPIXELS[:, 0]).ravel()
        v = (rows[:, None] + _SUBPIXELS[:, 1]).ravel()
        hits, origin, directions = self.trace(u, v)
        picture = self.sky(directions)
        if (hits.face >= 0).any():
            pattern = (shading.screen_pattern(columns, rows)[:, None] * 4 + np.arange(4)).ravel()
            hit, surface = shading.gather(self.packed, hits, origin, directions, 0.5 * self.pixel_angle, pattern)
            config = self.config
            seen = [
                shading.light_visibility(self.packed, surface, light, 2 * config.shadow_samples, config.seed)
                for light in self.scene.lights
            ]
            openness = shading.ambient_visibility(
                self.packed, surface, 2 * config.ambient_samples, config.ambient_reach_m, config.seed
            )
            picture[hit] = shading.compose(self.packed, self.scene, surface, seen, openness)
        return display(picture, self.config.exposure).reshape(-1, 4, 3).mean(axis=1)


def render(scene: Scene, camera: Camera, config: RenderConfig | None = None) -> Rendered:
    """Draw a scene; the same arguments give the same bytes.

    Args:
        scene: objects, lights and background in the world.
        camera: the pinhole.
        config: quality; None = defaults.

    Returns:
        Picture, depth and instance ids.
    """
    config = config or RenderConfig()
    painter = _Painter(scene, camera, config)
    linear, depth, owner, normals = painter.full_frame()
    picture = display(linear, config.exposure)
    if config.antialias:
        rows, columns = np.nonzero(_edges(owner, depth, normals))
        if len(rows):
            picture[rows, columns] = painter.supersampled(rows, columns)
    image = encode(picture)
    if config.post is not None:
        image = apply_camera_effects(image, config.post)
    ids = np.array([0, *(thing.instance_id for thing in scene.objects)], np.uint16)
    return Rendered(image, depth.astype(np.float32), ids[owner + 1])
