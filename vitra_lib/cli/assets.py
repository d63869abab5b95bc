"""`vitra assets list | explain NAME | verify [NAME…]`: licensed and optional files, and where they go."""

import argparse

NAME = "assets"
HELP = "list, explain and check licensed or optional files"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    actions.add_parser("list", help="one line per asset: is it here?")
    explain = actions.add_parser("explain", help="what an asset is, its licence, where to get and to put it")
    explain.add_argument("name", help="name of the asset")
    verify = actions.add_parser("verify", help="check that the files are the right ones")
    verify.add_argument("names", nargs="*", help="names of assets; all when none is given")


def run(args: argparse.Namespace) -> int:
    """List, explain or verify; verifying a named asset that is absent or wrong gives exit code 1."""
    from vitra_lib.core import assets

    if args.action == "explain":
        print(assets.explain(args.name))
        return 0
    if args.action == "list":
        for name in assets.names():
            state = "present" if assets.find(name) is not None else "absent"
            print(f"{name:16s} {state:8s} {assets.card(name).title}")
        return 0
    states = []
    for name in args.names or assets.names():
        state, sentence = assets.verify(name)
        states.append(state)
        print(f"{name:16s} {state:8s} {sentence}")
    return 1 if "wrong" in states or (args.names and "absent" in states) else 0
