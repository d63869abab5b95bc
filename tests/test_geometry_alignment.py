"""Alignment of points and camera paths: known similarities come back, and an unaligned path fails."""

import numpy as np
import pytest

from vitra_lib.geometry import rotations
from vitra_lib.geometry.alignment import align_paths, umeyama
from vitra_lib.geometry.transforms import make


def _known(rng: np.random.Generator) -> tuple[float, np.ndarray, np.ndarray]:
    return float(rng.uniform(0.2, 5.0)), rotations.exp(rng.normal(size=3)), rng.normal(size=3)


def _path(rng: np.random.Generator, time: int = 30) -> np.ndarray:
    return make(rotations.exp(0.4 * rng.normal(size=(time, 3))), np.cumsum(rng.normal(size=(time, 3)), axis=0))


@pytest.mark.parametrize("seed", range(5))
def test_umeyama_recovers_a_known_similarity(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scale, R, t = _known(rng)
    p_b = rng.normal(size=(20, 3))
    p_a = scale * p_b @ R.T + t
    fit = umeyama(p_a, p_b)
    assert abs(fit.scale - scale) < 1e-9
    assert np.abs(fit.R_a_b - R).max() < 1e-9
    assert np.abs(fit.t_a_b - t).max() < 1e-9
    assert np.abs(fit.apply(p_b) - p_a).max() < 1e-9
    # Control: without alignment the same points are far apart.
    assert np.abs(p_b - p_a).max() > 0.1


def test_rigid_alignment_does_not_scale() -> None:
    rng = np.random.default_rng(1)
    _, R, t = _known(rng)
    p_b = rng.normal(size=(20, 3))
    fit = umeyama(p_b @ R.T + t, p_b, with_scale=False)
    assert fit.scale == 1.0 and np.abs(fit.R_a_b - R).max() < 1e-9
    # Control: a doubled set can't be explained by a rigid motion.
    doubled = umeyama(2 * p_b @ R.T + t, p_b, with_scale=False)
    assert np.abs(doubled.apply(p_b) - (2 * p_b @ R.T + t)).max() > 0.1


def test_umeyama_never_reflects() -> None:
    rng = np.random.default_rng(2)
    p_b = rng.normal(size=(20, 3))
    fit = umeyama(p_b * np.array([-1.0, 1.0, 1.0]), p_b)
    assert np.linalg.det(fit.R_a_b) == pytest.approx(1.0, abs=1e-9)


def test_weights_leave_outliers_out() -> None:
    rng = np.random.default_rng(3)
    scale, R, t = _known(rng)
    p_b = rng.normal(size=(20, 3))
    p_a = scale * p_b @ R.T + t
    p_a[:4] += 10.0
    weights = np.ones(20)
    weights[:4] = 0.0
    assert np.abs(umeyama(p_a, p_b, weights=weights).apply(p_b)[4:] - p_a[4:]).max() < 1e-9
    assert np.abs(umeyama(p_a, p_b).apply(p_b)[4:] - p_a[4:]).max() > 0.1


def test_degenerate_points_give_a_finite_alignment() -> None:
    same = np.ones((5, 3))
    fit = umeyama(same + 2.0, same)
    assert fit.scale == 1.0
    assert np.abs(fit.apply(same) - 3.0).max() < 1e-12


@pytest.mark.parametrize("seed", range(3))
def test_align_paths_recovers_a_known_similarity_of_poses(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scale, R, t = _known(rng)
    T_b = _path(rng)
    T_a = T_b.copy()
    T_a[:, :3, :3] = R @ T_b[:, :3, :3]
    T_a[:, :3, 3] = scale * T_b[:, :3, 3] @ R.T + t
    fit = align_paths(T_a, T_b)
    assert abs(fit.scale - scale) < 1e-9
    assert np.abs(fit.apply_poses(T_b) - T_a).max() < 1e-8
    assert np.abs(T_b - T_a).max() > 0.1


def test_align_paths_finds_the_rotation_of_a_camera_that_only_turns() -> None:
    rng = np.random.default_rng(4)
    T_b = _path(rng)
    T_b[:, :3, 3] = 0.0
    R = rotations.exp(np.array([0.3, -0.2, 0.9]))
    T_a = T_b.copy()
    T_a[:, :3, :3] = R @ T_b[:, :3, :3]
    fit = align_paths(T_a, T_b)
    assert np.abs(fit.R_a_b - R).max() < 1e-9 and fit.scale == 1.0
    # Control: centres alone, all in one place, can't tell this rotation.
    assert np.abs(umeyama(T_a[:, :3, 3], T_b[:, :3, 3]).R_a_b - R).max() > 0.1
