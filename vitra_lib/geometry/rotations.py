"""Rotations as matrices; scipy does the conversions. Euler angles are scipy lower-case 'xyz': static axes, R = Rz Ry Rx."""

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation


def exp(rotvec: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 3 3"]:
    """Rotation matrices of rotation vectors [rad]."""
    return Rotation.from_rotvec(rotvec.reshape(-1, 3)).as_matrix().reshape(*rotvec.shape[:-1], 3, 3)


def log(R: Float[np.ndarray, "*batch 3 3"]) -> Float[np.ndarray, "*batch 3"]:
    """Rotation vectors [rad] of rotation matrices."""
    return Rotation.from_matrix(R.reshape(-1, 3, 3)).as_rotvec().reshape(*R.shape[:-2], 3)


def euler_xyz(R: Float[np.ndarray, "*batch 3 3"]) -> Float[np.ndarray, "*batch 3"]:
    """Static-axes xyz Euler angles [rad], the convention of VITRA's action space."""
    return Rotation.from_matrix(R.reshape(-1, 3, 3)).as_euler("xyz").reshape(*R.shape[:-2], 3)


def from_euler_xyz(angles: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 3 3"]:
    """Inverse of `euler_xyz`."""
    return Rotation.from_euler("xyz", angles.reshape(-1, 3)).as_matrix().reshape(*angles.shape[:-1], 3, 3)


def geodesic_angle(R_a: Float[np.ndarray, "*#batch 3 3"], R_b: Float[np.ndarray, "*#batch 3 3"]) -> Float[np.ndarray, "*batch"]:
    """Angle [rad] of the rotation between two rotations."""
    return np.asarray(np.linalg.norm(log(np.swapaxes(R_a, -1, -2) @ R_b), axis=-1))


def nearest_rotation(M: Float[np.ndarray, "*batch 3 3"]) -> Float[np.ndarray, "*batch 3 3"]:
    """The rotation closest to a matrix in the Frobenius norm (orthogonal Procrustes, det = +1)."""
    U, _, Vt = np.linalg.svd(M)
    sign = np.sign(np.linalg.det(U @ Vt))
    U = U.copy()
    U[..., :, 2] *= sign[..., None]
    return U @ Vt
