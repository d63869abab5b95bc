"""From wrist steps in camera axes, as the policy gives them, to joint angles of the arm.

The wrist (the hand mount) of step k + 1 is t + dt and dR R in the head camera; through the camera's place in the
arm's base and the hand's place on the flange it becomes a flange pose, and that the joint angles by inverse kinematics
(spec of the robot, 7.3 and 7.4). A chunk is followed step by step from the measured angles, each step under guards.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from robot.arm.model import Arm
from robot.arm.reach import IkConfig, solve_ik
from vitra_lib.core.errors import BadInput
from vitra_lib.geometry.rotations import from_euler_xyz
from vitra_lib.geometry.transforms import invert, make


@dataclass(frozen=True)
class WristConfig:
    """Guards of one step.

    Attributes:
        period_s: time of a step.
        speed_share: largest joint speed as a share of the arm's own limit, in (0, 1].
        jump_rad: a solution further than this from the angles before is another branch and is refused.
        singular_below: near a singularity, where the least singular value is under this, steps shrink with it.
        position_tolerance_m, rotation_tolerance_rad: errors beyond which the pose counts as out of reach.
        ik: how each pose is sought.
    """

    period_s: float = 1.0 / 30.0
    speed_share: float = 0.5
    jump_rad: float = 0.5
    singular_below: float = 0.02
    position_tolerance_m: float = 0.002
    rotation_tolerance_rad: float = 0.02
    ik: IkConfig = IkConfig(iterations=40)

    def __post_init__(self) -> None:
        names = ("period_s", "jump_rad", "singular_below", "position_tolerance_m", "rotation_tolerance_rad")
        wrong = [name for name in names if not getattr(self, name) > 0]
        if wrong or not 0 < self.speed_share <= 1:
            raise BadInput(f"WristConfig: {', '.join(wrong) or 'speed_share'} must be above 0 (the share up to 1).")


@dataclass(frozen=True, eq=False)
class ArmPlan:
    """Joint angles along a chunk of wrist steps, and what the guards did.

    Attributes:
        q: (step, joint) angles to command [rad], always within the limits and the speed.
        T_base_mount: (step, 4, 4) where the policy wanted the hand mount in the arm's base [m].
        is_reached: (step,) True where `q` brings the mount there within tolerance.
        is_jump: (step,) the solution was on another branch; the angles before were kept.
        is_singular: (step,) the step was shortened near a singularity.
        is_slowed: (step,) the step was shortened to the largest speed.
    """

    q: Float[np.ndarray, "step joint"]
    T_base_mount: Float[np.ndarray, "step 4 4"]
    is_reached: Bool[np.ndarray, " step"]
    is_jump: Bool[np.ndarray, " step"]
    is_singular: Bool[np.ndarray, " step"]
    is_slowed: Bool[np.ndarray, " step"]


def integrate(
    T_cam_mount: Float[np.ndarray, "4 4"], steps: Float[np.ndarray, "step 6"]
) -> Float[np.ndarray, "step 4 4"]:
    """The wrist poses after each step, in the camera.

    Args:
        T_cam_mount: the pose now [m].
        steps: dt [m] and euler(dR) [rad] in camera axes.
    """
    R, t = T_cam_mount[:3, :3], T_cam_mount[:3, 3]
    poses = []
    for step in steps:
        R, t = from_euler_xyz(step[3:]) @ R, t + step[:3]
        poses.append(make(R, t))
    return np.array(poses).reshape(-1, 4, 4)


def follow_wrist(
    arm: Arm,
    q: Float[np.ndarray, " joint"],
    steps: Float[np.ndarray, "step 6"],
    T_base_cam: Float[np.ndarray, "4 4"],
    T_flange_mount: Float[np.ndarray, "4 4"],
    config: WristConfig | None = None,
) -> ArmPlan:
    """Joint angles for a chunk of wrist steps.

    Args:
        arm: the arm.
        q: measured angles now [rad].
        steps: of the wrist in camera axes, `[dt (3) m, euler(dR) (3) rad]` per step.
        T_base_cam: the head camera in the arm's base [m].
        T_flange_mount: the hand mount on the flange [m].
        config: guards.

    Raises:
        BadInput: something is not finite.
    """
    config = config or WristConfig()
    if not all(np.isfinite(x).all() for x in (q, steps, T_base_cam, T_flange_mount)):
        raise BadInput("A wrist step, the measured angles or a transform is NaN or infinite.")
    T_cam_mount = invert(T_base_cam) @ arm.forward(q) @ T_flange_mount
    wanted = T_base_cam @ integrate(T_cam_mount, steps)
    flange = wanted @ invert(T_flange_mount)
    now, rows = arm.tree.clip(q), []
    for target in flange:
        now, flags = _guarded(arm, target, now, config)
        rows.append((now, *flags))
    if not rows:
        empty = np.zeros(0, bool)
        return ArmPlan(np.zeros((0, len(arm))), wanted, empty, empty, empty, empty)
    angles, *flags = (np.array(column) for column in zip(*rows, strict=True))
    return ArmPlan(angles, wanted, *flags)


def _guarded(
    arm: Arm, target: np.ndarray, now: np.ndarray, config: WristConfig
) -> tuple[np.ndarray, tuple[bool, bool, bool, bool]]:
    """Next angles towards one flange pose, and (reached, jump, singular, slowed)."""
    found = solve_ik(arm, target, now, config.ik)
    move = found.q - now
    if np.abs(move).max() > config.jump_rad:
        return now, (False, True, False, False)
    singular = bool(found.least_singular_value < config.singular_below)
    if singular:
        move = move * float(found.least_singular_value) / config.singular_below
    limit = config.speed_share * config.period_s * arm.tree.velocity
    share = float((np.abs(move) / limit).max())
    move = move / max(1.0, share)
    q = arm.tree.clip(now + move)
    near = found.position_error_m <= config.position_tolerance_m
    near &= found.rotation_error_rad <= config.rotation_tolerance_rad
    return q, (bool(near) and not singular and share <= 1.0, False, singular, share > 1.0)
