"""The MANO hand (Romero et al. 2017, "Embodied hands"), through smplx, from the user's own licensed file."""

import io
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from vitra_lib.core.errors import MissingAsset
from vitra_lib.hands.geometry import HandGeometry
from vitra_lib.hands.mano_file import read_mano_file
from vitra_lib.hands.skeleton import MANO16_PLUS_TIPS_TO_21

MANO_TIP_VERTICES: tuple[int, ...] = (744, 320, 443, 554, 671)
"""MANO's vertices at the tips of thumb, index, middle, ring and pinky."""


class Mano:
    """MANO_RIGHT with rotation matrices (`smplx.MANOLayer`): neither PCA nor the mean pose enters.

    Args:
        path: MANO_RIGHT.pkl or MANO_RIGHT.npz.

    Raises:
        MissingAsset: the file or the package smplx is not there.
        UnsafePickle, BadInput: the file can't be used.
    """

    name = "mano"

    def __init__(self, path: str | Path) -> None:
        arrays = read_mano_file(path)
        try:
            from smplx import MANOLayer
            from smplx.utils import Struct
        except ImportError as error:
            raise MissingAsset("The MANO hand needs the package smplx: pip install smplx.") from error
        with redirect_stdout(io.StringIO()):  # smplx prints that ten betas are few; that is all MANO has
            self._layer = MANOLayer(str(path), data_struct=Struct(**arrays), is_rhand=True, dtype=torch.float64)
        self._layer.requires_grad_(False)
        self.faces: Int[np.ndarray, "faces 3"] = arrays["f"]
        # Rest joints are linear in betas: regressed joints, and tip vertices (no pose blend shape acts at rest).
        regressor = np.concatenate([arrays["J_regressor"], np.eye(len(arrays["v_template"]))[list(MANO_TIP_VERTICES)]])
        regressor = regressor[list(MANO16_PLUS_TIPS_TO_21)]
        self._rest_joints = regressor @ arrays["v_template"]
        self._joint_directions = np.einsum("jv,vcb->bjc", regressor, arrays["shapedirs"])

    def rest_joints(self, betas: Float[np.ndarray, "*batch 10"]) -> Float[np.ndarray, "*batch 21 3"]:
        """Joints of the flat right hand in the template frame [m]; linear in betas.

        Args:
            betas: (..., 10) shape.
        """
        return self._rest_joints + np.einsum("...b,bjc->...jc", betas, self._joint_directions)

    def __call__(self, R_parent_joint: Float[Tensor, "batch 15 3 3"], betas: Float[Tensor, "batch 10"]) -> HandGeometry:
        """Pose the right hand in its template frame, wrist at identity rotation.

        Args:
            R_parent_joint: (B, 15, 3, 3) local rotations, MANO's order; identity = flat hand.
            betas: (B, 10) shape.

        Returns:
            Vertices and 21 joints in the right-hand template frame [m].
        """
        if self._layer.v_template.device != betas.device:
            self._layer.to(betas.device)
        eye = torch.eye(3, dtype=torch.float64, device=betas.device).expand(len(betas), 1, 3, 3)
        out = self._layer(betas=betas.double(), global_orient=eye, hand_pose=R_parent_joint.double())
        joints = torch.cat([out.joints[:, :16], out.vertices[:, list(MANO_TIP_VERTICES)]], dim=1)
        joints = joints[:, list(MANO16_PLUS_TIPS_TO_21)]
        return HandGeometry(out.vertices.to(betas.dtype), joints.to(betas.dtype))
