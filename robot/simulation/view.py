"""Pictures of a simulation by the project's own ray caster, without OpenGL, fast enough for a control loop.

What does not move is drawn once, lit and in shadow. Each moving body keeps its own Embree scene in its own frame, so
that nothing is built anew: rays are turned into the body's frame, and only those that can meet its bounding box. The
lamp's shadow of the moving bodies is found the same way, on every second pixel of the resting part.
"""

import copy
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8, UInt16

from robot.drivers.protocol import CameraFrame
from robot.simulation.actors import lamp_of, moving_actors, resting_objects, world_of
from robot.simulation.config import RigConfig
from robot.simulation.physics import Simulation
from robot.simulation.scene import Scene
from vitra_lib.core.errors import BadInput
from vitra_lib.tabletop.render import Camera, shading
from vitra_lib.tabletop.render.renderer import display, encode
from vitra_lib.tabletop.render.tracing import MISS, Hits, PackedScene

_STRIDE = 2
_OFF_SURFACE_M = 1e-3
_NEAR_M = 0.02


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture with its truth.

    Attributes:
        image: RGB.
        depth_m: along the camera's z axis [m]; inf where nothing is.
        instance_id: see `SceneView.ids`; 0 where nothing is.
    """

    image: UInt8[np.ndarray, "height width 3"]
    depth_m: Float[np.ndarray, "height width"]
    instance_id: UInt16[np.ndarray, "height width"]


@dataclass(frozen=True, eq=False)
class _Backdrop:
    """What rests, drawn once for one size of picture; `visible_from` are unit directions from the lamp."""

    directions: np.ndarray
    image: np.ndarray
    lit: np.ndarray
    dark: np.ndarray
    depth: np.ndarray
    ids: np.ndarray
    coarse_points: np.ndarray
    coarse_from_lamp: np.ndarray
    coarse_distance: np.ndarray


class SceneView:
    """Draws one scene.

    Attributes:
        ids: number of every thing, of "table", "floor" and of the bodies of the rig in `Picture.instance_id`.
    """

    def __init__(self, scene: Scene, config: RigConfig | None = None) -> None:
        """
        Args:
            scene: what is drawn.
            config: the rig; the default one of the scene's side when None.
        """
        self.scene, self._config = scene, config or RigConfig(side=scene.side)
        resting, self.ids = resting_objects(scene, self._config)
        self._actors = moving_actors(scene, self._config, self.ids)
        self._lamp = lamp_of(scene)
        self._still = PackedScene(world_of(scene, resting))
        self._world = world_of(scene, tuple(actor.thing for actor in self._actors))
        self._moving = PackedScene(self._world)
        own: dict[tuple, PackedScene] = {}
        for actor in self._actors:  # equal meshes (granules) share one
            own.setdefault(actor.mesh_key, PackedScene(world_of(scene, (actor.thing,))))
        self._own = [own[actor.mesh_key] for actor in self._actors]
        self._first_face, self._first_vertex = (
            np.concatenate([[0], np.cumsum([len(getattr(packed, name)) for packed in self._own])])
            for name in ("faces", "vertices")
        )
        self._corners = np.stack([actor.corners for actor in self._actors])
        self._centres = np.stack([actor.centre for actor in self._actors])
        self._radii = np.array([actor.radius_m for actor in self._actors])
        self._numbers = np.array([actor.thing.instance_id for actor in self._actors], np.uint16)
        self._backdrops: dict[tuple[int, int], _Backdrop] = {}

    def picture(self, simulation: Simulation, width_px: int = 224, height_px: int = 224) -> CameraFrame:
        """What the head camera sees now.

        Args:
            simulation: of the same scene.
            width_px, height_px: size.
        """
        image = self.picture_and_ids(simulation, width_px, height_px).image
        return CameraFrame(image, simulation.time_s, self.scene.camera.K_px(width_px, height_px))

    def picture_and_ids(self, simulation: Simulation, width_px: int = 224, height_px: int = 224) -> Picture:
        """Picture, depth and what is where.

        Raises:
            BadInput: the simulation is of another scene.
        """
        if simulation.scene is not self.scene:
            raise BadInput("The simulation is of another scene; make a SceneView of its own.")
        back = self._backdrop(width_px, height_px)
        poses = np.stack([actor.pose(simulation) for actor in self._actors])
        face, u, v, depth, owner = self._first_hits(back, poses)
        visible = self._visible(back.coarse_points, back.coarse_from_lamp, back.coarse_distance, poses)
        rows, columns = (
            np.minimum(np.arange(n) // _STRIDE, m - 1) for n, m in zip(depth.shape, visible.shape, strict=True)
        )
        clear = _softened(visible)[rows[:, None], columns[None, :]].ravel()
        owner = owner.ravel()
        shown = np.flatnonzero(owner >= 0)
        shaded = np.flatnonzero((clear < 1.0) & (owner < 0))
        image, ids = back.image.copy(), back.ids.copy()
        dark, lit = back.dark.reshape(-1, 3)[shaded], back.lit.reshape(-1, 3)[shaded]
        light = dark + (lit - dark) * clear[shaded, None]
        image.reshape(-1, 3)[shaded] = encode(display(light, 1.0))
        if len(shown):
            light = self._lit(back, poses, shown, face, u, v, depth, owner)
            image.reshape(-1, 3)[shown] = encode(display(light, 1.0))
            ids.ravel()[shown] = self._numbers[owner[shown]]
        return Picture(image, depth, ids)

    def _backdrop(self, width_px: int, height_px: int) -> _Backdrop:
        """Draw what rests, once per size."""
        if (width_px, height_px) in self._backdrops:
            return self._backdrops[width_px, height_px]
        camera = Camera(self.scene.camera.K_px(width_px, height_px), width_px, height_px, self.scene.camera.T_world_cam)
        y, x = (a.ravel() for a in np.mgrid[:height_px, :width_px])
        origin, directions = camera.rays(x, y)
        starts = np.ascontiguousarray(np.broadcast_to(origin.astype(np.float32), directions.shape))
        hits = self._still.first_hits(starts, directions)
        angle = float(1.0 / camera.K_px[0, 0])
        rows, surface = shading.gather(self._still, hits, origin, directions, angle, shading.screen_pattern(x, y))
        shape = (height_px, width_px)
        seen = shading.light_visibility(self._still, surface, self._lamp, 8, 0)
        open_ = shading.ambient_visibility(self._still, surface, 4, 0.10, 0)
        cosine = directions @ np.array([0.0, 0.0, 1.0], np.float32) / np.linalg.norm(directions, axis=1)
        lit = self._world.background.colour(cosine).astype(np.float32)
        dark = lit.copy()
        lit[rows] = shading.compose(self._still, self._world, surface, [seen], open_)
        dark[rows] = shading.compose(self._still, self._world, surface, [np.zeros_like(seen)], open_)
        ids = np.zeros(len(x), np.uint16)
        ids[rows] = np.array([thing.instance_id for thing in self._still.objects], np.uint16)[surface.owner]
        points = np.full((*shape, 3), 1e3, np.float32)
        points.reshape(-1, 3)[rows] = surface.points + surface.geometric * np.float32(_OFF_SURFACE_M)
        coarse = points[_STRIDE // 2 :: _STRIDE, _STRIDE // 2 :: _STRIDE]
        away = coarse - self._lamp.position.astype(np.float32)
        distance = np.linalg.norm(away, axis=-1)
        back = _Backdrop(
            directions.reshape(*shape, 3), encode(display(lit, 1.0)).reshape(*shape, 3),
            lit.reshape(*shape, 3), dark.reshape(*shape, 3),
            hits.distance.reshape(shape).astype(np.float32), ids.reshape(shape),
            coarse, away / distance[..., None], distance,
        )  # fmt: skip
        self._backdrops[width_px, height_px] = back
        return back

    def _first_hits(self, back: _Backdrop, poses: np.ndarray) -> tuple[np.ndarray, ...]:
        """Face of the moving scene, its barycentric weights, depth and actor per pixel."""
        shape, T_world_cam = back.depth.shape, self.scene.camera.T_world_cam
        K = self.scene.camera.K_px(shape[1], shape[0])
        depth, owner = back.depth.copy(), np.full(shape, MISS, np.int32)
        face, u, v = np.zeros(shape, np.int32), np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        windows = _windows(self._corners, poses, T_world_cam, K, shape)
        starts = np.einsum("nba,nb->na", poses[:, :3, :3], T_world_cam[:3, 3] - poses[:, :3, 3]).astype(np.float32)
        for number, (packed, window) in enumerate(zip(self._own, windows, strict=True)):
            if window is None:
                continue
            patch = depth[window]
            rays = (back.directions[window] @ poses[number, :3, :3].astype(np.float32)).reshape(-1, 3)
            origins = np.empty_like(rays)
            origins[:] = starts[number]
            hits = packed.first_hits(origins, rays)
            distance = hits.distance.reshape(patch.shape)
            nearer = distance < patch
            for canvas, values in ((face, hits.face), (u, hits.u), (v, hits.v), (depth, distance)):
                np.copyto(canvas[window], values.reshape(patch.shape), where=nearer)
            np.copyto(owner[window], number, where=nearer)
        return face, u, v, depth, owner

    def _visible(
        self, points: np.ndarray, from_lamp: np.ndarray, distance: np.ndarray, poses: np.ndarray
    ) -> np.ndarray:
        """1 where the lamp sees a point past the moving bodies, 0 in their shadow; any shape of points (…, 3)."""
        shape = distance.shape
        points, from_lamp, distance = points.reshape(-1, 3), from_lamp.reshape(-1, 3), distance.ravel()
        seen, lamp = np.ones(len(points), np.float32), self._lamp.position
        centres = np.einsum("nab,nb->na", poses[:, :3, :3], self._centres) + poses[:, :3, 3] - lamp
        far = np.linalg.norm(centres, axis=1)
        cosines = np.sqrt(1.0 - np.minimum(self._radii / far, 0.999) ** 2)
        inside = (centres / far[:, None]).astype(np.float32) @ from_lamp.T > cosines[:, None].astype(np.float32)
        for number, packed in enumerate(self._own):
            rows = np.flatnonzero(inside[number])
            rows = rows[(distance[rows] > far[number] - self._radii[number]) & (seen[rows] > 0)]
            if len(rows) == 0:
                continue
            R, t = poses[number, :3, :3], poses[number, :3, 3]
            starts = (points[rows] - t.astype(np.float32)) @ R.astype(np.float32)
            rays = ((lamp - t) @ R).astype(np.float32) - starts
            blocked = packed.is_blocked(starts, rays, np.ones(len(rows), np.float32))
            seen[rows[blocked]] = 0.0
        return seen.reshape(shape)

    def _lit(self, back: _Backdrop, poses: np.ndarray, shown: np.ndarray, *buffers: np.ndarray) -> np.ndarray:
        """Linear light of the pixels that show moving bodies."""
        face, u, v, depth, owner = (buffer.ravel()[shown] for buffer in buffers)
        turned = copy.copy(self._moving)  # the same triangles with their normals as they are turned now
        R = poses[:, :3, :3].astype(np.float32)
        turned.attributes = self._moving.attributes.copy()
        turned.face_normals = np.empty_like(self._moving.face_normals)
        for number in np.unique(owner):
            vertices, faces = (slice(*first[number : number + 2]) for first in (self._first_vertex, self._first_face))
            turned.attributes[vertices, :3] = self._moving.attributes[vertices, :3] @ R[number].T
            turned.face_normals[faces] = self._moving.face_normals[faces] @ R[number].T
        hits = Hits(face + self._first_face[owner].astype(np.int32), u, v, depth)
        directions = back.directions.reshape(-1, 3)[shown]
        angle = float(1.0 / self.scene.camera.K_px(*back.depth.shape[::-1])[0, 0])
        origin = self.scene.camera.T_world_cam[:3, 3]
        _, surface = shading.gather(turned, hits, origin, directions, angle, np.zeros(len(shown), int))
        towards = self._lamp.position.astype(np.float32) - surface.points
        facing = np.flatnonzero(np.einsum("nb,nb->n", surface.normals, towards) > 0)  # the others are dark anyway
        points = surface.points[facing] + surface.geometric[facing] * np.float32(_OFF_SURFACE_M)
        away = points - self._lamp.position.astype(np.float32)
        distance = np.sqrt(np.einsum("nb,nb->n", away, away))
        seen = np.zeros(len(shown), np.float32)
        clear = self._visible(points, away / distance[:, None], distance, poses)
        still = self._still.is_blocked(points, -away, np.ones(len(points), np.float32))
        seen[facing] = clear * ~still
        return shading.compose(turned, self._world, surface, [seen], np.ones(len(shown), np.float32))


def _windows(
    corners: np.ndarray, poses: np.ndarray, T_world_cam: np.ndarray, K: np.ndarray, shape: tuple[int, ...]
) -> list[tuple[slice, slice] | None]:
    """For each body the pixels that can see its bounding box; None where there are none."""
    world = np.einsum("nab,nkb->nka", poses[:, :3, :3], corners) + poses[:, None, :3, 3]
    local = (world - T_world_cam[:3, 3]) @ T_world_cam[:3, :3]
    depth = local[..., 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        pixel = local[..., :2] / depth[..., None] * K[[0, 1], [0, 1]] + K[:2, 2]
    size = np.array(shape[::-1])
    is_cut = depth.min(1) <= _NEAR_M  # a part of the box is beside or behind the camera
    low = np.where(is_cut[:, None], 0.0, np.clip(np.floor(pixel.min(1)), 0, size)).astype(int)
    high = np.where(is_cut[:, None], size, np.clip(np.ceil(pixel.max(1)) + 1, 0, size)).astype(int)
    is_seen = (depth.max(1) > _NEAR_M) & (low < high).all(1)
    return [
        (slice(y0, y1), slice(x0, x1)) if seen else None
        for seen, (x0, y0), (x1, y1) in zip(is_seen, low.tolist(), high.tolist(), strict=True)
    ]


def _softened(visible: np.ndarray) -> np.ndarray:
    """The lamp has a size: edges of shadows spread over three coarse pixels."""
    padded = np.pad(visible, 1, mode="edge")
    across = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    return (across[:-2] + 2 * across[1:-1] + across[2:]) / np.float32(16)
