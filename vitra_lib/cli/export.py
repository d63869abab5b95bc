"""`vitra export vitra-1m DATASET --out DIR`: a dataset in the official VITRA-1M layout."""

import argparse
from pathlib import Path

NAME = "export"
HELP = "write a dataset in the official VITRA-1M layout"
FORMATS = ("vitra-1m",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("format", choices=FORMATS, help="layout to write")
    parser.add_argument("dataset", type=Path, help="dataset written by `vitra build` or `vitra import`")
    parser.add_argument("--out", type=Path, required=True, help="folder to write; must not exist")
    parser.add_argument(
        "--layout",
        choices=("flat", "training"),
        default="flat",
        help="flat: {dataset}/episodic_annotations + videos; training: Annotation/ + Video/",
    )
    parser.add_argument(
        "--prefix",
        help="replace the episodes' prefix; the official loader knows Ego4D, EgoExo4D, epic, somethingsomethingv2",
    )
    parser.add_argument("--anonymise", action="store_true", help="make detected faces unrecognisable in the videos")
    parser.add_argument(
        "--name", help="dataset folder (default: where they came from, or the official one of the prefix)"
    )


def run(args: argparse.Namespace) -> int:
    """Export and say what was written."""
    from vitra_lib.episodes import EpisodeStore, ExportConfig, export_vitra_1m

    config = ExportConfig(layout=args.layout, prefix=args.prefix, dataset=args.name, anonymise=args.anonymise)
    counts = export_vitra_1m(EpisodeStore.open(args.dataset), args.out, config, progress=True)
    print(f"{args.out}: {counts['episodes']} episodes, {counts['frames']} frames, {counts['videos']} videos")
    return 0
