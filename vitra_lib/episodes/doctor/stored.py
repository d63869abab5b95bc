"""Checks of the kit's own store: tables against each other, labels, statistics against data, videos."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from vitra_lib.contracts.hand_track import SIDES
from vitra_lib.core.errors import VitraError
from vitra_lib.episodes.doctor.finding import MISMATCHES, Report
from vitra_lib.episodes.doctor.footage import check_video
from vitra_lib.episodes.doctor.labels import check_labels
from vitra_lib.episodes.doctor.limits import DoctorConfig
from vitra_lib.episodes.episode import Episode
from vitra_lib.episodes.lerobot_files import episode_row, read_tasks, statistics_entry
from vitra_lib.episodes.mismatch import find_mismatches
from vitra_lib.episodes.schema import FRAME_FEATURES, FRAME_SCHEMA, VIDEO_KEY, frame_table
from vitra_lib.episodes.shards import shard_path
from vitra_lib.episodes.statistics import Moments
from vitra_lib.episodes.store import EpisodeStore

# What damaged Parquet and JSON files raise when they are read.
_DAMAGE = (VitraError, pa.ArrowException, OSError, ValueError, KeyError, TypeError, IndexError, AttributeError)
_ROUNDING = 1e-5
_FILES = ("meta/info.json", "meta/stats.json", "meta/tasks.parquet", "meta/vitra/videos.parquet", "README.md")


def check_store(root: Path, config: DoctorConfig, sample: int | None, progress: bool) -> Report:
    """All checks of a store.

    Args:
        root: its folder.
        config: thresholds.
        sample: look at this many episodes instead of all.
        progress: show progress bars.
    """
    report = Report(str(root), "store")
    for name in _FILES:
        if not (root / name).is_file():
            report.add("error" if name != "README.md" else "warning", "layout", name, "the file is missing")
    for name in (".staged", ".commit.json"):
        if (root / name).exists():
            report.add("warning", "leftover", name, "a command that was writing here was interrupted")
    try:
        store = EpisodeStore.open(root)
        tables = _read_tables(store)
        _check_counts(tables, report)
    except _DAMAGE as error:
        report.add("error", "schema", str(root), str(error))
        return report
    chosen = _chosen(len(store), sample)
    seen: dict[str, Moments] = {}
    for index in tqdm(chosen, unit="episode", disable=not progress):
        for name, block in _check_episode(tables, index, report, config).items():
            seen[name] = seen[name].merged(block) if name in seen else block
    if sample is None:
        _check_statistics(store, seen, report)
    else:
        report.notes.append(f"statistics were not compared with the data: only {len(chosen)} episodes were read")
    _check_videos(tables, report, config, progress)
    store.close()
    return report


@dataclass(frozen=True)
class _Tables:
    """The tables of a store.

    Attributes:
        store: the store.
        rows: meta/episodes without its statistics.
        tasks: number of each instruction.
        videos: rows of the videos by (chunk, file).
    """

    store: EpisodeStore
    rows: list[dict]
    tasks: dict[str, int]
    videos: dict[tuple[int, int], dict]


def _read_tables(store: EpisodeStore) -> _Tables:
    videos = {(video["chunk"], video["file"]): video for video in store.videos}
    return _Tables(store, _episode_rows(store), read_tasks(store.root), videos)


def _chosen(count: int, sample: int | None) -> list[int]:
    if sample is None or sample >= count:
        return list(range(count))
    return np.unique(np.linspace(0, count - 1, sample).round().astype(int)).tolist()


def _episode_rows(store: EpisodeStore) -> list[dict]:
    """meta/episodes without its statistics."""
    rows: list[dict] = []
    number = 0
    while (path := store.root / shard_path("meta/episodes", number)).is_file():
        names = [name for name in pq.read_schema(path).names if not name.startswith("stats/")]
        rows += pq.read_table(path, columns=names).to_pylist()
        number += 1
    return rows


def _check_counts(tables: _Tables, report: Report) -> None:
    store, rows, tasks = tables.store, tables.rows, tables.tasks
    info = store.info
    labels = store.labels(["name", "length"])
    lengths = labels.column("length").to_pylist()
    for what, stated, found in (
        ("episodes, by the labels", info.get("total_episodes"), len(lengths)),
        ("episodes, by meta/episodes", info.get("total_episodes"), len(rows)),
        ("frames", info.get("total_frames"), sum(lengths)),
        ("instructions", info.get("total_tasks"), len(tasks)),
        ("split", info.get("splits"), {"train": f"0:{len(lengths)}"}),
    ):
        if stated != found:
            report.add("error", "counts", "meta/info.json", f"{what}: it says {stated}, there are {found}")
    doubled = [name for name, count in Counter(labels.column("name").to_pylist()).items() if count > 1]
    for name in doubled:
        report.add("error", "name", name, "two episodes have this name")
    if sorted(tasks.values()) != list(range(len(tasks))):
        report.add("error", "counts", "meta/tasks.parquet", "the numbers of the instructions are not 0, 1, 2…")
    start = 0
    for row in rows:
        if (row["dataset_from_index"], row["dataset_to_index"]) != (start, start + row["length"]):
            place = f"meta/episodes, episode {row['episode_index']}"
            report.add("error", "counts", place, f"frames {row['dataset_from_index']} to {row['dataset_to_index']}")
        start += row["length"]


def _check_episode(tables: _Tables, index: int, report: Report, config: DoctorConfig) -> dict[str, Moments]:
    """One episode; returns its statistics, or nothing where it can't be read."""
    store = tables.store
    try:
        episode, label = store[index], store.label(index)
    except _DAMAGE as error:
        _say_why(store, index, error, report)
        return {}
    report.episodes += 1
    check_labels(episode, report, config)
    video = tables.videos.get((label["video_chunk"], label["video_file"]))
    if video is None:
        report.add("error", "counts", episode.name, "its video is not in meta/vitra/videos.parquet")
    else:
        _check_place(episode, label, video, report, config)
    try:
        return _check_columns(tables, index, episode, label, report)
    except _DAMAGE as error:
        report.add("error", "columns", episode.name, f"state and action can't be derived: {error}")
        return {}


def _say_why(store: EpisodeStore, index: int, error: Exception, report: Report) -> None:
    """An episode can't be made of its rows: look at these themselves for the reason."""
    before = len(report.findings)
    try:
        label = store.label(index)
        frames = store.frame_rows(label)
        for side in SIDES:
            place = f"{label['name']}, {side} hand"
            for caption in label[f"{side}_captions"]:
                if not 0 <= caption["start"] <= caption["stop"] <= label["length"]:
                    interval = f"[{caption['start']}, {caption['stop']}) of {label['length']} frames"
                    what = f"{caption['text']!r} covers {interval}"
                    report.add("error", "caption_range", place, what)
            valid = _values(frames, f"{side}_is_valid", 1)
            for name, (dtype, length, _) in FRAME_FEATURES.items():
                if name.startswith(f"{side}_") and dtype == "float64":
                    values = _values(frames, name, length).reshape(len(valid), -1)[valid]
                    if not np.isfinite(values).all():
                        report.add(
                            "error", "not_finite", place, f"{name} is not finite in a frame that is marked valid"
                        )
    except _DAMAGE as deeper:
        error = deeper
    if len(report.findings) == before:
        report.add("error", "unreadable", f"episode {index}", str(error))


def _check_place(episode: Episode, label: dict, video: dict, report: Report, config: DoctorConfig) -> None:
    """The episode must lie in the mp4 that it points to, and fit it."""
    size = (video["source_width_px"], video["source_height_px"])
    for mismatch in find_mismatches(episode, video["frame_count"], *size, config.mismatch):
        report.add(*MISMATCHES[mismatch.reason], episode.name, mismatch.detail)
    outside = episode.source_frame[0] < video["start"] or episode.source_frame[-1] >= video["stop"]
    if outside or label["video_start"] != video["start"]:
        report.add("error", "frame_range", episode.name, "its frames are not in the mp4 that it points to")
    if abs(episode.fps / video["source_fps"] - 1) > config.max_fps_error:
        what = f"{episode.fps:.3f} frames/s, but its video has {video['source_fps']:.3f}"
        report.add("error", "fps", episode.name, what)


def _check_columns(tables: _Tables, index: int, episode: Episode, label: dict, report: Report) -> dict[str, Moments]:
    """What is derived from the labels must be what is stored; returns the episode's statistics."""
    store, row = tables.store, tables.rows[index]
    texts = [episode.instruction(frame) for frame in range(len(episode))]
    numbers = np.array([tables.tasks.get(text, -1) for text in texts])
    frames, counted = frame_table(episode, index, row["dataset_from_index"], numbers, store.fps)
    stored = store.frame_rows(label)
    if not stored.schema.equals(FRAME_SCHEMA):
        report.add("error", "schema", episode.name, "its columns have other types or lengths than meta/info.json says")
    for name, (dtype, length, _) in FRAME_FEATURES.items():
        ours, theirs = (_values(table, name, length) for table in (frames, stored))
        same = (
            _nearly(ours, theirs) if dtype == "float32" else np.array_equal(ours, theirs, equal_nan=dtype == "float64")
        )
        if not same:
            report.add("error", "columns", episode.name, f"{name} is not what the labels give")
    wanted = episode_row(label, row["dataset_from_index"], list(dict.fromkeys(texts)), store.fps, {})
    wrong = [name for name, value in wanted.items() if row.get(name) != value]
    if wrong:
        report.add("error", "counts", f"meta/episodes, {episode.name}", f"{', '.join(wrong)} not what the labels give")
    return {name: Moments.of(values, mask) for name, (values, mask) in counted.items()}


def _nearly(ours: np.ndarray, theirs: np.ndarray) -> bool:
    """Equal up to rounding, which differs between versions; an angle may be at either end of its range."""
    off = np.abs(ours.astype(float) - theirs)
    return ours.shape == theirs.shape and bool((np.minimum(off, np.abs(off - 2 * np.pi)) < _ROUNDING).all())


def _values(table: pa.Table, name: str, length: int) -> np.ndarray:
    column = table.column(name).combine_chunks()
    return (column.flatten() if length > 1 else column).to_numpy(zero_copy_only=False)


def _check_statistics(store: EpisodeStore, seen: dict[str, Moments], report: Report) -> None:
    try:
        kept = store.moments()
        stated = json.loads((store.root / "meta/stats.json").read_text())
    except _DAMAGE as error:
        report.add("error", "statistics", "meta", str(error))
        return
    for name, block in seen.items():
        for where, entry in (("meta/stats.json", stated.get(name)), ("meta/vitra/moments.json", kept.get(name))):
            own = statistics_entry(name, entry) if isinstance(entry, Moments) else entry
            wrong = [
                key
                for key, value in statistics_entry(name, block).items()
                if not own or not _close(own.get(key), value)
            ]
            if wrong:
                report.add("error", "statistics", f"{where}, {name}", f"{', '.join(wrong)} not those of the data")
    image = kept.get(VIDEO_KEY)
    if image is None or any(
        not _close(stated.get(VIDEO_KEY, {}).get(key), value)
        for key, value in statistics_entry(VIDEO_KEY, image).items()
    ):
        report.add("error", "statistics", f"meta/stats.json, {VIDEO_KEY}", "not those of the images seen when writing")


def _close(stated: object, found: object) -> bool:
    try:
        a, b = np.asarray(stated, float), np.asarray(found, float)
    except (TypeError, ValueError):
        return False
    return a.shape == b.shape and np.allclose(a, b, rtol=1e-6, atol=_ROUNDING)


def _check_videos(tables: _Tables, report: Report, config: DoctorConfig, progress: bool) -> None:
    store, known = tables.store, set()
    for video in tqdm(tables.videos.values(), unit="video", disable=not progress):
        place = shard_path(f"videos/{VIDEO_KEY}", video["chunk"] * 1000 + video["file"], "mp4")
        known.add(store.root / place)
        shown = check_video(store.root / place, place, report, config)
        if shown is None:
            continue
        if shown.frame_count != video["stop"] - video["start"]:
            what = f"{shown.frame_count} frames instead of {video['stop'] - video['start']}"
            report.add("error", "frame_range", place, what)
        if (shown.width_px, shown.height_px) != (store.width_px, store.height_px):
            what = f"{shown.width_px} x {shown.height_px} instead of {store.width_px} x {store.height_px}"
            report.add("error", "size", place, what)
        if abs(shown.fps / store.fps - 1) > 1e-3:
            report.add("error", "fps", place, f"{shown.fps:.3f} frames/s instead of {store.fps}")
    for path in sorted((store.root / "videos").rglob("*.mp4")):
        if path not in known:
            report.add("warning", "leftover", str(path.relative_to(store.root)), "no table names this video")
