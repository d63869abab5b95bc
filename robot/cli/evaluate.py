"""`vitra robot evaluate --checkpoint POLICY --task T|all --trials N --out DIR`: trials in simulation, closed loop.

The folder gets trials.csv with one row per trial. Finished trials are kept: the same command goes on where it was
stopped. Shares of success have Wilson's 95 % intervals.
"""

import argparse
from pathlib import Path

NAME = "evaluate"
HELP = "try a policy on tasks in simulation: a log of trials, and success with intervals"
ALL = "all"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the sub-verb."""
    parser.add_argument(
        "--checkpoint", required=True, metavar="POLICY", help="folder of a fine-tuned policy, or hold: one that rests"
    )
    parser.add_argument("--task", default=ALL, help="a task, several with commas, or all")
    parser.add_argument("--trials", type=int, default=10, help="trials of each task")
    parser.add_argument("--split", default="seen", help="seen, unseen-object, unseen-background or unseen-category")
    parser.add_argument("--seed", type=int, default=0, help="the same seed, the same scenes and the same rows")
    parser.add_argument("--out", type=Path, required=True, help="folder of the log; what is there goes on")
    parser.add_argument("--video", action="store_true", help="write the head camera's pictures of each trial as mp4")
    parser.add_argument("--duration", type=float, default=30.0, metavar="S", help="longest trial [s]")
    parser.add_argument("--latency", type=float, default=0.1, metavar="S", help="from asking to the answer [s]")
    parser.add_argument("--ask-every", type=float, default=0.8, metavar="S", help="time between questions [s]")
    parser.add_argument("--guidance", type=float, default=None, help="of sampling (default: by the policy's profile)")
    parser.add_argument("--device", default="cpu", help="where the policy computes")
    parser.add_argument("--record", default=None, metavar="NAME", help="write the figures as results/records/NAME.json")
    parser.add_argument("--records", type=Path, default=Path("results/records"), help="folder of the record")


def run(args: argparse.Namespace) -> int:
    """Run what is missing, and sum up the rows of these trials."""
    from robot.learning.evaluate import TrialConfig, open_asked, run_trials, trial_scenes
    from robot.learning.trials import ROWS, trial_figures
    from robot.simulation.tasks import TASKS
    from vitra_lib.core.errors import UnknownName

    tasks = tuple(TASKS) if args.task == ALL else tuple(name.strip() for name in args.task.split(","))
    for task in tasks:
        if task not in TASKS:
            raise UnknownName("task", task, (*TASKS, ALL))
    config = TrialConfig(args.duration, args.latency, args.ask_every, guidance=args.guidance)
    policy = open_asked(args.checkpoint, config, args.device)
    scenes = trial_scenes(tasks, args.split, args.trials, args.seed)
    log = run_trials(policy, scenes, args.out, config, args.video, progress=True)
    mine = [trial for trial in log.trials if trial.key in set(scenes)]
    figures = trial_figures(mine)
    for figure in figures:
        interval = "" if figure.ci95 is None else f"  [{figure.ci95[0]:.3f}, {figure.ci95[1]:.3f}]"
        print(f"  {figure.name:44s} {figure.value:8.3f} {figure.unit:6s}{interval}  n = {figure.n}")
    print(args.out / ROWS)
    if args.record is not None:
        print(_record(args, figures, log))
    return 0


def _record(args: argparse.Namespace, figures: list, log) -> Path:  # noqa: ANN001 - `TrialLog`, imported where it is made
    import json

    from robot.learning.trials import ROWS, SETTINGS
    from vitra_lib.runs.records import write_figures_record

    parameters = json.loads((log.folder / SETTINGS).read_text(encoding="utf-8"))
    parameters |= {"task": args.task, "split": args.split, "trials": args.trials, "seed": args.seed}
    return write_figures_record(args.record, figures, parameters, {"trials": log.folder / ROWS}, args.records)
