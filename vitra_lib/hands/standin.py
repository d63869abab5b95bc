"""The licence-free stand-in hand: MANO's joints, layout and conventions on a mesh of this project's own.

Same interface as MANO: 16 joints, 15 local rotations, 10 betas linear in vertices and joints, linear blend
skinning. Two things are better than plain skinning: every joint has a helper bone that turns by half of the
joint's angle, so that a bent finger keeps its volume, and the forearm can be turned against the hand.
"""

from functools import cached_property, lru_cache

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from vitra_lib.hands import anthropometry as body
from vitra_lib.hands.geometry import HandGeometry
from vitra_lib.hands.lbs import half_rotation, joint_transforms, skin
from vitra_lib.hands.skeleton import JOINT21_OF_MANO16, MANO16_PLUS_TIPS_TO_21, MANO_PARENTS, PARENTS, TIPS
from vitra_lib.hands.standin_mesh import FOREARM_BONE, RestMesh, build_rest_mesh

_TIP_BONES = tuple(JOINT21_OF_MANO16.index(PARENTS[tip]) for tip in TIPS)


@lru_cache(maxsize=4)
def _rest_mesh(with_forearm: bool) -> RestMesh:
    return build_rest_mesh(body.FOREARM_LENGTH_M) if with_forearm else build_rest_mesh()


def _shape_directions(mesh: RestMesh) -> Float[np.ndarray, "10 vert 3"]:
    """Displacement [m] of each rest vertex per unit of each beta: every bone scales along and across itself."""
    joints = body.rest_joints()
    moved = body.joint_shape_directions()
    along, across, palm = body.segment_rates()
    child21 = {0: 9, **{j: JOINT21_OF_MANO16[j] + 1 for j in range(1, 16)}}
    result = np.zeros((body.N_BETAS, len(mesh.vertices), 3))
    for bone in range(FOREARM_BONE + 1):
        j21 = 0 if bone == FOREARM_BONE else JOINT21_OF_MANO16[bone]
        offset = mesh.vertices - joints[j21]
        w = mesh.weights[:, bone, None]
        for k in range(body.N_BETAS):
            if bone in (0, FOREARM_BONE):
                # An arm grows with the palm, but does not become longer with it.
                rate = palm[k] if bone == 0 else np.array([0.0, palm[k, 1], palm[k, 2]])
                shift = rate * offset
            else:
                axis = joints[child21[bone]] - joints[j21]
                axis = axis / np.linalg.norm(axis)
                part = (offset @ axis)[:, None] * axis
                shift = along[k, bone] * part + across[k, bone] * (offset - part)
            result[k] += w * (moved[k, j21] + shift)
    return result


def _with_half_bones(weights: np.ndarray) -> Float[np.ndarray, "vert 32"]:
    """Move the weight that two neighbouring bones share to the half-angle bone of the joint between them."""
    parents = (*MANO_PARENTS, 0)
    result = np.concatenate([weights, np.zeros((len(weights), 15))], axis=1)
    for j in range(1, 16):
        shared = np.minimum(result[:, parents[j]], result[:, j])
        result[:, j] -= shared
        result[:, parents[j]] -= shared
        result[:, FOREARM_BONE + j] += 2.0 * shared
    return result


class StandinHand:
    """A right hand with average adult proportions (`anthropometry`), smooth skin and MANO's layout.

    Args:
        with_forearm: True adds the forearm (25.5 cm) to the skin, for pictures; False keeps a short stub.
    """

    name = "standin"

    def __init__(self, with_forearm: bool = False) -> None:
        self.with_forearm = with_forearm
        mesh = _rest_mesh(with_forearm)
        self.faces: Int[np.ndarray, "faces 3"] = mesh.faces
        self.rest_vertices: Float[np.ndarray, "vert 3"] = mesh.vertices
        self.rest_normals: Float[np.ndarray, "vert 3"] = mesh.normals
        self.skin_weights: Float[np.ndarray, "vert 17"] = mesh.weights
        self._joint_directions = body.joint_shape_directions()
        self._rest_joints = body.rest_joints()

    @cached_property
    def shape_directions(self) -> Float[np.ndarray, "10 vert 3"]:
        """(10, V, 3) displacement of the rest vertices per unit of each beta [m]."""
        return _shape_directions(_rest_mesh(self.with_forearm))

    @cached_property
    def _half_weights(self) -> Float[np.ndarray, "vert 32"]:
        return _with_half_bones(self.skin_weights)

    def rest_joints(self, betas: Float[np.ndarray, "*batch 10"]) -> Float[np.ndarray, "*batch 21 3"]:
        """Joints of the flat right hand in the template frame [m]; linear in betas.

        Args:
            betas: (..., 10) shape.
        """
        return self._rest_joints + np.einsum("...b,bjc->...jc", betas, self._joint_directions)

    def __call__(
        self,
        R_parent_joint: Float[Tensor, "batch 15 3 3"],
        betas: Float[Tensor, "batch 10"],
        R_wrist_forearm: Float[Tensor, "batch 3 3"] | None = None,
    ) -> HandGeometry:
        """Pose the right hand in its template frame, wrist at identity rotation.

        Args:
            R_parent_joint: (B, 15, 3, 3) local rotations, MANO's order; identity = flat hand.
            betas: (B, 10) shape.
            R_wrist_forearm: (B, 3, 3) rotation of the forearm in the wrist frame; None = straight.

        Returns:
            Vertices and 21 joints in the right-hand template frame [m].
        """
        like = {"dtype": betas.dtype, "device": betas.device}
        joints21 = torch.as_tensor(self._rest_joints, **like) + torch.einsum(
            "nb,bjc->njc", betas, torch.as_tensor(self._joint_directions, **like)
        )
        rest = joints21[:, list(JOINT21_OF_MANO16)]
        R, posed = joint_transforms(R_parent_joint, rest)
        tips = torch.stack(
            [
                posed[:, bone] + (R[:, bone] @ (joints21[:, tip] - rest[:, bone]).unsqueeze(-1)).squeeze(-1)
                for tip, bone in zip(TIPS, _TIP_BONES, strict=True)
            ],
            dim=1,
        )
        joints = torch.cat([posed, tips], dim=1)[:, list(MANO16_PLUS_TIPS_TO_21)]
        parents = list(MANO_PARENTS[1:])
        R_half = R[:, parents] @ half_rotation(R_parent_joint)
        arm = torch.eye(3, **like).expand(len(betas), 1, 3, 3) if R_wrist_forearm is None else R_wrist_forearm[:, None]
        vertices = skin(
            torch.as_tensor(self.rest_vertices, **like)
            + torch.einsum("nb,bvc->nvc", betas, torch.as_tensor(self.shape_directions, **like)),
            torch.as_tensor(self._half_weights, **like),
            torch.cat([R, arm, R_half], dim=1),
            torch.cat([posed, posed[:, :1], posed[:, 1:]], dim=1),
            torch.cat([rest, rest[:, :1], rest[:, 1:]], dim=1),
        )
        return HandGeometry(vertices, joints)
