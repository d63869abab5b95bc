"""What a policy must beat: predictions that see neither picture nor, mostly, sentence.

Every baseline gives the steps of one hand for one picture, as a policy does: [dt, euler(dR), finger angles].
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from vitra_lib.core.errors import BadInput
from vitra_lib.dataset import LabelBatch
from vitra_lib.geometry.rotations import euler_xyz, from_euler_xyz, nearest_rotation

PER_HAND, STATE_PER_HAND = 51, 61
Baseline = Callable[["Question"], Float[np.ndarray, "steps 51"]]
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, eq=False)
class Question:
    """What may be known when a hand's future is asked for.

    Attributes:
        hand: 0 left, 1 right.
        state: [t, euler(R), 45 finger angles, …] of this hand now [m, rad].
        before: its last step; None if it is not known.
        sentence: what this hand is told.
        steps: how many steps are wanted.
    """

    hand: int
    state: Float[np.ndarray, " numbers"]
    before: Float[np.ndarray, "51"] | None
    sentence: str
    steps: int


@dataclass(frozen=True, eq=False)
class Memory:
    """Hands of the training data that are known for long enough.

    Attributes:
        hand: 0 left, 1 right.
        state: state of the hand, without its shape [m, rad].
        steps: what it did; after the last known step the wrist stays, and the fingers too.
        known: number of known steps.
        sentence: what it was told.
    """

    hand: Int[np.ndarray, " rows"]
    state: Float[np.ndarray, "rows 51"]
    steps: Float[np.ndarray, "rows steps 51"]
    known: Int[np.ndarray, " rows"]
    sentence: tuple[str, ...]

    @classmethod
    def of(cls, labels: LabelBatch, min_steps: int) -> "Memory":
        """Remember labels that were made without past steps, of hands that are known for `min_steps` or more."""
        state = labels.raw_state.reshape(len(labels.name), 2, STATE_PER_HAND)[..., :PER_HAND]
        steps = labels.raw_action.reshape(*labels.raw_action.shape[:2], 2, PER_HAND)
        known = np.logical_and.accumulate(labels.raw_action_mask, axis=1).sum(1)
        rows, hands = np.nonzero(labels.raw_state_mask & (known >= min(min_steps, steps.shape[1])))
        pairs = zip(rows.tolist(), hands.tolist(), strict=True)
        sentences = tuple(hand_sentence(labels.instruction[row], hand) for row, hand in pairs)
        count = known[rows, hands]
        return cls(hands, state[rows, hands], _held(steps[rows, :, hands], count), count, sentences)

    def rows(self, hand: int) -> Int[np.ndarray, " n"]:
        """Rows of one hand; of the other one where there are none."""
        own = np.flatnonzero(self.hand == hand)
        return own if len(own) else np.arange(len(self.hand))


def hand_sentence(instruction: str, hand: int) -> str:
    """What one hand (0 left, 1 right) is told, out of "Left hand: … Right hand: …"."""
    left, _, right = instruction.partition(" Right hand: ")
    return right if hand else left.removeprefix("Left hand: ")


def stay_still(question: Question) -> Float[np.ndarray, "steps 51"]:
    """Nothing moves."""
    steps = np.zeros((question.steps, PER_HAND))
    steps[:, 6:] = question.state[6:PER_HAND]
    return steps


def constant_velocity(question: Question) -> Float[np.ndarray, "steps 51"]:
    """The wrist goes on as in its last step, the fingers stay; where that step is not known, nothing moves."""
    steps = stay_still(question)
    if question.before is not None:
        steps[:, :6] = question.before[:6]
    return steps


def dataset_mean(memory: Memory) -> Baseline:
    """The mean of what training hands of this side did, step by step (rotations: the mean matrix, made one again)."""
    means = {hand: _mean_steps(memory, memory.rows(hand)) for hand in (0, 1)}
    return lambda question: means[question.hand][: question.steps]


def nearest_state(memory: Memory) -> Baseline:
    """What the training hand did whose state is nearest, every number in its own deviations."""
    deviation = np.maximum(memory.state.std(0), 1e-3)

    def predict(question: Question) -> Float[np.ndarray, "steps 51"]:
        rows = memory.rows(question.hand)
        return memory.steps[_nearest(memory, rows, question, deviation)][: question.steps]

    return predict


def nearest_instruction(memory: Memory) -> Baseline:
    """What the training hand did whose sentence shares most words; among equals the one whose state is nearest."""
    words = [frozenset(_WORD.findall(sentence.lower())) for sentence in memory.sentence]
    deviation = np.maximum(memory.state.std(0), 1e-3)

    def predict(question: Question) -> Float[np.ndarray, "steps 51"]:
        own = frozenset(_WORD.findall(question.sentence.lower()))
        rows = memory.rows(question.hand)
        shared = np.array([len(own & words[row]) / max(1, len(own | words[row])) for row in rows])
        equals = rows[shared >= shared.max() - 1e-12]
        return memory.steps[_nearest(memory, equals, question, deviation)][: question.steps]

    return predict


def baselines(memory: Memory | None) -> dict[str, Baseline]:
    """All baselines by name; those that remember need training data.

    Raises:
        BadInput: training data in which no hand is known for long enough.
    """
    simple: dict[str, Baseline] = {"stay still": stay_still, "constant velocity": constant_velocity}
    if memory is None:
        return simple
    if len(memory.hand) == 0:
        raise BadInput("The training data have no hand that is known for long enough: nothing to compare with.")
    return simple | {
        "dataset mean": dataset_mean(memory),
        "nearest instruction": nearest_instruction(memory),
        "nearest state": nearest_state(memory),
    }


def _nearest(memory: Memory, rows: np.ndarray, question: Question, deviation: np.ndarray) -> int:
    difference = (memory.state[rows] - question.state[:PER_HAND]) / deviation
    return int(rows[np.argmin(np.square(difference).sum(-1))])


def _mean_steps(memory: Memory, rows: Int[np.ndarray, " n"]) -> Float[np.ndarray, "steps 51"]:
    """Mean over the rows in which a step is known; rotations as the rotation nearest to the mean matrix."""
    steps, known = memory.steps[rows], memory.known[rows]
    mean = np.zeros(steps.shape[1:])
    longest = int(known.max())
    for step in range(longest):
        seen = steps[known > step, step]
        mean[step] = seen.mean(0)
        mean[step, 3:6] = euler_xyz(nearest_rotation(from_euler_xyz(seen[:, 3:6]).mean(0)))
    mean[longest:, 6:] = mean[longest - 1, 6:]
    return mean


def _held(
    steps: Float[np.ndarray, "rows steps 51"], known: Int[np.ndarray, " rows"]
) -> Float[np.ndarray, "rows steps 51"]:
    """The steps with nothing moving after the last known one."""
    numbers = np.arange(steps.shape[1])
    last = np.minimum(numbers, known[:, None] - 1)
    held = np.take_along_axis(steps, last[..., None], axis=1)
    held[..., :6] = np.where((numbers < known[:, None])[..., None], held[..., :6], 0.0)
    return held
