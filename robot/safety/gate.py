"""The gate: the only way to a motor. It keeps the memory of the pure layer, the journal and the emergency stop.

Drivers move for a `Cleared` command alone, and only a gate can make one.
"""

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from robot.safety.config import SafetyConfig
from robot.safety.decide import Decision, Measured, Memory, Proposal, decide, obstructed
from robot.safety.journal import Journal, Tick
from robot.safety.limits import ARM_JOINTS, JOINTS
from robot.safety.reasons import names
from vitra_lib.contracts.hand_track import SIDES, Side
from vitra_lib.core.errors import BadInput

_SEAL = object()
_START_OUTSIDE_RAD = 0.2  # an open hand rests at 0, below the distal joints' floor of 5 degrees


@dataclass(frozen=True, eq=False)
class Cleared:
    """A command that passed the safety layer.

    Attributes:
        position: angles of arm and hand [rad].
        at_s: when it was cleared.
        seal: proof that a gate made it.
    """

    position: Float[np.ndarray, " joints"]
    at_s: float
    seal: Any

    def __post_init__(self) -> None:
        if self.seal is not _SEAL:
            raise BadInput("A command for the motors can only come from a safety gate; give the wish to its `tick`.")
        self.position.setflags(write=False)

    @property
    def arm(self) -> Float[np.ndarray, "7"]:
        """The arm's angles [rad]."""
        return self.position[:ARM_JOINTS]

    @property
    def hand(self) -> Float[np.ndarray, "12"]:
        """The hand's angles [rad]."""
        return self.position[ARM_JOINTS:]


@dataclass(frozen=True)
class Wish:
    """What a policy, a person or a file wants; `values` may be anything at all.

    Attributes:
        values: angles of arm and hand [rad].
        side: which rig it is meant for.
        sequence: grows with every wish.
        observed_at_s: when the observation was made that it answers.
    """

    values: Any
    side: Side
    sequence: int
    observed_at_s: float


@dataclass(frozen=True, eq=False)
class Reading:
    """What the robot reports at one time, on one monotonic clock.

    Attributes:
        position: angles of arm and hand [rad].
        at_s: when they were measured.
        camera_at_s: when the latest picture was taken; NaN for none.
    """

    position: Float[np.ndarray, " joints"]
    at_s: float
    camera_at_s: float = float("nan")


class SafetyGate:
    """Wishes in, cleared commands out.

    Attributes:
        config: what is allowed.
        journal: what was done.
        last_reasons: why it stepped in at the last tick, as a bit field of `Reason`.
    """

    def __init__(self, config: SafetyConfig | None = None) -> None:
        """
        Args:
            config: what is allowed; the defaults when None.
        """
        self.config = config or SafetyConfig()
        self.journal = Journal()
        self._memory: Memory | None = None
        self.last_reasons = 0
        self._last = Reading(np.full(JOINTS, np.nan), float("-inf"))
        self._velocity = np.zeros(JOINTS)
        self._estop = threading.Event()

    def arm(self, reading: Reading, now_s: float) -> None:
        """Begin, or begin again after a stop, where the robot is and at rest; releases the emergency stop.

        Raises:
            BadInput: the measured angles are stale, outside the limits, or too near to table, box or itself.
        """
        limits, at = self.config.limits, np.asarray(reading.position, float)
        is_fresh = 0 <= now_s - reading.at_s <= self.config.state_age_s
        if at.shape != (JOINTS,) or not np.isfinite(at).all() or not is_fresh:
            raise BadInput("The robot can't be armed: its measured angles are missing, not finite, or stale.")
        outside = np.maximum(limits.lower_rad - at, at - limits.upper_rad)
        if outside.max() > _START_OUTSIDE_RAD:
            joint = int(outside.argmax())
            raise BadInput(
                f"The robot can't be armed: {limits.names[joint]} is at {at[joint]:.3f} rad, legal is "
                f"{limits.lower_rad[joint]:.3f} to {limits.upper_rad[joint]:.3f}; move it by hand."
            )
        hits = int(obstructed(self.config, at[None], self.config.slack_m)[0])
        if hits:
            raise BadInput(f"The robot can't be armed: it is too near to {', '.join(names(hits))}; move it by hand.")
        sequence = -1 if self._memory is None else int(self._memory.sequence[0])
        self._memory = Memory.at_rest(at[None], now_s)
        self._memory.sequence[0] = sequence  # an old command stays old
        self._last, self._velocity = reading, np.zeros(JOINTS)
        self._estop.clear()

    def estop(self) -> None:
        """Press the emergency stop: nothing more is cleared until `arm`. Safe to call from any thread or signal."""
        self._estop.set()

    @property
    def is_armed(self) -> bool:
        """Commands may be cleared."""
        return self._memory is not None and not self._memory.is_stopped[0] and not self._estop.is_set()

    @property
    def target(self) -> Float[np.ndarray, " joints"]:
        """The last commanded angles [rad].

        Raises:
            BadInput: the gate was never armed.
        """
        if self._memory is None:
            raise BadInput("The safety gate has not been armed; call `arm` with a fresh reading first.")
        return self._memory.motion.position[0].copy()

    def tick(self, reading: Reading, wish: Wish | None, now_s: float) -> Cleared | None:
        """Judge one wish.

        Args:
            reading: what the robot reports.
            wish: what is wanted; None to brake and hold.
            now_s: monotonic time.

        Returns:
            What may be sent, which may be braking; None when nothing may, and the driver must be stopped.

        Raises:
            BadInput: the gate was never armed.
        """
        if self._memory is None:
            raise BadInput("The safety gate has not been armed; call `arm` with a fresh reading first.")
        measured, proposal = self._measured(reading), _proposal(wish)
        decision = decide(self.config, self._memory, measured, proposal, float(now_s), self._estop.is_set())
        self._memory = decision.memory
        self._note(decision, proposal, now_s)
        return Cleared(decision.position[0].copy(), float(now_s), _SEAL) if decision.is_sent[0] else None

    def _measured(self, reading: Reading) -> Measured:
        """The reading as a batch of one, with the speed since the last one."""
        position = np.asarray(reading.position, float)
        if position.shape != (JOINTS,):
            position = np.full(JOINTS, np.nan)
        past = float(reading.at_s) - self._last.at_s
        if past >= 0.5 * self.config.period_s:  # over less time, noise looks like speed
            self._velocity = (position - self._last.position) / past
            self._last = Reading(position, float(reading.at_s), float(reading.camera_at_s))
        times = (np.array([float(reading.at_s)]), np.array([float(reading.camera_at_s)]))
        return Measured(position[None], self._velocity[None], *times)

    def _note(self, decision: Decision, proposal: Proposal, now_s: float) -> None:
        """Put the tick into the journal."""
        self.last_reasons = int(decision.reasons[0])
        change = np.abs(np.nan_to_num(proposal.position[0] - decision.position[0], nan=0.0, posinf=0.0, neginf=0.0))
        joint = int(change.argmax())
        name = self.config.limits.names[joint] if change[joint] > 0 else ""
        self.journal.add(
            Tick(
                float(now_s), self.last_reasons, int(proposal.sequence[0]), name, float(change[joint]),
                bool(decision.is_sent[0]), bool(decision.is_used[0]),
            )
        )  # fmt: skip


def _proposal(wish: Wish | None) -> Proposal:
    """A wish as a batch of one; whatever can't be read as angles becomes NaN, which is rejected."""
    if wish is None:
        return Proposal(np.full((1, JOINTS), np.nan), np.array([JOINTS]), np.array([0]), np.array([-1]), np.zeros(1))
    try:
        values = np.asarray(wish.values, dtype=np.float64)
    except (TypeError, ValueError):
        values = np.array([])
    fits = values.shape == (JOINTS,)
    return Proposal(
        (values if fits else np.full(JOINTS, np.nan))[None],
        np.array([JOINTS if fits else -1]),
        np.array([SIDES.index(wish.side) if wish.side in SIDES else -1]),
        np.array([int(wish.sequence)]),
        np.array([float(wish.observed_at_s)]),
    )
