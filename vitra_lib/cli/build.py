"""`vitra build VIDEO… --out DATASET`: videos to a LeRobot v3 dataset of captioned, VITRA-compatible episodes."""

import argparse
from pathlib import Path

from vitra_lib.cli.reconstruct import add_reconstruct_options, reconstruct_config

NAME = "build"
HELP = "turn videos into a dataset of captioned episodes, resumably, with a report"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("videos", type=Path, nargs="+", help="video files")
    parser.add_argument("--out", type=Path, required=True, help="folder of the dataset; finished stages go to OUT.work")
    parser.add_argument("--captioner", default="motion-only", help="motion-only (offline, weak) or openai:<model>")
    parser.add_argument("--rule", default="speed-minima", help="cutting rule (speed-minima, fixed-interval)")
    parser.add_argument("--prefix", default="Custom", help="first part of every episode's name")
    add_reconstruct_options(parser)


def run(args: argparse.Namespace) -> int:
    """Build and say where dataset and report are."""
    from vitra_lib.pipeline import BuildConfig, build
    from vitra_lib.segmentation import SegmentationConfig

    config = BuildConfig(
        reconstruct=reconstruct_config(args),
        segmentation=SegmentationConfig(rule=args.rule),
        captioner=args.captioner,
        dataset_prefix=args.prefix,
    )
    result = build(args.videos, args.out, config, progress=True)
    count = sum(len(video.episodes) for video in result.videos)
    print(f"{count} episodes in {result.dataset}")
    print(f"report: {result.report_html}")
    return 0
