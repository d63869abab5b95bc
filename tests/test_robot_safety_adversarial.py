"""A million hostile actions against the safety layer: none gets through. Layers without one check fail."""

import numpy as np
import pytest
from robot_adversary import Siege

from robot.safety import caps, decide
from robot.safety.config import SafetyConfig, per_joint
from robot.safety.reasons import Reason, count

# Faster than the defaults, so that a siege gets somewhere; the margins and ages are the defaults'.
FAST = SafetyConfig(
    speed_rad_s=per_joint(2.5, 8.0),
    acceleration_rad_s2=per_joint(40.0, 200.0),
    lead_rad=per_joint(0.3, 0.8),
    tracking_rad=per_joint(0.7, 1.6),
)
ROBOTS, TICKS = 1000, 1000


def test_a_million_hostile_actions_give_no_violation() -> None:
    siege = Siege(FAST, ROBOTS, seed=1).run(TICKS)
    assert siege.actions == 1_000_000
    assert siege.violations == {}
    # and it was a siege: every reason was met, most robots moved, some were stopped
    met = set(count(siege.reasons))
    never = {"clock", "estop", "braking_blocked"}
    assert met >= {reason.name.lower() for reason in Reason} - never, met
    assert siege.used > 400_000 and siege.stops > 100


def _without(reason: Reason) -> tuple:
    return tuple(pair for pair in decide.PROPOSAL_CHECKS if pair[0] != reason)


def _wide(low, high):
    """A range that allows everything."""
    return lambda config, motion, *rest: (np.full_like(motion.position, low), np.full_like(motion.position, high))


REMOVED = {
    "nan": ("PROPOSAL_CHECKS", _without(Reason.NON_FINITE), "used: nan"),
    "length": ("PROPOSAL_CHECKS", _without(Reason.WRONG_LENGTH), "used: length"),
    "side": ("PROPOSAL_CHECKS", _without(Reason.WRONG_SIDE), "used: swapped"),
    "age": ("PROPOSAL_CHECKS", _without(Reason.OLD_ACTION), "used: old"),
    "future": ("PROPOSAL_CHECKS", _without(Reason.FUTURE_ACTION), "used: future"),
    "sequence": ("PROPOSAL_CHECKS", _without(Reason.OLD_SEQUENCE), "used: replayed"),
    "state": ("stale_state", lambda config, measured, now_s: np.zeros(len(measured.at_s), bool), "used: stale state"),
    "camera": ("stale_camera", lambda config, measured, now_s: np.zeros(len(measured.at_s), bool), "used: blind"),
    "track": ("off_track", lambda config, position, measured: np.zeros(len(position), bool), "lead"),
    "path": ("path_obstructed", lambda config, last, position, velocity: np.zeros(len(position), np.int64), "sent"),
}


@pytest.mark.parametrize("name", REMOVED)
def test_control_a_layer_without_one_check_fails(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    attribute, replacement, violation = REMOVED[name]
    monkeypatch.setattr(decide, attribute, replacement)
    siege = Siege(FAST, 300, seed=2)
    if name == "path":  # braking is still blocked at the margin, which stops the robot: that shows too
        siege.run(150)
        assert count(siege.reasons).get("braking_blocked", 0) or siege.violations
        return
    siege.run(40)
    assert siege.violations.get(violation, 0) > 0, siege.violations


@pytest.mark.parametrize(
    ("function", "violation"),
    [("speed_range", "speed"), ("acceleration_range", "acceleration"), ("within_limits", None)],
)
def test_control_a_layer_without_one_cap_fails(
    function: str, violation: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if function == "within_limits":  # the clip and the braking before the limit hold it together: remove both
        monkeypatch.setattr(caps, function, lambda config, wanted: (wanted, np.zeros(len(wanted), np.int64)))
        monkeypatch.setattr(caps, "speed_range", lambda config, motion, dt: (
            np.broadcast_to(-config.speed_rad_s, motion.position.shape),
            np.broadcast_to(config.speed_rad_s, motion.position.shape),
        ))  # fmt: skip
        violation = "limit"
    else:
        monkeypatch.setattr(caps, function, _wide(-1e6, 1e6))
    siege = Siege(FAST, 200, seed=3).run(60)
    assert siege.violations.get(violation, 0) > 0, siege.violations
