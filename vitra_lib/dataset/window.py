"""The frames of a sample: which ones, which of them count, and both hands in them (spec of the sample, 2.1).

A window of `past + chunk` steps needs one pose more than steps. Every pose is in the camera of the sample's own frame.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from vitra_lib.dataset.arrays import EpisodeArrays


@dataclass(frozen=True, eq=False)
class HandWindow:
    """Poses of both hands (left, right) at the `poses` frames of each sample, in the camera of the sample's frame.

    Attributes:
        R: (samples, 2, poses, 3, 3) wrist rotations; the camera's own axes where not kept (in the world: identity).
        t_m: (samples, 2, poses, 3) wrist positions [m].
        finger_euler: (samples, 2, poses, 45) [rad]; zero where not kept.
        R_joint: (samples, 2, poses, 15, 3, 3) the same as matrices; None unless asked for.
        keypoints_m: (samples, 2, poses, 21, 3) joints in the wrist frame [m]; None unless asked for.
        betas: (samples, 2, 10) hand shapes.
        is_kept: (samples, 2, poses) True where the pose is real and valid.
    """

    R: Float[np.ndarray, "samples 2 poses 3 3"]
    t_m: Float[np.ndarray, "samples 2 poses 3"]
    finger_euler: Float[np.ndarray, "samples 2 poses 45"]
    R_joint: Float[np.ndarray, "samples 2 poses 15 3 3"] | None
    keypoints_m: Float[np.ndarray, "samples 2 poses 21 3"] | None
    betas: Float[np.ndarray, "samples 2 10"]
    is_kept: Bool[np.ndarray, "samples 2 poses"]


@dataclass(frozen=True)
class WindowShape:
    """How many steps around a frame.

    Attributes:
        past: steps before the frame.
        chunk: steps from the frame on.
        official_quirks: keep the fake zero step that the official window makes up where it ends with the episode.
        with_joints: also gather finger rotation matrices.
        with_keypoints: also gather joints in the wrist frame.
    """

    past: int = 0
    chunk: int = 16
    official_quirks: bool = False
    with_joints: bool = False
    with_keypoints: bool = False

    @property
    def steps(self) -> int:
        """Steps of the window."""
        return self.past + self.chunk


def window_frames(
    frame: Int[np.ndarray, " samples"],
    bounds: Int[np.ndarray, "samples 2 2"],
    shape: WindowShape,
) -> tuple[Int[np.ndarray, "samples 2 poses"], Bool[np.ndarray, "samples 2 poses"]]:
    """The episode frame of each pose, per hand, and whether it lies inside the bounds.

    Args:
        frame: (samples,) episode frames.
        bounds: (samples, 2, 2) first and last frame that each hand's window may use.
        shape: size of the window.

    Returns:
        Frames, clipped to the bounds, and the mask. In the official code the pose after the last step counts as inside
        unless one of the steps is outside; by default it counts as what it is.
    """
    wanted = (frame[:, None] + np.arange(-shape.past, shape.chunk + 1))[:, None]
    low, high = bounds[:, :, :1], bounds[:, :, 1:]
    inside = (wanted >= low) & (wanted <= high)
    if shape.official_quirks:
        inside[:, :, -1] |= inside[:, :, :-1].all(-1)
    return np.clip(wanted, low, high), inside


def gather_window(
    arrays: EpisodeArrays,
    episode: Int[np.ndarray, " samples"],
    frame: Int[np.ndarray, " samples"],
    bounds: Int[np.ndarray, "samples 2 2"],
    shape: WindowShape,
) -> HandWindow:
    """Both hands around one frame of each sample.

    Args:
        arrays: labels of the episodes.
        episode, frame: (samples,) number of the episode in `arrays`, and the frame in it.
        bounds: (samples, 2, 2) first and last frame that each hand's window may use.
        shape: size of the window, and what to gather.
    """
    frames, inside = window_frames(frame, bounds, shape)
    rows = arrays.start[episode][:, None, None] + frames
    hands = np.arange(2)[None, :, None]
    kept = arrays.is_valid[rows, hands] & inside
    R_world = np.where(kept[..., None, None], arrays.R_world_wrist[rows, hands], np.eye(3))
    t_world = arrays.t_world_wrist[rows, hands]
    joints = keypoints = None
    if shape.with_joints:
        joints = np.where(kept[..., None, None, None], arrays.R_parent_joint[rows, hands], np.eye(3))
    if shape.with_keypoints:
        keypoints = (arrays.joints_world[rows, hands] - t_world[..., None, :]) @ arrays.R_world_wrist[rows, hands]
    anchor = arrays.start[episode] + frame
    R_cam, t_cam = arrays.R_cam_world[anchor], arrays.t_cam_world[anchor]
    return HandWindow(
        R=R_cam[:, None, None] @ R_world,
        t_m=turned(R_cam[:, None, None], t_world) + t_cam[:, None, None],
        finger_euler=np.where(kept[..., None], arrays.finger_euler[rows, hands], 0.0),
        R_joint=joints,
        keypoints_m=keypoints,
        betas=arrays.betas[episode],
        is_kept=kept,
    )


def turned(R: Float[np.ndarray, "*#batch 3 3"], x: Float[np.ndarray, "*#batch 3"]) -> Float[np.ndarray, "*batch 3"]:
    """R x, element by element, so that a number does not depend on how many others are turned with it."""
    return R[..., 0] * x[..., :1] + R[..., 1] * x[..., 1:2] + R[..., 2] * x[..., 2:]


def palm_boxes(
    arrays: EpisodeArrays,
    episode: Int[np.ndarray, " samples"],
    frame: Int[np.ndarray, " samples"],
    official_quirks: bool = False,
) -> Float[np.ndarray, "samples 4"]:
    """Box (u0, v0, u1, v1) around the way of the primary palm from the frame to the episode's end.

    In the image of the sample's frame, normalised, clipped to it (spec of the augmentation, 3.2). Frames in which the
    hand is not known are left out; where none is known the box is the image's centre.

    Args:
        arrays, episode, frame: as in `gather_window`.
        official_quirks: count every frame, and round to whole pixels of `arrays.size_px`.
    """
    start = arrays.start[episode] + frame
    stop = arrays.start[episode] + arrays.length[episode]
    rows = start[:, None] + np.arange(int((stop - start).max(initial=0)))
    inside = rows < stop[:, None]
    rows = np.where(inside, rows, start[:, None])
    palm = turned(arrays.R_cam_world[start][:, None], arrays.palm_world[rows]) + arrays.t_cam_world[start][:, None]
    K = arrays.K[episode]
    uv = palm[..., :2] / np.maximum(palm[..., 2:], 0.05)
    uv = uv * K[:, None, [0, 1], [0, 1]] + K[:, None, :2, 2]
    if official_quirks:
        size = arrays.size_px[episode][:, None]
        uv = np.clip(np.rint(uv * size), 0, size - 1) / size
    else:
        inside &= arrays.is_valid[rows, arrays.primary[episode][:, None]]
    uv = np.clip(uv, 0.0, 1.0)
    low = np.where(inside[..., None], uv, np.inf).min(1, initial=np.inf)
    high = np.where(inside[..., None], uv, -np.inf).max(1, initial=-np.inf)
    box = np.concatenate([low, high], axis=1)
    return np.where(inside.any(1)[:, None], box, 0.5)
