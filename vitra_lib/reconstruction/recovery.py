"""A second try where the camera of a clip was lost at its beginning or end.

Structure from motion follows what hangs together. A moment of blur cuts a clip in two, and the smaller part is left
without poses though its frames are as good as the others. That part is estimated once more by itself, with a little
of the other part, by which the two may be joined again (`joining`); if they don't fit, a new world starts there.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from vitra_lib.core.errors import RefusedClip
from vitra_lib.reconstruction.camera import CameraEstimate

WORTH_S = 0.7
"""Shorter losses are left alone [s]."""
SHARED_S = 0.7
"""How far the second try reaches into the part that is known [s]."""

Estimator = Callable[[slice], CameraEstimate]
"""Estimates the camera of some frames of the clip; raises RefusedClip."""


def pieces_of(
    estimate: CameraEstimate, times_s: Float[np.ndarray, " time"], again: Estimator
) -> tuple[tuple[int, CameraEstimate], ...]:
    """A clip's camera in pieces: the estimate itself, and what a second try finds before and after it.

    Args:
        estimate: of the whole clip.
        times_s: times of its frames [s].
        again: estimates some of its frames with the same intrinsics.

    Returns:
        (first frame in the clip, camera) of each piece, ordered by first frame; just the estimate itself where
        nothing is missing or a second try finds no more.
    """
    known = np.flatnonzero(estimate.track.is_valid)
    if len(known) == 0:
        return ((0, estimate),)
    first, last = int(known[0]), int(known[-1])
    pieces = [(0, estimate)]
    if times_s[first] - times_s[0] >= WORTH_S:
        stop = int(np.searchsorted(times_s, times_s[first] + SHARED_S))
        head = _second_try(again, slice(0, stop), lost=slice(0, first))
        if head is not None:
            pieces = [(0, head), (first, from_frame(estimate, first))]
    if times_s[-1] - times_s[last] >= WORTH_S:
        start = int(np.searchsorted(times_s, times_s[last] - SHARED_S, side="right"))
        tail = _second_try(again, slice(max(start, first + 1), len(times_s)), lost=slice(last + 1, len(times_s)))
        if tail is not None:
            pieces.append((max(start, first + 1), tail))
    return tuple(pieces)


def _second_try(again: Estimator, part: slice, lost: slice) -> CameraEstimate | None:
    """The camera of a part, if it gives poses to frames that were lost."""
    try:
        found = again(part)
    except RefusedClip:
        return None
    return found if found.track.is_valid[lost.start - part.start : lost.stop - part.start].any() else None


def from_frame(estimate: CameraEstimate, start: int) -> CameraEstimate:
    """The estimate without its first frames, which must be without a pose (so the world stays the same)."""
    track = estimate.track
    kept = estimate.obs_frame >= start
    return replace(
        estimate,
        track=replace(track, T_world_cam=track.T_world_cam[start:], is_valid=track.is_valid[start:]),
        inlier_count=estimate.inlier_count[start:],
        obs_frame=estimate.obs_frame[kept] - start,
        obs_point=estimate.obs_point[kept],
        obs_uv_px=estimate.obs_uv_px[kept],
        rejections=_later(estimate.rejections, start),
    )


def _later(rejections: Sequence, start: int) -> tuple:
    kept = [r for r in rejections if r.stop > start]
    return tuple(replace(r, start=max(r.start - start, 0), stop=r.stop - start) for r in kept)
