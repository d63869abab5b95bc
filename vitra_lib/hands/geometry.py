"""What a hand model returns: skin and joints in the right-hand template frame."""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor


class HandGeometry(NamedTuple):
    """Posed right hands.

    Attributes:
        vertices: (batch, vert, 3) skin in the right-hand template frame [m].
        joints: (batch, 21, 3) joints in the same frame [m]; the wrist joint is NOT at the origin.
    """

    vertices: Float[Tensor, "batch vert 3"]
    joints: Float[Tensor, "batch 21 3"]
