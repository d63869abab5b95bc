"""Speed and memory of `vitra reconstruct` against the length of the video.

    python benchmarks/reconstruct_speed.py --video clip.mp4 --minutes 1 2 3

One clip is played forwards and backwards until it is as long as asked for (so the motion never jumps), scaled to
640 x 480, and reconstructed by the command itself, in a process of its own, with the overlay video and all. Two
figures must not grow with the length: processor seconds per frame, and peak memory. Every length is measured in the
same run and shown as a ratio to the first one, because absolute times depend on what else the machine does.
Clips are at most 20 s long whatever the video's length, so from the second minute on a longer video only adds more
clips of the same length; what does grow with it are the tracks themselves, about 7 kB per frame.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2

from vitra_lib.evaluation.accuracy import Figure
from vitra_lib.runs.records import write_figures_record
from vitra_lib.video import VideoReader, VideoWriter

WIDTH_PX, HEIGHT_PX = 640, 480


def looped(video: Path, path: Path, seconds: float) -> int:
    """Write `video`, played back and forth, to `path`; returns the number of frames."""
    with VideoReader(video, max_short_side_px=HEIGHT_PX) as reader:
        images = [cv2.resize(frame.image, (WIDTH_PX, HEIGHT_PX)) for frame in reader.frames()]
        fps = reader.info.fps
    cycle = [*range(len(images)), *range(len(images) - 2, 0, -1)]
    count = round(seconds * fps)
    with VideoWriter(path, fps, WIDTH_PX, HEIGHT_PX) as writer:
        for index in range(count):
            writer.write(images[cycle[index % len(cycle)]])
    return count


def measure(video: Path, out: Path) -> dict[str, float]:
    """Run the command; wall and processor time [s] and peak resident memory [MB] of its process."""
    command = [sys.executable, "-m", "vitra_lib", "reconstruct", str(video), "--out", str(out)]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"The reconstruction of {video} failed with status {status}.")
    return {
        "wall_s": time.perf_counter() - start,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_mb": usage.ru_maxrss / 1024,
    }


def figures_of(rows: list[dict[str, float]]) -> list[Figure]:
    """The record's figures: per length speed, processor time and memory, and how the last two grow."""
    figures = []
    for row in rows:
        place, frames = f"{row['minutes']:g} min of video", int(row["frames"])
        cpu, first = row["cpu_s_per_frame"], rows[0]
        figures += [
            Figure(f"speed, {place}", frames / row["wall_s"], "frames/s", frames),
            Figure(f"processor time per frame, {place}", 1000 * cpu, "ms", frames),
            Figure(f"peak memory, {place}", row["peak_mb"], "MB", frames),
            Figure(f"processor time, {place} over first", cpu / first["cpu_s_per_frame"], "ratio", frames),
            Figure(f"peak memory, {place} over first", row["peak_mb"] / first["peak_mb"], "ratio", frames),
        ]
    return figures


def main() -> None:
    """Measure all lengths, print one line for each and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", type=Path, required=True, help="a short clip with hands")
    parser.add_argument("--minutes", type=float, nargs="+", default=[1, 2, 3], help="lengths to measure")
    parser.add_argument("--records", type=Path, default=Path("results/records"), help="folder for the record")
    args = parser.parse_args()
    rows: list[dict[str, float]] = []
    print("minutes  frames  frames/s  cpu ms/frame (ratio)  peak MB (ratio)")
    with tempfile.TemporaryDirectory() as folder:
        for minutes in args.minutes:
            video = Path(folder) / f"{minutes:g}.mp4"
            frames = looped(args.video, video, 60 * minutes)
            row = {"minutes": minutes, "frames": frames, **measure(video, Path(folder) / f"{minutes:g}")}
            row["cpu_s_per_frame"] = row["cpu_s"] / frames
            rows.append(row)
            cpu, peak = row["cpu_s_per_frame"], row["peak_mb"]
            print(
                f"{minutes:7.2f}  {frames:6d}  {frames / row['wall_s']:8.1f}  "
                f"{1000 * cpu:12.1f} ({cpu / rows[0]['cpu_s_per_frame']:5.2f})  "
                f"{peak:7.0f} ({peak / rows[0]['peak_mb']:5.2f})",
                flush=True,
            )
            video.unlink()
    parameters = {"minutes": args.minutes, "width_px": WIDTH_PX, "height_px": HEIGHT_PX}
    inputs = {args.video.name: args.video}
    print(f"-> {write_figures_record('reconstruction.speed', figures_of(rows), parameters, inputs, args.records)}")


if __name__ == "__main__":
    main()
