"""`vitra undistort VIDEO --intrinsics FILE --out STRAIGHT.mp4`: a fisheye video as a pinhole would see it."""

import argparse
from pathlib import Path

NAME = "undistort"
HELP = "turn a fisheye or wide-angle video into a pinhole one, restartably"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("video", type=Path, help="video file")
    parser.add_argument(
        "--intrinsics", required=True, metavar="FILE|NAME=PATH",
        help="the lens: an Ego4D .npy (K, D, xi), an Aria device calibration .json (camera-rgb), or a JSON with fx fy "
        "cx cy width height, model (fisheye, omnidirectional), distortion and xi; or droidcalib=PATH, anycalib=PATH",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, help="mp4 to write, with OUT.intrinsics.json beside it")
    parser.add_argument("--focal", type=float, default=None, help="focal length of the result [px]; default: see below")
    parser.add_argument(
        "--hfov-deg", type=float, default=None,
        help="field of view of the result [degrees]; default: what the file asks for (Ego4D's intrinsics_new, Aria's "
        "usual 119 degrees), else the widest without a black border",
    )  # fmt: skip
    parser.add_argument("--interpolation", default="cubic", help="cubic (as the official preprocessing) or linear")
    parser.add_argument("--crf", type=int, default=20, help="quality of x264, 0 (lossless) to 51")
    parser.add_argument("--workers", type=int, default=2, help="threads; the bytes don't depend on it")


def run(args: argparse.Namespace) -> int:
    """Undistort, write the new intrinsics, say where both are."""
    import math

    from vitra_lib.core.errors import BadInput
    from vitra_lib.core.files import write_json
    from vitra_lib.geometry.cameras import K_from_focal
    from vitra_lib.geometry.cameras_lens import Pinhole
    from vitra_lib.reconstruction.backends import backend, parse
    from vitra_lib.reconstruction.backends.intrinsics import as_json, read_lens_and_target
    from vitra_lib.video import probe
    from vitra_lib.video.undistort import UndistortConfig, undistort_video, widest_pinhole

    name, file = parse("intrinsics", args.intrinsics)
    if file is None:
        raise BadInput("Undistortion needs a calibration: give --intrinsics FILE.")
    if args.out.suffix != ".mp4":
        raise BadInput(f"The result is an mp4: call it {args.out.stem}.mp4, not {args.out.name}.")
    if args.focal is not None and args.hfov_deg is not None:
        raise BadInput("Give either --focal or --hfov-deg, not both.")
    if args.hfov_deg is not None and not 5 <= args.hfov_deg <= 170:
        raise BadInput(f"The field of view is {args.hfov_deg:g} degrees: legal are 5 to 170.")
    info = probe(args.video)
    if name == "file":
        lens, pinhole = read_lens_and_target(file, info)
    else:
        lens, pinhole = backend("intrinsics", name).load()(file, info), None
    width, height = info.width_px, info.height_px
    focal = args.focal if args.hfov_deg is None else 0.5 * width / math.tan(0.5 * math.radians(args.hfov_deg))
    if focal is not None:
        pinhole = Pinhole(K_from_focal(focal, width, height), width, height)
    pinhole = pinhole or widest_pinhole(lens)
    config = UndistortConfig(interpolation=args.interpolation, crf=args.crf, workers=args.workers)
    made = undistort_video(args.video, args.out, lens, pinhole, config, progress=True)
    new = args.out.with_suffix(".intrinsics.json")
    write_json(new, as_json(pinhole))
    print(f"{args.out}: {made.frame_count} frames, {made.width_px}x{made.height_px}, focal {pinhole.K_px[0, 0]:.1f} px")
    print(new)
    return 0
