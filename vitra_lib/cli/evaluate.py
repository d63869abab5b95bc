"""`vitra evaluate SUBJECT`: measure a stage of the pipeline against truth, and write the figures as a record."""

import argparse
import importlib

from vitra_lib.cli.evaluations import SUBJECTS

NAME = "evaluate"
HELP = "measure the pipeline against truth, and write the figures as a record"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One sub-command per subject."""
    subjects = parser.add_subparsers(title="subjects", dest="subject", metavar="SUBJECT", required=True)
    for name in SUBJECTS:
        module = importlib.import_module(f"vitra_lib.cli.evaluations.{name}")
        command = subjects.add_parser(module.NAME, help=module.HELP, description=module.__doc__)
        module.add_arguments(command)
        command.set_defaults(measure=module.run)


def run(args: argparse.Namespace) -> int:
    """Measure, print a table, write records."""
    return args.measure(args)
