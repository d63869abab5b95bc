"""One hand through time, in MANO's layout and in the camera of each frame (spec of the episode format, 1.4)."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

Side = Literal["left", "right"]
SIDES: tuple[Side, Side] = ("left", "right")


@dataclass(frozen=True)
class HandTrack:
    """Pose of one hand per frame of a video.

    Finger rotations are in the right-hand convention for BOTH hands: a left hand is the right-hand
    template mirrored in x, and `R_cam_wrist` is the proper rotation that maps the mirrored template
    to the camera (`vitra_lib.hands.mirror` is the only place that does it).

    Attributes:
        side: "left" or "right".
        R_cam_wrist: (time, 3, 3) rotation of the wrist frame into the camera of the same frame.
        t_cam_wrist: (time, 3) position of the wrist JOINT in the camera of the same frame [m].
        R_parent_joint: (time, 15, 3, 3) local joint rotations, MANO order: index 1-3, middle 1-3,
            pinky 1-3, ring 1-3, thumb 1-3; identity = flat hand.
        betas: (10,) shape of `hand_model`, shared by all frames.
        joints_cam: (time, 21, 3) joints in the camera of the same frame [m]; wrist, thumb 1-4,
            index 1-4, middle 1-4, ring 1-4, pinky 1-4. NaN where invalid.
        is_valid: (time,) True where the pose may be used.
        is_observed: (time,) True where the hand was seen; False = filled over a short gap, or invalid.
        confidence: (time,) in [0, 1]; 0 where invalid.
        hand_model: whose `betas` these are: "standin" or "mano".
    """

    side: Side
    R_cam_wrist: Float[np.ndarray, "time 3 3"]
    t_cam_wrist: Float[np.ndarray, "time 3"]
    R_parent_joint: Float[np.ndarray, "time 15 3 3"]
    betas: Float[np.ndarray, "10"]
    joints_cam: Float[np.ndarray, "time 21 3"]
    is_valid: Bool[np.ndarray, " time"]
    is_observed: Bool[np.ndarray, " time"]
    confidence: Float[np.ndarray, " time"]
    hand_model: str

    def __len__(self) -> int:
        return len(self.is_valid)

    @classmethod
    def absent(cls, side: Side, time: int, hand_model: str = "standin") -> "HandTrack":
        """A hand that is never seen in `time` frames: identity rotations, zeros, nothing valid."""
        eye = np.eye(3)
        return cls(
            side=side,
            R_cam_wrist=np.tile(eye, (time, 1, 1)),
            t_cam_wrist=np.zeros((time, 3)),
            R_parent_joint=np.tile(eye, (time, 15, 1, 1)),
            betas=np.zeros(10),
            joints_cam=np.full((time, 21, 3), np.nan),
            is_valid=np.zeros(time, bool),
            is_observed=np.zeros(time, bool),
            confidence=np.zeros(time),
            hand_model=hand_model,
        )
