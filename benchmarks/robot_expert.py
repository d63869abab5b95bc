"""How often the scripted experts succeed in simulation, task by task, through the control loop and the safety layer.

    python benchmarks/robot_expert.py --trials 50

Scenes are those of the seeds 0 to 49 of a split. A success is judged by the physics at the end of the trial (see
`robot/simulation/tasks`). The record holds the shares with Wilson's 95 % intervals, the time that a trial takes in its
own world and on the machine, and how often a second or third attempt was needed.
"""

import argparse
import os
import time
from dataclasses import dataclass
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np  # noqa: E402

from robot.simulation.expert import ExpertConfig, run_expert  # noqa: E402
from robot.simulation.scene import SPLITS  # noqa: E402
from robot.simulation.tasks import TASKS, sample_scene  # noqa: E402
from vitra_lib.evaluation.accuracy import Figure  # noqa: E402
from vitra_lib.evaluation.proportions import Proportion  # noqa: E402
from vitra_lib.runs.records import write_figures_record  # noqa: E402

RECORDS = Path(__file__).resolve().parent.parent / "results" / "records"


@dataclass(frozen=True)
class Row:
    """One trial."""

    task: str
    success: bool
    attempts: int
    duration_s: float
    cpu_s: float
    reason: str


def trials(task: str, split: str, count: int, first: int) -> list[Row]:
    """Trials of one task, printed as they come."""
    rows = []
    for seed in range(first, first + count):
        start = time.process_time()
        done = run_expert(sample_scene(task, seed, split), ExpertConfig())
        cpu_s = time.process_time() - start
        rows.append(Row(task, done.outcome.success, done.attempts, done.duration_s, cpu_s, done.outcome.reason))
        said = "done" if done.outcome.success else f"FAILED: {done.outcome.reason}"
        print(f"{task} {split} {seed}: {said} ({done.attempts} attempts, {done.duration_s:.1f} s)", flush=True)
    return rows


def figures_of(rows: list[Row]) -> list[Figure]:
    """What the record holds about one task."""
    task, count = rows[0].task, len(rows)
    done = [row for row in rows if row.success]
    firsts = sum(row.success and row.attempts <= 1 for row in rows)
    found = [
        Proportion(len(done), count).figure(f"{task}.success"),
        Proportion(firsts, count).figure(f"{task}.success_at_first_attempt"),
        Figure(f"{task}.cpu_s_per_trial", float(np.mean([row.cpu_s for row in rows])), "s", count),
    ]
    if done:
        seconds = [row.duration_s for row in done]
        found.append(Figure(f"{task}.duration_s", float(np.median(seconds)), "s", len(done)))
        found.append(Figure(f"{task}.longest_s", float(np.max(seconds)), "s", len(done)))
    return found


def main() -> None:
    """Run, print a table, write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=50, help="scenes per task (default: 50)")
    parser.add_argument("--seed", type=int, default=0, help="of the first scene")
    parser.add_argument("--split", choices=SPLITS, default="seen")
    parser.add_argument("--task", action="append", choices=TASKS, help="repeat for more; all when left out")
    parser.add_argument("--records", type=Path, default=RECORDS, help="folder of the record")
    args = parser.parse_args()
    figures: list[Figure] = []
    name = "robot.expert" if args.split == "seen" else f"robot.expert.{args.split}"
    parameters = {"trials": args.trials, "first_seed": args.seed, "split": args.split, "tasks": []}
    for task in args.task or TASKS:
        figures += figures_of(trials(task, args.split, args.trials, args.seed))
        parameters["tasks"].append(task)
        path = write_figures_record(name, figures, parameters, {}, args.records)  # what is measured is kept
    print(f"\n{'figure':44s} {'value':>8s}  95 % interval")
    for figure in figures:
        interval = f"{figure.ci95[0]:.3f} to {figure.ci95[1]:.3f}" if figure.ci95 else ""
        print(f"{figure.name:44s} {figure.value:8.3f}  {interval}")
    print(path)


if __name__ == "__main__":
    main()
