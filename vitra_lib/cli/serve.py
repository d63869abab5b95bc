"""`vitra serve --checkpoint DIR`: answer robots over a websocket; what it does lives in the package `robot`."""

import argparse
import importlib

NAME = "serve"
HELP = "serve a policy to robots over a websocket (openpi's protocol)"

# The library never imports the robot: the package is looked up by name, as a plug-in, and only by this verb.
_PLUGIN = "robot.serving.command"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    importlib.import_module(_PLUGIN).add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted."""
    return importlib.import_module(_PLUGIN).run(args)
