"""Other robots' recordings: LeRobot datasets of versions 2.1 and 3.0 as plain arrays of states and actions."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from robot.teleop.lag import Lag, align_commands
from vitra_lib.core.errors import BadInput

VERSIONS = ("v2.0", "v2.1", "v3.0")
_STATE, _ACTION = "observation.state", "action"


@dataclass(frozen=True, eq=False)
class RobotRecording:
    """One episode of any robot.

    Attributes:
        index: its number in the dataset.
        task: what was done.
        fps: frames per second [1/s].
        state_names, action_names: of the numbers, as the dataset has them.
        state, action: (time, number) in the dataset's own units.
        videos: camera -> (file, time of the first frame in it [s]); a file need not exist.
    """

    index: int
    task: str
    fps: float
    state_names: tuple[str, ...]
    action_names: tuple[str, ...]
    state: Float[np.ndarray, "time state"]
    action: Float[np.ndarray, "time action"]
    videos: dict[str, tuple[Path, float]]

    def __len__(self) -> int:
        return len(self.state)


class RobotRecordings:
    """Reads a LeRobot dataset; of version 2 only the episodes whose files are there."""

    def __init__(self, root: str | Path) -> None:
        """
        Args:
            root: the folder that holds `meta`.

        Raises:
            BadInput: there is no such dataset, its version is unknown, or it has no states and actions.
        """
        self.root = Path(root)
        self.info = self._json("meta/info.json")
        self.version = str(self.info.get("codebase_version"))
        if self.version not in VERSIONS:
            raise BadInput(f"{root} is a LeRobot {self.version} dataset; legal are {', '.join(VERSIONS)}.")
        features = self.info.get("features", {})
        for name in (_STATE, _ACTION):
            if name not in features:
                raise BadInput(f"{root} has no feature {name!r}; it has {', '.join(features) or 'none'}.")
        self.names = {name: _flat_names(features[name]) for name in (_STATE, _ACTION)}
        self.cameras = tuple(name for name, feature in features.items() if feature.get("dtype") == "video")
        self.rows = self._rows_3() if self.version == "v3.0" else self._rows_2()
        if not self.rows:
            raise BadInput(f"{root} has no episode whose data file is there.")

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[RobotRecording]:
        return (self[number] for number in range(len(self)))

    def __getitem__(self, number: int) -> RobotRecording:
        import pyarrow.parquet as pq

        row = self.rows[number]
        try:
            table = pq.read_table(row["data"], columns=[_STATE, _ACTION, "episode_index"])
            episode = table.column("episode_index").to_numpy()
            values = {name: np.stack(table.column(name).to_numpy())[episode == row["index"]] for name in self.names}
        except (OSError, ValueError, KeyError) as error:
            raise BadInput(f"{row['data']} can't be read ({' '.join(str(error).split())[:120]}).") from error
        for name, value in values.items():
            if value.shape != (row["length"], len(self.names[name])) or not np.isfinite(value).all():
                raise BadInput(f"{row['data']}: {name} of episode {row['index']} has shape {value.shape} or NaN.")
        return RobotRecording(
            row["index"], row["task"], float(self.info["fps"]), self.names[_STATE], self.names[_ACTION],
            values[_STATE].astype(np.float64), values[_ACTION].astype(np.float64), row["videos"],
        )  # fmt: skip

    def _rows_2(self) -> list[dict]:
        """Version 2: one data file and one video per episode."""
        rows, size = [], int(self.info["chunks_size"])
        for line in (self.root / "meta/episodes.jsonl").read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            where = {"episode_chunk": entry["episode_index"] // size, "episode_index": entry["episode_index"]}
            data = self.root / self.info["data_path"].format(**where)
            if not data.is_file():
                continue
            videos = {
                key: (self.root / self.info["video_path"].format(video_key=key, **where), 0.0) for key in self.cameras
            }
            rows.append({"index": entry["episode_index"], "length": entry["length"], "data": data, "videos": videos,
                         "task": "; ".join(entry["tasks"])})  # fmt: skip
        return rows

    def _rows_3(self) -> list[dict]:
        """Version 3: many episodes per file, and a table that says which."""
        import pyarrow.parquet as pq

        rows = []
        for path in sorted((self.root / "meta/episodes").glob("*/*.parquet")):
            for entry in pq.read_table(path).to_pylist():
                where = {"chunk_index": entry["data/chunk_index"], "file_index": entry["data/file_index"]}
                data = self.root / self.info["data_path"].format(**where)
                if not data.is_file():
                    continue
                videos = {key: self._video_3(entry, key) for key in self.cameras}
                rows.append({"index": entry["episode_index"], "length": entry["length"], "data": data,
                             "videos": videos, "task": "; ".join(entry["tasks"])})  # fmt: skip
        return rows

    def _video_3(self, entry: dict, key: str) -> tuple[Path, float]:
        where = {f"{part}_index": entry[f"videos/{key}/{part}_index"] for part in ("chunk", "file")}
        path = self.root / self.info["video_path"].format(video_key=key, **where)
        return path, float(entry[f"videos/{key}/from_timestamp"])

    def _json(self, relative: str) -> dict:
        try:
            return json.loads((self.root / relative).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise BadInput(f"{self.root} is not a LeRobot dataset: {relative} can't be read ({error}).") from error


def aligned(recording: RobotRecording, lag: Lag) -> RobotRecording:
    """The recording with every action at the frame in which the robot does it; frames before the first are cut off.

    Args:
        recording: states and actions in the same order of joints.
        lag: delays of its joints (`measure_lag`); joints without one stay as they are.

    Raises:
        BadInput: the delays are of another robot, or longer than the recording.
    """
    action, known = align_commands(recording.action, lag.joint_lag_s, recording.fps)
    if not known.any():
        raise BadInput(f"Episode {recording.index} has {len(recording)} frames, fewer than the delay of its commands.")
    first = int(np.argmax(known))
    start_s = first / recording.fps
    videos = {key: (path, time_s + start_s) for key, (path, time_s) in recording.videos.items()}
    return replace(recording, state=recording.state[first:], action=action[first:], videos=videos)


def _flat_names(feature: dict) -> tuple[str, ...]:
    """Names of a feature's numbers; datasets nest them in lists or dicts, or leave them out."""
    size, names = int(feature["shape"][0]), feature.get("names")
    while isinstance(names, dict) or (isinstance(names, list) and len(names) == 1 and isinstance(names[0], list)):
        names = next(iter(names.values()), None) if isinstance(names, dict) else names[0]
    if isinstance(names, list) and len(names) == size:
        return tuple(map(str, names))
    return tuple(str(number) for number in range(size))
