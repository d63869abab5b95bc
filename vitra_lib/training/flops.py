"""How much arithmetic a training sample takes, counted from shapes, and how much this machine could do.

A product of (m, k) and (k, n) is 2·m·k·n operations. Backward costs as much as forward for the gradient of the
input, and as much again for that of the weight; what stands still is not charged. Activations that are computed twice
because of checkpointing are not charged either: the figure is of useful work.
"""

import time

import torch

from vitra_lib.policy.backbone import LEARNED_TOKENS
from vitra_lib.policy.config import BackboneConfig, DenoiserConfig, PolicyConfig
from vitra_lib.policy.denoiser import TIME_FREQUENCIES

_PEAK_SIZE_CPU, _PEAK_SIZE = 512, 8192
_PEAK_REPEATS = 20  # on a busy machine few of them run undisturbed


def training_flops(config: PolicyConfig, text_tokens: int, repeats: int, freeze: str) -> float:
    """Operations of forward and backward for one sample.

    Args:
        config: sizes.
        text_tokens: of the sentence, with bos and newline.
        repeats: passes through the denoiser.
        freeze: as in `TrainingConfig`.
    """
    vision, text = vision_flops(config.backbone), text_flops(config.backbone, text_tokens)
    vision_times = 3 if freeze == "nothing" else 1
    # The learned tokens of a backbone that stands still need gradients that go through all layers.
    text_times = {"backbone": 2, "condition": 1}.get(freeze, 3)
    return vision_times * vision + text_times * text + 3 * repeats * denoiser_flops(config.denoiser)


def vision_flops(config: BackboneConfig) -> float:
    """Forward of the image tower for one image."""
    tokens, width = config.image_tokens, config.vision_width
    layer = _products(tokens, 4 * width * width + 2 * width * config.vision_mlp) + _attention(tokens, width)
    return _products(tokens, 3 * config.patch_size_px**2 * width) + config.vision_depth * layer


def text_flops(config: BackboneConfig, text_tokens: int) -> float:
    """Forward of projector, learned tokens and text tower for one sample."""
    tokens, width = config.image_tokens + text_tokens + LEARNED_TOKENS, config.width
    inner, shared = config.heads * config.head_dim, config.kv_heads * config.head_dim
    weights = 2 * width * inner + 2 * width * shared + 3 * width * config.mlp
    layer = _products(tokens, weights) + _attention(tokens, inner)
    learned = _products(1, 2 * width + width * width)
    return _products(config.image_tokens, config.vision_width * width) + learned + config.depth * layer


def denoiser_flops(config: DenoiserConfig) -> float:
    """Forward of the denoiser for one noisy chunk."""
    width, tokens = config.width, config.context_tokens + config.chunk
    block = _products(tokens, 12 * width * width) + _attention(tokens, width) + _products(1, 6 * width * width)
    embedders = _products(config.chunk, 2 * config.action_dim * width + width * width)
    embedders += _products(1, TIME_FREQUENCIES * width + width * width + config.condition_width * width)
    if config.uses_state:
        embedders += _products(1, 2 * config.state_dim * 4 * width + 4 * width * width + width * width)
    final = _products(config.chunk, width * config.action_dim) + _products(1, 2 * width * width)
    return embedders + config.depth * block + final


def measured_peak(device: torch.device, dtype: torch.dtype) -> float:
    """Operations per second of a large matrix product here and now: the best of some."""
    size = _PEAK_SIZE_CPU if device.type == "cpu" else _PEAK_SIZE
    factors = [torch.ones(size, size, device=device, dtype=dtype) for _ in range(2)]
    best = float("inf")
    for _ in range(_PEAK_REPEATS):
        began = time.perf_counter()
        float((factors[0] @ factors[1])[0, 0])  # reading a value waits for the device
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best


def _products(tokens: int, weights: int) -> float:
    """Every token times this many weights."""
    return 2.0 * tokens * weights


def _attention(tokens: int, width: int) -> float:
    """Scores and mixing of all pairs."""
    return 4.0 * tokens * tokens * width
