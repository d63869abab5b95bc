"""The files that LeRobot v3.0 reads besides data and video: info, tasks, the episode table and the dataset card."""

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


def _episode_schema() -> pa.Schema:
    fields = [("episode_index", pa.int64()), ("tasks", pa.list_(pa.string())), ("length", pa.int64())]
    fields += [("dataset_from_index", pa.int64()), ("dataset_to_index", pa.int64())]
    fields += [("data/chunk_index", pa.int64()), ("data/file_index", pa.int64())]
    fields += [(f"videos/{VIDEO_KEY}/{name}", pa.int64()) for name in ("chunk_index", "file_index")]
    fields += [(f"videos/{VIDEO_KEY}/{name}", pa.float64()) for name in ("from_timestamp", "to_timestamp")]
    for feature in (VIDEO_KEY, *STATISTICS_FEATURES):
        for name in _STATISTICS:
            values = _IMAGE if feature == VIDEO_KEY else pa.list_(pa.float64())
            fields.append((f"stats/{feature}/{name}", pa.list_(pa.int64()) if name == "count" else values))
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
        values = block.lerobot((3, 1, 1) if feature == VIDEO_KEY else (-1,))
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


def readme(info: dict, videos: int, prefixes: set[str]) -> str:
    """The dataset card; the same dataset has the same card."""
    lines = [f"| `{name}` | {dtype} | {length} |" for name, (dtype, length, _) in FRAME_FEATURES.items()]
    return f"""---
task_categories:
- robotics
tags:
- LeRobot
- vitra-lab
configs:
- config_name: default
  data_files: data/*/*.parquet
---

# Hand-action episodes

A LeRobot {info["codebase_version"]} dataset of human hand actions:
{info["total_episodes"]} episodes, {info["total_frames"]} frames, {info["total_tasks"]} instructions,
{videos} source videos ({", ".join(sorted(prefixes))}), {info["fps"]} frames/s nominal.
The licence is that of the source videos.

- `observation.state` (122): per hand, left first, wrist position [m] and static-xyz Euler angles [rad] in the camera of
  the frame, 45 finger angles [rad], 10 shape values. `action` (102): per hand the wrist's step to the next frame in
  the camera of this frame, and the finger angles of the next frame. Both are zero where `mask_state` / `mask_action`
  is False, and their statistics count valid entries only.
- `T_cam_world` maps points in the world to the camera (4x4, row by row); `left_*` and `right_*` are MANO-layout labels
  in the world, finger rotations of both hands in the right-hand convention.
- `source_frame` and `time_s` are the frame's number and true time in the source video; `timestamp` is nominal.
- Overlapping episodes share one mp4. Captions, paraphrases, intrinsics and provenance are in `meta/vitra/labels`.

| column | type | length |
|---|---|---|
{chr(10).join(lines)}
"""
