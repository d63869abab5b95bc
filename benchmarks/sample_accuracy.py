"""How true training samples are: against the official numbers, the official resampling and sampler, and their images.

    python benchmarks/sample_accuracy.py --data ../shared/data/vitra_ego4d_episode [--goldens vitra_golden.json]

On the official example episode and its clip. Each figure stands beside a control or the official way, in one run.
"""

import argparse
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vitra_lib.core.paths import results_folder
from vitra_lib.dataset import (
    AugmentationConfig,
    EpisodeArrays,
    LabelBatch,
    SampleConfig,
    ViewConfig,
    draw_many,
    make_label_batch,
    make_sample,
    sample_rng,
)
from vitra_lib.dataset.warp import warp
from vitra_lib.episodes import Episode, read_official
from vitra_lib.geometry.cameras import project
from vitra_lib.runs.records import write_figures_record
from vitra_lib.video import VideoReader

STILL = SampleConfig(augmentation=AugmentationConfig(colour=None))
OFFICIAL = replace(STILL, augmentation=AugmentationConfig(colour=None, view=ViewConfig(official_roll=True)))


@dataclass(frozen=True)
class Figure:
    """One figure of the record: name, value, unit, number of samples, interval."""

    name: str
    value: float
    unit: str
    n: int
    ci95: tuple[float, float] | None = None


def labels(episode: Episode, frames: np.ndarray, config: SampleConfig, epoch: int = 0) -> LabelBatch:
    """Labels of some frames, with the draws of their places in the list."""
    arrays, u = EpisodeArrays.of_one(episode), draw_many(0, epoch, np.arange(len(frames)))
    return make_label_batch(arrays, np.zeros(len(frames), int), frames, u, config)


def golden_figures(episode: Episode, goldens: dict) -> list[Figure]:
    """Largest differences to the numbers of the official code, and to its own next frame as a control."""
    worst = {"state": 0.0, "action": 0.0, "next_frame": np.inf}
    for frame in (0, 10):
        golden = goldens["dataset_example"][f"frame{frame}"]
        ours = labels(episode, np.array([frame, frame + 1]), SampleConfig(official_quirks=True))
        worst["state"] = max(worst["state"], np.abs(ours.raw_state[0] - golden["state"]).max())
        worst["action"] = max(worst["action"], np.abs(ours.raw_action[0, :, 51:] - golden["action_right"]).max())
        worst["next_frame"] = min(worst["next_frame"], np.abs(ours.raw_state[1] - golden["state"]).max())
    return [
        Figure("state_difference_to_official", worst["state"], "m|rad", 2),
        Figure("action_difference_to_official", worst["action"], "m|rad", 2),
        Figure("control_next_frame_difference", worst["next_frame"], "m|rad", 2),
    ]


def resampling_figures(episode: Episode, images: list[np.ndarray], count: int) -> list[Figure]:
    """Our default resampling against the official one, in grey levels of 255 and in time."""
    frames = np.arange(count) % len(images)
    views, K = labels(episode, frames, STILL).views, EpisodeArrays.of_one(episode).K[0]
    mean, square, shifted, cost = [], [], [], {"linear": 0.0, "lanczos": 0.0}
    for i, frame in enumerate(frames):
        seen = {}
        for way in cost:
            start = time.process_time()
            seen[way] = warp(images[frame], K, views.K[i], views.R_view_cam[i], views.size_px[i], way).astype(float)
            cost[way] += time.process_time() - start
        error = seen["linear"] - seen["lanczos"]
        mean.append(np.abs(error).mean())
        square.append((error**2).mean())
        shifted.append(np.abs(np.diff(seen["lanczos"], axis=1)).mean())
    return [
        Figure("resampling_mean_difference", float(np.mean(mean)), "1/255", count),
        Figure("resampling_rms_difference", float(np.sqrt(np.mean(square))), "1/255", count),
        Figure("control_one_pixel_off", float(np.mean(shifted)), "1/255", count),
        Figure("warp_linear_cpu", cost["linear"] / count, "s", count),
        Figure("warp_lanczos_cpu", cost["lanczos"] / count, "s", count),
    ]


def pixel_figures(episode: Episode, size: tuple[int, int], count: int) -> list[Figure]:
    """Distance of a dot painted on the wrist from where the new label projects, in the virtual camera's image."""
    y, x = np.mgrid[: size[1], : size[0]]
    offsets = []
    for index in range(count):
        frame = index % (len(episode) - 5)
        place = project(episode.K_for(*size), episode.t_cam_wrist(episode.primary_hand)[frame]) - 0.5
        dot = 255 * np.exp(-((x - place[0]) ** 2 + (y - place[1]) ** 2) / 30)
        image = np.repeat(dot[..., None], 3, axis=2).astype(np.uint8)
        sample = make_sample(episode, frame, image, STILL, sample_rng(0, 0, index))
        hand = 0 if sample.state_mask[0] else 51
        label = project(sample.K_px, sample.state[hand : hand + 3].astype(float)) - 0.5
        seen = sample.image[..., 0].astype(float)
        if (10 < label).all() and (label < np.array(seen.shape[::-1]) - 10).all():
            grid = np.mgrid[: seen.shape[0], : seen.shape[1]]
            found = np.array([(seen * grid[1]).sum(), (seen * grid[0]).sum()]) / seen.sum()
            offsets.append(float(np.linalg.norm(found - label)))
    return [
        Figure("joint_off_its_pixel_median", float(np.median(offsets)), "px", len(offsets)),
        Figure("joint_off_its_pixel_max", max(offsets), "px", len(offsets)),
    ]


def view_figures(episode: Episode, count: int) -> list[Figure]:
    """What views keep of the palm's way, and how many have black corners; ours and the official bound of the roll."""
    frames, arrays = np.arange(count) % len(episode), EpisodeArrays.of_one(episode)
    corners = np.array([[0.0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]])
    figures = []
    for name, config in (("", STILL), ("official_", OFFICIAL)):
        views, kept, black = labels(episode, frames, config).views, [], 0
        for i, frame in enumerate(frames):
            way = arrays.palm_world[frame:] @ arrays.R_cam_world[frame].T + arrays.t_cam_world[frame]
            was, seen = project(arrays.K[0], way), project(views.K[i], way @ views.R_view_cam[i].T)
            shown = ((was > 0) & (was < 1)).all(1)
            kept += ((seen > 0) & (seen < 1)).all(1)[shown].tolist()
            source = corners @ (arrays.K[0] @ np.linalg.inv(views.K[i] @ views.R_view_cam[i])).T
            source = source[:, :2] / source[:, 2:]
            black += bool((np.maximum(-source, source - 1) > 0.01).any())
        figures += [
            Figure(f"{name}palm_points_kept", float(np.mean(kept)), "1", len(kept)),
            Figure(f"{name}views_with_black_corners", black / count, "1", count),
        ]
    return figures


def speed_figures(episode: Episode, image: np.ndarray, count: int) -> list[Figure]:
    """Processor time of labels in batches of 256, and of one whole sample from a decoded frame, augmented."""
    config = SampleConfig(augmentation=AugmentationConfig())
    frames = np.arange(256) % len(episode)
    labels(episode, frames, config)
    start = time.process_time()
    for epoch in range(8):
        labels(episode, frames, config, epoch)
    label_s = (time.process_time() - start) / (8 * len(frames))
    start = time.process_time()
    for index in range(count):
        make_sample(episode, int(frames[index]), image, config, sample_rng(0, 0, index))
    return [
        Figure("label_cpu", label_s, "s", 8 * len(frames)),
        Figure("labels_per_cpu_second", 1 / label_s, "1/s", 8 * len(frames)),
        Figure("whole_sample_cpu", (time.process_time() - start) / count, "s", count),
    ]


def main() -> None:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", type=Path, default=Path("../shared/data/vitra_ego4d_episode"), help="official example"
    )
    parser.add_argument("--goldens", type=Path, help="numbers of the official code; without them they are left out")
    parser.add_argument("--count", type=int, default=200, help="samples per figure")
    parser.add_argument("--records", type=Path, default=results_folder() / "records")
    args = parser.parse_args()
    annotation, video = next(args.data.glob("*.npy")), next(args.data.glob("*.mp4"))
    episode = read_official(annotation, 30.0)
    with VideoReader(video) as reader:
        images = [frame.image for frame in reader.frames()]
    figures = golden_figures(episode, json.loads(args.goldens.read_text())) if args.goldens else []
    figures += resampling_figures(episode, images, args.count)
    figures += pixel_figures(episode, (images[0].shape[1], images[0].shape[0]), args.count // 4)
    figures += view_figures(episode, 5 * args.count)
    figures += speed_figures(episode, images[0], min(args.count, 100))
    for figure in figures:
        print(f"{figure.name:34s} {figure.value:12.6g} {figure.unit:8s} n = {figure.n}")
    inputs = {"annotation": annotation, "video": video}
    print(write_figures_record("sample_accuracy", figures, {"count": args.count}, inputs, args.records))


if __name__ == "__main__":
    main()
