"""The labels of many episodes end to end, in the arrays from which windows are gathered."""

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from jaxtyping import Bool, Float, Int

from vitra_lib.contracts.hand_track import SIDES
from vitra_lib.core.errors import BadInput
from vitra_lib.dataset.instruction import EpisodeTexts
from vitra_lib.episodes.episode import Episode
from vitra_lib.geometry.rotations import euler_xyz
from vitra_lib.hands.skeleton import PALM_JOINTS

_ONE: "WeakKeyDictionary[Episode, EpisodeArrays]" = WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class EpisodeArrays:
    """Labels of `episodes` episodes; episode e has the rows [start[e], start[e] + length[e]). Hands: (left, right).

    Attributes:
        names: unique names.
        texts: captions, ready to choose from.
        start, length: (episodes,) rows of each episode.
        primary: (episodes,) number of the hand that cut the episode.
        K: (episodes, 3, 3) intrinsics of what the video shows, in normalised image coordinates.
        size_px: (episodes, 2) width and height that the labels take the video for [px].
        betas: (episodes, 2, 10) hand shapes.
        R_cam_world, t_cam_world: (rows, 3, 3), (rows, 3) world to camera [m].
        R_world_wrist, t_world_wrist: (rows, 2, 3, 3), (rows, 2, 3) wrists in the world [m].
        R_parent_joint: (rows, 2, 15, 3, 3) finger rotations.
        finger_euler: (rows, 2, 45) the same as static-axes xyz Euler angles [rad].
        joints_world: (rows, 2, 21, 3) joints in the world [m]; the wrist's place where they are unknown.
        palm_world: (rows, 3) palm of the primary hand in the world [m].
        is_valid: (rows, 2) True where the hand may be used.
    """

    names: tuple[str, ...]
    texts: tuple[EpisodeTexts, ...]
    start: Int[np.ndarray, " episodes"]
    length: Int[np.ndarray, " episodes"]
    primary: Int[np.ndarray, " episodes"]
    K: Float[np.ndarray, "episodes 3 3"]
    size_px: Float[np.ndarray, "episodes 2"]
    betas: Float[np.ndarray, "episodes 2 10"]
    R_cam_world: Float[np.ndarray, "rows 3 3"]
    t_cam_world: Float[np.ndarray, "rows 3"]
    R_world_wrist: Float[np.ndarray, "rows 2 3 3"]
    t_world_wrist: Float[np.ndarray, "rows 2 3"]
    R_parent_joint: Float[np.ndarray, "rows 2 15 3 3"]
    finger_euler: Float[np.ndarray, "rows 2 45"]
    joints_world: Float[np.ndarray, "rows 2 21 3"]
    palm_world: Float[np.ndarray, "rows 3"]
    is_valid: Bool[np.ndarray, "rows 2"]

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def of(cls, *episodes: Episode) -> "EpisodeArrays":
        """Put episodes end to end.

        Raises:
            BadInput: no episode was given.
        """
        if not episodes:
            raise BadInput("There is no episode to take labels from: give one or more.")
        length = np.array([len(episode) for episode in episodes])
        both = {name: np.concatenate([_both(e, name) for e in episodes]) for name in _HAND_FIELDS}
        t_world = both["t_world_wrist"]
        joints = np.where(np.isfinite(both["joints_world"]), both["joints_world"], t_world[:, :, None])
        primary = np.array([SIDES.index(e.primary_hand) for e in episodes])
        T = np.concatenate([e.T_cam_world for e in episodes])
        return cls(
            names=tuple(e.name for e in episodes),
            texts=tuple(EpisodeTexts.of(e) for e in episodes),
            start=np.concatenate([[0], np.cumsum(length)[:-1]]),
            length=length,
            primary=primary,
            K=np.stack([e.K_for(1, 1) for e in episodes]),
            size_px=np.stack([e.crop_px[2:] for e in episodes]),
            betas=np.stack([[e.hand(side).betas for side in SIDES] for e in episodes]),
            R_cam_world=T[:, :3, :3],
            t_cam_world=T[:, :3, 3],
            R_world_wrist=both["R_world_wrist"],
            t_world_wrist=t_world,
            R_parent_joint=both["R_parent_joint"],
            finger_euler=euler_xyz(both["R_parent_joint"]).reshape(-1, 2, 45),
            joints_world=joints,
            palm_world=joints[np.arange(len(T)), np.repeat(primary, length)][:, PALM_JOINTS].mean(1),
            is_valid=both["is_valid"],
        )

    @classmethod
    def of_one(cls, episode: Episode) -> "EpisodeArrays":
        """Like `of` for one episode, remembered as long as the episode lives."""
        if episode not in _ONE:
            _ONE[episode] = cls.of(episode)
        return _ONE[episode]


_HAND_FIELDS = ("R_world_wrist", "t_world_wrist", "R_parent_joint", "joints_world", "is_valid")


def _both(episode: Episode, name: str) -> np.ndarray:
    return np.stack([getattr(episode.hand(side), name) for side in SIDES], axis=1)
