"""One protocol for every arm with its hand; a driver moves for a cleared command alone."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8

from robot.safety.gate import Cleared, Reading
from vitra_lib.core.errors import VitraError


class DriverFault(VitraError):
    """The hardware refused, did not answer, or answered nonsense; the run must stop the robot."""

    exit_code = 3


class NoAnswer(DriverFault):
    """The hardware did not answer in time; asking again may help."""


@dataclass(frozen=True, eq=False)
class CameraFrame:
    """One picture.

    Attributes:
        image: RGB.
        at_s: when it was taken, on the clock of the control loop.
        K_px: intrinsics of this very picture.
    """

    image: UInt8[np.ndarray, "height width 3"]
    at_s: float
    K_px: Float[np.ndarray, "3 3"]


@runtime_checkable
class Robot(Protocol):
    """An arm with its hand. No method blocks for longer than the driver's own time limit."""

    def connect(self) -> None:
        """Open the hardware and check that it answers.

        Raises:
            DriverFault: it doesn't.
            MissingAsset: its package is not installed.
        """
        ...

    def read(self) -> Reading:
        """Measured angles, with their time.

        Raises:
            DriverFault: no whole answer came in time.
        """
        ...

    def write(self, command: Cleared) -> None:
        """Send one cleared command.

        Raises:
            DriverFault: it was refused.
        """
        ...

    def stop(self) -> None:
        """Bring the robot to rest now, by the hardware's own means; never raises for a robot that is gone."""
        ...

    def disconnect(self) -> None:
        """Make the hand passive, close everything; safe to call twice."""
        ...


@runtime_checkable
class Camera(Protocol):
    """A head camera."""

    def connect(self) -> None:
        """Open it.

        Raises:
            DriverFault: it doesn't answer.
        """
        ...

    def latest(self) -> CameraFrame:
        """The newest picture; the caller judges its age.

        Raises:
            DriverFault: none has come yet.
        """
        ...

    def disconnect(self) -> None:
        """Close it; safe to call twice."""
        ...


@runtime_checkable
class ArmDriver(Protocol):
    """The arm alone."""

    def connect(self) -> None:
        """Open it."""
        ...

    def read_arm(self) -> tuple[Float[np.ndarray, "7"], float]:
        """Angles [rad] and their time [s]."""
        ...

    def write_arm(self, command: Cleared) -> None:
        """Send the arm's part."""
        ...

    def stop(self) -> None:
        """Stop it."""
        ...

    def disconnect(self) -> None:
        """Close it."""
        ...


@runtime_checkable
class HandDriver(Protocol):
    """The hand alone."""

    def connect(self) -> None:
        """Open it."""
        ...

    def read_hand(self) -> tuple[Float[np.ndarray, "12"], float]:
        """Angles [rad] and their time [s]."""
        ...

    def write_hand(self, command: Cleared) -> None:
        """Send the hand's part."""
        ...

    def stop(self) -> None:
        """Stop it."""
        ...

    def disconnect(self) -> None:
        """Make it passive and close it."""
        ...
