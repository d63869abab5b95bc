"""Checks of official VITRA-1M folders: names, index, statistics, raw entries, labels, videos (spec, 1.1 to 1.7)."""

import dataclasses
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from vitra_lib.core.errors import BadInput, VitraError
from vitra_lib.core.pickles import load_npy_object, load_npz
from vitra_lib.episodes.doctor.finding import MISMATCHES, Report
from vitra_lib.episodes.doctor.footage import Shown, check_video
from vitra_lib.episodes.doctor.labels import check_labels
from vitra_lib.episodes.doctor.limits import DoctorConfig
from vitra_lib.episodes.doctor.raw import check_raw
from vitra_lib.episodes.episode import Episode
from vitra_lib.episodes.mismatch import find_mismatches
from vitra_lib.episodes.naming import RULES, find_video
from vitra_lib.episodes.state_action import state, step_actions
from vitra_lib.episodes.statistics import Moments
from vitra_lib.episodes.vitra_1m import from_official
from vitra_lib.episodes.vitra_1m_import import AnnotationSet, find_annotations

_NAME = re.compile(r"(?P<prefix>[^_]+)_(?P<video>.+)_ep_(?P<number>\d{6}|example)")
_USUAL_FPS = 30.0
_LENGTHS = {"state": 61, "action": 51}


@dataclass
class _Seen:
    """What is gathered over the episodes of one set."""

    lengths: dict[str, int] = field(default_factory=dict)
    state: Moments | None = None
    action: Moments | None = None
    videos: dict[tuple[str, str], Shown | None] = field(default_factory=dict)
    without_video: int = 0


def check_official(root: Path, videos: Path | None, config: DoctorConfig, sample: int | None, progress: bool) -> Report:
    """All checks of official folders.

    Args:
        root: see `find_annotations`.
        videos: folder of the videos, or None for "videos" beside the labels.
        config: thresholds.
        sample: look at this many episodes of each set instead of all.
        progress: show progress bars.
    """
    report = Report(str(root), "official")
    for one in find_annotations(root):
        roots = [path for path in (videos, one.videos, root if root.is_dir() else root.parent) if path is not None]
        files = list(one.files)
        if sample is not None and sample < len(files):
            files = [files[n] for n in np.unique(np.linspace(0, len(files) - 1, sample).round().astype(int))]
        seen = _Seen()
        for path in tqdm(files, unit="episode", desc=one.name, disable=not progress):
            _check_file(path, roots, seen, report, config)
        _check_index(one, seen, report)
        _check_statistics(one, seen, report, config)
        if seen.without_video:
            report.notes.append(f"{one.name}: {seen.without_video} episodes were checked without video, none was found")
        if one.statistics is None:
            report.notes.append(f"{one.name}: there is no statistics file to check")
    return report


def _check_file(path: Path, roots: list[Path], seen: _Seen, report: Report, config: DoctorConfig) -> None:
    report.episodes += 1
    match = _NAME.fullmatch(path.stem)
    if match is None:
        report.add("error", "name", path.name, "the name is not {prefix}_{video_name}_ep_{six digits}.npy")
        return
    if match["prefix"] not in RULES:
        what = f"the official loader refuses the prefix {match['prefix']!r}; it knows {', '.join(RULES)}"
        report.add("warning", "name", path.name, what)
    try:
        content = load_npy_object(path)
    except VitraError as error:
        report.add("error", "unreadable", path.name, str(error))
        return
    before = len(report.findings)
    try:
        check_raw(content, path.stem, report, config)
        episode = from_official(content, path.stem, _USUAL_FPS)
    except (BadInput, KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        if len(report.findings) == before:
            report.add("error", "schema", path.stem, f"not a VITRA-1M episode: {error}")
        return
    seen.lengths[path.stem] = len(episode)
    if episode.video_name != match["video"]:
        report.add("error", "name", path.name, f"the file says that its video is {episode.video_name!r}")
    check_labels(_check_footage(episode, roots, seen, report, config), report, config)
    if len(report.findings) == before:  # a broken episode says nothing about statistics
        for name, (values, mask) in (("state", state(episode)), ("action", step_actions(episode))):
            block = Moments.of(values, np.repeat(mask, values.shape[1] // 2, axis=1))
            so_far = getattr(seen, name)
            setattr(seen, name, block if so_far is None else so_far.merged(block))


def _check_footage(episode: Episode, roots: list[Path], seen: _Seen, report: Report, config: DoctorConfig) -> Episode:
    """Compare with the video if there is one; returns the episode at the video's rate."""
    key = (episode.dataset_prefix, episode.video_name)
    if key not in seen.videos:
        seen.videos[key] = _open_video(episode, roots, report, config)
    shown = seen.videos[key]
    if shown is None:
        seen.without_video += 1
        return episode
    size = (shown.width_px, shown.height_px)
    for mismatch in find_mismatches(episode, shown.frame_count, *size, config.mismatch):
        report.add(*MISMATCHES[mismatch.reason], episode.name, mismatch.detail)
    return dataclasses.replace(episode, fps=shown.fps, time_s=episode.source_frame / shown.fps)


def _open_video(episode: Episode, roots: list[Path], report: Report, config: DoctorConfig) -> Shown | None:
    """Look at the video, or at all parts of it that are there; None where there is none or it can't be read."""
    last = int(episode.source_frame.max())
    try:
        files = find_video(episode.dataset_prefix, episode.video_name, roots, last, config.clip_len)
    except BadInput:
        return None
    if config.clip_len is not None:  # this episode need not be the last one of its video
        number = len(files) + 1
        while (more := files[0].with_name(files[0].name.replace("_part1.", f"_part{number}."))).is_file():
            files.append(more)
            number += 1
    parts = [check_video(file, file.name, report, config) for file in files]
    if any(part is None for part in parts):
        return None
    for file, part in zip(files[:-1], parts, strict=False):
        if part.frame_count != config.clip_len:
            what = f"{part.frame_count} frames; a part that others follow must have {config.clip_len}"
            report.add("error", "frame_range", file.name, what)
    return dataclasses.replace(parts[0], frame_count=sum(part.frame_count for part in parts))


def _check_index(one: AnnotationSet, seen: _Seen, report: Report) -> None:
    if one.index is None:
        report.notes.append(f"{one.name}: there is no episode_frame_index.npz to check")
        return
    place = f"{one.name}/{one.index.name}"
    try:
        index = load_npz(one.index)
        pairs, names = index["index_frame_pair"], [str(name) for name in index["index_to_episode_id"].reshape(-1)]
        episodes, frames = pairs[:, 0].astype(np.int64), pairs[:, 1].astype(np.int64)
    except (VitraError, KeyError, ValueError, IndexError, TypeError) as error:
        report.add("error", "index", place, f"it can't be read: {error}")
        return
    present = {path.stem for path in one.files}
    for name in sorted(set(names) - present):
        report.add("error", "index", place, f"{name}.npy is named but not there")
    extra = sorted(present - set(names))
    if extra:
        report.add(
            "warning", "index", place, f"{len(extra)} files are not named, so never trained on: {extra[0]}.npy …"
        )
    if len(pairs) and (episodes.min() < 0 or episodes.max() >= len(names)):
        report.add("error", "index", place, f"it points to episodes that it doesn't name, up to {episodes.max()}")
        return
    largest = np.full(len(names), -1, np.int64)
    np.maximum.at(largest, episodes, frames)
    for number, name in enumerate(names):
        if name in seen.lengths and largest[number] >= seen.lengths[name]:
            report.add("error", "index", place, f"frame {largest[number]} of {name}, which has {seen.lengths[name]}")


def _check_statistics(one: AnnotationSet, seen: _Seen, report: Report, config: DoctorConfig) -> None:
    if one.statistics is None:
        return
    place = f"{one.name}/{one.statistics.name}"
    try:
        stated = json.loads(one.statistics.read_text())
        parts = {
            (kind, side): [np.asarray(stated[f"{kind}_{side}"][key], float) for key in ("mean", "std")]
            for kind in _LENGTHS
            for side in ("left", "right")
            if side == "right" or f"{kind}_{side}" in stated
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        report.add("error", "statistics", place, f"it can't be read: {error}")
        return
    for (kind, side), (mean, std) in parts.items():
        size = _LENGTHS[kind]
        if mean.shape != (size,) or std.shape != (size,) or not np.isfinite([mean, std]).all() or (std < 0).any():
            report.add("error", "statistics", place, f"{kind}_{side} must hold {size} finite means and deviations")
            continue
        block: Moments | None = getattr(seen, kind)
        part = slice(0, size) if side == "left" else slice(size, 2 * size)
        if block is None or block.count[part].max() < 2:
            continue
        known = (block.count[part] > 1) & (std > 1e-6)
        offset = np.abs(block.mean[part] - mean)[known] / std[known]
        spread = np.sqrt(block.m2[part] / np.maximum(block.count[part], 1))[known] / std[known]
        if known.any() and (np.median(offset) > config.max_z or np.median(spread) > config.max_z):
            what = f"the data lie {np.median(offset):.1f} deviations off, spread {np.median(spread):.1f} times as wide"
            report.add("error", "statistics", place, f"{kind}_{side} is of other data: {what}")
