"""Replay of a recorded episode: its commanded angles through the same loop and the same safety layer."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from robot.execution.broker import BrokerConfig, Chunk, ChunkBroker
from robot.safety.gate import Reading, Wish
from robot.safety.limits import JOINTS
from robot.teleop.episode import TeleEpisode
from vitra_lib.contracts.hand_track import Side
from vitra_lib.core.errors import BadInput


@dataclass(frozen=True, eq=False)
class Recording:
    """Commanded angles of one side.

    Attributes:
        side: whose.
        targets: (time, joints) arm and hand [rad].
        fps: frames per second [1/s].
        name: of the episode.
    """

    side: Side
    targets: Float[np.ndarray, "time joints"]
    fps: float
    name: str = ""

    def __post_init__(self) -> None:
        if self.targets.ndim != 2 or self.targets.shape[1] != JOINTS or len(self.targets) < 2:
            raise BadInput(f"A recording has at least 2 frames of {JOINTS} angles, not {self.targets.shape}.")
        if not self.fps > 0 or not np.isfinite(self.targets).all():
            raise BadInput("A recording needs a frame rate above 0 and finite angles.")

    @classmethod
    def of_episode(cls, episode: TeleEpisode, side: Side) -> "Recording":
        """The commands of a teleoperated episode.

        Raises:
            BadInput: the robot had no such arm.
        """
        if not episode.has(side):
            raise BadInput(f"Episode {episode.name} has no {side} arm; it has {' and '.join(episode.sides)}.")
        arm = episode.arm(side)
        targets = np.concatenate([arm.arm_command_rad, arm.hand_command_rad], axis=1)
        return cls(side, targets, episode.fps, episode.name)


class ReplaySource:
    """Goes slowly to the first frame, then plays the recording at its own speed."""

    def __init__(self, recording: Recording, speed: float = 1.0, approach_rad_s: float = 0.25) -> None:
        """
        Args:
            recording: what to play.
            speed: 1 is as recorded.
            approach_rad_s: of the way to the first frame.
        """
        if not 0 < speed <= 4 or not approach_rad_s > 0:
            raise BadInput("speed must be above 0 and at most 4, approach_rad_s above 0.")
        self._recording, self._speed, self._approach = recording, speed, approach_rad_s
        self._broker = ChunkBroker(BrokerConfig("latest"))
        self._sequence, self._stop_s, self.start_s = 0, float("inf"), float("nan")

    def wish(self, reading: Reading, now_s: float) -> Wish | None:
        """The frame that is due."""
        if not self._sequence:
            self._plan(reading, now_s)
        self._sequence += 1
        due = self._broker.due(now_s)
        return None if due is None else Wish(due.target, self._recording.side, self._sequence, now_s)

    def is_over(self, now_s: float) -> bool:
        """All frames were played."""
        return now_s >= self._stop_s

    def _plan(self, reading: Reading, now_s: float) -> None:
        """The way to the first frame, and the recording, as one chunk."""
        first, step_s = self._recording.targets[0], 1.0 / (self._recording.fps * self._speed)
        away = float(np.abs(first - reading.position).max())
        steps = max(1, int(np.ceil(away / self._approach / step_s)))
        share = np.arange(1, steps + 1)[:, None] / steps
        share = share * share * (3 - 2 * share)  # sets out and arrives at rest
        way = reading.position + share * (first - reading.position)
        pause = np.repeat(first[None], max(1, int(0.5 / step_s)), 0)
        chunk = Chunk(reading.position, np.concatenate([way, pause, self._recording.targets[1:]]), now_s, step_s)
        self._broker.add(chunk)
        self.start_s = now_s + (steps + len(pause)) * step_s
        self._stop_s = chunk.stop_s
