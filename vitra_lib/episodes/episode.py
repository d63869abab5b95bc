"""One episode: a clip of one atomic action with camera, both hands and captions (spec of the episode format, 1.2).

World-space arrays are what is stored, as in the official files; camera-space arrays are derived from them.
"""

import dataclasses
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int

from vitra_lib.captioning.instruction import two_hand_instruction
from vitra_lib.contracts.hand_track import SIDES, Side
from vitra_lib.core.errors import BadInput
from vitra_lib.geometry.cameras import fov_from_K
from vitra_lib.geometry.transforms import apply, invert


@dataclass(frozen=True)
class EpisodeCaption:
    """A sentence about one hand, with the episode frames that it describes.

    Attributes:
        text: imperative sentence ("Pick up the cup.").
        start, stop: half-open interval [start, stop) of episode frame indices; an empty one never applies.
        source: who wrote it: "motion-only", "truth", "openai:<model>", "vitra-1m"…
        is_weak: True when the text names no object and must not be taken for a real caption.
        rephrasings: paraphrases in the order in which they were given, kept letter by letter.
    """

    text: str
    start: int
    stop: int
    source: str
    is_weak: bool = False
    rephrasings: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class EpisodeHand:
    """One hand of an episode, in MANO's layout and the right-hand convention for both sides.

    Attributes:
        R_world_wrist: (time, 3, 3) rotation of the wrist frame into the world.
        t_world_wrist: (time, 3) position of the wrist joint in the world [m].
        R_parent_joint: (time, 15, 3, 3) local finger rotations, MANO order.
        betas: (10,) shape of `hand_model`.
        joints_world: (time, 21, 3) joints in the world [m]; may be NaN where invalid.
        is_valid: (time,) True where the pose may be used.
        confidence: (time,) in [0, 1].
        hand_model: whose `betas` these are: "standin" or "mano".
        rest_wrist_m: (3,) wrist joint of the rest pose in the template [m], zeros if unknown; only the
            deprecated `transl_camspace` of the official layout needs it.
        captions: sentences about this hand, ordered by start.
    """

    R_world_wrist: Float[np.ndarray, "time 3 3"]
    t_world_wrist: Float[np.ndarray, "time 3"]
    R_parent_joint: Float[np.ndarray, "time 15 3 3"]
    betas: Float[np.ndarray, "10"]
    joints_world: Float[np.ndarray, "time 21 3"]
    is_valid: Bool[np.ndarray, " time"]
    confidence: Float[np.ndarray, " time"]
    hand_model: str
    rest_wrist_m: Float[np.ndarray, "3"] = field(default_factory=lambda: np.zeros(3))
    captions: tuple[EpisodeCaption, ...] = ()

    def __len__(self) -> int:
        return len(self.is_valid)


@dataclass(frozen=True, eq=False)
class Episode:
    """A clip of one video around one atomic action of its primary hand.

    Attributes:
        name: unique identifier, "{dataset_prefix}_{video_name}_ep_{000000}".
        dataset_prefix: text before the first "_" of `name`; decides how the video file is named.
        video_name: name of the source video without folder and extension.
        primary_hand: the hand whose motion cut the episode.
        fps: true mean frame rate of the source video [1/s].
        width_px, height_px: size of the image that `K_px` describes.
        K_px: (3, 3) pinhole intrinsics, OpenCV axes.
        crop_px: (4,) rectangle (x, y, width, height) of that image which the video shows [px];
            the whole image except where the source was cropped after calibration.
        T_cam_world: (time, 4, 4) maps points in the world to the camera of each frame [m].
        source_frame: (time,) 0-based frame number in the source video.
        time_s: (time,) presentation time in the source video [s]; need not be uniform.
        left, right: the hands.
        source_clip: number of the clip inside a long video from which the labels come (0 if not cut).
        quality: named figures; NaN when unknown.
        provenance: named facts on how the labels were made ("intrinsics_source", "video_sha256"…).
    """

    name: str
    dataset_prefix: str
    video_name: str
    primary_hand: Side
    fps: float
    width_px: int
    height_px: int
    K_px: Float[np.ndarray, "3 3"]
    crop_px: Float[np.ndarray, "4"]
    T_cam_world: Float[np.ndarray, "time 4 4"]
    source_frame: Int[np.ndarray, " time"]
    time_s: Float[np.ndarray, " time"]
    left: EpisodeHand
    right: EpisodeHand
    source_clip: int = 0
    quality: dict[str, float] = field(default_factory=dict)
    provenance: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        time = len(self.source_frame)
        if time < 1:
            raise BadInput(f"Episode {self.name}: it has no frames; an episode needs at least one.")
        lengths = {"T_cam_world": self.T_cam_world, "time_s": self.time_s, "left": self.left, "right": self.right}
        for what, values in lengths.items():
            if len(values) != time:
                raise BadInput(f"Episode {self.name}: {what} has {len(values)} frames, source_frame has {time}.")
        for part in (self.dataset_prefix, self.video_name):
            if not part or "/" in part or "\\" in part or part.startswith("."):
                raise BadInput(f"Episode {self.name}: {part!r} can't be part of a file name.")
        if "_" in self.dataset_prefix:
            raise BadInput(f"Episode {self.name}: the prefix {self.dataset_prefix!r} must not contain '_'.")
        for side in SIDES:
            self._check_hand(side, time)

    def _check_hand(self, side: Side, time: int) -> None:
        hand = self.hand(side)
        for caption in hand.captions:
            if not 0 <= caption.start <= caption.stop <= time:
                interval = f"[{caption.start}, {caption.stop})"
                raise BadInput(f"Episode {self.name}: a {side} caption covers {interval} of {time} frames.")
        for what in ("R_world_wrist", "t_world_wrist", "R_parent_joint", "joints_world"):
            if not np.isfinite(getattr(hand, what)[hand.is_valid]).all():
                raise BadInput(f"Episode {self.name}: {side} {what} is not finite in a frame that is marked valid.")

    def __len__(self) -> int:
        return len(self.source_frame)

    def hand(self, side: Side) -> EpisodeHand:
        """One hand."""
        return self.left if side == "left" else self.right

    @property
    def T_world_cam(self) -> Float[np.ndarray, "time 4 4"]:
        """(time, 4, 4) maps points in the camera of each frame to the world."""
        return invert(self.T_cam_world)

    def R_cam_wrist(self, side: Side) -> Float[np.ndarray, "time 3 3"]:
        """(time, 3, 3) rotation of the wrist frame into the camera of the same frame."""
        return self.T_cam_world[:, :3, :3] @ self.hand(side).R_world_wrist

    def t_cam_wrist(self, side: Side) -> Float[np.ndarray, "time 3"]:
        """(time, 3) wrist joint in the camera of the same frame [m]."""
        return apply(self.T_cam_world, self.hand(side).t_world_wrist[:, None])[:, 0]

    def joints_cam(self, side: Side) -> Float[np.ndarray, "time 21 3"]:
        """(time, 21, 3) joints in the camera of the same frame [m], NaN where unknown."""
        return apply(self.T_cam_world, self.hand(side).joints_world)

    def K_for(self, width_px: int, height_px: int) -> Float[np.ndarray, "3 3"]:
        """(3, 3) intrinsics of the video frame resized to `width_px` x `height_px`; x and y scale apart."""
        x, y, width, height = self.crop_px
        scale = np.diag([width_px / width, height_px / height, 1.0])
        shift = np.array([[1.0, 0.0, -x], [0.0, 1.0, -y], [0.0, 0.0, 1.0]])
        return scale @ shift @ self.K_px

    @property
    def fov_rad(self) -> Float[np.ndarray, "2"]:
        """(2,) full horizontal and vertical field of view of what the video shows [rad]."""
        return fov_from_K(self.K_for(1000, 1000), 1000, 1000)

    def instruction(self, frame: int) -> str:
        """The two-handed sentence at one frame, without paraphrase: "Left hand: … Right hand: …"."""
        return instruction(self, frame)

    def equals(self, other: "Episode") -> bool:
        """True when every field is the same, floats bit for bit (NaN equals NaN)."""
        return _same(self, other)


def _same(a: object, b: object) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    if dataclasses.is_dataclass(a):
        return all(_same(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    return a == b or bool(isinstance(a, float) and np.isnan(a) and np.isnan(b))


def instruction(episode: Episode, frame: int) -> str:
    """Training text at one frame (spec of sample construction, 2.1 and 2.7), original wording only.

    The primary hand's first caption holds for the whole episode; the other hand's first caption that covers
    `frame` is used, else "None.".
    """
    texts: dict[Side, str | None] = {}
    for side in SIDES:
        captions = episode.hand(side).captions
        if side != episode.primary_hand:
            captions = tuple(c for c in captions if c.start <= frame < c.stop)
        texts[side] = captions[0].text if captions else None
    return two_hand_instruction(**texts)
