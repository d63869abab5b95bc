"""`vitra build VIDEO… --out DATASET`: videos to a LeRobot v3 dataset of captioned, VITRA-compatible episodes.

`vitra build --source epic ROOT --out DATASET` walks a download of Ego4D, EPIC-KITCHENS, EgoExo4D or Something-Something
V2 as its owner lays it out, with the official names and prefix; lens files are found and videos undistorted first.
"""

import argparse
from pathlib import Path

from vitra_lib.cli.chat_options import add_chat_options, chat_config, check_captioner
from vitra_lib.cli.reconstruct import add_reconstruct_options, reconstruct_config

NAME = "build"
HELP = "turn videos into a dataset of captioned episodes, resumably, with a report"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("videos", type=Path, nargs="+", help="video files; with --source the folder of the download")
    parser.add_argument("--out", type=Path, required=True, help="folder of the dataset; finished stages go to OUT.work")
    parser.add_argument("--source", help="read a raw download: ego4d, epic, egoexo4d, ssv2")
    parser.add_argument("--lenses", type=Path, help="with --source: folder of lens files (default: ROOT/intrinsics)")
    parser.add_argument("--limit", type=int, help="with --source: only the first so many videos")
    parser.add_argument(
        "--captioner", default="motion-only", help="motion-only (offline, weak), openai:<model> or local:<folder>"
    )
    parser.add_argument(
        "--rephraser", default="none", help="other wordings of captions: none, verbs (offline) or openai:<model>"
    )
    parser.add_argument(
        "--skip-unanswered", action="store_true", help="leave out segments that the caption endpoint did not answer"
    )
    parser.add_argument(
        "--merge-repeats", action="store_true", help="join strokes of one repeated motion whose captions agree"
    )
    parser.add_argument("--rule", default="speed-minima", help="cutting rule (speed-minima, fixed-interval)")
    parser.add_argument("--prefix", default="Custom", help="first part of every episode's name")
    parser.add_argument("--anonymise", action="store_true", help="make detected faces unrecognisable in stored videos")
    add_chat_options(parser)
    add_reconstruct_options(parser)


def run(args: argparse.Namespace) -> int:
    """Build and say where dataset and report are."""
    from vitra_lib.episodes import FootageConfig
    from vitra_lib.pipeline import BuildConfig, build
    from vitra_lib.segmentation import SegmentationConfig

    check_captioner(args)
    config = BuildConfig(
        reconstruct=reconstruct_config(args),
        segmentation=SegmentationConfig(rule=args.rule),
        captioner=args.captioner,
        rephraser=args.rephraser,
        chat=chat_config(args),
        skips_unanswered=args.skip_unanswered,
        merges_repeats=args.merge_repeats,
        dataset_prefix=args.prefix,
        footage=FootageConfig(anonymise=args.anonymise),
    )
    videos, rejections = args.videos, ()
    if args.source is not None:
        videos, config, rejections = _from_source(args, config)
    result = build(videos, args.out, config, progress=True)
    count = sum(len(video.episodes) for video in result.videos)
    print(f"{count} episodes in {result.dataset}")
    for rejection in rejections:
        print(f"left out: {rejection.item} ({rejection.reason}: {rejection.detail})")
    print(f"report: {result.report_html}")
    return 0


def _from_source(args: argparse.Namespace, config):
    """Videos, settings and rejections of a raw download."""
    from vitra_lib.core.errors import BadInput
    from vitra_lib.pipeline.raw_sources import find_source
    from vitra_lib.pipeline.straighten import make_ready

    if len(args.videos) != 1:
        raise BadInput(f"--source {args.source} takes one folder, the root of the download, not {len(args.videos)}.")
    if args.limit is not None and args.limit < 1:
        raise BadInput(f"--limit is {args.limit}: legal are 1 and more.")
    found = find_source(args.source, args.videos[0], args.lenses)[: args.limit]
    ready = make_ready(found, args.out.with_name(args.out.name + ".work"), config, progress=True)
    return ready.videos, ready.config, ready.rejections
