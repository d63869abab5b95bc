"""`vitra robot run --policy …`: run a policy on the robot; a dry run on a kinematic robot unless told otherwise.

`--simulate TASK` runs it on a task in simulation and says whether the task was done; `--film` shows it. Hardware is
opened with --real and moved with --real --execute. Every command passes the safety layer. Ctrl-C is the software's
emergency stop; the hardware's own must be within reach all the same.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from robot.execution.policy_source import AskConfig

NAME = "run"
HELP = "run a policy on the robot (a dry run unless --real --execute), or in simulation"
EXPERT = "expert"
CHUNK, FRESH_S = 16, 0.6  # steps of an answer; how old an answer may get before the next question [s]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the sub-verb."""
    parser.add_argument(
        "--policy", required=True, help="checkpoint folder, ws://HOST:PORT of a policy server, hold, or expert"
    )
    parser.add_argument("--instruction", default="Keep still.", help='"Right hand: Pick up the cup.", or what it does')
    parser.add_argument("--settled", type=float, default=0.0, metavar="S", help="settle so much of a running chunk [s]")
    parser.add_argument("--fps", type=float, default=30.0, help="steps of the policy per second [1/s]")
    parser.add_argument("--device", default="cpu", help="where a checkpoint computes")
    add_robot_arguments(parser)


def add_robot_arguments(parser: argparse.ArgumentParser) -> None:
    """Options that every sub-verb has that moves the robot."""
    parser.add_argument("--real", action="store_true", help="open the hardware and read from it")
    parser.add_argument("--execute", action="store_true", help="move it; needs --real")
    parser.add_argument("--side", choices=("left", "right"), default="right", help="which arm and hand")
    parser.add_argument("--duration", type=float, default=10.0, metavar="S", help="longest run [s]")
    parser.add_argument("--arm-host", default="192.168.1.18", help="address of the arm's controller")
    parser.add_argument("--hand-port", default="/dev/ttyUSB0", help="serial device of the hand")
    parser.add_argument("--hand", choices=("serial", "vendor"), default="serial", help="driver of the hand")
    parser.add_argument(
        "--setup",
        type=Path,
        default=None,
        help="JSON file of the rig as it stands: camera, hand mount, table, box (robot/cli/setup_file.py)",
    )
    parser.add_argument("--simulate", default=None, metavar="TASK", help="run a task in simulation (pick-place, pour…)")
    parser.add_argument("--seed", type=int, default=0, help="of the simulated scene")
    parser.add_argument("--split", default="seen", help="of the simulated scene (seen, unseen-object…)")
    parser.add_argument("--film", type=Path, default=None, metavar="MP4", help="film the simulation")
    parser.add_argument("--journal", type=Path, default=None, help="write the safety layer's journal here (JSON lines)")


def run(args: argparse.Namespace) -> int:
    """Run, and say how it ended."""
    from robot.arm import load_arm
    from robot.cli.rig import finish, open_rig
    from robot.execution.askers import open_ask
    from robot.execution.policy_source import PolicySource
    from robot.execution.worker import DelayedWorker, ThreadWorker
    from vitra_lib.core.errors import BadInput

    if not args.fps > 0:
        raise BadInput(f"--fps is {args.fps}; it must be above 0.")
    if args.policy == EXPERT:
        return _run_expert(args)
    rig = open_rig(args, args.instruction)
    worker = ThreadWorker() if args.real else DelayedWorker(rig.clock, 0.1)
    ask = open_ask(args.policy, args.device)
    source = PolicySource(rig.setup, load_arm(), rig.camera, ask, worker, _asking(args))
    try:
        return finish(args, rig, source, lambda: f"{source.answers} answers of the policy")
    finally:
        worker.close()


def _asking(args: argparse.Namespace) -> "AskConfig":
    """When to ask: long chunks anew before the safety layer finds their actions too old."""
    from robot.execution.broker import BrokerConfig
    from robot.execution.policy_source import AskConfig

    chunk_s = CHUNK / args.fps
    is_long = chunk_s > FRESH_S
    merge = "latest" if args.settled > 0 or is_long else "ensemble"
    left_s = chunk_s - FRESH_S if is_long else AskConfig().ask_left_s
    return AskConfig(1.0 / args.fps, left_s, settled_s=args.settled, broker=BrokerConfig(merge))


def _run_expert(args: argparse.Namespace) -> int:
    """The scripted expert of the simulated task, which knows where things are."""
    from robot.cli.rig import finish, open_rig
    from robot.simulation.expert import Expert
    from vitra_lib.core.errors import BadInput

    if args.simulate is None:
        raise BadInput("--policy expert knows the true poses of a simulation; name a task with --simulate.")
    rig = open_rig(args, args.instruction)
    simulation = rig.simulation.simulation
    expert = Expert(simulation, simulation.scene, rig.safety)
    return finish(args, rig, expert, lambda: f"{expert.actor.attempts} attempts of the expert")
