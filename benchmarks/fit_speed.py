"""Speed of the hand fit on one core: hand-frames per second of lifting, closed form and whole-clip refinement.

    python benchmarks/fit_speed.py --seconds 10

A tabletop clip is generated (not rendered), its true joints are projected and disturbed as a detector's are, and each
step is timed in turn, repeat by repeat, in processor time, so that what else the machine does hurts all steps alike.
Ratios compare with the closed form. Run with OMP_NUM_THREADS=1 (the command sets it for itself where it can).
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402

from vitra_lib.evaluation.accuracy import Figure  # noqa: E402
from vitra_lib.geometry.cameras import project  # noqa: E402
from vitra_lib.hands.model import load_hand_model  # noqa: E402
from vitra_lib.reconstruction.fit import FitConfig, fit_hand  # noqa: E402
from vitra_lib.reconstruction.identity import HandDetections  # noqa: E402
from vitra_lib.reconstruction.lifter import Lifter  # noqa: E402
from vitra_lib.runs.records import write_figures_record  # noqa: E402
from vitra_lib.tabletop.config import ClipConfig  # noqa: E402
from vitra_lib.tabletop.generate import generate_clip  # noqa: E402

_POINT_NOISE = 0.05  # of the hand's extent in the image


def detections_of(seconds: float, seed: int) -> tuple[HandDetections, np.ndarray, np.ndarray]:
    """Disturbed landmarks of the right hand of a generated clip, its K [px] and its times [s]."""
    truth = generate_clip(ClipConfig(seed=seed, duration_s=seconds, hands="right")).truth
    hand, rng = truth.hand("right"), np.random.default_rng(seed)
    pixels = project(truth.camera.K_px, hand.joints_cam)
    extent = np.ptp(pixels, axis=1).max(axis=-1)[:, None, None]
    pixels = pixels + _POINT_NOISE * extent * rng.normal(size=pixels.shape)
    guess = (hand.joints_cam - hand.joints_cam[:, :1]) * [1.0, 1.0, 0.5]
    pixels[~hand.is_valid], guess[~hand.is_valid] = np.nan, np.nan
    found = HandDetections("right", pixels, guess, hand.is_valid * 0.9, hand.is_valid)
    return found, truth.camera.K_px, np.arange(len(truth)) / 30.0


def processor_seconds(work: Callable[[], object]) -> float:
    """Processor time of one call [s]."""
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> int:
    """Time every step and print one line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="length of the clip")
    parser.add_argument("--repeats", type=int, default=5, help="measurements of each step; the median counts")
    parser.add_argument("--seed", type=int, default=40_000, help="of the clip")
    parser.add_argument("--records", type=Path, default=Path("results/records"), help="folder for the record")
    args = parser.parse_args()
    found, K_px, times = detections_of(args.seconds, args.seed)
    lifter, model = Lifter.load(), load_hand_model("standin")
    lifted = lifter.lift(found, K_px)
    frames = int((lifted.is_valid & found.is_detected).sum())
    steps = {
        "lifting": lambda: lifter.lift(found, K_px),
        "closed form": lambda: fit_hand("right", lifted, found, K_px, times, model, FitConfig(iterations=0)),
        "whole-clip fit": lambda: fit_hand("right", lifted, found, K_px, times, model),
        "lifting and whole-clip fit": lambda: fit_hand("right", lifter.lift(found, K_px), found, K_px, times, model),
    }
    for work in steps.values():
        work()  # first calls import and allocate
    seconds = {name: [] for name in steps}
    for _ in range(args.repeats):
        for name, work in steps.items():
            seconds[name].append(processor_seconds(work))
    speed = {name: frames / float(np.median(values)) for name, values in seconds.items()}
    print(f"{frames} hand-frames on one core\n{'step':28s} hand-frames/s (ratio to the closed form)")
    for name, value in speed.items():
        print(f"{name:28s} {value:13.0f} ({value / speed['closed form']:5.2f})")
    figures = [Figure(f"{name}, one core", value, "hand-frames/s", frames) for name, value in speed.items()]
    parameters = {"seconds": args.seconds, "repeats": args.repeats, "seed": args.seed}
    print(f"-> {write_figures_record('reconstruction.fit_speed', figures, parameters, {}, args.records)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
