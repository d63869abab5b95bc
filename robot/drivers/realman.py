"""The Realman RM75 through the maker's package `Robotic_Arm`: degrees, unplanned pass-through at a fixed period.

The controller does no planning and no check of a pass-through command (spec of the robot, 1.2), so everything that a
command must be is made sure of before, by the safety layer.
"""

import importlib
import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from robot.drivers.clock import Clock, WallClock
from robot.drivers.protocol import DriverFault
from robot.safety.gate import Cleared
from robot.safety.limits import ARM_JOINTS
from vitra_lib.core.errors import BadInput, MissingAsset

LOG = logging.getLogger(__name__)
_CODES = {
    1: "the controller refused it",
    -1: "it could not be sent",
    -2: "no answer came in time",
    -3: "the answer could not be read",
    -4: "this device does not know it",
    -5: "the single thread timed out",
}
FOLLOW_PERIOD_S = 0.010
"""High follow needs commands at least this often (spec of the robot, 1.2)."""


@dataclass(frozen=True)
class RealmanConfig:
    """How to reach the arm.

    Attributes:
        host, port: of its controller.
        is_simulated: the controller simulates: it answers as if, and no joint moves.
        high_follow: follow each command as fast as possible; needs a period of at most 10 ms.
        period_s: between commands.
        collision_level: of the controller's own guard, 0 (off) to 8 (most sensitive).
        time_limit_s: longest wait for an answer.
    """

    host: str = "192.168.1.18"
    port: int = 8080
    is_simulated: bool = False
    high_follow: bool = False
    period_s: float = 0.010
    collision_level: int = 4
    time_limit_s: float = 0.2

    def __post_init__(self) -> None:
        if not 0.002 <= self.period_s <= 0.1:
            raise BadInput(f"period_s of the arm is {self.period_s}; legal are 0.002 to 0.1.")
        if self.high_follow and self.period_s > FOLLOW_PERIOD_S + 1e-9:
            raise BadInput(f"High follow needs a period of at most {FOLLOW_PERIOD_S} s, not {self.period_s}.")
        if not 0 <= self.collision_level <= 8 or not self.time_limit_s > 0:
            raise BadInput("collision_level must be 0 to 8 and time_limit_s above 0.")


def load_package() -> Any:
    """The maker's module.

    Raises:
        MissingAsset: it is not installed.
    """
    try:
        return importlib.import_module("Robotic_Arm.rm_robot_interface")
    except (ImportError, OSError) as error:
        raise MissingAsset(f"The RM75 needs the package Robotic_Arm ({error}): `pip install Robotic_Arm`.") from error


class RealmanArm:
    """The arm."""

    def __init__(self, config: RealmanConfig | None = None, clock: Clock | None = None, package: Any = None) -> None:
        """
        Args:
            config: how to reach it.
            clock: of the control loop.
            package: the maker's module; imported on connecting when None.
        """
        self._config, self._clock, self._package = config or RealmanConfig(), clock or WallClock(), package
        self._arm: Any = None

    def connect(self) -> None:
        """Open the connection, set the guards of the controller, and read once.

        Raises:
            DriverFault: no arm answers, or it refuses a guard.
            MissingAsset: the package is not installed.
        """
        package = self._package or load_package()
        arm = package.RoboticArm(package.rm_thread_mode_e.RM_TRIPLE_MODE_E)
        handle = arm.rm_create_robot_arm(self._config.host, self._config.port)
        if handle.id == -1:
            where = f"{self._config.host}:{self._config.port}"
            raise DriverFault(f"No arm answers at {where}; check power, cable, address.")
        self._arm = arm
        arm.rm_set_timeout(int(1000 * self._config.time_limit_s))
        self._done(arm.rm_set_arm_run_mode(0 if self._config.is_simulated else 1), "setting the run mode")
        self._done(arm.rm_set_collision_state(self._config.collision_level), "setting the collision guard")
        self.read_arm()

    def read_arm(self) -> tuple[Float[np.ndarray, "7"], float]:
        """Angles [rad] and when they were asked for [s]: the earliest that they can be of."""
        asked = self._clock.now()
        code, degrees = self._open().rm_get_joint_degree()
        self._done(code, "reading the joints")
        if len(degrees) < ARM_JOINTS:
            raise DriverFault(f"The arm reports {len(degrees)} joints; an RM75 has {ARM_JOINTS}.")
        return np.deg2rad(np.array(degrees[:ARM_JOINTS], float)), asked

    def write_arm(self, command: Cleared) -> None:
        """Pass the arm's angles through."""
        degrees = np.rad2deg(command.arm).tolist()
        code = self._open().rm_movej_canfd(degrees, self._config.high_follow, 0, 0, 0)
        self._done(code, "a pass-through command")

    def stop(self) -> None:
        """Slow stop; an immediate one where that is refused."""
        if self._arm is None:
            return
        for name in ("rm_set_arm_slow_stop", "rm_set_arm_stop"):
            try:
                if getattr(self._arm, name)() == 0:
                    return
            except Exception:  # whatever the maker's library throws, the next way to stop must be tried
                LOG.exception("%s failed", name)
        LOG.error("The arm did not confirm any stop: press the hardware emergency stop.")

    def disconnect(self) -> None:
        """Close the connection."""
        if self._arm is not None:
            self._arm.rm_delete_robot_arm()
        self._arm = None

    def _open(self) -> Any:
        if self._arm is None:
            raise DriverFault("The arm is not connected; call connect() first.")
        return self._arm

    def _done(self, code: int, what: str) -> None:
        if code != 0:
            raise DriverFault(f"{what.capitalize()} failed: {_CODES.get(code, f'code {code}')}.")
