"""Rotations as matrices. Euler angles are static-axes xyz: R = Rz Ry Rx (scipy's lower-case 'xyz')."""

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

_GIMBAL = 1e-7  # cosine of the middle Euler angle below which the outer two can't be told apart


def exp(rotvec: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 3 3"]:
    """Rotation matrices of rotation vectors [rad]."""
    return Rotation.from_rotvec(rotvec.reshape(-1, 3)).as_matrix().reshape(*rotvec.shape[:-1], 3, 3)


def log(R: Float[np.ndarray, "*batch 3 3"]) -> Float[np.ndarray, "*batch 3"]:
    """Rotation vectors [rad] of rotation matrices."""
    return Rotation.from_matrix(R.reshape(-1, 3, 3)).as_rotvec().reshape(*R.shape[:-2], 3)


def euler_xyz(R: Float[np.ndarray, "*batch 3 3"]) -> Float[np.ndarray, "*batch 3"]:
    """Static-axes xyz Euler angles [rad], the convention of VITRA's action space: R = Rz(c) Ry(b) Rx(a).

    a and c are in (-pi, pi], b in [-pi/2, pi/2]. Where b is +-pi/2 only the sum or difference of a and c is defined,
    and c is 0. In closed form, since training reads thousands of rotations per sample.
    """
    cosine = np.hypot(R[..., 0, 0], R[..., 1, 0])
    locked = cosine < _GIMBAL
    x = np.arctan2(np.where(locked, -R[..., 1, 2], R[..., 2, 1]), np.where(locked, R[..., 1, 1], R[..., 2, 2]))
    y = np.arctan2(-R[..., 2, 0], cosine)
    z = np.where(locked, 0.0, np.arctan2(R[..., 1, 0], R[..., 0, 0]))
    return np.stack([x, y, z], axis=-1)


def from_euler_xyz(angles: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 3 3"]:
    """Inverse of `euler_xyz`."""
    (cx, cy, cz), (sx, sy, sz) = np.moveaxis(np.cos(angles), -1, 0), np.moveaxis(np.sin(angles), -1, 0)
    R = np.empty((*angles.shape[:-1], 3, 3))
    R[..., 0, 0], R[..., 0, 1], R[..., 0, 2] = cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx
    R[..., 1, 0], R[..., 1, 1], R[..., 1, 2] = sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx
    R[..., 2, 0], R[..., 2, 1], R[..., 2, 2] = -sy, cy * sx, cy * cx
    return R


def geodesic_angle(
    R_a: Float[np.ndarray, "*#batch 3 3"], R_b: Float[np.ndarray, "*#batch 3 3"]
) -> Float[np.ndarray, "*batch"]:
    """Angle [rad] of the rotation between two rotations."""
    return np.asarray(np.linalg.norm(log(np.swapaxes(R_a, -1, -2) @ R_b), axis=-1))


def nearest_rotation(M: Float[np.ndarray, "*batch 3 3"]) -> Float[np.ndarray, "*batch 3 3"]:
    """The rotation closest to a matrix in the Frobenius norm (orthogonal Procrustes, det = +1)."""
    U, _, Vt = np.linalg.svd(M)
    sign = np.sign(np.linalg.det(U @ Vt))
    U = U.copy()
    U[..., :, 2] *= sign[..., None]
    return U @ Vt
