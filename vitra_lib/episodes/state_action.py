"""The numbers of one hand in a state and in a step, and both for every frame of an episode (spec of the sample).

Per hand a state is [t_cam (3), euler(R_cam) (3), finger euler (45), betas (10)] = 61, in the camera of its frame.
Per hand a step is [dt (3), euler(dR) (3), absolute finger euler of the NEXT frame (45)] = 51, where, in the axes of
one anchor camera, dt = t[k+1] - t[k] and dR = R[k+1] R[k]^T. Left comes first. Euler angles are static-axes xyz.
What is masked is zero. Windows of steps, and their inverse, are in `vitra_lib.dataset`.
"""

import numpy as np
from jaxtyping import Bool, Float

from vitra_lib.contracts.hand_track import SIDES
from vitra_lib.episodes.episode import Episode
from vitra_lib.geometry.rotations import euler_xyz

STATE_PER_HAND, ACTION_PER_HAND = 61, 51
STATE_DIM, ACTION_DIM = 2 * STATE_PER_HAND, 2 * ACTION_PER_HAND


def hand_state(
    R: Float[np.ndarray, "*batch 3 3"],
    t_m: Float[np.ndarray, "*batch 3"],
    fingers: Float[np.ndarray, "*batch fingers"],
    betas: Float[np.ndarray, "*batch 10"],
) -> Float[np.ndarray, "*batch state"]:
    """The state of one hand: [t, euler(R), fingers, betas].

    Args:
        R, t_m: wrist pose in one camera [m].
        fingers: 45 Euler angles [rad] or 63 coordinates [m].
        betas: hand shape.
    """
    return np.concatenate([t_m, euler_xyz(R), fingers, betas], axis=-1)


def hand_step(
    R_now: Float[np.ndarray, "*#batch 3 3"],
    R_next: Float[np.ndarray, "*#batch 3 3"],
    dt_m: Float[np.ndarray, "*batch 3"],
    fingers: Float[np.ndarray, "*batch fingers"],
) -> Float[np.ndarray, "*batch step"]:
    """The step of one hand: [dt, euler(R_next R_now^T), fingers].

    Args:
        R_now, R_next: wrist rotations in one camera.
        dt_m: change of the wrist's position in the same camera [m].
        fingers: 45 Euler angles [rad] or 63 coordinates [m] of the next pose.
    """
    return np.concatenate([dt_m, euler_xyz(R_next @ np.swapaxes(R_now, -1, -2)), fingers], axis=-1)


def state(episode: Episode) -> tuple[Float[np.ndarray, "time 122"], Bool[np.ndarray, "time 2"]]:
    """State of every frame in that frame's camera, and per hand whether it is known.

    Returns:
        (time, 122) metres and radians, zero for a hand that is not valid; (time, 2) mask (left, right).
    """
    values = np.zeros((len(episode), STATE_DIM))
    mask = np.stack([episode.hand(side).is_valid for side in SIDES], axis=1)
    for index, side in enumerate(SIDES):
        hand, valid = episode.hand(side), mask[:, index]
        if not valid.any():
            continue
        block = values[:, index * STATE_PER_HAND : (index + 1) * STATE_PER_HAND]
        betas = np.broadcast_to(hand.betas, (int(valid.sum()), 10))
        fingers = _finger_euler(hand.R_parent_joint[valid])
        block[valid] = hand_state(episode.R_cam_wrist(side)[valid], episode.t_cam_wrist(side)[valid], fingers, betas)
    return values, mask


def step_actions(episode: Episode) -> tuple[Float[np.ndarray, "time 102"], Bool[np.ndarray, "time 2"]]:
    """The step from every frame to the next, in the camera of the first of the two.

    Returns:
        (time, 102) and (time, 2) mask; the last frame has no next one and is masked.
    """
    values = np.zeros((len(episode), ACTION_DIM))
    mask = np.zeros((len(episode), 2), bool)
    for index, side in enumerate(SIDES):
        hand = episode.hand(side)
        mask[:-1, index] = hand.is_valid[:-1] & hand.is_valid[1:]
        now = np.flatnonzero(mask[:, index])
        if not len(now):
            continue
        R_cam_world = episode.T_cam_world[now, :3, :3]
        block = values[:, index * ACTION_PER_HAND : (index + 1) * ACTION_PER_HAND]
        block[now] = hand_step(
            R_cam_world @ hand.R_world_wrist[now],
            R_cam_world @ hand.R_world_wrist[now + 1],
            np.einsum("tij,tj->ti", R_cam_world, hand.t_world_wrist[now + 1] - hand.t_world_wrist[now]),
            _finger_euler(hand.R_parent_joint[now + 1]),
        )
    return values, mask


def _finger_euler(R_parent_joint: Float[np.ndarray, "time 15 3 3"]) -> Float[np.ndarray, "time 45"]:
    return euler_xyz(R_parent_joint).reshape(len(R_parent_joint), 45)
