"""THE mirror rule between hands, in one place: M = diag(-1, 1, 1).

A left hand is the right-hand template mirrored in x. Points mirror by M x, rotations by M R M. Finger
rotations (`R_parent_joint`) are NOT mirrored: they stay in the right-hand template for both hands (spec of
the episode format, 1.4), so a horizontal flip of the image changes the wrist pose only.
"""

import numpy as np
from jaxtyping import Float, Int

MIRROR: np.ndarray = np.diag([-1.0, 1.0, 1.0])
MIRROR.setflags(write=False)


def mirror_points(x: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 3"]:
    """Mirror points or vectors in x: M x.

    Args:
        x: (..., 3) points in any frame [m].
    """
    return x * np.array([-1.0, 1.0, 1.0], dtype=x.dtype)


def mirror_rotation(R: Float[np.ndarray, "*batch 3 3"]) -> Float[np.ndarray, "*batch 3 3"]:
    """The rotation seen in the mirror: M R M, again a proper rotation.

    Args:
        R: (..., 3, 3) rotation matrices.
    """
    sign = np.array([-1.0, 1.0, 1.0], dtype=R.dtype)
    return R * sign[:, None] * sign[None, :]


def mirror_faces(faces: Int[np.ndarray, "faces 3"]) -> Int[np.ndarray, "faces 3"]:
    """Faces of a mirrored mesh: vertex order (0, 2, 1), so that normals still point outwards.

    Args:
        faces: (faces, 3) vertex indices.
    """
    return np.ascontiguousarray(faces[:, [0, 2, 1]])
