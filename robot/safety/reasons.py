"""Why the safety layer stepped in: one bit per reason, so that a tick can have several."""

from enum import IntFlag

import numpy as np
from jaxtyping import Int


class Reason(IntFlag):
    """What was wrong, or what was done about it."""

    WRONG_LENGTH = 1 << 0
    NON_FINITE = 1 << 1
    WRONG_SIDE = 1 << 2
    OLD_ACTION = 1 << 3
    FUTURE_ACTION = 1 << 4
    OLD_SEQUENCE = 1 << 5
    STALE_CAMERA = 1 << 6
    STALE_STATE = 1 << 7
    LIMIT = 1 << 8
    LEAD = 1 << 9
    VELOCITY = 1 << 10
    ACCELERATION = 1 << 11
    WORKSPACE = 1 << 12
    TABLE = 1 << 13
    SELF_COLLISION = 1 << 14
    WATCHDOG = 1 << 15
    TRACKING = 1 << 16
    OVERSPEED = 1 << 17
    CLOCK = 1 << 18
    ESTOP = 1 << 19
    STOPPED = 1 << 20
    BRAKING_BLOCKED = 1 << 21


REJECTING = (
    Reason.WRONG_LENGTH
    | Reason.NON_FINITE
    | Reason.WRONG_SIDE
    | Reason.OLD_ACTION
    | Reason.FUTURE_ACTION
    | Reason.OLD_SEQUENCE
    | Reason.STALE_CAMERA
    | Reason.STALE_STATE
)
"""The proposal is not followed; the robot brakes."""
CLAMPING = Reason.LIMIT | Reason.LEAD | Reason.VELOCITY | Reason.ACCELERATION
"""The proposal is followed as far as is allowed."""
GEOMETRIC = Reason.WORKSPACE | Reason.TABLE | Reason.SELF_COLLISION
"""The proposal leads where the robot must not be; the robot brakes."""
STOPPING = Reason.TRACKING | Reason.OVERSPEED | Reason.ESTOP | Reason.BRAKING_BLOCKED
"""Nothing more is sent until the robot is armed again."""


def names(bits: int) -> tuple[str, ...]:
    """Names of the reasons in a bit field, in lower case."""
    return tuple(reason.name.lower() for reason in Reason if reason & bits)


def count(reasons: Int[np.ndarray, "*batch"]) -> dict[str, int]:
    """How often each reason occurs; reasons that don't are left out."""
    flat = np.asarray(reasons).reshape(-1)
    found = {reason.name.lower(): int(np.count_nonzero(flat & int(reason))) for reason in Reason}
    return {name: times for name, times in found.items() if times}
