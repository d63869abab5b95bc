"""Faults on purpose: a source whose wishes are spoiled for stretches of time, to see what the safety layer makes of it.

For trials of a rig before its first policy, and for teaching. Nothing here can reach a motor: what is spoiled is a
wish, and every wish goes through the safety gate.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from robot.arm import Arm, load_arm
from robot.execution.loop import Source
from robot.execution.worker import DelayedWorker
from robot.safety.gate import Reading, Wish
from robot.safety.limits import ARM_JOINTS, JOINTS
from vitra_lib.contracts.hand_track import SIDES, Side
from vitra_lib.core.errors import BadInput, UnknownName

KINDS = ("not a number", "infinite", "short", "other side", "old", "replayed", "jump", "flipped", "dive", "silent")
"""NaN in one joint · infinity in one · one number too few · meant for the other arm · answers an old observation · the
same sequence number again and again · all joints elsewhere at once · signs changed · straight down, through whatever is
there · no wish at all."""

_DAMPING = 0.02  # near singularities a dive goes less far, which is still far enough


@dataclass(frozen=True)
class Fault:
    """One kind of fault for a stretch of time.

    Attributes:
        kind: one of `KINDS`.
        start_s, stop_s: from and until, since the first wish.
    """

    kind: str
    start_s: float
    stop_s: float

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UnknownName("kind of fault", self.kind, KINDS)
        if not 0 <= self.start_s < self.stop_s:
            raise BadInput(f"A fault lasts from a time to a later one, not from {self.start_s} to {self.stop_s} s.")


@dataclass(frozen=True)
class FaultConfig:
    """How bad the faults are.

    Attributes:
        jump_rad: how far away every joint is asked for in a jump.
        dive_m_s: speed of a dive.
        age_s: age of an old observation.
    """

    jump_rad: float = 1.2
    dive_m_s: float = 0.25
    age_s: float = 5.0

    def __post_init__(self) -> None:
        if not 0 < self.jump_rad < np.pi or not self.dive_m_s > 0 or not self.age_s > 0:
            raise BadInput("jump_rad must be between 0 and pi, dive_m_s and age_s above 0.")


class FaultySource:
    """Passes another source's wishes on, and spoils them where a fault says so."""

    def __init__(
        self, source: Source, faults: Sequence[Fault], config: FaultConfig | None = None, arm: Arm | None = None
    ) -> None:
        """
        Args:
            source: whose wishes are spoiled.
            faults: when and how; where they overlap, the first one counts.
            config: how bad.
            arm: for dives; the default arm when None.
        """
        self._source, self._faults, self._config = source, tuple(faults), config or FaultConfig()
        self._arm = arm or load_arm()
        self._start_s: float | None = None
        self._dive: tuple[Fault, np.ndarray, float] | None = None

    def wish(self, reading: Reading, now_s: float) -> Wish | None:
        """The wish of the source, or what a fault makes of it."""
        self._start_s = now_s if self._start_s is None else self._start_s
        wish = self._source.wish(reading, now_s)
        fault = self.fault_at(now_s - self._start_s)
        if wish is None or fault is None:
            return wish
        return self._spoiled(fault, wish, reading, now_s)

    def is_over(self, now_s: float) -> bool:
        """When the source is."""
        return self._source.is_over(now_s)

    def fault_at(self, elapsed_s: float) -> Fault | None:
        """The fault at a time since the first wish."""
        return next((fault for fault in self._faults if fault.start_s <= elapsed_s < fault.stop_s), None)

    def _spoiled(self, fault: Fault, wish: Wish, reading: Reading, now_s: float) -> Wish | None:
        values = np.array(wish.values, float)
        if fault.kind == "silent":
            return None
        if fault.kind == "other side":
            return replace(wish, side=SIDES[1 - SIDES.index(wish.side)])
        if fault.kind == "old":
            return replace(wish, observed_at_s=now_s - self._config.age_s)
        if fault.kind == "replayed":
            return replace(wish, sequence=0)
        if fault.kind == "short":
            return replace(wish, values=values[:-1])
        if fault.kind in ("not a number", "infinite"):
            values[3] = np.nan if fault.kind == "not a number" else np.inf
        elif fault.kind == "jump":
            values += self._config.jump_rad
        elif fault.kind == "flipped":
            values = -values
        else:
            values[:ARM_JOINTS] = self._deeper(fault, reading.position, now_s)
        return replace(wish, values=values)

    def _deeper(self, fault: Fault, measured: Float[np.ndarray, " joints"], now_s: float) -> Float[np.ndarray, "7"]:
        """Angles that lower the flange, in its attitude, at the speed of a dive: one damped step per tick."""
        if self._dive is None or self._dive[0] != fault:
            self._dive = (fault, np.asarray(measured, float)[:ARM_JOINTS].copy(), now_s)
        _, q, before_s = self._dive
        down = np.array([0.0, 0.0, -self._config.dive_m_s * (now_s - before_s), 0.0, 0.0, 0.0])
        J = self._arm.jacobian(q)
        q = self._arm.tree.clip(q + J.T @ np.linalg.solve(J @ J.T + _DAMPING**2 * np.eye(6), down))
        self._dive = (fault, q, now_s)
        return q


class SwayingSource:
    """Gentle to and fro about where the robot is: a motion that no safety layer minds, to try faults on."""

    def __init__(
        self, side: Side = "right", duration_s: float = 10.0, arm_rad: float = 0.10, hand_rad: float = 0.25
    ) -> None:
        """
        Args:
            side: which arm and hand.
            duration_s: how long.
            arm_rad, hand_rad: how far the first joint of the arm, and the fingers, go.
        """
        self._side, self._duration_s = side, duration_s
        self._reach = np.zeros(JOINTS)
        self._reach[0], self._reach[ARM_JOINTS + 4 :] = arm_rad, hand_rad
        self._begin: tuple[float, np.ndarray] | None = None
        self._sequence = 0

    def wish(self, reading: Reading, now_s: float) -> Wish | None:
        """Where the joints shall be now: a sine that grows within seconds for the arm, 1 - cos for the fingers."""
        if self._begin is None:
            self._begin = (now_s, np.asarray(reading.position, float).copy())
        start_s, start = self._begin
        phase = 2 * np.pi * 0.4 * (now_s - start_s)
        share = np.full(JOINTS, 0.5 * (1 - np.cos(phase)))
        share[:ARM_JOINTS] = np.sin(phase) * (1 - np.exp(start_s - now_s))
        self._sequence += 1
        return Wish(start + self._reach * share, self._side, self._sequence, now_s)

    def is_over(self, now_s: float) -> bool:
        """When its time is up."""
        return self._begin is not None and now_s - self._begin[0] >= self._duration_s


class UntimedWorker(DelayedWorker):
    """Pretends that an answer is about the moment in which it came, so that a chunk is played late, from its start.

    The fault that the times of chunks are there to prevent; it also hides the age of the observation from the gate.
    """

    def take(self) -> Any | None:
        """The result, once its time has come, with that time for the observation's."""
        result = super().take()
        return None if result is None else (replace(result[0], start_s=self._clock.now()), *result[1:])
