"""`vitra evaluate two-view`: relative pose of pairs of pictures against ground truth (ScanNet sample pairs)."""

import argparse
from pathlib import Path

NAME = "two-view"
HELP = "relative pose of two pictures against ground truth"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the subject."""
    parser.add_argument("--data", type=Path, required=True, help="folder of scannet_sample_pairs_with_gt.txt")
    parser.add_argument("--records", type=Path, default=Path("results/records"), help="folder of the record")


def run(args: argparse.Namespace) -> int:
    """Measure and record."""
    from vitra_lib.cli.evaluations.report import report
    from vitra_lib.evaluation.two_view import read_pairs, two_view_accuracy

    pairs = read_pairs(args.data)
    table = args.data / "scannet_sample_pairs_with_gt.txt"
    report("two_view.scannet", two_view_accuracy(pairs), {"pairs": len(pairs)}, {table.name: table}, args.records)
    return 0
