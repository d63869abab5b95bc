"""`vitra notebooks run | lint`: execute notebooks through the strict runner, and check their anatomy."""

import argparse
from pathlib import Path
from typing import Any

NAME = "notebooks"
HELP = "execute notebooks, rewrite the committed ones, check their anatomy"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    execute = actions.add_parser("run", help="execute notebooks into a folder, or in place with --commit")
    execute.add_argument("names", nargs="*", help="numbers or names (01, 01_reconstruction); all when none is given")
    execute.add_argument("-p", "--parameter", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"),
                         help="a value for the parameters cell; unknown names are an error")  # fmt: skip
    execute.add_argument("--out", type=Path, help="folder for the executed notebooks (results/executed/notebooks)")
    execute.add_argument(
        "--commit", action="store_true", help="rewrite notebooks/ and results/records with this run of the defaults"
    )
    lint = actions.add_parser("lint", help="check the anatomy of notebooks")
    lint.add_argument("names", nargs="*", help="numbers or names; all when none is given")


def run(args: argparse.Namespace) -> int:
    """Execute or check; findings give exit code 1."""
    from vitra_lib.core.errors import BadInput
    from vitra_lib.core.paths import results_folder
    from vitra_lib.runs.demo import find_notebooks, run_tour

    notebooks = find_notebooks(args.names)
    if args.action == "lint":
        return _lint(notebooks)
    parameters = {name: _value(text) for name, text in args.parameter}
    if args.commit:
        if parameters or args.out:
            raise BadInput("Committed notebooks show the run of the defaults: leave out --parameter and --out.")
        return _commit(notebooks)
    tour = run_tour(
        notebooks, args.out or results_folder() / "executed" / "notebooks", parameters, "vitra-lab notebooks"
    )
    print(f"Read them at: {tour.index}")
    return 0


def _lint(notebooks: tuple[Path, ...]) -> int:
    from vitra_lib.runs.anatomy import findings

    found = [finding for notebook in notebooks for finding in findings(notebook)]
    print("\n".join(found) or f"{len(notebooks)} notebooks, no findings.")
    return 1 if found else 0


def _commit(notebooks: tuple[Path, ...]) -> int:
    from vitra_lib.runs.demo import rewrite

    for notebook in notebooks:
        record = rewrite(notebook)
        print(f"{notebook.name}: rewritten, recorded in {record.name}", flush=True)
    return _lint(notebooks)


def _value(text: str) -> Any:
    """A parameter as YAML would read it: 3 is a number, true a truth value, the rest text."""
    import yaml

    try:
        return yaml.safe_load(text) if text else text
    except yaml.YAMLError:
        return text
