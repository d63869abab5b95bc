"""Poses of all frames against the keyframes' map: motion-only and structure-only refinement in turns."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from vitra_lib.geometry.transforms import apply, invert, make
from vitra_lib.reconstruction.camera.bundle import Bundle, group_sum, refine_points, refine_poses
from vitra_lib.reconstruction.camera.config import CameraConfig
from vitra_lib.reconstruction.camera.mapping import KeyframeMap
from vitra_lib.reconstruction.camera.tracks import FeatureTracks


@dataclass(frozen=True)
class FramePoses:
    """Result of `pose_every_frame`, in the world of the first valid frame with median scene depth 1.

    Attributes:
        T_world_cam: (time, 4, 4); frames without a pose repeat the nearest valid one.
        is_valid: (time,) True where enough points agree.
        inlier_count: (time,) how many do.
        points_world: (point, 3).
        point_error_px: (point,) rms reprojection error [working px].
        obs_frame, obs_point, obs_uv: inlier observations in centred pixels, sorted by frame.
        rms_px: rms reprojection error over all inliers [working px].
        figures: named measurements.
    """

    T_world_cam: np.ndarray
    is_valid: np.ndarray
    inlier_count: np.ndarray
    points_world: np.ndarray
    point_error_px: np.ndarray
    obs_frame: np.ndarray
    obs_point: np.ndarray
    obs_uv: np.ndarray
    rms_px: float
    figures: dict[str, float]


def pose_every_frame(
    tracks: FeatureTracks, uv: np.ndarray, keys: np.ndarray, table_tracks: np.ndarray, mapped: KeyframeMap,
    config: CameraConfig,
) -> FramePoses:  # fmt: skip
    """Refine the pose of every frame, keyframe or not, with all its observations of mapped points.

    Args:
        tracks: all observations.
        uv: (obs, 2) their centred pixels.
        keys: (key,) frames that are keyframes.
        table_tracks: (column,) track of each column of the map's table.
        mapped: the map.
        config: knobs.
    """
    columns = np.flatnonzero(mapped.has_point)
    point_of = np.full(tracks.track_count, -1)
    point_of[table_tracks[columns]] = np.arange(len(columns))
    use = point_of[tracks.track] >= 0
    R, t = _interpolated(mapped, keys, tracks.frame_count)
    bundle = Bundle(R, t, mapped.X[columns], mapped.focal, tracks.frame[use], point_of[tracks.track[use]], uv[use])
    bundle = refine_poses(bundle, config.huber_px, 10)
    for _ in range(2):
        bundle = _without_outliers(bundle, 2 * config.inlier_px)
        bundle = refine_points(bundle, config.huber_px, 2)
        bundle = refine_poses(bundle, config.huber_px, 4)
    total = np.bincount(bundle.camera, minlength=len(R))
    bundle = _without_outliers(bundle, config.inlier_px)
    inliers = np.bincount(bundle.camera, minlength=len(R))
    valid = (inliers >= config.min_tracks) & (inliers >= 0.4 * total)
    return _in_first_camera(bundle, valid, inliers)


def _interpolated(mapped: KeyframeMap, keys: np.ndarray, frame_count: int) -> tuple[np.ndarray, np.ndarray]:
    """Poses between registered keyframes, constant outside them."""
    T = invert(make(mapped.R[mapped.registered], mapped.t[mapped.registered]))
    at = keys[mapped.registered]
    when = np.clip(np.arange(frame_count), at[0], at[-1])
    R = Slerp(at, Rotation.from_matrix(T[:, :3, :3]))(when).as_matrix()
    centre = np.stack([np.interp(when, at, T[:, k, 3]) for k in range(3)], axis=1)
    T_cam_world = invert(make(R, centre))
    return T_cam_world[:, :3, :3].copy(), T_cam_world[:, :3, 3].copy()


def _without_outliers(bundle: Bundle, limit_px: float) -> Bundle:
    keep = np.linalg.norm(bundle.residuals(), axis=1) < limit_px
    return Bundle(bundle.R, bundle.t, bundle.X, bundle.focal, bundle.camera[keep], bundle.point[keep], bundle.uv[keep])


def _in_first_camera(bundle: Bundle, valid: np.ndarray, inliers: np.ndarray) -> FramePoses:
    """Keep what valid frames see; choose world and unit; number the points that are left."""
    keep = valid[bundle.camera]
    camera, point, uv = bundle.camera[keep], bundle.point[keep], bundle.uv[keep]
    squared = (bundle.residuals()[keep] ** 2).sum(1)
    seen = np.bincount(point, minlength=len(bundle.X))
    error = np.sqrt(group_sum(squared[:, None], point, len(bundle.X))[:, 0] / np.maximum(seen, 1))
    depth = bundle.in_camera()[keep, 2]
    unit = float(np.median(depth)) if len(depth) else 1.0
    T_world_cam = invert(make(bundle.R, bundle.t))
    first = int(np.argmax(valid))
    T_first_world = invert(T_world_cam[first])
    X = apply(T_first_world, bundle.X) / unit
    T = T_first_world @ T_world_cam
    T[:, :3, 3] /= unit
    T[first] = np.eye(4)
    at = np.flatnonzero(valid)
    if len(at):
        T = T[at[np.abs(at[None] - np.arange(len(T))[:, None]).argmin(1)]]
    renumber = np.cumsum(seen > 0) - 1
    order = np.argsort(camera, kind="stable")
    path = float(np.linalg.norm(np.diff(T[valid][:, :3, 3], axis=0), axis=1).sum())
    return FramePoses(
        T, valid, inliers, X[seen > 0], error[seen > 0], camera[order], renumber[point[order]],
        uv[order], float(np.sqrt(squared.mean())) if len(squared) else float("nan"), {"path_in_depths": path},
    )  # fmt: skip
