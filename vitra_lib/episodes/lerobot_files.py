"""The files that LeRobot v3.0 reads besides data and video: info, tasks and the episode table."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from vitra_lib.episodes.footage import FootageConfig
from vitra_lib.episodes.schema import CODEBASE_VERSION, FRAME_FEATURES, STATISTICS_FEATURES, VIDEO_KEY, lerobot_features
from vitra_lib.episodes.shards import FILES_PER_CHUNK, LABELS_PER_FILE, place, write_table
from vitra_lib.episodes.statistics import QUANTILES, Moments

_STATISTICS = ("min", "max", "mean", "std", "count", *QUANTILES)
_IMAGE = pa.list_(pa.list_(pa.list_(pa.float64())))


def _is_whole(feature: str, name: str) -> bool:
    """Counts, and the extremes of counters, are whole numbers."""
    is_counter = feature != VIDEO_KEY and FRAME_FEATURES[feature][0] == "int64"
    return name == "count" or (is_counter and name in ("min", "max"))


def statistics_entry(feature: str, block: Moments) -> dict[str, list]:
    """The entry of meta/stats.json, and of an episode's row, for one feature."""
    values = block.lerobot((3, 1, 1) if feature == VIDEO_KEY else (-1,))
    return {name: [int(v) for v in value] if _is_whole(feature, name) else value for name, value in values.items()}


def _episode_schema() -> pa.Schema:
    fields = [("episode_index", pa.int64()), ("tasks", pa.list_(pa.string())), ("length", pa.int64())]
    fields += [("dataset_from_index", pa.int64()), ("dataset_to_index", pa.int64())]
    fields += [("data/chunk_index", pa.int64()), ("data/file_index", pa.int64())]
    fields += [(f"videos/{VIDEO_KEY}/{name}", pa.int64()) for name in ("chunk_index", "file_index")]
    fields += [(f"videos/{VIDEO_KEY}/{name}", pa.float64()) for name in ("from_timestamp", "to_timestamp")]
    for feature in (VIDEO_KEY, *STATISTICS_FEATURES):
        for name in _STATISTICS:
            values = _IMAGE if feature == VIDEO_KEY else pa.list_(pa.float64())
            fields.append((f"stats/{feature}/{name}", pa.list_(pa.int64()) if _is_whole(feature, name) else values))
    fields += [("meta/episodes/chunk_index", pa.int64()), ("meta/episodes/file_index", pa.int64())]
    return pa.schema(fields)


EPISODE_SCHEMA = _episode_schema()


def episode_row(
    label: dict, first_index: int, tasks: list[str], fps: int, moments: dict[str, Moments]
) -> dict[str, object]:
    """One row of meta/episodes: where the frames and the video are, and the episode's statistics.

    Args:
        label: the episode's row of `schema.LABEL_SCHEMA`.
        first_index: number of its first frame in the store.
        tasks: its instructions, each once, in order of appearance.
        fps: nominal frame rate of the store.
        moments: statistics per feature.
    """
    chunk, file = place(label["episode_index"] // LABELS_PER_FILE)
    offset = label["source_start"] - label["video_start"]
    row: dict[str, object] = {
        "episode_index": label["episode_index"],
        "tasks": tasks,
        "length": label["length"],
        "dataset_from_index": first_index,
        "dataset_to_index": first_index + label["length"],
        "data/chunk_index": label["data_chunk"],
        "data/file_index": label["data_file"],
        f"videos/{VIDEO_KEY}/chunk_index": label["video_chunk"],
        f"videos/{VIDEO_KEY}/file_index": label["video_file"],
        f"videos/{VIDEO_KEY}/from_timestamp": offset / fps,
        f"videos/{VIDEO_KEY}/to_timestamp": (offset + label["length"]) / fps,
        "meta/episodes/chunk_index": chunk,
        "meta/episodes/file_index": file,
    }
    for feature, block in moments.items():
        values = statistics_entry(feature, block)
        row |= {f"stats/{feature}/{name}": values[name] for name in _STATISTICS}
    return row


def info_json(config: FootageConfig, episodes: int, frames: int, tasks: int) -> dict[str, object]:
    """meta/info.json."""
    return {
        "codebase_version": CODEBASE_VERSION,
        "robot_type": "human_hands",
        "total_episodes": episodes,
        "total_frames": frames,
        "total_tasks": tasks,
        "chunks_size": FILES_PER_CHUNK,
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200,
        "fps": config.fps,
        "splits": {"train": f"0:{episodes}"},
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
        "features": lerobot_features(config.width_px, config.height_px, config.fps),
    }


def write_tasks(path: Path, tasks: dict[str, int]) -> None:
    """meta/tasks.parquet: the instruction is the pandas index, row n is task n."""
    index = {"name": None, "field_name": "__index_level_0__", "pandas_type": "unicode", "numpy_type": "object"}
    column = {"name": "task_index", "field_name": "task_index", "pandas_type": "int64", "numpy_type": "int64"}
    pandas = {
        "index_columns": ["__index_level_0__"],
        "column_indexes": [{"name": None, "field_name": None, "pandas_type": "unicode", "numpy_type": "object"}],
        "columns": [column | {"metadata": None}, index | {"metadata": None}],
    }
    pandas["column_indexes"][0]["metadata"] = {"encoding": "UTF-8"}
    schema = pa.schema([("task_index", pa.int64()), ("__index_level_0__", pa.string())])
    table = pa.table([list(tasks.values()), list(tasks)], schema=schema.with_metadata({"pandas": json.dumps(pandas)}))
    write_table(path, table)


def read_tasks(root: Path) -> dict[str, int]:
    """Inverse of `write_tasks`."""
    table = pq.read_table(root / "meta/tasks.parquet")
    return dict(zip(table.column(1).to_pylist(), table.column(0).to_pylist(), strict=True))
