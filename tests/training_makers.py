"""Training runs small enough for tests: twelve samples, a policy of two blocks, and their configuration."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from policy_makers import mask_of, tiny_policy

from vitra_lib.dataset.collate import PolicyBatch
from vitra_lib.policy.config import LossConfig
from vitra_lib.policy.policy import Policy
from vitra_lib.policy.processor import Processor
from vitra_lib.training.config import OptimizerConfig, TrainingConfig
from vitra_lib.training.parallel import Ranks

ALONE = Ranks(0, 1, torch.device("cpu"), "none")
RATES = OptimizerConfig(backbone_lr=1e-3, head_lr=1e-3, schedule="constant", warmup_steps=0)
CONFIG = TrainingConfig(
    steps=9,
    batch_size=4,
    optimizer=RATES,
    loss=LossConfig(diffusion_repeats=2),
    save_every=3,
    log_every=1,
    ema_decay=0.9,
)


def batch_of(rows: list[int]) -> PolicyBatch:
    """Samples by number: a picture of one brightness, and an action that depends on it."""
    numbers = torch.tensor(rows)
    mask = mask_of((len(rows), 16, 192), 51, 102)
    mask[numbers % 3 == 0, :, :51] = True  # some samples have both hands, so that components differ in their counts
    action = torch.sin(numbers[:, None, None] + 0.1 * torch.arange(16)[:, None] + 0.01 * torch.arange(192)) * mask
    return PolicyBatch(
        image=(numbers[:, None, None, None] * 20).to(torch.uint8).expand(-1, 3, 28, 28).contiguous(),
        instruction=tuple(f"Right hand: Do number {row}." for row in rows),
        fov_rad=torch.ones(len(rows), 2),
        action=action.float(),
        action_mask=mask,
        state=torch.zeros(len(rows), 212),
        state_mask=mask_of((len(rows), 212), 51, 102),
        dataset=torch.zeros(len(rows), dtype=torch.long),
        name=tuple(f"episode-{row}" for row in rows),
        frame=numbers,
    )


class TwelveSamples:
    """A loader of twelve samples in an order of its own in every epoch, as `TrainingLoader` gives them."""

    def __init__(self, size: int, fails_at: int | None = None, rank: int = 0, world_size: int = 1) -> None:
        self._size, self._taken, self._fails_at = size * world_size, 0, fails_at
        self._share = slice(rank, None, world_size)

    def __iter__(self) -> Iterator[PolicyBatch]:
        while True:
            first = self._taken * self._size
            order = [np.random.default_rng(e).permutation(12) for e in (first // 12, first // 12 + 1)]
            start = first % 12
            if self._fails_at == self._taken:
                raise KeyboardInterrupt
            self._taken += 1
            rows = np.concatenate(order)[start : start + self._size][self._share]
            yield batch_of([int(row) for row in rows])

    def state_dict(self) -> dict[str, Any]:
        return {"samples": self._taken * self._size}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._taken = state["samples"] // self._size


def new_policy() -> Policy:
    """A small policy with the shipped tokenizer's vocabulary; always the same."""
    processor = Processor()
    policy = tiny_policy()
    backbone = replace(policy.config.backbone, vocabulary=processor.vocabulary, image_token_id=processor.image_token_id)
    torch.manual_seed(0)
    return Policy(replace(policy.config, backbone=backbone))
