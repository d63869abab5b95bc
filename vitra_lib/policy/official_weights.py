"""VITRA's released checkpoints: a bare state dict under the names of transformers 4.47 (spec of the model, 5.6).

Reading goes through `weights_only`, so nothing in the file is run; every tensor is accounted for, by name and shape.
"""

import logging
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from vitra_lib.core.errors import BadInput
from vitra_lib.core.files import atomic_path
from vitra_lib.policy.policy import Policy

_log = logging.getLogger(__name__)

# Ours → official. The first prefix that fits decides.
_PREFIXES = (
    ("backbone.cognition_token", "cognition_token"),
    ("backbone.fov_encoder.", "fov_encoder."),
    ("backbone.model.vision_tower.", "backbone.vision_tower.vision_model."),
    ("backbone.model.multi_modal_projector.", "backbone.multi_modal_projector."),
    ("backbone.model.language_model.", "backbone.language_model.model."),
    ("denoiser.", "act_model.net."),
)
_TIED_HEAD = "backbone.language_model.lm_head.weight"
_EMBEDDING = "backbone.language_model.model.embed_tokens.weight"


def official_name(name: str) -> str:
    """The released name of one of our parameters."""
    for ours, theirs in _PREFIXES:
        if name.startswith(ours):
            return theirs + name[len(ours) :]
    raise BadInput(f"Parameter {name} has no place in the official layout; it is not part of the published policy.")


def official_names(policy: Policy) -> dict[str, str]:
    """Released name → our name, of all parameters and of the tied language head, which shares the embedding."""
    names = {official_name(name): name for name, _ in policy.named_parameters()}
    return names | {_TIED_HEAD: names[_EMBEDDING]}


def export_official(policy: Policy, path: Path) -> None:
    """Write the policy as a released checkpoint: a `.pt` with a bare state dict in float32 or as stored."""
    parameters = dict(policy.named_parameters())
    values = {theirs: parameters[ours].detach().cpu() for theirs, ours in official_names(policy).items()}
    with atomic_path(path) as temporary:
        torch.save(values, temporary)


def read_official(path: Path) -> dict[str, Tensor]:
    """The tensors of a released checkpoint, mapped from the file and not copied.

    Raises:
        BadInput: not a checkpoint, cut short, or holds something other than tensors.
    """
    try:
        values = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except FileNotFoundError:
        raise BadInput(f"No checkpoint at {path}; give the .pt file of the released weights.") from None
    except Exception as error:  # torch raises a dozen kinds for a damaged or foreign file
        raise BadInput(
            f"{path} is not a checkpoint of plain tensors ({type(error).__name__}); nothing in it was run. "
            "Download it again, and check its size."
        ) from None
    if not isinstance(values, dict) or not all(isinstance(value, Tensor) for value in values.values()):
        raise BadInput(f"{path} holds no bare state dict; give the file of weights alone (weights.pt).")
    return values


def import_official(policy: Policy, path: Path) -> None:
    """Put released weights into a policy, in place and one tensor at a time.

    An `empty_policy` takes the tensors themselves, so the weights exist once.

    Raises:
        BadInput: a tensor is missing, unknown, or of another shape; the first ones are named.
    """
    values = read_official(path)
    names = official_names(policy)
    optional = {_TIED_HEAD} if _EMBEDDING in values else {_EMBEDDING}
    if _EMBEDDING not in values and _TIED_HEAD in values:
        values[_EMBEDDING] = values[_TIED_HEAD]
    missing, unknown = sorted(names.keys() - values.keys() - optional), sorted(values.keys() - names.keys())
    shapes = {name: tuple(parameter.shape) for name, parameter in policy.named_parameters()}
    differ = [theirs for theirs, ours in names.items() if theirs in values and values[theirs].shape != shapes[ours]]
    for what, wrong in (("lacks", missing), ("has the unknown", unknown), ("has another shape for", differ)):
        if wrong:
            raise BadInput(
                f"{path} does not fit this policy: it {what} {', '.join(wrong[:3])}"
                f"{f' and {len(wrong) - 3} more' if len(wrong) > 3 else ''}; was it made with another size or profile?"
            )
    policy.load_state_dict(dict(_ours(names, values)), strict=True, assign=_is_meta(policy))


def _ours(names: dict[str, str], values: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Our names with the file's tensors, each parameter once."""
    for theirs, ours in names.items():
        if theirs != _TIED_HEAD:
            yield ours, values[theirs]


def _is_meta(policy: Policy) -> bool:
    """Whether the parameters have no storage yet."""
    return any(parameter.is_meta for parameter in policy.parameters())
