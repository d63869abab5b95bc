"""The metre of a camera path from depth maps: metric ones against the scene, or up-to-scale ones against the hands."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from vitra_lib.contracts import HandTrack
from vitra_lib.contracts.hand_track import Side
from vitra_lib.geometry.cameras import project
from vitra_lib.geometry.transforms import apply
from vitra_lib.reconstruction.backends.given import DepthMaps
from vitra_lib.reconstruction.camera.estimate import CameraEstimate

_NETWORK_FLOOR = 0.1
"""Relative error of a metric depth network that more frames don't average out."""
_HAND_FLOOR = 0.1
"""The same of the size of an unknown hand, and of its depth from one view."""
_SKIN_M = 0.008
"""Joints lie about this far behind the skin that a depth map shows."""
_MIN_POINTS, _MIN_FRAMES = 8, 3

Scale = tuple[float, float]
"""Metres per unit of the path, and its relative 1-sigma; NaN, NaN where nothing tells."""


def scale_from_points(estimate: CameraEstimate, samples: Mapping[int, Float[np.ndarray, "rows columns"]]) -> Scale:
    """From metric depth where scene points were observed.

    Args:
        estimate: path and points up to scale.
        samples: depth [m] per frame of the estimate, any resolution.
    """
    track, votes = estimate.track, []
    for frame, depth in samples.items():
        seen = estimate.obs_frame == frame
        if not track.is_valid[frame] or seen.sum() < _MIN_POINTS:
            continue
        z = apply(track.T_cam_world[frame], estimate.points_world[estimate.obs_point[seen]])[:, 2]
        metric = sample(depth, estimate.obs_uv_px[seen], track.width_px, track.height_px)
        votes.append(_log_ratio(metric, z))
    return _combined(votes, _NETWORK_FLOOR, fewest=1)


def scale_from_maps(maps: DepthMaps, samples: Mapping[int, Float[np.ndarray, "rows columns"]]) -> Scale:
    """From metric depth against the depth maps that came with a path.

    Args:
        maps: depth in the path's unit.
        samples: depth [m] per frame of the video.
    """
    votes = []
    for frame, depth in samples.items():
        row = int(np.argmin(np.abs(maps.frame - frame)))
        if maps.frame[row] != frame:
            continue
        rows, columns = depth.shape
        grid = np.stack(np.meshgrid(np.linspace(0, columns - 1, 40), np.linspace(0, rows - 1, 30)), -1).reshape(-1, 2)
        votes.append(_log_ratio(sample(depth, grid, columns, rows), sample(maps.depth[row], grid, columns, rows)))
    return _combined(votes, _NETWORK_FLOOR, fewest=1)


def scale_from_hands_in_maps(
    maps: DepthMaps, hands: Mapping[Side, HandTrack], K_px: Float[np.ndarray, "3 3"], size_px: tuple[int, int]
) -> Scale:
    """From metric hands against what the depth maps of a path show of them.

    Args:
        maps: depth in the path's unit.
        hands: metric tracks by side.
        K_px: intrinsics of the frames.
        size_px: (width, height) of the frames.
    """
    votes = []
    for hand in hands.values():
        for row, frame in enumerate(maps.frame):
            if not (hand.is_valid[frame] and hand.is_observed[frame]):
                continue
            joints = hand.joints_cam[frame]
            shown = sample(maps.depth[row], project(K_px, joints), *size_px)
            votes.append(_log_ratio(joints[:, 2] - _SKIN_M, shown))
    return _combined(votes, _HAND_FLOOR, fewest=_MIN_FRAMES)


def sample(
    depth: Float[np.ndarray, "rows columns"], uv_px: Float[np.ndarray, "n 2"], width_px: int, height_px: int
) -> Float[np.ndarray, " n"]:
    """Depth at pixels of a frame of another size: nearest value, NaN outside."""
    place = (uv_px + 0.5) * np.array([depth.shape[1] / width_px, depth.shape[0] / height_px]) - 0.5
    is_known = np.isfinite(place).all(axis=1)
    column, row = np.round(np.where(is_known[:, None], place, -1)).astype(int).T
    inside = is_known & (column >= 0) & (column < depth.shape[1]) & (row >= 0) & (row < depth.shape[0])
    return np.where(inside, depth[np.where(inside, row, 0), np.where(inside, column, 0)], np.nan).astype(float)


def _log_ratio(metric: np.ndarray, unit: np.ndarray) -> float:
    """Median of log(metric / unit) over points; NaN where too few are known."""
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.log(metric / unit)
    ratio = ratio[np.isfinite(ratio) & (metric > 0) & (unit > 0)]
    return float(np.median(ratio)) if len(ratio) >= _MIN_POINTS else float("nan")


def _combined(votes: list[float], floor: float, fewest: int) -> Scale:
    known = np.array([vote for vote in votes if np.isfinite(vote)])
    if len(known) < fewest:
        return float("nan"), float("nan")
    middle = float(np.median(known))
    spread = 1.4826 * float(np.median(np.abs(known - middle))) / np.sqrt(len(known))
    return float(np.exp(middle)), float(np.hypot(floor, spread))
