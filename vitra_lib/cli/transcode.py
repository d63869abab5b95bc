"""`vitra transcode VIDEO OUT`: a short-GOP, size-bounded mp4 for random access."""

import argparse
from pathlib import Path

NAME = "transcode"
HELP = "rewrite a video as a small mp4 that can be read at random"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("video", type=Path, help="video file")
    parser.add_argument("out", type=Path, help="mp4 to write")
    parser.add_argument("--short-side", type=int, default=256, help="largest short side [px]")
    parser.add_argument("--gop", type=int, default=15, help="frames between key frames")


def run(args: argparse.Namespace) -> int:
    """Transcode and say what was written."""
    from vitra_lib.video import transcode

    info = transcode(args.video, args.out, short_side_px=args.short_side, gop=args.gop, progress=True)
    print(f"{args.out}: {info.frame_count} frames, {info.width_px}x{info.height_px}")
    return 0
