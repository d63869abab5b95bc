"""Does the real `lerobot` package open what this kit writes, and does it see the same?

    python benchmarks/lerobot_opens.py --python /path/to/an/environment/with/lerobot/bin/python [--dataset DATASET]

The environment is made with `python -m venv X && X/bin/pip install lerobot`; leave its versions to pip: with a newer
torch than lerobot asks for, torchvision loses the video decoder that lerobot reads with, and nothing else shows it.

A dataset is written (by default from the committed sample clip with its true labels), read by `lerobot` in a process
of its own that knows nothing of this kit, and compared here, frame by frame and column by column: labels must be
identical bit for bit, pictures must be the frames that were written up to the error of the codec. A frame that is one
off is the control: it must be told apart.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from vitra_lib.core.paths import results_folder, sample_folder
from vitra_lib.episodes import EpisodeStore, build_episodes
from vitra_lib.episodes.schema import FRAME_FEATURES, VIDEO_KEY, frame_table
from vitra_lib.runs.records import write_figures_record
from vitra_lib.tabletop.clip import TabletopClip
from vitra_lib.video import VideoReader

READER = Path(__file__).with_name("lerobot_reader.py")


@dataclass(frozen=True)
class Figure:
    """One figure of the record: name, value, unit, number of samples, interval."""

    name: str
    value: float
    unit: str
    n: int
    ci95: tuple[float, float] | None = None


def sample_dataset(root: Path) -> EpisodeStore:
    """The sample clip as a dataset of its true labels."""
    clip = TabletopClip.load(sample_folder())
    episodes, _ = build_episodes(clip.truth, clip.captions, dataset_prefix="Sample")
    with EpisodeStore.create(root) as writer:
        writer.add_video(episodes[0].video_name, [sample_folder() / "sample.mp4"], "Sample")
        for episode in episodes:
            writer.append(episode)
        return writer.finalize()


def read_by_lerobot(python: Path, root: Path, backend: str, out: Path) -> tuple[dict, dict[str, np.ndarray]]:
    """What lerobot gave: facts, and arrays by name."""
    done = subprocess.run([python, READER, root, out, "--backend", backend], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"lerobot could not read {root}:\n{done.stderr[-2000:]}")
    with np.load(out) as arrays:
        found = {name: arrays[name] for name in arrays.files}
    return json.loads(str(found.pop("about"))), found


def compare(store: EpisodeStore, about: dict, found: dict[str, np.ndarray]) -> list[Figure]:
    """Labels, instructions, statistics and pictures; differences are counted, never averaged away."""
    wrong: dict[str, int] = {}
    close, other, step = [], [], []
    first = 0
    tasks = found["table/task_index"][:, 0]
    for index, episode in enumerate(store):
        rows = slice(first, first + len(episode))
        frames, _ = frame_table(episode, index, first, tasks[rows], store.fps)
        for name, (dtype, length, _) in FRAME_FEATURES.items():
            column = frames.column(name).combine_chunks()
            ours = (column.flatten() if length > 1 else column).to_numpy(zero_copy_only=False)
            ours = ours.reshape(len(episode), length)
            theirs = found[f"table/{name}"][rows]
            kept = np.array_equal(ours, theirs, equal_nan=dtype.startswith("float")) and ours.dtype == theirs.dtype
            item = found[f"item/{name}"][rows].reshape(ours.shape)
            kept &= np.array_equal(ours.astype(item.dtype), item, equal_nan=dtype.startswith("float"))
            wrong[name] = wrong.get(name, 0) + (not kept)
        said = [episode.instruction(frame) for frame in range(len(episode))]
        wrong["task"] = wrong.get("task", 0) + (said != about["tasks"][rows])
        images = np.stack(store.images(index, range(len(episode)))).astype(float)
        shown = found[f"item/{VIDEO_KEY}"][rows].transpose(0, 2, 3, 1).astype(float)
        close.append(np.abs(images - shown).mean((1, 2, 3)))
        step.append(np.abs(images - shown).max((1, 2, 3)))
        other.append(np.abs(images[1:] - shown[:-1]).mean((1, 2, 3)))
        first += len(episode)
    written = json.loads((store.root / "meta/stats.json").read_text())
    same_stats = all(np.allclose(about["stats"][n][k], v, rtol=1e-6) for n, e in written.items() for k, v in e.items())
    complete = np.array_equal(np.sort(found["loader_index"]), np.arange(first)) and about["frames"] == first
    columns = sum(count > 0 for count in wrong.values())
    return [
        Figure("columns that differ", float(columns), "columns", len(wrong)),
        Figure("statistics that differ", float(not same_stats), "files", 1),
        Figure("frames missing from lerobot's loader", float(not complete), "datasets", first),
        Figure("picture difference, mean", float(np.concatenate(close).mean()), "grey levels", first),
        Figure("picture difference, worst frame's mean", float(np.concatenate(close).max()), "grey levels", first),
        Figure("picture difference, worst pixel", float(np.concatenate(step).max()), "grey levels", first),
        Figure("control: picture difference one frame off", float(np.concatenate(other).mean()), "grey levels", first),
    ]


def codec_error(store: EpisodeStore) -> Figure:
    """How far the stored pictures of the sample are from its own: what encoding them once more costs."""
    size = (store.width_px, store.height_px)
    off = []
    with VideoReader(sample_folder() / "sample.mp4") as reader:
        for index in range(len(store)):
            frames = [int(n) for n in store[index].source_frame]
            for frame, image in zip(reader.at(frames), store.images(index, range(len(frames))), strict=True):
                source = cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA)
                off.append(np.abs(source.astype(float) - image).mean())
    return Figure("stored picture against its source, mean", float(np.mean(off)), "grey levels", len(off))


def main() -> int:
    """Write, read by lerobot, compare, record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", type=Path, required=True, help="interpreter of an environment that has lerobot")
    parser.add_argument("--dataset", type=Path, help="an existing dataset (default: one made from the sample clip)")
    parser.add_argument("--backend", default="pyav", help="lerobot's video backend (pyav, torchcodec)")
    parser.add_argument("--records", type=Path, default=results_folder() / "records", help="folder for the record")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = EpisodeStore.open(args.dataset) if args.dataset else sample_dataset(Path(folder) / "sample")
        about, found = read_by_lerobot(args.python, store.root, args.backend, Path(folder) / "read.npz")
        figures = compare(store, about, found)
        if args.dataset is None:
            figures.append(codec_error(store))
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    print(f"read by {versions}; video backend {args.backend}")
    for figure in figures:
        print(f"  {figure.name:45s} {figure.value:10.4f} {figure.unit} (n = {figure.n})")
    failed = any(figure.value for figure in figures[:3]) or figures[3].value > 0.25 * figures[6].value
    source = args.dataset.name if args.dataset else "data/sample with its true labels"
    parameters = {"dataset": source, "backend": args.backend, "read by": about["versions"]}
    inputs = {"data/sample": sample_folder()} if args.dataset is None else {}
    print(f"  -> {write_figures_record('lerobot_opens', figures, parameters, inputs, args.records)}")
    print("not the same" if failed else "the same")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
