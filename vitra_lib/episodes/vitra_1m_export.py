"""A store -> the official VITRA-1M folders: `.npy` episodes, `episode_frame_index.npz`, videos (spec, 1.5 and 1.6)."""

import dataclasses
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from vitra_lib.core.errors import BadInput, UnknownName
from vitra_lib.core.files import atomic_folder
from vitra_lib.episodes.episode import Episode
from vitra_lib.episodes.naming import rule_for
from vitra_lib.episodes.schema import VIDEO_KEY
from vitra_lib.episodes.shards import shard_path
from vitra_lib.episodes.store import EpisodeStore
from vitra_lib.episodes.vitra_1m import official_bytes
from vitra_lib.episodes.vitra_1m_index import ANNOTATIONS, INDEX_FILE
from vitra_lib.episodes.vitra_1m_statistics import OFFICIAL_STATISTICS, official_statistics

logger = logging.getLogger(__name__)

LAYOUTS = ("flat", "training")


@dataclass(frozen=True)
class ExportConfig:
    """How the official folders are laid out.

    Attributes:
        layout: "flat": {dataset}/episode_frame_index.npz, episodic_annotations/, videos/;
            "training": Annotation/{dataset}/… and Video/{root}/, as the official training root.
        prefix: replaces every episode's own prefix. The official loader knows "Ego4D", "EgoExo4D", "epic" and
            "somethingsomethingv2" only, so data of another origin needs one of them to be read by it; None keeps it.
        dataset: name of the dataset folder; None takes the one that imported episodes came from, else the official one
            of the prefix, else the prefix itself.
        anonymise: make detected faces unrecognisable in the written videos, where that wasn't done before.
    """

    layout: str = "flat"
    prefix: str | None = None
    dataset: str | None = None
    anonymise: bool = False

    def __post_init__(self) -> None:
        if self.layout not in LAYOUTS:
            raise UnknownName("layout", self.layout, LAYOUTS)
        if self.dataset is not None and ("/" in self.dataset or self.dataset in ("", ".", "..")):
            raise BadInput(f"The dataset name {self.dataset!r} can't be a folder name.")


def export_vitra_1m(
    store: EpisodeStore, out: str | Path, config: ExportConfig | None = None, progress: bool = False
) -> dict[str, int]:
    """Write all episodes and videos of a store in the official layout, all or nothing.

    Videos are the store's copies, frame for frame; they are mp4 inside whatever extension the naming rule asks for
    (decoders look at the content).

    Args:
        store: what is exported.
        out: folder that must not exist.
        config: layout and names.
        progress: show a progress bar.

    Returns:
        counts of "episodes", "frames" and "videos".

    Raises:
        BadInput: `out` exists, the store is empty, or two prefixes would share one dataset folder.
        WriteFailed: no permission, or the disk is full.
    """
    config = config or ExportConfig()
    out = Path(out)
    if out.exists():
        raise BadInput(f"{out} exists already: name a folder that doesn't, or remove it first.")
    prefixes = {config.prefix or video["dataset_prefix"] for video in store.videos}
    if config.dataset is not None and len(prefixes) > 1:
        raise BadInput(f"One dataset folder can't hold the prefixes {', '.join(sorted(prefixes))}: leave its name out.")
    with atomic_folder(out) as part:
        used, frames = _write_episodes(store, part, config, progress)
        videos = _write_videos(store, part, config, used, progress)
        _write_statistics(store, part, config, sorted(set().union(*used.values())))
    return {"episodes": len(store), "frames": frames, "videos": videos}


def _write_episodes(
    store: EpisodeStore, out: Path, config: ExportConfig, progress: bool
) -> tuple[dict[tuple[str, str], set[str]], int]:
    """Write all episodes; returns per video (prefix, name) the annotation folders that use it, and the frame count."""
    index: dict[str, tuple[list[str], list[np.ndarray]]] = {}
    used: dict[tuple[str, str], set[str]] = {}
    for episode in tqdm(store, total=len(store), unit="episode", disable=not progress):
        episode = renamed(episode, config.prefix)
        _check_principal_point(episode)
        folder = _annotation_folder(episode, config)
        used.setdefault((episode.dataset_prefix, episode.video_name), set()).add(folder)
        path = out / folder / ANNOTATIONS / f"{episode.name}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(official_bytes(episode))
        names, pairs = index.setdefault(folder, ([], []))
        pairs.append(np.stack([np.full(len(episode), len(names)), np.arange(len(episode))], axis=1).astype(np.int64))
        names.append(episode.name)
    for folder, (names, pairs) in index.items():
        whole = {"index_frame_pair": np.concatenate(pairs), "index_to_episode_id": np.array(names)}
        np.savez(out / folder / INDEX_FILE, **whole)
    return used, sum(len(pair) for _, pairs in index.values() for pair in pairs)


def renamed(episode: Episode, prefix: str | None) -> Episode:
    """The episode under another prefix; None keeps it."""
    if prefix is None or prefix == episode.dataset_prefix:
        return episode
    rest = episode.name.removeprefix(episode.dataset_prefix)
    return dataclasses.replace(episode, name=prefix + rest, dataset_prefix=prefix)


def _check_principal_point(episode: Episode) -> None:
    off = np.abs(2 * episode.K_px[:2, 2] - (episode.width_px, episode.height_px)).max()
    if off > 1.0:
        logger.warning(
            "%s: the principal point is %.1f px off the centre; the official loader takes it for the centre.",
            episode.name, off / 2,
        )  # fmt: skip


def _annotation_folder(episode: Episode, config: ExportConfig) -> str:
    """Where an episode goes: the asked folder, the one that it came from, or the first official one of its prefix."""
    rule = rule_for(episode.dataset_prefix)
    came_from = episode.provenance.get("dataset")
    known = came_from if came_from in rule.folders else next(iter(rule.folders), episode.dataset_prefix)
    dataset = config.dataset or known
    return dataset if config.layout == "flat" else f"Annotation/{dataset}"


def _write_statistics(store: EpisodeStore, out: Path, config: ExportConfig, folders: list[str]) -> None:
    """Released statistics as they came; a dataset without any gets those of the whole store."""
    for folder in map(Path, folders):
        released = store.root / OFFICIAL_STATISTICS / f"{folder.name}.json"
        computed = official_statistics(folder.name, store.moments()).encode()
        in_training = out / folder.parent / "statistics" / f"{folder.name}_angle_statistics.json"
        path = out / folder / "statistics.json" if config.layout == "flat" else in_training
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(released.read_bytes() if released.is_file() else computed)


def _write_videos(
    store: EpisodeStore, out: Path, config: ExportConfig, used: dict[tuple[str, str], set[str]], progress: bool
) -> int:
    videos: dict[tuple[str, str], list[dict]] = {}
    for video in store.videos:
        prefix = config.prefix or video["dataset_prefix"]
        videos.setdefault((prefix, video["video_name"]), []).append(video)
    for (prefix, name), pieces in tqdm(videos.items(), unit="video", disable=not progress):
        if len({piece["dataset_prefix"] for piece in pieces}) > 1:
            raise BadInput(f"Two videos named {name!r} of different origin can't share the prefix {prefix!r}.")
        shared = [f"Video/{rule_for(prefix).video_root}"]
        folders = shared if config.layout == "training" else [f"{one}/videos" for one in sorted(used[prefix, name])]
        for folder in folders:
            path = out / folder / f"{name}{rule_for(prefix).extension}"
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_video(store, pieces, path)
            if config.anonymise and not pieces[0].get("is_anonymised"):
                _anonymise(path)
    return len(videos)


def _write_video(store: EpisodeStore, pieces: list[dict], path: Path) -> None:
    files = [store.root / shard_path(f"videos/{VIDEO_KEY}", p["chunk"] * 1000 + p["file"], "mp4") for p in pieces]
    if len(files) == 1:
        shutil.copyfile(files[0], path)
    else:
        join_pieces(files, [piece["start"] for piece in pieces], path)


def _anonymise(path: Path) -> None:
    from vitra_lib.video.anonymise import anonymise_video

    hidden = path.with_name(f"{path.stem}.anonymised.mp4")
    anonymise_video(path, hidden)
    hidden.replace(path)


def join_pieces(files: list[Path], starts: list[int], target: Path) -> None:
    """Join overlapping pieces of one video without decoding: each is cut where the next one starts, at a key frame.

    Args:
        files: mp4 pieces without B-frames, all encoded alike.
        starts: first source frame of each.
        target: the mp4 to write.
    """
    import av

    written = 0
    options = {"movflags": "+faststart", "fflags": "+bitexact"}
    with av.open(f"file:{target}", "w", format="mp4", options=options) as output:
        stream = None
        for number, file in enumerate(files):
            wanted = starts[number + 1] - starts[number] if number + 1 < len(files) else None
            with av.open(f"file:{file}") as source:
                template = source.streams.video[0]
                stream = stream or output.add_stream_from_template(template)
                ticks = round(1 / (template.average_rate * template.time_base))
                for count, packet in enumerate(p for p in source.demux(template) if p.pts is not None):
                    if count == wanted:
                        break
                    packet.pts = packet.dts = written * ticks
                    packet.stream = stream
                    output.mux(packet)
                    written += 1
