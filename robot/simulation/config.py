"""How the simulated rig is set up, and the safety limits that fit it."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from robot.hand.table import load_hand
from robot.safety.config import SafetyConfig, per_joint
from robot.safety.geometry import Scene as SafetyScene
from robot.safety.limits import JOINTS
from vitra_lib.contracts.hand_track import SIDES, Side
from vitra_lib.core.errors import BadInput, UnknownName
from vitra_lib.geometry.transforms import make

CONTROL_PERIOD_S = 1.0 / 30.0
TABLE_Z_M = -0.10
"""Height of the table's surface in the arm's base: the arm stands on a riser of this height, which widens its reach."""


@dataclass(frozen=True, eq=False)
class RigConfig:
    """One arm with its hand on its table. The world frame is the arm's base: x away from the robot, z up.

    Attributes:
        side: of arm and hand; a left rig is looked at from the other side and has the left hand.
        variant: of the arm.
        T_flange_hand: pose of the hand's base on the arm's flange [m].
        table_z_m: height of the table's surface in the world.
        physics_step_s: of the integrator.
        finger_friction: sliding friction of the fingers' skin.
    """

    side: Side = "right"
    variant: str = "RM75-6F"
    T_flange_hand: Float[np.ndarray, "4 4"] = field(default_factory=lambda: np.eye(4))
    table_z_m: float = TABLE_Z_M
    physics_step_s: float = 0.002
    finger_friction: float = 1.2

    def __post_init__(self) -> None:
        if self.side not in SIDES:
            raise UnknownName("side", self.side, SIDES)
        if not 1e-4 <= self.physics_step_s <= 0.005:
            raise BadInput(f"physics_step_s is {self.physics_step_s}; legal are 0.0001 to 0.005 s.")
        if not 0 < self.finger_friction <= 3 or not -1 < self.table_z_m <= 0:
            raise BadInput("finger_friction must be in (0, 3], table_z_m above -1 and at most 0.")

    @property
    def T_flange_mount(self) -> Float[np.ndarray, "4 4"]:
        """The hand mount (the wrist of the policy) on the flange [m]: at the hand's base, in the wrist's axes."""
        R_base_mount = load_hand("xhand", self.side).R_mount_base.T
        return self.T_flange_hand @ make(R_base_mount, np.zeros(3))


def ready_angles() -> Float[np.ndarray, " joints"]:
    """Where every scene begins by default [rad]: fingers pointing down above the table, palm inwards, hand open."""
    q = np.zeros(JOINTS)
    q[:7] = 0.0, 0.4878, 0.0, 1.0543, 0.0, 1.5995, 0.0
    q[7:] = 0.9, 0.0, 0.15, 0.0, 0.1, 0.12, 0.1, 0.12, 0.1, 0.12, 0.1, 0.12
    return q


def rig_safety(config: RigConfig | None = None, period_s: float = CONTROL_PERIOD_S) -> SafetyConfig:
    """The safety layer's limits for the simulated rig: nobody stands beside it, so that it may move at twice the speed
    that is allowed beside a person, and the fingers may come down to the table's surface.

    Joint limits, self-collision margin, ages and the watchdog are the defaults.

    Args:
        config: the rig.
        period_s: of the control loop.
    """
    config = config or RigConfig()
    z = config.table_z_m
    scene = SafetyScene(
        T_flange_hand=config.T_flange_hand,
        box_lower_m=np.array([-0.10, -0.60, z + 0.02]),
        box_upper_m=np.array([0.75, 0.60, 0.75]),
        table_normal=np.array([0.0, 0.0, 1.0]),
        table_offset_m=z,
    )
    return SafetyConfig(
        side=config.side,
        variant=config.variant,
        scene=scene,
        period_s=period_s,
        speed_rad_s=per_joint(1.2, 4.0),
        acceleration_rad_s2=per_joint(6.0, 40.0),
        lead_rad=per_joint(0.20, 0.6),
        tracking_rad=per_joint(0.45, 1.4),
        table_margin_m=0.0,
        slack_m=0.002,
    )
