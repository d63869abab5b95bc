"""The training loss: mean squared noise error per component, weighted (spec of the model, 5.5)."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vitra_lib.dataset.action_space import ActionSpace
from vitra_lib.policy.config import LossConfig

_PARTS = ActionSpace("angle").slices
COMPONENTS = {
    f"{side}_hand_{name}": _PARTS[f"{side}_{part}"]
    for side in ("left", "right")
    for name, part in (("6d", "6d"), ("joints", "fingers"))
}


@dataclass(frozen=True, eq=False)
class Loss:
    """What one batch cost.

    Attributes:
        total: scalar to go downhill on.
        components: mean squared noise error of each part, weighted; 0 where nothing was valid.
        rows: valid (sample, step) pairs of each part.
    """

    total: Float[Tensor, ""]
    components: dict[str, Float[Tensor, ""]]
    rows: dict[str, Float[Tensor, ""]]


def noise_loss(
    predicted: Float[Tensor, "batch chunk dims"],
    noise: Float[Tensor, "batch chunk dims"],
    action_mask: Bool[Tensor, "batch chunk dims"],
    config: LossConfig,
) -> Loss:
    """Compare predicted with true noise where the action is valid.

    A component is its summed square error over its number of valid entries, times its weight; the total is the mean
    of the components weighted by their valid rows. With nothing valid it is 0 with a zero gradient.
    """
    square = (predicted - noise).square() * action_mask
    components, rows = {}, {}
    for name, part in COMPONENTS.items():
        weight = config.wrist_weight if name.endswith("6d") else config.joints_weight
        valid = action_mask[..., part]
        components[name] = weight * square[..., part].sum() / valid.sum().clamp(min=1)
        rows[name] = valid[..., 0].sum().to(predicted.dtype)
    weighted = torch.stack([components[name] * rows[name] for name in COMPONENTS]).sum()
    count = torch.stack(list(rows.values())).sum()
    return Loss(weighted / count.clamp(min=1), components, rows)
