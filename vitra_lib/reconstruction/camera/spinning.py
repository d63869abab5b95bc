"""Cameras that only turn: rotations from far-away tracks, translation left at zero because nothing shows it."""

from dataclasses import dataclass

import numpy as np

from vitra_lib.reconstruction.camera.bundle import group_sum
from vitra_lib.reconstruction.camera.config import CameraConfig
from vitra_lib.reconstruction.camera.tracks import FeatureTracks
from vitra_lib.reconstruction.camera.twoview import fit_rotation, rotation_residual_px, unit_rays


@dataclass(frozen=True)
class Spin:
    """Rotations of a clip without translation.

    Attributes:
        R_world_cam: (time, 3, 3) maps directions in each camera to the first camera.
        is_valid: (time,) True where enough tracks agree.
        inlier_count: (time,) tracks that agree to within the inlier limit.
        residual_px: median residual over all observations [working px].
    """

    R_world_cam: np.ndarray
    is_valid: np.ndarray
    inlier_count: np.ndarray
    residual_px: float


def track_rotations(tracks: FeatureTracks, uv: np.ndarray, focal: float, config: CameraConfig) -> Spin:
    """Turn of every frame against the first, from directions of tracks that are themselves refined twice.

    Args:
        tracks: the observations.
        uv: (obs, 2) their centred pixels.
        focal: focal length in centred pixels.
        config: knobs.
    """
    rays = unit_rays(uv, focal)
    start = np.searchsorted(tracks.frame, np.arange(tracks.frame_count + 1))
    R = np.tile(np.eye(3), (tracks.frame_count, 1, 1))
    valid = np.zeros(tracks.frame_count, bool)
    direction = np.zeros((tracks.track_count, 3))
    known = np.zeros(tracks.track_count, bool)
    for sweep in range(3):
        for t in range(tracks.frame_count):
            here = slice(start[t], start[t + 1])
            ids = tracks.track[here]
            usable = known[ids]
            if usable.sum() >= config.min_tracks:
                R[t] = fit_rotation(rays[here][usable], direction[ids[usable]], 0.5 / focal)
                valid[t] = True
            elif sweep == 0 and t > 0:
                R[t] = R[t - 1]
            if sweep == 0:
                valid[t] |= t == 0
                if valid[t]:
                    direction[ids[~usable]] = rays[here][~usable] @ R[t].T
                    known[ids] = True
        turned = np.einsum("nij,nj->ni", R[tracks.frame], rays) * valid[tracks.frame][:, None]
        mean = group_sum(turned, tracks.track, tracks.track_count)
        direction = mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-12)
    error = focal * np.linalg.norm(np.einsum("nij,nj->ni", R[tracks.frame], rays) - direction[tracks.track], axis=1)
    good = error < config.inlier_px
    inliers = np.bincount(tracks.frame[good], minlength=tracks.frame_count)
    residual = float(np.median(error[valid[tracks.frame]])) if valid.any() else np.inf
    return Spin(R[0].T @ R, valid & (inliers >= config.min_tracks), inliers, residual)


def focal_from_rotation(
    uv: np.ndarray, seen: np.ndarray, guesses: np.ndarray, config: CameraConfig
) -> tuple[float, float, float]:
    """Focal length that lets a pure rotation explain the keyframes best.

    Args:
        uv, seen: keyframe table of centred pixels.
        guesses: focal lengths that span the search [centred px].
        config: knobs.

    Returns:
        focal length, its relative 1-sigma (infinite when the camera turned too little to tell) and the residual
        at the best focal length (65th percentile over tracks, worst pair) [px].
    """
    pairs = _far_pairs(seen, config)
    if not pairs:
        return float(np.median(guesses)), np.inf, np.inf

    def cost(focal: float) -> tuple[float, float]:
        residuals = [
            rotation_residual_px(uv[a, seen[a] & seen[b]], uv[b, seen[a] & seen[b]], focal)[1] for a, b in pairs
        ]
        return (
            float(np.mean([np.mean(np.minimum(r, 3.0) ** 2) for r in residuals])),
            float(np.max([np.percentile(r, 65) for r in residuals])),
        )

    grid = np.geomspace(guesses.min(), guesses.max(), 25)
    values = np.array([cost(f)[0] for f in grid])
    best = int(values.argmin())
    if best in (0, len(grid) - 1):
        return float(grid[best]), np.inf, cost(float(grid[best]))[1]
    # Parabola in log f through the minimum; its curvature against the remaining residual is the uncertainty.
    left, mid, right = values[best - 1 : best + 2]
    h = float(np.log(grid[1] / grid[0]))
    curvature = (left - 2 * mid + right) / h**2
    focal = float(grid[best] * np.exp(h * 0.5 * (left - right) / max(left - 2 * mid + right, 1e-12)))
    count = sum(int((seen[a] & seen[b]).sum()) for a, b in pairs)
    # Tracks of neighbouring pixels err together; one in ten counts as independent.
    std = np.sqrt(2 * mid / max(curvature, 1e-12) / max(1.0, count / 10))
    return focal, float(std), cost(focal)[1]


def _far_pairs(seen: np.ndarray, config: CameraConfig) -> list[tuple[int, int]]:
    """For up to ten keyframes the farthest later keyframe with enough common tracks."""
    common = seen.astype(np.float32) @ seen.T.astype(np.float32)
    pairs = []
    for a in np.unique(np.linspace(0, len(seen) - 1, 10).astype(int)):
        # What is left after a long time may be the hand alone: a third of the view must still be common.
        later = np.flatnonzero(common[a, a + 1 :] >= max(2 * config.min_tracks, 0.35 * common[a, a])) + a + 1
        if len(later):
            pairs.append((int(a), int(later[-1])))
    return pairs


def rotation_parallax_px(uv: np.ndarray, seen: np.ndarray, focal: float, config: CameraConfig) -> float:
    """What the best rotation leaves unexplained between far keyframes: the largest 65th percentile over pairs [px].

    The 65th, because a hand without a box may hold a third of the tracks: the rest is background, nearly all of it.

    Infinite when no two keyframes share enough tracks.
    """
    residuals = [
        np.percentile(rotation_residual_px(uv[a, seen[a] & seen[b]], uv[b, seen[a] & seen[b]], focal)[1], 65)
        for a, b in _far_pairs(seen, config)
    ]
    return float(np.max(residuals)) if residuals else np.inf
