"""`vitra anonymise VIDEO --out FILE`: a copy of a video in which faces are blurred."""

import argparse
from pathlib import Path

NAME = "anonymise"
HELP = "blur the faces in a video; sound is left out"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("video", type=Path, help="video file")
    parser.add_argument("--out", type=Path, required=True, help="mp4 to write")
    parser.add_argument("--margin", type=float, default=0.5, help="how far the blur reaches beyond a face")
    parser.add_argument("--max-gap", type=float, default=1.0, help="longest gap between two sightings to cover [s]")


def run(args: argparse.Namespace) -> int:
    """Blur, and say what was covered; what can't be promised is said in the log."""
    from vitra_lib.video.anonymise import AnonymiseConfig, anonymise_video

    config = AnonymiseConfig(margin=args.margin, max_gap_s=args.max_gap)
    counts = anonymise_video(args.video, args.out, config, progress=True)
    print(
        f"{args.out}: faces covered in {counts.frames_blurred} of {counts.frames} frames "
        f"({counts.faces_found} sightings, {counts.faces_filled} filled in between)"
    )
    return 0
