"""The log of trials: one row per trial in a CSV file, kept from run to run, and what it says with Wilson intervals."""

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vitra_lib.core.errors import BadInput, UnknownName
from vitra_lib.core.files import atomic_path, write_json
from vitra_lib.evaluation.accuracy import Figure
from vitra_lib.evaluation.hand_actions import mean_interval
from vitra_lib.evaluation.proportions import Proportion

OUTCOMES = ("success", "failure", "stopped", "fault")
"""Done; not done in time; the safety layer stopped the robot; hardware or policy failed."""
COLUMNS = "task split seed outcome reason duration_s interventions answers figures video".split()
_UNITS = {
    "m_s": "m/s", "m": "m", "s": "s", "rad": "rad", "deg": "deg", "n": "N", "share": "share", "ticks": "ticks",
}  # fmt: skip
ROWS, SETTINGS = "trials.csv", "settings.json"


@dataclass(frozen=True)
class Trial:
    """One trial.

    Attributes:
        task, split, seed: which scene.
        outcome: one of `OUTCOMES`; success is judged by physics alone.
        reason: one sentence on how it ended.
        duration_s: simulated time from the first command on.
        interventions: ticks in which the safety layer changed or refused what was wished for.
        answers: chunks that the policy gave.
        figures: how far it came, by name ("lifted_m"…), as the task defines them.
        video: file beside the log, or "".
    """

    task: str
    split: str
    seed: int
    outcome: str
    reason: str
    duration_s: float
    interventions: int
    answers: int
    figures: dict[str, float] = field(default_factory=dict)
    video: str = ""

    def __post_init__(self) -> None:
        if self.outcome not in OUTCOMES:
            raise UnknownName("outcome", self.outcome, OUTCOMES)

    @property
    def key(self) -> tuple[str, str, int]:
        """What makes it the same trial."""
        return self.task, self.split, self.seed

    @property
    def is_success(self) -> bool:
        """Whether the task was done."""
        return self.outcome == "success"

    def to_row(self) -> dict[str, str]:
        """As the file has it."""
        figures = "; ".join(f"{name}={value:.6g}" for name, value in sorted(self.figures.items()))
        plain = {name: str(getattr(self, name)) for name in COLUMNS}
        return plain | {"duration_s": f"{self.duration_s:.3f}", "figures": figures}

    @classmethod
    def of_row(cls, row: dict[str, str]) -> "Trial":
        """Inverse of `to_row`.

        Raises:
            BadInput: a column is missing or is no number where one is needed.
        """
        try:
            pairs = [item.split("=", 1) for item in row["figures"].split("; ") if item]
            return cls(
                row["task"], row["split"], int(row["seed"]), row["outcome"], row["reason"], float(row["duration_s"]),
                int(row["interventions"]), int(row["answers"]), {name: float(value) for name, value in pairs},
                row["video"],
            )  # fmt: skip
        except (KeyError, TypeError, ValueError) as error:
            raise BadInput(
                f"A row of the trial log is damaged ({error}); delete it, and the trial is done again."
            ) from None


class TrialLog:
    """A folder with `trials.csv`, `settings.json` and the videos. Finished trials stay; the others are done."""

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        """Open a log, or begin one.

        Args:
            folder: of the log.
            settings: all that decides how a trial goes, besides its task, split and seed; plain values.

        Raises:
            BadInput: the folder holds trials of other settings, or a damaged log.
        """
        self.folder = folder
        path = folder / SETTINGS
        wanted = json.loads(json.dumps(settings))
        if path.is_file():
            before = json.loads(path.read_text(encoding="utf-8"))
            if differing := [
                name for name in sorted(set(before) | set(wanted)) if before.get(name) != wanted.get(name)
            ]:
                name = differing[0]
                raise BadInput(
                    f"The trials in {folder} were done with {name} {before.get(name)}, not {wanted.get(name)}; name "
                    "another folder, or use the same settings."
                )
        else:
            folder.mkdir(parents=True, exist_ok=True)
            write_json(path, wanted)
        self._trials = {trial.key: trial for trial in read_trials(folder)}

    @property
    def trials(self) -> tuple[Trial, ...]:
        """What is there, in the order of task, split and seed."""
        return tuple(self._trials[key] for key in sorted(self._trials))

    def has(self, task: str, split: str, seed: int) -> bool:
        """Whether a trial was done."""
        return (task, split, seed) in self._trials

    def add(self, trial: Trial) -> None:
        """Write a trial; the file is whole at every moment, and the same trials give the same bytes.

        Raises:
            WriteFailed: the file can't be written.
        """
        self._trials[trial.key] = trial
        with atomic_path(self.folder / ROWS) as part, part.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(one.to_row() for one in self.trials)


def read_trials(folder: Path) -> tuple[Trial, ...]:
    """The trials of a log; none where there is no file yet.

    Raises:
        BadInput: a damaged row.
    """
    path = folder / ROWS
    if not path.is_file():
        return ()
    with path.open(newline="", encoding="utf-8") as stream:
        return tuple(Trial.of_row(row) for row in csv.DictReader(stream))


def trial_figures(trials: Sequence[Trial]) -> list[Figure]:
    """Success with Wilson's interval, per task and over all, and how far trials came with resampled intervals.

    The mean over tasks is not weighted, as in the paper's tables; it has an interval where all tasks have as many
    trials, for then it is the share of all trials.

    Raises:
        BadInput: there are no trials.
    """
    if not trials:
        raise BadInput("There are no trials to sum up.")
    tasks = sorted({trial.task for trial in trials})
    figures: list[Figure] = []
    for task in tasks:
        mine = [trial for trial in trials if trial.task == task]
        figures.append(success_of(mine).figure(f"{task} / success"))
        for name in sorted({name for trial in mine for name in trial.figures}):
            figures.append(
                mean_figure(f"{task} / {name}", [trial.figures[name] for trial in mine if name in trial.figures], name)
            )
        figures.append(mean_figure(f"{task} / duration", [trial.duration_s for trial in mine], "s"))
        figures.append(mean_figure(f"{task} / interventions", [float(trial.interventions) for trial in mine], "ticks"))
    if len(tasks) > 1:
        shares = [success_of([trial for trial in trials if trial.task == task]) for task in tasks]
        even = len({share.trials for share in shares}) == 1
        interval = success_of(trials).interval() if even else None
        mean = float(np.mean([share.share for share in shares]))
        figures.append(Figure("mean over tasks / success", mean, "share", len(trials), interval))
    return figures


def success_of(trials: Iterable[Trial]) -> Proportion:
    """How many of some trials succeeded."""
    listed = list(trials)
    return Proportion(sum(trial.is_success for trial in listed), len(listed))


def mean_figure(name: str, values: Sequence[float | None], unit: str) -> Figure:
    """Mean over trials with a resampled interval; trials without a value are left out.

    Args:
        name: of the figure.
        values: one per trial.
        unit: the unit itself, or a name that ends with it ("lifted_m", "speed_m_s"); "1" where it ends with none.
    """
    table = np.array([np.nan if value is None else value for value in values], float)
    mean, count, interval = mean_interval(table, np.arange(len(table)))
    told = next((symbol for suffix, symbol in _UNITS.items() if f"_{unit}".endswith(f"_{suffix}")), "1")
    return Figure(name, mean, told, count, interval)
