"""What part 1 of the pipeline hands to every later stage: camera and both hands in metric world space."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

from vitra_lib.contracts.camera_track import CameraTrack
from vitra_lib.contracts.hand_track import HandTrack, Side
from vitra_lib.contracts.rejection import Rejection
from vitra_lib.geometry.transforms import apply


@dataclass(frozen=True)
class Reconstruction:
    """Camera and hands of one video.

    All `time` axes agree; index i is video frame `source_frame[i]`.

    Attributes:
        video_name: file name of the video without folder ("clip.mp4").
        video_sha256: digest of the video file, "" if unknown.
        fps: mean frames per second of the video [1/s].
        source_frame: (time,) 0-based frame number in the video.
        time_s: (time,) presentation time of each frame [s]; need not be uniform.
        camera: intrinsics and path.
        left, right: hand tracks in the camera of each frame, already consistent with the
            smoothed world path (composing with `camera` gives the smoothed world track).
        rejections: frames or clips that were dropped, with reasons.
        quality: named figures ("reprojection_rel", "right_coverage", …); NaN when unknown.
        frame_quality: named figures of every frame ("left_reprojection_px", …), each (time,); NaN where unknown.
    """

    video_name: str
    video_sha256: str
    fps: float
    source_frame: Int[np.ndarray, " time"]
    time_s: Float[np.ndarray, " time"]
    camera: CameraTrack
    left: HandTrack
    right: HandTrack
    rejections: tuple[Rejection, ...] = ()
    quality: dict[str, float] = field(default_factory=dict)
    frame_quality: dict[str, Float[np.ndarray, " time"]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.source_frame)

    def hand(self, side: Side) -> HandTrack:
        """The track of one hand."""
        return self.left if side == "left" else self.right

    def R_world_wrist(self, side: Side) -> Float[np.ndarray, "time 3 3"]:
        """(time, 3, 3) rotation of the wrist frame into the world."""
        return self.camera.T_world_cam[:, :3, :3] @ self.hand(side).R_cam_wrist

    def t_world_wrist(self, side: Side) -> Float[np.ndarray, "time 3"]:
        """(time, 3) position of the wrist joint in the world [m]; meaningful where the hand is valid."""
        return apply(self.camera.T_world_cam, self.hand(side).t_cam_wrist[:, None])[:, 0]

    def joints_world(self, side: Side) -> Float[np.ndarray, "time 21 3"]:
        """(time, 21, 3) joints in the world [m], NaN where the hand is invalid."""
        return apply(self.camera.T_world_cam, self.hand(side).joints_cam)
