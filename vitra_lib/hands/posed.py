"""From MANO-layout parameters to skin and joints in any frame, for both hands (spec of the episode format, 1.4).

The rule: (V, J) = right-hand model with the wrist at identity; left hand: mirror V and J in x; then
X_a = R_a_wrist (X - J_0) + t_a_wrist with J_0 the (mirrored) wrist joint, so `t_a_wrist` is where the wrist joint is.
"""

import numpy as np
import torch
from jaxtyping import Float, Int

from vitra_lib.core.errors import UnknownName
from vitra_lib.hands.mirror import mirror_faces, mirror_points
from vitra_lib.hands.model import HandModel
from vitra_lib.hands.skeleton import Side

_CHUNK = 64


def faces_for(model: HandModel, side: Side) -> Int[np.ndarray, "faces 3"]:
    """Outward-oriented triangles of one hand.

    Args:
        model: the right-hand model.
        side: "left" or "right".
    """
    if side not in ("left", "right"):
        raise UnknownName("side", side, ("left", "right"))
    return model.faces if side == "right" else mirror_faces(model.faces)


def pose_hand(
    model: HandModel,
    side: Side,
    R_a_wrist: Float[np.ndarray, "time 3 3"],
    t_a_wrist: Float[np.ndarray, "time 3"],
    R_parent_joint: Float[np.ndarray, "time 15 3 3"],
    betas: Float[np.ndarray, "10"],
    *,
    R_wrist_forearm: Float[np.ndarray, "time 3 3"] | None = None,
) -> tuple[Float[np.ndarray, "time vert 3"], Float[np.ndarray, "time 21 3"]]:
    """Skin and joints of one hand in frame `a` (camera or world).

    Args:
        model: the right-hand model.
        side: "left" or "right".
        R_a_wrist: (T, 3, 3) rotation of the wrist frame into `a`.
        t_a_wrist: (T, 3) position of the wrist joint in `a` [m].
        R_parent_joint: (T, 15, 3, 3) local rotations in the right-hand convention, MANO's order.
        betas: (10,) shape.
        R_wrist_forearm: (T, 3, 3) rotation of the forearm against the straight arm, in the right-hand
            convention; only for a model with a forearm (`StandinHand`).

    Returns:
        vertices_a: (T, V, 3) skin in `a` [m].
        joints_a: (T, 21, 3) joints in `a` [m].
    """
    if side not in ("left", "right"):
        raise UnknownName("side", side, ("left", "right"))
    vertices, joints = [], []
    for start in range(0, len(t_a_wrist), _CHUNK):
        rows = slice(start, start + _CHUNK)
        R = torch.as_tensor(np.ascontiguousarray(R_parent_joint[rows], dtype=np.float64))
        shape = torch.as_tensor(betas, dtype=torch.float64).expand(len(R), 10)
        with torch.no_grad():
            if R_wrist_forearm is None:
                posed = model(R, shape)
            else:
                posed = model(R, shape, torch.as_tensor(np.ascontiguousarray(R_wrist_forearm[rows], dtype=np.float64)))
        V, J = posed.vertices.numpy(), posed.joints.numpy()
        if side == "left":
            V, J = mirror_points(V), mirror_points(J)
        R_t = np.swapaxes(R_a_wrist[rows], -1, -2)
        vertices.append((V - J[:, :1]) @ R_t + t_a_wrist[rows, None])
        joints.append((J - J[:, :1]) @ R_t + t_a_wrist[rows, None])
    if not vertices:
        return np.zeros((0, int(model.faces.max()) + 1, 3)), np.zeros((0, 21, 3))
    return np.concatenate(vertices), np.concatenate(joints)
