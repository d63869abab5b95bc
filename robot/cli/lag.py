"""`vitra robot lag DATASET`: how long a recorded robot takes to do what it is told, joint by joint."""

import argparse
from pathlib import Path

NAME = "lag"
HELP = "measure the delay between commands and measured angles of a LeRobot dataset"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("dataset", type=Path, help="a LeRobot dataset (v2.0, v2.1 or v3.0), or a folder of TeleData")
    parser.add_argument("--max-lag", type=float, default=0.5, help="longest delay looked for [s] (default: 0.5)")
    parser.add_argument("--min-range", type=float, default=0.2, help="joints that move less have no say (default: 0.2)")
    parser.add_argument("--records", type=Path, default=None, help="folder for a record of the delays (default: none)")


def run(args: argparse.Namespace) -> int:
    """Measure, print one line per joint, and what aligning the commands gains."""
    import numpy as np

    from robot.teleop.lag import LagConfig, align_commands, measure_lag
    from vitra_lib.evaluation.accuracy import Figure
    from vitra_lib.runs.records import write_figures_record

    names, commands, states, fps = _read(args.dataset)
    lag = measure_lag(commands, states, fps, LagConfig(args.max_lag, args.min_range))
    gained = []
    for command, state in zip(commands, states, strict=True):
        aligned, valid = align_commands(command, lag.joint_lag_s, fps)
        gained.append([((x - state)[valid] ** 2).mean(0) for x in (command, aligned)])
    before, after = np.sqrt(np.mean(gained, axis=0))
    print(f"{args.dataset.name}: {len(commands)} episodes at {fps:g} frames/s, median delay {lag.lag_s:.3f} s "
          f"({lag.frames:.1f} frames)")  # fmt: skip
    for j, name in enumerate(names):
        figures = f"{lag.joint_lag_s[j]:.3f} s ({lag.joint_lag_s[j] * fps:4.1f} frames)"
        moving = np.isfinite(lag.joint_lag_s[j])
        said = f"{figures}  rms {before[j]:.4f} -> {after[j]:.4f}" if moving else "hardly moves"
        print(f"  {name:28s} {said}")
    if args.records is not None:
        frames = sum(map(len, commands))
        figures = [Figure("median", lag.lag_s, "s", frames)]
        figures += [Figure(name, float(lag.joint_lag_s[j]), "s", frames) for j, name in enumerate(names)]
        parameters = {"max_lag_s": args.max_lag, "min_range": args.min_range}
        name = f"robot.lag.{args.dataset.resolve().name}"
        print(write_figures_record(name, figures, parameters, {"dataset": args.dataset}, args.records))
    return 0


def _read(path: Path) -> tuple:
    """Names, commands, states and rate of either kind of dataset; joints of both are paired by name."""
    import numpy as np

    from robot.teleop.files import TeleData
    from robot.teleop.lerobot import RobotRecordings
    from vitra_lib.core.errors import BadInput

    if (path / "annotation").is_dir():
        episodes = list(TeleData.open(path))
        sides = [s for s in ("left", "right") if all(e.has(s) for e in episodes)]
        names = [f"{s} {part} {i}" for s in sides for part, n in (("arm", 7), ("hand", 12)) for i in range(n)]
        if not names:
            raise BadInput(f"{path}: no arm is in all of its episodes.")
        sent = [np.hstack([np.hstack([e.arm(s).arm_command_rad, e.arm(s).hand_command_rad]) for s in sides])
                for e in episodes]  # fmt: skip
        seen = [np.hstack([np.hstack([e.arm(s).arm_rad, e.arm(s).hand_rad]) for s in sides]) for e in episodes]
        return names, sent, seen, episodes[0].fps
    recordings = list(RobotRecordings(path))
    first = recordings[0]
    names = [name for name in first.action_names if name in first.state_names]
    if not names:
        raise BadInput(f"{path}: no name of the action is one of the state's, so nothing can be paired.")
    sent = [r.action[:, [first.action_names.index(n) for n in names]] for r in recordings]
    seen = [r.state[:, [first.state_names.index(n) for n in names]] for r in recordings]
    return names, sent, seen, first.fps
