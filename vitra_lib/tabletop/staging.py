"""From a clip to something the renderer can draw: room, table, objects, hands and sleeves at one frame."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float

from vitra_lib.contracts.hand_track import Side
from vitra_lib.geometry.transforms import apply, invert
from vitra_lib.hands.mirror import mirror_points
from vitra_lib.hands.model import load_hand_model
from vitra_lib.hands.posed import faces_for, pose_hand
from vitra_lib.tabletop.arm import FOREARM_M, SHOULDER_M
from vitra_lib.tabletop.catalog import COLOURS, Surface
from vitra_lib.tabletop.clip import HandTruth, TabletopClip
from vitra_lib.tabletop.layout import FLOOR_Z_M, TABLE_SIZE_M, WALL_Y_M, Scene, Thing, mirror_pose, sample_scene
from vitra_lib.tabletop.meshes import Mesh, box, object_mesh, quad, tube
from vitra_lib.tabletop.render import (
    AreaLight,
    Background,
    Camera,
    RenderConfig,
    Rendered,
    RenderObject,
    Texture,
    render,
)
from vitra_lib.tabletop.render import Scene as RenderScene
from vitra_lib.tabletop.textures import paint

LEFT_HAND_ID, RIGHT_HAND_ID, LEFT_SLEEVE_ID, RIGHT_SLEEVE_ID = 1, 2, 3, 4
TABLE_ID, GROUND_ID, WALL_ID = 10, 11, 12
FIRST_OBJECT_ID = 20
"""Instance ids in `Rendered.instance_id`; object k of `ObjectTracks` has id `FIRST_OBJECT_ID + k`."""


def instance_ids(clip: TabletopClip) -> dict[int, str]:
    """What each instance id of a clip's frames is."""
    fixed = {
        LEFT_HAND_ID: "left hand",
        RIGHT_HAND_ID: "right hand",
        LEFT_SLEEVE_ID: "left sleeve",
        RIGHT_SLEEVE_ID: "right sleeve",
        TABLE_ID: "table",
        GROUND_ID: "ground",
        WALL_ID: "wall",
    }
    return fixed | {FIRST_OBJECT_ID + k: name for k, name in enumerate(clip.objects.names)}


def _linear(rgb: tuple[int, int, int]) -> Float[np.ndarray, "3"]:
    """Linear light of an 8-bit sRGB colour."""
    x = np.asarray(rgb, float) / 255.0
    return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


def _texture(surface: Surface, seed: int, size_px: int) -> Texture:
    table = np.array([_linear((v, v, v))[0] for v in range(256)], np.float32)
    return Texture(table[paint(surface, seed, size_px)], surface.tile_m, f"{surface.name}:{seed}")


def _drawn(mesh: Mesh, tile_m: float, instance_id: int, **look) -> RenderObject:
    """A mesh with its texture coordinates in metres."""
    coords = np.column_stack([mesh.uv * tile_m, np.zeros(len(mesh.uv))])
    white = np.ones(3)
    return RenderObject(
        mesh.vertices,
        mesh.faces,
        instance_id,
        texture_coords=coords,
        is_smooth=mesh.is_smooth,
        **({"albedo": white} | look),
    )


@dataclass(frozen=True)
class Stage:
    """A clip ready to be drawn.

    Attributes:
        clip: what happens.
        scene: colours, surfaces and light.
        room: table, floor and walls.
        things: per object its mesh and look at the origin.
    """

    clip: TabletopClip
    scene: Scene
    room: tuple[RenderObject, ...]
    things: tuple[RenderObject, ...]

    @classmethod
    def of(cls, clip: TabletopClip, texture_px: int = 512) -> "Stage":
        """The stage of a clip; the last two clips are kept ready.

        Args:
            clip: what happens.
            texture_px: side of painted surfaces, a multiple of 64; painting them is most of the work of a stage, and
                pictures of a hundred pixels show no difference to 128.
        """
        return _stage(_Key(clip), texture_px)

    def render(self, index: int, config: RenderConfig | None = None) -> Rendered:
        """Draw frame `index`."""
        clip = self.clip
        moved = []
        for k, thing in enumerate(self.things):
            moved.append(_moved(thing, clip.objects.T_table_object[index, k]))
        for hand in clip.hands:
            moved += _hand_objects(hand, index, self.scene)
        scene = self.scene
        elevation = float(scene.light[2])
        key = AreaLight(
            np.array([0.0, 0.25, 0.0]) + 1.5 * scene.light, 0.28, np.full(3, 0.95 / max(elevation, 0.6)), 1.5
        )
        light = RenderScene((*self.room, *moved), (key,), Background(ambient=scene.ambient + 0.12))
        track = clip.truth.camera
        camera = Camera(track.K_px, track.width_px, track.height_px, clip.T_table_cam[index])
        return render(
            light, camera, config or RenderConfig(antialias=clip.config.antialias, seed=clip.config.seed % 4096)
        )


class _Key:
    """Clips are compared by identity in the cache of stages."""

    def __init__(self, clip: TabletopClip) -> None:
        self.clip = clip

    def __hash__(self) -> int:
        return id(self.clip)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and other.clip is self.clip


@lru_cache(maxsize=2)
def _stage(key: _Key, texture_px: int) -> Stage:
    scene = sample_scene(key.clip.config)
    seed = scene.texture_seed
    things = tuple(_thing_object(t, FIRST_OBJECT_ID + k, seed, texture_px) for k, t in enumerate(scene.things))
    return Stage(key.clip, scene, _room(scene, texture_px), things)


def _thing_object(thing: Thing, instance_id: int, seed: int, texture_px: int) -> RenderObject:
    colour = COLOURS[thing.colour]
    other = (236, 234, 228) if sum(colour) < 420 else (60, 62, 70)
    surface = Surface(
        thing.label,
        thing.pattern,
        (colour, other) if thing.pattern == "band" else (colour, _shade(colour, other)),
        0.12,
    )
    is_soft = thing.instance.category in ("sponge", "eraser", "book", "box", "brick")
    return _drawn(
        object_mesh(thing.instance),
        0.12,
        instance_id,
        texture=_texture(surface, seed + instance_id, texture_px),
        specular=0.04 if is_soft else 0.25,
        gloss=15.0 if is_soft else 60.0,
    )


def _shade(colour: tuple[int, int, int], other: tuple[int, int, int]) -> tuple[int, int, int]:
    """A milder version of the second colour, so that the first one keeps naming the object."""
    return tuple(round(0.6 * a + 0.4 * b) for a, b in zip(colour, other, strict=True))


def _room(scene: Scene, texture_px: int) -> tuple[RenderObject, ...]:
    width, depth = TABLE_SIZE_M
    top = box((width, depth, 0.03), 0.002)
    x0, x1, y0, y1, z1 = -2.2, 2.2, -1.2, WALL_Y_M, 1.8
    table = Mesh(top.vertices + [0.0, depth / 2, -0.03], top.faces, top.uv * 0.12 / scene.table.tile_m, False)
    floor = quad(
        np.array([[x0, y0, FLOOR_Z_M], [x1, y0, FLOOR_Z_M], [x1, y1, FLOOR_Z_M], [x0, y1, FLOOR_Z_M]]),
        scene.ground.tile_m,
    )
    seed = scene.texture_seed
    table_texture = _texture(scene.table, seed, texture_px)
    wall_texture = _texture(scene.wall, seed + 2, texture_px)
    walls = [
        quad(np.array([[x0, y1, FLOOR_Z_M], [x1, y1, FLOOR_Z_M], [x1, y1, z1], [x0, y1, z1]]), scene.wall.tile_m),
        quad(np.array([[x0, y0, FLOOR_Z_M], [x0, y1, FLOOR_Z_M], [x0, y1, z1], [x0, y0, z1]]), scene.wall.tile_m),
        quad(np.array([[x1, y1, FLOOR_Z_M], [x1, y0, FLOOR_Z_M], [x1, y0, z1], [x1, y1, z1]]), scene.wall.tile_m),
    ]
    return (
        _drawn(table, scene.table.tile_m, TABLE_ID, texture=table_texture, specular=0.08, gloss=25.0),
        _drawn(floor, scene.ground.tile_m, GROUND_ID, texture=_texture(scene.ground, seed + 1, texture_px)),
        *(_drawn(w, scene.wall.tile_m, WALL_ID, texture=wall_texture, casts_shadow=False) for w in walls),
    )


def _moved(thing: RenderObject, T: Float[np.ndarray, "4 4"]) -> RenderObject:
    return RenderObject(
        apply(T, thing.vertices),
        thing.faces,
        thing.instance_id,
        thing.albedo,
        thing.texture,
        thing.texture_coords,
        thing.is_smooth,
        thing.specular,
        thing.gloss,
    )


def _hand_objects(hand: HandTruth, index: int, scene: Scene) -> list[RenderObject]:
    """Skin and sleeve of one hand."""
    model = load_hand_model("standin", None, True)
    at = slice(index, index + 1)
    T = hand.T_table_wrist[index]
    vertices, _ = pose_hand(
        model,
        hand.side,
        T[None, :3, :3],
        T[None, :3, 3],
        hand.R_parent_joint[at],
        hand.betas,
        R_wrist_forearm=hand.R_wrist_forearm[at],
    )
    skin_id, sleeve_id = (LEFT_HAND_ID, LEFT_SLEEVE_ID) if hand.side == "left" else (RIGHT_HAND_ID, RIGHT_SLEEVE_ID)
    skin = RenderObject(
        vertices[0],
        faces_for(model, hand.side),
        skin_id,
        albedo=_linear(scene.skin),
        specular=0.08,
        gloss=18.0,
        subsurface=1.0,
    )
    sleeve = _sleeve(hand.side, T, hand.R_wrist_forearm[index], scene.sleeve_start_m)
    coords = np.column_stack([sleeve.uv * 0.12, np.zeros(len(sleeve.uv))])
    cloth = RenderObject(
        sleeve.vertices, sleeve.faces, sleeve_id, albedo=_linear(scene.sleeve), texture_coords=coords, specular=0.0
    )
    return [skin, cloth]


def _sleeve(side: Side, T_table_wrist: np.ndarray, R_wrist_forearm: np.ndarray, start_m: float) -> Mesh:
    """Cloth from a little behind the wrist over the elbow to the shoulder, in the table frame."""
    T = T_table_wrist if side == "right" else mirror_pose(T_table_wrist)
    shoulder = apply(invert(T), SHOULDER_M[None])[0]
    along = R_wrist_forearm[:, 0]
    elbow = FOREARM_M * along
    share = np.array([0.0, 0.01, 0.5, 0.9])[:, None]
    bow = elbow + np.array([0.02, 0.25, 1.0])[:, None] * (shoulder - elbow)
    points = np.concatenate([(start_m + share * (FOREARM_M - start_m)) * along, bow])
    radii = np.array([0.034, 0.0385, 0.043, 0.047, 0.049, 0.052, 0.06]) + 0.05 * max(start_m - 0.05, 0.0)
    cloth = tube(points, radii, 28)
    vertices, faces = apply(T, cloth.vertices), cloth.faces
    if side == "left":
        vertices, faces = mirror_points(vertices), faces[:, [0, 2, 1]]
    return Mesh(vertices, faces, cloth.uv)
