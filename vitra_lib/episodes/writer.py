"""Writing the store: videos and episodes in, a LeRobot v3.0 dataset out, all or nothing."""

import json
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa

from vitra_lib.core.errors import BadInput, WriteFailed
from vitra_lib.episodes.card import CardFacts, readme
from vitra_lib.episodes.episode import Episode
from vitra_lib.episodes.footage import Footage, FootageConfig, prepare_footage
from vitra_lib.episodes.lerobot_files import (
    EPISODE_SCHEMA,
    episode_row,
    info_json,
    read_tasks,
    statistics_entry,
    write_tasks,
)
from vitra_lib.episodes.schema import (
    FRAME_SCHEMA,
    LABEL_SCHEMA,
    ROW_BYTES,
    STORE_VERSION,
    VIDEO_KEY,
    frame_table,
    label_row,
)
from vitra_lib.episodes.shards import LABELS_PER_FILE, LABELS_PER_GROUP, ShardWriter, place, shard_path, write_table
from vitra_lib.episodes.staging import Staging
from vitra_lib.episodes.statistics import Moments, image_moments
from vitra_lib.episodes.store import LABELS, MOMENTS, VIDEOS_TABLE, EpisodeStore
from vitra_lib.video import VideoReader

logger = logging.getLogger(__name__)

DATA_FILE_BYTES = 16 * 1024**2
IMAGES_PER_EPISODE = 4
VIDEO_SCHEMA = pa.schema(
    [
        ("dataset_prefix", pa.string()),
        ("video_name", pa.string()),
        ("chunk", pa.int64()),
        ("file", pa.int64()),
        ("start", pa.int64()),
        ("stop", pa.int64()),
        ("frame_count", pa.int64()),
        ("source_fps", pa.float64()),
        ("source_width_px", pa.int64()),
        ("source_height_px", pa.int64()),
        ("source_files", pa.list_(pa.string())),
        ("is_anonymised", pa.bool_()),
    ]
)


class EpisodeWriter:
    """Adds videos and episodes to a store; a context manager that leaves nothing when it ends without `finalize`."""

    def __init__(self, staging: Staging, config: FootageConfig, base: EpisodeStore | None) -> None:
        """Use `EpisodeWriter.create` or `append_to`."""
        self._staging, self._config = staging, config
        self._data = ShardWriter(staging, "data", FRAME_SCHEMA, DATA_FILE_BYTES // ROW_BYTES)
        labels = {"rows_per_file": LABELS_PER_FILE, "rows_per_group": LABELS_PER_GROUP}
        self._labels = ShardWriter(staging, LABELS, LABEL_SCHEMA, **labels)
        self._episodes = ShardWriter(staging, "meta/episodes", EPISODE_SCHEMA, **labels)
        self._tasks: dict[str, int] = {}
        self._videos: list[dict] = []
        self._pieces: dict[tuple[str, str], list[dict]] = {}
        self._names: set[str] = set()
        self._moments: dict[str, Moments] = {}
        self._frames = 0
        self._facts = CardFacts()
        self._reader: tuple[Path, VideoReader] | None = None
        if base is not None:
            self._resume(base)

    @classmethod
    def create(cls, root: str | os.PathLike, config: FootageConfig | None = None) -> "EpisodeWriter":
        """Begin a new store.

        Raises:
            BadInput: `root` exists, or another process is writing it.
            WriteFailed: no permission, or the disk is full.
        """
        return cls(Staging(Path(root), is_new=True), config or FootageConfig(), None)

    @classmethod
    def append_to(cls, root: str | os.PathLike) -> "EpisodeWriter":
        """Begin to add to a store; size, rate and GOP of its videos stay as they are."""
        base = EpisodeStore.open(root)
        config = FootageConfig(**base.card["footage"])
        staging = Staging(Path(root), is_new=False)
        try:
            return cls(staging, config, base)
        except BaseException:
            staging.discard()
            raise

    def _resume(self, base: EpisodeStore) -> None:
        row = base.label(len(base) - 1)
        last_labels = (len(base) - 1) // LABELS_PER_FILE
        self._data.resume(row["data_chunk"] * 1000 + row["data_file"])
        self._labels.resume(last_labels)
        self._episodes.resume(last_labels)
        self._tasks = read_tasks(base.root)
        known = base.card.get("facts", {})
        self._facts = CardFacts(**(known | {"errors": tuple(known.get("errors", ()))}))
        for video in base.videos:
            self._register(video)
        self._names = set(base.names)
        self._frames = base.total_frames
        self._moments = base.moments()
        base.close()

    def __enter__(self) -> "EpisodeWriter":
        return self

    def __exit__(self, *_) -> None:
        self.discard()

    def __len__(self) -> int:
        return len(self._names)

    @property
    def video_names(self) -> set[tuple[str, str]]:
        """(dataset_prefix, video_name) of the videos that are in."""
        return set(self._pieces)

    def has(self, name: str) -> bool:
        """Whether an episode of that name is in."""
        return name in self._names

    @property
    def footage_config(self) -> FootageConfig:
        """How the next video must be prepared: size and rate are fixed once the first one is in."""
        return self._config

    def add_video(
        self,
        video_name: str,
        files: Sequence[str | os.PathLike],
        dataset_prefix: str,
        prepared: str | os.PathLike | None = None,
        progress: bool = False,
    ) -> None:
        """Add a source video; episodes refer to it by prefix and name.

        Args:
            video_name: name without extension, as in `Episode.video_name`.
            files: the video; several files are consecutive parts of it. Ignored when `prepared` is given.
            dataset_prefix: as in `Episode.dataset_prefix`.
            prepared: a folder that `prepare_footage` wrote with `footage_config`.
            progress: show a progress bar.

        Raises:
            BadVideo: a file can't be read.
            BadInput: the name is taken, or the prepared copy has another size or rate.
            WriteFailed: no permission, or the disk is full.
        """
        if (dataset_prefix, video_name) in self._pieces:
            raise BadInput(f"The video {video_name!r} of {dataset_prefix!r} is in the dataset already.")
        with _writing(self._staging.root):
            if prepared is not None:
                footage = Footage.load(Path(prepared))
            else:
                folder = self._staging.path(f"footage/{len(self._videos)}")
                footage = prepare_footage(files, folder, self._config, progress)
            self._check_footage(footage)
            for piece, (start, stop) in enumerate(footage.pieces):
                number = len(self._videos)
                target = self._staging.path(shard_path(f"videos/{VIDEO_KEY}", number, "mp4"))
                shutil.copyfile(footage.path(piece), target) if prepared else os.replace(footage.path(piece), target)
                chunk, file = place(number)
                row = {"dataset_prefix": dataset_prefix, "video_name": video_name, "chunk": chunk, "file": file}
                row |= {"start": start, "stop": stop, "source_files": list(footage.source_files)}
                for key in ("frame_count", "source_fps", "source_width_px", "source_height_px", "is_anonymised"):
                    row[key] = getattr(footage, key)
                self._register(row)
            shutil.rmtree(self._staging.folder / "footage", ignore_errors=True)

    def _register(self, video: dict) -> None:
        self._videos.append(video)
        self._pieces.setdefault((video["dataset_prefix"], video["video_name"]), []).append(video)

    def _check_footage(self, footage: Footage) -> None:
        fixed = {name: getattr(footage, name) for name in ("width_px", "height_px", "fps", "gop")}
        wanted = {name: getattr(self._config, name) for name in fixed}
        wrong = [name for name in fixed if wanted[name] not in (None, fixed[name])]
        if wrong:
            sizes = ", ".join(f"{name} {fixed[name]} instead of {wanted[name]}" for name in wrong)
            raise BadInput(f"The prepared video in {footage.folder} doesn't fit this dataset: {sizes}.")
        self._config = FootageConfig(**{**vars(self._config), **fixed})
        if round(footage.source_fps) != self._config.fps:
            logger.warning(
                "%s runs at %.2f frames/s, the dataset at %d: frames are kept one by one, true times are in `time_s`.",
                footage.source_files[0], footage.source_fps, self._config.fps,
            )  # fmt: skip

    def append(self, episode: Episode) -> int:
        """Add one episode of a video that is in; returns its number.

        Raises:
            BadInput: its name is taken, its video is not in, its frames are not consecutive or not in the video.
            WriteFailed: no permission, or the disk is full.
        """
        if episode.name in self._names:
            raise BadInput(f"The episode {episode.name!r} is in the dataset already.")
        video = self._find_video(episode)
        index, fps = len(self._names), self._config.fps
        texts = [episode.instruction(frame) for frame in range(len(episode))]
        tasks = np.array([self._tasks.setdefault(text, len(self._tasks)) for text in texts], dtype=np.int64)
        with _writing(self._staging.root):
            frames, counted = frame_table(episode, index, self._frames, tasks, fps)
            moments = {VIDEO_KEY: image_moments(self._sample_images(episode, video))}
            moments |= {name: Moments.of(values, mask) for name, (values, mask) in counted.items()}
            chunk, file, group = self._data.add(frames)
            label = label_row(episode, index) | {
                "data_chunk": chunk, "data_file": file, "data_row_group": group,
                "video_chunk": video["chunk"], "video_file": video["file"], "video_start": video["start"],
            }  # fmt: skip
            self._labels.add(pa.Table.from_pylist([label], schema=LABEL_SCHEMA))
            row = episode_row(label, self._frames, list(dict.fromkeys(texts)), fps, moments)
            self._episodes.add(pa.Table.from_pylist([row], schema=EPISODE_SCHEMA))
        for name, block in moments.items():
            self._moments[name] = self._moments[name].merged(block) if name in self._moments else block
        self._names.add(episode.name)
        self._frames += len(episode)
        return index

    def _find_video(self, episode: Episode) -> dict:
        pieces = self._pieces.get((episode.dataset_prefix, episode.video_name))
        if not pieces:
            raise BadInput(f"Episode {episode.name}: add its video {episode.video_name!r} before it.")
        if (np.diff(episode.source_frame) != 1).any():
            raise BadInput(f"Episode {episode.name}: its frames are not consecutive frames of the video.")
        first, last, count = int(episode.source_frame[0]), int(episode.source_frame[-1]), pieces[0]["frame_count"]
        if first < 0 or last >= count:
            raise BadInput(f"Episode {episode.name} needs frames {first} to {last}, but its video has {count} frames.")
        for video in pieces:
            if video["start"] <= first and last < video["stop"]:
                return video
        overlap = self._config.overlap_s
        raise BadInput(f"Episode {episode.name} has {len(episode)} frames: longer than {overlap:g} s is not supported.")

    def _sample_images(self, episode: Episode, video: dict) -> list[np.ndarray]:
        path = self._staging.current(shard_path(f"videos/{VIDEO_KEY}", video["chunk"] * 1000 + video["file"], "mp4"))
        if self._reader is None or self._reader[0] != path:
            self._close_reader()
            self._reader = (path, VideoReader(path))
        count = min(IMAGES_PER_EPISODE, len(episode))
        chosen = np.unique(np.linspace(0, len(episode) - 1, count).round().astype(int))
        first = int(episode.source_frame[0]) - video["start"]
        return [frame.image for frame in self._reader[1].at(first + chosen)]

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._reader[1].close()
            self._reader = None

    def finalize(self, facts: CardFacts | None = None) -> EpisodeStore:
        """Write what remains and make the whole visible at once.

        Args:
            facts: what the dataset card shall say besides counts; None keeps what an older card of this dataset said.

        Raises:
            BadInput: no episode was added.
            WriteFailed: no permission, or the disk is full.
        """
        if not self._names:
            raise BadInput(f"Nothing to write to {self._staging.root}: a dataset needs at least one episode.")
        self._close_reader()
        with _writing(self._staging.root):
            for shards in (self._data, self._labels, self._episodes):
                shards.close()
            config = self._config
            write_table(self._staging.path(VIDEOS_TABLE), pa.Table.from_pylist(self._videos, schema=VIDEO_SCHEMA))
            write_tasks(self._staging.path("meta/tasks.parquet"), self._tasks)
            stats = {name: statistics_entry(name, block) for name, block in self._moments.items()}
            card = {"store_version": STORE_VERSION, "width_px": config.width_px, "height_px": config.height_px}
            card["footage"] = vars(config)
            self._facts = facts or self._facts
            card["facts"] = {"made_by": self._facts.made_by, "errors": list(self._facts.errors)}
            info = info_json(config, len(self._names), self._frames, len(self._tasks))
            self._write_json("meta/stats.json", stats)
            self._write_json(MOMENTS, {name: moments.to_json() for name, moments in self._moments.items()})
            self._write_json("meta/vitra.json", card)
            self._write_json("meta/info.json", info)
            self._staging.path("README.md").write_text(readme(info, self._videos, self._facts), encoding="utf-8")
            self._staging.commit()
        return EpisodeStore.open(self._staging.root)

    def _write_json(self, relative: str, values: dict) -> None:
        self._staging.path(relative).write_text(json.dumps(values, indent=2, allow_nan=False) + "\n")

    def discard(self) -> None:
        """Forget everything since `create` or `append_to`; does nothing after `finalize`."""
        self._close_reader()
        for shards in (self._data, self._labels, self._episodes):
            shards.abandon()
        self._staging.discard()


@contextmanager
def _writing(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WriteFailed(f"{root} can't be written: {error.strerror or error}.") from error
