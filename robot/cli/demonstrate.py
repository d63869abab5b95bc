"""`vitra robot demonstrate`: the scripted experts solve tasks in simulation; successes become TeleData episodes."""

import argparse
from pathlib import Path

NAME = "demonstrate"
HELP = "let the scripted experts solve tasks in simulation and write demonstrations as TeleData"
_SPLITS = ("seen", "unseen-object", "unseen-background", "unseen-category")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the sub-verb."""
    parser.add_argument("--task", default="all", help="pick-place, functional-grasp, pour, sweep, or all (default)")
    parser.add_argument("--episodes", type=int, default=10, help="successful demonstrations per task (default: 10)")
    parser.add_argument("--seed", type=int, default=0, help="of the first scene (default: 0)")
    parser.add_argument("--split", choices=_SPLITS, default="seen", help="of the scenes (default: seen)")
    parser.add_argument("--fps", type=float, default=10.0, help="frames per second: 30, 15, 10, 6 or 5 (default: 10)")
    parser.add_argument("--size", type=int, default=224, metavar="PX", help="side of the pictures (default: 224)")
    parser.add_argument("--out", type=Path, required=True, help="folder; trials that stand there already are kept")


def run(args: argparse.Namespace) -> int:
    """Run trial after trial, and print one line for each and the account per task."""
    from collections import Counter

    from robot.simulation.demonstrate import DemonstrateConfig, demonstrate
    from robot.simulation.expert.run import ExpertConfig
    from robot.simulation.tasks import TASKS

    expert = ExpertConfig(fps=args.fps)
    tasks = TASKS if args.task == "all" else (args.task,)
    configs = [
        DemonstrateConfig(task, args.episodes, args.seed, args.split, args.size, expert=expert) for task in tasks
    ]
    for config in configs:
        done: Counter[bool] = Counter()
        for trial in demonstrate(args.out, config):
            done[trial.success] += 1
            said = f"done in {trial.duration_s:.1f} s" if trial.success else f"FAILED: {trial.reason}"
            again = f", attempt {trial.attempts}" if trial.attempts > 1 else ""
            print(f"{trial.name}: {said}{again}", flush=True)
        print(f"{config.task}: {done[True]} of {sum(done.values())} trials succeeded")
    print(args.out)
    return 0
