"""The columns of the store: LeRobot features, Arrow schemas, and the rows of one episode both ways.

Per-frame labels are float64 so that reading back is exact; `observation.state` and `action` are float32 for any
LeRobot consumer. Feature names contain no "/", and none but the trainable ones start with "observation" or "action",
since LeRobot takes every such name for a policy input or output.
"""

import json
import math

import numpy as np
import pyarrow as pa

from vitra_lib.contracts.hand_track import SIDES, Side
from vitra_lib.episodes.episode import Episode, EpisodeCaption, EpisodeHand
from vitra_lib.episodes.state_action import ACTION_DIM, STATE_DIM, state, step_actions

VIDEO_KEY = "observation.images.ego"
CODEBASE_VERSION = "v3.0"
STORE_VERSION = 1

_HAND_ARRAYS = {
    "R_world_wrist": (3, 3),
    "t_world_wrist": (3,),
    "R_parent_joint": (15, 3, 3),
    "joints_world": (21, 3),
}


def _component_names(parts: tuple[tuple[str, int], ...]) -> list[str]:
    return [f"{side}_{part}_{i}" for side in SIDES for part, size in parts for i in range(size)]


STATE_NAMES = _component_names((("t_cam", 3), ("euler_cam", 3), ("finger_euler", 45), ("beta", 10)))
ACTION_NAMES = _component_names((("dt", 3), ("deuler", 3), ("finger_euler", 45)))

# name -> (dtype, length, component names)
FRAME_FEATURES: dict[str, tuple[str, int, list[str] | None]] = {
    "observation.state": ("float32", STATE_DIM, STATE_NAMES),
    "action": ("float32", ACTION_DIM, ACTION_NAMES),
    "mask_state": ("bool", 2, list(SIDES)),
    "mask_action": ("bool", 2, list(SIDES)),
    "T_cam_world": ("float64", 16, None),
    **{f"{side}_{name}": ("float64", math.prod(s), None) for side in SIDES for name, s in _HAND_ARRAYS.items()},
    **{f"{side}_is_valid": ("bool", 1, None) for side in SIDES},
    **{f"{side}_confidence": ("float64", 1, None) for side in SIDES},
    "source_frame": ("int64", 1, None),
    "time_s": ("float64", 1, None),
    "timestamp": ("float32", 1, None),
    "frame_index": ("int64", 1, None),
    "episode_index": ("int64", 1, None),
    "index": ("int64", 1, None),
    "task_index": ("int64", 1, None),
}
_COUNTERS = ("timestamp", "frame_index", "episode_index", "index", "task_index")
STATISTICS_FEATURES = ("observation.state", "action", *_COUNTERS)
_ARROW = {"float32": pa.float32(), "float64": pa.float64(), "int64": pa.int64(), "bool": pa.bool_()}
_BITS = {"float32": 32, "float64": 64, "int64": 64, "bool": 1}
ROW_BYTES = sum(_BITS[dtype] * length for dtype, length, _ in FRAME_FEATURES.values()) // 8


def _hugging_face_feature(dtype: str, length: int) -> dict:
    value = {"dtype": dtype, "_type": "Value"}
    return value if length == 1 else {"feature": value, "length": length, "_type": "List"}


def _frame_schema() -> pa.Schema:
    fields, described = [], {}
    for name, (dtype, length, _) in FRAME_FEATURES.items():
        fields.append((name, _ARROW[dtype] if length == 1 else pa.list_(_ARROW[dtype], length)))
        described[name] = _hugging_face_feature(dtype, length)
    metadata = {"huggingface": json.dumps({"info": {"features": described}})}
    return pa.schema(fields, metadata=metadata)


FRAME_SCHEMA = _frame_schema()

_CAPTION = pa.struct(
    [
        ("text", pa.string()),
        ("start", pa.int64()),
        ("stop", pa.int64()),
        ("source", pa.string()),
        ("is_weak", pa.bool_()),
        ("rephrasings", pa.list_(pa.string())),
    ]
)
_DOUBLES = pa.list_(pa.float64())
LABEL_SCHEMA = pa.schema(
    [
        ("episode_index", pa.int64()),
        ("name", pa.string()),
        ("dataset_prefix", pa.string()),
        ("video_name", pa.string()),
        ("primary_hand", pa.string()),
        ("length", pa.int64()),
        ("fps", pa.float64()),
        ("width_px", pa.int64()),
        ("height_px", pa.int64()),
        ("K_px", _DOUBLES),
        ("crop_px", _DOUBLES),
        ("source_clip", pa.int64()),
        ("source_start", pa.int64()),
        *[(f"{side}_{name}", _DOUBLES) for side in SIDES for name in ("betas", "rest_wrist_m")],
        *[(f"{side}_hand_model", pa.string()) for side in SIDES],
        *[(f"{side}_captions", pa.list_(_CAPTION)) for side in SIDES],
        ("quality", pa.map_(pa.string(), pa.float64())),
        ("provenance", pa.map_(pa.string(), pa.string())),
        ("data_chunk", pa.int64()),
        ("data_file", pa.int64()),
        ("data_row_group", pa.int64()),
        ("video_chunk", pa.int64()),
        ("video_file", pa.int64()),
        ("video_start", pa.int64()),
    ]
)


def lerobot_features(width_px: int, height_px: int, fps: int) -> dict[str, dict]:
    """The `features` entry of meta/info.json."""
    video = {
        "dtype": "video",
        "shape": [height_px, width_px, 3],
        "names": ["height", "width", "channels"],
        "info": {
            "video.height": height_px,
            "video.width": width_px,
            "video.codec": "h264",
            "video.pix_fmt": "yuv420p",
            "video.is_depth_map": False,
            "video.fps": fps,
            "video.channels": 3,
            "has_audio": False,
        },
    }
    features: dict[str, dict] = {VIDEO_KEY: video}
    for name, (dtype, length, names) in FRAME_FEATURES.items():
        features[name] = {"dtype": dtype, "shape": [length], "names": names}
    return features


def frame_table(
    episode: Episode, episode_index: int, first_index: int, task_index: np.ndarray, fps: int
) -> tuple[pa.Table, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """Rows of one episode, and what its statistics are taken over.

    Args:
        episode: the episode.
        episode_index: its number in the store.
        first_index: number of its first frame in the store.
        task_index: (time,) number of each frame's instruction.
        fps: nominal frame rate of the store; `timestamp` = frame_index / fps, as LeRobot asks.

    Returns:
        the table; per feature of `STATISTICS_FEATURES` its (time, size) values and a mask of the same shape.
    """
    time = len(episode)
    states, state_mask = state(episode)
    actions, action_mask = step_actions(episode)
    columns: dict[str, np.ndarray] = {
        "observation.state": states.astype(np.float32),
        "action": actions.astype(np.float32),
        "mask_state": state_mask,
        "mask_action": action_mask,
        "T_cam_world": episode.T_cam_world,
        "source_frame": episode.source_frame,
        "time_s": episode.time_s,
        "timestamp": (np.arange(time) / fps).astype(np.float32),
        "frame_index": np.arange(time),
        "episode_index": np.full(time, episode_index),
        "index": np.arange(first_index, first_index + time),
        "task_index": task_index,
    }
    for side in SIDES:
        hand = episode.hand(side)
        for name in (*_HAND_ARRAYS, "is_valid", "confidence"):
            columns[f"{side}_{name}"] = getattr(hand, name)
    arrays = [_to_arrow(columns[name], *FRAME_FEATURES[name][:2]) for name in FRAME_FEATURES]
    masks = {
        "observation.state": np.repeat(state_mask, STATE_DIM // 2, axis=1),
        "action": np.repeat(action_mask, ACTION_DIM // 2, axis=1),
    }
    counted = {}
    for name in STATISTICS_FEATURES:
        values = columns[name].reshape(time, -1).astype(np.float64)
        counted[name] = (values, masks.get(name, np.ones_like(values, bool)))
    return pa.Table.from_arrays(arrays, schema=FRAME_SCHEMA), counted


def _to_arrow(values: np.ndarray, dtype: str, length: int) -> pa.Array:
    flat = pa.array(np.ascontiguousarray(values).reshape(-1), type=_ARROW[dtype])
    return flat if length == 1 else pa.FixedSizeListArray.from_arrays(flat, length)


def label_row(episode: Episode, episode_index: int) -> dict[str, object]:
    """What belongs to the episode as a whole, without where its files are."""
    row: dict[str, object] = {
        "episode_index": episode_index,
        "length": len(episode),
        "source_start": int(episode.source_frame[0]),
        "K_px": episode.K_px.reshape(-1).tolist(),
        "crop_px": episode.crop_px.tolist(),
        "quality": list(episode.quality.items()),
        "provenance": list(episode.provenance.items()),
    }
    for name in ("name", "dataset_prefix", "video_name", "primary_hand", "fps", "width_px", "height_px", "source_clip"):
        row[name] = getattr(episode, name)
    for side in SIDES:
        hand = episode.hand(side)
        row[f"{side}_betas"] = hand.betas.tolist()
        row[f"{side}_rest_wrist_m"] = hand.rest_wrist_m.tolist()
        row[f"{side}_hand_model"] = hand.hand_model
        row[f"{side}_captions"] = [{**vars(c), "rephrasings": list(c.rephrasings)} for c in hand.captions]
    return row


def episode_from(row: dict, frames: pa.Table) -> Episode:
    """Inverse of `label_row` and `frame_table`: the same episode, labels bit for bit."""
    columns = {name: _to_numpy(frames.column(name), FRAME_FEATURES[name][1]) for name in FRAME_FEATURES}
    hands = {side: _hand_from(side, row, columns) for side in SIDES}
    return Episode(
        name=row["name"],
        dataset_prefix=row["dataset_prefix"],
        video_name=row["video_name"],
        primary_hand=row["primary_hand"],
        fps=row["fps"],
        width_px=row["width_px"],
        height_px=row["height_px"],
        K_px=np.array(row["K_px"]).reshape(3, 3),
        crop_px=np.array(row["crop_px"]),
        T_cam_world=columns["T_cam_world"].reshape(-1, 4, 4),
        source_frame=columns["source_frame"],
        time_s=columns["time_s"],
        left=hands["left"],
        right=hands["right"],
        source_clip=row["source_clip"],
        quality=dict(row["quality"]),
        provenance=dict(row["provenance"]),
    )


def _hand_from(side: Side, row: dict, columns: dict[str, np.ndarray]) -> EpisodeHand:
    arrays = {name: columns[f"{side}_{name}"].reshape(-1, *shape) for name, shape in _HAND_ARRAYS.items()}
    captions = [EpisodeCaption(**{**c, "rephrasings": tuple(c["rephrasings"])}) for c in row[f"{side}_captions"]]
    return EpisodeHand(
        **arrays,
        betas=np.array(row[f"{side}_betas"]),
        is_valid=columns[f"{side}_is_valid"],
        confidence=columns[f"{side}_confidence"],
        hand_model=row[f"{side}_hand_model"],
        rest_wrist_m=np.array(row[f"{side}_rest_wrist_m"]),
        captions=tuple(captions),
    )


def _to_numpy(column: pa.ChunkedArray, length: int) -> np.ndarray:
    array = column.combine_chunks()
    if length > 1:
        array = array.flatten()
    return array.to_numpy(zero_copy_only=False).copy()
