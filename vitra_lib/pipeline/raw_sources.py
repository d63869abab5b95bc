"""The four sources of VITRA-1M as their owners hand them out: where the videos are, what they are called, their lenses.

    ego4d      <root>/v2/full_scale/<uid>.mp4, metadata in <root>/v2/ego4d.json; lens <uid>.npy
    epic       <root>/EPIC-KITCHENS/P01/videos/P01_01.MP4 (or videos/train/P01/P01_01.MP4), EPIC_100_video_info.csv
    egoexo4d   <root>/takes/<take>/frame_aligned_videos/aria01_214-1.mp4, egoexo4d_aria_name.json; lens <take>.json
    ssv2       <root>/20bn-something-something-v2/<number>.webm

Lenses are those of VITRA-1M's folder "intrinsics" (spec of the episode format, 1.8). Names are the official ones, so
that episodes built here are called as the released ones are.
"""

import csv
import json
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from vitra_lib.core.errors import BadInput, UnknownName

_log = logging.getLogger(__name__)

_UID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_EPIC_NAME = re.compile(r"P\d{2}_\d{2,3}")
_EGO_CAMERA = re.compile(r"aria\d{2}_214-1")
_SSV2_FPS, _EGOEXO_FPS = 12.0, 30.0


@dataclass(frozen=True)
class SourceVideo:
    """One video of a download.

    Attributes:
        name: official video name, without extension.
        file: where it is.
        prefix: official prefix of its episodes.
        stated_fps: frame rate that the source's metadata state, or None [1/s].
        intrinsics: file of its lens, or None.
    """

    name: str
    file: Path
    prefix: str
    stated_fps: float | None
    intrinsics: Path | None


@dataclass(frozen=True)
class _Layout:
    """How one source is laid out.

    Attributes:
        prefix: official prefix.
        find: yields (name, file) for a root.
        rates: frame rates by name, from the source's metadata.
        lens: suffix of the files of lenses, or "" where no video needs one.
        expected: for the message when nothing is there.
    """

    prefix: str
    find: Callable[[Path], Iterator[tuple[str, Path]]]
    rates: Callable[[Path], dict[str, float]]
    lens: str
    expected: str


def find_source(source: str, root: str | Path, intrinsics: str | Path | None = None) -> tuple[SourceVideo, ...]:
    """All videos of a download, by name.

    Args:
        source: a key of `SOURCES`.
        root: folder of the download.
        intrinsics: folder of lens files, searched with its subfolders; default: "intrinsics" in `root`, if there.

    Raises:
        UnknownName: no such source.
        BadInput: no video is there in any public layout, or a metadata file is damaged.
    """
    if source not in SOURCES:
        raise UnknownName("source", source, SOURCES)
    layout, root = SOURCES[source], Path(root)
    if not root.is_dir():
        raise BadInput(f"There is no folder {root}: give the folder into which {source} was downloaded.")
    found: dict[str, Path] = {}
    for name, file in layout.find(root):
        found.setdefault(name, file)
    if not found:
        raise BadInput(f"No video of {source} in {root}: expected {layout.expected}.")
    lenses = _lenses(root, Path(intrinsics) if intrinsics is not None else None, layout.lens)
    rates = layout.rates(root)
    return tuple(
        SourceVideo(name, found[name], layout.prefix, rates.get(name), lenses.get(name))
        for name in sorted(found, key=_natural)
    )


def _natural(name: str) -> tuple[int, str]:
    return (int(name), name) if name.isdigit() else (0, name)


def _lenses(root: Path, folder: Path | None, suffix: str) -> dict[str, Path]:
    if not suffix:
        return {}
    if folder is not None and not folder.is_dir():
        raise BadInput(f"There is no folder of lens files at {folder}.")
    folder = folder or root / "intrinsics"
    return {path.stem: path for path in sorted(folder.rglob(f"*{suffix}"))} if folder.is_dir() else {}


def _ego4d(root: Path) -> Iterator[tuple[str, Path]]:
    versions = (".", "v2", "v2_1", "v1", "ego4d_data/v2", "ego4d_data/v1")
    for kind in ("full_scale", ".", "video_540ss"):  # the full resolution first
        for version in versions:
            for path in sorted((root / version / kind).glob("*.mp4")):
                if _UID.fullmatch(path.stem):
                    yield path.stem, path


def _ego4d_rates(root: Path) -> dict[str, float]:
    for path in (root / "ego4d.json", *sorted(root.glob("v*/ego4d.json")), root.parent / "ego4d.json"):
        if path.is_file():
            videos = _read_json(path)["videos"]
            pairs = ((video["video_uid"], (video.get("video_metadata") or {}).get("fps")) for video in videos)
            return {name: float(fps) for name, fps in pairs if fps}
    return {}


def _epic(root: Path) -> Iterator[tuple[str, Path]]:
    for pattern in ("EPIC-KITCHENS/P*/videos", "P*/videos", "videos/*/P*", "videos/P*", "P*", ".", "Epic-Kitchen_root"):
        for folder in sorted(root.glob(pattern)) if pattern != "." else [root]:
            for path in sorted(folder.glob("*.MP4")) + sorted(folder.glob("*.mp4")):
                if _EPIC_NAME.fullmatch(path.stem):
                    yield path.stem, path


def _epic_rates(root: Path) -> dict[str, float]:
    names = ("EPIC_100_video_info.csv", "EPIC_video_info.csv")
    for path in (found for name in names for pattern in (name, f"*/{name}") for found in sorted(root.glob(pattern))):
        with path.open(newline="", encoding="utf-8") as lines:
            rows = list(csv.DictReader(lines))
        try:
            return {row.get("video_id") or row["video"]: float(row["fps"]) for row in rows}
        except (KeyError, ValueError) as error:
            raise BadInput(f"{path} is no table of EPIC-KITCHENS videos: it lacks video_id or fps.") from error
    return {}


def _egoexo4d(root: Path) -> Iterator[tuple[str, Path]]:
    takes = root / "takes" if (root / "takes").is_dir() else root
    cameras = _aria_names(root)
    for folder in sorted(takes.glob("*/frame_aligned_videos")):
        take = folder.parent.name
        for place in (folder, folder / "downscaled/448"):  # the full resolution first
            files = [path for path in sorted(place.glob("*.mp4")) if _EGO_CAMERA.fullmatch(path.stem)]
            wanted = cameras.get(take)
            if wanted is not None:
                files = [path for path in files if path.stem == f"{wanted}_214-1"]
            if len(files) > 1:
                names = ", ".join(path.name for path in files)
                raise BadInput(f"The take {take} has several first-person videos ({names}): say which one counts in "
                               f"{root / 'egoexo4d_aria_name.json'}, as {{take: aria name}}.")  # fmt: skip
            if files:
                yield take, files[0]
                break


def _aria_names(root: Path) -> dict[str, str]:
    for path in (root / "egoexo4d_aria_name.json", root / "intrinsics/egoexo4d_aria_name.json"):
        if path.is_file():
            return {str(take): str(name) for take, name in _read_json(path).items()}
    return {}


def _egoexo4d_rates(root: Path) -> dict[str, float]:
    return {name: _EGOEXO_FPS for name, _ in _egoexo4d(root)}


def _ssv2(root: Path) -> Iterator[tuple[str, Path]]:
    for folder in ("20bn-something-something-v2", ".", "videos", "Somethingsomething-v2_root"):
        for path in sorted((root / folder).glob("*.webm")):
            if path.stem.isdigit():
                yield path.stem, path


def _ssv2_rates(root: Path) -> dict[str, float]:
    return {name: _SSV2_FPS for name, _ in _ssv2(root)}


def _read_json(path: Path) -> dict:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("not a JSON object")
        return content
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} can't be read as metadata: {error}.") from error


SOURCES = {
    "ego4d": _Layout(
        "Ego4D", _ego4d, _ego4d_rates, ".npy", "v2/full_scale/<uid>.mp4, as the ego4d command lays it out"
    ),
    "epic": _Layout("epic", _epic, _epic_rates, "", "EPIC-KITCHENS/P01/videos/P01_01.MP4, as its download scripts do"),
    "egoexo4d": _Layout(
        "EgoExo4D", _egoexo4d, _egoexo4d_rates, ".json", "takes/<take>/frame_aligned_videos/aria01_214-1.mp4"
    ),
    "ssv2": _Layout("somethingsomethingv2", _ssv2, _ssv2_rates, "", "20bn-something-something-v2/<number>.webm"),
}
