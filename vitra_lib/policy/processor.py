"""From pictures and sentences to the tensors the policy sees; the same in training, in prediction and on the robot.

Pictures are squashed to a square of 224 pixels with bicubic resampling, as PaliGemma's own image processor does, then
to the backbone's size if that is another one, and scaled to [-1, 1]; the aspect they lose is told by the field-of-view
token (spec of the model, 5.2 and 5.3).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8

from vitra_lib.core.errors import BadInput
from vitra_lib.dataset.collate import PolicyBatch, square
from vitra_lib.policy.config import BackboneConfig, PolicyConfig
from vitra_lib.policy.policy import PolicyInputs
from vitra_lib.policy.tokenizer import IMAGE_TOKEN, load_tokenizer


class Processor:
    """Turns observations into `PolicyInputs`.

    Attributes:
        vocabulary: number of ids of the tokenizer.
        image_token_id: id of the image placeholder.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """
        Args:
            folder: a PaliGemma checkpoint whose tokenizer is used; the shipped tokenizer when None.
        """
        self._tokenizer = load_tokenizer(folder)
        self.vocabulary = len(self._tokenizer)
        self.image_token_id = self._tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)

    def policy_config(self, profile: str) -> PolicyConfig:
        """The preset of a profile, with this tokenizer's vocabulary."""
        return PolicyConfig.of_profile(profile, self.vocabulary, self.image_token_id)

    def check_fits(self, policy: PolicyConfig) -> None:
        """Refuse a policy that was trained with another tokenizer.

        Raises:
            BadInput: it knows fewer tokens, or another one stands for the picture.
        """
        backbone = policy.backbone
        if self.vocabulary > backbone.vocabulary or self.image_token_id != backbone.image_token_id:
            raise BadInput(
                f"The policy knows {backbone.vocabulary} tokens, this tokenizer has {self.vocabulary}; give "
                "--tokenizer, the folder of the one that it was trained with."
            )

    def tokens(self, instruction: str, limit: int) -> list[int]:
        """Ids of bos, one instruction and a newline.

        Args:
            instruction: any text; runs of white space become one blank.
            limit: largest legal number of ids.

        Raises:
            BadInput: empty, too long, or holding the image placeholder.
        """
        text = " ".join(instruction.split())
        if not text:
            raise BadInput('The instruction is empty; say what the hands shall do ("Right hand: Pick up the cup.").')
        if IMAGE_TOKEN in text:
            raise BadInput(f"The instruction holds {IMAGE_TOKEN}, which stands for the picture; leave it out.")
        ids = self._tokenizer(f"<bos>{text}\n", add_special_tokens=False)["input_ids"]
        if len(ids) > limit:
            raise BadInput(
                f"The instruction has {len(text)} characters, {len(ids)} tokens; the policy takes {limit}: shorten it."
            )
        return ids

    def __call__(
        self,
        config: PolicyConfig,
        images: Sequence[UInt8[np.ndarray, "_ _ 3"]],
        instructions: Sequence[str],
        fov_rad: Float[np.ndarray, "batch 2"],
        state: Float[np.ndarray, "batch state_dim"],
        state_mask: Bool[np.ndarray, "batch state_dim"],
    ) -> PolicyInputs:
        """Build one batch.

        Args:
            config: of the policy: its image size and its longest instruction.
            images: RGB, of any sizes.
            instructions: one sentence per image.
            fov_rad: horizontal and vertical field of view of each image as given [rad].
            state: normalised states.
            state_mask: True where known.

        Returns:
            The inputs, padded on the right.

        Raises:
            BadInput: see `tokens`; states or fields of view that are not finite; lists of different lengths.
        """
        if not len(images) == len(instructions) == len(fov_rad) == len(state) == len(state_mask):
            raise BadInput(
                f"{len(images)} images, {len(instructions)} instructions, {len(state)} states: give as many."
            )
        if not np.isfinite(state[state_mask]).all() or not np.isfinite(fov_rad).all():
            raise BadInput("A state or a field of view is NaN or infinite; mask unknown numbers instead.")
        return PolicyInputs(
            *self._texts(config, instructions),
            pixel_values(images, config.backbone),
            torch.from_numpy(np.asarray(fov_rad, np.float32)),
            torch.from_numpy(np.where(state_mask, state, 0.0).astype(np.float32)),
            torch.from_numpy(np.asarray(state_mask)),
        )

    def of_batch(self, config: PolicyConfig, batch: PolicyBatch) -> PolicyInputs:
        """The inputs of a training batch.

        Raises:
            BadInput: see `tokens`; a batch without pictures.
        """
        if batch.image is None:
            raise BadInput("A policy can't learn from labels alone: load the batch with its images.")
        pixels = batch_pixel_values(batch.image, config.backbone)
        texts = [tensor.to(pixels.device) for tensor in self._texts(config, batch.instruction)]
        return PolicyInputs(*texts, pixels, batch.fov_rad, batch.state, batch.state_mask)

    def _texts(self, config: PolicyConfig, instructions: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Ids and attention mask of image placeholders and sentences, padded on the right."""
        picture = [self.image_token_id] * config.backbone.image_tokens
        rows = [picture + self.tokens(text, config.max_instruction_tokens) for text in instructions]
        longest = max(map(len, rows))
        ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
        return ids, torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])


def pixel_values(
    images: Sequence[UInt8[np.ndarray, "_ _ 3"]], config: BackboneConfig
) -> Float[torch.Tensor, "batch 3 size size"]:
    """Images squashed to the backbone's square and scaled to [-1, 1]; the same as `batch_pixel_values` of a batch."""
    return batch_pixel_values(torch.stack([square(image) for image in images]), config)


def batch_pixel_values(
    squares: UInt8[torch.Tensor, "batch 3 side side"], config: BackboneConfig
) -> Float[torch.Tensor, "batch 3 size size"]:
    """Square images of a training batch at the backbone's size, scaled to [-1, 1]."""
    size = config.image_size_px
    if squares.shape[-1] != size:
        squares = torch.nn.functional.interpolate(squares, (size, size), mode="bicubic", antialias=True)
    return squares.float() / 127.5 - 1.0
