"""`vitra demo`: from raw video to executed notebooks, on the sample or on a video of your own."""

import argparse
from pathlib import Path

NAME = "demo"
HELP = "run notebooks 00 to 04, on the sample or on a video of your own"
NOTEBOOKS = ("00", "01", "02", "03", "04")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("--video", default="", help="a video file; the sample when empty")
    parser.add_argument("--profile", default="tiny", help="tiny (offline, CPU), small or paper")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random")
    parser.add_argument("--out", type=Path, help="folder for the executed notebooks (results/executed/<video name>)")
    parser.add_argument("--notebooks", nargs="+", default=NOTEBOOKS, metavar="NN", help="other notebooks than 00 to 04")


def run(args: argparse.Namespace) -> int:
    """Run the tour and say where everything is."""
    from vitra_lib.core.paths import results_folder
    from vitra_lib.runs.demo import find_notebooks, run_tour
    from vitra_lib.video import probe

    video = ""
    if args.video.strip():
        video = str(Path(args.video).expanduser().resolve())
        probe(Path(video))  # a wrong path or a broken file is better said now than after the first notebook
    out = args.out or results_folder() / "executed" / (Path(video).stem if video else "sample")
    parameters = {"profile": args.profile, "seed": args.seed, "video": video}
    title = f"vitra-lab: {Path(video).name if video else 'the sample clip'}"
    tour = run_tour(find_notebooks(args.notebooks), out, parameters, title)
    print(f"\nExecuted notebooks: {out}")
    print(f"Read them at:       {tour.index}")
    print(f"Took {sum(r.seconds for r in tour.runs):.0f} s.")
    return 0
