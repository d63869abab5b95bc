"""Policy samples out of teleoperated episodes: the same `Sample` as the human data's, in the unified layout."""

from collections import OrderedDict
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from jaxtyping import Bool, Float, UInt8

from robot.hand.mapping import UNMAPPED, HandMap
from robot.teleop.episode import TeleEpisode
from robot.teleop.files import TeleData
from robot.teleop.vectors import chunk_of, tele_states, tele_steps
from vitra_lib.captioning.instruction import two_hand_instruction
from vitra_lib.core.errors import BadInput, UnknownName
from vitra_lib.dataset.normalisation import Normaliser
from vitra_lib.dataset.sample import Sample
from vitra_lib.geometry.cameras import fov_from_K


@dataclass(frozen=True)
class TeleSampleConfig:
    """What a sample holds.

    Attributes:
        chunk: steps of the action.
        unmapped: what happens to human finger angles that no robot joint copies ("masked", or the official "zero").
        width_px, height_px: size of the image that the episode's intrinsics describe; needed for samples without one.
    """

    chunk: int = 16
    unmapped: str = "masked"
    width_px: int = 640
    height_px: int = 480

    def __post_init__(self) -> None:
        if self.chunk < 1 or self.width_px < 1 or self.height_px < 1:
            raise BadInput("TeleSampleConfig: chunk, width_px and height_px must be 1 or more.")
        if self.unmapped not in UNMAPPED:
            raise UnknownName("rule for unmapped fingers", self.unmapped, UNMAPPED)


def tele_instruction(episode: TeleEpisode) -> str:
    """ "Left hand: … Right hand: …": the episode's sentence for every arm that there is, "None." for the other."""
    if episode.instruction.lstrip().lower().startswith("left hand:"):
        return episode.instruction
    return two_hand_instruction(*(episode.instruction if episode.has(side) else None for side in ("left", "right")))


def make_tele_sample(
    episode: TeleEpisode,
    frame: int,
    image: UInt8[np.ndarray, "height width 3"] | None = None,
    normaliser: Normaliser | None = None,
    hand_map: HandMap | None = None,
    config: TeleSampleConfig | None = None,
) -> Sample:
    """One sample at one frame.

    Args:
        episode: where from.
        frame: the frame that the policy sees.
        image: what the head camera saw, at the size that the intrinsics describe; None for labels alone.
        normaliser: statistics of 36 numbers (`tele_statistics`); applied BEFORE the mapping. None leaves m and rad.
        hand_map: the hand's table; the XHand's when None.
        config: what the sample holds.

    Raises:
        BadInput: the frame is not in the episode, or the statistics are of another robot.
    """
    config, hand_map = config or TeleSampleConfig(), hand_map or HandMap.load()
    if not 0 <= frame < len(episode):
        raise BadInput(f"Episode {episode.name} has frames 0 to {len(episode) - 1}, not {frame}.")
    if normaliser is not None and len(normaliser.state_mean) != hand_map.dim:
        raise BadInput(f"The statistics have {len(normaliser.state_mean)} numbers; this robot has {hand_map.dim}.")
    vectors = _vectors(episode)
    state, known = vectors.states[frame], vectors.known[frame]
    action, valid = chunk_of(vectors.steps, vectors.counts, frame, config.chunk)
    if normaliser is not None:
        state, action = normaliser.normalise_state(state), normaliser.normalise_action(action)
    unified_state = hand_map.unified_state(state, known, config.unmapped)
    unified_action = hand_map.unified_action(action, valid, config.unmapped)
    height, width = (config.height_px, config.width_px) if image is None else image.shape[:2]
    return Sample(
        image=image,
        instruction=tele_instruction(episode),
        fov_rad=fov_from_K(episode.K_px, width, height).astype(np.float32),
        K_px=episode.K_px,
        action=unified_action[0],
        action_mask=unified_action[1],
        state=unified_state[0],
        state_mask=unified_state[1],
        name=episode.name,
        frame=frame,
    )


class TeleSamples:
    """All samples of a folder of TeleData that have a step to learn from, with their images, by number.

    Safe to hand to worker processes: open videos are not carried along.
    """

    def __init__(
        self,
        data: TeleData,
        normaliser: Normaliser | None = None,
        hand_map: HandMap | None = None,
        config: TeleSampleConfig | None = None,
    ) -> None:
        """
        Args:
            data: the episodes; their annotations are read once and kept.
            normaliser, hand_map, config: as in `make_tele_sample`.

        Raises:
            BadInput: an annotation is broken, or no frame has a step.
        """
        self._data, self._normaliser = data, normaliser
        self._hand_map, self._config = hand_map or HandMap.load(), config or TeleSampleConfig()
        self._episodes = tuple(data)
        self._readers: OrderedDict = OrderedDict()
        usable = [np.flatnonzero(_vectors(episode).counts.any(axis=1)) for episode in self._episodes]
        self._places = [(e, int(frame)) for e, frames in enumerate(usable) for frame in frames]
        if not self._places:
            raise BadInput(f"{data.root} has no frame in which a hand is valid together with the next.")

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, number: int) -> Sample:
        """Sample `number`; its image is decoded from the episode's video.

        Raises:
            BadVideo: the video is missing or broken.
        """
        episode_number, frame = self._places[number]
        episode = self._episodes[episode_number]
        image = self._reader(episode.name).at([frame])[0].image
        return make_tele_sample(episode, frame, image, self._normaliser, self._hand_map, self._config)

    def close(self) -> None:
        """Close the videos that are open."""
        while self._readers:
            self._readers.popitem()[1].close()

    def __getstate__(self) -> dict:
        return {**vars(self), "_readers": OrderedDict()}

    def _reader(self, name: str):  # noqa: ANN202 - VideoReader, imported where it is needed
        from vitra_lib.video import VideoReader

        if name not in self._readers:
            if len(self._readers) >= _OPEN_VIDEOS:
                self._readers.popitem(last=False)[1].close()
            self._readers[name] = VideoReader(self._data.video(name))
        self._readers.move_to_end(name)
        return self._readers[name]


_OPEN_VIDEOS = 16


@dataclass(frozen=True, eq=False)
class _Vectors:
    """The robot vectors of an episode: states and whether they are known, steps and whether they count."""

    states: Float[np.ndarray, "time robot"]
    known: Bool[np.ndarray, "time 2"]
    steps: Float[np.ndarray, "time robot"]
    counts: Bool[np.ndarray, "time 2"]


_MADE: "WeakKeyDictionary[TeleEpisode, _Vectors]" = WeakKeyDictionary()


def _vectors(episode: TeleEpisode) -> _Vectors:
    """The vectors of an episode, remembered as long as it lives."""
    if episode not in _MADE:
        _MADE[episode] = _Vectors(*tele_states(episode), *tele_steps(episode))
    return _MADE[episode]
