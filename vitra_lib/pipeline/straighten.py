"""Videos of a source, made ready for a build: under their official names, without lens distortion.

    <work>/videos/<name>.mp4                the undistorted video, or a link to one that needs nothing
    <work>/videos/<name>.intrinsics.json    its pinhole

What is finished is not made again; a video is finished when its intrinsics file is there, which is written last.
"""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from vitra_lib.contracts import Rejection
from vitra_lib.core.errors import BadInput, BadVideo, WriteFailed
from vitra_lib.core.files import write_json
from vitra_lib.geometry.cameras_lens import Pinhole
from vitra_lib.pipeline.raw_sources import SourceVideo
from vitra_lib.pipeline.video_stages import BuildConfig
from vitra_lib.reconstruction.backends.intrinsics import as_json, read_lens_and_target
from vitra_lib.video import VideoInfo, probe
from vitra_lib.video.undistort import undistort_video, widest_pinhole

_log = logging.getLogger(__name__)

_FPS_ERROR = 0.02


@dataclass(frozen=True)
class ReadyVideos:
    """What a build takes.

    Attributes:
        videos: files, named officially.
        config: the build's settings, with prefix and intrinsics of the source.
        rejections: videos that are left out, with reasons.
    """

    videos: tuple[Path, ...]
    config: BuildConfig
    rejections: tuple[Rejection, ...]


def make_ready(
    found: Sequence[SourceVideo], work: Path, config: BuildConfig | None = None, progress: bool = False
) -> ReadyVideos:
    """Name and straighten the videos of one source.

    Where lens files are there for some videos, those without are left out, since their labels would be for a lens that
    nobody knows; where there are none at all, every video is taken as it is, and calibrated in reconstruction.

    Args:
        found: videos of one source.
        work: folder of the build's finished stages.
        config: the build's settings.
        progress: show a progress bar.

    Raises:
        BadInput: no video is left.
        WriteFailed: nothing can be written there.
    """
    config = replace(config or BuildConfig(), dataset_prefix=found[0].prefix)
    has_lenses = any(video.intrinsics is not None for video in found)
    folder = work / "videos"
    ready, rejections = [], []
    for video in tqdm(found, unit="video", disable=not progress or not has_lenses):
        if has_lenses and video.intrinsics is None:
            rejections.append(Rejection("source", video.name, "intrinsics_missing", "there is no lens file for it"))
            continue
        try:
            info = probe(video.file)
            _check_rate(video, info)
            ready.append(_straight(video, info, folder) if has_lenses else _named(video, folder))
        except BadVideo as error:
            rejections.append(Rejection("source", video.name, "bad_video", str(error)))
        except BadInput as error:
            rejections.append(Rejection("source", video.name, "bad_intrinsics", str(error)))
    for rejection in rejections:
        _log.warning("left out %s: %s", rejection.item, rejection.detail)
    if not ready:
        raise BadInput(f"None of {len(found)} videos can be built; the first reason: {rejections[0].detail}")
    if has_lenses:
        lens = folder / "{video}.intrinsics.json"
        config = replace(config, reconstruct=replace(config.reconstruct, intrinsics="file", intrinsics_file=lens))
    return ReadyVideos(tuple(ready), config, tuple(rejections))


def _check_rate(video: SourceVideo, info: VideoInfo) -> None:
    if video.stated_fps and abs(info.fps / video.stated_fps - 1) > _FPS_ERROR:
        _log.warning(
            "%s runs at %.2f frames/s, its metadata say %.2f: the video's own times count.",
            video.file, info.fps, video.stated_fps,
        )  # fmt: skip


def _named(video: SourceVideo, folder: Path) -> Path:
    """The file itself, or a link to it where it is called otherwise."""
    return video.file if video.file.stem == video.name else _link(video.file, folder / f"{video.name}.mp4")


def _link(file: Path, target: Path) -> Path:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_symlink() or target.exists():
            target.unlink()
        os.symlink(file.resolve(), target)
    except OSError as error:
        raise WriteFailed(f"{target} can't be written: {error.strerror or error}.") from error
    return target


def _straight(video: SourceVideo, info: VideoInfo, folder: Path) -> Path:
    target, card = folder / f"{video.name}.mp4", folder / f"{video.name}.intrinsics.json"
    if target.exists() and card.exists():
        return target
    lens, pinhole = read_lens_and_target(video.intrinsics, info)
    if isinstance(lens, Pinhole):
        pinhole = lens
        _link(video.file, target)
    else:
        pinhole = pinhole or widest_pinhole(lens)
        undistort_video(video.file, target, lens, pinhole)
    write_json(card, as_json(pinhole))
    return target
