"""What captioning tests share: a rigid hand that moves before a moving camera."""

from collections.abc import Sequence

import numpy as np

from vitra_lib.contracts import CameraTrack, HandTrack, Reconstruction, Segment
from vitra_lib.geometry import rotations
from vitra_lib.geometry.cameras import K_from_focal
from vitra_lib.geometry.transforms import apply, invert, make

TIME = 24
WIDTH_PX, HEIGHT_PX = 320, 240
SEGMENT = Segment("right", 0, TIME, 0.3, 0.4, 1.0, "speed-minima")


def rigid_hand(
    velocity_world: Sequence[float],
    turn_rad: Sequence[float] = (0.0, 0.0, 0.0),
    close_rad: float = 0.0,
    moving_camera: bool = True,
    time: int = TIME,
) -> Reconstruction:
    """A right hand that moves by `velocity_world` [m] in all, before a camera that turns and drifts.

    Args:
        velocity_world: displacement of the wrist over the clip [m].
        turn_rad: rotation vector of the wrist over the clip [rad].
        close_rad: how far all finger joints bend over the clip [rad].
        moving_camera: whether the camera moves.
        time: number of frames.
    """
    step = np.arange(time)[:, None] / max(time - 1, 1)
    yaw = 0.3 * step * moving_camera
    R_world_cam = rotations.exp(np.concatenate([0 * yaw, yaw, 0 * yaw], axis=1))
    T_world_cam = make(R_world_cam, 0.1 * step * moving_camera * np.array([[1.0, 0.2, 0.0]]))
    T_world_cam = invert(T_world_cam[0])[None] @ T_world_cam
    t_world = np.array([0.0, 0.1, 0.5]) + step * np.asarray(velocity_world)
    shape = np.random.default_rng(0).normal(0, 0.03, (21, 3))
    shape[0] = 0
    R_world_wrist = rotations.exp(step * np.asarray(turn_rad, float))
    joints_world = t_world[:, None] + np.einsum("tij,nj->tni", R_world_wrist, shape)
    T_cam_world = invert(T_world_cam)
    bend = np.zeros((time, 15, 3))
    bend[..., 2] = close_rad * step
    camera = CameraTrack(
        K_px=K_from_focal(300.0, WIDTH_PX, HEIGHT_PX),
        width_px=WIDTH_PX,
        height_px=HEIGHT_PX,
        T_world_cam=T_world_cam,
        is_valid=np.ones(time, bool),
        is_static=False,
        intrinsics_source="truth",
        scale_source="truth",
        scale_rel_std=0.0,
        method="truth",
    )
    hand = HandTrack(
        side="right",
        R_cam_wrist=T_cam_world[:, :3, :3] @ R_world_wrist,
        t_cam_wrist=apply(T_cam_world, t_world[:, None])[:, 0],
        R_parent_joint=rotations.exp(bend),
        betas=np.zeros(10),
        joints_cam=apply(T_cam_world, joints_world),
        is_valid=np.ones(time, bool),
        is_observed=np.ones(time, bool),
        confidence=np.ones(time),
        hand_model="standin",
    )
    absent = HandTrack.absent("left", time)
    return Reconstruction("clip.mp4", "", 30.0, np.arange(time), np.arange(time) / 30, camera, absent, hand)


def black(indices: list[int]) -> list[np.ndarray]:
    """Frames of a dark room."""
    return [np.zeros((HEIGHT_PX, WIDTH_PX, 3), np.uint8) for _ in indices]


def short_segments(count: int) -> list[Segment]:
    """Overlapping pieces of different frames, so that every question is another."""
    return [Segment("right", i, i + 8, 0.1, 0.4, 1.0, "speed-minima") for i in range(count)]
