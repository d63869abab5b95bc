"""`vitra robot retarget MOTION`: recorded human finger motion on a robot hand, and how near its finger tips come."""

import argparse
from pathlib import Path

NAME = "retarget"
HELP = "turn recorded human finger motion into joint angles of a robot hand"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    what = "joints as .pkl or .npz, a folder of `vitra reconstruct`, a rendered clip, or an official .npy episode"
    parser.add_argument("motion", type=Path, help=f"recorded human motion: {what}")
    parser.add_argument("--hand", default="xhand", help="a shipped hand (xhand, allegro), or a table of one's own")
    parser.add_argument("--side", choices=("left", "right"), default="right", help="which hand (default: right)")
    parser.add_argument(
        "--method",
        default="table,tips",
        help="comma-separated: table (closed form), tips (least squares on tips), dex (package dex-retargeting); "
        "all are compared, the last one is written (default: table,tips)",
    )
    parser.add_argument("--every", type=int, default=1, help="take every n-th frame only")
    parser.add_argument("--out", type=Path, default=None, help="write the angles [rad] to this .csv")
    parser.add_argument("--records", type=Path, default=None, help="folder for a record of the errors (default: none)")


def run(args: argparse.Namespace) -> int:
    """Retarget, print a table of errors, write the angles."""
    from dataclasses import replace

    from robot.hand.motion import read_motion
    from robot.hand.retarget import METHODS, retarget
    from robot.hand.table import load_hand
    from vitra_lib.core.errors import BadInput, UnknownName
    from vitra_lib.core.files import write_text

    methods = [name.strip() for name in args.method.split(",")]
    for name in methods:
        if name not in METHODS:
            raise UnknownName("method of retargeting", name, METHODS)
    if args.every < 1:
        raise BadInput(f"--every is {args.every}: legal is 1 or more.")
    hand, motion = load_hand(args.hand, args.side), read_motion(args.motion, args.side)
    kept = slice(None, None, args.every)
    names = ("joints_wrist", "finger_euler", "is_valid")
    motion = replace(motion, **{name: getattr(motion, name)[kept] for name in names})
    found = [retarget(motion, hand, name, progress=True) for name in methods]
    print(f"{args.motion.name} on {hand.side} {hand.name}: {int(motion.is_valid.sum())} of {len(motion)} frames")
    print("  method   tip error [mm]  pinch error [mm]  by finger [mm]: " + ", ".join(hand.fingers))
    rows = [_figures(result) for result in found]
    for row in rows:
        by_finger = "  ".join(f"{value:6.1f}" for value in row["tip_error_mm_by_finger"].values())
        print(f"  {row['method']:8s} {row['tip_error_mm']:13.1f} {row['pinch_error_mm']:17.1f}   {by_finger}")
    if args.out is not None:
        lines = [",".join(["frame", "is_valid", *hand.tree.names])]
        for frame, (q, valid) in enumerate(zip(found[-1].q, found[-1].is_valid, strict=True)):
            lines.append(",".join([str(frame * args.every), str(int(valid)), *(f"{angle:.6f}" for angle in q)]))
        write_text(args.out, "\n".join(lines) + "\n")
        print(args.out)
    if args.records is not None:
        print(_record(args, hand.name, rows, int(motion.is_valid.sum())))
    return 0


def _record(args: argparse.Namespace, hand: str, rows: list[dict], frames: int) -> Path:
    """Write the errors as the record `robot.retarget.<hand>.json`."""
    from vitra_lib.evaluation.accuracy import Figure
    from vitra_lib.runs.records import write_figures_record

    figures = [
        Figure(f"{row['method']}_{kind}_error", row[f"{kind}_error_mm"], "mm", frames)
        for row in rows
        for kind in ("tip", "pinch")
    ]
    parameters = {"hand": hand, "side": args.side, "every": args.every}
    return write_figures_record(f"robot.retarget.{hand}", figures, parameters, {"motion": args.motion}, args.records)


def _figures(result) -> dict[str, object]:  # noqa: ANN001 - `Retargeted`, imported where it is made
    """Mean errors of one method [mm]; NaN where nothing could be measured."""
    import numpy as np

    def mean(values: np.ndarray) -> float:
        known = values[np.isfinite(values)]
        return float(known.mean() * 1e3) if known.size else float("nan")

    return {
        "method": result.method,
        "tip_error_mm": mean(result.tip_error_m),
        "pinch_error_mm": mean(result.pinch_error_m),
        "tip_error_mm_by_finger": {finger: mean(result.tip_error_m[:, i]) for i, finger in enumerate(result.fingers)},
    }
