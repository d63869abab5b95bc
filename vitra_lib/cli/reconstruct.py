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
    parser.add_argument(
        "--pictures", action="store_true", help="also write side_by_side.mp4: input, fitted skin, world from above"
    )


def add_reconstruct_options(parser: argparse.ArgumentParser) -> None:
    """Options that `vitra build` shares."""
    parser.add_argument(
        "--hands", default="mediapipe", metavar="NAME[=PATH]",
        help="hand backend: mediapipe, or what a tool wrote: hawor=FOLDER, wilor=FOLDER, hamer=FOLDER",
    )  # fmt: skip
    parser.add_argument(
        "--camera", default="klt", metavar="NAME[=PATH]",
        help="camera backend: klt, static, or what a tool wrote: megasam=, vipe=, droid=, tum=, tum-metric=, colmap=, "
        "hawor=PATH; {video} in a path stands for the video's name without extension",
    )  # fmt: skip
    parser.add_argument(
        "--intrinsics", default="self", metavar="FILE|NAME=PATH",
        help="intrinsics: a JSON with fx fy cx cy width height, a 3x3 .npy, an Ego4D .npy, an Aria .json; or "
        "droidcalib=, anycalib=, moge=PATH; default: self-calibration",
    )  # fmt: skip
    parser.add_argument(
        "--depth", default="none", metavar="NAME=PATH",
        help="metric depth that scales the camera path: moge=PATH, depth-pro=FOLDER, depth-anything=FOLDER",
    )  # fmt: skip
    parser.add_argument("--hand-model", default="standin", help="hand model (standin, mano)")
    parser.add_argument("--mano", type=Path, default=None, help="file or folder of MANO_RIGHT, for --hand-model mano")
    parser.add_argument("--hfov-deg", type=float, default=None, help="horizontal field of view if known [degrees]")
    parser.add_argument(
        "--wrong-way-up", default="refuse", metavar="refuse|warn",
        help="what to do where the hands say that the video is upside down or not the wearer's view",
    )  # fmt: skip


def reconstruct_config(args: argparse.Namespace):
    """The options as a `ReconstructConfig`."""
    import math

    from vitra_lib.reconstruction.backends import ReconstructConfig, parse

    (hands, hands_file), (camera, camera_file) = parse("hands", args.hands), parse("camera", args.camera)
    (intrinsics, lens_file), (depth, depth_file) = parse("intrinsics", args.intrinsics), parse("depth", args.depth)
    return ReconstructConfig(
        hands=hands,
        camera=camera,
        hand_model=args.hand_model,
        mano_path=args.mano,
        hfov_rad=None if args.hfov_deg is None else math.radians(args.hfov_deg),
        hands_file=hands_file,
        camera_file=camera_file,
        intrinsics=intrinsics,
        intrinsics_file=lens_file,
        depth=depth,
        depth_file=depth_file,
        on_wrong_way_up=args.wrong_way_up,
    )


def run(args: argparse.Namespace) -> int:
    """Reconstruct, write the results, say where they are."""
    from vitra_lib.reconstruction.outputs import check_folder, write_outputs
    from vitra_lib.reconstruction.reconstruct import reconstruct

    config = reconstruct_config(args)
    check_folder(args.out)
    result = reconstruct(args.video, config, progress=True)
    pictures = {"overlay": not args.no_overlay, "pictures": args.pictures}
    for path in write_outputs(result, args.video, args.out, progress=True, **pictures):
        print(path)
    return 0
