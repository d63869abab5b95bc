"""Does pretraining on human hands help a robot? The same fine-tuning from several beginnings, scored side by side.

The paper's comparison in shape: no pretraining, and pretraining on growing shares of the human episodes. Every arm
sees the same demonstrations in the same order for as many steps, and is scored on the same pictures and scenes. What
comes out is what is reported; with few trials an interval says how little they tell.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from robot.learning.finetune import POLICY, FinetuneConfig, FinetuneRun, finetune
from robot.learning.offline import ChunkErrors, OfflineConfig, scores, windows_of
from robot.learning.trials import Trial, mean_figure, success_of, trial_figures
from robot.serving.hand_policy import PolicyFiles, open_policy
from robot.teleop.files import TeleData
from robot.teleop.statistics import tele_statistics
from vitra_lib.core.errors import BadInput
from vitra_lib.evaluation.accuracy import Figure
from vitra_lib.policy.checkpoint import read_description
from vitra_lib.policy.config import SamplingConfig

_log = logging.getLogger(__name__)
NONE = "none"
PARTIAL = ("nearest_m", "touched_s", "raised_m")


@dataclass(frozen=True)
class Arm:
    """One beginning.

    Attributes:
        name: how tables call it: "none", "10 %"…
        start: its policy; None for random weights.
    """

    name: str
    start: Path | None

    @classmethod
    def parse(cls, text: str) -> "Arm":
        """ "none", or "NAME=FOLDER".

        Raises:
            BadInput: neither.
        """
        if text == NONE:
            return cls(NONE, None)
        name, equals, folder = text.partition("=")
        if not equals or not name.strip() or not folder.strip():
            raise BadInput(f"{text!r} names no beginning; write none, or NAME=FOLDER of a pretrained policy.")
        return cls(name.strip(), Path(folder.strip()))


@dataclass(frozen=True, eq=False)
class Comparison:
    """What is compared, and where.

    Attributes:
        demonstrations: folder of TeleData.
        folder: gets a run per arm, and the logs of their trials.
        arms: beginnings, in the order of the tables; the first is what the others are measured against.
        config: the fine-tuning, the same for all.
        offline: pictures of the demonstrations that were kept back.
        guidance: of sampling.
        tasks, splits, trials, seed: of the trials of each arm; none with trials = 0.
        duration_s: longest trial [s].
    """

    demonstrations: Path
    folder: Path
    arms: tuple[Arm, ...]
    config: FinetuneConfig
    offline: OfflineConfig = field(default_factory=OfflineConfig)
    guidance: float = 1.5
    tasks: tuple[str, ...] = ()
    splits: tuple[str, ...] = ("seen",)
    trials: int = 0
    seed: int = 0
    duration_s: float = 20.0

    def __post_init__(self) -> None:
        names = [arm.name for arm in self.arms]
        if len(names) < 2 or len(set(names)) != len(names):
            raise BadInput(f"A comparison needs two arms or more of different names, not {', '.join(names) or 'none'}.")
        if self.config.held_out == 0:
            raise BadInput("A comparison needs demonstrations that are kept back; held_out must be above 0.")


def compare(comparison: Comparison, progress: bool = False) -> list[Figure]:
    """Fine-tune every arm, score it, and put the figures side by side; what is finished is used again.

    Args:
        comparison: what is compared.
        progress: show bars.

    Raises:
        BadInput: broken inputs, or a folder that holds something else.
    """
    for arm in comparison.arms:
        _trained(comparison, arm, progress)
    figures = offline_figures(_offline(comparison), comparison.arms[0].name)
    if comparison.trials:
        figures += closed_loop_figures(
            {arm.name: _trials(comparison, arm, progress) for arm in comparison.arms}, comparison.arms[0].name
        )
    return figures


def run_folder(comparison: Comparison, arm: Arm) -> Path:
    """Where an arm's run is."""
    return comparison.folder / "".join(c if c.isalnum() else "-" for c in arm.name).strip("-")


def offline_figures(errors: Sequence[ChunkErrors], reference: str) -> list[Figure]:
    """Errors of every method, and of the others less the reference's, on the same pictures.

    Args:
        errors: of the arms and of the simple guesses.
        reference: name of the method that the others are measured against.
    """
    base = next(one for one in errors if one.method == reference)
    figures = [figure for one in errors for figure in one.figures()]
    figures += [figure for one in errors if one is not base for figure in one.minus(base)]
    return [replace(figure, name=f"offline / {figure.name}") for figure in figures]


def closed_loop_figures(trials: dict[str, Sequence[Trial]], reference: str) -> list[Figure]:
    """Success and partial progress of every arm over all tasks, and each arm's progress less the reference's.

    Differences are taken scene by scene, so that an easy scene counts for no one.

    Args:
        trials: of every arm, on the same scenes.
        reference: name of the arm that the others are measured against.

    Raises:
        BadInput: the arms were not tried on the same scenes.
    """
    figures: list[Figure] = []
    base = {trial.key: trial for trial in trials[reference]}
    for name, mine in trials.items():
        if {trial.key for trial in mine} != set(base):
            raise BadInput(f"{name} and {reference} were not tried on the same scenes; run the comparison again.")
        figures.append(success_of(mine).figure(f"closed loop / {name} / success"))
        figures += [
            replace(figure, name=f"closed loop / {name} / {figure.name}")
            for figure in trial_figures(mine)
            if not figure.name.startswith("mean over")
        ]
        for kind in PARTIAL:
            figures.append(
                mean_figure(f"closed loop / {name} / {kind}", [trial.figures.get(kind) for trial in mine], kind)
            )
            if name != reference:
                apart = [_less(trial.figures.get(kind), base[trial.key].figures.get(kind)) for trial in mine]
                figures.append(mean_figure(f"closed loop / {name} minus {reference} / {kind}", apart, kind))
    return figures


def _trained(comparison: Comparison, arm: Arm, progress: bool) -> Path:
    """The arm's policy, made if it is not there."""
    folder = run_folder(comparison, arm)
    if not (folder / POLICY).is_dir():
        _log.info("fine-tuning from %s", arm.name)
        run = FinetuneRun(folder, arm.start, (folder / "run.json").exists(), progress=progress)
        finetune(comparison.demonstrations, comparison.config, run)
    return folder / POLICY


def _offline(comparison: Comparison) -> list[ChunkErrors]:
    """All arms and the guesses on the demonstrations that no arm saw."""
    folders = {arm.name: run_folder(comparison, arm) / POLICY for arm in comparison.arms}
    kept = {tuple(read_description(folder)["facts"]["held_out"]) for folder in folders.values()}
    if len(kept) != 1:
        raise BadInput(f"The runs in {comparison.folder} kept back different demonstrations; start them anew.")
    sampling = SamplingConfig(guidance=comparison.guidance)
    data = TeleData.open(comparison.demonstrations)
    held_out = kept.pop()
    learned = TeleData(data.root, tuple(name for name in data.names if name not in held_out))
    windows = windows_of(TeleData(data.root, held_out), comparison.offline)
    policies = {name: open_policy(PolicyFiles(folder, "xhand"), "cpu", sampling) for name, folder in folders.items()}
    return scores(policies, windows, tele_statistics(learned).action_mean, comparison.offline.batch)


def _trials(comparison: Comparison, arm: Arm, progress: bool) -> tuple[Trial, ...]:
    """The arm's trials, those that are missing made."""
    from robot.learning.evaluate import TrialConfig, open_asked, run_trials, trial_scenes

    config = TrialConfig(duration_s=comparison.duration_s, guidance=comparison.guidance)
    folder = run_folder(comparison, arm)
    scenes = [
        scene
        for split in comparison.splits
        for scene in trial_scenes(comparison.tasks, split, comparison.trials, comparison.seed)
    ]
    log = run_trials(open_asked(folder / POLICY, config), scenes, folder / "trials", config, progress=progress)
    return tuple(trial for trial in log.trials if trial.key in set(scenes))


def _less(value: float | None, other: float | None) -> float | None:
    return None if value is None or other is None else value - other
