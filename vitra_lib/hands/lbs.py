"""Linear blend skinning on MANO's joint tree, batched in torch (Loper et al. 2015, SMPL, sections 3.1-3.3)."""

import torch
from jaxtyping import Float
from torch import Tensor

from vitra_lib.hands.skeleton import MANO_PARENTS


def joint_transforms(
    R_parent_joint: Float[Tensor, "batch 15 3 3"], joints16: Float[Tensor, "batch 16 3"]
) -> tuple[Float[Tensor, "batch 16 3 3"], Float[Tensor, "batch 16 3"]]:
    """Forward kinematics with the wrist as root at identity rotation.

    Args:
        R_parent_joint: (B, 15, 3, 3) local rotations in MANO's order.
        joints16: (B, 16, 3) rest joints in the template frame [m].

    Returns:
        R: (B, 16, 3, 3) rotation of each joint in the template frame.
        t: (B, 16, 3) posed joint positions in the template frame [m].
    """
    eye = torch.eye(3, dtype=joints16.dtype, device=joints16.device).expand(len(joints16), 3, 3)
    rotations, positions = [eye], [joints16[:, 0]]
    for j in range(1, 16):
        parent = MANO_PARENTS[j]
        offset = (joints16[:, j] - joints16[:, parent]).unsqueeze(-1)
        positions.append(positions[parent] + (rotations[parent] @ offset).squeeze(-1))
        rotations.append(rotations[parent] @ R_parent_joint[:, j - 1])
    return torch.stack(rotations, dim=1), torch.stack(positions, dim=1)


def skin(
    rest_vertices: Float[Tensor, "batch vert 3"],
    weights: Float[Tensor, "vert bone"],
    R: Float[Tensor, "batch bone 3 3"],
    posed: Float[Tensor, "batch bone 3"],
    rest: Float[Tensor, "batch bone 3"],
) -> Float[Tensor, "batch vert 3"]:
    """Blend the rigid motions of bones: v = sum_b w_b (R_b (v0 - rest_b) + posed_b).

    Args:
        rest_vertices: (B, V, 3) shaped vertices in the rest pose [m].
        weights: (V, bones), rows sum to 1.
        R: (B, bones, 3, 3) rotation of each bone.
        posed: (B, bones, 3) where the bone's centre goes [m].
        rest: (B, bones, 3) where the bone's centre is at rest [m].

    Returns:
        (B, V, 3) posed vertices [m].
    """
    shift = posed - (R @ rest.unsqueeze(-1)).squeeze(-1)
    affine = torch.cat([R.flatten(2), shift], dim=2)
    blended = torch.einsum("vb,nbk->nvk", weights, affine)
    turn, move = blended[..., :9].unflatten(-1, (3, 3)), blended[..., 9:]
    return (turn @ rest_vertices.unsqueeze(-1)).squeeze(-1) + move


def half_rotation(R: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3 3"]:
    """The rotation about the same axis by half the angle (angles below 180 degrees).

    Args:
        R: (..., 3, 3) rotation matrices.
    """
    trace = R.diagonal(dim1=-2, dim2=-1).sum(-1)
    w = 0.5 * torch.sqrt(torch.clamp(1.0 + trace, min=1e-6))
    v = torch.stack([R[..., 2, 1] - R[..., 1, 2], R[..., 0, 2] - R[..., 2, 0], R[..., 1, 0] - R[..., 0, 1]], dim=-1)
    v = v / (4.0 * w.unsqueeze(-1))
    w_half = torch.sqrt(0.5 * (1.0 + torch.clamp(w, max=1.0)))
    v_half = v / (2.0 * w_half.unsqueeze(-1))
    norm = torch.sqrt(w_half**2 + (v_half**2).sum(-1))
    w_half, v_half = w_half / norm, v_half / norm.unsqueeze(-1)
    x, y, z = v_half.unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w_half * z), 2 * (x * z + w_half * y),
        2 * (x * y + w_half * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w_half * x),
        2 * (x * z - w_half * y), 2 * (y * z + w_half * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))
