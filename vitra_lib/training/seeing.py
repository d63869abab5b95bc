"""The two things that a backbone from random weights has to learn before anything is denoised, each with its loss.

The paper starts from PaliGemma: an image tower that had learned to match pictures and words, and a text tower that had
learned to answer. Diffusion alone teaches neither within minutes: the gradient of "which picture is this" drowns in
the noise that is to be predicted. Two short stages stand in for that pretraining, and claim nothing about it:

- **seeing** (`Seeing`): the image tower and its projector alone, which is cheap. Each token of the picture says whether
  it shows a thing, which words name it (by its product with the words' own embeddings), and where it stands.
- **binding** (`Binding`): the whole backbone. The sentence names one of several things. Half-way up the text tower the
  tokens of the picture mark the named one and say where it stands, so that the cognition token has something to look
  at; at the top the cognition feature says where it stands.

The linear layers for this are thrown away afterwards. Labels are pictures with the names and places of things.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vitra_lib.policy.policy import Policy
from vitra_lib.policy.processor import Processor, pixel_values
from vitra_lib.training.pictures import PictureBatch, PictureTargets

_IN_SIGHT = 4.0  # a token with a quarter of a thing's share, or more, shows it for sure
_SHOWS_WEIGHT = 5.0
_FIRST_SHARPNESS = 4.0
_LOCAL_PLACE_WEIGHT = 0.3


class Seeing(nn.Module):
    """The image tower with the layers of the seeing stage."""

    def __init__(
        self, policy: Policy, processor: Processor, sentences: Sequence[Sequence[str]], generator: torch.Generator
    ) -> None:
        """
        Args:
            policy: whose image tower, projector and word embedding learn.
            processor: tokens of the sentences.
            sentences: all that will be read; words that are in every one of them name nothing.
            generator: draws the weights of the layers that are thrown away.
        """
        super().__init__()
        self._config, self._processor = policy.config, processor
        self.tower = policy.backbone.model.vision_tower
        self.projector = policy.backbone.model.multi_modal_projector
        self.words = policy.backbone.model.get_input_embeddings()
        self.sharpness = nn.Parameter(torch.tensor(_FIRST_SHARPNESS))
        self.says = _small_linear(policy.config.backbone.width, 4, generator)
        read = {text: self._ids(text) for text in sorted({text for row in sentences for text in row})}
        common = set.intersection(*map(set, read.values()))
        self._names = {text: [token for token in ids if token not in common] for text, ids in read.items()}
        self._known = sorted({token for ids in self._names.values() for token in ids})

    def loss(self, batch: PictureBatch, targets: PictureTargets, in_bf16: bool) -> Tensor:
        """Shows a thing or not, its words, its place; in the unit of cross-entropies and squared deviations."""
        device = self.sharpness.device
        with torch.autocast(device.type, torch.bfloat16, enabled=in_bf16):
            pixels = pixel_values(list(batch.images), self._config.backbone).to(device)
            tokens = self.projector(self.tower(pixels).last_hidden_state)
        tokens = tokens.float()
        said = self.says(tokens)
        seen = targets.shares.sum(-1).sum().clamp(min=1)
        shows = (_IN_SIGHT * targets.shares.sum(1)).clamp(max=1)
        loss = _SHOWS_WEIGHT * F.binary_cross_entropy_with_logits(said[..., 0], shows)
        error = (said[:, None, :, 1:] - targets.places[:, :, None]).square().mean(-1)
        loss = loss + (targets.shares * error).sum() / seen
        if self._known:
            vectors = self.words.weight[torch.tensor(self._known, device=device)].float()
            likely = (self.sharpness * tokens @ vectors.T).log_softmax(-1)
            loss = loss - torch.einsum("btn,btw,bnw->", targets.shares, self._wanted(batch).to(device), likely) / seen
        return loss

    def _ids(self, text: str) -> list[int]:
        return self._processor.tokens(text, self._config.max_instruction_tokens)

    def _wanted(self, batch: PictureBatch) -> Float[Tensor, "batch things words"]:
        """Each thing's words, in equal shares; none for a thing without a name of its own."""
        wanted = np.zeros((*batch.places_cam.shape[:2], len(self._known)), np.float32)
        for row, sentences in enumerate(batch.sentences):
            for thing, text in enumerate(sentences):
                names = self._names[text]
                for token in names:
                    wanted[row, thing, self._known.index(token)] += 1 / len(names)
        return torch.from_numpy(wanted)


class Binding(nn.Module):
    """The backbone with the layers of the grounding stage."""

    def __init__(self, policy: Policy, processor: Processor, generator: torch.Generator) -> None:
        """
        Args:
            policy: whose backbone learns.
            processor: from pictures and sentences to tensors.
            generator: draws the weights of the layers that are thrown away.
        """
        super().__init__()
        self._config, self._processor = policy.config, processor
        self.backbone = policy.backbone
        width = policy.config.backbone.width
        self.place = _small_linear(width, 3, generator)
        self.mark, self.top_mark = _small_linear(width, 1, generator), _small_linear(width, 1, generator)
        self.local_place = _small_linear(width, 3, generator)

    def loss(self, batch: PictureBatch, targets: PictureTargets, in_bf16: bool) -> Tensor:
        """Place of the named thing out of the cognition feature; its marks and place in the tokens of the picture."""
        cognition, top, middle = self._tokens(batch, in_bf16)
        rows = torch.arange(len(batch))
        share, place = targets.shares[rows, batch.asked], targets.places[rows, batch.asked]
        seen = share.sum().clamp(min=1)
        loss = (self.place(cognition) - place).square().mean()
        for layer, tokens in ((self.mark, middle), (self.top_mark, top)):
            loss = loss - (share * layer(tokens)[..., 0].log_softmax(-1)).sum() / seen
        error = (self.local_place(middle) - place[:, None]).square().mean(-1)
        return loss + _LOCAL_PLACE_WEIGHT * (share * error).sum() / seen

    def answer(self, batch: PictureBatch, in_bf16: bool) -> Float[Tensor, "batch 3"]:
        """Where the cognition feature says the named things are, in deviations."""
        return self.place(self._tokens(batch, in_bf16)[0])

    def _tokens(self, batch: PictureBatch, in_bf16: bool) -> tuple[Tensor, Tensor, Tensor]:
        """The cognition feature; the tokens of the picture at the top and half-way up the text tower."""
        kept: list[Tensor] = []
        layers = self.backbone.model.language_model.layers
        hook = layers[(len(layers) - 1) // 2].register_forward_hook(
            lambda _module, _inputs, out: kept.append(out[0] if isinstance(out, tuple) else out)
        )
        texts = [sentences[thing] for sentences, thing in zip(batch.sentences, batch.asked, strict=True)]
        nothing, unknown = np.zeros((len(batch), 1)), np.zeros((len(batch), 1), bool)
        made = self._processor(self._config, list(batch.images), texts, batch.fov_rad, nothing, unknown)
        inputs = made.to(self.place.weight.device)
        try:
            with torch.autocast(inputs.input_ids.device.type, torch.bfloat16, enabled=in_bf16):
                tokens = self.backbone.tokens(
                    inputs.input_ids, inputs.attention_mask, inputs.pixel_values, inputs.fov_rad
                )
        finally:
            hook.remove()
        count = self.backbone.config.image_tokens
        return tokens[:, -1].float(), tokens[:, :count].float(), kept[0][:, :count].float()


def _small_linear(width: int, numbers: int, generator: torch.Generator) -> nn.Linear:
    """A linear layer that begins by saying almost nothing."""
    layer = nn.Linear(width, numbers)
    with torch.no_grad():
        layer.weight.copy_(0.02 * torch.randn(layer.weight.shape, generator=generator))
        layer.bias.zero_()
    return layer
