"""Teleoperated episodes as episodes of the store: a robot's hand told as a human's, so that every tool here reads it.

The store holds what a human episode holds: the wrist, 15 finger rotations (those that a joint copies; the others are
zero), and the joints of the stand-in hand in that pose, which has a human's finger lengths and not the robot's. The
head camera stands still and is the world. Commands have no place there: training reads them from the TeleData files
(`robot.teleop.samples`), and the provenance says so.
"""

from pathlib import Path

import numpy as np

from robot.hand.mapping import HandMap
from robot.teleop.episode import TeleEpisode
from robot.teleop.files import TeleData
from robot.teleop.vectors import tele_masks
from vitra_lib.contracts.hand_track import SIDES, Side
from vitra_lib.core.errors import BadInput
from vitra_lib.core.files import sha256_of
from vitra_lib.episodes.episode import Episode, EpisodeCaption, EpisodeHand
from vitra_lib.episodes.footage import FootageConfig
from vitra_lib.episodes.store import EpisodeStore
from vitra_lib.geometry.rotations import from_euler_xyz
from vitra_lib.hands.model import load_hand_model
from vitra_lib.hands.posed import pose_hand

PREFIX = "teledata"


def to_episode(
    episode: TeleEpisode, size_px: tuple[int, int], hand_map: HandMap | None = None, source_sha256: str = ""
) -> Episode:
    """The human-shaped episode of a robot's.

    Args:
        episode: what to convert; measured angles become finger rotations.
        size_px: width and height of the image that its intrinsics describe.
        hand_map: the hand's table; the XHand's when None.
        source_sha256: digest of the file it came from, for the provenance.

    Raises:
        BadInput: the robot has no arm.
    """
    if not episode.sides:
        raise BadInput(f"Episode {episode.name} has neither a left nor a right arm; there is nothing to convert.")
    hand_map, frames = hand_map or HandMap.load(), np.arange(len(episode))
    hands = {side: _hand(episode, side, hand_map) for side in SIDES}
    return Episode(
        name=f"{PREFIX}_{episode.name}_ep_000000",
        dataset_prefix=PREFIX,
        video_name=episode.name,
        primary_hand="right" if episode.has_right else "left",
        fps=float(episode.fps),
        width_px=size_px[0],
        height_px=size_px[1],
        K_px=episode.K_px,
        crop_px=np.array([0.0, 0.0, *size_px]),
        T_cam_world=np.broadcast_to(np.eye(4), (len(episode), 4, 4)).copy(),
        source_frame=frames,
        time_s=frames / episode.fps,
        left=hands["left"],
        right=hands["right"],
        provenance={
            "robot_hand": hand_map.name,
            "fingers_source": "measured joint angles through the hand's table; unmapped angles are zero",
            "joints_source": "the stand-in hand in that pose",
            "commands": "not in this store; they are in the TeleData file",
            "source_sha256": source_sha256,
        },
    )


def convert_teledata(root: str | Path, out: str | Path, footage: FootageConfig | None = None) -> EpisodeStore:
    """Write a folder of TeleData as an episode store.

    Args:
        root: the folder with `annotation` and `videos`.
        out: the store to make; must not exist.
        footage: how the videos are copied.

    Raises:
        BadInput: no episodes, a broken one, or `out` exists.
        BadVideo: a video is missing or broken.
        WriteFailed: no permission, or the disk is full.
    """
    from vitra_lib.video import probe

    data = TeleData.open(root)
    with EpisodeStore.create(out, footage) as writer:
        for name in data.names:
            video, path = data.video(name), data.root / "annotation" / f"{name}.h5"
            info = probe(video)
            tele = data[data.names.index(name)]
            if info.frame_count != len(tele):
                raise BadInput(f"{video.name} has {info.frame_count} frames, its annotation {len(tele)}.")
            episode = to_episode(tele, (info.width_px, info.height_px), source_sha256=sha256_of(path))
            writer.add_video(name, [video], PREFIX)
            writer.append(episode)
        return writer.finalize()


def _hand(episode: TeleEpisode, side: Side, hand_map: HandMap) -> EpisodeHand:
    arm, valid = episode.arm(side), tele_masks(episode)[:, SIDES.index(side)]
    T = np.where(valid[:, None, None], arm.T_cam_mount, np.eye(4))
    euler = np.zeros((len(episode), 51))
    euler[:, hand_map.channel] = np.where(valid[:, None], arm.hand_rad, 0.0) * hand_map.sign
    R_parent_joint = from_euler_xyz(euler[:, 6:].reshape(len(episode), 15, 3))
    R, t, betas = T[:, :3, :3], T[:, :3, 3], np.zeros(10)
    joints = pose_hand(load_hand_model("standin"), side, R, t, R_parent_joint, betas)[1]
    text = episode.instruction.strip()
    captions = (EpisodeCaption(text, 0, len(episode), "teledata"),) if episode.has(side) and text else ()
    return EpisodeHand(
        R_world_wrist=R,
        t_world_wrist=t,
        R_parent_joint=R_parent_joint,
        betas=betas,
        joints_world=joints,
        is_valid=valid,
        confidence=valid.astype(float),
        hand_model="standin",
        captions=captions,
    )
