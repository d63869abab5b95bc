"""`vitra evaluate reconstruction`: measure the default chain on rendered clips and on an official episode."""

import argparse
from pathlib import Path

from vitra_lib.cli.evaluations.report import report

NAME = "reconstruction"
HELP = "hands and camera of the default chain: rendered clips, and a real clip with an official annotation"

WORLD_SEED = 90_000  # held out: no training render and no test uses seeds from here on


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the subject."""
    parser.add_argument("--clips", type=int, default=10, help="rendered clips of the world, 0 = none")
    parser.add_argument("--split", default="unseen-object", help="split of the world to render from")
    parser.add_argument("--seed", type=int, default=WORLD_SEED, help="first seed of the rendered clips")
    parser.add_argument(
        "--clips-dir", type=Path, default=Path("results/work/world"), help="folder for rendered clips, kept and reused"
    )
    parser.add_argument("--workers", type=int, default=1, help="processes, each a whole clip at a time")
    parser.add_argument("--video", type=Path, default=None, help="a real clip with an official annotation")
    parser.add_argument("--annotation", type=Path, default=None, help="its official .npy episode")
    parser.add_argument("--records", type=Path, default=Path("results/records"), help="folder for the record")


def run(args: argparse.Namespace) -> int:
    """Measure, print a table, write records."""
    from vitra_lib.core.errors import BadInput

    if (args.video is None) != (args.annotation is None):
        raise BadInput("A real clip needs both --video and --annotation.")
    if args.clips > 0:
        _world(args)
    if args.video is not None:
        _official(args)
    return 0


def _world(args: argparse.Namespace) -> None:
    from vitra_lib.evaluation.world_run import world_accuracy
    from vitra_lib.tabletop.config import ClipConfig
    from vitra_lib.tabletop.rendering import clip_configs

    first = ClipConfig(seed=args.seed, split=args.split)
    clips = clip_configs(first, args.clips, "any")
    figures = world_accuracy(clips, args.clips_dir, args.workers, progress=True)
    parameters = {"clips": args.clips, "split": args.split, "seed": args.seed}
    report("reconstruction.world", figures, parameters, {}, args.records)


def _official(args: argparse.Namespace) -> None:
    from vitra_lib.evaluation.accuracy import official_accuracy

    inputs = {args.video.name: args.video, args.annotation.name: args.annotation}
    for given_K in (True, False):
        figures = official_accuracy(args.video, args.annotation, given_K=given_K)
        name = "reconstruction.official" + ("" if given_K else ".self-calibrated")
        report(name, figures, {"field_of_view_given": given_K}, inputs, args.records)
