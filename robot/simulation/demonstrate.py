"""Demonstrations of the experts in the layout of VITRA-TeleData: successes only, failures counted, resumable."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from robot.arm import load_arm
from robot.safety.limits import ARM_JOINTS
from robot.simulation.driver import camera_in_base, sided_instruction
from robot.simulation.expert.run import Demonstration, ExpertConfig, run_expert
from robot.simulation.physics import Simulation
from robot.simulation.scene import SPLITS
from robot.simulation.tasks import TASKS, sample_scene
from robot.simulation.view import SceneView
from robot.teleop.check import check_tele
from robot.teleop.episode import TeleArm, TeleEpisode, placed
from robot.teleop.files import write_tele
from vitra_lib.core.errors import BadInput, UnknownName
from vitra_lib.core.files import write_text

LOG_NAME = "trials.json"


@dataclass(frozen=True)
class DemonstrateConfig:
    """What is demonstrated.

    Attributes:
        task: one of `TASKS`.
        episodes: successful demonstrations wanted.
        seed: of the first scene; the others follow.
        split: of the scenes.
        size_px: width and height of the pictures.
        most_failures: gives up after so many trials without success.
        expert: how trials are run.
    """

    task: str
    episodes: int = 10
    seed: int = 0
    split: str = "seen"
    size_px: int = 224
    most_failures: int = 100
    expert: ExpertConfig = field(default_factory=ExpertConfig)

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise UnknownName("task", self.task, TASKS)
        if self.split not in SPLITS:
            raise UnknownName("split", self.split, SPLITS)
        if self.episodes < 1 or self.seed < 0 or self.most_failures < 1 or not 32 <= self.size_px <= 1024:
            raise BadInput("episodes and most_failures must be 1 or more, seed 0 or more, size_px 32 to 1024.")


@dataclass(frozen=True)
class Trial:
    """What became of one scene.

    Attributes:
        task, split, seed: of the scene.
        success: the task was done.
        reason: what was missing, or "".
        attempts: of the expert.
        duration_s: of the trial.
        figures: of the outcome.
    """

    task: str
    split: str
    seed: int
    success: bool
    reason: str
    attempts: int
    duration_s: float
    figures: dict[str, float]

    @property
    def name(self) -> str:
        """Of the episode's files."""
        return f"{self.task}_{self.split}_{self.seed:06d}"


def demonstrate(root: str | Path, config: DemonstrateConfig) -> Iterator[Trial]:
    """Try scene after scene until enough succeeded; successes are written, all are entered into `trials.json`.

    Trials that stand in `trials.json` already are given again without being run.

    Args:
        root: the folder that gets `annotation`, `videos` and `trials.json`.
        config: task and number.

    Yields:
        Every trial, in the order of the seeds.

    Raises:
        BadInput: too many scenes failed, or an episode has a fault.
        WriteFailed: no permission, or the disk is full.
    """
    root = Path(root)
    successes = failures = 0
    seed = config.seed
    while successes < config.episodes:
        trial = _known(root, config, seed)
        if trial is None:
            trial = _tried(root, config, seed)
        yield trial
        successes, failures = successes + trial.success, failures + (not trial.success)
        if failures >= config.most_failures:
            raise BadInput(
                f"{failures} scenes of {config.task} failed and {successes} succeeded; "
                f"wanted were {config.episodes}. What is there is kept; see {LOG_NAME}."
            )
        seed += 1


def _tried(root: Path, config: DemonstrateConfig, seed: int) -> Trial:
    demonstration = run_expert(sample_scene(config.task, seed, config.split), config.expert)
    outcome = demonstration.outcome
    trial = Trial(
        config.task, config.split, seed, outcome.success, outcome.reason, demonstration.attempts,
        round(demonstration.duration_s, 3), {name: round(value, 5) for name, value in outcome.figures.items()},
    )  # fmt: skip
    if outcome.success:
        episode = tele_episode(demonstration, trial.name, config.expert, config.size_px)
        faults = check_tele(episode)
        if faults:
            first = faults[0]
            raise BadInput(f"The demonstration {trial.name} has a fault: {first.reason}, {first.where}: {first.detail}")
        write_tele(root, episode, pictures(demonstration, config.expert, config.size_px))
    _enter(root, trial)
    return trial


def tele_episode(demonstration: Demonstration, name: str, config: ExpertConfig, size_px: int) -> TeleEpisode:
    """A demonstration as an episode of TeleData.

    Args:
        demonstration: of one arm.
        name: of its files.
        config: with which it was run.
        size_px: width and height of its pictures.
    """
    scene, frames = demonstration.scene, len(demonstration.snapshots)
    valid = np.ones(frames, bool)
    arm, hand = slice(None, ARM_JOINTS), slice(ARM_JOINTS, None)
    zeros = np.zeros((frames, 6))
    values = TeleArm(
        T_flange_mount=config.rig.T_flange_mount,
        T_base_cam=camera_in_base(scene),
        arm_rad=demonstration.measured[:, arm],
        hand_rad=demonstration.measured[:, hand],
        mount_in_base=zeros,
        mount_in_cam=zeros,
        arm_command_rad=demonstration.commanded[:, arm],
        hand_command_rad=demonstration.commanded[:, hand],
        arm_is_valid=valid,
        hand_is_valid=valid.copy(),
    )
    values = placed(values, load_arm(config.rig.variant).forward(values.arm_rad))
    absent, is_right = TeleArm.absent(frames), scene.side == "right"
    return TeleEpisode(
        name=name,
        instruction=sided_instruction(scene),
        video_path=f"videos/{name}.mp4",
        fps=config.fps,
        K_px=scene.camera.K_px(size_px, size_px),
        has_left=not is_right,
        has_right=is_right,
        left=absent if is_right else values,
        right=values if is_right else absent,
    )


def pictures(
    demonstration: Demonstration, config: ExpertConfig, size_px: int
) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
    """What the head camera saw, frame by frame."""
    simulation, view = Simulation(demonstration.scene, config.rig), SceneView(demonstration.scene, config.rig)
    for snapshot in demonstration.snapshots:
        simulation.restore(snapshot)
        yield view.picture(simulation, size_px, size_px).image


def read_trials(root: str | Path) -> tuple[Trial, ...]:
    """All trials of a folder, in the order in which they were run; none where there is no log.

    Raises:
        BadInput: the log is damaged.
    """
    path = Path(root) / LOG_NAME
    if not path.is_file():
        return ()
    try:
        return tuple(Trial(**row) for row in json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise BadInput(f"{path} is not a log of trials ({error}); remove it to begin anew.") from error


def _known(root: Path, config: DemonstrateConfig, seed: int) -> Trial | None:
    """The trial of an earlier run; a success counts only with its files."""
    for trial in read_trials(root):
        if (trial.task, trial.split, trial.seed) == (config.task, config.split, seed):
            if not trial.success or (root / "annotation" / f"{trial.name}.h5").is_file():
                return trial
    return None


def _enter(root: Path, trial: Trial) -> None:
    kept = [other for other in read_trials(root) if other.name != trial.name]
    write_text(root / LOG_NAME, json.dumps([asdict(row) for row in (*kept, trial)], indent=1) + "\n")
