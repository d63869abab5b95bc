"""What a run says of itself: log.jsonl always, TensorBoard where it is installed, Weights & Biases if asked."""

import importlib.util
import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from vitra_lib.core.devices import peak_memory_bytes
from vitra_lib.core.errors import MissingAsset
from vitra_lib.training.config import TrainingConfig
from vitra_lib.training.flops import measured_peak
from vitra_lib.training.parallel import Ranks
from vitra_lib.training.run_folder import RunFolder

_log = logging.getLogger(__name__)


@dataclass
class Meter:
    """Running account of time and work since the run was started or resumed.

    Attributes:
        peak_flops: operations per second that all processes together could do.
        began: when the account was opened [s].
        samples: that were trained on since, over all processes.
        flops: useful operations of those samples.
        wait_s: time in which this process waited for data [s].
    """

    peak_flops: float
    began: float = field(default_factory=time.perf_counter)
    samples: int = 0
    flops: float = 0.0
    wait_s: float = 0.0

    @classmethod
    def of_device(cls, ranks: Ranks, precision: str) -> "Meter":
        """A new account, with the peak measured by a short matrix product on this device."""
        peak = measured_peak(ranks.device, torch.bfloat16 if precision == "bf16" else torch.float32)
        return cls(peak * ranks.world_size)

    def add(self, samples: int, flops: float, wait_s: float) -> None:
        """One step."""
        self.samples += samples
        self.flops += flops
        self.wait_s += wait_s

    def figures(self, device: torch.device) -> dict[str, float]:
        """Samples per second, share of time waited for data, model FLOPs utilisation, and peak memory."""
        elapsed = time.perf_counter() - self.began
        return {
            "samples_per_s": self.samples / elapsed,
            "data_wait": self.wait_s / elapsed,
            "mfu": self.flops / elapsed / self.peak_flops,
            "peak_memory_gb": peak_memory_bytes(device) / 1e9,
        }


class RunLog:
    """Where the figures of a run go; only the first process writes."""

    def __init__(self, folder: RunFolder, config: TrainingConfig, ranks: Ranks) -> None:
        """
        Args:
            folder: of the run; TensorBoard's files go to `tensorboard/` in it.
            config: of the training; names the Weights & Biases project, if any.
            ranks: this process's place.

        Raises:
            MissingAsset: Weights & Biases is asked for and not installed.
        """
        self._folder, self._ranks = folder, ranks
        self._project = config.wandb_project
        self._board: Any = None
        self._wandb: Any = None
        if self._project and importlib.util.find_spec("wandb") is None:
            raise MissingAsset(
                "Logging to Weights & Biases needs its package: `pip install wandb`, or leave wandb_project empty; "
                "log.jsonl holds the same figures."
            )

    def start(self, step: int) -> None:
        """Open the writers at a step; what they hold of later steps is taken back."""
        if not self._ranks.is_first:
            return
        self._board = _tensorboard(self._folder, step)
        if self._project:
            import wandb

            self._wandb = wandb.init(
                project=self._project,
                id=self._folder.folder.resolve().name,
                dir=str(self._folder.folder),
                resume="allow",
            )

    def write(self, line: Mapping[str, Any]) -> None:
        """Add one line; "step" counts the steps before it."""
        self._folder.log(dict(line))
        flat = _flat(line)
        if self._board is not None:
            for name, value in flat.items():
                self._board.add_scalar(name, value, line["step"])
        if self._wandb is not None:
            self._wandb.log(flat, step=line["step"])

    def close(self, figures: Mapping[str, float]) -> None:
        """Say how the run went, and close the writers."""
        if not self._ranks.is_first:
            return
        _log.info("%s", summary(figures))
        for writer, leave in ((self._board, "close"), (self._wandb, "finish")):
            if writer is not None:
                getattr(writer, leave)()
        self._board = self._wandb = None


def summary(figures: Mapping[str, float]) -> str:
    """One line for people."""
    return (
        f"{figures['samples_per_s']:.1f} samples/s, data wait {100 * figures['data_wait']:.1f} %, "
        f"MFU {100 * figures['mfu']:.1f} %, peak memory {figures['peak_memory_gb']:.2f} GB"
    )


def _tensorboard(folder: RunFolder, step: int) -> Any:
    """A writer of TensorBoard, or None where it is not installed or not with a protobuf that it takes."""
    if importlib.util.find_spec("tensorboard") is None:
        return None
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        _log.warning("TensorBoard is installed but can't be used (%s); log.jsonl holds the same figures.", error)
        return None
    return SummaryWriter(str(folder.folder / "tensorboard"), purge_step=step)


def _flat(line: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Finite numbers of a nested line, names joined by "/"; the step itself left out."""
    values: dict[str, float] = {}
    for name, value in line.items():
        if isinstance(value, Mapping):
            values |= _flat(value, f"{prefix}{name}/")
        elif name != "step" and isinstance(value, int | float) and math.isfinite(value):
            values[prefix + name] = float(value)
    return values
