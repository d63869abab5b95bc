"""`vitra import vitra-1m --annotations … --videos … --out DATASET`: official VITRA-1M data as a dataset of this kit.

A run that was stopped goes on where it was when the same command is given again.
"""

import argparse
from collections import Counter
from pathlib import Path

NAME = "import"
HELP = "read official VITRA-1M annotations and videos into a dataset"
FORMATS = ("vitra-1m",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("format", choices=FORMATS, help="layout to read")
    parser.add_argument(
        "--annotations", type=Path, required=True, help=".npy file, dataset folder, or folder of dataset folders"
    )
    parser.add_argument("--videos", type=Path, help="folder of the videos (default: `videos` beside the annotations)")
    parser.add_argument("--out", type=Path, required=True, help="dataset to write; must not exist")
    parser.add_argument("--clip-len", type=int, help="frames per video part, if the videos were divided into parts")
    parser.add_argument("--skip-bad", action="store_true", help="leave out what can't be imported and count it")
    parser.add_argument("--anonymise", action="store_true", help="make detected faces unrecognisable in stored videos")
    parser.add_argument("--short-side", type=int, default=256, help="largest short side of stored frames [px]")


def run(args: argparse.Namespace) -> int:
    """Import and say what was written and what was left out."""
    from vitra_lib.episodes import FootageConfig, ImportConfig, import_vitra_1m
    from vitra_lib.episodes.vitra_1m_import import REPORT

    footage = FootageConfig(short_side_px=args.short_side, anonymise=args.anonymise)
    config = ImportConfig(clip_len=args.clip_len, skip_bad=args.skip_bad, footage=footage)
    store, rejections = import_vitra_1m(args.annotations, args.videos, args.out, config, progress=True)
    print(f"{args.out}: {len(store)} episodes, {store.total_frames} frames, {len(store.videos)} video files")
    if rejections:
        print(f"what was left out and why: {args.out / REPORT}")
    for reason, count in sorted(Counter(rejection.reason for rejection in rejections).items()):
        print(f"left out: {count} ({reason})")
    return 0
