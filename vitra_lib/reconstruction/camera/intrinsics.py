"""Focal length of a clip: given, self-calibrated from many starts, or an egocentric prior."""

from dataclasses import dataclass, replace

import numpy as np

from vitra_lib.reconstruction.camera.config import CameraConfig
from vitra_lib.reconstruction.camera.mapping import KeyframeMap, build_map
from vitra_lib.reconstruction.camera.spinning import focal_from_rotation, rotation_parallax_px
from vitra_lib.reconstruction.camera.tracks import pixels_from_work, pixels_to_work
from vitra_lib.reconstruction.camera.twoview import ranked_pairs

# Even a perfect fit of a pinhole leaves the lens's own distortion unmodelled.
_FLOOR_REL_STD = 0.01


def prior_focal(width_px: float, config: CameraConfig) -> float:
    """Focal length [px] of the assumed field of view."""
    return 0.5 * width_px / np.tan(0.5 * np.deg2rad(config.prior_fov_deg))


@dataclass(frozen=True)
class Pinhole:
    """Pixels of the given frames, of the working image, and centred isotropic ones (see `bundle`).

    Attributes:
        focal: focal length in centred pixels.
        centre_px: principal point in pixels of the given frames.
        aspect: fx / fy.
        scale: working pixels per given pixel.
    """

    focal: float
    centre_px: tuple[float, float]
    aspect: float
    scale: float

    @classmethod
    def of(cls, K_px: np.ndarray | None, width: int, height: int, scale: float, config: CameraConfig) -> "Pinhole":
        """From given intrinsics, or the prior with square pixels and a centred principal point."""
        if K_px is None:
            return cls(prior_focal(float(width), config) * scale, (width / 2.0, height / 2.0), 1.0, scale)
        centre = (float(K_px[0, 2]), float(K_px[1, 2]))
        return cls(float(K_px[0, 0]) * scale, centre, float(K_px[0, 0] / K_px[1, 1]), scale)

    def centred(self, uv_work: np.ndarray) -> np.ndarray:
        """Working pixels to centred isotropic ones."""
        offset = uv_work - pixels_to_work(np.array(self.centre_px), self.scale)
        return offset * np.array([1.0, self.aspect])

    def to_work(self, uv_centred: np.ndarray) -> np.ndarray:
        """Centred pixels to working pixels."""
        return uv_centred / np.array([1.0, self.aspect]) + pixels_to_work(np.array(self.centre_px), self.scale)

    def to_px(self, uv_centred: np.ndarray) -> np.ndarray:
        """Centred pixels to pixels of the given frames."""
        return pixels_from_work(self.to_work(uv_centred), self.scale)

    def with_focal(self, focal: float) -> "Pinhole":
        return replace(self, focal=float(focal))

    def K_px(self) -> np.ndarray:
        """(3, 3) intrinsics in pixels of the given frames."""
        fx = self.focal / self.scale
        return np.array([[fx, 0.0, self.centre_px[0]], [0.0, fx / self.aspect, self.centre_px[1]], [0.0, 0.0, 1.0]])


@dataclass(frozen=True)
class Focal:
    """A focal length [centred px], its relative 1-sigma and its source: "given", "self-calibration" or "prior"."""

    focal: float
    rel_std: float
    source: str

    def refined(self, mapped: KeyframeMap, config: CameraConfig) -> "Focal":
        """The focal length after the global adjustment of all keyframes."""
        std = float(np.hypot(mapped.focal_std() / mapped.focal, _FLOOR_REL_STD))
        return Focal(float(mapped.focal), max(std, min(self.rel_std, 0.5 * config.max_focal_rel_std)), self.source)


def rotation_limit_px(work_width: float, config: CameraConfig) -> float:
    """The rotation-only limit in pixels of a working image of this width."""
    return config.rotation_only_px * work_width / 640.0


def calibrate(table: np.ndarray, seen: np.ndarray, lens: Pinhole, given: bool, config: CameraConfig) -> Focal:
    """Focal length of a moving clip.

    Structure from motion has false minima in the focal length (a start 20 % too short can end in a mirrored scene),
    so it is started from several guesses on the part of the clip with most parallax; the start that explains most
    observations best wins. A camera that only turns is calibrated from its rotation instead, and where neither
    works the prior stays.

    Args:
        table, seen: keyframe table in centred pixels.
        lens: current pinhole; its focal length is the given one or the prior.
        given: True when the user gave K.
        config: knobs.
    """
    prior = Focal(lens.focal, config.prior_rel_std, "prior")
    if given:
        return Focal(lens.focal, 0.0, "given")
    width = 2.0 * lens.centre_px[0] * lens.scale
    guesses = np.array(config.focal_guesses) * width
    if min(rotation_parallax_px(table, seen, f, config) for f in guesses) < rotation_limit_px(width, config):
        focal, std, _ = focal_from_rotation(table, seen, guesses, config)
        std = float(np.hypot(std, _FLOOR_REL_STD))
        return Focal(focal, std, "self-calibration") if std < config.max_focal_rel_std else prior
    part, part_seen = _busiest(table, seen, float(np.median(guesses)), config)
    trials = []
    for guess in guesses:
        mapped = build_map(part, part_seen, float(guess), True, config)
        if mapped is not None and 0.7 * guesses.min() < mapped.focal < 1.4 * guesses.max():
            trials.append((_support(mapped), float(mapped.focal), mapped.focal_std()))
        if _settled(trials):
            break
    if not trials:
        return prior
    best, focal, std = max(trials)
    # Starts that explain the clip almost as well but elsewhere are honest uncertainty.
    rivals = np.array([other for support, other, _ in trials if support > 0.97 * best])
    spread = float(np.std(np.log(rivals)))
    rel_std = float(np.sqrt((std / focal) ** 2 + spread**2 + _FLOOR_REL_STD**2))
    return Focal(focal, rel_std, "self-calibration") if rel_std < config.max_focal_rel_std else prior


def _settled(trials: list[tuple[float, float, float]]) -> bool:
    """Three starts ran and the two that explain most agree to 2 %: further starts would only cost time."""
    if len(trials) < 3:
        return False
    first, second = sorted(trials, reverse=True)[:2]
    return bool(abs(np.log(first[1] / second[1])) < 0.02 and second[0] > 0.9 * first[0])


def _support(mapped: KeyframeMap) -> float:
    """How much a map explains: observations, each counting less the worse it fits."""
    bundle = mapped.bundle(np.flatnonzero(mapped.registered), np.flatnonzero(mapped.has_point))
    # Half the inlier limit: a wrong focal length keeps as many observations, but they fit worse.
    error = np.linalg.norm(bundle.residuals(), axis=1) / (0.5 * mapped.config.inlier_px)
    return float(np.maximum(0.0, 1.0 - error**2).sum())


def _busiest(table: np.ndarray, seen: np.ndarray, focal: float, config: CameraConfig) -> tuple[np.ndarray, np.ndarray]:
    """The run of keyframes around the pair with most parallax."""
    count = config.calibration_keyframes
    if len(table) <= count:
        return table, seen
    pairs = ranked_pairs(table, seen, focal, config)
    middle = (pairs[0][0] + pairs[0][1]) // 2 if pairs else len(table) // 2
    first = int(np.clip(middle - count // 2, 0, len(table) - count))
    rows = slice(first, first + count)
    often = seen[rows].sum(0) > 1
    return table[rows][:, often], seen[rows][:, often]
