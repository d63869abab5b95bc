"""`vitra check DATASET`: what is wrong with a dataset, where, and how to mend it. Leaves with 1 if there are errors."""

import argparse
from pathlib import Path

NAME = "check"
HELP = "look for faults in a dataset, of this kit or in the official layout"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("dataset", type=Path, help="dataset of this kit, or official VITRA-1M folders")
    parser.add_argument(
        "--videos", type=Path, help="folder of the videos of official data (default: beside the labels)"
    )
    parser.add_argument("--clip-len", type=int, help="frames per video part, if official videos were divided")
    parser.add_argument("--sample", type=int, help="look at this many episodes, evenly spread, instead of all")
    parser.add_argument("--all-frames", action="store_true", help="decode every frame of every video")
    parser.add_argument("--json", type=Path, help="also write all findings to this file")
    parser.add_argument("--show", type=int, default=5, help="places listed per kind of fault")


def run(args: argparse.Namespace) -> int:
    """Check, print what was found; 1 if there are errors."""
    from vitra_lib.core.files import write_json
    from vitra_lib.episodes.doctor import DoctorConfig, check_dataset

    decoded = {"frames_per_video": 0} if args.all_frames else {}
    config = DoctorConfig(clip_len=args.clip_len, **decoded)
    report = check_dataset(args.dataset, args.videos, config, args.sample, progress=True)
    print(report.text(max(args.show, 1)))
    if args.json is not None:
        write_json(args.json, report.to_json())
    return 1 if report.errors else 0
