"""`vitra caption VIDEO --out captions.json`: one sentence per atomic action of one video, without making a dataset.

What an endpoint answered is kept in OUT.work: the same command asks nothing twice, and asks again for what failed.
"""

import argparse
from pathlib import Path

from vitra_lib.cli.chat_options import add_chat_options, chat_config, check_captioner
from vitra_lib.cli.reconstruct import add_reconstruct_options, reconstruct_config

NAME = "caption"
HELP = "caption the atomic actions of a video; estimate the cost, or use a batch service"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("video", type=Path, help="video file")
    parser.add_argument("--out", type=Path, required=True, help="JSON file for the captions; finished work: OUT.work")
    parser.add_argument("--captioner", default="motion-only", help="motion-only, openai:<model> or local:<folder>")
    parser.add_argument("--rephraser", default="none", help="four other wordings: none, verbs or openai:<model>")
    parser.add_argument("--rule", default="speed-minima", help="cutting rule (speed-minima, fixed-interval)")
    parser.add_argument("--dry-run", action="store_true", help="say what would be asked and what it costs; ask nothing")
    parser.add_argument("--price-in", type=float, default=None, help="price of a million tokens of questions")
    parser.add_argument("--price-out", type=float, default=None, help="price of a million tokens of answers")
    parser.add_argument("--export-batch", type=Path, default=None, help="write open questions as Batch-API JSONL")
    parser.add_argument("--import-batch", type=Path, default=None, help="take the answers of a Batch-API output file")
    add_chat_options(parser)
    add_reconstruct_options(parser)


def run(args: argparse.Namespace) -> int:
    """Do what is asked for; 1 when segments are left unanswered."""
    from vitra_lib.captioning import Price
    from vitra_lib.core.errors import BadInput
    from vitra_lib.pipeline import caption_video as steps

    check_captioner(args)
    if (args.price_in is None) != (args.price_out is None):
        raise BadInput("A cost needs both --price-in and --price-out.")
    job = steps.CaptionJob(args.video, args.out.with_name(args.out.name + ".work"), _config(args))
    if args.dry_run:
        price = None if args.price_in is None else Price(args.price_in, args.price_out)
        print(steps.estimate_cost(job, price, progress=True).sentence())
        return 0
    if args.export_batch is not None:
        files = steps.write_batch(job, args.export_batch, progress=True)
        print("\n".join(map(str, files)) or "Every question is answered: nothing to export.")
        return 0
    if args.import_batch is not None:
        counts = steps.read_batch(job, args.import_batch)
        print(f"{counts.answered} answers taken, {counts.refused} refused, {counts.failed} to be asked again.")
        return 0
    done = steps.caption_video(job, progress=True)
    steps.write_captions(done, job, args.out)
    return _say(done, args.out)


def _say(done, out: Path) -> int:
    """Counts on the screen."""
    spoken = [c for c in done.captions if not c.is_na]
    na = len(done.captions) - len(spoken)
    lost = len(done.rejections) - na
    print(f"{len(spoken)} captions, {na} N/A, {lost} without a usable answer -> {out}")
    if any(c.is_weak for c in spoken):
        print("They are weak: derived from geometry alone, they name no object.")
    if done.counts:
        print(", ".join(f"{name.replace('_', ' ')} {count}" for name, count in done.counts.items()))
    if done.unanswered:
        first = done.unanswered[0]
        print(f"{len(done.unanswered)} unanswered ({first.item}: {first.detail}); the same command asks only for them.")
    return 1 if done.unanswered else 0


def _config(args: argparse.Namespace):
    from vitra_lib.pipeline import BuildConfig
    from vitra_lib.segmentation import SegmentationConfig

    return BuildConfig(
        reconstruct=reconstruct_config(args),
        segmentation=SegmentationConfig(rule=args.rule),
        captioner=args.captioner,
        rephraser=args.rephraser,
        chat=chat_config(args),
    )
