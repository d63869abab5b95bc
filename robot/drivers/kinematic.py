"""A robot of numbers: each joint follows its command as a first-order lag after a dead time; for dry runs and tests."""

from collections import deque
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from robot.drivers.clock import Clock
from robot.drivers.protocol import CameraFrame, DriverFault
from robot.safety.gate import Cleared, Reading
from robot.safety.limits import JOINTS, rig_limits
from vitra_lib.core.errors import BadInput
from vitra_lib.geometry.cameras import K_from_focal


@dataclass(frozen=True, eq=False)
class KinematicConfig:
    """How the joints follow.

    Attributes:
        start: angles at the beginning [rad]; a bent arm above its table when None.
        time_constant_s: of the lag.
        dead_time_s: from a command to its first effect.
        noise_rad: standard deviation of a reading.
        seed: of the noise.
    """

    start: Float[np.ndarray, " joints"] | None = None
    time_constant_s: float = 0.03
    dead_time_s: float = 0.0
    noise_rad: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.time_constant_s > 0 or not self.dead_time_s >= 0 or not self.noise_rad >= 0:
            raise BadInput("The kinematic robot's time constant must be above 0; dead time and noise 0 or more.")
        if self.start is not None and self.start.shape != (JOINTS,):
            raise BadInput(f"The start must be {JOINTS} angles, not {self.start.shape}.")


def ready_pose() -> Float[np.ndarray, " joints"]:
    """A bent arm whose hand is in front of it, half open [rad]."""
    q = np.clip(np.zeros(JOINTS), *(rig_limits().lower_rad, rig_limits().upper_rad))
    q[[1, 3, 5]] = 0.3, 1.4, 0.9
    q[8], q[11:] = 0.3, 0.4
    return q


class KinematicRobot:
    """Behaves like the hardware's drivers, on any clock."""

    def __init__(self, clock: Clock, config: KinematicConfig | None = None) -> None:
        """
        Args:
            clock: time.
            config: how the joints follow.
        """
        self._clock, self._config = clock, config or KinematicConfig()
        self._rng = np.random.default_rng(self._config.seed)
        start = self._config.start
        self._position = ready_pose() if start is None else start.astype(float).copy()
        self._target, self._time = self._position.copy(), clock.now()
        self._pending: deque[tuple[float, np.ndarray]] = deque()
        self._is_open = False

    def connect(self) -> None:
        """Begin."""
        self._is_open, self._time = True, self._clock.now()

    def read(self) -> Reading:
        """Where the joints are now."""
        self._check()
        self._settle()
        noise = self._rng.normal(0.0, self._config.noise_rad, JOINTS) if self._config.noise_rad else 0.0
        now = self._clock.now()
        return Reading(self._position + noise, now, now)

    def write(self, command: Cleared) -> None:
        """Follow a command from its dead time on."""
        self._check()
        self._settle()
        self._pending.append((self._clock.now() + self._config.dead_time_s, command.position.copy()))

    def stop(self) -> None:
        """Stand still where it is."""
        if self._is_open:
            self._settle()
        self._pending.clear()
        self._target = self._position.copy()

    def disconnect(self) -> None:
        """End."""
        self._is_open = False

    def _check(self) -> None:
        if not self._is_open:
            raise DriverFault("The kinematic robot is not connected; call connect() first.")

    def _settle(self) -> None:
        """Integrate up to now, command by command."""
        now = self._clock.now()
        while self._pending and self._pending[0][0] <= now:
            at, target = self._pending.popleft()
            self._follow(at)
            self._target = target
        self._follow(now)

    def _follow(self, until: float) -> None:
        share = np.exp(-max(until - self._time, 0.0) / self._config.time_constant_s)
        self._position = self._target + (self._position - self._target) * share
        self._time = max(until, self._time)


class StillCamera:
    """Shows one picture, newly taken whenever it is asked for."""

    def __init__(self, clock: Clock, image: np.ndarray | None = None, focal_px: float = 200.0) -> None:
        """
        Args:
            clock: time.
            image: RGB; a grey one of 224 pixels when None.
            focal_px: focal length.
        """
        self._clock = clock
        self._image = np.full((224, 224, 3), 128, np.uint8) if image is None else image
        height, width = self._image.shape[:2]
        self._K_px = K_from_focal(focal_px, width, height)

    def connect(self) -> None:
        """Nothing to open."""

    def latest(self) -> CameraFrame:
        """The picture, now."""
        return CameraFrame(self._image, self._clock.now(), self._K_px)

    def disconnect(self) -> None:
        """Nothing to close."""
