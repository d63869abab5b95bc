"""The folder of a run: its configuration, its log, and checkpoints from which it goes on bit by bit.

    run.json                          configuration, as started
    log.jsonl                         one line per logged step
    checkpoints/step-00000500/        state/ (weights, optimizer, average: sharded), training.json, policy/ (to use)
    best/                             the policy with the lowest validation loss

A checkpoint is written under a temporary name and renamed when complete, by one process after all have written.
"""

import contextlib
import json
import logging
import re
import shutil
import warnings
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from vitra_lib.core.errors import BadInput
from vitra_lib.core.files import remove_partials, write_json
from vitra_lib.policy.checkpoint import save_policy
from vitra_lib.policy.policy import Policy
from vitra_lib.training.average import WeightAverage
from vitra_lib.training.parallel import Ranks

_log = logging.getLogger(__name__)
_NAME = re.compile(r"step-(\d{8})$")


@runtime_checkable
class Restorable(Protocol):
    """Can be put where it once was."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go there."""
        ...


class RunFolder:
    """Where a run keeps what it has reached."""

    def __init__(self, folder: Path, ranks: Ranks, keep: int) -> None:
        """
        Args:
            folder: of the run; made if it is not there.
            ranks: this process's place.
            keep: newest checkpoints that stay.
        """
        self.folder, self._ranks, self._keep = folder, ranks, keep
        if ranks.is_first:
            (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        ranks.wait()

    def start(self, configuration: dict[str, Any], is_resumed: bool, free: Collection[str] = ()) -> None:
        """Write `run.json`, or compare with the one that is there; and clear away what a killed run left half-written.

        Args:
            configuration: blocks of plain values by name.
            is_resumed: whether the run in the folder shall go on.
            free: names inside the blocks that may differ when it does.

        Raises:
            BadInput: the folder belongs to another configuration, or to a run that nobody asked to go on.
        """
        path = self.folder / "run.json"
        is_there = path.exists()
        if is_there:
            self._compare(path, configuration, is_resumed, free)
        self._ranks.wait()  # all have looked before one writes
        if self._ranks.is_first:
            if not is_there:
                write_json(path, configuration)
            for partial in (self.folder / "checkpoints").glob(".step-*.part"):
                shutil.rmtree(partial)
            remove_partials(self.folder)
        self._ranks.wait()

    def _compare(self, path: Path, configuration: dict[str, Any], is_resumed: bool, free: Collection[str]) -> None:
        """Refuse to go on with another run."""
        if not is_resumed:
            raise BadInput(f"{self.folder} already holds a run; go on with --resume, or name another folder.")
        before, wanted = json.loads(path.read_text()), json.loads(json.dumps(configuration))
        for block, values in wanted.items():
            old = before.get(block, {})
            if differing := [name for name in values if name not in free and old.get(name) != values[name]]:
                name = differing[0]
                raise BadInput(
                    f"The run in {self.folder} had another {block} configuration: {name} was {old.get(name)}, now "
                    f"{values[name]}; go on with the same, or start anew in another folder."
                )

    def log(self, line: dict[str, Any]) -> None:
        """Add one line to the log."""
        if self._ranks.is_first:
            with open(self.folder / "log.jsonl", "a") as stream:
                stream.write(json.dumps(line) + "\n")

    def trim_log(self, step: int) -> None:
        """Forget lines of steps that will be taken again."""
        path = self.folder / "log.jsonl"
        if self._ranks.is_first and path.exists():
            kept = [line for line in path.read_text().splitlines() if _step_of(line) < step]
            partial = path.with_suffix(".part")
            partial.write_text("".join(line + "\n" for line in kept))
            partial.replace(path)
        self._ranks.wait()

    def steps(self) -> list[int]:
        """Steps of complete checkpoints, ascending."""
        found = [_NAME.match(path.name) for path in (self.folder / "checkpoints").iterdir()]
        return sorted(int(match[1]) for match in found if match)

    def checkpoint(self, step: int) -> Path:
        """Folder of a checkpoint."""
        return self.folder / "checkpoints" / f"step-{step:08d}"

    def save(self, step: int, policy: Policy, state: dict[str, Any], facts: dict[str, Any]) -> None:
        """Write a checkpoint.

        Args:
            step: steps that are done.
            policy: for its configuration.
            state: "model" and "optimizer" (sharded or not), "average" or None, "weights" (whole, on the first
                process), "loader" and anything else that is plain.
            facts: what goes beside the usable policy.
        """
        import torch.distributed.checkpoint as dcp

        target, partial = self.checkpoint(step), self.folder / "checkpoints" / f".step-{step:08d}.part"
        if self._ranks.is_first:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
        self._ranks.wait()
        tensors = {name: state[name] for name in ("model", "optimizer", "average") if state[name] is not None}
        with _alone_is_fine():
            dcp.save(tensors, checkpoint_id=partial / "state", no_dist=self._ranks.world_size == 1)
        if self._ranks.is_first:
            save_policy(policy, partial / "policy", facts, state["weights"])
            plain = {name: state[name] for name in state if name not in (*tensors, "average", "weights")}
            write_json(partial / "training.json", plain | {"step": step})
            shutil.rmtree(target, ignore_errors=True)
            partial.rename(target)
            for old in self.steps()[: -self._keep]:
                shutil.rmtree(self.checkpoint(old))
        self._ranks.wait()

    def load(self, step: int, state: dict[str, Any]) -> dict[str, Any]:
        """Fill the tensors of `state` ("model", "optimizer", "average") in place; returns the plain rest.

        Raises:
            BadInput: the checkpoint is damaged.
        """
        import torch.distributed.checkpoint as dcp

        folder = self.checkpoint(step)
        try:
            rest = json.loads((folder / "training.json").read_text())
            tensors = {name: value for name, value in state.items() if value is not None}
            with _alone_is_fine():
                dcp.load(tensors, checkpoint_id=folder / "state", no_dist=self._ranks.world_size == 1)
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise BadInput(
                f"The checkpoint {folder} can't be read ({type(error).__name__}: {error}); delete it, and the run goes "
                "on from the one before."
            ) from None
        return rest

    def go_on(
        self,
        module: nn.Module,
        optimizer: torch.optim.Optimizer,
        loader: Restorable,
        state: Callable[[], dict[str, Any]],
    ) -> dict[str, Any] | None:
        """Put module, optimizer, loader and log where the last complete checkpoint was.

        Args:
            module: what learns.
            optimizer: of it.
            loader: of its batches.
            state: gives "model", "optimizer" and "average", which are filled in place; called only when there is a
                checkpoint, because asking a new optimizer for its state begins it.

        Returns:
            The plain rest of the checkpoint, with "step"; None when there is no checkpoint.

        Raises:
            BadInput: the checkpoint is damaged.
        """
        from torch.distributed.checkpoint.state_dict import set_model_state_dict, set_optimizer_state_dict

        steps = self.steps()
        if not steps:
            self.trim_log(0)
            return None
        current = state()
        rest = self.load(steps[-1], current)
        set_model_state_dict(module, current["model"])
        set_optimizer_state_dict(module, optimizer, current["optimizer"])
        loader.load_state_dict(rest["loader"])
        self.trim_log(rest["step"])
        return rest

    def save_best(self, policy: Policy, weights: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Keep the weights as the best so far."""
        if self._ranks.is_first:
            save_policy(policy, self.folder / "best", facts, weights)


@contextlib.contextmanager
def _alone_is_fine() -> Iterator[None]:
    """Without torch's warning that a run of one process is saved by one process."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled", UserWarning)
        yield


def _step_of(line: str) -> int:
    """Step of a log line; a torn last line counts as never."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError):
        return 1 << 62


def whole_weights(policy: Policy, ranks: Ranks) -> dict[str, Tensor]:
    """All weights as plain tensors on the CPU of the first process; empty elsewhere."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    options = StateDictOptions(full_state_dict=ranks.world_size > 1, cpu_offload=ranks.world_size > 1)
    weights = get_model_state_dict(policy, options=options)
    return {name: value.detach() for name, value in weights.items()} if ranks.is_first else {}


def average_state(average: WeightAverage | None) -> dict[str, Tensor] | None:
    """Tensors of the average, for a checkpoint."""
    return None if average is None else average.values


def optimizer_state(policy: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """State of the optimizer under parameter names, sharded like the parameters."""
    from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict

    return get_optimizer_state_dict(policy, optimizer)
