"""Batches for the policy: square uint8 pictures as its image processor makes them, and labels as tensors."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from vitra_lib.core.errors import BadInput
from vitra_lib.dataset.sample import LabelBatch, Sample

IMAGE_SIZE_PX = 224


@dataclass(frozen=True, eq=False)
class PolicyBatch:
    """What a policy takes. Lengths in metres, angles in radians, or standard deviations if normalised.

    Attributes:
        image: (batch, 3, 224, 224) RGB, squashed to a square; None if the labels alone were asked for.
        instruction: one sentence per sample, "Left hand: … Right hand: …".
        fov_rad: (batch, 2) horizontal and vertical field of view of the picture, which tells how it was squashed.
        action: (batch, steps, 192); zero where masked.
        action_mask: True where the number counts.
        state: (batch, 212); zero where masked.
        state_mask: True where the number is known.
        dataset: (batch,) number of the data set in the mixture.
        name: episode of each sample.
        frame: (batch,) its frame in the episode.
    """

    image: UInt8[Tensor, "batch 3 height width"] | None
    instruction: tuple[str, ...]
    fov_rad: Float[Tensor, "batch 2"]
    action: Float[Tensor, "batch steps 192"]
    action_mask: Bool[Tensor, "batch steps 192"]
    state: Float[Tensor, "batch 212"]
    state_mask: Bool[Tensor, "batch 212"]
    dataset: Int[Tensor, " batch"]
    name: tuple[str, ...]
    frame: Int[Tensor, " batch"]

    def __len__(self) -> int:
        return len(self.instruction)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "PolicyBatch":
        """The same batch with its tensors on a device."""
        return self._mapped(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "PolicyBatch":
        """The same batch in page-locked memory, from which a GPU copies without waiting."""
        return self._mapped(lambda tensor: tensor.pin_memory())

    def _mapped(self, change) -> "PolicyBatch":
        tensors = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{k: change(value) for k, value in tensors.items() if isinstance(value, Tensor)})


def square(image: UInt8[np.ndarray, "height width 3"], size_px: int = IMAGE_SIZE_PX) -> UInt8[Tensor, "3 size size"]:
    """The picture squashed to a square as PaliGemma's processor does: bicubic with prefilter, aspect not kept.

    torch's resize for uint8 is what the processor's fast version uses. PIL, which the slow version uses, takes four
    times as long; one or two values of a thousand differ, by one level (by two where a small picture is enlarged).

    Args:
        image: RGB of any size.
        size_px: side of the square [px].
    """
    planes = torch.from_numpy(np.require(image, requirements=["C", "W"])).permute(2, 0, 1)
    if image.shape[:2] == (size_px, size_px):
        return planes
    return torch.nn.functional.interpolate(planes[None], (size_px, size_px), mode="bicubic", antialias=True)[0]


def batch_of(
    labels: LabelBatch, images: Sequence[UInt8[np.ndarray, "_ _ 3"]] | None, dataset: Int[np.ndarray, " batch"]
) -> PolicyBatch:
    """A batch out of labels and pictures of any sizes.

    Args:
        labels: of all samples.
        images: one per sample, or None.
        dataset: (batch,) number of each sample's data set.
    """
    return PolicyBatch(
        image=None if images is None else _stacked(images),
        instruction=labels.instruction,
        fov_rad=torch.from_numpy(np.ascontiguousarray(labels.fov_rad, np.float32)),
        action=torch.from_numpy(np.ascontiguousarray(labels.action, np.float32)),
        action_mask=torch.from_numpy(np.ascontiguousarray(labels.action_mask)),
        state=torch.from_numpy(np.ascontiguousarray(labels.state, np.float32)),
        state_mask=torch.from_numpy(np.ascontiguousarray(labels.state_mask)),
        dataset=torch.from_numpy(np.array(dataset, np.int64)),
        name=labels.name,
        frame=torch.from_numpy(np.array(labels.frame, np.int64)),
    )


def collate(samples: Sequence[Sample], dataset: int = 0) -> PolicyBatch:
    """A batch out of single samples, for use as `collate_fn` of any loader.

    Raises:
        BadInput: no samples, or some with a picture and some without.
    """
    if not samples:
        raise BadInput("A batch needs at least one sample.")
    missing = sum(sample.image is None for sample in samples)
    if 0 < missing < len(samples):
        raise BadInput(f"{missing} of {len(samples)} samples have no picture: a batch needs one from all or from none.")
    return PolicyBatch(
        image=None if missing else _stacked([sample.image for sample in samples]),
        instruction=tuple(sample.instruction for sample in samples),
        fov_rad=_tensor([sample.fov_rad for sample in samples], np.float32),
        action=_tensor([sample.action for sample in samples], np.float32),
        action_mask=_tensor([sample.action_mask for sample in samples], bool),
        state=_tensor([sample.state for sample in samples], np.float32),
        state_mask=_tensor([sample.state_mask for sample in samples], bool),
        dataset=torch.full((len(samples),), dataset, dtype=torch.int64),
        name=tuple(sample.name for sample in samples),
        frame=torch.tensor([sample.frame for sample in samples], dtype=torch.int64),
    )


def concatenated(parts: Sequence[PolicyBatch]) -> PolicyBatch:
    """Several batches as one, in order."""
    if len(parts) == 1:
        return parts[0]
    values = {}
    for field in fields(PolicyBatch):
        rows = [getattr(part, field.name) for part in parts]
        if isinstance(rows[0], Tensor):
            values[field.name] = torch.cat(rows)
        else:
            values[field.name] = None if rows[0] is None else tuple(item for row in rows for item in row)
    return PolicyBatch(**values)


def _stacked(images: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> UInt8[Tensor, "batch 3 height width"]:
    squares = torch.empty((len(images), 3, IMAGE_SIZE_PX, IMAGE_SIZE_PX), dtype=torch.uint8)
    for row, image in zip(squares, images, strict=True):
        row[:] = square(image)
    return squares


def _tensor(rows: Sequence[np.ndarray], dtype: type) -> Tensor:
    return torch.from_numpy(np.stack(rows).astype(dtype))
