"""Rigid transforms as 4x4 matrices. `T_a_b` maps points in frame b to frame a; inner letters cancel."""

import numpy as np
from jaxtyping import Float


def make(
    R_a_b: Float[np.ndarray, "*batch 3 3"], t_a_b: Float[np.ndarray, "*batch 3"]
) -> Float[np.ndarray, "*batch 4 4"]:
    """Build `T_a_b` from its rotation and translation [m]."""
    T = np.zeros((*np.broadcast_shapes(R_a_b.shape[:-2], t_a_b.shape[:-1]), 4, 4))
    T[..., :3, :3] = R_a_b
    T[..., :3, 3] = t_a_b
    T[..., 3, 3] = 1.0
    return T


def invert(T_a_b: Float[np.ndarray, "*batch 4 4"]) -> Float[np.ndarray, "*batch 4 4"]:
    """Return `T_b_a`, by transposing the rotation (the input must be rigid)."""
    R_b_a = np.swapaxes(T_a_b[..., :3, :3], -1, -2)
    return make(R_b_a, -np.einsum("...ij,...j->...i", R_b_a, T_a_b[..., :3, 3]))


def apply(
    T_a_b: Float[np.ndarray, "*#batch 4 4"], p_b: Float[np.ndarray, "*#batch points 3"]
) -> Float[np.ndarray, "*batch points 3"]:
    """Map points [m] in frame b to frame a; leading axes broadcast."""
    return p_b @ np.swapaxes(T_a_b[..., :3, :3], -1, -2) + T_a_b[..., None, :3, 3]
