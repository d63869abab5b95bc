"""One training sample out of an episode's frame, or many at once (spec of the sample, 2, and of the augmentation, 3).

`make_sample` is `make_label_batch` for one sample, plus its image: both give the same numbers for the same draws.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from vitra_lib.captioning.instruction import NO_INSTRUCTION, two_hand_instruction
from vitra_lib.core.errors import BadInput, UnknownName, VitraError
from vitra_lib.dataset.action_space import ActionSpace
from vitra_lib.dataset.arrays import EpisodeArrays
from vitra_lib.dataset.colour import ColourConfig, change_colours
from vitra_lib.dataset.draws import COLOUR, N_DRAWS, PLACE, VIEW, draw
from vitra_lib.dataset.labels import RELATIVE_TO, actions, states, under_view
from vitra_lib.dataset.normalisation import Normaliser
from vitra_lib.dataset.text import mirror_instruction
from vitra_lib.dataset.upsampling import INTERPOLATIONS, upsampled
from vitra_lib.dataset.virtual_camera import ViewConfig, VirtualCameras, draw_aspect, draw_virtual_cameras
from vitra_lib.dataset.warp import RESAMPLINGS, warp
from vitra_lib.dataset.window import HandWindow, WindowShape, gather_window, palm_boxes
from vitra_lib.episodes.episode import Episode


@dataclass(frozen=True)
class AugmentationConfig:
    """What is varied from one pass over the data to the next.

    Attributes:
        view: the virtual camera.
        colour: changes of light and colour; None for none.
        none_probability: how often the other hand's sentence is replaced by "None." (its labels stay).
        resampling: how the virtual camera's image is computed; "lanczos" is the official way, several times slower.
    """

    view: ViewConfig = field(default_factory=ViewConfig)
    colour: ColourConfig | None = field(default_factory=ColourConfig)
    none_probability: float = 0.0
    resampling: str = "linear"

    def __post_init__(self) -> None:
        if not 0 <= self.none_probability <= 1:
            raise BadInput(f"none_probability is {self.none_probability}: it is a share in [0, 1].")
        if self.resampling not in RESAMPLINGS:
            raise UnknownName("resampling", self.resampling, RESAMPLINGS)


@dataclass(frozen=True)
class SampleConfig:
    """What a sample holds.

    Attributes:
        action_type: fingers as "angle" or as "keypoints".
        rel_mode: steps from the pose before ("step") or from the pose at the sample's frame ("anchor").
        use_rel: finger angles as changes instead of absolute.
        chunk: steps from the sample's frame on.
        past: steps before it.
        augmentation: what to vary; None leaves image and labels as they are.
        official_quirks: do as the official code does where it is wrong (spec 9.5).
        image_height_px: height of the image of a virtual camera [px]; its width follows from the drawn aspect.
        state_dropout: how often the state is hidden (the official training uses 0.1).
        upsample_factor: poses per second over those of the video, at least 1; the horizon shrinks by it.
        upsample_method: how poses are interpolated then.
    """

    action_type: str = "angle"
    rel_mode: str = "step"
    use_rel: bool = False
    chunk: int = 16
    past: int = 0
    augmentation: AugmentationConfig | None = None
    official_quirks: bool = False
    image_height_px: int = 224
    state_dropout: float = 0.0
    upsample_factor: float = 1.0
    upsample_method: str = "pchip"

    def __post_init__(self) -> None:
        ActionSpace(self.action_type)
        if self.rel_mode not in RELATIVE_TO:
            raise UnknownName("rel_mode", self.rel_mode, RELATIVE_TO)
        if self.use_rel and self.action_type != "angle":
            raise BadInput("use_rel needs the action type 'angle': keypoints have no relative form.")
        if self.chunk < 1 or self.past < 0 or self.image_height_px < 1:
            raise BadInput("A sample needs chunk >= 1, past >= 0 and image_height_px >= 1.")
        if not 0 <= self.state_dropout <= 1:
            raise BadInput(f"state_dropout is {self.state_dropout}: it is a share in [0, 1].")
        if self.upsample_factor < 1 or (self.upsample_factor > 1 and self.past > 0):
            raise BadInput("upsample_factor is at least 1, and more than 1 only for windows without past.")
        if self.upsample_method not in INTERPOLATIONS:
            raise UnknownName("interpolation", self.upsample_method, INTERPOLATIONS)

    @property
    def space(self) -> ActionSpace:
        """Where each number is."""
        return ActionSpace(self.action_type)

    @property
    def window(self) -> WindowShape:
        """Which frames belong to a sample."""
        return WindowShape(
            past=self.past,
            chunk=self.chunk,
            official_quirks=self.official_quirks,
            with_joints=self.use_rel or self.upsample_factor > 1,
            with_keypoints=self.action_type == "keypoints",
        )


@dataclass(frozen=True, eq=False)
class Sample:
    """What a policy learns from. Lengths in metres, angles in radians, or standard deviations if normalised.

    Attributes:
        image: (height, width, 3) RGB; None if the labels alone were asked for.
        instruction: "Left hand: … Right hand: …".
        fov_rad: (2,) horizontal and vertical field of view of the image.
        K_px: (3, 3) its intrinsics; without an image, those of the image that the labels were made for.
        action: (steps, 192) and its mask, number by number; zero where masked.
        action_mask: True where the number counts.
        state: (212,) and its mask.
        state_mask: True where the number is known.
        name: name of the episode.
        frame: frame of the episode.
    """

    image: UInt8[np.ndarray, "height width 3"] | None
    instruction: str
    fov_rad: Float[np.ndarray, "2"]
    K_px: Float[np.ndarray, "3 3"]
    action: Float[np.ndarray, "steps 192"]
    action_mask: Bool[np.ndarray, "steps 192"]
    state: Float[np.ndarray, "212"]
    state_mask: Bool[np.ndarray, "212"]
    name: str
    frame: int


@dataclass(frozen=True, eq=False)
class LabelBatch:
    """The labels of many samples; fields as in `Sample`, one row each.

    Attributes:
        raw_state, raw_state_mask: (samples, 122 or 158), (samples, 2) not normalised, not packed, with shapes.
        raw_action, raw_action_mask: (samples, steps, 102 or 138), (samples, steps, 2) likewise.
        views: the virtual cameras; None without augmentation.
    """

    instruction: tuple[str, ...]
    fov_rad: Float[np.ndarray, "samples 2"]
    K_px: Float[np.ndarray, "samples 3 3"]
    action: Float[np.ndarray, "samples steps 192"]
    action_mask: Bool[np.ndarray, "samples steps 192"]
    state: Float[np.ndarray, "samples 212"]
    state_mask: Bool[np.ndarray, "samples 212"]
    name: tuple[str, ...]
    frame: Int[np.ndarray, " samples"]
    raw_state: Float[np.ndarray, "samples state_dim"]
    raw_state_mask: Bool[np.ndarray, "samples 2"]
    raw_action: Float[np.ndarray, "samples steps action_dim"]
    raw_action_mask: Bool[np.ndarray, "samples steps 2"]
    views: VirtualCameras | None


def make_sample(
    episode: Episode,
    frame: int,
    image: UInt8[np.ndarray, "height width 3"] | None,
    config: SampleConfig,
    rng: np.random.Generator | np.random.RandomState,
    normaliser: Normaliser | None = None,
) -> Sample:
    """The sample at one frame.

    Args:
        episode: where it is taken from.
        frame: episode frame.
        image: what the video shows at this frame, at any resolution; None for labels alone.
        config: what a sample holds.
        rng: for every choice; `sample_rng(seed, epoch, index)` makes it independent of the order of samples.
        normaliser: statistics to normalise by; None leaves metres and radians.

    Raises:
        BadInput: the frame is not in the episode, or the sample can't be augmented; the message names the sample.
    """
    arrays = EpisodeArrays.of_one(episode)
    u = draw(rng)
    if image is not None:
        if min(image.shape[:2]) < 1:
            raise BadInput(f"Sample {episode.name}, frame {frame}: its image has no pixels.")
        arrays = replace(arrays, size_px=np.array([[image.shape[1], image.shape[0]]], dtype=np.float64))
    labels = make_label_batch(arrays, np.zeros(1, np.int64), np.array([frame]), u[None], config, normaliser)
    if image is not None:
        image = render_image(image, arrays.K[0], labels, 0, u, config)
    return Sample(
        image=image,
        instruction=labels.instruction[0],
        fov_rad=labels.fov_rad[0],
        K_px=labels.K_px[0],
        action=labels.action[0],
        action_mask=labels.action_mask[0],
        state=labels.state[0],
        state_mask=labels.state_mask[0],
        name=episode.name,
        frame=frame,
    )


def make_label_batch(
    arrays: EpisodeArrays,
    episode: Int[np.ndarray, " samples"],
    frame: Int[np.ndarray, " samples"],
    u: Float[np.ndarray, "samples draws"],
    config: SampleConfig,
    normaliser: Normaliser | None = None,
) -> LabelBatch:
    """Samples without images, all at once.

    Args:
        arrays: labels of the episodes.
        episode, frame: (samples,) number of the episode in `arrays`, and the frame in it.
        u: (samples, 16) uniform numbers of each sample (`draw_many`).
        config: what a sample holds.
        normaliser: statistics to normalise by; None leaves metres and radians.

    Raises:
        BadInput: a frame is not in its episode, or a sample can't be augmented; the message names it.
    """
    _check_frames(arrays, episode, frame, u)
    texts, bounds = _choose_texts(arrays, episode, frame, u, config)
    window = _gather(arrays, episode, frame, bounds, config)
    views = _draw_views(arrays, episode, frame, u, config)
    size = arrays.size_px[episode]
    K_px = np.concatenate([arrays.K[episode][:, :2] * size[..., None], arrays.K[episode][:, 2:]], axis=1)
    fov = 2 * np.arctan(0.5 / arrays.K[episode][:, [0, 1], [0, 1]])
    if views is not None:
        window = under_view(window, views.R_view_cam, views.is_flipped)
        K_px, fov = views.K_px, views.fov_rad
        pairs = zip(texts, views.is_flipped.tolist(), strict=True)
        texts = [mirror_instruction(text, config.official_quirks) if flipped else text for text, flipped in pairs]
    action, action_mask = actions(window, config.space, config.past, config.rel_mode, config.use_rel)
    state, state_mask = states(window, config.space, config.past)
    hidden = u[:, PLACE["state_dropout"]] < config.state_dropout
    state, state_mask = np.where(hidden[:, None], 0.0, state), state_mask & ~hidden[:, None]
    packed_action = config.space.pack_action(normaliser.normalise_action(action) if normaliser else action, action_mask)
    packed_state = config.space.pack_state(normaliser.normalise_state(state) if normaliser else state, state_mask)
    names = tuple(arrays.names[e] for e in episode.tolist())
    _check_finite((packed_action[0], packed_state[0], np.where(fov > 0, fov, np.nan)), names, frame)
    return LabelBatch(
        instruction=tuple(texts),
        fov_rad=fov.astype(np.float32),
        K_px=K_px,
        action=packed_action[0],
        action_mask=packed_action[1],
        state=packed_state[0],
        state_mask=packed_state[1],
        name=names,
        frame=frame,
        raw_state=state,
        raw_state_mask=state_mask,
        raw_action=action,
        raw_action_mask=action_mask,
        views=views,
    )


def render_image(
    image: UInt8[np.ndarray, "height width 3"],
    K: Float[np.ndarray, "3 3"],
    labels: LabelBatch,
    number: int,
    u: Float[np.ndarray, " draws"],
    config: SampleConfig,
) -> UInt8[np.ndarray, "out_height out_width 3"]:
    """The image of one sample of a batch: seen by its virtual camera, in its changed colours.

    Args:
        image: what the video shows at the sample's frame.
        K: (3, 3) its intrinsics in normalised image coordinates (`arrays.K[episode]`).
        labels, number: the batch, and the sample's place in it.
        u: (16,) the sample's uniform numbers.
        config: the one that `labels` were made with.

    Raises:
        BadInput: the image can't be warped; the message names the sample.
    """
    if config.augmentation is None or labels.views is None:
        return image
    views = labels.views
    resampling = "lanczos" if config.official_quirks else config.augmentation.resampling
    try:
        seen = warp(image, K, views.K[number], views.R_view_cam[number], views.size_px[number], resampling)
    except VitraError as error:
        raise BadInput(f"Sample {labels.name[number]}, frame {labels.frame[number]}: {error}") from error
    if config.augmentation.colour is None:
        return seen
    return change_colours(seen, labels.instruction[number], u[COLOUR], config.augmentation.colour)


def _gather(
    arrays: EpisodeArrays, episode: np.ndarray, frame: np.ndarray, bounds: np.ndarray, config: SampleConfig
) -> HandWindow:
    """The windows in the source camera, at the rate that was asked for."""
    window = gather_window(arrays, episode, frame, bounds, config.window)
    if config.upsample_factor == 1:
        return window
    return upsampled(window, config.upsample_factor, config.upsample_method, config.official_quirks)


def _check_frames(arrays: EpisodeArrays, episode: np.ndarray, frame: np.ndarray, u: np.ndarray) -> None:
    wrong = (frame < 0) | (frame >= arrays.length[episode])
    if wrong.any():
        number = int(episode[wrong][0])
        last = int(arrays.length[number]) - 1
        raise BadInput(f"Episode {arrays.names[number]} has frames 0 to {last}, not {int(frame[wrong][0])}.")
    if u.shape[1] != N_DRAWS:
        raise BadInput(f"A sample takes {N_DRAWS} uniform numbers, not {u.shape[1]}.")


def _check_finite(values: tuple[np.ndarray, ...], names: tuple[str, ...], frame: np.ndarray) -> None:
    good = np.logical_and.reduce([np.isfinite(one).reshape(len(one), -1).all(1) for one in values])
    if not good.all():
        number = int(np.argmin(good))
        raise BadInput(
            f"Sample {names[number]}, frame {int(frame[number])}: its labels are not finite; "
            "check the episode's camera, hands and statistics (vitra check)."
        )


def _choose_texts(
    arrays: EpisodeArrays, episode: np.ndarray, frame: np.ndarray, u: np.ndarray, config: SampleConfig
) -> tuple[list[str], np.ndarray]:
    """The instruction of each sample before any mirroring, and (samples, 2, 2) bounds of its windows."""
    share = config.augmentation.none_probability if config.augmentation else 0.0
    draws = u[:, [PLACE[name] for name in ("other_caption", "main_text", "other_text", "none")]].tolist()
    texts, bounds = [], np.empty((len(episode), 2, 2), np.int64)
    for row, (number, at, (caption, main, other, none)) in enumerate(
        zip(episode.tolist(), frame.tolist(), draws, strict=True)
    ):
        captions = arrays.texts[number]
        chosen, bounds[row] = captions.choose(at, caption, main, other, config.official_quirks)
        sentences = list(chosen)
        if none < share:
            sentences[1 - captions.primary] = NO_INSTRUCTION
        texts.append(two_hand_instruction(*sentences))
    return texts, bounds


def _draw_views(
    arrays: EpisodeArrays, episode: np.ndarray, frame: np.ndarray, u: np.ndarray, config: SampleConfig
) -> VirtualCameras | None:
    if config.augmentation is None:
        return None
    view = replace(config.augmentation.view, official_roll=True) if config.official_quirks else config.augmentation.view
    box = palm_boxes(arrays, episode, frame, config.official_quirks)
    aspect = draw_aspect(u[:, PLACE["aspect"]], view)
    return draw_virtual_cameras(arrays.K[episode], box, aspect, u[:, VIEW], config.image_height_px, view)
