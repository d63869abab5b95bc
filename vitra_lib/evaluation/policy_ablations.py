"""What a policy attends to: the same pictures with something taken away or swapped, in the synthetic world.

The paper asks whether the hand goes to the thing that the sentence names. Here this can be measured: the world knows
where every thing is. Each condition changes what the policy is given and nothing else, noise included.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8

from vitra_lib.contracts.hand_track import SIDES
from vitra_lib.dataset import ReadConfig, SampleConfig, SampleSource, TrainingSamples, replay
from vitra_lib.evaluation.accuracy import Figure
from vitra_lib.evaluation.hand_actions import mean_interval
from vitra_lib.hands.skeleton import PALM_JOINTS
from vitra_lib.pipeline.world_episodes import EpisodeTruth, episode_truth
from vitra_lib.policy.config import SamplingConfig
from vitra_lib.policy.predict import Predictor, joints_of_points, shape_for

_PER_HAND, _STATE_PER_HAND = 51, 61
AS_IT_IS, GREY, OTHER_PICTURE, NO_NAME, SWAPPED = (
    "as it is",
    "grey picture",
    "picture of another scene",
    "nothing named",
    "other thing named",
)
_FOLLOWS_M = 0.02
CONDITIONS = (AS_IT_IS, GREY, OTHER_PICTURE, NO_NAME, SWAPPED)


@dataclass(frozen=True, eq=False)
class Scene:
    """The first frame of one episode, and what is true of it.

    Attributes:
        image: RGB.
        instruction: as the loader gives it.
        swapped: the same with the name of another thing.
        fov_rad: of the picture [rad].
        state, is_known: of both hands.
        hand: 0 left, 1 right: the hand that acts.
        steps: true steps of that hand, to its last known one [m, rad].
        K_px: of the picture.
        truth: of the episode's clip.
        other: number of the thing that the swapped sentence names.
    """

    image: UInt8[np.ndarray, "height width 3"]
    instruction: str
    swapped: str
    fov_rad: Float[np.ndarray, "2"]
    state: Float[np.ndarray, "122"]
    is_known: Bool[np.ndarray, "2"]
    hand: int
    steps: Float[np.ndarray, "steps 51"]
    K_px: Float[np.ndarray, "3 3"]
    truth: EpisodeTruth
    other: int

    @property
    def start(self) -> Float[np.ndarray, "61"]:
        """State of the hand that acts."""
        return self.state.reshape(2, _STATE_PER_HAND)[self.hand]


@dataclass(frozen=True, eq=False)
class Answers:
    """What the policy does under one condition, one row per scene.

    Attributes:
        joints_cam: of the acting hand, all draws, in each scene's camera [m]; points up to the last known step count.
        fde_m: distance of the wrist's end from the true one, mean of the draws.
        to_named_m, to_other_m: distance of the palm's end from the thing that the true sentence names, and from the
            other one, mean of the draws.
    """

    joints_cam: tuple[Float[np.ndarray, "samples points 21 3"], ...]
    fde_m: Float[np.ndarray, " scenes"]
    to_named_m: Float[np.ndarray, " scenes"]
    to_other_m: Float[np.ndarray, " scenes"]


def first_scenes(source: SampleSource, most: int | None = None) -> list[Scene]:
    """The first frame of every episode of a world data set that names one of at least two things.

    Args:
        source: the data set.
        most: look at no more episodes than these.

    Raises:
        BadInput: the data set is not of the synthetic world.
    """
    samples = TrainingSamples((source,), SampleConfig(), None, read=ReadConfig())
    numbers, first = np.unique(source.locate(np.arange(len(source)))[0], return_index=True)
    scenes = []
    for number, sample in zip(numbers[:most].tolist(), first.tolist(), strict=False):
        episode = source.episode(number)
        truth = episode_truth(episode)
        names, owners = truth.clip.objects.names, truth.clip.objects.owners
        others = [k for k in range(len(names)) if k != truth.target and owners[k] == episode.primary_hand]
        hand = SIDES.index(episode.primary_hand)
        key = samples.key(sample)
        labels = samples.labels([key])
        known = int(np.cumprod(labels.raw_action_mask[0, :, hand]).sum())
        if truth.target < 0 or not others or not known or not labels.raw_state_mask[0, hand]:
            continue
        text, name = labels.instruction[0], names[truth.target]
        scenes.append(
            Scene(
                image=samples[key].image,
                instruction=text,
                swapped=text.replace(f"the {name}", f"the {names[others[0]]}"),
                fov_rad=labels.fov_rad[0].astype(np.float64),
                state=labels.raw_state[0],
                is_known=labels.raw_state_mask[0],
                hand=hand,
                steps=labels.raw_action[0, :known, hand * _PER_HAND : (hand + 1) * _PER_HAND],
                K_px=labels.K_px[0],
                truth=truth,
                other=others[0],
            )
        )
    samples.close()
    return scenes


def answers_under(
    predictor: Predictor, scenes: list[Scene], condition: str, sampling: SamplingConfig, batch: int = 16
) -> Answers:
    """Let a policy answer all scenes under one condition of `CONDITIONS`."""
    change = _CHANGES[condition]
    joints, fde, named, other = [], [], [], []
    for begin in range(0, len(scenes), batch):
        part = scenes[begin : begin + batch]
        images, texts = zip(*(change(scenes, begin + n) for n in range(len(part))), strict=True)
        inputs = predictor.inputs(
            list(images),
            list(texts),
            np.stack([scene.fov_rad for scene in part]),
            np.stack([scene.state for scene in part]),
            np.stack([scene.is_known for scene in part]),
        )
        wanted = np.zeros((len(part), 2), bool)
        wanted[np.arange(len(part)), [scene.hand for scene in part]] = True
        drawn = predictor.draw(inputs, wanted, sampling)
        for scene, steps in zip(part, drawn, strict=True):
            own = steps[:, : len(scene.steps), scene.hand * _PER_HAND : (scene.hand + 1) * _PER_HAND]
            points = np.stack([replay(scene.start, one, predictor.rel_mode) for one in own])
            true_end = replay(scene.start, scene.steps)[-1, :3]
            betas = shape_for(predictor.hand_model, "standin", scene.start[_PER_HAND:])
            joints.append(joints_of_points(points, SIDES[scene.hand], betas, predictor.hand_model))
            palm = joints[-1][:, -1, list(PALM_JOINTS)].mean(1)
            fde.append(np.linalg.norm(points[:, -1, :3] - true_end, axis=-1).mean())
            for distances, thing in ((named, scene.truth.target), (other, scene.other)):
                distances.append(np.linalg.norm(palm - scene.truth.object_cam(thing, 0), axis=-1).mean())
    return Answers(tuple(joints), np.array(fde), np.array(named), np.array(other))


def ablation_figures(predictor: Predictor, source: SampleSource, sampling: SamplingConfig) -> list[Figure]:
    """What a policy needs, as a record holds it: errors under every condition, and whether the hand follows the name.

    Args:
        predictor: the policy.
        source: a world data set that it was not trained on; the first picture of every episode is asked about.
        sampling: how the policy draws; the noise is the same under every condition.

    Raises:
        BadInput: the data set is not of the synthetic world.
    """
    scenes = first_scenes(source)
    names = np.arange(len(scenes))
    answers = {condition: answers_under(predictor, scenes, condition, sampling) for condition in CONDITIONS}
    closer_m = answers[AS_IT_IS].to_other_m - answers[SWAPPED].to_other_m
    rows = [(f"first pictures / {name} / wrist FDE", 100 * one.fde_m, "cm") for name, one in answers.items()]
    rows += [
        ("first pictures / other thing named / palm ends nearer to it by", 100 * closer_m, "cm"),
        (
            "first pictures / other thing named / nearer by more than 2 cm",
            (closer_m > _FOLLOWS_M).astype(float),
            "share",
        ),
    ]
    return [
        Figure(name, mean, unit, n, interval)
        for name, values, unit in rows
        for mean, n, interval in [mean_interval(values, names)]
    ]


def _grey(scenes: list[Scene], number: int) -> tuple[np.ndarray, str]:
    return np.full_like(scenes[number].image, 128), scenes[number].instruction


def _no_name(scenes: list[Scene], number: int) -> tuple[np.ndarray, str]:
    scene = scenes[number]
    name = scene.truth.clip.objects.names[scene.truth.target]
    return scene.image, scene.instruction.replace(f"the {name}", "it")


_CHANGES: dict[str, Callable[[list[Scene], int], tuple[np.ndarray, str]]] = {
    AS_IT_IS: lambda scenes, number: (scenes[number].image, scenes[number].instruction),
    GREY: _grey,
    OTHER_PICTURE: lambda scenes, number: (scenes[number - 1].image, scenes[number].instruction),
    NO_NAME: _no_name,
    SWAPPED: lambda scenes, number: (scenes[number].image, scenes[number].swapped),
}
