"""One metric camera path for a whole video from the cameras of its clips; a break where nothing ties two of them.

Clips that overlap are merged into one world with one metre (`camera.merge`). Where a clip was refused, or disagrees
with what came before, the world can't be carried on: a new one starts there. Its first pose continues the last known
one, so that numbers stay in range, but no track may cross: the frames of a break have no pose for longer than any
gap that later stages bridge.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from vitra_lib.contracts import CameraTrack, Rejection
from vitra_lib.geometry.transforms import invert
from vitra_lib.reconstruction.camera import ClipCamera, merge_tracks

BREAK_S = 1.0
"""Frames without a pose between two worlds [s]; longer than what segmentation (0.8 s) or smoothing (0.3 s) bridge."""


@dataclass(frozen=True)
class _World:
    """Clips that share one world: their merged path over frames [start, stop) of the video, and what was dropped.

    `why_new` says what kept this world from carrying on the one before.
    """

    start: int
    stop: int
    track: CameraTrack
    rejections: tuple[Rejection, ...]
    why_new: str


def join_clips(
    clips: Sequence[ClipCamera], frame_count: int, fps: float
) -> tuple[CameraTrack, tuple[Rejection, ...]]:
    """The camera of every frame of a video.

    Args:
        clips: cameras of the clips that could be followed, ordered by start; refused clips are simply missing.
        frame_count: frames of the video.
        fps: mean frame rate [1/s].

    Returns:
        track: world = camera of the first valid frame; frames without a pose repeat the nearest one and are invalid.
        rejections: frames that were lost inside clips, and one "world_restarted" per break between two worlds.
    """
    worlds = [world for run in _overlapping_runs(clips) for world in _merged(run)]
    T, valid = np.tile(np.eye(4), (frame_count, 1, 1)), np.zeros(frame_count, bool)
    rejections = [r for world in worlds for r in world.rejections if r.reason != "camera_lost"]
    is_explained = np.ones(frame_count, bool)
    for world in worlds:
        is_explained[world.start : world.stop] = False
    for world in worlds:
        start = world.start
        if valid.any():
            end = int(np.flatnonzero(valid)[-1]) + 1
            start = max(start, min(end + _frames(BREAK_S, fps), world.stop))
            rejections.append(_restarted(end, start, world.why_new))
            is_explained[end:start] = True
            last = T[end - 1]
        own = slice(start, world.stop)
        is_known = world.track.is_valid[own]
        T[own] = world.track.T_world_cam[own]
        if valid.any():
            T[own] = _continued(T[own], is_known, last)
        valid[own] = is_known
    rejections += _lost(~(valid | is_explained))
    _hold(T, valid)
    longest = max(worlds, key=lambda world: int(world.track.is_valid[world.start : world.stop].sum())).track
    is_static = all(world.track.is_static for world in worlds)
    track = replace(longest, T_world_cam=T, is_valid=valid, is_static=is_static)
    return track, tuple(sorted(rejections, key=lambda r: (r.start, r.stop, r.reason)))


def _overlapping_runs(clips: Sequence[ClipCamera]) -> list[list[ClipCamera]]:
    """Clips in runs that overlap one another in turn: a refused clip in between ends a run."""
    runs: list[list[ClipCamera]] = []
    for clip in clips:
        if runs and clip.start < runs[-1][-1].stop:
            runs[-1].append(clip)
        else:
            runs.append([clip])
    return runs


def _merged(run: list[ClipCamera]) -> list[_World]:
    """The worlds of one run: a clip that does not fit what came before starts the next world."""
    worlds = []
    why = "The camera of the clip before was refused."
    while run:
        track, rejections = merge_tracks(tuple(run))
        misfits = {r.start: r.detail for r in rejections if r.reason == "clip_not_merged"}
        cut = next((i for i, clip in enumerate(run) if i > 0 and clip.start in misfits), len(run))
        if cut < len(run):
            track, rejections = merge_tracks(tuple(run[:cut]))
        worlds.append(_World(run[0].start, run[cut - 1].stop, track, rejections, why))
        why = misfits[run[cut].start] if cut < len(run) else ""
        run = run[cut:]
    return worlds


def _continued(
    T: Float[np.ndarray, "time 4 4"], valid: Bool[np.ndarray, " time"], last: Float[np.ndarray, "4 4"]
) -> Float[np.ndarray, "time 4 4"]:
    """A world's poses, moved so that its first known one is the last known pose of the world before."""
    if not valid.any():
        return T
    return last @ invert(T[np.flatnonzero(valid)[0]]) @ T


def _hold(T: Float[np.ndarray, "time 4 4"], valid: Bool[np.ndarray, " time"]) -> None:
    """Frames without a pose repeat the last known one (before the first: the first)."""
    known = np.flatnonzero(valid)
    if len(known):
        T[:] = T[known[np.maximum(np.searchsorted(known, np.arange(len(T)), side="right") - 1, 0)]]


def _frames(seconds: float, fps: float) -> int:
    return max(int(np.ceil(seconds * fps)), 1)


def _restarted(start: int, stop: int, why: str) -> Rejection:
    detail = f"{why} Positions before and after can't be compared."
    return Rejection("reconstruction", f"camera, frames [{start}, {stop})", "world_restarted", detail, start, stop)


def _lost(is_lost: Bool[np.ndarray, " time"]) -> list[Rejection]:
    """One rejection per run of frames that no break explains."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], is_lost.astype(int), [0]]))).tolist()
    detail = "Too few background features agree with the scene."
    return [
        Rejection("reconstruction", f"camera, frames [{start}, {stop})", "camera_lost", detail, start, stop)
        for start, stop in zip(edges[::2], edges[1::2], strict=True)
    ]
