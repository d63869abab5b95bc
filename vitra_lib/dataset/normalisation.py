"""Gaussian normalisation per number (spec of normalisation, 4), and the official statistics files (1.7)."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from vitra_lib.core.errors import BadInput
from vitra_lib.core.files import write_json

EPSILON = 1e-7
KEYS = ("state_left", "state_right", "action_left", "action_right")
_ABSENT = 1e-4  # what the official reader puts for a left hand that the file does not have


@dataclass(frozen=True, eq=False)
class Normaliser:
    """z = (x - mean) / (std + 1e-7), number by number, without clipping; left comes first.

    Attributes:
        state_mean, state_std: (state,) of both hands with their shapes: 122 (angle), 158 (keypoints), 36 (robot).
        action_mean, action_std: (action,) 102, 138 or 36.
        name: of the data set or the mixture.
        count: frames that were counted; None where the file does not say.
    """

    state_mean: Float[np.ndarray, " state"]
    state_std: Float[np.ndarray, " state"]
    action_mean: Float[np.ndarray, " action"]
    action_std: Float[np.ndarray, " action"]
    name: str = ""
    count: int | None = None

    def normalise_state(self, state: Float[np.ndarray, "*batch state"]) -> Float[np.ndarray, "*batch state"]:
        """The state in standard deviations from its mean."""
        return (state - self.state_mean) / (self.state_std + EPSILON)

    def restore_state(self, state: Float[np.ndarray, "*batch state"]) -> Float[np.ndarray, "*batch state"]:
        """Inverse of `normalise_state`."""
        return state * (self.state_std + EPSILON) + self.state_mean

    def normalise_action(self, action: Float[np.ndarray, "*batch action"]) -> Float[np.ndarray, "*batch action"]:
        """The action in standard deviations from its mean."""
        return (action - self.action_mean) / (self.action_std + EPSILON)

    def restore_action(self, action: Float[np.ndarray, "*batch action"]) -> Float[np.ndarray, "*batch action"]:
        """Inverse of `normalise_action`."""
        return action * (self.action_std + EPSILON) + self.action_mean

    @classmethod
    def from_official(cls, content: dict) -> "Normaliser":
        """Read the official keys; a missing left hand gets mean and deviation 1e-4, as in the official reader.

        Raises:
            BadInput: the right hand is missing, or lengths don't fit each other.
        """
        blocks: dict[str, np.ndarray] = {}
        for kind in ("state", "action"):
            right = _block(content, f"{kind}_right")
            if right is None:
                raise BadInput(f"The statistics have no {kind}_right; a file of statistics has {', '.join(KEYS)}.")
            left = _block(content, f"{kind}_left")
            left = np.full_like(right, _ABSENT) if left is None else left
            if left.shape != right.shape:
                raise BadInput(f"The statistics of {kind}_left and {kind}_right differ in length.")
            blocks[kind] = np.concatenate([left, right], axis=1)
        count = content.get("num_traj")
        return cls(
            *blocks["state"],
            *blocks["action"],
            name=str(content.get("dataset_name", "")),
            count=None if count is None else int(count),
        )

    def to_official(self) -> dict[str, object]:
        """The official keys, ready for JSON."""
        content: dict[str, object] = {"dataset_name": self.name}
        for key in KEYS:
            kind, side = key.split("_")
            half = slice(None, len(getattr(self, f"{kind}_mean")) // 2)
            half = half if side == "left" else slice(half.stop, None)
            content[key] = {m: getattr(self, f"{kind}_{m}")[half].tolist() for m in ("mean", "std")}
        return content if self.count is None else content | {"num_traj": self.count}


def _block(content: dict, key: str) -> np.ndarray | None:
    """(2, length) mean and std of one key."""
    if key not in content:
        return None
    try:
        block = np.array([content[key]["mean"], content[key]["std"]], dtype=np.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(f"The statistics of {key} are not two lists 'mean' and 'std' of equal length.") from error
    if block.ndim != 2 or not np.isfinite(block).all() or (block[1] < 0).any():
        raise BadInput(f"The statistics of {key} are not finite numbers with deviations >= 0.")
    return block


def read_statistics(path: str | Path) -> Normaliser:
    """Read an official statistics file.

    Raises:
        BadInput: the file isn't there or isn't such a file.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{Path(path).name} is not a JSON file of statistics ({error}).") from error
    if not isinstance(content, dict):
        raise BadInput(f"{Path(path).name} holds a {type(content).__name__}, not the statistics of a data set.")
    return Normaliser.from_official(content)


def write_statistics(path: str | Path, normaliser: Normaliser) -> None:
    """Write an official statistics file, whole or not at all.

    Raises:
        WriteFailed: the file can't be written.
    """
    write_json(path, normaliser.to_official())
