"""One tick of the safety layer as a pure function, over a batch of robots: what may be sent, why, and what to remember.

A proposal that can't be used, or that leads where the robot must not be, is answered by braking, which was made sure to
be possible when the command before was admitted. Faults of the robot itself stop it: nothing is sent any more.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from robot.safety.bodies import rig_bodies
from robot.safety.caps import Motion, approach, braked, braking_path
from robot.safety.config import SafetyConfig
from robot.safety.geometry import clearances
from robot.safety.limits import HAND_JOINTS, JOINTS
from robot.safety.reasons import GEOMETRIC, REJECTING, STOPPING, Reason
from vitra_lib.contracts.hand_track import SIDES

_REACH_M = np.r_[0.9, 0.9, 0.65, 0.65, 0.45, 0.45, 0.25, np.full(HAND_JOINTS, 0.2)]
"""Nothing that a joint moves is further from its axis [m]: the links' lengths, and 5 cm for the hand's place."""


@dataclass(frozen=True, eq=False)
class Measured:
    """What the robot reports; times are those of one monotonic clock [s].

    Attributes:
        position: angles [rad]; may hold NaN when a reading failed.
        velocity: [rad/s]; NaN where unknown.
        at_s: when the angles were measured.
        camera_at_s: when the latest picture was taken.
    """

    position: Float[np.ndarray, "batch joints"]
    velocity: Float[np.ndarray, "batch joints"]
    at_s: Float[np.ndarray, " batch"]
    camera_at_s: Float[np.ndarray, " batch"]


@dataclass(frozen=True, eq=False)
class Proposal:
    """What somebody wants; nothing in it is trusted.

    Attributes:
        position: wanted angles [rad]; whatever could not be read is NaN.
        length: how many numbers were given.
        side: 0 left, 1 right; which rig it is meant for.
        sequence: grows with every proposal; -1 where there is none this tick.
        observed_at_s: when the observation was made that it answers.
    """

    position: Float[np.ndarray, "batch joints"]
    length: Int[np.ndarray, " batch"]
    side: Int[np.ndarray, " batch"]
    sequence: Int[np.ndarray, " batch"]
    observed_at_s: Float[np.ndarray, " batch"]


@dataclass(frozen=True, eq=False)
class Memory:
    """What the layer knows from the ticks before.

    Attributes:
        motion: of the last command.
        at_s: when it was sent.
        sequence: highest sequence number that was used.
        used_at_s: when a proposal was last used.
        is_stopped: nothing is sent until the robot is armed again.
    """

    motion: Motion
    at_s: Float[np.ndarray, " batch"]
    sequence: Int[np.ndarray, " batch"]
    used_at_s: Float[np.ndarray, " batch"]
    is_stopped: Bool[np.ndarray, " batch"]

    @classmethod
    def at_rest(cls, position: Float[np.ndarray, "batch joints"], now_s: float) -> "Memory":
        """Robots that stand still where they are measured to be."""
        batch = len(position)
        now = np.full(batch, float(now_s))
        zero = np.zeros_like(position)
        motion = Motion(position.copy(), zero, position.copy())
        return cls(motion, now, np.full(batch, -1), now.copy(), np.zeros(batch, bool))


@dataclass(frozen=True, eq=False)
class Decision:
    """What one tick allows.

    Attributes:
        position: angles that may be sent [rad].
        is_sent: False where nothing may be sent.
        is_used: True where the proposal was followed (perhaps capped).
        reasons: bits of `Reason`.
        memory: for the next tick.
    """

    position: Float[np.ndarray, "batch joints"]
    is_sent: Bool[np.ndarray, " batch"]
    is_used: Bool[np.ndarray, " batch"]
    reasons: Int[np.ndarray, " batch"]
    memory: Memory


def has_wrong_length(config: SafetyConfig, proposal: Proposal, memory: Memory, now_s: float) -> np.ndarray:
    """Another number of joints than the rig has."""
    return proposal.length != JOINTS


def is_not_finite(config: SafetyConfig, proposal: Proposal, memory: Memory, now_s: float) -> np.ndarray:
    """NaN or infinity; a clip would let NaN pass."""
    return ~np.isfinite(proposal.position).all(-1)


def is_for_the_other_side(config: SafetyConfig, proposal: Proposal, memory: Memory, now_s: float) -> np.ndarray:
    """Meant for the other arm and hand."""
    return proposal.side != SIDES.index(config.side)


def is_old(config: SafetyConfig, proposal: Proposal, memory: Memory, now_s: float) -> np.ndarray:
    """Answers an observation that is too old, or one of unknown time."""
    return ~(now_s - proposal.observed_at_s <= config.action_age_s)


def is_from_the_future(config: SafetyConfig, proposal: Proposal, memory: Memory, now_s: float) -> np.ndarray:
    """Answers an observation that has not been made yet."""
    return proposal.observed_at_s > now_s + config.future_s


def is_out_of_sequence(config: SafetyConfig, proposal: Proposal, memory: Memory, now_s: float) -> np.ndarray:
    """Was used before, or was overtaken."""
    return proposal.sequence <= memory.sequence


PROPOSAL_CHECKS = (
    (Reason.WRONG_LENGTH, has_wrong_length),
    (Reason.NON_FINITE, is_not_finite),
    (Reason.WRONG_SIDE, is_for_the_other_side),
    (Reason.OLD_ACTION, is_old),
    (Reason.FUTURE_ACTION, is_from_the_future),
    (Reason.OLD_SEQUENCE, is_out_of_sequence),
)


def stale_state(config: SafetyConfig, measured: Measured, now_s: float) -> Bool[np.ndarray, " batch"]:
    """The measured angles are too old, from the future, or not numbers."""
    age = now_s - measured.at_s
    return ~((age <= config.state_age_s) & (age >= -config.future_s) & np.isfinite(measured.position).all(-1))


def stale_camera(config: SafetyConfig, measured: Measured, now_s: float) -> Bool[np.ndarray, " batch"]:
    """The latest picture is too old, or from the future."""
    age = now_s - measured.camera_at_s
    return np.isfinite(config.camera_age_s) & ~((age <= config.camera_age_s) & (age >= -config.future_s))


def off_track(
    config: SafetyConfig, position: Float[np.ndarray, "batch joints"], measured: Measured
) -> Bool[np.ndarray, " batch"]:
    """The measured angles are too far from the commanded ones: something holds or pushes the robot."""
    return (np.abs(position - measured.position) > config.tracking_rad).any(-1)


def too_fast(config: SafetyConfig, measured: Measured) -> Bool[np.ndarray, " batch"]:
    """The robot moves faster than it was ever told to."""
    return (np.abs(measured.velocity) > config.overspeed * config.speed_rad_s).any(-1)


def obstructed(
    config: SafetyConfig, angles: Float[np.ndarray, "batch joints"], slack_m: float
) -> Int[np.ndarray, " batch"]:
    """Bits of what each pose is too near to."""
    return _bits(_room(config, angles), slack_m)


def path_obstructed(
    config: SafetyConfig,
    last: Float[np.ndarray, "batch joints"],
    position: Float[np.ndarray, "batch joints"],
    velocity: Float[np.ndarray, "batch joints"],
) -> Int[np.ndarray, " batch"]:
    """Bits of what each pose, or full braking from it, comes too near to.

    Braking is followed only where the way that any part can travel in it, seen from any other part, is longer than the
    room that is left. Where braking has ended within the slack, so that every small step would be too near, a step is
    still allowed if neither it nor braking from it makes the room any smaller: a robot may always back out.
    """
    room = _room(config, position)
    bits = _bits(room, config.slack_m)
    path = braking_path(config, position, velocity)
    travel_m = np.abs(path[1] - position) @ _REACH_M
    rows = np.flatnonzero((bits == 0) & (room.min(0) < config.slack_m + travel_m))
    if len(rows):
        for poses in path[:, rows]:
            bits[rows] |= obstructed(config, poses, config.slack_m)
    rows = np.flatnonzero(bits)
    if len(rows):
        least = np.minimum(_room(config, last[rows]), config.slack_m)
        near = (least < config.slack_m).any(0) & (least >= 0.0).all(0)
        rows, least = rows[near], least[:, near]
        if len(rows):
            backs_out = _bits(room[:, rows], least)
            for poses in path[:, rows]:
                backs_out |= _bits(_room(config, poses), least)
            bits[rows] = backs_out
    return bits


def _room(config: SafetyConfig, angles: np.ndarray) -> np.ndarray:
    """(3, batch) how far box, table and other bodies are beyond their margins [m]."""
    clear = clearances(rig_bodies(config.side, config.variant), config.scene, angles)
    margins = (config.box_margin_m, config.table_margin_m, config.self_margin_m)
    return np.stack([clear.box_m, clear.table_m, clear.self_m]) - np.array(margins)[:, None]


def _bits(room: np.ndarray, slack_m: float | np.ndarray) -> np.ndarray:
    near = room < slack_m
    return near[0] * int(Reason.WORKSPACE) | near[1] * int(Reason.TABLE) | near[2] * int(Reason.SELF_COLLISION)


def decide(
    config: SafetyConfig, memory: Memory, measured: Measured, proposal: Proposal, now_s: float, is_estop: bool = False
) -> Decision:
    """One tick.

    Args:
        config: what is allowed.
        memory: of the last tick.
        measured: what the robots report.
        proposal: what is wanted of each; sequence -1 where nothing is.
        now_s: monotonic time.
        is_estop: the emergency stop is pressed.
    """
    reasons = _look(config, memory, measured, proposal, now_s)
    reasons |= int(Reason.ESTOP) if is_estop else 0
    late = now_s - memory.used_at_s
    usable = (proposal.sequence >= 0) & ((reasons & int(REJECTING)) == 0)
    reasons |= np.where(~usable & (late > config.watchdog_s), int(Reason.WATCHDOG), 0)
    stopped = memory.is_stopped | (~usable & (late > config.stop_after_s))
    stopped |= (reasons & int(STOPPING)) != 0
    backwards = ~(now_s - memory.at_s >= 0)
    reasons |= np.where(backwards, int(Reason.CLOCK), 0)
    idle = stopped | backwards
    dt = np.clip(now_s - memory.at_s, 0.0, config.period_s)[:, None]
    motion, used, bits = _next_motion(config, memory, measured, proposal, dt, usable & ~idle)
    reasons |= bits
    fresh = (reasons & int(Reason.STALE_STATE)) == 0
    lost = ~idle & fresh & off_track(config, motion.position, measured)
    lost |= ~idle & (reasons & int(Reason.BRAKING_BLOCKED) != 0)
    reasons |= np.where(lost & fresh, int(Reason.TRACKING), 0)
    stopped |= lost
    reasons |= np.where(stopped, int(Reason.STOPPED), 0)
    sent = ~(idle | lost)
    row = sent[:, None]
    kept = memory.motion
    position = np.where(row, motion.position, kept.position)
    velocity = np.where(row, motion.velocity, np.where(stopped[:, None], 0.0, kept.velocity))
    after = replace(
        memory,
        motion=Motion(position, velocity, np.where(row, motion.target, kept.target)),
        at_s=np.where(sent, now_s, memory.at_s),
        sequence=np.where(used & sent, proposal.sequence, memory.sequence),
        used_at_s=np.where(used & sent, now_s, memory.used_at_s),
        is_stopped=stopped,
    )
    return Decision(position, sent, used & sent, reasons, after)


def _look(
    config: SafetyConfig, memory: Memory, measured: Measured, proposal: Proposal, now_s: float
) -> Int[np.ndarray, " batch"]:
    """Everything that can be wrong before any motion is computed."""
    reasons = np.zeros(len(proposal.length), np.int64)
    given = proposal.sequence >= 0
    for reason, check in PROPOSAL_CHECKS:
        reasons |= np.where(given & check(config, proposal, memory, now_s), int(reason), 0)
    stale = stale_state(config, measured, now_s)
    reasons |= np.where(stale, int(Reason.STALE_STATE), 0)
    reasons |= np.where(stale_camera(config, measured, now_s), int(Reason.STALE_CAMERA), 0)
    reasons |= np.where(~stale & off_track(config, memory.motion.position, measured), int(Reason.TRACKING), 0)
    return reasons | np.where(~stale & too_fast(config, measured), int(Reason.OVERSPEED), 0)


def _next_motion(
    config: SafetyConfig,
    memory: Memory,
    measured: Measured,
    proposal: Proposal,
    dt: Float[np.ndarray, "batch 1"],
    may_use: Bool[np.ndarray, " batch"],
) -> tuple[Motion, Bool[np.ndarray, " batch"], Int[np.ndarray, " batch"]]:
    """The proposal under all caps where it can be used and leads nowhere bad, full braking elsewhere."""
    last = memory.motion
    position, velocity = braked(config, last, dt)
    target = position.copy()
    reasons, used = np.zeros(len(dt), np.int64), may_use.copy()
    rows = np.flatnonzero(may_use)
    if len(rows):
        part = Motion(last.position[rows], last.velocity[rows], last.target[rows])
        near, bits = approach(config, part, measured.position[rows], proposal.position[rows], dt[rows])
        bits = bits | path_obstructed(config, part.position, near.position, near.velocity)
        good = (bits & int(GEOMETRIC)) == 0
        reasons[rows] = bits
        used[rows] = good
        take = rows[good]
        position[take], velocity[take], target[take] = near.position[good], near.velocity[good], near.target[good]
    moving = np.flatnonzero(~used & (last.velocity != 0).any(-1))
    if len(moving):
        hits = obstructed(config, position[moving], 0.0)
        reasons[moving] |= hits | np.where(hits != 0, int(Reason.BRAKING_BLOCKED), 0)
    return Motion(position, velocity, target), used, reasons
