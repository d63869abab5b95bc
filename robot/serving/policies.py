"""What the server serves: a hand policy asked for steps of human hands, and an echo for measuring the transport."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8

from vitra_lib.core.errors import BadInput

CHUNK = 16
MAX_SIDE_PX = 2048
_FIELDS = ("image", "instruction", "prompt", "fov_rad", "state", "hands", "seed")


@dataclass(frozen=True, eq=False)
class Observation:
    """What a client saw.

    Attributes:
        image: RGB picture of the head camera.
        instruction: "Left hand: … Right hand: …".
        fov_rad: full horizontal and vertical field of view of the picture [rad].
        state: both hands, left first, in metres and radians in the picture's camera.
        hands: (left, right) True where the hand is known and shall move.
        seed: of the start noise.
    """

    image: UInt8[np.ndarray, "height width 3"]
    instruction: str
    fov_rad: Float[np.ndarray, "2"]
    state: Float[np.ndarray, " state"]
    hands: Bool[np.ndarray, "2"]
    seed: int


def read_observation(content: dict[str, Any], state_dim: int, seed: int = 0) -> Observation:
    """Check an observation and give it its types.

    Args:
        content: `image` (height, width, 3) uint8; `instruction`, or openpi's name for it, `prompt`; `fov_rad` (2,);
            `state` (state_dim,); `hands` (2,) bool, both when absent; `seed`, a whole number, optional.
        state_dim: legal length of the state.
        seed: where the client gives none.

    Raises:
        BadInput: something is missing, unknown, of another shape, or impossible.
    """
    if unknown := sorted(set(content) - set(_FIELDS)):
        raise BadInput(f"The observation holds {unknown[0][:40]!r}; legal are {', '.join(_FIELDS)}.")
    image = content.get("image")
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise BadInput("The observation needs `image`, an RGB picture: uint8 of shape (height, width, 3).")
    if not 8 <= min(image.shape[:2]) <= max(image.shape[:2]) <= MAX_SIDE_PX:
        raise BadInput(f"The image has {image.shape[1]} x {image.shape[0]} pixels; legal sides are 8 to {MAX_SIDE_PX}.")
    text = content.get("instruction", content.get("prompt"))
    if not isinstance(text, str) or not text.strip():
        raise BadInput('The observation needs `instruction`, "Left hand: … Right hand: …".')
    if "instruction" in content and "prompt" in content:
        raise BadInput("The observation holds both `instruction` and `prompt`; give one.")
    fov_rad = _numbers(content, "fov_rad", 2)
    if not ((fov_rad > 0.02) & (fov_rad < 3.1)).all():
        raise BadInput(f"fov_rad is {fov_rad.tolist()}; legal are two full angles of 0.02 to 3.1 rad.")
    given = content.get("hands", np.array([True, True]))
    hands = np.asarray(given) if isinstance(given, list | np.ndarray) else np.array(None)
    if hands.shape != (2,) or hands.dtype != np.bool_ or not hands.any():
        raise BadInput("`hands` must be two truth values (left, right), one of them true.")
    state = _numbers(content, "state", state_dim)
    mine = np.repeat(hands, state_dim // 2)
    if not np.isfinite(state[mine]).all():
        raise BadInput("The state of a hand is NaN or infinite; set its place in `hands` to false instead.")
    chosen = content.get("seed", seed)
    if isinstance(chosen, bool) or not isinstance(chosen, int) or not 0 <= chosen < 1 << 63:
        raise BadInput(f"seed is {str(chosen)[:40]}; legal are whole numbers from 0.")
    return Observation(image, text, fov_rad, np.where(mine, state, 0.0), hands, chosen)


def _numbers(content: dict[str, Any], name: str, length: int) -> np.ndarray:
    """A vector of the observation as float64."""
    value = content.get(name)
    if isinstance(value, list) and all(isinstance(item, int | float) for item in value):
        value = np.array(value, np.float64)
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu" or value.shape != (length,):
        raise BadInput(f"The observation needs `{name}`, {length} numbers.")
    return value.astype(np.float64)


class EchoPolicy:
    """Answers with what can be told from the observation alone; measures the transport and nothing else.

    Row t of the actions is the state + t; `actions[:, -1]` is the sum of the picture's first row of pixels.
    """

    def __init__(self, state_dim: int = 36, action_dim: int = 36) -> None:
        """
        Args:
            state_dim, action_dim: numbers of a state and of a step.
        """
        self._state_dim, self._action_dim = state_dim, action_dim
        self.metadata = describe("echo", "none", state_dim, action_dim)

    def prepare(self, observation: dict[str, Any]) -> Observation:
        """Check an observation."""
        return read_observation(observation, self._state_dim)

    def infer(self, prepared: Sequence[Observation]) -> list[dict[str, Any]]:
        """The echo of each."""
        return [{"actions": self.echo(one.image, one.state), "hands": one.hands.tolist()} for one in prepared]

    def echo(
        self, image: UInt8[np.ndarray, "height width 3"], state: Float[np.ndarray, " state"]
    ) -> Float[np.ndarray, "chunk action"]:
        """The answer to an observation; what a client checks it with."""
        row = np.resize(state, self._action_dim)
        actions = (row[None] + np.arange(CHUNK)[:, None]).astype(np.float32)
        actions[:, -1] = int(image[0].sum())
        return actions


def describe(name: str, rel_mode: str, state_dim: int, action_dim: int, chunk: int = CHUNK) -> dict[str, Any]:
    """What a client is told of a policy.

    Args:
        name: of the policy.
        rel_mode: what steps are relative to.
        state_dim, action_dim: numbers of a state and of a step.
        chunk: steps of an answer.
    """
    half = action_dim // 2
    return {
        "policy": name,
        "observation": {
            "image": "uint8 (height, width, 3), RGB, upright",
            "instruction": 'text, "Left hand: ... Right hand: ..."; may be called prompt',
            "fov_rad": "(2,) full horizontal and vertical field of view [rad]",
            "state": f"({state_dim},) left then right, metres and radians in the camera",
            "hands": "(2,) bool, left and right: known, and shall move; when absent, those that the sentence tells to",
            "seed": "whole number, of the draw; optional",
        },
        "actions": f"({chunk}, {action_dim}) left {half} numbers, then right, metres and radians in the camera; "
        "NaN for a hand that was not asked for",
        "rel_mode": rel_mode,
        "state_dim": state_dim,
        "action_dim": action_dim,
        "chunk": chunk,
        "frame": "camera",
    }
