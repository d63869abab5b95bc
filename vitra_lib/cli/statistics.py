"""`vitra statistics DATASET`: mean and deviation of states and actions, as the file that training normalises by."""

import argparse
from pathlib import Path

NAME = "statistics"
HELP = "compute what training normalises states and actions by; or mix the files of several datasets"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument(
        "dataset", nargs="+", help="dataset folder (an episode store or official files); with --mix, statistics files"
    )
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write, in the official layout")
    parser.add_argument("--name", default="", help="name inside the file (default: the folder's)")
    parser.add_argument("--no-augmentation", action="store_true", help="count the labels as filmed, not as trained on")
    parser.add_argument("--action-type", default="angle", help="fingers as angle (default) or keypoints")
    parser.add_argument("--official-quirks", action="store_true", help="count as the official script does")
    parser.add_argument("--seed", type=int, default=0, help="of the augmentation")
    parser.add_argument("--workers", type=int, default=1, help="processes; the result does not depend on it")
    parser.add_argument(
        "--mix",
        default="",
        metavar="HOW",
        help="mix statistics files: official (mean of deviations, as the released files) or pooled (the true one)",
    )
    parser.add_argument("--weights", default="", help="with --mix: shares, comma-separated (default: frames counted)")


def run(args: argparse.Namespace) -> int:
    """Compute or mix, write, and say how much was counted."""
    from vitra_lib.core.errors import BadInput
    from vitra_lib.dataset import AugmentationConfig, SampleConfig, source_statistics, write_statistics
    from vitra_lib.dataset.source import open_source

    if args.mix:
        normaliser = _mixed(args)
        write_statistics(args.out, normaliser)
        print(f"{args.out}: {args.mix} mixture of {len(args.dataset)} files")
        return 0
    if len(args.dataset) != 1:
        raise BadInput("Give one dataset, or several statistics files with --mix official or --mix pooled.")
    source = open_source(args.dataset[0])
    augmentation = None if args.no_augmentation else AugmentationConfig()
    config = SampleConfig(args.action_type, augmentation=augmentation, official_quirks=args.official_quirks)
    try:
        found = source_statistics(source, config, args.seed, args.workers, progress=True)
    finally:
        source.close()
    write_statistics(args.out, found.normaliser(args.name or source.name))
    print(f"{args.out}: {found.frames} frames counted")
    return 0


def _mixed(args: argparse.Namespace):  # noqa: ANN202 - the type would import NumPy for `vitra --help`
    from vitra_lib.core.errors import BadInput
    from vitra_lib.dataset import mixed, read_statistics

    parts = [read_statistics(path) for path in args.dataset]
    try:
        weights = [float(word) for word in args.weights.split(",")] if args.weights else [part.count for part in parts]
    except ValueError:
        raise BadInput(f"--weights {args.weights!r}: give numbers, comma-separated, one per file.") from None
    if None in weights:
        raise BadInput("A file does not say how many frames it counts: give --weights, one number per file.")
    return mixed(parts, [float(weight) for weight in weights], args.mix, args.name or args.out.stem)
