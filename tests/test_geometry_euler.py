"""Euler angles in closed form: the same as scipy's, in their ranges, and defined where two axes fall together."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from vitra_lib.geometry.rotations import euler_xyz, exp, from_euler_xyz


def test_the_same_angles_as_scipy_gives():
    R = exp(np.random.default_rng(0).normal(0, 2, (4, 500, 3)))
    wanted = Rotation.from_matrix(R.reshape(-1, 3, 3)).as_euler("xyz").reshape(4, 500, 3)
    assert np.abs(euler_xyz(R) - wanted).max() < 1e-7
    intrinsic = Rotation.from_matrix(R.reshape(-1, 3, 3)).as_euler("XYZ").reshape(4, 500, 3)
    assert np.abs(euler_xyz(R) - intrinsic).max() > 1  # control: turning axes instead of static ones
    assert (np.abs(euler_xyz(R)[..., 1]) <= np.pi / 2).all()


def test_angles_come_back():
    rng = np.random.default_rng(1)
    angles = rng.uniform(-1, 1, (300, 3)) * [np.pi, np.pi / 2, np.pi]
    assert np.allclose(euler_xyz(from_euler_xyz(angles)), angles, atol=1e-9)
    assert np.allclose(from_euler_xyz(angles), Rotation.from_euler("xyz", angles).as_matrix(), atol=1e-12)


@pytest.mark.parametrize("middle", [np.pi / 2, -np.pi / 2])
def test_where_two_axes_fall_together_the_rotation_is_kept(middle):
    for x, z in ((0.3, 0.7), (-2.0, 1.0), (3.0, 3.0)):
        R = Rotation.from_euler("xyz", [x, middle, z]).as_matrix()
        angles = euler_xyz(R)
        assert angles[2] == 0.0 and np.abs(from_euler_xyz(angles) - R).max() < 1e-7
    near = from_euler_xyz(np.array([0.3, middle * (1 - 1e-5), 0.7]))
    assert np.abs(from_euler_xyz(euler_xyz(near)) - near).max() < 1e-9
