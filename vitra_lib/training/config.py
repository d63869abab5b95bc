"""What a training run is told: rates, schedule, precision, how often to save and to validate."""

from dataclasses import asdict, dataclass, field, fields
from typing import Any

from vitra_lib.core.errors import BadInput, UnknownName
from vitra_lib.policy.config import LossConfig

FREEZES = ("vision", "nothing", "backbone", "condition")
SCHEDULES = ("constant", "linear-warmup+constant", "linear-warmup+cosine", "backbone-freeze-warmup")
PRECISIONS = ("fp32", "bf16")
PARALLEL = ("none", "ddp", "fsdp")
# What may differ when a run goes on: it says how the work is shared out and watched, not what is learned.
FREE_ON_RESUME = frozenset(
    "accumulation parallel checkpointing compile save_every validate_every log_every validation_batches keep "
    "max_loss_jump wandb_project".split()
)


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW with two rates (spec of training, 6).

    Attributes:
        backbone_lr: rate of the vision-language backbone.
        head_lr: rate of the denoiser, the field-of-view encoder and the cognition token.
        weight_decay: of weights with two or more dimensions; norms and biases never decay.
        beta1, beta2: of AdamW.
        clip_norm: gradients are scaled down to this global norm.
        schedule: "constant", "linear-warmup+constant", "linear-warmup+cosine" (down to a tenth), or
            "backbone-freeze-warmup": the backbone stands still for `warmup_steps`, the rest learns from the start.
        warmup_steps: length of the warm-up.
    """

    backbone_lr: float = 1e-5
    head_lr: float = 1e-4
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.999
    clip_norm: float = 1.0
    schedule: str = "backbone-freeze-warmup"
    warmup_steps: int = 5000

    def __post_init__(self) -> None:
        if self.schedule not in SCHEDULES:
            raise UnknownName("schedule", self.schedule, SCHEDULES)
        if min(self.backbone_lr, self.head_lr, self.weight_decay) < 0 or self.clip_norm <= 0 or self.warmup_steps < 0:
            raise BadInput("Rates, weight decay and warm-up can't be negative, and clip_norm must be positive.")


@dataclass(frozen=True)
class TrainingConfig:
    """One run.

    Attributes:
        steps: optimizer steps of the whole run.
        batch_size: samples per optimizer step, over all processes and accumulation steps.
        accumulation: forward passes per optimizer step.
        optimizer: rates and schedule.
        loss: weights of the components.
        freeze: "vision" (the image tower stands still, as published), "nothing", "backbone" (the denoiser learns alone,
            with the field-of-view encoder and the cognition token), or "condition" (the denoiser learns quite alone,
            which is cheapest: nothing goes backward through the backbone).
        precision: "fp32", or "bf16": the backbone computes in bfloat16; weights and the denoiser stay in float32.
        ema_decay: of an average of the weights that is saved and validated in their place; 0 = none.
        checkpointing: recompute activations of the text tower in the backward pass.
        compile: run the denoiser through torch.compile; the first step then takes about a minute.
        lora_rank: train adapters of this rank in the text tower, whose own weights stand still; 0 = none.
        lora_alpha: adapters are scaled by lora_alpha / lora_rank.
        parallel: "none", "ddp" or "fsdp", with one process per device under torchrun.
        seed: of noise and dropout; the data have their own.
        save_every, validate_every, log_every: in optimizer steps.
        validation_batches: batches per validation.
        keep: newest checkpoints that stay, besides the best.
        max_loss_jump: stop when the loss exceeds this multiple of its running median.
        wandb_project: also log to this project of Weights & Biases; "" = don't.
    """

    steps: int
    batch_size: int
    accumulation: int = 1
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    freeze: str = "vision"
    precision: str = "fp32"
    ema_decay: float = 0.0
    checkpointing: bool = False
    compile: bool = False
    lora_rank: int = 0
    lora_alpha: float = 32.0
    parallel: str = "none"
    seed: int = 0
    save_every: int = 5000
    validate_every: int = 1000
    log_every: int = 10
    validation_batches: int = 8
    keep: int = 2
    max_loss_jump: float = 20.0
    wandb_project: str = ""

    def __post_init__(self) -> None:
        for name, value, legal in (
            ("freeze", self.freeze, FREEZES),
            ("precision", self.precision, PRECISIONS),
            ("parallel", self.parallel, PARALLEL),
        ):
            if value not in legal:
                raise UnknownName(name, value, legal)
        counts = ("steps", "batch_size", "accumulation", "save_every", "validate_every", "log_every", "keep")
        for name in counts:
            if getattr(self, name) < 1:
                raise BadInput(f"{name} is {getattr(self, name)}; it must be at least 1.")
        if self.lora_rank < 0 or self.lora_alpha <= 0:
            raise BadInput(f"lora_rank {self.lora_rank}, lora_alpha {self.lora_alpha}: legal are from 0 and above 0.")
        if not 0.0 <= self.ema_decay < 1.0:
            raise BadInput(f"ema_decay is {self.ema_decay}; it must be in [0, 1), 0 for none (0.999 is usual).")

    def micro_batch(self, world_size: int) -> int:
        """Samples per forward pass of one process.

        Raises:
            BadInput: the batch can't be shared out evenly.
        """
        share, rest = divmod(self.batch_size, self.accumulation * world_size)
        if rest or not share:
            raise BadInput(
                f"A batch of {self.batch_size} can't be split over {world_size} processes × {self.accumulation} "
                "accumulation steps; make it a multiple of their product."
            )
        return share

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "TrainingConfig":
        """The inverse of `to_dict`.

        Raises:
            BadInput: a name that does not exist.
        """
        legal = [item.name for item in fields(cls)]
        if unknown := sorted(set(values) - set(legal)):
            raise UnknownName("training parameter", unknown[0], legal)
        parts = {"optimizer": OptimizerConfig, "loss": LossConfig}
        made = {
            name: parts[name](**value) if name in parts and isinstance(value, dict) else value
            for name, value in values.items()
        }
        return cls(**made)
