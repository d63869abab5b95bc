"""What one clip of the synthetic world is asked to be: a frozen, validated configuration."""

from dataclasses import asdict, dataclass

from vitra_lib.core.errors import BadInput, UnknownName

SPLITS = ("train", "unseen-texture", "unseen-object", "unseen-category")
HANDS = ("right", "left", "both")
CAMERAS = ("moving", "static")


@dataclass(frozen=True)
class ClipConfig:
    """One clip; the same configuration always gives the same clip.

    Attributes:
        seed: of everything random in the clip (>= 0).
        split: "train", or which thing is held out from training clips: "unseen-texture",
            "unseen-object" (new instances of known categories) or "unseen-category".
        duration_s: length of the clip [s].
        fps: frames per second [1/s].
        width_px, height_px: frame size; both even, as video coders need.
        hands: which hands are in the scene: "right", "left" or "both".
        camera: "moving" (a head that sways and follows the hands with its gaze) or "static".
        fov_min_deg, fov_max_deg: range from which the horizontal field of view is drawn [deg].
        objects: number of objects that hands may use.
        clutter: number of things that stand around and are never touched.
        antialias: four rays for pixels on outlines; hand trackers need it.
    """

    seed: int = 0
    split: str = "train"
    duration_s: float = 10.0
    fps: float = 30.0
    width_px: int = 640
    height_px: int = 480
    hands: str = "both"
    camera: str = "moving"
    fov_min_deg: float = 60.0
    fov_max_deg: float = 100.0
    objects: int = 5
    clutter: int = 6
    antialias: bool = True

    def __post_init__(self) -> None:
        for what, given, legal in (
            ("split", self.split, SPLITS),
            ("hands", self.hands, HANDS),
            ("camera", self.camera, CAMERAS),
        ):
            if given not in legal:
                raise UnknownName(what, given, legal)
        checks = (
            (self.seed >= 0, f"seed must be 0 or more, not {self.seed}"),
            (2.0 <= self.duration_s <= 120.0, f"duration_s must be in [2, 120], not {self.duration_s}"),
            (5.0 <= self.fps <= 120.0, f"fps must be in [5, 120], not {self.fps}"),
            (
                all(64 <= n <= 4096 and n % 2 == 0 for n in (self.width_px, self.height_px)),
                f"width_px and height_px must be even and in [64, 4096], not {self.width_px}x{self.height_px}",
            ),
            (
                30.0 <= self.fov_min_deg <= self.fov_max_deg <= 120.0,
                f"fields of view must satisfy 30 <= min <= max <= 120, not {self.fov_min_deg}, {self.fov_max_deg}",
            ),
            (2 <= self.objects <= 8, f"objects must be in [2, 8], not {self.objects}"),
            (0 <= self.clutter <= 12, f"clutter must be in [0, 12], not {self.clutter}"),
        )
        for holds, sentence in checks:
            if not holds:
                raise BadInput(f"ClipConfig: {sentence}.")

    @property
    def frame_count(self) -> int:
        """Number of frames: duration times frame rate, rounded."""
        return round(self.duration_s * self.fps)

    def as_dict(self) -> dict[str, object]:
        """Plain values, fit for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, object]) -> "ClipConfig":
        """The inverse of `as_dict`.

        Raises:
            BadInput: a field is unknown or missing.
        """
        names = set(cls.__dataclass_fields__)
        if set(values) != names:
            raise BadInput(f"ClipConfig needs exactly the fields {sorted(names)}, not {sorted(values)}.")
        return cls(**values)
