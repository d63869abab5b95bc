"""Trials of a policy in simulation: closed loop through the safety layer, one row of a log per trial.

Every trial is a scene of its own that no demonstration shows, and runs on a simulated clock: the policy is asked in
this process and its answer comes after a stated latency. Success is what the task's physics say, never the policy.
"""

import logging
import zlib
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from robot.arm import load_arm
from robot.execution.broker import BrokerConfig
from robot.execution.loop import ControlLoop, LoopConfig
from robot.execution.policy_source import Ask, AskConfig, PolicySource
from robot.execution.worker import DelayedWorker
from robot.learning.finetune import FRAME_RATE
from robot.learning.trials import OUTCOMES, Trial, TrialLog
from robot.safety.gate import Reading, SafetyGate, Wish
from robot.safety.limits import ARM_JOINTS
from robot.simulation.driver import DriverConfig, SimulatedRig, open_simulation
from robot.simulation.film import FilmedSource
from robot.simulation.scene import SPLITS, Scene
from robot.simulation.tasks import TASKS, Outcome, outcome, sample_scene
from vitra_lib.core.errors import BadInput, UnknownName, VitraError
from vitra_lib.core.files import sha256_of
from vitra_lib.policy.checkpoint import WEIGHTS, read_description

_log = logging.getLogger(__name__)
FIRST_SEED = 1_000_000
"""Scenes of trials are numbered from here on; demonstrations are recorded below."""
HOLD = "hold"
GUIDANCE = {"paper": 5.0}
"""Guidance by profile where none is given; 1.5 for the others, which learn too little without a condition for more."""
_LOOK_S = 0.1


@dataclass(frozen=True)
class TrialConfig:
    """How a trial goes.

    Attributes:
        duration_s: longest trial [s].
        latency_s: from asking the policy to its answer [s].
        ask_every_s: the policy is asked anew so often [s]; more often where its chunks are shorter.
        width_px, height_px: of the head camera's pictures.
        steps: of denoising.
        guidance: of sampling; by the policy's profile when None.
        lost_rad: a wish this far ahead of the measured arm is given up, and the policy asked from where the arm is.
    """

    duration_s: float = 30.0
    latency_s: float = 0.1
    ask_every_s: float = 0.8
    width_px: int = 224
    height_px: int = 224
    steps: int = 10
    guidance: float | None = None
    lost_rad: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.duration_s <= 600 or not 0 <= self.latency_s < 1 or not self.ask_every_s > 0:
            raise BadInput("duration_s must be in (0, 600], latency_s in [0, 1) and ask_every_s above 0.")
        if self.ask_every_s + self.latency_s > 0.95:
            raise BadInput("ask_every_s and latency_s together must be below 0.95: older answers are refused as stale.")
        if min(self.width_px, self.height_px) < 32 or not self.lost_rad > 0:
            raise BadInput("Pictures need at least 32 pixels on each side, and lost_rad must be above 0.")


@dataclass(frozen=True, eq=False)
class AskedPolicy:
    """A policy that can be asked, and what must be known of it.

    Attributes:
        ask: with a seed for the noise.
        step_s: time of one step of its chunks [s].
        chunk: steps of a chunk.
        settings: what it is, for the log.
    """

    ask: Ask
    step_s: float
    chunk: int
    settings: dict[str, Any]


def open_asked(policy: str | Path, config: TrialConfig, device: str = "cpu") -> AskedPolicy:
    """Open a fine-tuned checkpoint, or the policy that holds still.

    Args:
        policy: folder of a checkpoint of `finetune`, or "hold".
        config: steps and guidance of sampling.
        device: where it computes.

    Raises:
        BadInput: no such folder, a damaged checkpoint, or one that was not fine-tuned on a robot.
    """
    from robot.execution.askers import ask_checkpoint, ask_hold

    if str(policy) == HOLD:
        return AskedPolicy(ask_hold(), 0.1, 16, {"policy": HOLD})
    folder = Path(policy)
    described = read_description(folder)
    facts, profile = described.get("facts", {}), described["config"].get("profile", "")
    if FRAME_RATE not in facts or not isinstance(facts[FRAME_RATE], int | float):
        raise BadInput(f"{folder} was not fine-tuned on a robot's demonstrations; do so with `vitra robot finetune`.")
    guidance = GUIDANCE.get(profile, 1.5) if config.guidance is None else config.guidance
    ask = ask_checkpoint(folder, device, config.steps, guidance)
    settings = {"policy": sha256_of(folder / WEIGHTS), "guidance": guidance}
    chunk = int(described["config"]["denoiser"]["chunk"])
    return AskedPolicy(ask, 1.0 / float(facts[FRAME_RATE]), chunk, settings)


def run_trials(
    policy: AskedPolicy,
    scenes: Sequence[tuple[str, str, int]],
    folder: Path,
    config: TrialConfig | None = None,
    with_video: bool = False,
    progress: bool = False,
) -> TrialLog:
    """Run what is not in the log yet.

    Args:
        policy: who is tried.
        scenes: (task, split, seed) of each trial.
        folder: of the log.
        config: how a trial goes.
        with_video: write an mp4 per trial.
        progress: show a bar.

    Raises:
        UnknownName: no such task or split.
        BadInput: the folder holds trials of other settings.
    """
    from tqdm import tqdm

    config = config or TrialConfig()
    for task, split, _ in scenes:
        if task not in TASKS:
            raise UnknownName("task", task, TASKS)
        if split not in SPLITS:
            raise UnknownName("split", split, SPLITS)
    settings = asdict(config) | policy.settings
    log = TrialLog(folder, settings)
    missing = [one for one in scenes if not log.has(*one)]
    for task, split, seed in tqdm(missing, desc="trials", unit="trial", disable=not progress):
        video = folder / f"{task}_{split}_{seed}.mp4" if with_video else None
        trial = run_trial(policy, sample_scene(task, seed, split), config, video)
        log.add(trial)
        _log.info("%s, %s, seed %d: %s (%s)", task, split, seed, trial.outcome, trial.reason)
    return log


def trial_scenes(tasks: Sequence[str], split: str, trials: int, seed: int = 0) -> list[tuple[str, str, int]]:
    """(task, split, seed) of so many trials of each task; the same seed, the same scenes.

    Raises:
        BadInput: no trial, or a negative seed.
    """
    if trials < 1 or seed < 0:
        raise BadInput(f"trials is {trials}, seed {seed}; legal are from 1 and from 0.")
    return [(task, split, FIRST_SEED + seed + number) for task in tasks for number in range(trials)]


def run_trial(policy: AskedPolicy, scene: Scene, config: TrialConfig, video: Path | None = None) -> Trial:
    """One trial from the scene's first moment to success, to the end of its time, or to a stop.

    Args:
        policy: who is tried.
        scene: what it begins with.
        config: how the trial goes.
        video: file of the head camera's pictures, ten per second; none when None.
    """
    rig = open_simulation(scene, driver=DriverConfig(width_px=config.width_px, height_px=config.height_px))
    gate = SafetyGate(rig.safety)
    # Steps that the next chunk replaces before they are due are not turned into angles; two more for safety.
    played = min(policy.chunk, int(np.ceil((config.ask_every_s + config.latency_s) / policy.step_s)) + 2)
    left_s = max(played * policy.step_s - config.ask_every_s, config.latency_s + policy.step_s)
    asking = AskConfig(policy.step_s, left_s, broker=BrokerConfig("latest"))
    worker = DelayedWorker(rig.clock, config.latency_s)
    source = PolicySource(rig.setup, load_arm(), rig.camera, _seeded(policy.ask, scene, played), worker, asking)
    watched = WatchedSource(source, rig, scene, config.lost_rad)
    size_px, fps = (config.width_px, config.height_px), 1.0 / _LOOK_S
    film = nullcontext(watched) if video is None else FilmedSource(watched, rig, video, fps, size_px)
    with film as shown:
        try:
            trace = ControlLoop(rig.robot, gate, rig.clock, LoopConfig(config.duration_s)).run(shown)
            ending, fault, duration_s, reasons = trace.ending, trace.fault, float(trace.time_s[-1]), trace.reasons
        except VitraError as error:  # of the policy, before anything moved
            ending, fault, duration_s, reasons = "fault", str(error), 0.0, np.zeros(0)
    final = watched.reached or outcome(rig.simulation, scene)
    ended = "success" if final.success else ending if ending in OUTCOMES else "failure"
    reason = {"stopped": f"the safety layer stopped the robot; {final.reason}", "fault": fault}
    return Trial(
        task=scene.task,
        split=scene.split,
        seed=scene.seed,
        outcome=ended,
        reason=" ".join(reason.get(ended, final.reason).split()),
        duration_s=duration_s,
        interventions=int(np.count_nonzero(reasons)),
        answers=source.answers,
        figures=watched.progress() | {name: float(value) for name, value in final.figures.items()},
        video=video.name if video is not None else "",
    )


class WatchedSource:
    """A policy's wishes, and how far they bring the robot: ends with success, and gives up a wish that was lost.

    A chunk continues what was wished for before it. Where the safety layer held the robot back, that runs away from
    the robot, and no later answer would fetch it home; so beyond a distance the next chunk begins at the robot.

    Attributes:
        reached: the verdict that ended the trial; None while the task is not done.
    """

    def __init__(self, source: PolicySource, rig: SimulatedRig, scene: Scene, lost_rad: float) -> None:
        """
        Args:
            source: the policy's.
            rig: where it acts.
            scene: what is judged.
            lost_rad: so far may a wish be ahead of the measured arm.
        """
        self._source, self._rig, self._scene, self._lost_rad = source, rig, scene, lost_rad
        self._next_look_s = -np.inf
        self.reached: Outcome | None = None
        self._start = self._place()
        self._nearest_m, self._touched_s, self._highest_m = self._distance(), 0.0, 0.0

    def wish(self, reading: Reading, now_s: float) -> Wish | None:
        """What the policy wants."""
        wish = self._source.wish(reading, now_s)
        if wish is not None:
            ahead = np.abs(np.asarray(wish.values, float)[:ARM_JOINTS] - reading.position[:ARM_JOINTS])
            if ahead.max() > self._lost_rad:
                self._source.broker.clear()
        return wish

    def is_over(self, now_s: float) -> bool:
        """The task is done."""
        if now_s >= self._next_look_s - 1e-6:
            self._next_look_s = (now_s if np.isinf(self._next_look_s) else self._next_look_s) + _LOOK_S
            self._look()
        return self.reached is not None

    def progress(self) -> dict[str, float]:
        """How far it came: nearest to the target with thumb and index [m], time in touch with it [s], how high [m]."""
        if not self._scene.target:
            return {}
        return {"nearest_m": self._nearest_m, "touched_s": self._touched_s, "raised_m": self._highest_m}

    def _look(self) -> None:
        found = outcome(self._rig.simulation, self._scene)
        self.reached = found if found.success else None
        if self._scene.target:
            self._nearest_m = min(self._nearest_m, self._distance())
            self._highest_m = max(self._highest_m, float(self._place()[2] - self._start[2]))
            self._touched_s += _LOOK_S * bool(_FINGERS & set(self._rig.simulation.touching(self._scene.target)))

    def _place(self) -> Float[np.ndarray, "3"]:
        """Where the target is; the origin where there is none."""
        if not self._scene.target:
            return np.zeros(3)
        return self._rig.simulation.T_world_thing(self._scene.target)[:3, 3]

    def _distance(self) -> float:
        """From the middle between the tips of thumb and index to the target [m]."""
        if not self._scene.target:
            return float("nan")
        return float(np.linalg.norm(self._rig.simulation.tips_world[:2].mean(0) - self._place()))


_FINGERS = {"palm", "thumb", "index", "middle", "ring", "pinky"}


def _seeded(ask: Ask, scene: Scene, played: int) -> Ask:
    """The first steps of the policy's answers, with noise of its own for every question; the same in every run."""
    first = zlib.crc32(f"{scene.task} {scene.split} {scene.seed}".encode())
    count = 0

    def asked(observation: dict[str, Any], settled: Float[np.ndarray, "known 36"]) -> Float[np.ndarray, "chunk 36"]:
        nonlocal count
        count += 1
        return ask(observation | {"seed": first + count}, settled)[:played]

    return asked
