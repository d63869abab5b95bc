"""A policy as a source of wishes: asked in the background, answered in wrist steps, played as joint angles."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from robot.arm import Arm, WristConfig, follow_wrist
from robot.drivers.protocol import Camera
from robot.execution.broker import BrokerConfig, Chunk, ChunkBroker
from robot.execution.worker import Worker
from robot.safety.gate import Reading, Wish
from robot.safety.limits import ARM_JOINTS
from vitra_lib.contracts.hand_track import SIDES, Side
from vitra_lib.core.errors import BadInput
from vitra_lib.geometry.cameras import fov_from_K
from vitra_lib.geometry.rotations import euler_xyz
from vitra_lib.geometry.transforms import invert

PER_HAND = 18
_KEPT = 256

Ask = Callable[[dict[str, Any], Float[np.ndarray, "known 36"]], Float[np.ndarray, "chunk 36"]]
"""From an observation and the steps that are settled already to a chunk of steps [m, rad]."""


@dataclass(frozen=True, eq=False)
class Setup:
    """Where things are, and what shall be done.

    Attributes:
        side: which hand.
        instruction: sentence in the training template, or what the one hand does.
        T_base_cam: the head camera in the arm's base [m].
        T_flange_mount: the hand mount (the wrist of the policy) on the flange [m].
    """

    side: Side
    instruction: str
    T_base_cam: Float[np.ndarray, "4 4"]
    T_flange_mount: Float[np.ndarray, "4 4"]

    def __post_init__(self) -> None:
        for name in ("T_base_cam", "T_flange_mount"):
            T = getattr(self, name)
            rigid = T.shape == (4, 4) and np.allclose(T[:3, :3] @ T[:3, :3].T, np.eye(3), atol=1e-6)
            if not rigid or not np.allclose(T[3], [0, 0, 0, 1]) or np.linalg.det(T[:3, :3]) < 0:
                raise BadInput(f"{name} is not a rigid transform of 4 x 4 numbers.")


def hand_in_camera(setup: Setup, arm: Arm, position: Float[np.ndarray, " joints"]) -> Float[np.ndarray, "18"]:
    """[t (3) m, euler(R) (3) rad, 12 angles rad] of the one hand in the head camera: its part of a policy's state.

    Args:
        setup: where the camera and the wrist are.
        arm: kinematics.
        position: measured angles of arm and hand [rad].
    """
    T = invert(setup.T_base_cam) @ arm.forward(position[:ARM_JOINTS]) @ setup.T_flange_mount
    return np.concatenate([T[:3, 3], euler_xyz(T[:3, :3]), position[ARM_JOINTS:]])


@dataclass(frozen=True)
class AskConfig:
    """When the policy is asked, and how its answers are played.

    Attributes:
        step_s: time of one step of a chunk: one over the frame rate of the training data.
        ask_left_s: asked anew when the chunks last no longer than this; a large value asks as often as possible.
        settled_s: so much of the running chunk is settled when the policy is asked; at least its latency. 0 for none.
        broker: how chunks are merged; settled chunks continue one another, so "latest" fits them.
    """

    step_s: float = 1.0 / 30.0
    ask_left_s: float = 0.4
    settled_s: float = 0.0
    broker: BrokerConfig = BrokerConfig()

    def __post_init__(self) -> None:
        if not 0 < self.step_s <= 1 or not self.ask_left_s >= 0 or not self.settled_s >= 0:
            raise BadInput("step_s must be in (0, 1], ask_left_s and settled_s 0 or more.")


class PolicySource:
    """Asks, converts, plays.

    Attributes:
        broker: the chunks.
        answers: how many have come.
        latencies_s: of each.
        played: the last chunks that came, to look at afterwards.
    """

    def __init__(
        self, setup: Setup, arm: Arm, camera: Camera, ask: Ask, worker: Worker, config: AskConfig | None = None
    ) -> None:
        """
        Args:
            setup: where things are.
            arm: kinematics.
            camera: what is seen.
            ask: the policy.
            worker: where it is asked.
            config: when it is asked.
        """
        self._setup, self._arm, self._camera, self._ask, self._worker = setup, arm, camera, ask, worker
        self._config = config or AskConfig()
        self.broker = ChunkBroker(self._config.broker)
        self.answers, self._sequence = 0, 0
        self.latencies_s: list[float] = []
        self.played: deque[Chunk] = deque(maxlen=_KEPT)
        self._steps: tuple[float, Float[np.ndarray, "chunk 36"]] | None = None

    def wish(self, reading: Reading, now_s: float) -> Wish | None:
        """Take an answer that has come, ask again when it is time, and give what is due."""
        answer = self._worker.take() if self._worker.is_busy else None
        if answer is not None:
            chunk, steps = answer
            self.broker.add(chunk)
            self.played.append(chunk)
            self._steps = (chunk.start_s, steps)
            self.answers += 1
            self.latencies_s.append(now_s - chunk.start_s)
        if not self._worker.is_busy and self.broker.left_s(now_s) <= self._config.ask_left_s:
            self._start(reading, now_s)
        due = self.broker.due(now_s)
        self._sequence += 1
        return None if due is None else Wish(due.target, self._setup.side, self._sequence, due.observed_at_s)

    def is_over(self, now_s: float) -> bool:
        """A policy never ends by itself."""
        return False

    def _start(self, reading: Reading, now_s: float) -> None:
        """Ask with what is seen and measured now."""
        frame = self._camera.latest()
        due = self.broker.due(now_s)
        start = reading.position if due is None else due.target  # a chunk sets out from what is commanded
        settled = self._settled(now_s)
        height, width = frame.image.shape[:2]
        observation = {
            "image": frame.image,
            "instruction": self._setup.instruction,
            "fov_rad": fov_from_K(frame.K_px, width, height),
            "state": self._state(reading),
            "hands": np.array([side == self._setup.side for side in SIDES]),
        }
        observed = min(reading.at_s, frame.at_s)

        def job() -> tuple[Chunk, np.ndarray]:
            steps = np.asarray(self._ask(observation, settled), float)
            return self._chunk(start, steps, observed), steps

        self._worker.start(job)

    def _state(self, reading: Reading) -> Float[np.ndarray, "36"]:
        """[t, euler(R), 12 angles] of the hand in the camera; zeros for the other one."""
        state = np.zeros(2 * PER_HAND)
        hand = hand_in_camera(self._setup, self._arm, reading.position)
        state[self._mine] = hand
        return state

    @property
    def _mine(self) -> slice:
        """This side's numbers in a vector of both hands."""
        first = PER_HAND * SIDES.index(self._setup.side)
        return slice(first, first + PER_HAND)

    def _settled(self, now_s: float) -> Float[np.ndarray, "known 36"]:
        """The steps of the running chunk that will be played until the answer comes."""
        count = int(np.ceil(self._config.settled_s / self._config.step_s - 1e-9))
        if self._steps is None or not count:
            return np.zeros((0, 2 * PER_HAND))
        start_s, steps = self._steps
        first = max(0, round((now_s - start_s) / self._config.step_s))
        return steps[first : min(first + count, first + len(steps) - 1)].copy()

    def _chunk(
        self, start: Float[np.ndarray, " joints"], steps: Float[np.ndarray, "chunk 36"], observed_s: float
    ) -> Chunk:
        """Wrist steps and finger angles as joint targets.

        Raises:
            BadInput: the steps of this side are missing or not finite.
        """
        if steps.ndim != 2 or steps.shape[1] != 2 * PER_HAND or not np.isfinite(steps[:, self._mine]).all():
            raise BadInput(f"The policy must answer with finite steps of {2 * PER_HAND} numbers, not {steps.shape}.")
        mine, setup = steps[:, self._mine], self._setup
        guards = WristConfig(period_s=self._config.step_s)
        plan = follow_wrist(self._arm, start[:ARM_JOINTS], mine[:, :6], setup.T_base_cam, setup.T_flange_mount, guards)
        return Chunk(start, np.concatenate([plan.q, mine[:, 6:]], axis=1), observed_s, self._config.step_s)
