"""`vitra robot compare --demonstrations FOLDER --start none --start 100%=POLICY --out DIR`: does pretraining help?

The same fine-tuning from several beginnings; each is scored on demonstrations that were kept back, and in trials in
simulation. What is finished is used again, so the same command goes on where it was stopped.
"""

import argparse
from pathlib import Path

NAME = "compare"
HELP = "fine-tune from several beginnings and score them side by side"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the sub-verb."""
    parser.add_argument(
        "--demonstrations", type=Path, required=True, metavar="FOLDER", help="TeleData: annotation/ and videos/"
    )
    parser.add_argument(
        "--start", action="append", required=True, metavar="NAME=POLICY",
        help="a beginning: none, or NAME=FOLDER of a pretrained policy; the others are measured against the first",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, help="folder of runs and logs; what is there goes on")
    parser.add_argument("--recipe", default="tiny", help="tiny, small or paper; also the policies' profile")
    parser.add_argument("--steps", type=int, default=None, help="optimizer steps in place of the recipe's")
    parser.add_argument("--held-out", type=float, default=0.15, metavar="SHARE", help="demonstrations kept for scoring")
    parser.add_argument("--windows", type=int, default=96, help="pictures of them that are asked about")
    parser.add_argument("--guidance", type=float, default=1.5, help="of sampling")
    parser.add_argument("--task", default="all", help="of the trials: a task, several with commas, or all")
    parser.add_argument("--split", default="seen", help="of the trials: seen, unseen-object…, several with commas")
    parser.add_argument("--trials", type=int, default=0, help="trials of each task, split and beginning; 0 for none")
    parser.add_argument("--duration", type=float, default=20.0, metavar="S", help="longest trial [s]")
    parser.add_argument("--seed", type=int, default=0, help="of training and trials")
    parser.add_argument("--record", default=None, metavar="NAME", help="name of the record (robot.pretraining.tiny)")
    parser.add_argument("--records", type=Path, default=Path("results/records"), help="folder of the record")


def run(args: argparse.Namespace) -> int:
    """Compare, print the figures, and write the record."""
    from dataclasses import replace

    from robot.learning.comparison import Arm, Comparison, compare
    from robot.learning.finetune import FinetuneConfig
    from robot.learning.offline import OfflineConfig
    from vitra_lib.runs.records import write_figures_record

    tasks: tuple[str, ...] = ()
    if args.trials:
        from robot.simulation.tasks import TASKS

        tasks = tuple(TASKS) if args.task == "all" else tuple(args.task.split(","))
    config = replace(FinetuneConfig.recipe(args.recipe, args.steps, args.seed), held_out=args.held_out)
    arms = tuple(Arm.parse(text) for text in args.start)
    comparison = Comparison(
        args.demonstrations, args.out, arms, config, OfflineConfig(args.windows), args.guidance, tasks,
        tuple(args.split.split(",")), args.trials, args.seed, args.duration,
    )  # fmt: skip
    figures = compare(comparison, progress=True)
    for figure in figures:
        interval = "" if figure.ci95 is None else f"  [{figure.ci95[0]:.3f}, {figure.ci95[1]:.3f}]"
        print(f"  {figure.name:64s} {figure.value:8.3f} {figure.unit:6s}{interval}  n = {figure.n}")
    if args.record is not None:
        names = ("recipe", "guidance", "windows", "task", "split", "trials", "duration", "seed", "held_out")
        parameters = {name: getattr(args, name) for name in names}
        parameters |= {"steps": config.training.steps, "arms": [arm.name for arm in arms]}
        inputs = {arm.name: arm.start / "weights.safetensors" for arm in arms if arm.start is not None}
        inputs |= {"demonstrations": args.demonstrations}
        print(write_figures_record(args.record, figures, parameters, inputs, args.records))
    return 0
