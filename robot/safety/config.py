"""What the safety layer allows."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from robot.safety.geometry import Scene
from robot.safety.limits import ARM_JOINTS, HAND_JOINTS, JOINTS, Limits, rig_limits
from vitra_lib.contracts.hand_track import SIDES, Side
from vitra_lib.core.errors import BadInput, UnknownName


def table_scene() -> Scene:
    """An arm standing on its table, with the hand's base on the flange."""
    return Scene(
        T_flange_hand=np.eye(4),
        box_lower_m=np.array([-0.60, -0.60, 0.02]),
        box_upper_m=np.array([0.60, 0.60, 0.85]),
        table_normal=np.array([0.0, 0.0, 1.0]),
        table_offset_m=0.0,
    )


def per_joint(arm: float, hand: float) -> Float[np.ndarray, " joints"]:
    """One number for the arm's joints and one for the hand's."""
    return np.r_[np.full(ARM_JOINTS, float(arm)), np.full(HAND_JOINTS, float(hand))]


@dataclass(frozen=True, eq=False)
class SafetyConfig:
    """Limits, caps, margins and ages; every default is meant for a person beside the robot.

    Attributes:
        side: which side this rig is; commands for the other one are refused.
        variant: of the arm.
        limits: ranges and hardware speeds of the nineteen joints.
        scene: box, table, and where the hand is mounted.
        period_s: of the control loop; a longer gap between commands earns no larger step.
        speed_rad_s: cap, never above the hardware's.
        acceleration_rad_s2: cap; braking uses it too.
        lead_rad: how far a command may lead the measured angle.
        tracking_rad: a measured angle further than this from the last command stops the robot.
        overspeed: measured speed, as a multiple of the cap, that stops the robot.
        self_margin_m, table_margin_m, box_margin_m: least distances.
        slack_m: how much more a new command must keep, so that braking from it stays outside the margins.
        state_age_s, camera_age_s, action_age_s: oldest measured angles, oldest picture, and oldest observation behind
            an action; an infinite camera age means that no camera is watched.
        future_s: clocks may differ by this much.
        watchdog_s: without a usable command the robot brakes at once; after so long the watchdog reports it as held.
        stop_after_s: after so long without one it is stopped and must be armed again.
    """

    side: Side = "right"
    variant: str = "RM75-6F"
    limits: Limits = field(default_factory=rig_limits)
    scene: Scene = field(default_factory=table_scene)
    period_s: float = 0.01
    speed_rad_s: Float[np.ndarray, " joints"] = field(default_factory=lambda: per_joint(0.6, 2.0))
    acceleration_rad_s2: Float[np.ndarray, " joints"] = field(default_factory=lambda: per_joint(3.0, 20.0))
    lead_rad: Float[np.ndarray, " joints"] = field(default_factory=lambda: per_joint(0.12, 0.5))
    tracking_rad: Float[np.ndarray, " joints"] = field(default_factory=lambda: per_joint(0.25, 1.0))
    overspeed: float = 2.0
    self_margin_m: float = 0.02
    table_margin_m: float = 0.005
    box_margin_m: float = 0.0
    slack_m: float = 0.003
    state_age_s: float = 0.05
    camera_age_s: float = 0.5
    action_age_s: float = 1.0
    future_s: float = 0.005
    watchdog_s: float = 0.3
    stop_after_s: float = 1.0

    def __post_init__(self) -> None:
        if self.side not in SIDES:
            raise UnknownName("side", self.side, SIDES)
        for name in ("speed_rad_s", "acceleration_rad_s2", "lead_rad", "tracking_rad"):
            values = getattr(self, name)
            if values.shape != (JOINTS,) or not (np.isfinite(values).all() and (values > 0).all()):
                raise BadInput(f"{name} must be {JOINTS} finite numbers above 0, one per joint.")
        if (self.speed_rad_s > self.limits.speed_rad_s).any():
            joint = int(np.argmax(self.speed_rad_s / self.limits.speed_rad_s))
            raise BadInput(
                f"The speed cap of {self.limits.names[joint]} is {self.speed_rad_s[joint]:.2f} rad/s, its hardware "
                f"does {self.limits.speed_rad_s[joint]:.2f}: choose at most that."
            )
        stopping = self.speed_rad_s**2 / (2 * self.acceleration_rad_s2) + self.speed_rad_s * self.period_s
        if (self.lead_rad + stopping > self.tracking_rad).any():
            joint = int(np.argmax(self.lead_rad + stopping - self.tracking_rad))
            raise BadInput(
                f"{self.limits.names[joint]} may lead by {self.lead_rad[joint]:.3f} rad and needs "
                f"{stopping[joint]:.3f} to brake; tracking_rad must be their sum or more, not "
                f"{self.tracking_rad[joint]:.3f}."
            )
        self._check_times()

    def _check_times(self) -> None:
        times = ("period_s", "state_age_s", "camera_age_s", "action_age_s", "watchdog_s", "stop_after_s", "overspeed")
        wrong = [name for name in times if not getattr(self, name) > 0]
        margins = ("self_margin_m", "table_margin_m", "box_margin_m", "slack_m", "future_s")
        wrong += [name for name in margins if not 0 <= getattr(self, name) < 10]
        if wrong:
            raise BadInput(f"{', '.join(wrong)} of the safety layer is out of range: times above 0, margins 0 or more.")
        if self.stop_after_s < self.watchdog_s:
            raise BadInput(f"stop_after_s {self.stop_after_s} is before watchdog_s {self.watchdog_s}; make it later.")
