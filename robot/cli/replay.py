"""`vitra robot replay EPISODE`: play the commands of a recorded episode through the control loop and the safety layer.

A dry run on a kinematic robot unless told otherwise: hardware is opened with --real and moved with --real --execute;
`--simulate TASK --seed S` plays it in a simulated scene, such as the one it was recorded in.
"""

import argparse
from pathlib import Path

from robot.cli.run import add_robot_arguments

NAME = "replay"
HELP = "play a recorded episode on the robot (a dry run unless --real --execute)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the sub-verb."""
    parser.add_argument("episode", type=Path, help="TeleData episode (.h5)")
    parser.add_argument("--speed", type=float, default=1.0, help="1 is as recorded")
    add_robot_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Play, and say how it ended."""
    from robot.cli.rig import finish, open_rig
    from robot.execution.replay import Recording, ReplaySource
    from robot.teleop.files import read_tele

    episode = read_tele(args.episode)
    recording = Recording.of_episode(episode, args.side)
    source, rig = ReplaySource(recording, args.speed), open_rig(args, episode.instruction)
    return finish(args, rig, source, lambda: f"{len(recording.targets)} recorded frames")
