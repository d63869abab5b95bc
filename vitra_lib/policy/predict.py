"""From a picture, a sentence and the hands as they are to where they will go (spec of the inference, 8.4).

A prediction is a set of draws: S trajectories per hand of one start and `chunk` steps, in the camera of the picture.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8

from vitra_lib.captioning.instruction import NO_INSTRUCTION, two_hand_instruction
from vitra_lib.contracts.hand_track import SIDES, Side
from vitra_lib.core.errors import BadInput
from vitra_lib.dataset.action_space import ActionSpace
from vitra_lib.dataset.labels import replay
from vitra_lib.dataset.normalisation import Normaliser, read_statistics
from vitra_lib.geometry.cameras import K_from_focal, fov_from_K
from vitra_lib.geometry.rotations import from_euler_xyz
from vitra_lib.hands.kinematics import pose_joints
from vitra_lib.hands.model import HandModel
from vitra_lib.policy.checkpoint import load_policy, read_description
from vitra_lib.policy.config import SamplingConfig
from vitra_lib.policy.hand_state import HandState
from vitra_lib.policy.policy import Policy, PolicyInputs
from vitra_lib.policy.processor import Processor

STATISTICS = "statistics"
"""Name, among the facts of a checkpoint, of what states and actions were normalised by; in the official layout."""
REL_MODE = "rel_mode"
"""Name, among the facts, of what the steps are relative to (`SampleConfig.rel_mode`)."""
_SPACE = ActionSpace("angle")
_FAR_Z = 10.0
_NO_SPREAD = 1e-4  # what official statistics have for a hand that was never seen; ours have 0


@dataclass(frozen=True)
class Request:
    """What is asked of a policy besides the picture.

    Attributes:
        instruction: sentence in the template "Left hand: … Right hand: …", or what the one wanted hand does.
        hands: those that shall move; None = those that the sentence gives something to do.
        fov_x_rad: full horizontal field of view of the picture [rad]; None = as the hand state says.
        sampling: draws, steps, guidance and seed.
    """

    instruction: str
    hands: tuple[Side, ...] | None = None
    fov_x_rad: float | None = None
    sampling: SamplingConfig = SamplingConfig(samples=4)

    def __post_init__(self) -> None:
        if self.hands is not None and (not self.hands or not set(self.hands) <= set(SIDES)):
            raise BadInput(f"The wanted hands are {self.hands}; legal are left, right, or both.")
        if self.fov_x_rad is not None and not 0.02 < self.fov_x_rad < 3.1:
            raise BadInput(f"The field of view is {np.rad2deg(self.fov_x_rad):.1f} degrees; legal is 2 to 177.")


@dataclass(frozen=True, eq=False)
class HandFuture:
    """Where one hand may go: all draws.

    Attributes:
        side: "left" or "right".
        points: [t, static-axes xyz Euler angles of the wrist, 45 finger angles] in the camera of the picture
            [m, rad]; the first point of every draw is the hand as it is.
        joints_cam: the 21 joints at each point [m].
    """

    side: Side
    points: Float[np.ndarray, "samples points 51"]
    joints_cam: Float[np.ndarray, "samples points 21 3"]


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a policy draws for one picture.

    Attributes:
        hands: one entry per wanted hand, left first.
        instruction: the sentence as the policy read it.
        K_px: intrinsics of the picture that were used.
        start: the hands as they are.
        sampling: how it was drawn.
        remarks: sentences about what may be wrong with the request.
    """

    hands: tuple[HandFuture, ...]
    instruction: str
    K_px: Float[np.ndarray, "3 3"]
    start: HandState
    sampling: SamplingConfig
    remarks: tuple[str, ...] = ()


class Predictor:
    """A policy with its processor and statistics, ready to be asked."""

    def __init__(
        self,
        policy: Policy,
        processor: Processor,
        normaliser: Normaliser,
        hand_model: HandModel,
        rel_mode: str = "step",
    ) -> None:
        """
        Args:
            policy: on the device where it shall compute.
            processor: from pictures and sentences to tensors.
            normaliser: what the policy's states and actions were normalised by.
            hand_model: makes joints of finger angles.
            rel_mode: what its steps are relative to.

        Raises:
            BadInput: the statistics are of another action space.
        """
        if len(normaliser.action_mean) != _SPACE.action_dim or len(normaliser.state_mean) != _SPACE.state_dim:
            raise BadInput(
                f"The statistics are for states of {len(normaliser.state_mean)} and actions of "
                f"{len(normaliser.action_mean)} numbers; a prediction needs {_SPACE.state_dim} and {_SPACE.action_dim} "
                "(finger angles)."
            )
        self.policy, self.normaliser, self.hand_model, self.rel_mode = policy.eval(), normaliser, hand_model, rel_mode
        self._processor = processor

    @classmethod
    def open(
        cls,
        checkpoint: Path,
        hand_model: HandModel,
        statistics: Path | None = None,
        profile: str | None = None,
        tokenizer: Path | None = None,
    ) -> "Predictor":
        """Read a checkpoint.

        Args:
            checkpoint: folder with weights and description.
            hand_model: makes joints of finger angles.
            statistics: official statistics file; those in the checkpoint when None.
            profile: refuse checkpoints of another profile; any when None.
            tokenizer: folder of a PaliGemma checkpoint whose tokenizer is used; the shipped one when None.

        Raises:
            BadInput: a damaged checkpoint, one of another profile or vocabulary, or one without statistics.
        """
        facts = read_description(checkpoint).get("facts", {})
        normaliser = read_statistics(statistics) if statistics is not None else checkpoint_statistics(checkpoint, facts)
        processor = Processor(tokenizer)
        policy = load_policy(checkpoint, profile)
        processor.check_fits(policy.config)
        return cls(policy, processor, normaliser, hand_model, facts.get(REL_MODE, "step"))

    def __call__(self, image: UInt8[np.ndarray, "height width 3"], state: HandState, request: Request) -> Prediction:
        """Predict for one picture.

        Args:
            image: RGB, upright.
            state: the hands in it.
            request: sentence, hands, field of view, draws.

        Raises:
            BadInput: no field of view, a wanted hand is not in the state, or a sentence that can't be used.
        """
        instruction, hands = understood(request.instruction, request.hands)
        state.require(hands, "the hand state")
        self._require_learned(hands)
        fov_x = request.fov_x_rad if request.fov_x_rad is not None else state.fov_x_rad
        if fov_x is None:
            raise BadInput("The picture's field of view is not known; give it with --fov-deg (a phone has about 65).")
        height, width = image.shape[:2]
        K_px = K_from_focal(0.5 * width / float(np.tan(0.5 * fov_x)), width, height)
        known = np.array([side in hands for side in SIDES])
        raw = state.vector[None]
        inputs = self.inputs([image], [instruction], fov_from_K(K_px, width, height)[None], raw, known[None])
        drawn = self.draw(inputs, known[None], request.sampling)[0]
        futures = []
        for index, side in enumerate(SIDES):
            if known[index]:
                steps = drawn[..., index * _SPACE.per_hand : (index + 1) * _SPACE.per_hand]
                futures.append(self._future(side, index, state, steps))
        remarks = (*remarks_on(instruction, state, self.hand_model), *_strange(inputs))
        return Prediction(tuple(futures), instruction, K_px, state, request.sampling, remarks)

    def inputs(
        self,
        images: list[UInt8[np.ndarray, "_ _ 3"]],
        instructions: list[str],
        fov_rad: Float[np.ndarray, "batch 2"],
        state: Float[np.ndarray, "batch 122"],
        is_known: Bool[np.ndarray, "batch 2"],
    ) -> PolicyInputs:
        """What the policy sees of some pictures; states in metres and radians.

        Numbers of a state that never varied in training become their mean: a deviation from it would be divided by
        almost nothing.
        """
        normalised = np.where(self.normaliser.state_std > _NO_SPREAD, self.normaliser.normalise_state(state), 0.0)
        packed, mask = _SPACE.pack_state(normalised, is_known)
        made = self._processor(self.policy.config, images, instructions, fov_rad, packed, mask)
        return made.to(self.policy.device)

    def draw(
        self, inputs: PolicyInputs, is_wanted: Bool[np.ndarray, "batch 2"], sampling: SamplingConfig
    ) -> Float[np.ndarray, "batch samples chunk 102"]:
        """Steps of both hands in metres and radians; those of a hand that is not wanted mean nothing."""
        chunk = self.policy.config.denoiser.chunk
        wanted = np.repeat(is_wanted[:, None], chunk, axis=1)
        _, mask = _SPACE.pack_action(np.zeros((*wanted.shape[:2], _SPACE.action_dim)), wanted)
        drawn = self.policy.predict(inputs, torch.from_numpy(mask).to(self.policy.device), sampling)
        values = drawn[..., : _SPACE.action_dim].cpu().numpy().astype(np.float64)
        if not np.isfinite(values).all():
            raise BadInput("The policy drew NaN or infinite actions; its weights or statistics are damaged.")
        return self.normaliser.restore_action(values)

    def _require_learned(self, hands: tuple[Side, ...]) -> None:
        """Refuse a hand that the training data never showed: its statistics have no spread."""
        spread = self.normaliser.state_std.reshape(2, _SPACE.state_per_hand)[:, : _SPACE.per_hand].max(1)
        for side in hands:
            if spread[SIDES.index(side)] <= _NO_SPREAD:
                raise BadInput(
                    f"The policy has never seen a {side} hand (its statistics have no spread there); ask for the other "
                    "one, or give other statistics."
                )

    def _future(self, side: Side, index: int, state: HandState, steps: np.ndarray) -> HandFuture:
        """Follow the steps of one hand from where it is."""
        start = state.vector.reshape(2, _SPACE.state_per_hand)[index]
        points = np.stack([replay(start, one, self.rel_mode) for one in steps])
        betas = shape_for(self.hand_model, state.hand_model, state.betas[index])
        return HandFuture(side, points, joints_of_points(points, side, betas, self.hand_model))


def _strange(inputs: PolicyInputs) -> list[str]:
    """A remark on a state that is unlike those of the training data."""
    far = int((inputs.state.abs() > _FAR_Z).sum())
    if not far:
        return []
    return [f"{far} numbers of the hands' state are more than {_FAR_Z:g} deviations from those of the training data."]


def checkpoint_statistics(checkpoint: Path, facts: dict[str, Any]) -> Normaliser:
    """The statistics among a checkpoint's facts.

    Raises:
        BadInput: there are none.
    """
    content = facts.get(STATISTICS)
    if not isinstance(content, dict):
        raise BadInput(
            f"The checkpoint {checkpoint} has no normalisation statistics; give the data set's file with --statistics "
            "(`vitra statistics` makes one)."
        )
    return Normaliser.from_official(content)


def shape_for(model: HandModel, named: str, betas: Float[np.ndarray, "10"]) -> Float[np.ndarray, "10"]:
    """Shape numbers that mean something for a hand model: the given ones if they are its own, else the mean shape."""
    return betas if model.name == named else np.zeros(10)


def joints_of_points(
    points: Float[np.ndarray, "*batch 51"], side: Side, betas: Float[np.ndarray, "10"], model: HandModel
) -> Float[np.ndarray, "*batch 21 3"]:
    """Joints [m] of poses [t, euler(R), fingers] of one hand, in their camera."""
    flat = points.reshape(-1, 51)
    fingers = from_euler_xyz(flat[:, 6:].reshape(-1, 15, 3))
    joints = pose_joints(model, side, from_euler_xyz(flat[:, 3:6]), flat[:, :3], fingers, betas)
    return joints.reshape(*points.shape[:-1], 21, 3)


def understood(instruction: str, hands: tuple[Side, ...] | None) -> tuple[str, tuple[Side, ...]]:
    """The sentence in the training template, and the hands that shall move, left first.

    Raises:
        BadInput: an empty sentence, one that gives no hand something to do, or one that does not say which hand.
    """
    text = " ".join(instruction.split())
    if not text:
        raise BadInput('The instruction is empty; say what the hands shall do ("Right hand: Pick up the cup.").')
    parts = _parts(text)
    if parts is None:
        if hands is None or len(hands) != 1:
            raise BadInput(
                f'"{text[:60]}" does not say which hand is meant: write "Left hand: … Right hand: …", or name one hand '
                "with --hands."
            )
        parts = {side: text if side in hands else "" for side in SIDES}
    told = tuple(side for side in SIDES if parts[side] and parts[side] != NO_INSTRUCTION)
    wanted = told if hands is None else tuple(side for side in SIDES if side in hands)
    if not wanted:
        raise BadInput(f'"{text[:60]}" gives neither hand something to do; say it, or name a hand with --hands.')
    return two_hand_instruction(parts["left"], parts["right"]), wanted


def _parts(text: str) -> dict[Side, str] | None:
    """What each hand is told, of a sentence in the template (one hand may be left out); None of any other."""
    lower = text.lower()
    left, right = lower.find("left hand:"), lower.find("right hand:")
    if max(left, right) < 0 or min(place for place in (left, right) if place >= 0) > 0:
        return None
    if left < 0 or right < 0:
        side: Side = "left" if right < 0 else "right"
        return {one: text[len(f"{side} hand:") :].strip() if one == side else "" for one in SIDES}
    first, second = sorted((left, right))
    pieces = (text[first:second].partition(":")[2].strip(), text[second:].partition(":")[2].strip())
    return dict(zip(SIDES if left < right else SIDES[::-1], pieces, strict=True))


def remarks_on(instruction: str, state: HandState, model: HandModel) -> tuple[str, ...]:
    """What may be wrong with a request that can be answered."""
    remarks = []
    if any(letter.isalpha() and not letter.isascii() for letter in instruction):
        remarks.append("The instruction has letters that are not English; the policy has learned from English only.")
    if state.hand_model != model.name:
        remarks.append(
            f"The state's shape is one of {state.hand_model!r}; joints are drawn with the mean shape of {model.name!r}."
        )
    return tuple(remarks)
