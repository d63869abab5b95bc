"""`vitra compare A B`: one reconstruction (or camera path) against another, against truth, or an official episode."""

import argparse
from pathlib import Path

NAME = "compare"
HELP = "score a reconstruction or a camera path against another one or against truth"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    what = "folder or .npz of `vitra reconstruct`, rendered clip, official .npy, or camera path (TUM, KITTI, EuRoC)"
    parser.add_argument("estimate", type=Path, help=f"what is judged: {what}")
    parser.add_argument("reference", type=Path, help="what it is judged by: the same kinds")
    parser.add_argument("--max-difference", type=float, default=0.01, help="largest difference in time of a pair [s]")
    parser.add_argument("--by-frame", action="store_true", help="pair by frame number, not by time")
    parser.add_argument("--step", type=float, default=0.0, help="length of relative motions [s]; 0 = one frame")
    parser.add_argument("--fps", type=float, default=30.0, help="frame rate of an official episode's video [1/s]")
    parser.add_argument("--json", type=Path, default=None, help="also write the figures to this file")


def run(args: argparse.Namespace) -> int:
    """Compare, print a table, write it as JSON where asked."""
    import math

    from vitra_lib.core.errors import BadInput
    from vitra_lib.core.files import write_json
    from vitra_lib.evaluation.compare import CompareConfig, compare, read_subject

    if not 0 < args.fps < math.inf:
        raise BadInput(f"--fps is {args.fps}: a frame rate is more than 0.")
    config = CompareConfig(args.max_difference, args.step, args.by_frame)
    estimate, reference = read_subject(args.estimate, args.fps), read_subject(args.reference, args.fps)
    figures = compare(estimate, reference, config)
    print(f"{estimate.name} against {reference.name}")
    for f in figures:
        interval = "" if f.ci95 is None else f"  [{f.ci95[0]:.3f}, {f.ci95[1]:.3f}]"
        print(f"  {f.name:52s} {f.value:12.6f} {f.unit:7s} n={f.n}{interval}")
    if args.json is not None:
        rows = [
            {
                "name": f.name,
                "value": f.value if math.isfinite(f.value) else None,
                "unit": f.unit,
                "n": f.n,
                "ci95": list(f.ci95) if f.ci95 else None,
            }
            for f in figures
        ]
        write_json(args.json, {"estimate": str(args.estimate), "reference": str(args.reference), "figures": rows})
        print(args.json)
    return 0
