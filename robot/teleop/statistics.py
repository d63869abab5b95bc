"""Mean and deviation of robot states and steps over episodes, in the official format: 18 numbers per hand."""

from collections.abc import Iterable

import numpy as np

from robot.teleop.episode import TeleEpisode
from robot.teleop.vectors import PER_HAND, ROBOT_DIM, tele_states, tele_steps
from vitra_lib.core.errors import BadInput
from vitra_lib.dataset.normalisation import Normaliser


def tele_statistics(episodes: Iterable[TeleEpisode], name: str = "teledata") -> Normaliser:
    """Statistics over the valid frames of each hand; a hand that was never valid has mean 0 and deviation 0.

    Sums are taken episode by episode about the first valid value, so memory stays small and precision does not suffer.

    Args:
        episodes: any number.
        name: of the data set.

    Raises:
        BadInput: no hand is valid anywhere, or a valid number is not finite.
    """
    moments = {kind: np.zeros((3, ROBOT_DIM)) for kind in ("state", "action")}  # count, mean, squared deviations
    frames = 0
    for episode in episodes:
        frames += len(episode)
        for kind, (values, mask) in (("state", tele_states(episode)), ("action", tele_steps(episode))):
            wide = np.repeat(mask, PER_HAND, axis=1)
            if not np.isfinite(values[wide]).all():
                raise BadInput(f"{episode.name}: a valid frame is not finite; `vitra robot teledata check` says which.")
            moments[kind] = _merged(moments[kind], values, wide)
    if not moments["state"][0].any():
        raise BadInput("No hand is valid in any frame of these episodes, so there are no statistics.")
    (_, state_mean, state_m2), (_, action_mean, action_m2) = moments["state"], moments["action"]
    state_count, action_count = (np.maximum(moments[kind][0], 1) for kind in ("state", "action"))
    return Normaliser(
        state_mean, np.sqrt(state_m2 / state_count), action_mean, np.sqrt(action_m2 / action_count), name, frames
    )


def _merged(known: np.ndarray, values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Moments with the masked rows of one more episode (Chan, Golub, LeVeque)."""
    count = mask.sum(axis=0)
    mean = np.where(mask, values, 0.0).sum(axis=0) / np.maximum(count, 1)
    m2 = np.where(mask, (values - mean) ** 2, 0.0).sum(axis=0)
    total = known[0] + count
    share, shift = count / np.maximum(total, 1), mean - known[1]
    return np.stack([total, known[1] + shift * share, known[2] + m2 + shift**2 * known[0] * share])
