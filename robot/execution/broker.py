"""The chunk broker: several overlapping chunks of joint targets in, one target at any time out.

Between its steps a chunk is interpolated, so that the control loop may run faster than the policy's rate. Steps whose
time has passed are never played late: time alone says which step is due, which is what makes up for latency.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from vitra_lib.core.errors import BadInput, UnknownName

MERGES = ("ensemble", "latest")


@dataclass(frozen=True, eq=False)
class Chunk:
    """Joint targets at equal times.

    Attributes:
        start: angles at `start_s` [rad], where step 0 sets out.
        targets: (steps, joints) angles at start_s + (k + 1) step_s [rad].
        start_s: when the observation was made that it answers.
        step_s: time of one step.
    """

    start: Float[np.ndarray, " joints"]
    targets: Float[np.ndarray, "steps joints"]
    start_s: float
    step_s: float

    def __post_init__(self) -> None:
        if not len(self.targets) or not self.step_s > 0:
            raise BadInput("A chunk needs at least one step and a step time above 0.")

    @property
    def stop_s(self) -> float:
        """When its last target is due."""
        return self.start_s + len(self.targets) * self.step_s

    def at(self, time_s: float) -> Float[np.ndarray, " joints"]:
        """The target at a time within the chunk, interpolated; the nearest end outside."""
        place = np.clip((time_s - self.start_s) / self.step_s, 0.0, len(self.targets))
        before = min(int(place), len(self.targets) - 1)
        share = place - before
        first = self.start if before == 0 else self.targets[before - 1]
        return (1.0 - share) * first + share * self.targets[before]


@dataclass(frozen=True)
class BrokerConfig:
    """How overlapping chunks become one target.

    Attributes:
        merge: "ensemble": weighted mean of all chunks that cover the time, exp(-decay i) with i = 0 the oldest
            (ACT's temporal ensembling); "latest": the newest chunk alone, for chunks that continue one another.
        decay: of the weights.
        lead_s: the target of this much later is given: what the robot needs to follow.
        oldest_s: chunks that answer an older observation have no say beside a newer one; below the age at which the
            safety layer refuses an action, which counts the oldest observation that had a say.
        most: chunks kept.
    """

    merge: str = "ensemble"
    decay: float = 0.01
    lead_s: float = 0.0
    oldest_s: float = 0.9
    most: int = 16

    def __post_init__(self) -> None:
        if self.merge not in MERGES:
            raise UnknownName("way to merge chunks", self.merge, MERGES)
        if not self.decay >= 0 or not 0 <= self.lead_s < 1 or not self.oldest_s > 0 or self.most < 1:
            raise BadInput("decay must be 0 or more, lead_s in [0, 1), oldest_s above 0 and most at least 1.")


@dataclass(frozen=True, eq=False)
class Due:
    """What is due at a time.

    Attributes:
        target: angles [rad].
        observed_at_s: of the oldest observation that had a say.
        chunks: how many chunks had a say.
    """

    target: Float[np.ndarray, " joints"]
    observed_at_s: float
    chunks: int


class ChunkBroker:
    """Keeps the chunks that are not over yet."""

    def __init__(self, config: BrokerConfig | None = None) -> None:
        """
        Args:
            config: how chunks are merged.
        """
        self._config = config or BrokerConfig()
        self._chunks: deque[Chunk] = deque(maxlen=self._config.most)

    def add(self, chunk: Chunk) -> None:
        """Take a chunk; one that answers an older observation than the newest has is dropped."""
        if self._chunks and chunk.start_s <= self._chunks[-1].start_s:
            return
        self._chunks.append(chunk)

    def due(self, now_s: float) -> Due | None:
        """The target at now + lead; None when no chunk covers it, so that the robot brakes."""
        time_s = now_s + self._config.lead_s
        while self._chunks and self._chunks[0].stop_s < time_s:
            self._chunks.popleft()
        covering = [chunk for chunk in self._chunks if chunk.start_s <= time_s <= chunk.stop_s]
        if not covering:
            return None
        if self._config.merge == "latest":
            covering = covering[-1:]
        covering = [c for c in covering if now_s - c.start_s <= self._config.oldest_s] or covering[-1:]
        weights = np.exp(-self._config.decay * np.arange(len(covering)))
        values = np.stack([chunk.at(time_s) for chunk in covering])
        return Due(weights @ values / weights.sum(), covering[0].start_s, len(covering))

    def left_s(self, now_s: float) -> float:
        """How long the chunks still last."""
        return max((chunk.stop_s for chunk in self._chunks), default=now_s) - now_s

    def clear(self) -> None:
        """Forget all chunks, after a stop."""
        self._chunks.clear()
