"""State (122) and step action (102) of an episode, and their inverse (spec of sample construction, 2.2 and 2.3).

Per hand a state is [t_cam (3), euler(R_cam) (3), finger euler (45), betas (10)] = 61, in the camera of its frame.
Per hand a step is [dt (3), euler(dR) (3), absolute finger euler of the NEXT frame (45)] = 51, where, in the axes of
one anchor camera, dt = t[k+1] - t[k] and dR = R[k+1] R[k]^T. Left comes first. Euler angles are static-axes xyz.
What is masked is zero.
"""

import numpy as np
from jaxtyping import Bool, Float

from vitra_lib.contracts.hand_track import SIDES, Side
from vitra_lib.core.errors import BadInput
from vitra_lib.episodes.episode import Episode
from vitra_lib.geometry.rotations import euler_xyz, from_euler_xyz

STATE_PER_HAND, ACTION_PER_HAND = 61, 51
STATE_DIM, ACTION_DIM = 2 * STATE_PER_HAND, 2 * ACTION_PER_HAND


def state(episode: Episode) -> tuple[Float[np.ndarray, "time 122"], Bool[np.ndarray, "time 2"]]:
    """State of every frame in that frame's camera, and per hand whether it is known.

    Returns:
        (time, 122) metres and radians, zero for a hand that is not valid; (time, 2) mask (left, right).
    """
    values = np.zeros((len(episode), STATE_DIM))
    mask = np.stack([episode.hand(side).is_valid for side in SIDES], axis=1)
    for index, side in enumerate(SIDES):
        hand = episode.hand(side)
        valid = hand.is_valid
        if not valid.any():
            continue
        block = values[:, index * STATE_PER_HAND : (index + 1) * STATE_PER_HAND]
        block[valid, :3] = episode.t_cam_wrist(side)[valid]
        block[valid, 3:6] = euler_xyz(episode.R_cam_wrist(side)[valid])
        block[valid, 6:51] = _finger_euler(hand.R_parent_joint[valid])
        block[valid, 51:] = hand.betas
    return values, mask


def step_actions(episode: Episode) -> tuple[Float[np.ndarray, "time 102"], Bool[np.ndarray, "time 2"]]:
    """The step from every frame to the next, in the camera of the first of the two.

    Returns:
        (time, 102) and (time, 2) mask; the last frame has no next one and is masked.
    """
    current = np.arange(len(episode) - 1)
    values = np.zeros((len(episode), ACTION_DIM))
    mask = np.zeros((len(episode), 2), bool)
    values[:-1], mask[:-1] = _steps(episode, current, episode.T_cam_world[:-1, :3, :3])
    return values, mask


def action_chunk(
    episode: Episode, frame: int, length: int = 16
) -> tuple[Float[np.ndarray, "length 102"], Bool[np.ndarray, "length 2"]]:
    """`length` steps from `frame` on, all in the camera of `frame`; steps past the episode's end are masked."""
    if not 0 <= frame < len(episode):
        raise BadInput(f"Episode {episode.name} has frames 0 to {len(episode) - 1}, not {frame}.")
    current = np.arange(frame, min(frame + length, len(episode) - 1))
    values = np.zeros((length, ACTION_DIM))
    mask = np.zeros((length, 2), bool)
    anchor = episode.T_cam_world[frame, :3, :3]
    values[: len(current)], mask[: len(current)] = _steps(episode, current, anchor)
    return values, mask


def _steps(
    episode: Episode, current: np.ndarray, R_cam_world: Float[np.ndarray, "*steps 3 3"]
) -> tuple[Float[np.ndarray, "steps 102"], Bool[np.ndarray, "steps 2"]]:
    values = np.zeros((len(current), ACTION_DIM))
    mask = np.zeros((len(current), 2), bool)
    for index, side in enumerate(SIDES):
        hand = episode.hand(side)
        valid = hand.is_valid[current] & hand.is_valid[current + 1]
        mask[:, index] = valid
        if not valid.any():
            continue
        now = current[valid]
        R_anchor = np.broadcast_to(R_cam_world, (len(current), 3, 3))[valid]
        dt_world = hand.t_world_wrist[now + 1] - hand.t_world_wrist[now]
        dR_world = hand.R_world_wrist[now + 1] @ np.swapaxes(hand.R_world_wrist[now], -1, -2)
        block = values[:, index * ACTION_PER_HAND : (index + 1) * ACTION_PER_HAND]
        block[valid, :3] = np.einsum("tij,tj->ti", R_anchor, dt_world)
        block[valid, 3:6] = euler_xyz(R_anchor @ dR_world @ np.swapaxes(R_anchor, -1, -2))
        block[valid, 6:] = _finger_euler(hand.R_parent_joint[now + 1])
    return values, mask


def replay_wrist(
    state_vector: Float[np.ndarray, "122"], actions: Float[np.ndarray, "steps 102"], side: Side
) -> tuple[Float[np.ndarray, "points 3 3"], Float[np.ndarray, "points 3"]]:
    """Apply steps to a state: t += dt, R = R(dR) R.

    Args:
        state_vector: state at the anchor frame, in its camera.
        actions: steps in the camera of the same frame (`action_chunk`), all of them valid for `side`.
        side: the hand to replay.

    Returns:
        R_cam_wrist (steps + 1, 3, 3) and t_cam_wrist (steps + 1, 3) [m] in the anchor's camera, the start included.
    """
    index = SIDES.index(side)
    start = state_vector[index * STATE_PER_HAND : (index + 1) * STATE_PER_HAND]
    steps = actions[:, index * ACTION_PER_HAND : (index + 1) * ACTION_PER_HAND]
    t = start[:3] + np.concatenate([np.zeros((1, 3)), np.cumsum(steps[:, :3], axis=0)])
    R = [from_euler_xyz(start[3:6])]
    for dR in from_euler_xyz(steps[:, 3:6]):
        R.append(dR @ R[-1])
    return np.stack(R), t


def _finger_euler(R_parent_joint: Float[np.ndarray, "time 15 3 3"]) -> Float[np.ndarray, "time 45"]:
    return euler_xyz(R_parent_joint).reshape(len(R_parent_joint), 45)
