"""Speed of the segmentation against the number of frames, at several frame rates.

    python benchmarks/segmentation_speed.py --frames 1000000

Tracks of both hands are made (movements, rests, noise, a tenth of the frames lost), wrapped as a reconstruction, and
cut by `segment` on one core. Processor time is measured, the best of several runs, since other programs share the
machine; the first run, on cold memory, is shown beside it. "growth" is the time per frame over that of the smallest
size in the same run: 1 = linear.
"""

import argparse
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vitra_lib.contracts import CameraTrack, HandTrack, Reconstruction
from vitra_lib.runs.records import write_figures_record
from vitra_lib.segmentation import segment


class Figure(NamedTuple):
    """One value of the record."""

    name: str
    value: float
    unit: str
    n: int
    ci95: None = None


def hand(side: str, time_s: np.ndarray, rng: np.random.Generator) -> HandTrack:
    """Minimum-jerk movements of 0.6 to 1.4 s with rests between them, jitter, and short losses."""
    count = len(time_s)
    starts = np.cumsum(rng.uniform(0.6, 2.0, int(time_s[-1]) + 2))
    number = np.minimum(np.searchsorted(starts, time_s, side="right"), len(starts) - 1)
    begin = np.concatenate([[0.0], starts])[number]
    u = np.clip((time_s - begin) / np.minimum(starts[number] - begin, 1.4), 0, 1)[:, None]
    goals = rng.uniform([-0.3, -0.2, 0.4], [0.3, 0.2, 0.7], (len(starts) + 1, 3))
    position = goals[number] + (goals[number + 1] - goals[number]) * (10 * u**3 - 15 * u**4 + 6 * u**5)
    is_valid = np.ones(count, bool)
    for lost in rng.integers(0, count, count // 60):
        is_valid[lost : lost + rng.integers(1, 12)] = False
    still = np.broadcast_to(np.eye(3), (count, 3, 3))
    return HandTrack(
        side=side,
        R_cam_wrist=still,
        t_cam_wrist=position + 0.001 * rng.normal(size=(count, 3)),
        R_parent_joint=np.broadcast_to(np.eye(3), (count, 15, 3, 3)),
        betas=np.zeros(10),
        joints_cam=np.broadcast_to(np.nan, (count, 21, 3)),
        is_valid=is_valid,
        is_observed=is_valid,
        confidence=is_valid.astype(float),
        hand_model="standin",
    )


def tracks(count: int, fps: float) -> Reconstruction:
    """Both hands for `count` frames, before a camera that sways."""
    rng = np.random.default_rng(0)
    time_s = np.arange(count) / fps
    T_world_cam = np.tile(np.eye(4), (count, 1, 1))
    T_world_cam[:, :3, 3] = 0.2 * np.sin(0.7 * time_s)[:, None] * [1.0, 0.2, 0.5]
    camera = CameraTrack(
        K_px=np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]]),
        width_px=640,
        height_px=480,
        T_world_cam=T_world_cam,
        is_valid=np.ones(count, bool),
        is_static=False,
        intrinsics_source="truth",
        scale_source="truth",
        scale_rel_std=0.0,
        method="truth",
    )
    return Reconstruction(
        video_name="made.mp4",
        video_sha256="",
        fps=fps,
        source_frame=np.arange(count),
        time_s=time_s,
        camera=camera,
        left=hand("left", time_s, rng),
        right=hand("right", time_s, rng),
    )


def seconds_of(reconstruction: Reconstruction, runs: int) -> tuple[float, float, int]:
    """Processor seconds of the first and of the fastest run, and how many segments came out."""
    taken, found = [], 0
    for _ in range(runs):
        start = time.process_time()
        found = len(segment(reconstruction).segments)
        taken.append(time.process_time() - start)
    return taken[0], min(taken), found


def main() -> None:
    """Measure all sizes and rates, and print one line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=1_000_000, help="frames of the longest track, both hands in each")
    parser.add_argument("--fps", type=float, nargs="+", default=[30, 60, 120], help="frame rates of that track")
    parser.add_argument("--runs", type=int, default=5, help="runs of each")
    parser.add_argument("--records", type=Path, default=Path("results/records"), help="folder for the record")
    args = parser.parse_args()
    cases = [(args.frames // 100, args.fps[0]), (args.frames // 10, args.fps[0])]
    cases += [(args.frames, fps) for fps in args.fps]
    figures, per_frame = [], 0.0
    print("  frames  fps  segments  M frames/s (first run)  M hand-frames/s  growth")
    for count, fps in cases:
        first, best, found = seconds_of(tracks(count, fps), args.runs)
        per_frame = per_frame or best / count
        rate, growth = count / best, best / count / per_frame
        name = f"{count} frames at {fps:g} fps"
        figures.append(Figure(f"{name}, both hands", rate, "frames/s", args.runs))
        figures.append(Figure(f"{name}, both hands, first run", count / first, "frames/s", 1))
        figures.append(Figure(f"{name}, time per frame over that of the smallest", growth, "ratio", args.runs))
        print(
            f"{count:8d} {fps:4g} {found:9d}  {rate / 1e6:10.2f} ({count / first / 1e6:9.2f})  {2 * rate / 1e6:15.2f}  "
            f"{growth:6.2f}",
            flush=True,
        )
    parameters = {"frames": args.frames, "fps": args.fps, "runs": args.runs}
    print(f"  -> {write_figures_record('segmentation.speed', figures, parameters, {}, args.records)}")


if __name__ == "__main__":
    main()
