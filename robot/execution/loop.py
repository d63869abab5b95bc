"""The control loop: at a fixed rate, read, wish, judge, write. Every source of wishes runs in this one loop."""

import logging
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float

from robot.drivers.clock import Clock
from robot.drivers.protocol import Robot
from robot.safety.arming import Arming
from robot.safety.gate import Reading, SafetyGate, Wish
from robot.safety.limits import JOINTS
from vitra_lib.core.errors import BadInput, VitraError

LOG = logging.getLogger(__name__)


@runtime_checkable
class Source(Protocol):
    """Where wishes come from."""

    def wish(self, reading: Reading, now_s: float) -> Wish | None:
        """What is wanted now; None to brake and hold."""
        ...

    def is_over(self, now_s: float) -> bool:
        """Nothing will be wanted any more."""
        ...


@dataclass(frozen=True)
class LoopConfig:
    """How the loop runs.

    Attributes:
        duration_s: longest run.
        arming: the two keys.
    """

    duration_s: float = 30.0
    arming: Arming = field(default_factory=Arming)

    def __post_init__(self) -> None:
        if not 0 < self.duration_s < 24 * 3600:
            raise BadInput(f"duration_s is {self.duration_s}; legal are above 0 and below a day.")


@dataclass(frozen=True, eq=False)
class Trace:
    """What happened, tick by tick.

    Attributes:
        time_s: (ticks,) since the first.
        measured, wished, sent: (ticks, joints) angles [rad]; NaN where there was none.
        is_sent: (ticks,) something was cleared.
        reasons: (ticks,) why the safety layer stepped in, as a bit field.
        overruns: ticks that began more than half a period late.
        ending: "over", "duration", "stopped", "fault" or "interrupted".
        fault: sentence about a fault of hardware or policy, or "".
    """

    time_s: Float[np.ndarray, " ticks"]
    measured: Float[np.ndarray, "ticks joints"]
    wished: Float[np.ndarray, "ticks joints"]
    sent: Float[np.ndarray, "ticks joints"]
    is_sent: Bool[np.ndarray, " ticks"]
    reasons: np.ndarray
    overruns: int
    ending: str
    fault: str = ""

    def __len__(self) -> int:
        return len(self.time_s)


class ControlLoop:
    """Runs a source on a robot through a safety gate."""

    def __init__(self, robot: Robot, gate: SafetyGate, clock: Clock, config: LoopConfig | None = None) -> None:
        """
        Args:
            robot: on the same clock.
            gate: the safety layer; its period is the loop's.
            clock: time.
            config: duration and keys.
        """
        self._robot, self._gate, self._clock, self._config = robot, gate, clock, config or LoopConfig()
        self._rows: list[tuple] = []
        self._overruns = 0

    def run(self, source: Source) -> Trace:
        """Connect, arm, run until the source is over, and bring the robot to rest.

        Whatever happens, the robot is stopped and disconnected. Ctrl-C presses the emergency stop.

        Raises:
            DriverFault: the hardware does not answer at the beginning.
            BadInput: the robot is where it must not be armed.
        """
        self._rows, self._overruns, fault = [], 0, ""
        self._robot.connect()
        try:
            self._gate.arm(self._robot.read(), self._clock.now())
            ending = self._ticks(source)
        except KeyboardInterrupt:
            self._gate.estop()
            ending = "interrupted"
        except VitraError as error:  # of the hardware, or of the policy behind the source
            if not self._rows:
                raise
            LOG.error("%s", error)
            ending, fault = "fault", str(error)
        finally:
            self._robot.stop()
            self._robot.disconnect()
        columns = [np.array(column) for column in zip(*self._rows, strict=True)] if self._rows else [np.zeros(0)] * 6
        if not self._rows:
            columns[1:4] = [np.zeros((0, JOINTS))] * 3
        time_s, measured, wished, sent, is_sent, reasons = columns
        return Trace(
            time_s, measured, wished, sent, is_sent.astype(bool), reasons.astype(int), self._overruns, ending, fault
        )

    def _ticks(self, source: Source) -> str:
        """Tick until something ends it; returns what did."""
        period, start, tick = self._gate.config.period_s, self._clock.now(), 0
        while True:
            tick += 1
            due = start + tick * period
            self._clock.sleep_until(due)
            now = self._clock.now()
            if now - due > 0.5 * period:  # late ticks are not made up for: time alone says what is due
                self._overruns += 1
                tick = max(tick, int((now - start) / period))
            if source.is_over(now):
                return "over"
            if now - start > self._config.duration_s:
                return "duration"
            if not self._one(source, now, now - start):
                return "stopped"

    def _one(self, source: Source, now: float, elapsed: float) -> bool:
        """One tick; False when the safety layer lets nothing through any more."""
        reading = self._robot.read()
        wish = source.wish(reading, now)
        cleared = self._gate.tick(reading, wish, self._clock.now())
        if cleared is not None and self._config.arming.writes:
            self._robot.write(cleared)
        none = np.full(JOINTS, np.nan)
        wished = none if wish is None or np.shape(wish.values) != (JOINTS,) else np.asarray(wish.values, float)
        sent = none if cleared is None else cleared.position
        self._rows.append((elapsed, reading.position, wished, sent, cleared is not None, self._gate.last_reasons))
        return cleared is not None
