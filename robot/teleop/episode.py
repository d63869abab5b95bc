"""One teleoperated episode as VITRA-TeleData has it: joints, wrists, commands and the transforms of two arms."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from vitra_lib.contracts.hand_track import SIDES, Side
from vitra_lib.core.errors import BadInput
from vitra_lib.geometry.rotations import exp, log
from vitra_lib.geometry.transforms import invert, make

ARM_JOINTS, HAND_JOINTS = 7, 12


@dataclass(frozen=True, eq=False)
class TeleArm:
    """One arm with its hand; zeros throughout where the robot has no such arm.

    Attributes:
        T_flange_mount: (4, 4) maps points of the hand mount to the arm's flange [m]; of this episode only.
        T_base_cam: (4, 4) maps points of the head camera to the arm's base [m]; of this episode only.
        arm_rad, hand_rad: (time, 7), (time, 12) measured angles [rad].
        mount_in_base, mount_in_cam: (time, 6) hand mount in the arm's base and in the head camera: position [m], then
            rotation VECTOR [rad].
        arm_command_rad, hand_command_rad: (time, 7), (time, 12) target angles sent at each frame [rad].
        arm_is_valid, hand_is_valid: (time,) True where arm and hand may be used.
    """

    T_flange_mount: Float[np.ndarray, "4 4"]
    T_base_cam: Float[np.ndarray, "4 4"]
    arm_rad: Float[np.ndarray, "time 7"]
    hand_rad: Float[np.ndarray, "time 12"]
    mount_in_base: Float[np.ndarray, "time 6"]
    mount_in_cam: Float[np.ndarray, "time 6"]
    arm_command_rad: Float[np.ndarray, "time 7"]
    hand_command_rad: Float[np.ndarray, "time 12"]
    arm_is_valid: Bool[np.ndarray, " time"]
    hand_is_valid: Bool[np.ndarray, " time"]

    def __len__(self) -> int:
        return len(self.arm_is_valid)

    @classmethod
    def absent(cls, frames: int) -> "TeleArm":
        """The zeros that stand for an arm that the robot doesn't have."""
        sizes = (ARM_JOINTS, HAND_JOINTS, 6, 6, ARM_JOINTS, HAND_JOINTS)
        no = np.zeros(frames, bool)
        return cls(np.zeros((4, 4)), np.zeros((4, 4)), *(np.zeros((frames, size)) for size in sizes), no, no.copy())

    @property
    def is_valid(self) -> Bool[np.ndarray, " time"]:
        """(time,) True where arm and hand are both valid, as a sample needs them."""
        return self.arm_is_valid & self.hand_is_valid

    @property
    def T_cam_mount(self) -> Float[np.ndarray, "time 4 4"]:
        """(time, 4, 4) maps points of the hand mount to the head camera [m]."""
        return pose_matrix(self.mount_in_cam)


@dataclass(frozen=True, eq=False)
class TeleEpisode:
    """An episode of one or two arms under a head camera.

    Attributes:
        name: file name without extension.
        instruction: what was done.
        video_path: what the file says about its video; the video itself is found beside it.
        fps: frames per second [1/s].
        K_px: (3, 3) intrinsics of the head camera.
        has_left, has_right: which arms there are.
        left, right: the arms.
    """

    name: str
    instruction: str
    video_path: str
    fps: float
    K_px: Float[np.ndarray, "3 3"]
    has_left: bool
    has_right: bool
    left: TeleArm
    right: TeleArm

    def __post_init__(self) -> None:
        if len(self.left) != len(self.right):
            raise BadInput(f"Episode {self.name}: left has {len(self.left)} frames, right {len(self.right)}.")
        if not len(self.left):
            raise BadInput(f"Episode {self.name} has no frames; an episode needs at least one.")

    def __len__(self) -> int:
        return len(self.right)

    def arm(self, side: Side) -> TeleArm:
        """One arm."""
        return self.left if side == "left" else self.right

    def has(self, side: Side) -> bool:
        """Whether the robot has this arm."""
        return self.has_left if side == "left" else self.has_right

    @property
    def sides(self) -> tuple[Side, ...]:
        """The arms that there are."""
        return tuple(side for side in SIDES if self.has(side))


def pose_matrix(pose: Float[np.ndarray, "*batch 6"]) -> Float[np.ndarray, "*batch 4 4"]:
    """T_a_b of positions [m] and rotation vectors [rad], as the files have them."""
    return make(exp(pose[..., 3:]), pose[..., :3])


def pose_vector(T: Float[np.ndarray, "*batch 4 4"]) -> Float[np.ndarray, "*batch 6"]:
    """Inverse of `pose_matrix`."""
    return np.concatenate([T[..., :3, 3], log(T[..., :3, :3])], axis=-1)


def placed(arm: TeleArm, T_base_flange: Float[np.ndarray, "time 4 4"]) -> TeleArm:
    """The arm with the mount poses that follow from where its flange is."""
    T_base_mount = T_base_flange @ arm.T_flange_mount
    T_cam_mount = invert(arm.T_base_cam) @ T_base_mount
    return replace(arm, mount_in_base=pose_vector(T_base_mount), mount_in_cam=pose_vector(T_cam_mount))
