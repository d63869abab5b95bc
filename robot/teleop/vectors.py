"""The 36 numbers of a robot state and of a robot step, for every frame of an episode (spec of the robot, 7.1).

Per hand: the wrist [xyz (3), euler xyz (3)] and 12 joints. In a state the wrist is the hand mount in the head camera
and the joints are measured. In a step the wrist is the change from this frame to the next in camera axes, as in the
human data: dt = t[k+1] - t[k], dR = R[k+1] R[k]^T; the joints are the angles commanded at this frame. A step counts
where the hand is valid at both of its frames; the last frame has no next one. Left comes first; what is masked is zero.
"""

import numpy as np
from jaxtyping import Bool, Float

from robot.teleop.episode import HAND_JOINTS, TeleEpisode
from vitra_lib.contracts.hand_track import SIDES
from vitra_lib.episodes.state_action import hand_step
from vitra_lib.geometry.rotations import euler_xyz

PER_HAND = 6 + HAND_JOINTS
ROBOT_DIM = 2 * PER_HAND


def tele_masks(episode: TeleEpisode) -> Bool[np.ndarray, "time 2"]:
    """Per hand (left, right) whether its state is known: the arm is there, and arm and hand are valid."""
    return np.stack([episode.arm(side).is_valid & episode.has(side) for side in SIDES], axis=1)


def tele_states(episode: TeleEpisode) -> tuple[Float[np.ndarray, "time 36"], Bool[np.ndarray, "time 2"]]:
    """The state of every frame [m, rad] and its mask (left, right)."""
    mask = tele_masks(episode)
    blocks = []
    for index, side in enumerate(SIDES):
        T, valid = episode.arm(side).T_cam_mount, mask[:, index, None]
        block = np.concatenate([T[:, :3, 3], euler_xyz(T[:, :3, :3]), episode.arm(side).hand_rad], axis=1)
        blocks.append(np.where(valid, block, 0.0))
    return np.concatenate(blocks, axis=1), mask


def tele_steps(episode: TeleEpisode) -> tuple[Float[np.ndarray, "time 36"], Bool[np.ndarray, "time 2"]]:
    """The step from every frame to the next [m, rad] and its mask (left, right)."""
    known = tele_masks(episode)
    mask = np.zeros_like(known)
    mask[:-1] = known[:-1] & known[1:]
    values = np.zeros((len(episode), ROBOT_DIM))
    for index, side in enumerate(SIDES):
        arm, now = episode.arm(side), np.flatnonzero(mask[:, index])
        if not len(now):
            continue
        T, after = arm.T_cam_mount, now + 1
        values[now, index * PER_HAND : (index + 1) * PER_HAND] = hand_step(
            T[now, :3, :3], T[after, :3, :3], T[after, :3, 3] - T[now, :3, 3], arm.hand_command_rad[now]
        )
    return values, mask


def chunk_of(
    values: Float[np.ndarray, "time robot"], mask: Bool[np.ndarray, "time 2"], frame: int, steps: int
) -> tuple[Float[np.ndarray, "steps robot"], Bool[np.ndarray, "steps 2"]]:
    """`steps` rows from `frame` on; beyond the end they are zero and masked."""
    rows = frame + np.arange(steps)
    inside = rows < len(values)
    rows = np.where(inside, rows, 0)
    return np.where(inside[:, None], values[rows], 0.0), mask[rows] & inside[:, None]
