"""What other tools' files become: a camera path, hands and depth maps in this kit's conventions.

Every adapter of this room returns one of these. Frames are numbered as in the video, axes are OpenCV's, `T_world_cam`
maps points in the camera to the tool's world.
"""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Float32, Int
from scipy.spatial.transform import Rotation, Slerp

from vitra_lib.contracts import CameraTrack, HandTrack
from vitra_lib.contracts.hand_track import SIDES, Side
from vitra_lib.core.errors import BadInput
from vitra_lib.geometry.cameras import project
from vitra_lib.geometry.cameras_lens import Pinhole
from vitra_lib.geometry.transforms import invert
from vitra_lib.hands.kinematics import pose_joints
from vitra_lib.hands.model import HandModel
from vitra_lib.reconstruction.identity import HandDetections


@dataclass(frozen=True)
class DepthMaps:
    """Depth of some frames.

    Attributes:
        frame: (n,) frame numbers, increasing.
        depth: (n, height, width) distance along the optical axis; NaN where unknown. Any resolution.
        is_metric: True: metres; False: in the unit of the camera path that came with it.
    """

    frame: Int[np.ndarray, " n"]
    depth: Float32[np.ndarray, "n height width"]
    is_metric: bool


@dataclass(frozen=True)
class GivenCamera:
    """A camera path from a tool.

    Attributes:
        tool: its name.
        frame: (n,) frame numbers that have a pose, increasing; frames between two of them are interpolated.
        T_world_cam: (n, 4, 4) maps points in the camera to the tool's world.
        lens: intrinsics with their frame size, or None.
        is_metric: True when the tool claims metres.
        depth: depth maps in the path's unit, or None.
    """

    tool: str
    frame: Int[np.ndarray, " n"]
    T_world_cam: Float[np.ndarray, "n 4 4"]
    lens: Pinhole | None
    is_metric: bool
    depth: DepthMaps | None = None

    def __post_init__(self) -> None:
        if len(self.frame) == 0:
            raise BadInput(f"The file of {self.tool} holds no pose.")
        if len(self.frame) > 1 and np.diff(self.frame).min() <= 0:
            raise BadInput(f"The frames of {self.tool} aren't in order, or repeat.")

    def check_frames(self, frame_count: int) -> None:
        """Refuse the path of another video.

        Raises:
            BadInput: a pose belongs to a frame that the video doesn't have.
        """
        if self.frame[0] < 0 or self.frame[-1] >= frame_count:
            raise BadInput(
                f"{self.tool} gives a pose for frame {int(self.frame[-1])}, the video has {frame_count} frames: run it "
                "on exactly this video."
            )

    def track(self, frame_count: int, lens: Pinhole) -> CameraTrack:
        """Every frame of a video; world = camera of the first frame with a pose.

        Args:
            frame_count: frames of the video.
            lens: intrinsics in pixels of the frames that are worked on.

        Raises:
            BadInput: a pose belongs to a frame that the video doesn't have.
        """
        self.check_frames(frame_count)
        when = np.clip(np.arange(frame_count), self.frame[0], self.frame[-1])
        T = np.tile(np.eye(4), (frame_count, 1, 1))
        if len(self.frame) == 1:
            T[:] = self.T_world_cam[0]
        else:
            R = Rotation.from_matrix(self.T_world_cam[:, :3, :3])
            T[:, :3, :3] = Slerp(self.frame, R)(when).as_matrix()
            T[:, :3, 3] = np.stack([np.interp(when, self.frame, t) for t in self.T_world_cam[:, :3, 3].T], axis=1)
        first = int(self.frame[0])
        T = invert(T[first]) @ T
        T[first] = np.eye(4)
        return CameraTrack(
            K_px=lens.K_px,
            width_px=lens.width_px,
            height_px=lens.height_px,
            T_world_cam=T,
            is_valid=(np.arange(frame_count) >= first) & (np.arange(frame_count) <= self.frame[-1]),
            is_static=bool(np.abs(T - np.eye(4)).max() < 1e-9),
            intrinsics_source="given",
            scale_source="tool" if self.is_metric else "none",
            scale_rel_std=float("nan"),
            method=self.tool,
        )


@dataclass(frozen=True)
class GivenHand:
    """One hand from a tool, in the camera of each frame and in MANO's layout (see `HandTrack`).

    Attributes:
        side: "left" or "right".
        frame: (n,) frame numbers, increasing.
        R_cam_wrist: (n, 3, 3) maps the (for a left hand mirrored) template to the camera.
        t_cam_wrist: (n, 3) position of the wrist joint [m].
        R_parent_joint: (n, 15, 3, 3) finger rotations in the right-hand convention.
        betas: (n, 10) MANO's shape of each frame.
        confidence: (n,) in [0, 1].
        is_observed: (n,) False where the tool filled in.
        joints_cam: (n, 21, 3) the tool's own joints [m], or None.
    """

    side: Side
    frame: Int[np.ndarray, " n"]
    R_cam_wrist: Float[np.ndarray, "n 3 3"]
    t_cam_wrist: Float[np.ndarray, "n 3"]
    R_parent_joint: Float[np.ndarray, "n 15 3 3"]
    betas: Float[np.ndarray, "n 10"]
    confidence: Float[np.ndarray, " n"]
    is_observed: np.ndarray
    joints_cam: Float[np.ndarray, "n 21 3"] | None = None

    def track(self, frame_count: int, model: HandModel, depth_factor: float) -> HandTrack:
        """Every frame of a video.

        Args:
            frame_count: frames of the video.
            model: the hand model that is to hold it; the stand-in keeps the rotations and forgets MANO's shape.
            depth_factor: true focal length over the one the tool assumed: what is f times larger in the picture is
                f times further away.

        Raises:
            BadInput: a hand belongs to a frame that the video doesn't have.
        """
        if len(self.frame) and (self.frame[0] < 0 or self.frame[-1] >= frame_count):
            raise BadInput(f"A hand is given for frame {int(self.frame[-1])}, the video has {frame_count} frames.")
        track = HandTrack.absent(self.side, frame_count, model.name)
        rows = self.frame
        if len(rows) == 0:
            return track
        if model.name == "mano":
            track.betas[:] = np.median(self.betas, axis=0)
        track.R_cam_wrist[rows], track.R_parent_joint[rows] = self.R_cam_wrist, self.R_parent_joint
        track.t_cam_wrist[rows] = self.t_cam_wrist * np.array([1.0, 1.0, depth_factor])
        track.joints_cam[rows] = pose_joints(
            model, self.side, track.R_cam_wrist[rows], track.t_cam_wrist[rows], self.R_parent_joint, track.betas
        )
        track.is_valid[rows], track.is_observed[rows] = True, self.is_observed
        track.confidence[rows] = self.confidence
        return track


@dataclass(frozen=True)
class GivenHands:
    """Both hands from a tool.

    Attributes:
        tool: its name.
        hands: by side; a side that was never seen is missing.
        focal_px: focal length that the tool assumed, in pixels of the video; None when its depth doesn't depend on one.
    """

    tool: str
    hands: dict[Side, GivenHand] = field(default_factory=dict)
    focal_px: float | None = None

    def tracks(self, frame_count: int, lens: Pinhole, model: HandModel) -> dict[Side, HandTrack]:
        """Both hands in every frame, at the depth that the true focal length implies.

        Args:
            frame_count: frames of the video.
            lens: intrinsics in pixels of the video.
            model: the hand model that is to hold them.
        """
        factor = 1.0 if self.focal_px is None else float(lens.K_px[0, 0]) / self.focal_px
        absent = {side: HandTrack.absent(side, frame_count, model.name) for side in SIDES}
        return absent | {side: hand.track(frame_count, model, factor) for side, hand in self.hands.items()}


def detections_of(hand: HandTrack, lens: Pinhole) -> HandDetections:
    """A given hand as what a tracker would have seen of it, so that masks and figures work as ever."""
    uv = project(lens.K_px, hand.joints_cam)
    seen = hand.is_valid & hand.is_observed & np.isfinite(uv).all(axis=(1, 2))
    uv = np.where(seen[:, None, None], uv, np.nan)
    world = hand.joints_cam - hand.joints_cam.mean(axis=1, keepdims=True)
    world = np.where(seen[:, None, None], world, np.nan)
    return HandDetections(hand.side, uv, world, np.where(seen, hand.confidence, 0.0), seen)
