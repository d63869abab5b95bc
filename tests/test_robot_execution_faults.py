"""Faults on purpose: each is answered by its own reason, the caps hold, and without faults nothing happens."""

import numpy as np
import pytest

from robot.arm import load_arm
from robot.drivers.clock import ManualClock
from robot.drivers.kinematic import KinematicRobot
from robot.execution.broker import Chunk
from robot.execution.faults import KINDS, Fault, FaultConfig, FaultySource, SwayingSource, UntimedWorker
from robot.execution.loop import ControlLoop, LoopConfig, Trace
from robot.execution.worker import DelayedWorker
from robot.safety.config import SafetyConfig
from robot.safety.gate import SafetyGate
from robot.safety.reasons import Reason
from vitra_lib.core.errors import BadInput, UnknownName

ANSWERED_BY = {
    "not a number": Reason.NON_FINITE,
    "infinite": Reason.NON_FINITE,
    "short": Reason.WRONG_LENGTH,
    "other side": Reason.WRONG_SIDE,
    "old": Reason.OLD_ACTION,
    "replayed": Reason.OLD_SEQUENCE,
    "jump": Reason.VELOCITY,
    "flipped": Reason.VELOCITY,
    "dive": Reason.TABLE,
    "silent": Reason.WATCHDOG,
}


def run(faults: list[Fault], duration_s: float = 3.0) -> tuple[Trace, SafetyGate]:
    clock, gate = ManualClock(), SafetyGate(SafetyConfig(period_s=1 / 30))
    source = FaultySource(SwayingSource(duration_s=duration_s), faults, FaultConfig(dive_m_s=0.4))
    return ControlLoop(KinematicRobot(clock), gate, clock, LoopConfig(20.0)).run(source), gate


def test_every_kind_has_its_own_answer() -> None:
    assert set(ANSWERED_BY) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_is_answered_where_it_is_and_nowhere_before(kind: str) -> None:
    trace, gate = run([Fault(kind, 0.5, 2.0 if kind == "dive" else 0.9)], 2.1 if kind == "dive" else 1.2)
    reason = ANSWERED_BY[kind]
    given = (trace.reasons & int(reason)) != 0
    assert given.any() and not given[trace.time_s < 0.5].any()
    assert gate.journal.counts[reason.name.lower()] == given.sum()
    sent, config = trace.sent[trace.is_sent], gate.config
    speed = np.diff(sent, axis=0) / config.period_s
    assert (np.abs(speed) <= config.speed_rad_s * (1 + 1e-6)).all()
    assert (np.abs(np.diff(speed, axis=0)) <= config.acceleration_rad_s2 * config.period_s * (1 + 1e-6)).all()
    if kind in ("jump", "flipped"):  # control: what was wished for is far beyond the caps
        assert (np.abs(np.diff(trace.wished, axis=0)) / config.period_s > 10 * config.speed_rad_s).any()


def test_a_dive_stops_above_the_table_and_would_have_gone_through_it() -> None:
    trace, gate = run([Fault("dive", 0.5, 3.0)], 3.2)
    diving = (trace.time_s > 0.6) & (trace.time_s < 3.0)
    height = load_arm().forward(trace.sent[:, :7])[:, 2, 3]
    wished = load_arm().forward(trace.wished[diving, :7])[:, 2, 3]
    assert wished.min() < height[diving].min() - 0.03 and height.min() > 0.0


def test_without_faults_the_motion_is_untouched() -> None:
    trace, gate = run([], 4.0)
    assert trace.ending == "over" and not trace.reasons.any() and gate.journal.used == len(trace)
    assert np.allclose(trace.sent, trace.wished) and np.ptp(trace.sent, axis=0).max() > 0.15


def test_faults_that_make_no_sense_are_refused() -> None:
    with pytest.raises(UnknownName, match="not a number"):
        Fault("bored", 0.0, 1.0)
    with pytest.raises(BadInput, match="later one"):
        Fault("old", 1.0, 1.0)
    with pytest.raises(BadInput, match="jump_rad"):
        FaultConfig(jump_rad=4.0)


@pytest.mark.parametrize(("worker", "start_s"), [(UntimedWorker, 5.3), (DelayedWorker, 5.0)])
def test_an_untimed_answer_claims_to_be_about_now(worker: type[DelayedWorker], start_s: float) -> None:
    clock = ManualClock(5.0)
    late = worker(clock, 0.3)
    late.start(lambda: (Chunk(np.zeros(19), np.ones((4, 19)), 5.0, 0.1), "steps"))
    assert late.take() is None
    clock.advance(0.3)
    chunk, steps = late.take()
    assert chunk.start_s == pytest.approx(start_s) and steps == "steps"
