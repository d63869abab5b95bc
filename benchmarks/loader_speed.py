"""Speed and memory of the training loader, side by side with the official loader's way, in one run.

    python benchmarks/loader_speed.py --episode ../shared/data/vitra_ego4d_episode

Random augmented samples of 224 px from one process: the given episode, its clip played back and forth to 2,000 frames
(so that nothing jumps and the encoder sets its key frames as in a real recording), read by this library from its store
and by the official way from an mp4 encoded as the official recipe encodes. Both ways take turns, and processor time
decides, for other programs may run; wall time is shown too. Then: labels alone; an index and a store of 1.2 million
episodes; memory of four workers over 20,000 samples.
"""

import argparse
import dataclasses
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import av  # noqa: E402
import cv2  # noqa: E402
import numpy as np  # noqa: E402
import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
import torch  # noqa: E402
from official_loader import official_sample  # noqa: E402

from vitra_lib.core.files import write_json  # noqa: E402
from vitra_lib.core.paths import results_folder  # noqa: E402
from vitra_lib.dataset import AugmentationConfig, SampleConfig, draw, make_sample, sample_rng  # noqa: E402
from vitra_lib.dataset.loader import LoaderConfig, TrainingLoader  # noqa: E402
from vitra_lib.dataset.sampler import MixtureOrder, MixtureSampler, Share  # noqa: E402
from vitra_lib.dataset.source import StoreSource, open_source  # noqa: E402
from vitra_lib.dataset.training_samples import ReadConfig, TrainingSamples  # noqa: E402
from vitra_lib.episodes import EpisodeStore, FootageConfig, ImportConfig, import_vitra_1m, official_bytes, read_official  # noqa: E402  # noqa: E402
from vitra_lib.episodes.episode import Episode, EpisodeHand  # noqa: E402
from vitra_lib.episodes.shards import LABELS_PER_FILE, LABELS_PER_GROUP, shard_path  # noqa: E402
from vitra_lib.episodes.store import LABELS  # noqa: E402
from vitra_lib.episodes.vitra_1m_index import open_vitra_1m  # noqa: E402
from vitra_lib.runs.records import write_figures_record  # noqa: E402
from vitra_lib.video import VideoReader  # noqa: E402

FRAMES = 2000
EPISODES = 1_222_918
BATCH = 32


@dataclass(frozen=True)
class Figure:
    """One measured figure."""

    name: str
    value: float
    unit: str
    n: int
    ci95: tuple[float, float] | None = None


def reversed_in_time(episode: Episode) -> Episode:
    """The same episode played backwards."""

    def hand(one: EpisodeHand) -> EpisodeHand:
        names = ("R_world_wrist", "t_world_wrist", "R_parent_joint", "joints_world", "is_valid", "confidence")
        time = len(one)
        captions = tuple(dataclasses.replace(c, start=time - c.stop, stop=time - c.start) for c in one.captions)
        return dataclasses.replace(one, **{n: getattr(one, n)[::-1].copy() for n in names}, captions=captions)

    return dataclasses.replace(
        episode, T_cam_world=episode.T_cam_world[::-1].copy(), left=hand(episode.left), right=hand(episode.right)
    )


def make_data(source: Path, work: Path) -> tuple[list[Path], Path]:
    """Annotations and the long video, in the official layout; returns the annotation files and the video."""
    annotation, clip = next(source.glob("*.npy")), next(source.glob("*.mp4"))
    episode = read_official(annotation, 30.0)
    with VideoReader(clip) as reader:
        images = [frame.image for frame in reader.frames()]
    folder, video = work / "official" / "episodic_annotations", work / "official" / "videos" / clip.name
    folder.mkdir(parents=True)
    video.parent.mkdir()
    length = len(images)
    with av.open(str(video), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.options = {"preset": "medium", "crf": "22"}
        for n in range(FRAMES):
            turn, at = divmod(n, length)
            image = images[length - 1 - at if turn % 2 else at]
            for packet in stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    ways = (episode, reversed_in_time(episode))
    files = []
    for n in range(FRAMES // length):
        shifted = dataclasses.replace(
            ways[n % 2],
            name=f"{episode.dataset_prefix}_{episode.video_name}_ep_{n:06d}",
            source_frame=np.arange(n * length, (n + 1) * length),
            time_s=np.arange(n * length, (n + 1) * length) / 30.0,
        )
        files.append(folder / f"{shifted.name}.npy")
        files[-1].write_bytes(official_bytes(shifted))
    return files, video


def per_second(count: int, work: Callable[[], None]) -> tuple[float, float]:
    """Samples per second of processor time, and of wall time."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return count / (time.process_time() - cpu), count / (time.perf_counter() - wall)


def check_equal(files: list[Path], video: Path) -> None:
    """The official way as stated here gives what this library gives with the official quirks on."""
    config = SampleConfig(augmentation=AugmentationConfig(), official_quirks=True)
    with VideoReader(video) as reader:
        for n, frame in ((0, 0), (1, 9), (2, 20), (5, 13)):
            theirs = official_sample(files[n], video, frame, draw(sample_rng(0, 0, n)))
            episode = read_official(files[n], 30.0)
            image = reader.at([int(episode.source_frame[frame])])[0].image
            ours = make_sample(episode, frame, image, config, sample_rng(0, 0, n))
            worst = max(np.abs(theirs[name] - getattr(ours, name)).max() for name in ("action", "state", "fov_rad"))
            if worst > 1e-5 or theirs["instruction"] != ours.instruction:
                raise SystemExit(f"The stated official way differs from the library: {worst}.")


def compare(files: list[Path], video: Path, store: Path, rounds: int, frame_bytes: int) -> list[tuple[float, ...]]:
    """Rates of both ways, in turns: (ours cpu, ours wall, theirs cpu, theirs wall) per round."""
    samples = TrainingSamples(
        [open_source(store)],
        SampleConfig(augmentation=AugmentationConfig()),
        read=ReadConfig(frame_bytes=frame_bytes),
    )
    sampler = MixtureSampler(MixtureOrder(samples.lengths, (1.0,)), Share(BATCH))
    warm, batches = list(sampler), []
    for epoch in range(1, 3):
        sampler.start_epoch(epoch)
        batches += list(sampler)
    if frame_bytes:
        for keys in warm:
            samples.batch(keys)
    else:
        for keys in warm:
            samples.labels(keys)
    length = len(read_official(files[0], 30.0))
    rng = np.random.default_rng(0)
    rows = []
    for number in range(rounds):
        mine = batches[8 * number : 8 * number + 8]

        def ours(mine: list = mine) -> None:
            for keys in mine:
                samples.batch(keys)

        def theirs(seed: int = number) -> None:
            for n in rng.integers(0, FRAMES, 8):
                official_sample(files[n // length], video, int(n % length), draw(sample_rng(seed, 0, int(n))))

        rows.append((*per_second(8 * BATCH, ours), *per_second(8, theirs)))
    samples.close()
    return rows


def labels_only(store: Path) -> tuple[float, float]:
    """Augmented labels per second, videos closed."""
    config = SampleConfig(augmentation=AugmentationConfig())
    samples = TrainingSamples([open_source(store)], config, read=ReadConfig(with_images=False))
    sampler = MixtureSampler(MixtureOrder(samples.lengths, (8.0,)), Share(64))
    batches = list(sampler)
    for keys in batches[:40]:
        samples.batch(keys)

    def work() -> None:
        for keys in batches[40:]:
            samples.batch(keys)

    return per_second(64 * (len(batches) - 40), work)


def timed(work: Callable[[], object]) -> tuple[object, float]:
    """A result and the wall time it took [s]."""
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


def index_figures(example: Path, work: Path, episodes: int) -> list[Figure]:
    """An official index of many episodes; a few hundred of them are there, to be read at random."""
    root = work / "index"
    (root / "episodic_annotations").mkdir(parents=True)
    rng = np.random.default_rng(0)
    names = np.array([f"Ego4D_{n // 50:08x}-video_ep_{n % 50:06d}" for n in range(episodes)])
    counts = rng.integers(10, 33, episodes)
    starts = np.repeat(np.cumsum(counts) - counts, counts)
    pairs = np.stack([np.repeat(np.arange(episodes), counts), np.arange(counts.sum()) - starts], axis=1)
    np.savez(root / "episode_frame_index.npz", index_frame_pair=pairs.astype(np.uint32), index_to_episode_id=names)
    del pairs, starts
    chosen = rng.integers(0, episodes, 300)
    for n in np.unique(chosen):
        shutil.copyfile(example, root / "episodic_annotations" / f"{names[n]}.npy")
    _, first_s = timed(lambda: open_vitra_1m(root))
    index, open_s = timed(lambda: open_vitra_1m(root))
    reads = []
    for n in chosen:
        index.episode(int(n)) if not reads else None  # imports are not part of a read
        reads.append(timed(lambda n=n: index.episode(int(n)))[1])
    numbers = rng.integers(0, index.total_samples, 10_000)
    lookup_s = timed(lambda: index.samples(numbers))[1] / len(numbers)
    return [
        Figure("index_make_once", first_s, "s", 1),
        Figure("index_open", open_s, "s", 1),
        Figure("index_random_episode_median", statistics.median(reads), "s", len(reads)),
        Figure("index_sample_lookup", lookup_s, "s", len(numbers)),
        Figure("index_episodes", len(index), "1", 1),
        Figure("index_samples", index.total_samples, "1", 1),
    ]


def store_figures(store: Path, work: Path, episodes: int) -> list[Figure]:
    """A store of many episodes: one label file under many names, all of them pointing at the same frames."""
    root = work / "store-of-a-million"
    shutil.copytree(store, root, copy_function=os.link)
    info = EpisodeStore.open(store).info
    table = pq.read_table(store / shard_path(LABELS, 0))
    rows = pa.concat_tables([table] * (-(-LABELS_PER_FILE // len(table)))).slice(0, LABELS_PER_FILE).combine_chunks()
    shard = work / "labels.parquet"
    pq.write_table(rows, shard, row_group_size=LABELS_PER_GROUP, compression="snappy", use_dictionary=False)
    files = episodes // LABELS_PER_FILE
    (root / shard_path(LABELS, 0)).unlink()
    for number in range(files):
        path = root / shard_path(LABELS, number)
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(shard, path)
    count = files * LABELS_PER_FILE
    (root / "meta" / "info.json").unlink()
    write_json(root / "meta" / "info.json", {**info, "total_episodes": count})
    source, open_s = timed(lambda: StoreSource(EpisodeStore.open(root), "million"))
    chosen = np.random.default_rng(0).integers(0, count, 300).tolist()
    source.episode(chosen[0])
    reads = [timed(lambda n=n: source.episode(n))[1] for n in chosen]
    return [
        Figure("store_open", open_s, "s", 1),
        Figure("store_random_episode_median", statistics.median(reads), "s", len(reads)),
        Figure("store_episodes", count, "1", 1),
    ]


def worker_memory(store: Path, samples_to_read: int) -> list[tuple[int, float]]:
    """(samples read, memory of all workers that is not shared with other processes, in MB) along the way."""
    config = SampleConfig(augmentation=AugmentationConfig())
    samples = TrainingSamples([open_source(store)], config, read=ReadConfig(frame_bytes=64 << 20))
    epochs = samples_to_read / len(samples)
    loader = TrainingLoader(samples, [epochs], LoaderConfig(batch_size=BATCH, num_workers=4))
    rows, me = [], os.getpid()
    for number, _ in enumerate(loader):
        if number % 20 == 19:
            rows.append(((number + 1) * BATCH, sum(_private_mb(pid) for pid in _children(me))))
    return rows


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _private_mb(pid: int) -> float:
    """Memory that would be free if the process ended (USS) [MB]."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


def flatness(rows: list[tuple[int, float]]) -> tuple[float, float]:
    """Growth over the last half: mean of its last fifth over the mean of its first fifth, less 1; and the end [MB]."""
    half = [mb for _, mb in rows[len(rows) // 2 :]]
    fifth = max(len(half) // 5, 1)
    return statistics.mean(half[-fifth:]) / statistics.mean(half[:fifth]) - 1, half[-1]


def main() -> None:
    """Measure everything, print a table, write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episode", type=Path, required=True, help="folder with one official episode and its video")
    parser.add_argument("--rounds", type=int, default=7, help="how often both ways take turns")
    parser.add_argument("--samples", type=int, default=20_000, help="samples of the memory test")
    parser.add_argument("--episodes", type=int, default=EPISODES, help="episodes of the index")
    parser.add_argument("--records", type=Path, default=None, help="folder of the record (results/records)")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        files, video = make_data(args.episode, work)
        check_equal(files, video)
        side = min(cv2.VideoCapture(str(video)).get(p) for p in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        # The store's own frame size with the loader's own limit of memory, and the source's size with room for all.
        stores = (
            ("", FootageConfig(), ReadConfig().frame_bytes),
            ("_same_size", FootageConfig(short_side_px=int(side)), 768 << 20),
        )
        for suffix, footage, limit in stores:
            store = work / f"store{suffix}"
            import_vitra_1m(work / "official", work / "official" / "videos", store, ImportConfig(footage=footage))
            for cache, frame_bytes in (("cached", limit), ("uncached", 0)):
                rows = compare(files, video, store, args.rounds, frame_bytes)
                figures += rate_figures(f"{cache}{suffix}", rows)
        cpu, wall = labels_only(work / "store")
        figures.append(Figure("labels_per_cpu_s", cpu, "1/s", 1))
        figures.append(Figure("labels_per_wall_s", wall, "1/s", 1))
        figures += index_figures(files[0], work, args.episodes)
        figures += store_figures(work / "store", work, args.episodes)
        memory = worker_memory(work / "store", args.samples)
        growth, end_mb = flatness(memory)
        figures.append(Figure("workers_growth_last_half", growth, "1", len(memory)))
        figures.append(Figure("workers_private_memory_end", end_mb, "MB", 4))
        for read, mb in memory[:: max(len(memory) // 10, 1)]:
            print(f"after {read:6d} samples, 4 workers: {mb:7.0f} MB")
    for figure in figures:
        print(f"{figure.name:44s} {figure.value:12.5g} {figure.unit}")
    write_figures_record(
        "loader_speed",
        figures,
        {"rounds": args.rounds, "samples": args.samples, "episodes": args.episodes, "frames": FRAMES, "batch": BATCH},
        {"episode": args.episode},
        args.records or results_folder() / "records",
    )


def rate_figures(name: str, rows: list[tuple[float, ...]]) -> list[Figure]:
    """Medians over the rounds, and the ratio of the two ways in each round."""
    ours, ours_wall, theirs, theirs_wall = (list(column) for column in zip(*rows, strict=True))
    ratio = [a / b for a, b in zip(ours, theirs, strict=True)]
    ratio_wall = [a / b for a, b in zip(ours_wall, theirs_wall, strict=True)]
    median = statistics.median
    return [
        Figure(f"{name}_samples_per_cpu_s", median(ours), "1/s", len(rows)),
        Figure(f"{name}_official_way_per_cpu_s", median(theirs), "1/s", len(rows)),
        Figure(f"{name}_ratio", median(ratio), "1", len(rows)),
        Figure(f"{name}_ratio_lowest_round", min(ratio), "1", len(rows)),
        Figure(f"{name}_samples_per_wall_s", median(ours_wall), "1/s", len(rows)),
        Figure(f"{name}_ratio_wall", median(ratio_wall), "1", len(rows)),
    ]


if __name__ == "__main__":
    main()
