"""The store: a LeRobot v3.0 dataset on disk whose extra columns hold everything that an episode has.

    meta/info.json, stats.json, tasks.parquet, episodes/…      LeRobot's own
    meta/vitra.json, meta/vitra/labels/…, videos.parquet,…     what belongs to an episode or a video as a whole
    data/chunk-000/file-000.parquet                            one row per frame, one row group per episode
    videos/observation.images.ego/chunk-000/file-000.mp4       one per source video; episodes point into it

Opening reads two small files; an episode is reached by arithmetic (which file, which row group), never by a scan.
"""

import json
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import UInt8

from vitra_lib.core.errors import BadInput
from vitra_lib.episodes.episode import Episode
from vitra_lib.episodes.footage import FootageConfig
from vitra_lib.episodes.schema import CODEBASE_VERSION, STORE_VERSION, VIDEO_KEY, episode_from, lerobot_features
from vitra_lib.episodes.shards import LABELS_PER_FILE, LABELS_PER_GROUP, shard_path
from vitra_lib.episodes.staging import recover
from vitra_lib.episodes.statistics import Moments
from vitra_lib.video import VideoReader

if TYPE_CHECKING:
    from vitra_lib.episodes.writer import EpisodeWriter

LABELS = "meta/vitra/labels"
VIDEOS_TABLE = "meta/vitra/videos.parquet"
MOMENTS = "meta/vitra/moments.json"
_OPEN_FILES = 32


class EpisodeStore:
    """Reads a store. Safe to hand to worker processes: open files are not carried along."""

    def __init__(self, root: Path, info: dict, card: dict) -> None:
        """Use `EpisodeStore.open`."""
        self.root, self.info, self.card = root, info, card
        self.width_px: int = card["width_px"]
        self.height_px: int = card["height_px"]
        self.fps: int = info["fps"]
        self._files: OrderedDict[str, pq.ParquetFile] = OrderedDict()
        self._readers: OrderedDict[str, VideoReader] = OrderedDict()

    @classmethod
    def open(cls, root: str | Path) -> "EpisodeStore":
        """Open an existing store and check that this version can read it.

        Raises:
            BadInput: there is no store, or its version or columns are not the ones this library writes.
        """
        root = Path(root)
        if not root.is_dir():
            raise BadInput(f"There is no dataset at {root}: the folder doesn't exist.")
        recover(root)
        info = _read_json(root, "meta/info.json")
        card = _read_json(root, "meta/vitra.json")
        if info.get("codebase_version") != CODEBASE_VERSION:
            found = info.get("codebase_version")
            raise BadInput(f"{root} is a LeRobot {found} dataset: this library reads {CODEBASE_VERSION}.")
        if card.get("store_version") != STORE_VERSION:
            raise BadInput(f"{root} has store version {card.get('store_version')}: this library reads {STORE_VERSION}.")
        wanted = lerobot_features(card["width_px"], card["height_px"], info["fps"])
        found = info.get("features", {})
        wrong = [name for name in {**wanted, **found} if wanted.get(name) != found.get(name)]
        if wrong:
            names = ", ".join(wrong)
            raise BadInput(f"{root}: the columns {names} in meta/info.json are not those of an episode store.")
        store = cls(root, info, card)
        last = (len(store) - 1) // LABELS_PER_FILE
        for number in {0, last}:
            if not (root / shard_path(LABELS, number)).exists():
                raise BadInput(f"{root} is incomplete: {shard_path(LABELS, number)} is missing.")
        return store

    @staticmethod
    def create(root: str | Path, config: FootageConfig | None = None) -> "EpisodeWriter":
        """Begin a new store; it appears at `root` when `finalize` is called."""
        from vitra_lib.episodes.writer import EpisodeWriter

        return EpisodeWriter.create(root, config)

    @staticmethod
    def append(root: str | Path) -> "EpisodeWriter":
        """Begin to add to an existing store; readers see the old state until `finalize` is called."""
        from vitra_lib.episodes.writer import EpisodeWriter

        return EpisodeWriter.append_to(root)

    def __len__(self) -> int:
        return self.info["total_episodes"]

    @property
    def total_frames(self) -> int:
        """Number of frames of all episodes, overlapping ones counted each time."""
        return self.info["total_frames"]

    def __getitem__(self, index: int) -> Episode:
        """Episode number `index`, labels bit for bit as they were written."""
        label = self.label(index)
        return episode_from(label, self.frame_rows(label))

    def frame_rows(self, label: dict[str, object]) -> pa.Table:
        """The per-frame rows (`schema.FRAME_SCHEMA`) of the episode with this label."""
        row, index = label, label["episode_index"]
        path = f"data/chunk-{row['data_chunk']:03d}/file-{row['data_file']:03d}.parquet"
        frames = self._file(path).read_row_group(row["data_row_group"])
        if frames.num_rows != row["length"] or frames.column("episode_index")[0].as_py() != row["episode_index"]:
            raise BadInput(f"{self.root / path}: row group {row['data_row_group']} is not that of episode {index}.")
        return frames

    def __iter__(self) -> Iterator[Episode]:
        return (self[index] for index in range(len(self)))

    def label(self, index: int) -> dict[str, object]:
        """What belongs to episode `index` as a whole (`schema.LABEL_SCHEMA`), without its frames."""
        number, within = self._label_place(index)
        group, offset = divmod(within, LABELS_PER_GROUP)
        table = self._file(shard_path(LABELS, number)).read_row_group(group)
        return table.slice(offset, 1).to_pylist()[0]

    def _label_place(self, index: int) -> tuple[int, int]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"episode {index}: the store has 0 to {len(self) - 1}")
        return divmod(index % len(self), LABELS_PER_FILE)

    def labels(self, columns: Sequence[str]) -> pa.Table:
        """The named columns of `schema.LABEL_SCHEMA` for all episodes, in order."""
        count = -(-len(self) // LABELS_PER_FILE)
        return pa.concat_tables(self._file(shard_path(LABELS, n)).read(columns=list(columns)) for n in range(count))

    @property
    def names(self) -> list[str]:
        """Names of all episodes, in order."""
        return self.labels(["name"]).column("name").to_pylist()

    @property
    def videos(self) -> list[dict[str, object]]:
        """One row per mp4 (`writer.VIDEO_SCHEMA`)."""
        return pq.read_table(self.root / VIDEOS_TABLE).to_pylist()

    def moments(self) -> dict[str, Moments]:
        """Running statistics per column, without loss; meta/stats.json holds what LeRobot asks of them."""
        return {name: Moments.from_json(values) for name, values in _read_json(self.root, MOMENTS).items()}

    def video_path(self, index: int) -> Path:
        """The mp4 that shows episode `index`."""
        row = self.label(index)
        return self.root / f"videos/{VIDEO_KEY}/chunk-{row['video_chunk']:03d}/file-{row['video_file']:03d}.mp4"

    def images(self, index: int, frames: Sequence[int]) -> list[UInt8[np.ndarray, "height width 3"]]:
        """RGB images of some frames of episode `index`; episode frame numbers, any order."""
        row = self.label(index)
        outside = [frame for frame in frames if not 0 <= frame < row["length"]]
        if outside:
            raise BadInput(f"Episode {row['name']} has frames 0 to {row['length'] - 1}, not {outside[0]}.")
        offset = row["source_start"] - row["video_start"]
        found = self._reader(self.video_path(index)).at([offset + int(frame) for frame in frames])
        return [frame.image for frame in found]

    def _file(self, relative: str) -> pq.ParquetFile:
        if relative in self._files:
            self._files.move_to_end(relative)
            return self._files[relative]
        path = self.root / relative
        if not path.exists():
            raise BadInput(f"{self.root} is incomplete: {relative} is missing.")
        try:
            self._files[relative] = pq.ParquetFile(path)
        except pa.ArrowInvalid as error:
            raise BadInput(f"{path} is damaged: it can't be read as Parquet.") from error
        if len(self._files) > _OPEN_FILES:
            self._files.popitem(last=False)[1].close()
        return self._files[relative]

    def _reader(self, path: Path) -> VideoReader:
        key = str(path)
        if key not in self._readers:
            self._readers[key] = VideoReader(path)
        self._readers.move_to_end(key)
        if len(self._readers) > _OPEN_FILES:
            self._readers.popitem(last=False)[1].close()
        return self._readers[key]

    def close(self) -> None:
        """Close the files that reading opened; the store may be used again."""
        for opened in (*self._files.values(), *self._readers.values()):
            opened.close()
        self._files.clear()
        self._readers.clear()

    def __getstate__(self) -> dict[str, object]:
        return vars(self) | {"_files": OrderedDict(), "_readers": OrderedDict()}


def _read_json(root: Path, relative: str) -> dict:
    path = root / relative
    if not path.exists():
        raise BadInput(f"{root} is not an episode store: {relative} is missing.")
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise BadInput(f"{path} is damaged: it is not JSON.") from error
