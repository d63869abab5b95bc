"""States and actions out of a window of hand poses, in the source camera or under a virtual one; and their inverse.

Spec of the sample, 2.2 and 2.3, and of the augmentation, 3.4.
"""

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float

from vitra_lib.core.errors import BadInput, UnknownName
from vitra_lib.dataset.action_space import ActionSpace
from vitra_lib.dataset.window import HandWindow, turned
from vitra_lib.episodes.state_action import hand_state, hand_step
from vitra_lib.geometry.rotations import euler_xyz, from_euler_xyz
from vitra_lib.hands.mirror import MIRROR

RELATIVE_TO: tuple[str, ...] = ("step", "anchor")


def under_view(
    window: HandWindow, R_view_cam: Float[np.ndarray, "samples 3 3"], is_flipped: Bool[np.ndarray, " samples"]
) -> HandWindow:
    """The same hands as the virtual camera sees them.

    Positions turn with the view. Where the view is mirrored a right hand is seen as a left one: its rotation is
    mirrored on both sides and stays proper, its keypoints are mirrored, and the hands change places. Finger angles and
    shapes stay, for both hands have them in the right hand's convention.

    Args:
        window: the hands in the source camera.
        R_view_cam: (samples, 3, 3) source camera to view; its determinant is -1 where mirrored.
        is_flipped: (samples,) True where mirrored.
    """
    R_view = R_view_cam[:, None, None]
    R = R_view @ window.R
    R = np.where(is_flipped[:, None, None, None, None], R @ MIRROR, R)
    keypoints = window.keypoints_m
    if keypoints is not None:
        keypoints = np.where(is_flipped[:, None, None, None, None], keypoints @ MIRROR, keypoints)
    seen = replace(window, R=R, t_m=turned(R_view, window.t_m), keypoints_m=keypoints)
    swapped = {
        name: np.where(is_flipped.reshape(-1, *[1] * (value.ndim - 1)), value[:, ::-1], value)
        for name, value in vars(seen).items()
        if value is not None
    }
    return replace(seen, **swapped)


def states(
    window: HandWindow, space: ActionSpace, pose: int
) -> tuple[Float[np.ndarray, "samples state_dim"], Bool[np.ndarray, "samples 2"]]:
    """Both hands at one pose of the window: [t, euler(R), fingers, betas] each.

    Returns:
        (samples, 122 or 158) [m, rad], and which hands are known; an unknown hand is not zeroed here.
    """
    fingers = _fingers(window, space)[:, :, pose]
    values = hand_state(window.R[:, :, pose], window.t_m[:, :, pose], fingers, window.betas)
    return values.reshape(len(values), space.state_dim), window.is_kept[:, :, pose].copy()


def actions(
    window: HandWindow, space: ActionSpace, anchor: int, rel_mode: str = "step", use_rel: bool = False
) -> tuple[Float[np.ndarray, "samples steps action_dim"], Bool[np.ndarray, "samples steps 2"]]:
    """The steps between the poses of the window: [dt, euler(dR), fingers of the next pose] per hand.

    dt = t_next - t and dR = R_next R^T, where t and R are those of the pose before ("step") or of the pose at `anchor`.

    Args:
        window: poses in one camera.
        space: "angle" or "keypoints".
        anchor: number of the pose that belongs to the sample's frame.
        rel_mode: "step" or "anchor".
        use_rel: give the fingers as changes too (angles only).

    Returns:
        (samples, steps, 102 or 138) [m, rad], zero where masked, and the mask per hand.

    Raises:
        BadInput: finger changes were asked for without finger rotations.
    """
    if rel_mode not in RELATIVE_TO:
        raise UnknownName("rel_mode", rel_mode, RELATIVE_TO)
    now = slice(None, -1) if rel_mode == "step" else slice(anchor, anchor + 1)
    R_now, t_now, kept_now = window.R[:, :, now], window.t_m[:, :, now], window.is_kept[:, :, now]
    mask = window.is_kept[:, :, 1:] & kept_now
    if use_rel:
        if window.R_joint is None or space.action_type != "angle":
            raise BadInput("use_rel needs the action type 'angle': keypoints have no relative form.")
        turn = window.R_joint[:, :, 1:] @ np.swapaxes(window.R_joint[:, :, now], -1, -2)
        fingers = euler_xyz(turn).reshape(*turn.shape[:3], space.fingers)
    else:
        fingers = _fingers(window, space)[:, :, 1:]
    values = hand_step(R_now, window.R[:, :, 1:], window.t_m[:, :, 1:] - t_now, fingers)
    values = np.where(mask[..., None], values, 0.0)
    samples, _, steps = mask.shape
    return np.swapaxes(values, 1, 2).reshape(samples, steps, space.action_dim), np.swapaxes(mask, 1, 2).copy()


def replay(
    state: Float[np.ndarray, " hand"], steps: Float[np.ndarray, "steps per_hand"], rel_mode: str = "step"
) -> Float[np.ndarray, "points per_hand"]:
    """Where the steps of one hand lead: the inverse of `actions` with absolute fingers (spec 8.4).

    t + dt, R(dR) R, and the fingers as they are given; each step goes on from the last ("step") or from the start
    ("anchor").

    Args:
        state: (51 or 69,) or more: [t, euler(R), fingers, …] of the hand at the start, in the camera of the steps.
        steps: (steps, 51 or 69) [dt, euler(dR), fingers], not normalised, none of them masked.
        rel_mode: as in `actions`.

    Returns:
        (steps + 1, 51 or 69) [t, euler(R), fingers], the start first.
    """
    if rel_mode not in RELATIVE_TO:
        raise UnknownName("rel_mode", rel_mode, RELATIVE_TO)
    size = steps.shape[1]
    points = np.concatenate([state[None, :size], steps])
    R = [from_euler_xyz(state[3:6])]
    for dR in from_euler_xyz(steps[:, 3:6]):
        R.append(dR @ R[-1 if rel_mode == "step" else 0])
    moved = np.cumsum(steps[:, :3], axis=0) if rel_mode == "step" else steps[:, :3]
    points[1:, :3] = state[:3] + moved
    points[:, 3:6] = euler_xyz(np.stack(R))
    return points


def _fingers(window: HandWindow, space: ActionSpace) -> np.ndarray:
    if space.action_type == "angle":
        return window.finger_euler
    if window.keypoints_m is None:
        raise BadInput("The action type 'keypoints' needs a window with keypoints.")
    return window.keypoints_m.reshape(*window.keypoints_m.shape[:3], space.fingers)
