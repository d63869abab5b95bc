"""Least-squares alignment of point sets and camera paths: rotation, rigid (SE3) and similarity (Sim3)."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from vitra_lib.geometry.rotations import nearest_rotation


@dataclass(frozen=True)
class Similarity:
    """x_a = scale * R_a_b x_b + t_a_b: maps points in b to a.

    Attributes:
        scale: ratio of lengths, unit of a per unit of b; 1 for a rigid alignment.
        R_a_b: (3, 3) rotation.
        t_a_b: (3,) translation in the unit of a.
    """

    scale: float
    R_a_b: Float[np.ndarray, "3 3"]
    t_a_b: Float[np.ndarray, "3"]

    def apply(self, p_b: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 3"]:
        """Map points in b to a."""
        return self.scale * p_b @ self.R_a_b.T + self.t_a_b

    def apply_poses(self, T_b_cam: Float[np.ndarray, "*batch 4 4"]) -> Float[np.ndarray, "*batch 4 4"]:
        """Map poses `T_b_cam` to `T_a_cam` (rigid: rotations turn, centres move and scale)."""
        T = T_b_cam.copy()
        T[..., :3, :3] = self.R_a_b @ T_b_cam[..., :3, :3]
        T[..., :3, 3] = self.apply(T_b_cam[..., :3, 3])
        return T


def umeyama(
    p_a: Float[np.ndarray, "points 3"],
    p_b: Float[np.ndarray, "points 3"],
    with_scale: bool = True,
    weights: Float[np.ndarray, " points"] | None = None,
) -> Similarity:
    """The similarity (or rigid motion) that maps `p_b` to `p_a` with least squared error.

    Closed form of Umeyama (IEEE TPAMI 1991): the rotation from the singular vectors of the cross-covariance, the
    scale from the ratio of the rotated covariance to the variance of b.

    Args:
        p_a, p_b: (points, 3) corresponding points, at least one.
        with_scale: False fixes the scale to 1.
        weights: (points,) non-negative weights; None = equal.

    Returns:
        The alignment. Collinear points leave a turn about their line free and coincident points the whole rotation;
        then one of the best rotations is returned, and scale 1 where the points in b do not spread at all.
    """
    w = np.full(len(p_a), 1.0 / len(p_a)) if weights is None else weights / weights.sum()
    mean_a, mean_b = w @ p_a, w @ p_b
    a, b = p_a - mean_a, p_b - mean_b
    covariance = (a * w[:, None]).T @ b
    R = nearest_rotation(covariance) if np.abs(covariance).max() > 0 else np.eye(3)
    variance = float(w @ (b**2).sum(1))
    scale = float((R * covariance).sum()) / variance if with_scale and variance > 0 else 1.0
    return Similarity(scale, R, mean_a - scale * R @ mean_b)


def align_paths(
    T_a_cam: Float[np.ndarray, "time 4 4"], T_b_cam: Float[np.ndarray, "time 4 4"], with_scale: bool = True
) -> Similarity:
    """The similarity that maps the camera path in world b to the same path in world a.

    The rotation is the mean of the frames' own relative rotations, so that a short or straight path does not leave
    it free; scale and translation follow from the camera centres.

    Args:
        T_a_cam, T_b_cam: (time, 4, 4) poses of the same frames in the two worlds.
        with_scale: False fixes the scale to 1.
    """
    relative = T_a_cam[:, :3, :3] @ np.swapaxes(T_b_cam[:, :3, :3], -1, -2)
    R = nearest_rotation(relative.mean(axis=0))
    a, b = T_a_cam[:, :3, 3], T_b_cam[:, :3, 3] @ R.T
    mean_a, mean_b = a.mean(axis=0), b.mean(axis=0)
    variance = float(((b - mean_b) ** 2).sum())
    scale = float(((a - mean_a) * (b - mean_b)).sum()) / variance if with_scale and variance > 0 else 1.0
    return Similarity(scale, R, mean_a - scale * mean_b)
