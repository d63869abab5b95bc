"""An arm, a hand and a head camera as one robot."""

import logging

import numpy as np

from robot.drivers.clock import Clock
from robot.drivers.protocol import ArmDriver, Camera, DriverFault, HandDriver
from robot.safety.gate import Cleared, Reading

LOG = logging.getLogger(__name__)


class Rig:
    """An arm with its hand behind the `Robot` protocol; its readings carry the age of the camera's pictures."""

    def __init__(self, arm: ArmDriver, hand: HandDriver, camera: Camera | None, clock: Clock) -> None:
        """
        Args:
            arm, hand: drivers of one side.
            camera: whose pictures the policy sees; None for none.
            clock: of the control loop.
        """
        self._arm, self._hand, self.camera, self._clock = arm, hand, camera, clock

    def connect(self) -> None:
        """Open all; closes what was opened when one fails.

        Raises:
            DriverFault: one does not answer.
            MissingAsset: a package is not installed.
        """
        opened: list[ArmDriver | HandDriver | Camera] = []
        try:
            for part in (self._arm, self._hand, self.camera):
                if part is not None:
                    part.connect()
                    opened.append(part)
        except Exception:
            for part in reversed(opened):
                part.disconnect()
            raise

    def read(self) -> Reading:
        """Measured angles; as old as the older of the two."""
        arm, arm_at = self._arm.read_arm()
        hand, hand_at = self._hand.read_hand()
        camera_at = float("nan") if self.camera is None else self.camera.latest().at_s
        return Reading(np.concatenate([arm, hand]), min(arm_at, hand_at), camera_at)

    def write(self, command: Cleared) -> None:
        """Move the arm and the hand; if either refuses, both are stopped.

        Raises:
            DriverFault: one refused.
        """
        try:
            self._arm.write_arm(command)
            self._hand.write_hand(command)
        except DriverFault:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop both, whatever the other does."""
        for part in (self._arm, self._hand):
            try:
                part.stop()
            except Exception:  # the other one must be stopped all the same
                LOG.exception("Stopping %s failed", type(part).__name__)

    def disconnect(self) -> None:
        """Close all, whatever the others do."""
        for part in (self._arm, self._hand, self.camera):
            try:
                if part is not None:
                    part.disconnect()
            except Exception:  # the others must be closed all the same
                LOG.exception("Closing %s failed", type(part).__name__)
