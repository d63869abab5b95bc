"""`vitra predict IMAGE --checkpoint DIR --instruction "…" --out DIR`: draw where the hands will go.

Writes numbers (metres and radians in the picture's camera), a picture and a video. The hands as they are come from a
file (`--hand-state`, ours or the official one) or are found in the picture (`--reconstruct`).
"""

import argparse
from pathlib import Path

NAME = "predict"
HELP = "draw where the hands in a picture will go, given a sentence"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("image", type=Path, help="picture from the wearer's view; any mode, EXIF rotation is applied")
    parser.add_argument("--checkpoint", type=Path, required=True, help="checkpoint folder of a policy")
    parser.add_argument(
        "--instruction", required=True, help='"Left hand: … Right hand: …", or what the one hand of --hands does'
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for numbers, picture, video and hand state")
    start = parser.add_mutually_exclusive_group()
    start.add_argument(
        "--hand-state", type=Path, default=None, metavar="FILE",
        help="the hands as they are: .npz of an earlier prediction, or an official .npy (default: the .npy beside the "
        "picture)",
    )  # fmt: skip
    start.add_argument("--reconstruct", action="store_true", help="find the hands in the picture")
    parser.add_argument(
        "--hands", choices=("left", "right", "both"), default=None, help="who moves (default: as the sentence says)"
    )
    parser.add_argument(
        "--fov-deg", type=float, default=None, help="horizontal field of view [degrees] (default: of the hand state)"
    )
    parser.add_argument("--samples", type=int, default=4, help="draws")
    parser.add_argument("--steps", type=int, default=10, help="diffusion steps")
    parser.add_argument("--guidance", type=float, default=5.0, help="classifier-free guidance; 1 = none")
    parser.add_argument("--seed", type=int, default=0, help="of the draws")
    parser.add_argument("--statistics", type=Path, default=None, help="statistics file (default: the checkpoint's own)")
    parser.add_argument("--profile", default=None, help="refuse a checkpoint of another profile (tiny, small, paper)")
    parser.add_argument("--tokenizer", type=Path, default=None, help="PaliGemma folder whose tokenizer is used")
    parser.add_argument("--hand-model", default="standin", help="hand model that is drawn (standin, mano)")
    parser.add_argument("--mano", type=Path, default=None, help="file of MANO_RIGHT, for --hand-model mano")
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda or mps")
    parser.add_argument(
        "--route", default="exact", help="how to compute: exact, fp32, bf16 or compiled (faster, less exact)"
    )
    parser.add_argument("--fps", type=float, default=8.0, help="frame rate of the video [1/s]")


def run(args: argparse.Namespace) -> int:
    """Predict, write, and say where."""
    import sys

    import numpy as np

    from vitra_lib.core.devices import choose_device
    from vitra_lib.core.errors import BadInput
    from vitra_lib.hands.model import load_hand_model
    from vitra_lib.policy.config import SamplingConfig
    from vitra_lib.policy.diffusion import kept_timesteps
    from vitra_lib.policy.fast import optimised
    from vitra_lib.policy.predict import Predictor, Request
    from vitra_lib.policy.prediction_files import write_prediction
    from vitra_lib.video.still import read_still

    if not args.fps > 0:
        raise BadInput(f"--fps is {args.fps}; it must be above 0.")
    kept_timesteps(args.steps)
    hands = {None: None, "both": ("left", "right"), "left": ("left",), "right": ("right",)}[args.hands]
    fov = None if args.fov_deg is None else float(np.deg2rad(args.fov_deg))
    request = Request(args.instruction, hands, fov, SamplingConfig(args.steps, args.guidance, args.samples, args.seed))
    image = read_still(args.image)
    model = load_hand_model(args.hand_model, args.mano)
    predictor = Predictor.open(args.checkpoint, model, args.statistics, args.profile, args.tokenizer)
    predictor.policy = optimised(predictor.policy.to(choose_device(args.device)), args.route)
    prediction = predictor(image, _state(args, image, model), request)
    write_prediction(prediction, image, args.out, model, args.fps)
    for remark in prediction.remarks:
        print(f"vitra: {remark}", file=sys.stderr)
    for hand in prediction.hands:
        moved = 100 * np.linalg.norm(hand.points[:, -1, :3] - hand.points[:, 0, :3], axis=-1)
        ways = ", ".join(f"{cm:.1f}" for cm in moved)
        print(f"{hand.side} hand: the wrist ends {ways} cm away")
    print(args.out)
    return 0


def _state(args: argparse.Namespace, image, model):
    """The hands as they are."""
    import sys

    import numpy as np

    from vitra_lib.core.errors import BadInput
    from vitra_lib.geometry.cameras import K_from_focal
    from vitra_lib.policy.hand_state import HandState, read_hand_state

    if not args.reconstruct:
        beside = args.image.with_suffix(".npy")
        path = args.hand_state or (beside if beside.is_file() else None)
        if path is None:
            raise BadInput("How the hands are is not known: give --hand-state FILE, or --reconstruct to find them.")
        return read_hand_state(path)
    from vitra_lib.reconstruction.camera.config import DEFAULT_CONFIG
    from vitra_lib.reconstruction.still import still_hands

    fov_deg = args.fov_deg
    if fov_deg is None:
        fov_deg = DEFAULT_CONFIG.prior_fov_deg
        guess = f"A field of view of {fov_deg:g} degrees is a guess; give --fov-deg if you know it."
        print(f"vitra: {guess}", file=sys.stderr)
    fov = float(np.deg2rad(fov_deg))
    height, width = image.shape[:2]
    K_px = K_from_focal(0.5 * width / float(np.tan(0.5 * fov)), width, height)
    return HandState.of_tracks(still_hands(image, K_px, model), 0, fov)
