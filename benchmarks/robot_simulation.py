"""How fast the simulation is against real time, on one core: physics, pictures, and the closed loop with a policy.

    python benchmarks/robot_simulation.py

Ratios are simulated seconds per second of processor time of this one process (one thread), so that other work on the
machine says little. The closed loop is the whole of it: physics, pictures at 224 x 224, the safety layer, questions to
a policy of the profile `tiny` with random weights, wrist steps to joint angles. Tasks are those of the simulation.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from robot.arm import load_arm
from robot.execution.askers import ask_checkpoint, ask_hold
from robot.execution.broker import BrokerConfig
from robot.execution.loop import ControlLoop, LoopConfig
from robot.execution.policy_source import Ask, AskConfig, PolicySource
from robot.execution.worker import DelayedWorker
from robot.safety.gate import SafetyGate
from robot.simulation.config import CONTROL_PERIOD_S
from robot.simulation.driver import SimulatedRig, open_simulation
from robot.simulation.tasks import TASKS, sample_scene
from vitra_lib.evaluation.accuracy import Figure
from vitra_lib.runs.records import write_figures_record

STEP_S, ASK_EVERY_S, LATENCY_S = 0.1, 0.8, 0.1


def cpu_s(work: Callable[[], object]) -> float:
    """Processor time of a job."""
    began = time.process_time()
    work()
    return time.process_time() - began


def sway(rig: SimulatedRig, seconds: float) -> None:
    """Arm and fingers move all the time."""
    start = rig.simulation.measured
    wide = np.r_[0.12, 0.05, 0.1, -0.08, 0.1, 0.1, 0.2, np.full(12, 0.2)]
    for tick in range(round(seconds / CONTROL_PERIOD_S)):
        rig.simulation.step(start + wide * np.sin(2.0 * tick * CONTROL_PERIOD_S))


def loop(rig: SimulatedRig, ask: Ask, seconds: float) -> int:
    """The closed loop; how often the policy answered."""
    asking = AskConfig(STEP_S, 1.6 - ASK_EVERY_S, broker=BrokerConfig("latest"))
    worker = DelayedWorker(rig.clock, LATENCY_S)
    source = PolicySource(rig.setup, load_arm(), rig.camera, ask, worker, asking)
    trace = ControlLoop(rig.robot, SafetyGate(rig.safety), rig.clock, LoopConfig(seconds)).run(source)
    if trace.ending != "duration":
        raise SystemExit(f"The loop ended early: {trace.ending} {trace.fault}")
    return source.answers


def tiny_policy(folder: Path) -> Ask:
    """A checkpoint of the profile `tiny` with random weights, whose steps are small."""
    import torch

    from vitra_lib.dataset.normalisation import Normaliser
    from vitra_lib.policy.checkpoint import save_policy
    from vitra_lib.policy.policy import Policy
    from vitra_lib.policy.predict import STATISTICS
    from vitra_lib.policy.processor import Processor

    torch.set_num_threads(1)
    torch.manual_seed(0)
    mean = np.tile(np.r_[np.zeros(6), 0.9, 0.0, 0.2, 0.0, np.full(8, 0.2)], 2)
    facts = {STATISTICS: Normaliser(mean, np.full(36, 0.5), mean, np.full(36, 0.001), "random", 1).to_official()}
    save_policy(Policy(Processor().policy_config("tiny")), folder / "tiny", facts)
    return ask_checkpoint(folder / "tiny")


def measure(task: str, seconds: float, ask: Ask) -> list[tuple[str, float, str]]:
    """All figures of one task."""
    scene = sample_scene(task, 0, "seen")
    opened: list[SimulatedRig] = []
    made = cpu_s(lambda: opened.append(open_simulation(scene)))
    rig = opened[0]
    first = cpu_s(lambda: rig.view.picture(rig.simulation))
    physics = cpu_s(lambda: sway(rig, seconds))
    picture = cpu_s(lambda: [rig.view.picture(rig.simulation) for _ in range(20)]) / 20
    rig.simulation.reset()
    held = cpu_s(lambda: loop(rig, ask_hold(), seconds))
    closed = cpu_s(lambda: loop(open_simulation(scene), ask, seconds))
    return [
        ("physics_over_real_time", seconds / physics, "ratio"),
        ("picture_224", 1e3 * picture, "ms"),
        ("first_picture", 1e3 * first, "ms"),
        ("opening_a_scene", made, "s"),
        ("loop_without_policy_over_real_time", seconds / held, "ratio"),
        ("loop_with_tiny_policy_over_real_time", seconds / closed, "ratio"),
    ]


def main() -> None:
    """Measure, print, write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=6.0, help="simulated time of each measurement [s]")
    parser.add_argument("--tasks", default=",".join(TASKS), help="with commas")
    parser.add_argument("--records", type=Path, default=Path("results/records"), help="folder of the record")
    args = parser.parse_args()
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        ask = tiny_policy(Path(folder))
        for task in args.tasks.split(","):
            for name, value, unit in measure(task, args.seconds, ask):
                figures.append(Figure(f"{task}_{name}", value, unit, round(args.seconds / CONTROL_PERIOD_S)))
                print(f"{figures[-1].name:55s} {value:9.2f} {unit}", flush=True)
    parameters = {"seconds": args.seconds, "ask_every_s": ASK_EVERY_S, "latency_s": LATENCY_S, "threads": 1}
    print("->", write_figures_record("robot.simulation", figures, parameters, {}, args.records))


if __name__ == "__main__":
    main()
