"""`vitra reconstruct VIDEO --out DIR`: metric hands and camera of one video, with an overlay to judge them by."""

import argparse
from pathlib import Path

NAME = "reconstruct"
HELP = "reconstruct metric 3-D hands and camera from a video"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("video", type=Path, help="video file")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for reconstruction.npz, overlay.mp4 and report.json"
    )
    add_reconstruct_options(parser)
    parser.add_argument("--no-overlay", action="store_true", help="do not write the overlay video")


def add_reconstruct_options(parser: argparse.ArgumentParser) -> None:
    """Options that `vitra build` shares."""
    parser.add_argument("--hands", default="mediapipe", help="hand backend (mediapipe)")
    parser.add_argument("--camera", default="klt", help="camera backend (klt, static)")
    parser.add_argument("--hand-model", default="standin", help="hand model (standin, mano)")
    parser.add_argument("--mano", type=Path, default=None, help="file or folder of MANO_RIGHT, for --hand-model mano")
    parser.add_argument("--hfov-deg", type=float, default=None, help="horizontal field of view if known [degrees]")


def reconstruct_config(args: argparse.Namespace):
    """The options as a `ReconstructConfig`."""
    import math

    from vitra_lib.reconstruction.backends import ReconstructConfig

    return ReconstructConfig(
        hands=args.hands,
        camera=args.camera,
        hand_model=args.hand_model,
        mano_path=args.mano,
        hfov_rad=None if args.hfov_deg is None else math.radians(args.hfov_deg),
    )


def run(args: argparse.Namespace) -> int:
    """Reconstruct, write the results, say where they are."""
    from vitra_lib.reconstruction.outputs import check_folder, write_outputs
    from vitra_lib.reconstruction.reconstruct import reconstruct

    config = reconstruct_config(args)
    check_folder(args.out)
    result = reconstruct(args.video, config, progress=True)
    for path in write_outputs(result, args.video, args.out, overlay=not args.no_overlay, progress=True):
        print(path)
    return 0
