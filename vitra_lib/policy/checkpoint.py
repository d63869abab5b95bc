"""Our checkpoints: a folder with `weights.safetensors` and `policy.json`; nothing in it can run code.

The folder is written under a temporary name and renamed, so that a killed run never leaves half a checkpoint.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vitra_lib.core.errors import BadInput
from vitra_lib.core.files import atomic_folder, write_json
from vitra_lib.policy.config import PolicyConfig
from vitra_lib.policy.policy import Policy

WEIGHTS, DESCRIPTION = "weights.safetensors", "policy.json"
SCHEMA = 1


def save_policy(
    policy: Policy,
    folder: Path,
    facts: Mapping[str, Any] | None = None,
    weights: Mapping[str, Tensor] | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Write a checkpoint.

    Args:
        policy: what to save.
        folder: made anew; an existing one is replaced in the moment the new one is complete.
        facts: anything that can be JSON: how it was trained, on what, its figures, the normalisation statistics.
        weights: values to save in place of the policy's own (an average of them, or gathered shards).
        dtype: store floating-point weights in this type (bfloat16 halves the file); as they are when None.
    """
    from safetensors.torch import save_file

    values = dict(policy.state_dict() if weights is None else weights)
    stored = {name: _stored(value, dtype) for name, value in values.items()}
    with atomic_folder(folder) as temporary:
        save_file(stored, temporary / WEIGHTS)
        write_json(
            temporary / DESCRIPTION,
            {"schema": SCHEMA, "config": policy.config.to_dict(), "facts": dict(facts or {})},
        )


def read_description(folder: Path) -> dict[str, Any]:
    """`policy.json` of a checkpoint.

    Raises:
        BadInput: there is none, or it is of another kind.
    """
    path = folder / DESCRIPTION
    try:
        description = json.loads(path.read_text())
    except OSError:
        raise BadInput(
            f"No policy checkpoint in {folder}: {DESCRIPTION} is missing; give a folder that holds it."
        ) from None
    except ValueError:
        raise BadInput(f"{path} is damaged: it is no JSON; the checkpoint must be made or copied again.") from None
    if not isinstance(description, dict) or description.get("schema") != SCHEMA:
        raise BadInput(f"{path} is no policy checkpoint of schema {SCHEMA}; was it written by another version?")
    return description


def load_policy(folder: Path, profile: str | None = None) -> Policy:
    """Read a checkpoint; weights stored in half precision come back as float32.

    Args:
        folder: as `save_policy` wrote it.
        profile: refuse checkpoints of another profile; any when None.

    Raises:
        BadInput: missing, damaged or cut short, or of another profile.
    """
    described = read_description(folder).get("config")
    if not isinstance(described, dict):
        raise BadInput(f"{folder / DESCRIPTION} has no configuration of the policy; copy or make the checkpoint again.")
    config = PolicyConfig.from_dict(described)
    if profile is not None and config.profile != profile:
        raise BadInput(f"{folder} holds a policy of profile {config.profile}, not {profile}; give that profile.")
    with torch.device("meta"):
        shapes = {name: tuple(value.shape) for name, value in Policy(config).state_dict().items()}
    _compare(shapes, folder / WEIGHTS)  # before memory is taken for what a file describes
    policy = Policy(config)
    fill_policy(policy, folder / WEIGHTS)
    return policy


def _compare(shapes: Mapping[str, tuple[int, ...]], path: Path) -> None:
    """Refuse a file of weights whose names or shapes are others than those wanted; only its header is read."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as weights:
            found = {name: tuple(weights.get_slice(name).get_shape()) for name in weights.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise BadInput(
            f"{path} can't be read ({type(error).__name__}); the checkpoint is missing or cut short."
        ) from None
    if wrong := sorted(shapes.keys() ^ found.keys()):
        raise BadInput(f"{path} does not fit this policy: {wrong[0]} and {len(wrong) - 1} more are not in both.")
    for name, shape in found.items():
        if shape != shapes[name]:
            raise BadInput(f"{path} does not fit this policy: {name} is {shape}, wanted {shapes[name]}.")


def fill_policy(policy: Policy, path: Path) -> None:
    """Put the weights of a file into a policy, in place.

    Raises:
        BadInput: damaged file, or a tensor that is missing, unknown, of another shape, or not finite.
    """
    from safetensors.torch import load_file

    own = policy.state_dict()
    _compare({name: tuple(value.shape) for name, value in own.items()}, path)
    values = load_file(path)
    for name, value in values.items():
        if not torch.isfinite(value).all():
            raise BadInput(f"{path} is damaged: {name} has NaN or infinite values; go back to an older checkpoint.")
    policy.load_state_dict({name: value.to(own[name].dtype) for name, value in values.items()})


def _stored(value: Tensor, dtype: torch.dtype | None) -> Tensor:
    """A contiguous copy on the CPU, converted if asked."""
    value = value.detach().cpu()
    return (value.to(dtype) if dtype is not None and value.is_floating_point() else value).contiguous()
