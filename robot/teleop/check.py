"""What is wrong with a teleoperated episode, with reasons: nothing is repaired, and nothing passes in silence."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from robot.arm.model import Arm, load_arm
from robot.hand.table import RobotHand, load_hand
from robot.kinematic_tree import KinematicTree
from robot.teleop.episode import TeleArm, TeleEpisode, pose_matrix
from vitra_lib.contracts.hand_track import Side
from vitra_lib.core.errors import BadInput, VitraError
from vitra_lib.geometry.rotations import geodesic_angle
from vitra_lib.geometry.transforms import invert


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong.

    Attributes:
        reason: a short, countable name: "not_finite", "limits", "kinematics", "camera"…
        where: which side and what, for a human.
        detail: the figures behind it.
        frames: how many frames are concerned; 0 if it is the episode as a whole.
    """

    reason: str
    where: str
    detail: str
    frames: int = 0


@dataclass(frozen=True)
class TeleCheckConfig:
    """What counts as wrong.

    Attributes:
        position_tolerance_m, rotation_tolerance_rad: how far poses that must agree may differ.
        limit_tolerance_rad: how far an angle may lie beyond a limit (sensors overshoot a little).
        speed_share: largest joint speed as a share of the joint's own limit.
        arm_variant: of the RM75; decides the length of the flange.
        max_fps: largest plausible frame rate [1/s].
    """

    position_tolerance_m: float = 0.002
    rotation_tolerance_rad: float = 0.01
    limit_tolerance_rad: float = 0.035
    speed_share: float = 1.5
    arm_variant: str = "RM75-6F"
    max_fps: float = 240.0

    def __post_init__(self) -> None:
        names = ("position_tolerance_m", "rotation_tolerance_rad", "speed_share", "max_fps")
        wrong = [name for name in names if not getattr(self, name) > 0]
        if wrong or self.limit_tolerance_rad < 0:
            raise BadInput(f"TeleCheckConfig: {', '.join(wrong) or 'limit_tolerance_rad'} is out of range.")


def check_tele(
    episode: TeleEpisode, video: str | Path | None = None, config: TeleCheckConfig | None = None
) -> tuple[Fault, ...]:
    """Look for faults in the valid frames of an episode.

    Args:
        episode: what to check.
        video: its video file; not looked at when None.
        config: tolerances.

    Returns:
        The faults, in a fixed order; none when all is well.
    """
    config = config or TeleCheckConfig()
    faults = _whole(episode, config)
    arm_model = load_arm(config.arm_variant)
    for side in ("left", "right"):
        if episode.has(side):
            faults += _side(episode, side, arm_model, load_hand("xhand", side), config)
        elif (episode.arm(side).arm_is_valid | episode.arm(side).hand_is_valid).any():
            faults.append(Fault("mask", side, f"has_{side} is false, but its masks are true in some frames"))
    if video is not None:
        faults += _video(episode, Path(video))
    return tuple(faults)


def count_reasons(faults: Iterable[Fault]) -> dict[str, int]:
    """How often each reason occurs, most frequent first."""
    return dict(Counter(fault.reason for fault in faults).most_common())


def _whole(episode: TeleEpisode, config: TeleCheckConfig) -> list[Fault]:
    faults = []
    if not episode.sides:
        faults.append(Fault("mask", "episode", "neither has_left nor has_right is true"))
    if not episode.instruction.strip():
        faults.append(Fault("instruction", "episode", "the instruction is empty"))
    if not 0 < episode.fps <= config.max_fps:
        faults.append(Fault("fps", "episode", f"fps is {episode.fps:g}; plausible is up to {config.max_fps:g}"))
    K = episode.K_px
    good = np.isfinite(K).all() and K[0, 0] > 0 and K[1, 1] > 0 and np.allclose(K[2], [0, 0, 1]) and K[1, 0] == 0
    if not good:
        faults.append(Fault("intrinsics", "episode", "the intrinsics are not a pinhole matrix in pixels"))
    return faults


def _side(episode: TeleEpisode, side: Side, model: Arm, hand: RobotHand, config: TeleCheckConfig) -> list[Fault]:
    """Faults of one arm that there is."""
    arm, faults = episode.arm(side), []
    if not arm.is_valid.any():
        faults.append(Fault("mask", side, "no frame is valid for arm and hand both"))
    for name in ("T_flange_mount", "T_base_cam"):
        if not _is_rigid(getattr(arm, name)):
            faults.append(Fault("transform", f"{side} {name}", "it is not a rotation with a translation"))
    series = {
        "arm_rad": arm.arm_is_valid, "mount_in_base": arm.arm_is_valid, "mount_in_cam": arm.arm_is_valid,
        "arm_command_rad": arm.arm_is_valid, "hand_rad": arm.hand_is_valid, "hand_command_rad": arm.hand_is_valid,
    }  # fmt: skip
    for name, valid in series.items():
        bad = valid & ~np.isfinite(getattr(arm, name)).all(axis=1)
        if bad.any():
            faults.append(Fault("not_finite", f"{side} {name}", _at(bad), int(bad.sum())))
    if any(fault.reason in ("transform", "not_finite") for fault in faults):
        return faults
    for name, tree in (("arm_rad", model.tree), ("arm_command_rad", model.tree),
                       ("hand_rad", hand.tree), ("hand_command_rad", hand.tree)):  # fmt: skip
        # Hands go beyond the recommended range (its floor of distal joints): only what no source allows is a fault.
        limits = np.stack([tree.lower, tree.upper]) if tree is model.tree else hand.widest
        faults += _limits(getattr(arm, name), series[name], limits, (f"{side} {name}", tree), config)
        if name in ("arm_rad", "hand_rad"):
            faults += _speed(getattr(arm, name), series[name], tree, (f"{side} {name}", episode.fps), config)
    return faults + _agreement(arm, side, model, config)


def _limits(
    values: np.ndarray, valid: np.ndarray, limits: np.ndarray, place: tuple[str, KinematicTree], config: TeleCheckConfig
) -> list[Fault]:
    (low, high), (where, tree), margin = limits, place, config.limit_tolerance_rad
    outside = ((values < low - margin) | (values > high + margin)) & valid[:, None]
    faults = []
    for j in np.flatnonzero(outside.any(axis=0)):
        bad = outside[:, j]
        detail = f"{_at(bad)}; it is at {np.rad2deg(values[bad, j][0]):.1f} deg"
        faults.append(Fault("limits", f"{where} {tree.names[j]}", detail, int(bad.sum())))
    return faults


def _speed(
    values: np.ndarray, valid: np.ndarray, tree: KinematicTree, place: tuple[str, float], config: TeleCheckConfig
) -> list[Fault]:
    where, fps = place
    both = valid[:-1] & valid[1:]
    speed = np.abs(np.diff(values, axis=0)) * fps
    fast = (speed > config.speed_share * tree.velocity) & both[:, None]
    return [
        Fault("speed", f"{where} {tree.names[j]}",
              f"{_at(fast[:, j])}; reaches {speed[fast[:, j], j].max():.1f} rad/s", int(fast[:, j].sum()))
        for j in np.flatnonzero(fast.any(axis=0))
    ]  # fmt: skip


def _agreement(arm: TeleArm, side: Side, model: Arm, config: TeleCheckConfig) -> list[Fault]:
    """Whether joints, base pose and camera pose say the same."""
    rows = np.flatnonzero(arm.arm_is_valid)
    T_base_mount = pose_matrix(arm.mount_in_base[rows])
    T_by_joints = model.forward(arm.arm_rad[rows]) @ arm.T_flange_mount
    T_cam_mount = pose_matrix(arm.mount_in_cam[rows])
    checks = {
        "kinematics": (T_base_mount, T_by_joints, "joints and mount in base"),
        "camera": (T_cam_mount, invert(arm.T_base_cam) @ T_base_mount, "mount in camera and in base"),
    }
    faults = []
    for reason, (a, b, what) in checks.items():
        apart = np.linalg.norm(a[:, :3, 3] - b[:, :3, 3], axis=1)
        turned = geodesic_angle(a[:, :3, :3], b[:, :3, :3])
        bad = (apart > config.position_tolerance_m) | (turned > config.rotation_tolerance_rad)
        if bad.any():
            detail = f"{what} differ by {apart[bad].max() * 1e3:.1f} mm, {np.rad2deg(turned[bad].max()):.1f} deg"
            first = rows[int(np.argmax(bad))]
            faults.append(Fault(reason, side, f"{detail}; {bad.sum()} frames, the first is {first}", int(bad.sum())))
    return faults


def _video(episode: TeleEpisode, video: Path) -> list[Fault]:
    from vitra_lib.video import probe

    try:
        info = probe(video)
    except VitraError as error:
        return [Fault("video", video.name, str(error))]
    faults = []
    if info.frame_count != len(episode):
        faults.append(Fault("video", video.name, f"it has {info.frame_count} frames, the episode {len(episode)}"))
    x, y = episode.K_px[0, 2] / info.width_px, episode.K_px[1, 2] / info.height_px
    if not (0.25 < x < 0.75 and 0.25 < y < 0.75):
        size = f"{info.width_px} x {info.height_px}"
        faults.append(Fault("intrinsics", video.name, f"the principal point is far from the centre of {size} pixels"))
    return faults


def _is_rigid(T: np.ndarray) -> bool:
    if not np.isfinite(T).all() or not np.allclose(T[3], [0, 0, 0, 1], atol=1e-6):
        return False
    R = T[:3, :3]
    return bool(np.allclose(R @ R.T, np.eye(3), atol=1e-3) and np.linalg.det(R) > 0)


def _at(bad: np.ndarray) -> str:
    return f"{int(bad.sum())} frames, the first is {int(np.argmax(bad))}"
