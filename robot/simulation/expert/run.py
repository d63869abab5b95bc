"""The expert as a source of wishes for the control loop, and a whole trial of it through the safety layer."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from robot.drivers.clock import ManualClock
from robot.execution.loop import ControlLoop, LoopConfig, Trace
from robot.safety.config import SafetyConfig
from robot.safety.gate import Reading, SafetyGate, Wish
from robot.safety.limits import JOINTS
from robot.simulation.config import CONTROL_PERIOD_S, RigConfig, rig_safety
from robot.simulation.driver import SimulatedRobot
from robot.simulation.expert.paths import PathPlanner
from robot.simulation.expert.primitives import Actor, Targets
from robot.simulation.physics import Simulation, Snapshot
from robot.simulation.scene import Scene
from robot.simulation.tasks import TASKS, Outcome, outcome
from vitra_lib.core.errors import BadInput, UnknownName

STILL_S = 0.5


def script_of(task: str) -> Callable[[Actor, Scene], Targets]:
    """The expert's script for a task.

    Raises:
        UnknownName: no such task.
    """
    if task not in TASKS:
        raise UnknownName("task", task, TASKS)
    name = task.replace("-", "_")
    return getattr(importlib.import_module(f"robot.simulation.expert.{name}"), f"{name}_script")


class Expert:
    """Wishes of the scripted expert; stands still for half a second at the end.

    Attributes:
        actor: what the script moves with.
    """

    def __init__(self, simulation: Simulation, scene: Scene, safety: SafetyConfig | None = None) -> None:
        """
        Args:
            simulation: the trial, whose poses the expert knows.
            scene: what it began with.
            safety: limits that the expert keeps; those of the rig when None.

        Raises:
            BadInput: the scene is for the left arm, for which there is no expert.
        """
        if scene.side != "right":
            raise BadInput("The experts are scripts for the right arm; sample the scene for it.")
        safety = safety or rig_safety(simulation.rig.config)
        self.actor = Actor(simulation, PathPlanner(safety))
        self._script, self._scene = self._whole(scene), scene
        self._sequence, self._is_over = 0, False

    def wish(self, reading: Reading, now_s: float) -> Wish | None:
        """The script's next target."""
        target: Any = next(self._script, None)
        if target is None:
            self._is_over = True
            return None
        self._sequence += 1
        return Wish(target.copy(), self._scene.side, self._sequence, now_s)

    def is_over(self, now_s: float) -> bool:
        """The script has ended."""
        return self._is_over

    def _whole(self, scene: Scene) -> Targets:
        yield from script_of(scene.task)(self.actor, scene)
        yield from self.actor.hold(STILL_S)


@dataclass(frozen=True)
class ExpertConfig:
    """How a trial is run.

    Attributes:
        fps: frames kept per second [1/s]; divides the loop's rate.
        longest_s: the trial is ended then.
        rig: arm and hand.
    """

    fps: float = 10.0
    longest_s: float = 25.0
    rig: RigConfig = field(default_factory=RigConfig)

    def __post_init__(self) -> None:
        ticks = 1.0 / (self.fps * CONTROL_PERIOD_S) if self.fps > 0 else 0.0
        if abs(ticks - round(ticks)) > 1e-6 or ticks < 1:
            raise BadInput(f"fps is {self.fps}; legal are whole parts of {1 / CONTROL_PERIOD_S:.0f}: 30, 15, 10, 6, 5…")
        if not 0 < self.longest_s <= 600:
            raise BadInput(f"longest_s is {self.longest_s}; legal are above 0 and at most 600 s.")

    @property
    def stride(self) -> int:
        """Ticks of the loop per frame."""
        return round(1.0 / (self.fps * CONTROL_PERIOD_S))


@dataclass(frozen=True, eq=False)
class Demonstration:
    """One trial of the expert.

    Attributes:
        scene: what it began with.
        outcome: judged by physics at the end.
        attempts: how many the script needed.
        duration_s: of the trial.
        measured: (frame, 19) angles at each frame [rad].
        commanded: (frame, 19) what the safety layer last cleared before the next frame [rad].
        snapshots: of the simulation at each frame.
        trace: all ticks of the loop.
        interventions: of the safety layer, ticks by reason.
    """

    scene: Scene
    outcome: Outcome
    attempts: int
    duration_s: float
    measured: Float[np.ndarray, "frame 19"]
    commanded: Float[np.ndarray, "frame 19"]
    snapshots: tuple[Snapshot, ...]
    trace: Trace
    interventions: dict[str, int]


def run_expert(scene: Scene, config: ExpertConfig | None = None) -> Demonstration:
    """Let the expert try a scene, through the control loop and the safety layer.

    Args:
        scene: of any task.
        config: rate of the frames, longest time.
    """
    config, clock = config or ExpertConfig(), ManualClock()
    simulation, safety = Simulation(scene, config.rig), rig_safety(config.rig)
    robot, gate = SimulatedRobot(simulation, clock), SafetyGate(safety)
    source = _Recorded(Expert(simulation, scene, safety), simulation, config.stride)
    trace = ControlLoop(robot, gate, clock, LoopConfig(config.longest_s)).run(source)
    commanded = trace.sent[trace.is_sent] if len(trace) else np.zeros((0, JOINTS))
    last = np.minimum(np.arange(len(source.snapshots)) * config.stride + config.stride - 1, len(commanded) - 1)
    return Demonstration(
        scene=scene,
        outcome=outcome(simulation, scene),
        attempts=source.expert.actor.attempts,
        duration_s=len(commanded) * CONTROL_PERIOD_S,
        measured=np.array(source.measured),
        commanded=commanded[last],
        snapshots=tuple(source.snapshots),
        trace=trace,
        interventions=dict(gate.journal.counts),
    )


class _Recorded:
    """An expert that is watched at every so many ticks."""

    def __init__(self, expert: Expert, simulation: Simulation, stride: int) -> None:
        self.expert, self._simulation, self._stride, self._ticks = expert, simulation, stride, 0
        self.measured: list[np.ndarray] = []
        self.snapshots: list[Snapshot] = []

    def wish(self, reading: Reading, now_s: float) -> Wish | None:
        found = self.expert.wish(reading, now_s)
        if found is not None and self._ticks % self._stride == 0:
            self.measured.append(reading.position)
            self.snapshots.append(self._simulation.snapshot())
        self._ticks += 1
        return found

    def is_over(self, now_s: float) -> bool:
        return self.expert.is_over(now_s)
