"""Two views: how much of their difference a pure rotation explains, and the relative pose that explains the rest."""

from dataclasses import dataclass

import cv2
import numpy as np

from vitra_lib.geometry.rotations import nearest_rotation
from vitra_lib.reconstruction.camera.config import CameraConfig


def unit_rays(uv: np.ndarray, focal: float) -> np.ndarray:
    """(n, 3) unit viewing rays of centred pixels."""
    rays = np.concatenate([uv / focal, np.ones((len(uv), 1))], axis=1)
    return rays / np.linalg.norm(rays, axis=1, keepdims=True)


def fit_rotation(rays_a: np.ndarray, rays_b: np.ndarray, cauchy_rad: float, iterations: int = 6) -> np.ndarray:
    """R_b_a that best turns rays of view a into those of view b; Cauchy weights keep moving things out."""
    weights = np.ones(len(rays_a))
    R = np.eye(3)
    for _ in range(iterations):
        R = nearest_rotation((rays_b * weights[:, None]).T @ rays_a)
        error = np.linalg.norm(rays_b - rays_a @ R.T, axis=1)
        scale = max(cauchy_rad, float(np.median(error)))
        weights = 1.0 / (1.0 + (error / scale) ** 2)
    return R


def rotation_residual_px(uv_a: np.ndarray, uv_b: np.ndarray, focal: float) -> tuple[np.ndarray, np.ndarray]:
    """Best R_b_a between two views and what it leaves unexplained, (n,) in pixels."""
    rays_a, rays_b = unit_rays(uv_a, focal), unit_rays(uv_b, focal)
    R = fit_rotation(rays_a, rays_b, 1.0 / focal)
    turned = rays_a @ R.T
    guess = focal * turned[:, :2] / np.maximum(turned[:, 2:], 1e-3)
    return R, np.linalg.norm(guess - uv_b, axis=1)


@dataclass(frozen=True)
class RelativePose:
    """Pose of view b against view a (translation of length 1) and the tracks that agree with it."""

    R_b_a: np.ndarray
    t_b_a: np.ndarray
    inliers: np.ndarray
    parallax_rad: float


def relative_pose(uv_a: np.ndarray, uv_b: np.ndarray, focal: float, config: CameraConfig) -> RelativePose | None:
    """Essential matrix by RANSAC and the decomposition with most points in front; None if there is none."""
    if len(uv_a) < config.min_tracks:
        return None
    K = np.diag([focal, focal, 1.0])
    threshold = 0.6 * config.inlier_px
    E, mask = cv2.findEssentialMat(uv_a, uv_b, K, method=cv2.RANSAC, prob=0.9999, threshold=threshold, maxIters=500)
    if E is None or E.shape != (3, 3):
        return None
    _, R, t, front = cv2.recoverPose(E, uv_a, uv_b, K, mask=mask.copy())
    inliers = (front.ravel() > 0) & (mask.ravel() > 0)
    if inliers.sum() < config.min_tracks:
        return None
    rays_a, rays_b = unit_rays(uv_a[inliers], focal) @ R.T, unit_rays(uv_b[inliers], focal)
    angle = np.arccos(np.clip((rays_a * rays_b).sum(1), -1, 1))
    return RelativePose(R, t.ravel(), inliers, float(np.median(angle)))


def ranked_pairs(uv: np.ndarray, seen: np.ndarray, focal: float, config: CameraConfig) -> list[tuple[int, int, float]]:
    """Pairs of keyframes, most promising first: (a, b, parallax left by a pure rotation, 80th percentile [px]).

    Many common tracks and much parallax make a good start; the square root of the count keeps a pair with a few
    tracks on one near object from winning.
    """
    keys = len(uv)
    common = seen.astype(np.float32) @ seen.T.astype(np.float32)
    pairs = []
    for a in np.unique(np.linspace(0, keys - 1, min(keys, 24)).astype(int)):
        enough = np.flatnonzero(common[a, a + 1 :] >= max(2 * config.min_tracks, 0.3 * common[a, a])) + a + 1
        if len(enough) == 0:
            enough = np.flatnonzero(common[a, a + 1 :] >= config.min_tracks) + a + 1
        if len(enough) == 0:
            continue
        for b in sorted(
            {int(enough[-1]), int(enough[2 * (len(enough) - 1) // 3]), int(enough[(len(enough) - 1) // 3])}
        ):
            both = seen[a] & seen[b]
            _, residual = rotation_residual_px(uv[a, both], uv[b, both], focal)
            parallax = float(np.percentile(residual, 80))
            robust = float(np.median(residual))
            pairs.append((float(min(robust, 25.0) * np.sqrt(common[a, b])), int(a), b, parallax))
    pairs.sort(key=lambda row: (-row[0], row[1], row[2]))
    return [(a, b, parallax) for _, a, b, parallax in pairs]
