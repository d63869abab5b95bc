"""`vitra lifter render|train|handedness`: render views of hands, and train the lifter and the left/right decision."""

import argparse
import sys
from pathlib import Path

NAME = "lifter"
HELP = "render training views for the 2-D to 3-D hand lifter, and train it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the two steps and their options."""
    steps = parser.add_subparsers(dest="step", required=True, metavar="STEP")
    render = steps.add_parser("render", help="render hand views, run the tracker on them, store detections with truth")
    render.add_argument("--seed", type=int, default=0, help="determines every view (default 0)")
    render.add_argument(
        "--of",
        choices=("hands", "tabletop", "poses"),
        default="hands",
        help="lone hands in any pose; pieces of tabletop clips, kept out of the training to choose and test; or true "
        "poses of tabletop clips, which are not rendered at all (default hands)",
    )
    render.add_argument("--count", type=int, default=1000, help="clips of a few frames each (default 1000)")
    render.add_argument("--workers", type=int, default=1, help="processes (default 1)")
    render.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder for the shards; finished ones are kept"
    )
    train = steps.add_parser("train", help="train all candidates, choose on held-out renders, write weights and record")
    train.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder with shards")
    train.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="weights to write (.npz); the record lies beside"
    )
    train.add_argument("--seed", type=int, default=0, help="of the initialisation (default 0)")
    side = steps.add_parser("handedness", help="train the left/right decision on the same views")
    side.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder with shards")
    side.add_argument("--out", type=Path, default=None, metavar="FILE", help="weights to write (default: ours)")
    side.add_argument("--seed", type=int, default=0, help="of the initialisation (default 0)")
    train.add_argument("--quick", action="store_true", help="few epochs and small candidates, to try the command")


def run(args: argparse.Namespace) -> int:
    """Run one step; returns the exit code."""
    return {"render": _render, "train": _train, "handedness": _handedness}[args.step](args)


def _handedness(args: argparse.Namespace) -> int:
    from vitra_lib.reconstruction.handedness import WEIGHTS
    from vitra_lib.reconstruction.handedness_training import train

    out = args.out or WEIGHTS
    record = train(args.data, out, args.seed)
    print(f"right on held-out views: tracker {record['accuracy_of_the_tracker']:.3f}, ours {record['accuracy']:.3f}")
    print(f"Written: {out}")
    return 0


def _render(args: argparse.Namespace) -> int:
    import time

    from vitra_lib.reconstruction.lifter_data import RenderJob, pose_shards, render_shards
    from vitra_lib.tabletop.training_views import lone_hand, tabletop_pieces, tabletop_poses

    prefix = {"hands": "views", "tabletop": "work", "poses": "poses"}[args.of]
    job = RenderJob(args.out, args.seed, args.count, workers=args.workers, prefix=prefix)
    if args.of == "poses":
        shards = pose_shards(job, tabletop_poses)
    else:
        shards = render_shards(job, lone_hand if args.of == "hands" else tabletop_pieces)
    done, samples, start = sum(len(clips) for path, clips in job.shards() if path.exists()), 0, time.monotonic()
    for clips, rows in shards:
        done, samples = done + clips, samples + rows
        rate = samples / (time.monotonic() - start)
        print(
            f"{done} of {args.count} clips, {samples} new samples, {rate:.1f} per second", file=sys.stderr, flush=True
        )
    print(f"{args.count} clips in {args.out}; {samples} new samples.")
    return 0


def _train(args: argparse.Namespace) -> int:
    from vitra_lib.reconstruction.lifter_data import load_poses, load_samples
    from vitra_lib.reconstruction.lifter_training import CANDIDATES, QUICK_CANDIDATES, save, table

    samples = load_samples(args.data)
    candidates = list(QUICK_CANDIDATES if args.quick else CANDIDATES)
    at_work = load_samples(args.data, "work") if any(args.data.glob("work_*.npz")) else None

    def tell(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    lifter, chosen, record = table(samples, candidates, args.seed, tell, load_poses(args.data), at_work)
    # kind and seed of every set of shards, as `vitra lifter render --of … --seed …` wrote them
    record["data"] = sorted({"_".join(path.stem.split("_")[:2]) for path in args.data.glob("*_*.npz")})
    record["command"] = f"vitra lifter train --data DIR --out {args.out.name} --seed {args.seed}" + (
        " --quick" if args.quick else ""
    )
    save(lifter, args.out, record)
    for name, row in record["errors"].items():
        test = row["test"]
        print(
            f"{name:40s} wrist {test['wrist_cm']:5.1f} cm  "
            f"rotation {test['rotation_deg']:5.1f} deg  joints {test['relative_mm']:5.1f} mm"
        )
    print(f"Chosen: {chosen.name}. Written: {args.out} and {args.out.with_suffix('.json').name}.")
    return 0
