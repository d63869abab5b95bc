"""Training parameters of the profiles; everything in them can be overridden."""

from typing import Any

from vitra_lib.core.errors import UnknownName
from vitra_lib.policy.config import PROFILES, LossConfig
from vitra_lib.training.config import OptimizerConfig, TrainingConfig


def preset(profile: str, steps: int) -> dict[str, Any]:
    """Plain values of a `TrainingConfig`.

    Args:
        profile: "paper" is the published configuration, from a pretrained backbone (spec of training, 6); "tiny" and
            "small" start from random weights or from a grounded backbone, so everything in them learns, and faster.
        steps: length of the run.

    Raises:
        UnknownName: no such profile.
    """
    if profile == "paper":
        return TrainingConfig(steps, batch_size=512, precision="bf16", checkpointing=True).to_dict()
    if profile not in PROFILES:
        raise UnknownName("profile", profile, PROFILES)
    is_tiny = profile == "tiny"
    rates = OptimizerConfig(
        backbone_lr=3e-4 if is_tiny else 1e-4,
        head_lr=1e-3 if is_tiny else 3e-4,
        weight_decay=0.01,
        schedule="linear-warmup+cosine",
        warmup_steps=min(20 if is_tiny else 500, max(1, steps // 10)),
    )
    return TrainingConfig(
        steps,
        batch_size=16 if is_tiny else 64,
        optimizer=rates,
        loss=LossConfig(diffusion_repeats=4 if is_tiny else 8),
        freeze="nothing",
        precision="bf16",
        ema_decay=0.98 if is_tiny else 0.999,
        save_every=100 if is_tiny else 1000,
        keep=1 if is_tiny else 2,
    ).to_dict()
