"""The vision-language backbone: PaliGemma-2 through the public classes of transformers (paper section 3.2).

The sequence is [image tokens][bos][instruction][newline][field of view][cognition]. All valid tokens see each other;
positions count from 1; the last token's final hidden state is the cognition feature (spec of the model, 5.3).
"""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vitra_lib.core.errors import MissingAsset
from vitra_lib.policy.config import BackboneConfig

if TYPE_CHECKING:
    from transformers import PaliGemmaConfig, PaliGemmaModel

_log = logging.getLogger(__name__)
LEARNED_TOKENS = 2  # field of view, cognition


def paligemma_config(config: BackboneConfig) -> "PaliGemmaConfig":
    """The same sizes as transformers names them."""
    from transformers import PaliGemmaConfig

    text = {
        "model_type": "gemma2",
        "hidden_size": config.width,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_dim,
        "intermediate_size": config.mlp,
        "vocab_size": config.vocabulary,
        "query_pre_attn_scalar": config.query_scale,
        "attn_logit_softcapping": config.attention_softcap,
        "sliding_window": 4096,
        "rms_norm_eps": 1e-6,
        "hidden_activation": "gelu_pytorch_tanh",
        "pad_token_id": 0,
    }
    vision = {
        "model_type": "siglip_vision_model",
        "hidden_size": config.vision_width,
        "num_hidden_layers": config.vision_depth,
        "num_attention_heads": config.vision_heads,
        "intermediate_size": config.vision_mlp,
        "image_size": config.image_size_px,
        "patch_size": config.patch_size_px,
        "projection_dim": config.width,
        "hidden_act": "gelu_pytorch_tanh",
        "layer_norm_eps": 1e-6,
        "vision_use_head": False,
    }
    return PaliGemmaConfig(
        text_config=text,
        vision_config=vision,
        image_token_index=config.image_token_id,
        projection_dim=config.width,
        hidden_size=config.width,
    )


class Backbone(nn.Module):
    """From image, instruction and field of view to one cognition feature."""

    def __init__(self, config: BackboneConfig, model: "PaliGemmaModel | None" = None) -> None:
        """
        Args:
            config: sizes.
            model: a ready PaliGemma to wrap; one with random weights when None.
        """
        from transformers import PaliGemmaModel

        super().__init__()
        self.config = config
        self.model = PaliGemmaModel(paligemma_config(config)) if model is None else model
        width = config.width
        self.fov_encoder = nn.Module()
        self.fov_encoder.projector = nn.Sequential(nn.Linear(2, width), nn.GELU(), nn.Linear(width, width))
        for parameter in self.fov_encoder.parameters():
            nn.init.normal_(parameter, std=0.02)
        embedding = self.model.get_input_embeddings().weight
        self.cognition_token = nn.Parameter(embedding[config.cognition_init_id].detach().clone())

    @classmethod
    def from_pretrained(cls, folder: Path, config: BackboneConfig) -> "Backbone":
        """Wrap a PaliGemma checkpoint that lies on disk; nothing is downloaded.

        Raises:
            MissingAsset: no checkpoint there.
        """
        from transformers import PaliGemmaModel

        if not (folder / "config.json").is_file():
            raise MissingAsset(
                f"No PaliGemma checkpoint in {folder} (config.json is missing); download google/paligemma2-3b-mix-224 "
                "with your own account and give its folder. `vitra assets explain paligemma2` says how."
            )
        return cls(config, PaliGemmaModel.from_pretrained(folder, local_files_only=True))

    def forward(
        self,
        input_ids: Int[Tensor, "batch text"],
        attention_mask: Int[Tensor, "batch text"],
        pixel_values: Float[Tensor, "batch 3 size size"],
        fov_rad: Float[Tensor, "batch 2"],
    ) -> Float[Tensor, "batch width"]:
        """The cognition feature: the final hidden state at the last token (see `tokens`)."""
        return self.tokens(input_ids, attention_mask, pixel_values, fov_rad)[:, -1]

    def tokens(
        self,
        input_ids: Int[Tensor, "batch text"],
        attention_mask: Int[Tensor, "batch text"],
        pixel_values: Float[Tensor, "batch 3 size size"],
        fov_rad: Float[Tensor, "batch 2"],
    ) -> Float[Tensor, "batch token width"]:
        """Final hidden states of all tokens, those of the picture first and the cognition token last.

        Args:
            input_ids: image placeholders, then bos, instruction and newline; padding anywhere.
            attention_mask: 1 where a token counts.
            pixel_values: images scaled to [-1, 1].
            fov_rad: full horizontal and vertical field of view of the image as it was given [rad].

        Returns:
            Hidden states; they do not depend on how much padding there is.
        """
        words = self.model.get_input_embeddings()(input_ids)
        batch, width = len(words), words.shape[-1]
        fov = self.fov_encoder.projector(fov_rad.to(self.fov_encoder.projector[0].weight.dtype))
        learned = torch.stack([fov, self.cognition_token.expand(batch, -1)], 1)
        # transformers 5 scales word embeddings inside the embedding; what bypasses it is scaled here.
        embeds = torch.cat([words, learned.to(words.dtype) * width**0.5], 1)
        mask = torch.cat([attention_mask, attention_mask.new_ones(batch, LEARNED_TOKENS)], 1)
        out = self.model(
            inputs_embeds=embeds,
            pixel_values=pixel_values,
            attention_mask=mask,
            token_type_ids=torch.zeros_like(mask),  # all prefix: without it the attention is causal
            position_ids=mask.cumsum(1).clamp(min=1),
            use_cache=False,
        )
        return out.last_hidden_state
