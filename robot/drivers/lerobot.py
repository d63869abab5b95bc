"""The robot as LeRobot expects one: the same attributes and methods, without needing LeRobot itself.

`send_action` gives back what was sent after the safety layer, which is what a recording must hold.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from robot.drivers.clock import Clock, WallClock
from robot.drivers.protocol import Camera, DriverFault, Robot
from robot.safety.arming import Arming
from robot.safety.config import SafetyConfig
from robot.safety.gate import SafetyGate, Wish
from vitra_lib.core.errors import BadInput


class LeRobotRobot:
    """An RM75 with an XHand in LeRobot's terms.

    Attributes:
        name: kind of robot.
        gate: the safety layer that every action passes.
    """

    name = "rm75_xhand"

    def __init__(
        self,
        robot: Robot,
        camera: Camera | None = None,
        config: SafetyConfig | None = None,
        arming: Arming | None = None,
        clock: Clock | None = None,
    ) -> None:
        """
        Args:
            robot: arm and hand.
            camera: head camera.
            config: what the safety layer allows.
            arming: the two keys; a dry run when None.
            clock: of robot and camera.
        """  # fmt: skip
        self._robot, self._camera = robot, camera
        self._arming, self._clock = arming or Arming(), clock or WallClock()
        self.gate = SafetyGate(config)
        self._sequence, self._observed_s = 0, float("-inf")
        self._keys = tuple(f"{name}.pos" for name in self.gate.config.limits.names)
        self._connected = False

    @property
    def action_features(self) -> dict[str, type]:
        """One angle [rad] per joint."""
        return dict.fromkeys(self._keys, float)

    @property
    def observation_features(self) -> dict[str, type | tuple[int, int, int]]:
        """One angle [rad] per joint, and the head camera's picture (height, width, 3)."""
        features: dict[str, Any] = dict.fromkeys(self._keys, float)
        if self._camera is not None and self._connected:
            features["head"] = self._camera.latest().image.shape
        return features

    @property
    def is_connected(self) -> bool:
        """Hardware is open."""
        return self._connected

    @property
    def is_calibrated(self) -> bool:
        """Absolute encoders need no calibration."""
        return True

    def calibrate(self) -> None:
        """Absolute encoders need no calibration."""

    def configure(self) -> None:
        """Gains and guards are set on connecting."""

    def connect(self, calibrate: bool = True) -> None:
        """Open the hardware, and arm the safety layer where the robot is.

        Args:
            calibrate: part of LeRobot's interface; nothing to do here.

        Raises:
            DriverFault: something does not answer.
            BadInput: the robot is where it must not be armed.
        """
        self._robot.connect()
        try:
            if self._camera is not None:
                self._camera.connect()
            self.gate.arm(self._robot.read(), self._clock.now())
        except Exception:
            self._robot.disconnect()
            raise
        self._connected = True

    def get_observation(self) -> dict[str, Any]:
        """Measured angles [rad] by name, and the picture."""
        self._check()
        reading = self._robot.read()
        self._observed_s = reading.at_s
        observation: dict[str, Any] = dict(zip(self._keys, reading.position.tolist(), strict=True))
        if self._camera is not None:
            frame = self._camera.latest()
            observation["head"], self._observed_s = frame.image, min(reading.at_s, frame.at_s)
        return observation

    def send_action(self, action: Mapping[str, Any]) -> dict[str, float]:
        """Move under the safety layer.

        Args:
            action: wanted angle [rad] of every joint by name; answers the last observation.

        Returns:
            What was sent; what is held, where nothing may be sent.

        Raises:
            BadInput: joints are missing or unknown.
            DriverFault: the hardware refused, or the safety layer stopped the robot.
        """
        self._check()
        if set(action) != set(self._keys):
            wrong = sorted(set(action) ^ set(self._keys))
            raise BadInput(f"An action names every joint once; {wrong[0]} is missing or unknown.")
        self._sequence += 1
        reading, now = self._robot.read(), self._clock.now()
        values = np.array([float(action[key]) for key in self._keys])
        wish = Wish(values, self.gate.config.side, self._sequence, self._observed_s)
        cleared = self.gate.tick(reading, wish, now)
        if cleared is None:
            self._robot.stop()
            raise DriverFault("The safety layer stopped the robot; look at its journal, then connect again.")
        if self._arming.writes:
            self._robot.write(cleared)
        return dict(zip(self._keys, cleared.position.tolist(), strict=True))

    def disconnect(self) -> None:
        """Stop and close everything."""
        if self._connected:
            self._robot.stop()
        self._robot.disconnect()
        if self._camera is not None:
            self._camera.disconnect()
        self._connected = False

    def _check(self) -> None:
        if not self._connected:
            raise DriverFault("The robot is not connected; call connect() first.")
