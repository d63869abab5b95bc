"""What a picture of a simulation is made of: resting surfaces, and moving bodies with their meshes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from robot.simulation.config import RigConfig
from robot.simulation.physics import Simulation
from robot.simulation.rig import FLOOR_BELOW_M, TABLE_CENTRE_M, TABLE_HALF_M, load_mujoco, rig_spec
from robot.simulation.scene import Part, Scene, Surface, Thing
from robot.simulation.shapes import part_mesh, solid_mesh
from vitra_lib.tabletop.render import AreaLight, Background, RenderObject, make_texture
from vitra_lib.tabletop.render import Scene as World

_LAMP_RADIUS_M = 0.08
_WHITE, _DARK, _SKIN = (0.86, 0.87, 0.88), (0.16, 0.17, 0.19), (0.42, 0.43, 0.45)


@dataclass(frozen=True, eq=False)
class Actor:
    """A rigid moving body of one colour.

    Attributes:
        thing: its mesh in its own frame.
        mesh_key: equal for bodies with equal meshes.
        pose: where it is in a simulation, (4, 4) to the world [m].
        corners: (8, 3) of its bounding box [m].
        centre, radius_m: of a ball around it.
    """

    thing: RenderObject
    mesh_key: tuple
    pose: Callable[[Simulation], Float[np.ndarray, "4 4"]]
    corners: Float[np.ndarray, "8 3"]
    centre: Float[np.ndarray, "3"]
    radius_m: float


def linear(colour: tuple[float, float, float]) -> Float[np.ndarray, "3"]:
    """A colour of a screen as linear light."""
    return np.array(colour, float) ** 2.2


def lamp_of(scene: Scene) -> AreaLight:
    """The scene's lamp."""
    return AreaLight(np.array(scene.look.lamp_m, float), _LAMP_RADIUS_M)


def world_of(scene: Scene, objects: tuple[RenderObject, ...]) -> World:
    """Surfaces in the scene's light."""
    return World(objects, (lamp_of(scene),), Background(ambient=scene.look.ambient))


def resting_objects(scene: Scene, config: RigConfig) -> tuple[tuple[RenderObject, ...], dict[str, int]]:
    """Table, floor, riser and fixed things in the world; and the number of everything that can be seen."""
    names = ["table", "floor", "riser", *(thing.name for thing in scene.things)]
    ids = {name: number for number, name in enumerate(names, start=1)}
    z, look = config.table_z_m, scene.look
    table = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]) * [*TABLE_HALF_M, 0.0] + [*TABLE_CENTRE_M, z]
    floor = np.array([[-3, -3, 0], [3, -3, 0], [3, 3, 0], [-3, 3, 0]]) + [0.0, 0.0, z - FLOOR_BELOW_M]
    objects = [_flat(corners, ids[name], surface) for corners, name, surface in
               ((table, "table", look.table), (floor, "floor", look.floor))]  # fmt: skip
    if z < 0:
        T = np.eye(4)
        T[2, 3] = 0.5 * z
        vertices, faces, _ = solid_mesh("box", (0.09, 0.09, -0.5 * z), T)
        objects.append(RenderObject(vertices, faces, ids["riser"], linear(_DARK), is_smooth=False))
    for thing in scene.things:
        if thing.is_fixed:
            objects += [
                _seen(part, thing, ids[thing.name], thing.T_world_thing) for part in thing.parts if part.is_seen
            ]
    return tuple(objects), ids


def moving_actors(scene: Scene, config: RigConfig, ids: dict[str, int]) -> tuple[Actor, ...]:
    """Links of the rig, then free things part by part.

    Args:
        scene: with its things.
        config: the rig.
        ids: numbers so far; the rig's bodies are added to it.
    """
    mujoco, actors = load_mujoco(), []
    model = rig_spec(config).compile()
    kinds = {getattr(mujoco.mjtGeom, f"mjGEOM_{k.upper()}").value: k for k in ("box", "sphere", "capsule", "cylinder")}
    for geom in range(model.ngeom):
        body = model.body(model.geom_bodyid[geom]).name
        if not body.startswith(("arm.", "hand.")):
            continue
        ids.setdefault(body, len(ids) + 1)
        kind, T = kinds[int(model.geom_type[geom])], np.eye(4)
        T[:3, :3] = Rotation.from_quat(np.roll(model.geom_quat[geom], -1)).as_matrix()
        T[:3, 3] = model.geom_pos[geom]
        size = model.geom_size[geom][: {"sphere": 1, "box": 3}.get(kind, 2)]
        vertices, faces, smooth = solid_mesh(kind, tuple(float(s) for s in size), T)
        thing = RenderObject(vertices, faces, ids[body], linear(_robot_colour(body)), None, None, smooth, 0.25, 40.0)
        actors.append(_actor(thing, _of_body(body), (body, geom)))
    for thing in scene.things:
        if not thing.is_fixed:
            for number, part in enumerate(thing.parts):
                if part.is_seen:
                    mesh = _seen(part, thing, ids[thing.name], np.eye(4))
                    key = (
                        part.kind,
                        part.size_m,
                        part.T_thing_part.tobytes(),
                        part.colour or thing.colour,
                        thing.surface,
                    )
                    actors.append(_actor(mesh, _of_thing(thing.name), (number, *key)))
    return tuple(actors)


def _robot_colour(body: str) -> tuple[float, float, float]:
    if body.startswith("arm."):
        return _WHITE if body in ("arm.base", "arm.joint_2", "arm.joint_4", "arm.joint_6") else _DARK
    return _SKIN if body.endswith(("_joint2", "rota_joint2")) else _DARK


def _of_body(name: str) -> Callable[[Simulation], np.ndarray]:
    def pose(simulation: Simulation) -> np.ndarray:
        return simulation.T_world_body(name)

    return pose


def _of_thing(name: str) -> Callable[[Simulation], np.ndarray]:
    def pose(simulation: Simulation) -> np.ndarray:
        return simulation.T_world_thing(name)

    return pose


def _actor(thing: RenderObject, pose: Callable[[Simulation], Any], key: tuple) -> Actor:
    low, high = thing.vertices.min(0), thing.vertices.max(0)
    corners = np.array([[x, y, z] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])])
    centre = 0.5 * (low + high)
    return Actor(thing, key, pose, corners, centre, float(np.linalg.norm(thing.vertices - centre, axis=1).max()))


def _flat(corners: np.ndarray, number: int, surface: Surface) -> RenderObject:
    texture = make_texture(surface.family, surface.seed, surface.tile_m)
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    return RenderObject(corners.astype(float), faces, number, np.ones(3), texture, None, False)


def _seen(part: Part, thing: Thing, number: int, T: np.ndarray) -> RenderObject:
    """A part's mesh in the frame that T leads to; its texture sticks to the thing."""
    vertices, faces, smooth = part_mesh(part)
    texture = (
        None if thing.surface is None else make_texture(thing.surface.family, thing.surface.seed, thing.surface.tile_m)
    )
    colour = np.ones(3) if texture is not None and part.colour is None else linear(part.colour or thing.colour)
    moved = vertices @ T[:3, :3].T + T[:3, 3]
    return RenderObject(moved, faces, number, colour, texture, vertices, smooth, 0.15, 30.0)
