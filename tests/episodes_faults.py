"""Faults to plant into a healthy dataset, each with the code under which the doctor must find it."""

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vitra_lib.episodes.schema import VIDEO_KEY
from vitra_lib.hands.mirror import mirror_rotation
from vitra_lib.video import VideoWriter

DATA = "data/chunk-000/file-000.parquet"
LABELS = "meta/vitra/labels/chunk-000/file-000.parquet"
EPISODES = "meta/episodes/chunk-000/file-000.parquet"
VIDEO = f"videos/{VIDEO_KEY}/chunk-000/file-000.mp4"
NAME = "epic_sample_ep_000001.npy"


def edit_frames(name: str, change: Callable[[np.ndarray], object]):
    """Change one per-frame column of the first episode; `change` edits an array (time, length) in place."""

    def plant(root: Path) -> None:
        with pq.ParquetFile(root / DATA) as file:
            groups = [file.read_row_group(n) for n in range(file.num_row_groups)]
        table = groups[0]
        column = table.column(name).combine_chunks()
        is_list = pa.types.is_fixed_size_list(column.type)
        values = (column.flatten() if is_list else column).to_numpy(zero_copy_only=False).reshape(len(table), -1).copy()
        change(values)
        flat = pa.array(values.reshape(-1), type=column.type.value_type if is_list else column.type)
        new = pa.FixedSizeListArray.from_arrays(flat, values.shape[1]) if is_list else flat
        groups[0] = table.set_column(table.schema.get_field_index(name), table.schema.field(name), new)
        with pq.ParquetWriter(root / DATA, table.schema) as writer:
            for group in groups:
                writer.write_table(group)

    return plant


def edit_rows(relative: str, change: Callable[[list[dict]], object]):
    """Change the rows of a small table."""

    def plant(root: Path) -> None:
        table = pq.read_table(root / relative)
        rows = table.to_pylist()
        change(rows)
        pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), root / relative)

    return plant


def edit_json(relative: str, change: Callable[[dict], object]):
    """Change a JSON file."""

    def plant(root: Path) -> None:
        values = json.loads((root / relative).read_text())
        change(values)
        (root / relative).write_text(json.dumps(values))

    return plant


def cut(relative: str, share: float):
    """Keep only the first part of a file."""
    return lambda root: (root / relative).write_bytes(
        (root / relative).read_bytes()[: int(share * os.path.getsize(root / relative))]
    )


def other_video(relative: str, frames: int, fps: float, width: int, height: int):
    """Put another video in its place."""

    def plant(root: Path) -> None:
        written = root / "other.mp4"
        with VideoWriter(written, fps, width, height) as writer:
            for n in range(frames):
                writer.write(np.full((height, width, 3), n % 200, np.uint8))
        written.replace(root / relative)

    return plant


def _both(*plants: Callable[[Path], object]):
    return lambda root: [plant(root) for plant in plants]


def _mirrored(values: np.ndarray) -> None:
    values[:] = mirror_rotation(values.reshape(-1, 15, 3, 3)).reshape(values.shape)


def _shift(values: np.ndarray, frame: int) -> None:
    values.reshape(len(values), -1, 3)[frame] += 1.0


Faults = dict[str, tuple[str, Callable[[Path], object]]]


def store_faults(frames: int, size: tuple[int, int]) -> Faults:
    """Fault -> (code, how to plant it), for a store whose first episode's primary hand is the left one.

    Args:
        frames: of its video.
        size: width and height of its video [px].
    """
    return _file_faults(frames, *size) | _track_faults() | _label_faults()


def _file_faults(frames: int, width: int, height: int) -> Faults:
    return {
        "video missing": ("video", lambda root: (root / VIDEO).unlink()),
        "video cut off": ("video", cut(VIDEO, 0.3)),
        "video with frames missing": ("frame_range", other_video(VIDEO, frames - 5, 30.0, width, height)),
        "video of another size": ("size", other_video(VIDEO, frames, 30.0, width - 32, height)),
        "video of another rate": ("fps", other_video(VIDEO, frames, 25.0, width, height)),
        "video that no table names": (
            "leftover",
            lambda root: (root / VIDEO.replace("file-000", "file-009")).write_bytes(b""),
        ),
        "mean of other data": (
            "statistics",
            edit_json("meta/stats.json", lambda s: s["action"]["mean"].__setitem__(60, 0.5)),
        ),
        "image statistics lost": ("statistics", edit_json("meta/stats.json", lambda s: s.pop(VIDEO_KEY))),
        "running statistics changed": (
            "statistics",
            edit_json("meta/vitra/moments.json", lambda s: s["action"]["m2"].__setitem__(0, 9.0)),
        ),
        "wrong number of frames": ("counts", edit_json("meta/info.json", lambda s: s.update(total_frames=1))),
        "wrong split": ("counts", edit_json("meta/info.json", lambda s: s.update(splits={"train": "0:1"}))),
        "a column of another type": (
            "schema",
            edit_json("meta/info.json", lambda s: s["features"]["time_s"].update(dtype="int64")),
        ),
        "instructions missing": ("layout", lambda root: (root / "meta/tasks.parquet").unlink()),
        "card missing": ("layout", lambda root: (root / "README.md").unlink()),
        "data file cut off": ("unreadable", cut(DATA, 0.9)),
    }


def _track_faults() -> Faults:
    jump = _both(*(edit_frames(f"left_{name}", lambda v: _shift(v, 7)) for name in ("t_world_wrist", "joints_world")))

    def scaled(v: np.ndarray) -> None:
        v *= 1000

    return {
        "camera not a rotation": (
            "rotation",
            edit_frames("T_cam_world", lambda v: v.__setitem__((3, 0), v[3, 0] + 0.01)),
        ),
        "camera last row": ("transform", edit_frames("T_cam_world", lambda v: v.__setitem__((3, 15), 2.0))),
        "finger rotation reflected": ("rotation", edit_frames("left_R_parent_joint", lambda v: v.__imul__(-1))),
        "fingers of the other convention": ("mirror_rule", edit_frames("left_R_parent_joint", _mirrored)),
        "wrist jump": ("wrist_jump", jump),
        "wrist off its joint": ("consistency", edit_frames("left_t_world_wrist", lambda v: v.__iadd__(0.01))),
        "millimetres": (
            "hand_size",
            _both(*(edit_frames(f"left_{n}", scaled) for n in ("t_world_wrist", "joints_world"))),
        ),
        "hands beside the image": (
            "hands_outside",
            _both(*(edit_frames(f"left_{n}", lambda v: v.__iadd__(5.0)) for n in ("t_world_wrist", "joints_world"))),
        ),
        "a pose that is no number": (
            "not_finite",
            edit_frames("left_joints_world", lambda v: v.__setitem__((2, 5), np.nan)),
        ),
        "frame numbers with a gap": ("frame_range", edit_frames("source_frame", lambda v: v[5:].__iadd__(1))),
        "times that stand still": ("time", edit_frames("time_s", lambda v: v.__setitem__(4, v[3]))),
        "state changed by hand": ("columns", edit_frames("observation.state", lambda v: v.__iadd__(0.1))),
        "state mask flipped": ("columns", edit_frames("mask_state", lambda v: v.__setitem__((0, 0), not v[0, 0]))),
        "confidence above one": ("mask", edit_frames("left_confidence", lambda v: v.__iadd__(1.0))),
        "primary hand never valid": ("mask", edit_frames("left_is_valid", lambda v: v.__setitem__(slice(None), False))),
    }


def _label_faults() -> Faults:
    def first_label(key: str, change: Callable[[object], object]):
        return edit_rows(LABELS, lambda rows: rows[0].__setitem__(key, change(rows[0][key])))

    def caption(key: str, value: object):
        return edit_rows(LABELS, lambda rows: rows[0]["left_captions"][0].__setitem__(key, value))

    return {
        "caption past the end": ("caption_range", caption("stop", 10_000)),
        "caption of no frames": ("caption_range", caption("stop", 0)),
        "caption without words": ("caption_empty", caption("text", " ")),
        "no caption": ("caption_empty", first_label("left_captions", lambda _: [])),
        "focal length of zero": ("intrinsics", first_label("K_px", lambda K: [0.0, *K[1:]])),
        "wrong frame rate": ("fps", first_label("fps", lambda _: 60.0)),
        "image of another shape": ("size", first_label("crop_px", lambda c: [c[0], c[1], c[2], c[3] / 2])),
        "two episodes of one name": ("name", edit_rows(LABELS, lambda rows: rows[1].update(name=rows[0]["name"]))),
        "video interval moved": (
            "counts",
            edit_rows(EPISODES, lambda rows: rows[1].__setitem__(f"videos/{VIDEO_KEY}/from_timestamp", 9.0)),
        ),
        "instruction changed": (
            "columns",
            edit_rows("meta/tasks.parquet", lambda rows: rows[0].update(__index_level_0__="Sing.")),
        ),
    }


def edit_official(change: Callable[[dict], object]):
    """Change the content of one official file."""

    def plant(folder: Path) -> None:
        path = folder / "episodic_annotations" / NAME
        content = np.load(path, allow_pickle=True).item()
        change(content)
        whole = np.empty((), dtype=object)
        whole[()] = content
        np.save(path, whole, allow_pickle=True)

    return plant


def edit_index(change: Callable[[dict], object]):
    """Change the index of an official folder."""

    def plant(folder: Path) -> None:
        path = folder / "episode_frame_index.npz"
        with np.load(path) as arrays:
            values = {name: arrays[name] for name in arrays.files}
        change(values)
        np.savez(path, **values)

    return plant


class Evil:
    """Makes a folder when a careless reader loads it."""

    def __reduce__(self):
        return os.mkdir, ("ran",)


def official_faults(frames: int, size: tuple[int, int]) -> Faults:
    """Fault -> (code, how to plant it), for an official folder in which both hands of `NAME` move.

    Args:
        frames: of its video.
        size: width and height of its video [px].
    """
    return _entry_faults() | _text_faults() | _folder_faults(frames, *size)


def _entry_faults() -> Faults:
    def hand(key: str, change: Callable[[np.ndarray], object], side: str = "left"):
        return edit_official(lambda c: c[side].__setitem__(key, change(c[side][key])))

    def moved(change: Callable[[np.ndarray], np.ndarray]):
        return _both(*(hand(key, change) for key in ("transl_worldspace", "joints_worldspace")))

    def jump(values: np.ndarray) -> np.ndarray:
        values[6] += 1.0
        return values

    return {
        "an entry missing": ("schema", edit_official(lambda c: c.pop("extrinsics"))),
        "a hand's entry missing": ("schema", edit_official(lambda c: c["left"].pop("beta"))),
        "a wrong shape": ("schema", hand("hand_pose", lambda v: v[:, :14])),
        "no dict": (
            "schema",
            lambda folder: np.save(folder / "episodic_annotations" / NAME, np.array(None), allow_pickle=True),
        ),
        "a hand of no side": ("schema", edit_official(lambda c: c.update(anno_type="both"))),
        "a mask of twos": ("mask", hand("kept_frames", lambda v: 2 * v)),
        "primary hand never valid": (
            "mask",
            edit_official(lambda c: c[c["anno_type"]].update(kept_frames=0 * c["left"]["kept_frames"])),
        ),
        "camera space of another camera": ("consistency", hand("joints_camspace", lambda v: v + np.float32(0.01))),
        "orientation of another camera": ("consistency", hand("global_orient_camspace", lambda v: v[::-1])),
        "no number": ("not_finite", hand("joints_worldspace", lambda v: np.where(v > v.mean(), v, np.nan))),
        "camera not a rotation": ("rotation", edit_official(lambda c: c["extrinsics"].__imul__(1.01))),
        "camera last row": ("transform", edit_official(lambda c: c["extrinsics"][0, 3].__imul__(2))),
        "wrist reflected": ("rotation", hand("global_orient_worldspace", lambda v: -v)),
        "fingers of the other convention": ("mirror_rule", hand("hand_pose", lambda v: mirror_rotation(v))),
        "left and right exchanged": (
            "mirror_rule",
            edit_official(lambda c: c.update(left=c["right"], right=c["left"])),
        ),
        "millimetres": ("hand_size", moved(lambda v: 1000 * v)),
        "hands beside the image": ("hands_outside", moved(lambda v: v + 5)),
        "wrist jump": ("wrist_jump", moved(jump)),
    }


def _text_faults() -> Faults:
    def said(c: dict, text: str, stop: int) -> None:
        c["text"][c["anno_type"]][0] = (text, (0, stop))

    return {
        "caption past the end": ("caption_range", edit_official(lambda c: said(c, "Pick it up.", 999))),
        "caption of no frames": ("caption_range", edit_official(lambda c: said(c, "Pick it up.", 0))),
        "caption without words": ("caption_empty", edit_official(lambda c: said(c, "N/A", 5))),
        "no caption": ("caption_empty", edit_official(lambda c: c["text"].update(left=[], right=[]))),
        "focal length of zero": ("intrinsics", edit_official(lambda c: c["intrinsics"].__setitem__((0, 0), 0.0))),
        "frame numbers with a gap": ("frame_range", edit_official(lambda c: c["video_decode_frame"][3:].__iadd__(1))),
        "frames past the video": ("frame_range", edit_official(lambda c: c["video_decode_frame"].__iadd__(10_000))),
    }


def _folder_faults(frames: int, width: int, height: int) -> Faults:
    video = "videos/sample.MP4"
    annotations = Path("episodic_annotations")

    return {
        "another video's name": ("name", edit_official(lambda c: c.update(video_name="other"))),
        "a name without number": (
            "name",
            lambda folder: (folder / annotations / NAME).rename(folder / annotations / "one.npy"),
        ),
        "an unknown source": (
            "name",
            lambda folder: (folder / annotations / NAME).rename(folder / annotations / NAME.replace("epic", "Own")),
        ),
        "a file missing": ("index", lambda folder: (folder / annotations / NAME).unlink()),
        "a file that the index doesn't name": (
            "index",
            edit_index(lambda i: i.update(index_to_episode_id=i["index_to_episode_id"][:-1])),
        ),
        "an index past the end": ("index", edit_index(lambda i: i["index_frame_pair"].__setitem__((0, 1), 9999))),
        "an index without names": ("index", edit_index(lambda i: i.pop("index_to_episode_id"))),
        "statistics of another length": (
            "statistics",
            edit_json("statistics.json", lambda s: s["state_right"]["mean"].pop()),
        ),
        "statistics of other data": (
            "statistics",
            edit_json(
                "statistics.json", lambda s: s["action_right"].update(std=[1e-3 * v for v in s["action_right"]["std"]])
            ),
        ),
        "statistics no one can read": ("statistics", cut("statistics.json", 0.5)),
        "a file cut off": ("unreadable", cut(str(annotations / NAME), 0.5)),
        "a file that runs a command": (
            "unreadable",
            lambda folder: (folder / annotations / NAME).write_bytes(
                b"\x93NUMPY\x01\x00" + _header() + pickle.dumps(Evil())
            ),
        ),
        "a video of another shape": ("size", other_video(video, frames, 30.0, width, height // 2)),
        "a video cut off": ("video", cut(video, 0.3)),
    }


def _header() -> bytes:
    text = b"{'descr': '|O', 'fortran_order': False, 'shape': (), }"
    text += b" " * (118 - len(text) - 1) + b"\n"
    return len(text).to_bytes(2, "little") + text
