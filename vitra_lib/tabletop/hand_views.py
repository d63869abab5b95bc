"""Short rendered clips of one egocentric hand with its truth: what the hand lifter is trained on.

The rest of the world is made for looking at actions; here it's variety that counts: any pose an arm can take before a
camera on a head or chest (`hand_poses`), empty or holding something, in any light, before any background, through any
small camera. The camera stands still within a clip, so the background is rendered once and only the part of the
picture that the arm can touch is rendered again for every frame.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from jaxtyping import Float, UInt8

from vitra_lib.contracts.hand_track import Side
from vitra_lib.geometry.rotations import exp
from vitra_lib.geometry.transforms import apply, invert, make
from vitra_lib.hands.grasps import blend_poses, sample_pose, to_rotations
from vitra_lib.hands.kinematics import rest_chains
from vitra_lib.hands.mirror import mirror_points, mirror_rotation
from vitra_lib.hands.model import HandModel, load_hand_model
from vitra_lib.hands.posed import faces_for, pose_hand
from vitra_lib.tabletop.catalog import SKIN_TONES, SLEEVES, Instance, allowed
from vitra_lib.tabletop.grip import grip_of
from vitra_lib.tabletop.hand_poses import ArmPose, HeadCamera, arm_pose, between, is_in_view, near_plan, sample_plan
from vitra_lib.tabletop.layout import mirror_pose
from vitra_lib.tabletop.meshes import Mesh, object_mesh, tube
from vitra_lib.tabletop.render import (
    TEXTURE_FAMILIES,
    AreaLight,
    Background,
    Camera,
    PostConfig,
    RenderConfig,
    RenderObject,
    Scene,
    apply_camera_effects,
    make_texture,
    render,
)

FRAMES = 6
_HELD_SHARE = 0.6
_TEXTURE_SEEDS = 6
_HAND_ID, _HELD_ID, _ROOM_ID = 1, 2, 3


@dataclass(frozen=True)
class HandView:
    """A rendered clip of one hand.

    Attributes:
        frames: (time, height, width, 3) RGB.
        K_px: (3, 3) intrinsics in pixels of the frames.
        side: which hand.
        joints_cam: (time, 21, 3) true joints in the camera [m].
        R_cam_wrist: (time, 3, 3) true wrist rotation.
        is_holding: whether the hand holds something.
    """

    frames: UInt8[np.ndarray, "time height width 3"]
    K_px: Float[np.ndarray, "3 3"]
    side: Side
    joints_cam: Float[np.ndarray, "time 21 3"]
    R_cam_wrist: Float[np.ndarray, "time 3 3"]
    is_holding: bool


@dataclass(frozen=True)
class _Motion:
    """A right arm through the clip, with what it holds."""

    arms: list[ArmPose]
    fingers: np.ndarray
    betas: np.ndarray
    held: Instance | None
    T_wrist_object: np.ndarray | None


def _linear(rgb: tuple[int, int, int]) -> np.ndarray:
    return (np.asarray(rgb, float) / 255.0) ** 2.2


def _sample_motion(camera: HeadCamera, model: HandModel, rng: np.random.Generator) -> _Motion:
    betas = np.clip(rng.normal(0.0, 1.0, 10), -2.5, 2.5)
    grip = _sample_grip(model, betas, rng) if rng.uniform() < _HELD_SHARE else None
    pronation = None
    if grip is not None and rng.uniform() < 0.75:  # most things are held upright
        is_from_side = "carry-side" in grip[0].skills
        pronation = float(np.deg2rad(rng.normal(10.0, 18.0) if is_from_side else rng.normal(65.0, 20.0)))
    plan = sample_plan(camera, rng, pronation)
    start, stop = arm_pose(camera, plan), arm_pose(camera, plan)
    for _ in range(20):
        candidate = arm_pose(camera, near_plan(plan, rng))
        if is_in_view(camera, candidate):
            stop = candidate
            break
    shares = np.linspace(0.0, 1.0, FRAMES)
    arms = [between(start, stop, float(s)) for s in shares]
    if grip is not None:
        held, T_wrist_object, pose, open_pose = grip
        # a hand about to close or just let go: the object is there, the fingers are on their way
        poses = [blend_poses(pose, open_pose, float(s)) for s in shares * (rng.uniform() < 0.3)]
        return _Motion(arms, np.stack(poses), betas, held, T_wrist_object)
    a = sample_pose(rng)
    b = blend_poses(a, sample_pose(rng), float(rng.uniform(0.0, 0.8)))
    return _Motion(arms, np.stack([blend_poses(a, b, float(s)) for s in shares]), betas, None, None)


def _sample_grip(
    model: HandModel, betas: np.ndarray, rng: np.random.Generator
) -> tuple[Instance, np.ndarray, np.ndarray, np.ndarray]:
    """Something in the hand: the planner's grip, taken a little differently, as people do."""
    instances = [i for i in allowed("train").instances if {"carry-side", "carry-top"} & i.skills]
    held = instances[rng.integers(len(instances))]
    way = "side" if "carry-side" in held.skills else "top"
    grip = grip_of(held, way, rest_chains(model, betas))
    twist = make(exp(rng.normal(0.0, 0.12, 3)), rng.normal(0.0, 0.006, 3))
    height = np.eye(4)
    height[2, 3] = rng.uniform(-0.3, 0.3) * held.size_m[2] if way == "side" else 0.0
    pose = blend_poses(grip.closed_pose, sample_pose(rng), float(rng.uniform(0.0, 0.25)))
    return held, twist @ invert(grip.T_object_wrist) @ height, pose, grip.open_pose


def _room(camera: HeadCamera, centre: np.ndarray, lowest: float, rng: np.random.Generator) -> list[RenderObject]:
    """A table below the hand, perhaps a wall, and things around; in the frame of a camera, right-handed plan."""
    right, down, ahead = camera.R_cam_level.T
    table_depth = lowest + rng.uniform(0.005, 0.30)
    origin = centre + down * (table_depth - centre @ down)
    R = np.stack([right, ahead, -down], axis=1) @ exp(np.array([0.0, 0.0, rng.uniform(-np.pi, np.pi)]))
    parts = [_flat(R, origin, 1.4, rng)]
    if rng.uniform() < 0.7:
        facing = np.stack([right, -down, -ahead], axis=1)
        parts.append(_flat(facing, centre + ahead * rng.uniform(0.6, 2.0), 3.0, rng))
    pool = allowed("train")
    for _ in range(rng.integers(0, 5)):
        instance = pool.clutter[rng.integers(len(pool.clutter))]
        angle, far = rng.uniform(-np.pi, np.pi), rng.uniform(0.16, 0.45)
        T = make(
            R @ exp(np.array([0.0, 0.0, rng.uniform(-np.pi, np.pi)])),
            origin + R @ (far * np.array([np.cos(angle), np.sin(angle), 0.0])),
        )
        top = T[:3, 3] - down * instance.size_m[2]
        if min(T[2, 3], top[2]) > 0.2:  # nothing in front of the lens
            parts.append(_thing(instance, T, _ROOM_ID, rng))
    return parts


def _flat(R: np.ndarray, origin: np.ndarray, half: float, rng: np.random.Generator) -> RenderObject:
    corners = np.array([[-half, -half, 0.0], [half, -half, 0.0], [half, half, 0.0], [-half, half, 0.0]])
    return RenderObject(
        corners @ R.T + origin,
        np.array([[0, 1, 2], [0, 2, 3]]),
        _ROOM_ID,
        albedo=np.full(3, rng.uniform(0.5, 1.0)),
        texture=_texture(rng),
        texture_coords=corners,
        is_smooth=False,
        specular=float(rng.uniform(0.0, 0.15)),
    )


def _texture(rng: np.random.Generator):
    family = TEXTURE_FAMILIES[rng.integers(len(TEXTURE_FAMILIES))]
    return make_texture(family, int(rng.integers(_TEXTURE_SEEDS)), 0.5)


@lru_cache(maxsize=64)
def _mesh(instance: Instance) -> Mesh:
    return object_mesh(instance)


def _thing(instance: Instance, T_cam_object: np.ndarray, number: int, rng: np.random.Generator) -> RenderObject:
    mesh = _mesh(instance)
    return RenderObject(
        apply(T_cam_object, mesh.vertices),
        mesh.faces,
        number,
        albedo=rng.uniform(0.05, 0.9, 3),
        texture=_texture(rng) if rng.uniform() < 0.4 else None,
        texture_coords=mesh.vertices,
        is_smooth=mesh.is_smooth,
        specular=float(rng.uniform(0.0, 0.4)),
        gloss=float(rng.uniform(10.0, 80.0)),
    )


def _light(camera: HeadCamera, rng: np.random.Generator) -> tuple[tuple[AreaLight, ...], Background]:
    right, down, ahead = camera.R_cam_level.T
    tint = 1.0 + rng.uniform(-0.12, 0.12) * np.array([1.0, 0.0, -1.0])
    lamps = []
    for strength in (1.0, 0.4)[: rng.integers(1, 3)]:
        position = -down * rng.uniform(0.6, 1.5) + right * rng.normal(0.0, 0.7) + ahead * rng.uniform(-0.3, 1.0)
        lamps.append(AreaLight(position, float(rng.uniform(0.12, 0.4)), tint * strength * rng.uniform(0.55, 1.0)))
    shade = rng.uniform(0.6, 1.1)
    sky = Background()
    return tuple(lamps), Background(
        sky.top * shade, sky.horizon * shade, sky.bottom * shade, float(rng.uniform(0.35, 0.7))
    )


def _skin(
    model: HandModel, tone: np.ndarray, sleeve: np.ndarray, cuff_m: float | None, rng: np.random.Generator
) -> np.ndarray:
    """(vert, 3) albedo: skin with slow unevenness, and the sleeve's colour from `cuff_m` behind the wrist."""
    rest = model.rest_vertices
    wave = sum(np.sin(rest @ rng.normal(0.0, 90.0, 3) + rng.uniform(0, 6.3)) for _ in range(4)) / 4
    albedo = tone * (1.0 + 0.06 * wave[:, None])
    if cuff_m is not None:
        albedo[rest[:, 0] > model.rest_joints(np.zeros(10))[0, 0] + cuff_m] = sleeve
    return np.clip(albedo, 0.01, 0.95)


def _sleeve(t_cam_wrist: np.ndarray, to_elbow: np.ndarray, albedo: np.ndarray) -> RenderObject:
    """The arm beyond the hand model's forearm, so that no arm ends in mid-air."""
    s = np.array([0.165, 0.20, 0.26, 0.34, 0.46])
    mesh = tube(t_cam_wrist + s[:, None] * to_elbow, np.array([0.043, 0.046, 0.050, 0.052, 0.055]))
    return RenderObject(mesh.vertices, mesh.faces, _HAND_ID, albedo=np.clip(albedo, 0.01, 0.95), specular=0.02)


def _mirrored(thing: RenderObject) -> RenderObject:
    return replace(thing, vertices=mirror_points(thing.vertices), faces=np.ascontiguousarray(thing.faces[:, [0, 2, 1]]))


def hand_view(seed: int, index: int) -> HandView:
    """Render clip `index` of a training set; the same numbers always give the same clip.

    Args:
        seed: of the set.
        index: of the clip.
    """
    rng = np.random.default_rng([seed, index, 77])
    width = int(rng.choice([320, 400, 480, 560]))
    height = int(rng.choice([0.5625, 0.75, 0.76]) * width) // 2 * 2
    head = HeadCamera.sample(rng, height / width)
    model = load_hand_model("standin", with_forearm=True)
    motion = _sample_motion(head, model, rng)
    side: Side = "right" if rng.uniform() < 0.5 else "left"
    focal = head.focal * width / 2
    K = np.array([[focal, 0.0, width / 2], [0.0, focal, height / 2], [0.0, 0.0, 1.0]])
    R = np.stack([arm.R_cam_wrist for arm in motion.arms])
    t = np.stack([arm.t_cam_wrist for arm in motion.arms])
    bend = np.stack([arm.R_wrist_forearm for arm in motion.arms])
    down = head.R_cam_level[:, 1]
    room = _room(head, t.mean(axis=0), float(max((p - 0.1 * r[:, 0]) @ down for p, r in zip(t, R, strict=True))), rng)
    lamps, sky = _light(head, rng)
    up = -down
    if side == "left":
        R, t, up = mirror_rotation(R), mirror_points(t), mirror_points(up)
        room = [_mirrored(part) for part in room]
        lamps = tuple(replace(lamp, position=mirror_points(lamp.position)) for lamp in lamps)
    vertices, joints = pose_hand(model, side, R, t, to_rotations(motion.fingers), motion.betas, R_wrist_forearm=bend)
    scene = Scene(tuple(room), lamps, sky, up)
    tone = _linear(SKIN_TONES[rng.integers(len(SKIN_TONES))]) * rng.uniform(0.85, 1.15) * (1 + rng.normal(0.0, 0.04, 3))
    sleeve = _linear(SLEEVES[rng.integers(len(SLEEVES))])
    cuff_m = float(rng.uniform(0.02, 0.15)) if rng.uniform() < 0.6 else None
    albedo = _skin(model, tone, sleeve, cuff_m, rng)
    along = R @ (bend if side == "right" else mirror_rotation(bend))[:, :, 0][..., None]
    along = along[..., 0] if side == "right" else -along[..., 0]
    rest_of_arm = [_sleeve(p, d, tone if cuff_m is None else sleeve) for p, d in zip(t, along, strict=True)]
    hands = [
        RenderObject(
            v,
            faces_for(model, side),
            _HAND_ID,
            albedo=albedo,
            texture_coords=model.rest_vertices,
            specular=0.08,
            gloss=12.0,
            subsurface=1.0,
        )
        for v in vertices
    ]
    held = _held_things(motion, side, R, t, rng)
    camera = Camera(K, width, height, np.eye(4))
    frames = _frames(
        scene,
        [[hand, arm, *([thing] if thing else [])] for hand, arm, thing in zip(hands, rest_of_arm, held, strict=True)],
        camera,
        rng,
    )
    return HandView(frames, K, side, joints, R, motion.held is not None)


def _held_things(
    motion: _Motion, side: Side, R: np.ndarray, t: np.ndarray, rng: np.random.Generator
) -> list[RenderObject | None]:
    if motion.held is None or motion.T_wrist_object is None:
        return [None] * len(t)
    T = motion.T_wrist_object if side == "right" else mirror_pose(motion.T_wrist_object)
    look = int(rng.integers(2**31))
    return [
        _thing(motion.held, make(R_i, t_i) @ T, _HELD_ID, np.random.default_rng(look))
        for R_i, t_i in zip(R, t, strict=True)
    ]


def _frames(scene: Scene, moving: list[list[RenderObject]], camera: Camera, rng: np.random.Generator) -> np.ndarray:
    """Background once, then per frame the window that the moving objects and their shadows need."""
    exposure = float(rng.uniform(0.7, 1.3))
    config = RenderConfig(exposure=exposure, seed=int(rng.integers(64)))
    backdrop = render(scene, camera, RenderConfig(shadow_samples=1, exposure=exposure)).image
    post = PostConfig(
        blur_sigma_px=float(rng.uniform(0.0, 1.1)),
        noise_std=float(rng.uniform(0.5, 6.0)),
        vignetting=float(rng.uniform(0.0, 0.35)),
        white_balance=(float(rng.uniform(0.92, 1.08)), 1.0, float(rng.uniform(0.92, 1.08))),
        jpeg_quality=int(rng.integers(55, 96)),
    )
    frames = []
    for number, objects in enumerate(moving):
        image = backdrop.copy()
        window = _window(objects, camera)
        if window is not None:
            (x0, y0, x1, y1) = window
            K = camera.K_px.copy()
            K[:2, 2] -= [x0, y0]
            part = Camera(K, x1 - x0, y1 - y0, camera.T_world_cam)
            drawn = render(Scene((*scene.objects, *objects), scene.lights, scene.background, scene.up), part, config)
            image[y0:y1, x0:x1] = drawn.image
        noise = int(rng.integers(2**31))
        frames.append(apply_camera_effects(image, replace(post, seed=noise + number)))
    return np.stack(frames)


def _window(objects: list[RenderObject], camera: Camera, margin_px: int = 24) -> tuple[int, int, int, int] | None:
    points = np.concatenate([o.vertices for o in objects])
    points = points[points[:, 2] > 0.03]
    if len(points) == 0:
        return None
    uv = points[:, :2] / points[:, 2:] * [camera.K_px[0, 0], camera.K_px[1, 1]] + camera.K_px[:2, 2]
    x0, y0 = np.floor(np.clip(uv.min(axis=0) - margin_px, 0, None)).astype(int)
    x1, y1 = np.ceil(np.minimum(uv.max(axis=0) + margin_px, [camera.width_px, camera.height_px])).astype(int)
    return (int(x0), int(y0), int(x1), int(y1)) if x1 - x0 > 4 and y1 - y0 > 4 else None
