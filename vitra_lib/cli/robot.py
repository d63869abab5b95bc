"""`vitra robot VERB`: what concerns a robot; its sub-verbs live in the package `robot`, which builds on this one."""

import argparse
import importlib

NAME = "robot"
HELP = "map, check and convert robot data, and run a robot"

# The library never imports the robot: the package is looked up by name, as a plug-in, and only by this verb.
_PLUGIN = "robot.cli"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One sub-command per module that the plug-in names."""
    verbs = parser.add_subparsers(title="robot verbs", dest="robot_verb", metavar="VERB", required=True)
    for name in importlib.import_module(_PLUGIN).SUBVERBS:
        module = importlib.import_module(f"{_PLUGIN}.{name}")
        command = verbs.add_parser(module.NAME, help=module.HELP, description=module.__doc__)
        module.add_arguments(command)
        command.set_defaults(robot_run=module.run)


def run(args: argparse.Namespace) -> int:
    """Run the sub-verb."""
    return args.robot_run(args)
