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
class Counts:
    """How much there is to learn from; of one batch, or of all that make up one optimizer step.

    Attributes:
        entries: valid numbers of each component.
        rows: valid (sample, step) pairs of each component.
    """

    entries: Float[Tensor, " components"]
    rows: Float[Tensor, " components"]

    @classmethod
    def of(cls, action_mask: Bool[Tensor, "batch chunk dims"]) -> "Counts":
        """Of one batch."""
        parts = [action_mask[..., part] for part in COMPONENTS.values()]
        entries = torch.stack([part.sum() for part in parts])
        # The official code looks at a component's first number. That is the same for masks of whole hands; a robot's
        # fingers need not drive the first one.
        return cls(entries.float(), torch.stack([part.any(-1).sum() for part in parts]).float())

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.entries + other.entries, self.rows + other.rows)

    def times(self, repeats: int) -> "Counts":
        """When every sample is used `repeats` times."""
        return Counts(self.entries * repeats, self.rows * repeats)


@dataclass(frozen=True, eq=False)
class Loss:
    """What one batch cost.

    Attributes:
        total: scalar to go downhill on.
        components: weighted mean squared noise error of each part, by name; 0 where nothing was valid.
    """

    total: Float[Tensor, ""]
    components: dict[str, Float[Tensor, ""]]


def noise_loss(
    predicted: Float[Tensor, "batch chunk dims"],
    noise: Float[Tensor, "batch chunk dims"],
    action_mask: Bool[Tensor, "batch chunk dims"],
    config: LossConfig,
    counts: Counts | None = None,
) -> Loss:
    """Compare predicted with true noise where the action is valid.

    A component is its summed square error over its number of valid entries, times its weight; the total is the mean
    of the components weighted by their valid rows. With nothing valid it is 0 with a zero gradient.

    Args:
        predicted, noise: predicted and true noise.
        action_mask: True where the action is valid.
        config: weights.
        counts: of the whole optimizer step, when this batch is a part of it: the parts' losses then add up to the
            loss of the whole, however it is cut.
    """
    square = (predicted - noise).square() * action_mask
    sums = torch.stack([square[..., part].sum() for part in COMPONENTS.values()])
    weights = [config.wrist_weight if name.endswith("6d") else config.joints_weight for name in COMPONENTS]
    counts = Counts.of(action_mask) if counts is None else counts
    components = sums.new_tensor(weights) * sums / counts.entries.clamp(min=1)
    total = (components * counts.rows).sum() / counts.rows.sum().clamp(min=1)
    return Loss(total, dict(zip(COMPONENTS, components.detach().unbind(), strict=True)))
