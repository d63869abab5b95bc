"""Structure from motion on keyframes: two-view start, resection, triangulation, windowed then global adjustment."""

import logging

import cv2
import numpy as np

from vitra_lib.geometry import rotations
from vitra_lib.reconstruction.camera.bundle import Bundle, adjust, focal_std, group_sum, refine_points, refine_poses
from vitra_lib.reconstruction.camera.config import CameraConfig
from vitra_lib.reconstruction.camera.twoview import RelativePose, ranked_pairs, relative_pose

logger = logging.getLogger(__name__)

_WINDOW = 7
_STARTS_TRIED = 8
_STARTS_CHECKED = 4


class KeyframeMap:
    """Poses of keyframes and points of tracks, grown keyframe by keyframe (internal, mutable).

    Attributes:
        uv, ok: (key, point, 2) centred pixels and (key, point) which of them are observed and not outliers.
        R, t, registered: poses that map the map's world to each keyframe; valid where `registered`.
        X: (point, 3) points, NaN where not triangulated.
        focal: focal length [centred px]; `focal_is_free` says whether adjustment may move it.
    """

    def __init__(self, uv: np.ndarray, seen: np.ndarray, focal: float, focal_is_free: bool, config: CameraConfig):
        keys, points = seen.shape
        self.uv, self.ok, self.config = uv, seen.copy(), config
        self.R, self.t = np.tile(np.eye(3), (keys, 1, 1)), np.zeros((keys, 3))
        self.registered = np.zeros(keys, bool)
        self.X = np.full((points, 3), np.nan)
        self.focal, self.focal_is_free = focal, focal_is_free

    @property
    def has_point(self) -> np.ndarray:
        return np.isfinite(self.X[:, 0])

    def observations(self) -> tuple[np.ndarray, np.ndarray]:
        """(key, point) indices of the observations that the map explains."""
        return np.nonzero(self.ok & self.registered[:, None] & self.has_point)

    def bundle(self, cameras: np.ndarray, points: np.ndarray) -> Bundle:
        """The part of the map with these keyframes and points (index arrays)."""
        c, p = np.nonzero(self.ok[np.ix_(cameras, points)])
        return Bundle(
            self.R[cameras], self.t[cameras], self.X[points], self.focal, c, p, self.uv[cameras[c], points[p]]
        )

    def absorb(self, bundle: Bundle, cameras: np.ndarray, points: np.ndarray) -> None:
        """Write an adjusted part back."""
        self.R[cameras], self.t[cameras], self.X[points] = bundle.R, bundle.t, bundle.X
        self.focal = bundle.focal

    # --- start -------------------------------------------------------------------------------------------------

    def start(self) -> bool:
        """Place two keyframes and their common points; False when no pair has parallax.

        Two views alone can't tell a moving hand from parallax: an almost turning camera has a translation to spare
        that explains the hand. So each candidate pair is also asked how much of the other keyframes its points
        explain, and the pair that explains most wins.
        """
        pairs = ranked_pairs(self.uv, self.ok, self.focal, self.config)
        found = []
        for a, b, _ in pairs[:_STARTS_TRIED]:
            both = np.flatnonzero(self.ok[a] & self.ok[b])
            pose = relative_pose(self.uv[a, both], self.uv[b, both], self.focal, self.config)
            if pose is not None and pose.parallax_rad >= self.config.min_parallax_rad:
                # More angle helps up to about 6 degrees; beyond that matching gets worse, not geometry better.
                score = pose.inliers.mean() * np.sqrt(pose.inliers.sum()) * min(pose.parallax_rad, 0.1)
                found.append((score, a, b, both[pose.inliers], pose))
        found.sort(key=lambda row: (-row[0], row[1], row[2]))
        best, best_support = None, 0.0
        for _, a, b, points, pose in found[:_STARTS_CHECKED]:
            trial = KeyframeMap(self.uv, self.ok, self.focal, False, self.config)
            trial._place_pair(a, b, points, pose)
            support = trial._explained_elsewhere(a, b)
            if support > best_support:
                best, best_support = trial, support
        if best is None:
            return False
        self.R, self.t, self.X, self.ok, self.registered = best.R, best.t, best.X, best.ok, best.registered
        return bool(self.has_point.sum() >= self.config.min_tracks)

    def _explained_elsewhere(self, a: int, b: int) -> float:
        """Inliers that the pair's points find in itself and in the other keyframes that see enough of them."""
        support = float(self.ok[[a, b]][:, self.has_point].sum())
        seen = (self.ok & self.has_point).sum(1)
        others = np.flatnonzero((seen >= self.config.min_tracks) & ~self.registered)
        for k in (
            others[np.unique(np.linspace(0, len(others) - 1, min(6, len(others))).astype(int))] if len(others) else ()
        ):
            inliers = self._resected(int(k))
            support += 0 if inliers is None else len(inliers)
        return support

    def _place_pair(self, a: int, b: int, points: np.ndarray, pose: RelativePose) -> None:
        self.R[b], self.t[b] = pose.R_b_a, pose.t_b_a
        self.registered[[a, b]] = True
        self.triangulate(points)
        self.adjust_window(np.array([a, b]), fixed=np.array([a]), iterations=8)

    # --- growth ------------------------------------------------------------------------------------------------

    def grow(self) -> None:
        """Register keyframes, best supported first, until none is left that can be."""
        refused: set[int] = set()
        while True:
            support = (self.ok & self.has_point).sum(1)
            support[self.registered | np.isin(np.arange(len(support)), list(refused))] = 0
            k = int(support.argmax())
            if support[k] < self.config.min_tracks:
                break
            if not self._register(k):
                refused.add(k)
                continue
            refused.clear()
            self.triangulate()
            nearest = np.argsort(np.abs(np.flatnonzero(self.registered) - k), kind="stable")[:_WINDOW]
            self.adjust_window(np.sort(np.flatnonzero(self.registered)[nearest]), iterations=4)
            if self.focal_is_free and self.registered.sum() in (4, 7, 12, 20):
                self.adjust_all(iterations=10)

    def _resected(self, k: int) -> np.ndarray | None:
        """Pose one keyframe from the points that it sees; returns those that agree, or None (pose unchanged)."""
        points = np.flatnonzero(self.ok[k] & self.has_point)
        K = np.diag([self.focal, self.focal, 1.0])
        found, rotvec, t, inliers = cv2.solvePnPRansac(
            self.X[points], self.uv[k, points], K, None, iterationsCount=150,
            reprojectionError=2 * self.config.inlier_px, confidence=0.999, flags=cv2.SOLVEPNP_SQPNP,
        )  # fmt: skip
        if not found or inliers is None or len(inliers) < max(self.config.min_tracks, 0.4 * len(points)):
            return None
        self.R[k], self.t[k] = rotations.exp(rotvec.ravel().astype(float)), t.ravel()
        return points[inliers.ravel()]

    def _register(self, k: int) -> bool:
        """Resect one keyframe and refine its pose."""
        inliers = self._resected(k)
        if inliers is None:
            return False
        refined = refine_poses(self.bundle(np.array([k]), inliers), self.config.huber_px, 8)
        self.R[k], self.t[k] = refined.R[0], refined.t[0]
        self.registered[k] = True
        return True

    def triangulate(self, candidates: np.ndarray | None = None) -> None:
        """Place points that have none yet from all registered keyframes that see them."""
        views = self.ok & self.registered[:, None]
        wanted = ~self.has_point & (views.sum(0) >= 2)
        if candidates is not None:
            wanted &= np.isin(np.arange(len(wanted)), candidates)
        points = np.flatnonzero(wanted)
        if len(points) == 0:
            return
        key, point = np.nonzero(views[:, points])
        rays = np.concatenate([self.uv[key, points[point]] / self.focal, np.ones((len(key), 1))], axis=1)
        rays = np.einsum("nji,nj->ni", self.R[key], rays / np.linalg.norm(rays, axis=1, keepdims=True))
        centre = -np.einsum("nji,nj->ni", self.R[key], self.t[key])
        X, angle = intersect_rays(rays, centre, point, len(points))
        self.X[points[angle >= self.config.min_parallax_rad]] = X[angle >= self.config.min_parallax_rad]
        fresh = points[self.has_point[points]]
        cameras = np.flatnonzero(self.registered)
        if len(fresh):
            self.X[fresh] = refine_points(self.bundle(cameras, fresh), self.config.huber_px, 3).X
            self.reject(fresh)

    # --- adjustment --------------------------------------------------------------------------------------------

    def adjust_window(self, cameras: np.ndarray, iterations: int, fixed: np.ndarray | None = None) -> None:
        """Adjust some keyframes and the points that they see; other keyframes that see those points stay."""
        seen = self.ok[cameras].any(0) & self.has_point
        points = np.flatnonzero(seen)
        if len(points) < self.config.min_tracks:
            return
        others = self.registered & self.ok[:, points].any(1)
        others[cameras] = False
        around = np.flatnonzero(others)
        every = np.concatenate([cameras, around[np.argsort(np.abs(around - cameras.mean()), kind="stable")][:_WINDOW]])
        free = np.isin(every, cameras)
        free[np.isin(every, cameras[:1] if fixed is None else fixed)] = False
        points = points[self.ok[np.ix_(every, points)].sum(0) >= 2]
        self.absorb(adjust(self.bundle(every, points), free, self.config.huber_px, iterations), every, points)
        self.reject(points)

    def adjust_all(self, iterations: int) -> None:
        """Adjust the whole map (and the focal length if it is free)."""
        cameras, points = np.flatnonzero(self.registered), np.flatnonzero(self.has_point)
        free = np.arange(len(cameras)) > 0
        bundle = self.bundle(cameras, points)
        free_focal = self.focal_is_free and len(cameras) >= 3
        self.absorb(adjust(bundle, free, self.config.huber_px, iterations, free_focal), cameras, points)
        self.reject(points)

    def reject(self, points: np.ndarray) -> None:
        """Drop observations that miss by more than the limit, then points with fewer than two."""
        cameras = np.flatnonzero(self.registered)
        bundle = self.bundle(cameras, points)
        bad = np.linalg.norm(bundle.residuals(), axis=1) > self.config.inlier_px
        self.ok[cameras[bundle.camera[bad]], points[bundle.point[bad]]] = False
        few = points[(self.ok[np.ix_(cameras, points)]).sum(0) < 2]
        self.X[few] = np.nan

    def finish(self) -> None:
        """Two rounds of global adjustment with what the first one rejected left out."""
        for iterations in (12, 8):
            self.triangulate()
            self.adjust_all(iterations)

    def focal_std(self) -> float:
        """1-sigma of the focal length [centred px]."""
        cameras, points = np.flatnonzero(self.registered), np.flatnonzero(self.has_point)
        return focal_std(self.bundle(cameras, points), self.config.huber_px)

    def rms_px(self) -> float:
        """Root mean square reprojection error of the map [px]; infinite when it is empty."""
        bundle = self.bundle(np.flatnonzero(self.registered), np.flatnonzero(self.has_point))
        return float(np.sqrt((bundle.residuals() ** 2).sum(1).mean())) if len(bundle.uv) else np.inf


def intersect_rays(
    rays: np.ndarray, centre: np.ndarray, group: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Points nearest to groups of rays (least squares of distances) and the largest angle to each group's first ray.

    Points behind a camera get angle 0.
    """
    normal = np.eye(3) - rays[:, :, None] * rays[:, None, :]
    A = group_sum(normal, group, count)
    b = group_sum(np.einsum("nij,nj->ni", normal, centre), group, count)
    X = np.linalg.solve(A + 1e-9 * np.eye(3), b[..., None])[..., 0]
    first = np.zeros((count, 3))
    first[group[::-1]] = rays[::-1]
    cosine = np.clip((rays * first[group]).sum(1), -1, 1)
    angle = np.zeros(count)
    np.maximum.at(angle, group, np.arccos(cosine))
    depth = ((X[group] - centre) * rays).sum(1)
    behind = group_sum((depth <= 0).astype(float)[:, None], group, count)[:, 0] > 0
    return X, np.where(behind, 0.0, angle)


def build_map(
    uv: np.ndarray, seen: np.ndarray, focal: float, focal_is_free: bool, config: CameraConfig
) -> KeyframeMap | None:
    """Structure from motion on keyframes; None when no pair of keyframes starts it."""
    mapped = KeyframeMap(uv, seen, focal, focal_is_free, config)
    if not mapped.start():
        return None
    mapped.grow()
    mapped.finish()
    if mapped.registered.sum() < 2 or mapped.has_point.sum() < config.min_tracks:
        return None
    return mapped
