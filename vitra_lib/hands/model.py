"""The hand model that everything else sees, and the one place that chooses between stand-in and MANO."""

from functools import lru_cache
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from vitra_lib.core.errors import MissingAsset, UnknownName
from vitra_lib.hands.geometry import HandGeometry

__all__ = ["HAND_MODELS", "HandGeometry", "HandModel", "load_hand_model"]

HAND_MODELS: tuple[str, ...] = ("standin", "mano")


@runtime_checkable
class HandModel(Protocol):
    """A right hand with MANO's layout. Left hands come from `posed.pose_hand`, which owns the mirror.

    Attributes:
        name: "standin" or "mano"; `betas` only mean something together with it.
        faces: (faces, 3) outward-oriented triangles of the right hand.
    """

    name: str
    faces: Int[np.ndarray, "faces 3"]

    def rest_joints(self, betas: Float[np.ndarray, "*batch 10"]) -> Float[np.ndarray, "*batch 21 3"]:
        """Joints of the flat right hand in the template frame [m]."""
        ...

    def __call__(self, R_parent_joint: Float[Tensor, "batch 15 3 3"], betas: Float[Tensor, "batch 10"]) -> HandGeometry:
        """Posed right hands in the template frame [m], wrist at identity rotation."""
        ...


@lru_cache(maxsize=8)
def load_hand_model(
    name: str = "standin", mano_path: str | Path | None = None, with_forearm: bool = False
) -> HandModel:
    """Load a hand model by name; loaded models are shared, so treat them as read-only.

    Args:
        name: "standin" (ships with the project) or "mano" (the user's licensed MANO_RIGHT file).
        mano_path: MANO_RIGHT.pkl or .npz; needed for "mano" only.
        with_forearm: stand-in only: the skin includes 25.5 cm of forearm.

    Raises:
        UnknownName: `name` is neither.
        MissingAsset: "mano" without a file.
    """
    if name == "standin":
        from vitra_lib.hands.standin import StandinHand

        return StandinHand(with_forearm)
    if name == "mano":
        from vitra_lib.hands.mano import Mano

        if mano_path is None:
            raise MissingAsset(
                "The MANO hand needs your own MANO_RIGHT.pkl: register at mano.is.tue.mpg.de, accept the licence, "
                "download 'Models & Code', and give the path of MANO_RIGHT.pkl; or use the hand model 'standin'."
            )
        return Mano(mano_path)
    raise UnknownName("hand model", name, HAND_MODELS)
