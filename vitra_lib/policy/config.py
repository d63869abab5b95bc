"""Sizes of the policy: the vision-language backbone, the denoiser, and both at the profiles tiny, small and paper.

The paper's policy is PaliGemma-2 3B at 224 pixels with a DiT-B action head (spec of the model, 5.1 to 5.4). The other
profiles keep every mechanism and shrink the widths.
"""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from vitra_lib.core.errors import BadInput, UnknownName
from vitra_lib.dataset.action_space import UNIFIED_ACTION, UNIFIED_STATE

CHUNK = 16
PROFILES = ("tiny", "small", "paper")

_LARGEST_SIZE = 1 << 20
QK_NORMS = ("rms", "timm-0.9.10")
_DENOISERS = {"T": (256, 3, 4), "S": (384, 6, 4), "M": (384, 12, 6), "B": (768, 12, 12), "L": (1024, 24, 16)}


@dataclass(frozen=True)
class BackboneConfig:
    """Sizes of the PaliGemma-2 backbone: a SigLIP image tower, a linear projector, and a Gemma-2 text tower.

    Attributes:
        image_size_px: side of the square input image; a multiple of `patch_size_px`.
        patch_size_px: side of an image patch; each patch becomes one token.
        vision_width, vision_depth, vision_heads, vision_mlp: the image tower.
        width, depth, heads, kv_heads, head_dim, mlp: the text tower; `width` is the condition the denoiser receives.
        vocabulary: rows of the word embedding; at least the tokenizer's length.
        image_token_id: id of the `<image>` placeholder.
        attention_softcap: Gemma-2's soft-capping of attention logits.
        query_scale: attention logits are divided by the square root of this (`query_pre_attn_scalar`).
        cognition_init_id: embedding row whose copy starts the cognition token (10 in the official configuration).
    """

    image_size_px: int
    vision_width: int
    vision_depth: int
    vision_heads: int
    vision_mlp: int
    width: int
    depth: int
    heads: int
    kv_heads: int
    head_dim: int
    mlp: int
    vocabulary: int
    image_token_id: int
    patch_size_px: int = 14
    attention_softcap: float = 50.0
    query_scale: int = 256
    cognition_init_id: int = 10

    def __post_init__(self) -> None:
        if self.image_size_px % self.patch_size_px:
            raise BadInput(
                f"image_size_px {self.image_size_px} is not a multiple of the patch size {self.patch_size_px}; "
                f"use {self.image_size_px // self.patch_size_px * self.patch_size_px}."
            )
        if not 0 <= self.cognition_init_id < self.vocabulary or not 0 <= self.image_token_id < self.vocabulary:
            raise BadInput(
                f"Token ids {self.cognition_init_id} and {self.image_token_id} must be below the vocabulary's size "
                f"{self.vocabulary}."
            )

    @property
    def image_tokens(self) -> int:
        """Number of tokens that one image becomes."""
        return (self.image_size_px // self.patch_size_px) ** 2

    @classmethod
    def tiny(cls, vocabulary: int, image_token_id: int) -> "BackboneConfig":
        """Two-layer towers at 112 pixels: trains in minutes on two cores."""
        return cls(112, 128, 2, 4, 512, 192, 2, 4, 1, 48, 768, vocabulary, image_token_id, query_scale=48)

    @classmethod
    def small(cls, vocabulary: int, image_token_id: int) -> "BackboneConfig":
        """Towers of four and six layers at 168 pixels: one GPU, or a patient CPU."""
        return cls(168, 256, 4, 4, 1024, 320, 6, 5, 1, 64, 1280, vocabulary, image_token_id, query_scale=64)

    @classmethod
    def paper(cls) -> "BackboneConfig":
        """PaliGemma-2 3B at 224 pixels, as published (spec of the model, 5.2)."""
        return cls(224, 1152, 27, 16, 4304, 2304, 26, 8, 4, 256, 9216, 257216, 257152)


@dataclass(frozen=True)
class DenoiserConfig:
    """Sizes of the causal diffusion transformer (spec of the model, 5.4).

    Attributes:
        width, depth, heads: of the transformer.
        condition_width: width of the cognition feature (the backbone's `width`).
        action_dim, state_dim, chunk: shape of what is denoised and of the state.
        is_causal: token i attends to tokens up to i; False is the paper's bidirectional ablation.
        uses_state: whether a state token is given.
        qk_norm: "timm-0.9.10" divides queries and keys by the root of their unbiased variance about the mean, which
            is what the released weights were trained with; "rms" divides by the root mean square.
        condition_dropout: probability in training that the condition is replaced by the learned `uncondition`.
    """

    width: int
    depth: int
    heads: int
    condition_width: int
    action_dim: int = UNIFIED_ACTION
    state_dim: int = UNIFIED_STATE
    chunk: int = CHUNK
    is_causal: bool = True
    uses_state: bool = True
    qk_norm: str = "timm-0.9.10"
    condition_dropout: float = 0.1

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise BadInput(f"Denoiser width {self.width} is not a multiple of its {self.heads} heads.")
        if self.qk_norm not in QK_NORMS:
            raise UnknownName("qk_norm", self.qk_norm, QK_NORMS)
        if not 0.0 <= self.condition_dropout < 1.0:
            raise BadInput(f"condition_dropout is {self.condition_dropout}; it must be in [0, 1).")

    @property
    def context_tokens(self) -> int:
        """Tokens before the actions: the condition, and the state if used."""
        return 1 + self.uses_state

    @classmethod
    def of_size(cls, size: str, condition_width: int, **changes: Any) -> "DenoiserConfig":
        """One of the published sizes: DiT-T, -S, -M, -B (the paper's) or -L."""
        if size not in _DENOISERS:
            raise UnknownName("denoiser size", size, _DENOISERS)
        width, depth, heads = _DENOISERS[size]
        return cls(width, depth, heads, condition_width, **changes)


@dataclass(frozen=True)
class PolicyConfig:
    """The whole policy.

    Attributes:
        profile: name of the preset this came from; kept in checkpoints.
        backbone, denoiser: their sizes.
        max_instruction_tokens: longer instructions are refused.
    """

    profile: str
    backbone: BackboneConfig
    denoiser: DenoiserConfig
    max_instruction_tokens: int = 256

    def __post_init__(self) -> None:
        if self.denoiser.condition_width != self.backbone.width:
            raise BadInput(
                f"The denoiser expects a condition of {self.denoiser.condition_width} numbers, the backbone gives "
                f"{self.backbone.width}; make them equal."
            )

    @classmethod
    def of_profile(cls, profile: str, vocabulary: int = 0, image_token_id: int = 0) -> "PolicyConfig":
        """A preset.

        Args:
            profile: tiny | small | paper.
            vocabulary, image_token_id: of the tokenizer (`Processor`); PaliGemma's own at `paper`.

        Raises:
            BadInput: unknown profile.
        """
        if profile == "paper":
            backbone, size = BackboneConfig.paper(), "B"
        elif profile == "small":
            backbone, size = BackboneConfig.small(vocabulary, image_token_id), "S"
        elif profile == "tiny":
            backbone, size = BackboneConfig.tiny(vocabulary, image_token_id), "T"
        else:
            raise UnknownName("profile", profile, PROFILES)
        return cls(profile, backbone, DenoiserConfig.of_size(size, backbone.width))

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and names, for a checkpoint's JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "PolicyConfig":
        """The inverse of `to_dict`; an unknown or missing field is refused by name."""
        try:
            backbone = BackboneConfig(**_believable(values["backbone"], BackboneConfig))
            denoiser = DenoiserConfig(**_believable(values["denoiser"], DenoiserConfig))
            rest = {name: value for name, value in values.items() if name not in ("backbone", "denoiser")}
            return cls(backbone=backbone, denoiser=denoiser, **rest)
        except (KeyError, TypeError) as error:
            raise BadInput(f"The policy's configuration can't be read: {error}; was it made by this version?") from None

    def bidirectional(self) -> "PolicyConfig":
        """The same policy with the ablation's bidirectional denoiser."""
        return replace(self, denoiser=replace(self.denoiser, is_causal=False))


def _believable(values: dict[str, Any], kind: type) -> dict[str, Any]:
    """Sizes from a file, checked before anything is made of them."""
    if not isinstance(values, dict):
        raise TypeError(f"{kind.__name__} is no set of names and values")
    sizes = {item.name for item in fields(kind) if item.type is int}
    for name in sizes & values.keys():
        value, least = values[name], 0 if name.endswith("_id") else 1
        if type(value) is not int or not least <= value <= _LARGEST_SIZE:
            raise TypeError(f"{name} is {str(value)[:40]!r}, legal are whole numbers from {least} to {_LARGEST_SIZE}")
    return values


@dataclass(frozen=True)
class SamplingConfig:
    """How actions are drawn.

    Attributes:
        steps: DDIM steps; any for which a whole stride through the 100 training steps exists (10 in the paper).
        guidance: classifier-free guidance scale (5.0 official); 1.0 means the conditional prediction alone.
        samples: draws per image; they share one pass of the backbone.
        seed: of the start noise.
    """

    steps: int = 10
    guidance: float = 5.0
    samples: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise BadInput(f"samples is {self.samples}; at least one must be drawn.")
        if not 0.0 <= self.guidance <= 100.0:
            raise BadInput(f"guidance is {self.guidance}; it must be in [0, 100] (1 = no guidance, 5 = official).")


@dataclass(frozen=True)
class LossConfig:
    """Weights of the loss components (spec of the model, 5.5).

    Attributes:
        wrist_weight: of the six wrist numbers of each hand.
        joints_weight: of the 45 finger angles of each hand.
        diffusion_repeats: noise draws per sample that share one pass of the backbone.
    """

    wrist_weight: float = 1.0
    joints_weight: float = 1.0
    diffusion_repeats: int = 8

    @classmethod
    def human(cls) -> "LossConfig":
        """Pretraining on hands: both 1.0, eight repeats."""
        return cls()

    @classmethod
    def robot(cls) -> "LossConfig":
        """Fine-tuning on a robot: 1.6 and 0.4, two repeats."""
        return cls(1.6, 0.4, 2)
