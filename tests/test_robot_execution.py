"""Chunks, their merging, settled steps, latency, the loop and replay, on a clock that is turned by hand."""

import numpy as np
import pytest
import torch
from policy_makers import mask_of, tiny_inputs, tiny_policy

from robot.arm import load_arm
from robot.drivers.clock import ManualClock
from robot.drivers.kinematic import KinematicConfig, KinematicRobot, StillCamera, ready_pose
from robot.drivers.protocol import DriverFault
from robot.execution.askers import ask_hold, open_ask
from robot.execution.broker import BrokerConfig, Chunk, ChunkBroker
from robot.execution.loop import ControlLoop, LoopConfig
from robot.execution.policy_source import PER_HAND, AskConfig, PolicySource, Setup
from robot.execution.replay import Recording, ReplaySource
from robot.execution.worker import DelayedWorker, ThreadWorker
from robot.safety.arming import Arming
from robot.safety.gate import Reading, SafetyGate, Wish
from robot.safety.limits import JOINTS
from vitra_lib.core.errors import BadInput
from vitra_lib.policy.config import SamplingConfig
from vitra_lib.policy.diffusion import start_noise

CAMERA = np.array([[0, -0.6, 0.8, -0.1], [-1, 0, 0, 0], [0, -0.8, -0.6, 0.8], [0, 0, 0, 1]], float)
SETUP = Setup("right", "Right hand: Pick up the cup.", CAMERA, np.eye(4))


def ramp(start_s: float, slope: float, steps: int = 16, step_s: float = 0.1, at: float = 0.0) -> Chunk:
    """A chunk that moves all joints at `slope` rad/s from `at` on."""
    times = step_s * np.arange(1, steps + 1)
    return Chunk(np.full(JOINTS, at), at + slope * times[:, None] * np.ones(JOINTS), start_s, step_s)


def test_a_chunk_is_interpolated_and_ends_where_it_ends() -> None:
    chunk = ramp(5.0, 2.0)
    for time in (5.0, 5.03, 5.1, 5.77, 6.6):
        assert chunk.at(time)[0] == pytest.approx(2.0 * (time - 5.0))
    assert chunk.at(9.0)[0] == pytest.approx(3.2) and chunk.at(0.0)[0] == 0.0


def test_steps_whose_time_has_passed_are_never_played() -> None:
    broker = ChunkBroker(BrokerConfig("latest"))
    broker.add(ramp(0.0, 1.0))
    assert broker.due(0.55).target[0] == pytest.approx(0.55)  # an answer 0.55 s late is played from there
    assert broker.due(1.7) is None  # and not at all when it is over


def test_lead_gives_the_target_of_later() -> None:
    broker = ChunkBroker(BrokerConfig("latest", lead_s=0.2))
    broker.add(ramp(0.0, 1.0))
    assert broker.due(0.3).target[0] == pytest.approx(0.5)


def test_ensembling_is_the_weighted_mean_of_all_that_cover() -> None:
    broker = ChunkBroker(BrokerConfig("ensemble", decay=0.5))
    for number in range(3):
        broker.add(ramp(0.2 * number, 1.0 + number))
    due = broker.due(0.8)
    values = np.array([1.0 * 0.8, 2.0 * 0.6, 3.0 * 0.4])
    weights = np.exp(-0.5 * np.arange(3))
    assert due.target[0] == pytest.approx((weights * values).sum() / weights.sum())
    assert due.chunks == 3 and due.observed_at_s == 0.0  # as old as the oldest that had a say
    assert broker.due(0.8).target[0] != pytest.approx(values.mean())  # control: the weights count


def test_an_old_chunk_has_no_say_beside_a_newer_one() -> None:
    broker = ChunkBroker(BrokerConfig("ensemble"))
    broker.add(ramp(0.0, 1.0))
    assert broker.due(1.2).observed_at_s == 0.0  # alone it is played, and the safety layer judges its age
    broker.add(ramp(0.5, 2.0))
    due = broker.due(1.2)
    assert due.chunks == 1 and due.observed_at_s == 0.5 and due.target[0] == pytest.approx(1.4)
    assert broker.due(0.85).chunks == 2  # control: not old yet


def test_an_answer_to_an_older_observation_is_dropped() -> None:
    broker = ChunkBroker(BrokerConfig("latest"))
    broker.add(ramp(1.0, 1.0))
    broker.add(ramp(0.5, 9.0))
    assert broker.due(1.5).target[0] == pytest.approx(0.5)


def draw(policy, inputs, known=None, seed: int = 0) -> torch.Tensor:
    """Chunks of both rows of the tiny inputs."""
    mask = mask_of((len(inputs), 16, 192), 51, 102)
    noise = start_noise((len(inputs), 16, 192), seed, torch.device("cpu"))
    return policy.predict(inputs, mask, SamplingConfig(10, 1.0), noise, known)[:, 0]


def test_settled_steps_stand_and_the_rest_follows_them() -> None:
    policy = tiny_policy()
    inputs = tiny_inputs(policy)
    free = draw(policy, inputs)
    known = torch.zeros(2, 5, 192)
    known[..., 51:102] = 2.0
    tied = draw(policy, inputs, known)
    assert torch.equal(tied[:, :5], known)
    assert not torch.allclose(tied[:, 5:], free[:, 5:], atol=1e-3)  # the rest knows of them
    assert torch.equal(tied, draw(policy, inputs, known))  # and is repeatable
    assert (tied[..., :51] == 0).all()  # masked numbers stay zero


def test_settling_nothing_is_drawing_freely() -> None:
    policy = tiny_policy()
    inputs = tiny_inputs(policy)
    assert torch.equal(draw(policy, inputs), draw(policy, inputs, torch.zeros(2, 0, 192)))


def test_settled_steps_of_a_free_draw_bring_it_back() -> None:
    """In-painting a draw's own first steps changes its rest less than in-painting another draw's."""
    policy = tiny_policy()
    inputs = tiny_inputs(policy)
    free, other = draw(policy, inputs), draw(policy, inputs, seed=5)
    own = (draw(policy, inputs, free[:, :2]) - free)[:, 2:].norm()
    foreign = (draw(policy, inputs, other[:, :2]) - free)[:, 2:].norm()
    assert own < 0.6 * foreign


def make_loop(duration_s: float = 3.0, arming: Arming | None = None, start: np.ndarray | None = None):
    """A loop on a kinematic robot."""
    clock, gate = ManualClock(), SafetyGate()
    robot = KinematicRobot(clock, KinematicConfig(start, time_constant_s=0.02))
    return ControlLoop(robot, gate, clock, LoopConfig(duration_s, arming or Arming())), gate, clock, robot


def wrist_steps(dx: float, curl: float, chunk: int = 16) -> np.ndarray:
    """Chunks that move the right wrist by dx per step along the camera's x axis, and curl the fingers."""
    steps = np.zeros((chunk, 2 * PER_HAND))
    steps[:, PER_HAND] = dx
    steps[:, PER_HAND + 6 :] = ready_pose()[7:] + curl
    return steps


@pytest.mark.parametrize(("merge", "settled_s"), [("ensemble", 0.0), ("latest", 0.2)])
def test_a_policy_moves_the_wrist_as_far_as_it_says(merge: str, settled_s: float) -> None:
    loop, gate, clock, _ = make_loop(2.0)
    seen: list[int] = []

    def ask(observation: dict, settled: np.ndarray) -> np.ndarray:
        seen.append(len(settled))
        assert observation["state"].shape == (36,) and observation["hands"].tolist() == [False, True]
        steps = wrist_steps(0.001, 0.05)
        steps[: len(settled)] = settled
        return steps

    arm = load_arm()
    config = AskConfig(0.05, settled_s=settled_s, broker=BrokerConfig(merge))
    source = PolicySource(SETUP, arm, StillCamera(clock), ask, DelayedWorker(clock, 0.12), config)
    trace = loop.run(source)
    assert trace.ending == "duration" and source.answers >= 3
    before, after = (arm.forward(trace.measured[row][:7])[:3, 3] for row in (0, -1))
    moved = CAMERA[:3, :3].T @ (after - before)
    # the first steps come from the observation before the answer: played from their own time on, none is lost
    assert moved[0] == pytest.approx(0.001 * (2.0 - 0.12) / 0.05, abs=0.004) and np.abs(moved[1:]).max() < 0.002
    assert np.abs(trace.measured[-1][7:] - ready_pose()[7:] - 0.05).max() < 0.01
    assert all(latency == pytest.approx(0.12, abs=0.011) for latency in source.latencies_s)
    assert max(seen) == (4 if settled_s else 0)


def test_settled_chunks_change_over_without_a_jump() -> None:
    """Two policies that contradict themselves from answer to answer: settling removes the step in the targets."""

    def jump(settled_s: float) -> float:
        loop, _, clock, _ = make_loop(1.5)
        count = [0]

        def ask(observation: dict, settled: np.ndarray) -> np.ndarray:
            count[0] += 1
            steps = wrist_steps(0.0, 0.1 * (count[0] % 2))
            steps[: len(settled)] = settled
            return steps

        config = AskConfig(0.05, settled_s=settled_s, broker=BrokerConfig("latest"))
        source = PolicySource(SETUP, load_arm(), StillCamera(clock), ask, DelayedWorker(clock, 0.15), config)
        wished = loop.run(source).wished[:, 8:]
        return float(np.nanmax(np.abs(np.diff(wished, axis=0))))

    assert jump(0.2) < 0.6 * jump(0.0)


def test_a_policy_that_answers_nonsense_ends_the_run_at_rest() -> None:
    loop, gate, clock, robot = make_loop()
    ask = lambda observation, settled: np.full((16, 36), np.nan)  # noqa: E731
    source = PolicySource(SETUP, load_arm(), StillCamera(clock), ask, DelayedWorker(clock, 0.05))
    with pytest.raises(BadInput, match="finite steps"):  # before any tick was done, the caller hears of it
        loop.run(source)
    with pytest.raises(DriverFault):
        robot.read()  # disconnected


def test_a_policy_that_falls_silent_makes_the_robot_hold_and_stop() -> None:
    loop, gate, clock, _ = make_loop(6.0)
    count = [0]

    class Silent(DelayedWorker):
        def start(self, job) -> None:  # noqa: ANN001
            count[0] += 1
            if count[0] == 1:
                super().start(job)

    source = PolicySource(SETUP, load_arm(), StillCamera(clock), ask_hold(), Silent(clock, 0.05))
    trace = loop.run(source)
    assert trace.ending == "stopped" and gate.journal.counts["watchdog"] > 50
    assert len(trace) < 200


def test_a_thread_asks_beside_the_loop() -> None:
    worker = ThreadWorker()
    worker.start(lambda: 7)
    while (result := worker.take()) is None:
        continue
    assert result == 7 and not worker.is_busy
    worker.start(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        while worker.take() is None:
            continue
    worker.close()


@pytest.mark.parametrize(("arming", "moves"), [(Arming(), True), (Arming(real=True), False)])
def test_replay_follows_the_recording_through_the_same_loop(arming: Arming, moves: bool) -> None:
    times = np.arange(60) / 30
    targets = ready_pose() + 0.05 * np.sin(2.0 * times)[:, None]
    loop, gate, _, _ = make_loop(10.0, arming)
    source = ReplaySource(Recording("right", targets, 30.0))
    trace = loop.run(source)
    played = (trace.time_s > source.start_s) & np.isfinite(trace.wished[:, 0])
    assert trace.ending == "over" and gate.journal.used == len(trace)
    want = np.interp(trace.time_s[played], source.start_s + times, targets[:, 0])
    assert np.abs(trace.wished[played, 0] - want).max() < 1e-9
    assert (np.abs(trace.measured[played, 0] - want).max() < 0.012) == moves
    assert trace.overruns == 0


def test_a_replay_begins_with_a_slow_way_to_its_first_frame() -> None:
    targets = np.tile(ready_pose() + 0.2, (30, 1))
    loop, gate, _, _ = make_loop(20.0)
    trace = loop.run(ReplaySource(Recording("left", targets, 30.0)))
    assert trace.ending == "stopped" and gate.journal.counts["wrong_side"] > 50  # the other side's recording
    loop, gate, _, _ = make_loop(20.0)
    trace = loop.run(ReplaySource(Recording("right", np.minimum(targets, SafetyGate().config.limits.upper_rad), 30.0)))
    speeds = np.abs(np.diff(trace.sent[:, 0])) / 0.01
    assert trace.ending == "over" and speeds.max() < 0.45


def test_late_ticks_are_counted_and_not_made_up_for() -> None:
    loop, gate, clock, _ = make_loop(1.0)

    class Slow:
        def wish(self, reading: Reading, now_s: float) -> Wish | None:
            clock.advance(0.05 if 0.3 < now_s < 0.32 else 0.0)
            return Wish(reading.position, "right", int(1000 * now_s), now_s)

        def is_over(self, now_s: float) -> bool:
            return False

    trace = loop.run(Slow())
    assert 1 <= trace.overruns <= 3 and len(trace) < 100


def test_ctrl_c_is_the_emergency_stop() -> None:
    loop, gate, _, robot = make_loop()

    class Impatient:
        def wish(self, reading: Reading, now_s: float) -> Wish | None:
            if now_s > 0.1:
                raise KeyboardInterrupt
            return None

        def is_over(self, now_s: float) -> bool:
            return False

    assert loop.run(Impatient()).ending == "interrupted" and not gate.is_armed


def test_bad_names_of_policies_are_refused(tmp_path) -> None:
    for name in ("ws://here", "nowhere", str(tmp_path / "none")):
        with pytest.raises(BadInput):
            open_ask(name)
    with pytest.raises(BadInput, match="rigid"):
        Setup("right", "x", 2 * np.eye(4), np.eye(4))
