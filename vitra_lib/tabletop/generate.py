"""From a configuration to a clip with everything known: program, camera, hands, objects, truth."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from vitra_lib.contracts import CameraTrack, Caption, HandTrack, Reconstruction, Segment
from vitra_lib.contracts.hand_track import SIDES, Side
from vitra_lib.geometry.cameras import project
from vitra_lib.geometry.transforms import invert
from vitra_lib.hands.grasps import to_rotations
from vitra_lib.hands.kinematics import chains_of
from vitra_lib.hands.model import load_hand_model
from vitra_lib.hands.posed import pose_hand
from vitra_lib.tabletop.arm import forearm_bend
from vitra_lib.tabletop.clip import HandTruth, ObjectTracks, TabletopClip
from vitra_lib.tabletop.config import ClipConfig
from vitra_lib.tabletop.head import HeadPath, head_path
from vitra_lib.tabletop.layout import Scene, mirror_pose, sample_scene
from vitra_lib.tabletop.motion import Tremor, finger_path, wrist_path
from vitra_lib.tabletop.program import HandProgram, plan_hand

MIN_VISIBLE_JOINTS = 0.6
"""Share of joints that must be inside the image for a hand to count as visible."""
RULE = "truth"
_MODEL = "standin"


def generate_clip(config: ClipConfig) -> TabletopClip:
    """Plan one clip; no picture is drawn. The same configuration always gives the same clip.

    Args:
        config: what is asked for.

    Returns:
        The clip with its truth; `render_clip` draws it.
    """
    scene = sample_scene(config)
    times_s = np.arange(config.frame_count) / config.fps
    chains = chains_of(load_hand_model(_MODEL).rest_joints(scene.betas))
    programs: dict[Side, HandProgram] = {}
    hands: dict[Side, HandTruth] = {}
    for k, side in enumerate(SIDES):
        if config.hands in (side, "both"):
            rng = np.random.default_rng([config.seed, 2 + k])
            programs[side] = plan_hand(scene, side, chains, config.duration_s, rng)
            hands[side] = _hand_truth(programs[side], times_s, scene, config, rng)
    head = head_path(config, times_s, _focus(programs, hands, times_s), np.random.default_rng([config.seed, 5]))
    camera = _camera_track(config, head)
    tracks = {side: _hand_track(side, hands.get(side), head, scene, config) for side in SIDES}
    truth = Reconstruction(
        video_name="video.mp4",
        video_sha256="",
        fps=config.fps,
        source_frame=np.arange(config.frame_count),
        time_s=times_s,
        camera=camera,
        left=tracks["left"],
        right=tracks["right"],
    )
    captions = _captions(truth, programs, config)
    return TabletopClip(
        config=config,
        truth=truth,
        segments=tuple(c.segment for c in captions),
        captions=captions,
        skills=_skills(programs),
        objects=_object_tracks(scene, programs, hands, times_s),
        hands=tuple(hands[side] for side in SIDES if side in hands),
        T_table_world=head.T_table_cam[0],
    )


def _unmirrored(T: Float[np.ndarray, "*batch 4 4"], side: Side) -> Float[np.ndarray, "*batch 4 4"]:
    """From the planning frame of a hand to the table."""
    return T if side == "right" else mirror_pose(T)


def _hand_truth(
    program: HandProgram,
    times_s: Float[np.ndarray, " time"],
    scene: Scene,
    config: ClipConfig,
    rng: np.random.Generator,
) -> HandTruth:
    """Wrist, fingers and forearm of one hand at every frame, in the table frame."""
    tremor = Tremor().sample(len(times_s), config.fps, rng)
    T_plan = wrist_path(program.moves, times_s, tremor)
    bend = forearm_bend(T_plan[:, :3, :3], T_plan[:, :3, 3])
    fingers = to_rotations(finger_path(program.keys, times_s))
    return HandTruth(program.side, _unmirrored(T_plan, program.side), fingers, bend, scene.betas)


def _focus(
    programs: dict[Side, HandProgram], hands: dict[Side, HandTruth], times_s: Float[np.ndarray, " time"]
) -> Float[np.ndarray, "time 3"]:
    """Point that a person looks at: where the busy hand is going (its palm in half a second), the mean of two."""
    ahead = np.minimum(np.arange(len(times_s)) + round(0.4 / max(times_s[1], 1e-6)), len(times_s) - 1)
    total, weight = np.zeros((len(times_s), 3)), np.zeros((len(times_s), 1))
    for side, hand in hands.items():
        palm = hand.T_table_wrist[:, :3, 3] + 0.09 * hand.T_table_wrist[:, :3, 0] * (1.0 if side == "left" else -1.0)
        busy = np.full((len(times_s), 1), 0.25)
        for action in programs[side].actions:
            if action.text:
                busy[(times_s >= action.start_s) & (times_s < action.stop_s)] = 1.0
        total += busy * palm[ahead]
        weight += busy
    return total / weight


def _camera_track(config: ClipConfig, head: HeadPath) -> CameraTrack:
    """The contract's camera: world = camera of the first frame."""
    return CameraTrack(
        K_px=head.K_px,
        width_px=config.width_px,
        height_px=config.height_px,
        T_world_cam=invert(head.T_table_cam[:1]) @ head.T_table_cam,
        is_valid=np.ones(config.frame_count, bool),
        is_static=config.camera == "static",
        intrinsics_source="truth",
        scale_source="truth",
        scale_rel_std=0.0,
        method="truth",
    )


def visible_enough(
    joints_cam: Float[np.ndarray, "time 21 3"], K_px: Float[np.ndarray, "3 3"], width_px: int, height_px: int
) -> Bool[np.ndarray, " time"]:
    """True where the wrist is in front of the camera and at least 60 % of the joints are inside the image."""
    uv = np.nan_to_num(project(K_px, joints_cam), nan=-1e9)
    inside = (
        (uv[..., 0] >= -0.5) & (uv[..., 0] < width_px - 0.5) & (uv[..., 1] >= -0.5) & (uv[..., 1] < height_px - 0.5)
    )
    return (joints_cam[:, 0, 2] > 0.05) & (inside.mean(axis=1) >= MIN_VISIBLE_JOINTS)


def _hand_track(side: Side, hand: HandTruth | None, head: HeadPath, scene: Scene, config: ClipConfig) -> HandTrack:
    """The contract's hand track; `is_valid` where the hand is visible enough."""
    if hand is None:
        return HandTrack.absent(side, config.frame_count, _MODEL)
    T_cam_wrist = invert(head.T_table_cam) @ hand.T_table_wrist
    R, t = T_cam_wrist[:, :3, :3].copy(), T_cam_wrist[:, :3, 3].copy()
    _, joints = pose_hand(load_hand_model(_MODEL), side, R, t, hand.R_parent_joint, hand.betas)
    is_valid = visible_enough(joints, head.K_px, config.width_px, config.height_px)
    joints[~is_valid] = np.nan
    return HandTrack(
        side=side,
        R_cam_wrist=R,
        t_cam_wrist=t,
        R_parent_joint=hand.R_parent_joint,
        betas=hand.betas,
        joints_cam=joints,
        is_valid=is_valid,
        is_observed=is_valid.copy(),
        confidence=is_valid.astype(float),
        hand_model=_MODEL,
    )


def _ordered(programs: dict[Side, HandProgram]) -> list[tuple[Side, int]]:
    """(side, number of the action) of all actions, by start and then side."""
    keys = [(side, k) for side, p in programs.items() for k in range(len(p.actions))]
    return sorted(keys, key=lambda key: (programs[key[0]].actions[key[1]].start_s, key[0]))


def _captions(truth: Reconstruction, programs: dict[Side, HandProgram], config: ClipConfig) -> tuple[Caption, ...]:
    """One truth caption per atomic action; actions cover the clip without gaps."""
    captions = []
    for side, k in _ordered(programs):
        action = programs[side].actions[k]
        start = round(action.start_s * config.fps)
        stop = min(round(action.stop_s * config.fps), config.frame_count)
        steps = np.linalg.norm(np.diff(truth.t_world_wrist(side)[start:stop], axis=0), axis=1)
        segment = Segment(
            side=side,
            start=start,
            stop=stop,
            path_m=float(steps.sum()),
            mean_speed=float(steps.mean() * config.fps) if len(steps) else 0.0,
            valid_fraction=float(truth.hand(side).is_valid[start:stop].mean()),
            rule=RULE,
        )
        captions.append(Caption(segment, action.text, not action.text, "truth", False))
    return tuple(captions)


def _skills(programs: dict[Side, HandProgram]) -> tuple[str, ...]:
    return tuple(programs[side].actions[k].skill for side, k in _ordered(programs))


def _object_tracks(
    scene: Scene, programs: dict[Side, HandProgram], hands: dict[Side, HandTruth], times_s: Float[np.ndarray, " time"]
) -> ObjectTracks:
    """Where every object is at every frame: where it was put down last, or rigidly with the hand that holds it."""
    T = np.stack([np.tile(t.T_table_object, (len(times_s), 1, 1)) for t in scene.things], axis=1)
    held_by = np.full((len(times_s), len(scene.things)), -1, np.int8)
    for side, program in programs.items():
        for hold in program.holds:
            T_wrist_object = _unmirrored(hold.T_wrist_object, side)
            during = (times_s >= hold.start_s) & (times_s < hold.stop_s)
            T[during, hold.thing] = hands[side].T_table_wrist[during] @ T_wrist_object
            held_by[during, hold.thing] = SIDES.index(side)
            if np.isfinite(hold.stop_s):
                at_rest = wrist_path(program.moves, np.array([hold.stop_s]), np.zeros((1, 6)))
                T[times_s >= hold.stop_s, hold.thing] = _unmirrored(at_rest, side)[0] @ T_wrist_object
    return ObjectTracks(
        names=_unique([t.label for t in scene.things]),
        categories=tuple(t.instance.category for t in scene.things),
        instances=tuple(t.instance.name for t in scene.things),
        colours=tuple(t.colour for t in scene.things),
        owners=tuple(t.owner or "" for t in scene.things),
        T_table_object=T,
        held_by=held_by,
    )


def _unique(labels: Sequence[str]) -> tuple[str, ...]:
    """Labels, the second of a kind numbered: "red book", "red book 2"."""
    return tuple(x if labels[:i].count(x) == 0 else f"{x} {labels[:i].count(x) + 1}" for i, x in enumerate(labels))
