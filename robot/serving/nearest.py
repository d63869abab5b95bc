"""A policy without eyes and without torch: it looks up the demonstrated moment that is most like now, and goes on as
that demonstration did.

It answers as a trained policy does, so that server, client, loop and simulation can be tried before anything was
trained, and it is the honest floor for whatever was: what it reaches needed no picture. On a scene where the named
thing stands elsewhere it must fail.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from robot.serving.policies import CHUNK, Observation, describe, read_observation
from robot.teleop.episode import TeleEpisode
from robot.teleop.vectors import PER_HAND, ROBOT_DIM, tele_states
from vitra_lib.contracts.hand_track import SIDES
from vitra_lib.core.errors import BadInput
from vitra_lib.geometry.rotations import euler_xyz, exp, from_euler_xyz, geodesic_angle, log


@dataclass(frozen=True)
class NearestConfig:
    """What counts as like.

    Attributes:
        position_m, rotation_rad, fingers_rad: differences of wrist place, wrist attitude and finger angles (root mean
            square) that weigh the same.
        back_steps: within so many steps an answer leads from where the hand is onto the demonstrated way.
        tie: of frames that follow one another and are less like by no more than this, the last one counts, so that a
            pause in a demonstration is not stayed in for ever.
    """

    position_m: float = 0.03
    rotation_rad: float = 0.2
    fingers_rad: float = 0.1
    back_steps: int = 4
    tie: float = 0.1

    def __post_init__(self) -> None:
        if min(self.position_m, self.rotation_rad, self.fingers_rad) <= 0 or self.tie < 0 or self.back_steps < 1:
            raise BadInput("Differences and back_steps of a nearest policy must be above 0, its tie 0 or more.")


@dataclass(frozen=True, eq=False)
class _Path:
    """One demonstration: states of both hands, and which are known."""

    states: Float[np.ndarray, "time 36"]
    commands: Float[np.ndarray, "time 2 12"]
    known: np.ndarray


class NearestDemonstration:
    """Serves what demonstrations did in the most similar state.

    Attributes:
        metadata: what clients are told.
    """

    def __init__(self, episodes: Sequence[TeleEpisode], config: NearestConfig | None = None) -> None:
        """
        Args:
            episodes: demonstrations, all of one frame rate.
            config: what counts as like.

        Raises:
            BadInput: none, or several frame rates.
        """
        rates = {round(episode.fps, 3) for episode in episodes}
        if len(rates) != 1:
            raise BadInput(f"The nearest policy needs demonstrations of one frame rate; these have {sorted(rates)}.")
        self._config = config or NearestConfig()
        self._paths = [_path(episode) for episode in episodes]
        told = describe("nearest demonstration", "step", ROBOT_DIM, ROBOT_DIM)
        self.metadata: dict[str, Any] = told | {"fps": float(rates.pop())}

    def prepare(self, observation: dict[str, Any]) -> Observation:
        """Check an observation.

        Raises:
            BadInput: it is broken, or no demonstration shows its hands.
        """
        read = read_observation(observation, ROBOT_DIM)
        if not any((path.known & read.hands == read.hands).all(1).any() for path in self._paths):
            wanted = " and ".join(side for side, asked in zip(SIDES, read.hands, strict=True) if asked)
            raise BadInput(f"No demonstration shows the {wanted} hand.")
        return read

    def infer(self, prepared: Sequence[Observation]) -> list[dict[str, Any]]:
        """Answer observations one by one: `actions` (16, 36) in metres and radians, NaN for hands not asked for."""
        return [{"actions": self._chunk(one), "hands": one.hands.tolist()} for one in prepared]

    def nearest(self, state: Float[np.ndarray, "36"], hands: np.ndarray) -> tuple[int, int]:
        """Which demonstration and frame is most like a state, judged by the hands that are asked for."""
        found = [self._unlike(path, state, hands) for path in self._paths]
        which = int(np.argmin([unlike.min() for unlike in found]))
        frame, limit = int(found[which].argmin()), float(found[which].min()) + self._config.tie
        while frame + 1 < len(found[which]) and found[which][frame + 1] <= limit:
            frame += 1
        return which, frame

    def _unlike(self, path: _Path, state: np.ndarray, hands: np.ndarray) -> Float[np.ndarray, " time"]:
        """How unlike each frame is; infinite where a hand is not known."""
        config, total = self._config, np.zeros(len(path.states))
        for index in np.flatnonzero(hands):
            now, then = (x[..., index * PER_HAND : (index + 1) * PER_HAND] for x in (state, path.states))
            turned = geodesic_angle(from_euler_xyz(then[:, 3:6]), from_euler_xyz(now[3:6]))
            total += (np.linalg.norm(then[:, :3] - now[:3], axis=1) / config.position_m) ** 2
            total += (turned / config.rotation_rad) ** 2
            total += ((then[:, 6:] - now[6:]) ** 2).mean(1) / config.fingers_rad**2
        known = (path.known & hands == hands).all(1)
        return np.where(known, np.sqrt(total), np.inf)

    def _chunk(self, asked: Observation) -> Float[np.ndarray, "chunk 36"]:
        """Steps from where the hand is onto the demonstration's way and along it; at its end it stays."""
        which, frame = self.nearest(asked.state, asked.hands)
        path = self._paths[which]
        rows = np.minimum(frame + np.arange(CHUNK + 1), len(path.states) - 1)
        actions = np.full((CHUNK, ROBOT_DIM), np.nan, np.float32)
        for index in np.flatnonzero(asked.hands):
            first = index * PER_HAND
            shown, now = path.states[rows, first : first + 6], asked.state[first : first + 6]
            off = np.maximum(1.0 - np.arange(CHUNK + 1) / self._config.back_steps, 0.0)[:, None]
            t, R = shown[:, :3] + off * (now[:3] - shown[0, :3]), from_euler_xyz(shown[:, 3:])
            R = exp(off * log(from_euler_xyz(now[3:]) @ R[0].T)) @ R
            actions[:, first : first + 3] = np.diff(t, axis=0)
            actions[:, first + 3 : first + 6] = euler_xyz(R[1:] @ np.swapaxes(R[:-1], 1, 2))
            actions[:, first + 6 : first + PER_HAND] = path.commands[rows[:-1], index]
        return actions


def _path(episode: TeleEpisode) -> _Path:
    states, known = tele_states(episode)
    commands = np.stack([episode.arm(side).hand_command_rad for side in SIDES], axis=1)
    return _Path(states, commands, known)
