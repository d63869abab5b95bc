"""One process, DDP or FSDP2, behind one small surface; the loop does not know which.

Started under torchrun, every process has one device. FSDP2 shards each transformer layer of both towers and gathers the
rest at the root; parameters stay in float32.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from vitra_lib.core.devices import collective_backend, own_device, process_count
from vitra_lib.core.errors import BadInput
from vitra_lib.policy.policy import Policy


@dataclass(frozen=True)
class Ranks:
    """Place of this process among those that train together.

    Attributes:
        rank, world_size: this one, and how many.
        device: of this process.
        kind: "none", "ddp" or "fsdp".
    """

    rank: int
    world_size: int
    device: torch.device
    kind: str

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and logs."""
        return self.rank == 0

    def sum(self, value: Tensor) -> Tensor:
        """The value added up over all processes."""
        if self.world_size > 1:
            value = value.clone()
            dist.all_reduce(value)
        return value

    def wait(self) -> None:
        """Until all are here."""
        if self.world_size > 1:
            dist.barrier()


@contextlib.contextmanager
def joined(kind: str, device: str) -> Iterator[Ranks]:
    """Join the processes that torchrun started, and leave them at the end.

    Args:
        kind: "none", "ddp" or "fsdp".
        device: of `core.devices`; several GPUs are told apart by the local rank.

    Raises:
        BadInput: several processes without a way to work together, or the other way round.
    """
    world = process_count()
    if (world > 1) != (kind != "none"):
        raise BadInput(
            f"parallel is {kind!r} with {world} process(es): use 'ddp' or 'fsdp' under torchrun with two or more "
            "processes, and 'none' otherwise."
        )
    if world == 1:
        yield Ranks(0, 1, torch.device(device), kind)
        return
    local = torch.device(own_device(device))
    dist.init_process_group(collective_backend(local))
    try:
        yield Ranks(dist.get_rank(), world, local, kind)
    finally:
        dist.destroy_process_group()


def shared(policy: Policy, ranks: Ranks) -> nn.Module:
    """The module to call in training: the policy itself, or its distributed form. FSDP2 changes the policy in place."""
    if ranks.kind == "ddp":
        return nn.parallel.DistributedDataParallel(policy)
    if ranks.kind == "fsdp":
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        mesh = init_device_mesh(ranks.device.type, (ranks.world_size,))
        towers = policy.backbone.model
        for layer in [*towers.vision_tower.encoder.layers, *towers.language_model.layers]:
            fully_shard(layer, mesh=mesh, reshard_after_forward=False)
        fully_shard(policy, mesh=mesh, reshard_after_forward=False)
    return policy


def put_away(policy: Policy) -> None:
    """After forward passes without a backward: let every process hold its shards alone again."""
    if dist.is_available() and dist.is_initialized():
        from torch.distributed.fsdp import FSDPModule

        for module in policy.modules():
            if isinstance(module, FSDPModule):
                module.reshard()


@contextlib.contextmanager
def gradients_exchanged(module: nn.Module, ranks: Ranks, is_last: bool) -> Iterator[None]:
    """Around one of several backward passes of a step: gradients travel between processes with the last one alone."""
    if ranks.kind == "ddp" and not is_last:
        with module.no_sync():
            yield
        return
    if ranks.kind == "fsdp":
        module.set_requires_gradient_sync(is_last)
    yield
