"""Ways to ask for a chunk: a checkpoint in this process, or a policy server."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from robot.execution.policy_source import PER_HAND, Ask
from vitra_lib.core.errors import BadInput

if TYPE_CHECKING:
    from robot.serving.batching import ServedPolicy


def ask_checkpoint(folder: Path, device: str = "cpu", steps: int = 10, guidance: float = 5.0) -> Ask:
    """Ask a checkpoint that was fine-tuned on XHands; settled steps are continued.

    Raises:
        BadInput: a damaged checkpoint, or one for other actions.
    """
    from robot.execution.ahead import AheadPolicy
    from robot.serving.hand_policy import PolicyFiles, open_policy
    from vitra_lib.policy.config import SamplingConfig

    return ask_here(AheadPolicy.of(open_policy(PolicyFiles(folder, "xhand"), device, SamplingConfig(steps, guidance))))


def ask_here(policy: "ServedPolicy", steps: int | None = None) -> Ask:
    """Ask a policy in this process; settled steps are continued by one that can (`AheadPolicy`).

    Args:
        policy: as a server would serve it.
        steps: of a chunk that are taken; all when None.
    """
    after = getattr(policy, "infer_after", None)

    def ask(observation: dict[str, Any], settled: Float[np.ndarray, "known 36"]) -> Float[np.ndarray, "chunk 36"]:
        answer = after(observation, settled) if after else policy.infer([policy.prepare(observation)])[0]
        return np.asarray(answer["actions"], float)[:steps]

    return ask


def ask_server(host: str, port: int) -> Ask:
    """Ask a policy server (`vitra serve`); it knows nothing of settled steps, so answers are merged."""
    from robot.serving.client import ClientConfig, PolicyClient

    client = PolicyClient(ClientConfig(host=host, port=port))  # connects when first asked, in the asking thread

    def ask(observation: dict[str, Any], settled: Float[np.ndarray, "known 36"]) -> Float[np.ndarray, "chunk 36"]:
        return np.asarray(client.infer(observation).content["actions"], float)

    return ask


def ask_hold(chunk: int = 16) -> Ask:
    """Keep everything where it is: wrist steps of zero, fingers as measured; for a first bring-up."""

    def ask(observation: dict[str, Any], settled: Float[np.ndarray, "known 36"]) -> Float[np.ndarray, "chunk 36"]:
        step = np.asarray(observation["state"], float).copy()
        for first in (0, PER_HAND):
            step[first : first + 6] = 0.0
        return np.repeat(step[None], chunk, axis=0)

    return ask


def open_ask(policy: str, device: str = "cpu") -> Ask:
    """The policy named on the command line.

    Args:
        policy: "hold", "ws://HOST:PORT", or a checkpoint folder.
        device: where a checkpoint computes.

    Raises:
        BadInput: it is none of them.
    """
    if policy == "hold":
        return ask_hold()
    if policy.startswith("ws://"):
        host, _, port = policy.removeprefix("ws://").rstrip("/").rpartition(":")
        if not host or not port.isdigit():
            raise BadInput(f"{policy} is not the address of a policy server; write ws://HOST:PORT.")
        return ask_server(host.strip("[]"), int(port))
    if not Path(policy).is_dir():
        raise BadInput(f"There is no checkpoint folder {policy}; legal are a folder, ws://HOST:PORT, and hold.")
    return ask_checkpoint(Path(policy), device)
