"""Laws of transforms, rotations and pinhole cameras."""

import numpy as np
import pytest

from vitra_lib.geometry import rotations
from vitra_lib.geometry.cameras import K_from_focal, fov_from_K, project, rays, scale_K
from vitra_lib.geometry.transforms import apply, invert, make


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_inverse_and_composition(rng: np.random.Generator) -> None:
    T_a_b = make(rotations.exp(rng.normal(size=(4, 5, 3))), rng.normal(size=(4, 5, 3)))
    assert np.abs(T_a_b @ invert(T_a_b) - np.eye(4)).max() < 1e-12
    assert np.abs(invert(T_a_b) - np.linalg.inv(T_a_b)).max() < 1e-12
    p_b = rng.normal(size=(4, 5, 7, 3))
    assert np.abs(apply(invert(T_a_b), apply(T_a_b, p_b)) - p_b).max() < 1e-12
    # Control: forgetting to invert is far off.
    assert np.abs(apply(T_a_b, apply(T_a_b, p_b)) - p_b).max() > 0.1


def test_apply_broadcasts_one_transform_over_many_points_and_back(rng: np.random.Generator) -> None:
    T = make(rotations.exp(rng.normal(size=3)), rng.normal(size=3))
    p = rng.normal(size=(6, 3))
    expected = np.stack([T[:3, :3] @ x + T[:3, 3] for x in p])
    assert np.abs(apply(T, p) - expected).max() < 1e-12
    many = make(rotations.exp(rng.normal(size=(8, 3))), rng.normal(size=(8, 3)))
    assert apply(many, p[None]).shape == (8, 6, 3)


def test_rotation_vector_round_trip(rng: np.random.Generator) -> None:
    w = rng.normal(size=(10, 3))
    w *= (rng.uniform(0, np.pi - 0.01, 10) / np.linalg.norm(w, axis=1))[:, None]
    assert np.abs(rotations.log(rotations.exp(w)) - w).max() < 1e-9
    assert rotations.exp(np.array([0.0, 0.0, np.pi / 2])) @ np.array([1.0, 0, 0]) == pytest.approx([0, 1, 0])


def test_euler_is_static_xyz(rng: np.random.Generator) -> None:
    a, b, c = angles = np.array([0.3, -0.4, 0.5])
    one = [rotations.exp(v) for v in (np.array([a, 0, 0]), np.array([0, b, 0]), np.array([0, 0, c]))]
    R = rotations.from_euler_xyz(angles)
    assert np.abs(R - one[2] @ one[1] @ one[0]).max() < 1e-12
    # Control: the moving-axes order is another rotation.
    assert np.abs(R - one[0] @ one[1] @ one[2]).max() > 0.05
    assert np.abs(rotations.euler_xyz(R) - angles).max() < 1e-12


def test_geodesic_angle_is_the_angle_of_the_relative_rotation(rng: np.random.Generator) -> None:
    axis = rng.normal(size=3)
    axis /= np.linalg.norm(axis)
    R = rotations.exp(rng.normal(size=3))
    assert rotations.geodesic_angle(R, R @ rotations.exp(0.7 * axis)) == pytest.approx(0.7)
    assert rotations.geodesic_angle(R, rotations.exp(0.7 * axis) @ R) == pytest.approx(0.7)


def test_nearest_rotation_is_proper_and_closest(rng: np.random.Generator) -> None:
    M = rng.normal(size=(50, 3, 3))
    R = rotations.nearest_rotation(M)
    assert np.abs(R @ np.swapaxes(R, -1, -2) - np.eye(3)).max() < 1e-12
    assert np.linalg.det(R) == pytest.approx(1.0)
    distance = np.linalg.norm(M - R, axis=(1, 2))
    for w in 0.05 * rng.normal(size=(20, 3)):
        assert (np.linalg.norm(M - R @ rotations.exp(w), axis=(1, 2)) >= distance - 1e-12).all()


def test_nearest_rotation_handles_a_reflection() -> None:
    assert np.linalg.det(rotations.nearest_rotation(np.diag([1.0, 1.0, -1.0]))) == pytest.approx(1.0)


def test_projection_and_rays_are_inverse(rng: np.random.Generator) -> None:
    K = np.array([[300.0, 0, 160], [0, 310.0, 120], [0, 0, 1]])
    p = rng.uniform([-0.3, -0.3, 0.5], [0.3, 0.3, 2.0], (30, 3))
    assert np.abs(rays(K, project(K, p)) * p[:, 2:] - p).max() < 1e-12
    homogeneous = p @ K.T
    assert np.abs(project(K, p) - homogeneous[:, :2] / homogeneous[:, 2:]).max() < 1e-9


def test_points_behind_the_camera_have_no_pixel() -> None:
    K = K_from_focal(300.0, 320, 240)
    assert np.isnan(project(K, np.array([[0.1, 0.1, -1.0], [0.0, 0.0, 0.0]]))).all()


def test_field_of_view_and_scaling() -> None:
    K = K_from_focal(654.966, 1440, 1080)
    assert np.rad2deg(fov_from_K(K, 1440, 1080)) == pytest.approx([95.416, 79.009], abs=1e-3)
    small = scale_K(K, 1 / 3, 368 / 1080)
    assert fov_from_K(small, 480, 368) == pytest.approx(fov_from_K(K, 1440, 1080))
    assert small[2].tolist() == [0, 0, 1]
