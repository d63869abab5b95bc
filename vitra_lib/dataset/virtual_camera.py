"""The trajectory-aware virtual camera: a turned, rolled, zoomed and perhaps mirrored view that keeps the hand in sight.

A view is drawn inside the source image so that the palm's way to the end of the episode stays visible (spec of the
augmentation, 3.2; paper section 3.2, data augmentation). Everything is computed for many samples at once. Image
coordinates are normalised: (0, 0) is the top-left corner of the image and (1, 1) the bottom-right one.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from vitra_lib.core.errors import BadInput
from vitra_lib.hands.mirror import MIRROR

_MIN_FOV_RAD = 0.01
_BISECTIONS = 20


@dataclass(frozen=True)
class ViewConfig:
    """How far a virtual camera may differ from the source camera.

    Attributes:
        aspect: smallest and largest width/height of the target image; drawn evenly in its logarithm.
        fov_rad: smallest and largest horizontal field of view [rad].
        fov_relative: the same as shares of the source's field of view.
        margin: the box around the palm's way grows on each side by this share of its size.
        max_roll_rad: largest turn about the viewing axis, to either side [rad].
        min_overlap: share of the box that the rolled view must keep.
        flip_probability: how often the view is mirrored.
        official_roll: bound the roll as the official sampler does, by turning the view's frame in the image as if that
            were flat: the corners of some views then lie outside the source and are black.
    """

    aspect: tuple[float, float] = (1.0, 2.0)
    fov_rad: tuple[float, float] = (float(np.deg2rad(45.0)), float(np.deg2rad(150.0)))
    fov_relative: tuple[float, float] = (0.05, 1.0)
    margin: float = 0.05
    max_roll_rad: float = float(np.deg2rad(30.0))
    min_overlap: float = 0.95
    flip_probability: float = 0.5
    official_roll: bool = False

    def __post_init__(self) -> None:
        for name in ("aspect", "fov_rad", "fov_relative"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise BadInput(f"ViewConfig.{name} is ({low}, {high}): give two positive numbers, the smaller first.")
        if self.fov_rad[1] >= np.pi:
            raise BadInput(f"ViewConfig.fov_rad goes to {self.fov_rad[1]} rad: a pinhole sees less than pi.")
        if self.margin < 0 or not 0 <= self.max_roll_rad < np.pi / 2:
            raise BadInput("ViewConfig.margin must be >= 0 and max_roll_rad in [0, pi/2).")
        for name in ("min_overlap", "flip_probability"):
            if not 0 <= getattr(self, name) <= 1:
                raise BadInput(f"ViewConfig.{name} is {getattr(self, name)}: it is a share in [0, 1].")


@dataclass(frozen=True, eq=False)
class VirtualCameras:
    """Views of `samples` source images.

    Attributes:
        K: (samples, 3, 3) intrinsics of the view in normalised image coordinates.
        R_view_cam: (samples, 3, 3) maps source-camera directions to the view; det -1 where mirrored.
        is_flipped: (samples,) True where the view is mirrored.
        size_px: (samples, 2) width and height of the target image.
    """

    K: Float[np.ndarray, "samples 3 3"]
    R_view_cam: Float[np.ndarray, "samples 3 3"]
    is_flipped: Bool[np.ndarray, " samples"]
    size_px: Int[np.ndarray, "samples 2"]

    @property
    def K_px(self) -> Float[np.ndarray, "samples 3 3"]:
        """(samples, 3, 3) intrinsics in pixels of the target image."""
        scale = np.ones((len(self.K), 3, 1))
        scale[:, :2, 0] = self.size_px
        return self.K * scale

    @property
    def fov_rad(self) -> Float[np.ndarray, "samples 2"]:
        """(samples, 2) horizontal and vertical field of view [rad]."""
        return 2 * np.arctan(0.5 / self.K[:, [0, 1], [0, 1]])


def draw_aspect(u: Float[np.ndarray, " samples"], config: ViewConfig) -> Float[np.ndarray, " samples"]:
    """(samples,) width/height of the target image from uniform numbers in [0, 1)."""
    low, high = np.log(config.aspect)
    return np.exp(low + (high - low) * u)


def draw_virtual_cameras(
    K: Float[np.ndarray, "samples 3 3"],
    box: Float[np.ndarray, "samples 4"],
    aspect: Float[np.ndarray, " samples"],
    u: Float[np.ndarray, "samples 5"],
    height_px: int,
    config: ViewConfig,
) -> VirtualCameras:
    """One view per sample.

    Args:
        K: (samples, 3, 3) source intrinsics in normalised image coordinates.
        box: (samples, 4) box (u0, v0, u1, v1) around the palm's way, in normalised image coordinates.
        aspect: (samples,) width/height of the target image.
        u: (samples, 5) uniform numbers in [0, 1) in the official order: field of view, centre x, centre y, roll, flip.
        height_px: height of the target image [px].
        config: the limits.

    Returns:
        The views. A view may be narrower than `config.fov_rad` where the source image does not hold more.
    """
    focal = np.stack([K[:, 0, 0], K[:, 1, 1]], axis=1)
    principal = np.stack([K[:, 0, 2], K[:, 1, 2]], axis=1)
    box = _grown(box, config.margin)
    edge = np.arctan((np.array([[[0.0], [1.0]]]) - principal[:, None]) / focal[:, None])  # samples, (low, high), (x, y)
    fov = _draw_fov(edge[:, 1] - edge[:, 0], box, focal, aspect, u[:, 0], config)
    centre = _draw_centre(edge, fov, box, focal, principal, u[:, 1:3])
    R_turn = _turn_to_axis((centre - principal) / focal)
    quad = _on_plane(_corners(np.zeros((len(K), 2)), np.ones((len(K), 2))), R_turn, focal, principal)
    extent = np.minimum(2 * np.tan(fov / 2), _largest_extent(quad, aspect))
    if config.official_roll:
        fits = _flat_fit(centre, extent * focal, box, config.min_overlap)
    else:
        fits = _exact_fit(quad, extent, _on_plane(_corners(box[:, :2], box[:, 2:]), R_turn, focal, principal), config)
    roll = _draw_roll(fits, u[:, 3], config)
    R = np.zeros((len(K), 3, 3))
    cosine, sine = np.cos(roll), np.sin(roll)
    R[:, 0, 0], R[:, 0, 1], R[:, 1, 0], R[:, 1, 1], R[:, 2, 2] = cosine, -sine, sine, cosine, 1.0
    is_flipped = u[:, 4] < config.flip_probability
    R = R @ R_turn
    R = np.where(is_flipped[:, None, None], MIRROR @ R, R)
    K_view = np.zeros((len(K), 3, 3))
    K_view[:, 0, 0], K_view[:, 1, 1] = 1 / extent[:, 0], 1 / extent[:, 1]
    K_view[:, :2, 2], K_view[:, 2, 2] = 0.5, 1.0
    size = np.stack([(height_px * aspect).astype(np.int64), np.full(len(K), height_px)], axis=1)
    return VirtualCameras(K=K_view, R_view_cam=R, is_flipped=is_flipped, size_px=size)


def _grown(box: np.ndarray, margin: float) -> np.ndarray:
    extra = margin * (box[:, 2:] - box[:, :2])
    return np.clip(np.concatenate([box[:, :2] - extra, box[:, 2:] + extra], axis=1), 0.0, 1.0)


def _fov_at_aspect(fov: np.ndarray, aspect: np.ndarray) -> np.ndarray:
    """The field of view of an image side that is `aspect` times as long as one that sees `fov`."""
    return 2 * np.arctan(np.tan(fov / 2) * aspect)


def _draw_fov(
    source: np.ndarray, box: np.ndarray, focal: np.ndarray, aspect: np.ndarray, u: np.ndarray, config: ViewConfig
) -> np.ndarray:
    """(samples, 2) field of view: wide enough for the box, not wider than the source."""

    def both(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return x, _fov_at_aspect(y, aspect)

    low = np.minimum(*both(*(config.fov_relative[0] * source).T))
    low = np.maximum(config.fov_rad[0], low)
    high = np.minimum(config.fov_rad[1], np.minimum(*both(*(config.fov_relative[1] * source).T)))
    angle = 2 * np.arctan(0.5 * (box[:, 2:] - box[:, :2]) / focal)
    needed_x, needed_y = both(*angle.T)
    low = np.maximum(low, np.maximum(np.maximum(needed_x, _MIN_FOV_RAD), np.maximum(needed_y, _MIN_FOV_RAD)))
    low = np.minimum(low, high)
    fov_x = low + (high - low) * u
    return np.stack([fov_x, _fov_at_aspect(fov_x, 1 / aspect)], axis=1)


def _draw_centre(
    edge: np.ndarray, fov: np.ndarray, box: np.ndarray, focal: np.ndarray, principal: np.ndarray, u: np.ndarray
) -> np.ndarray:
    """(samples, 2) image point that the view looks at: its frame stays in the source and its box in the frame."""
    first = principal + focal * np.tan(edge[:, 0] + fov / 2)
    last = principal + focal * np.tan(edge[:, 1] - fov / 2)
    half = np.tan(fov / 2) * focal
    low = np.clip(box[:, 2:] - half, first, last)
    high = np.clip(box[:, :2] + half, first, last)
    return low + (high - low) * u


def _turn_to_axis(xy: np.ndarray) -> np.ndarray:
    """(samples, 3, 3) smallest rotation that turns the ray (x, y, 1) onto the viewing axis."""
    norm = np.sqrt((xy**2).sum(1) + 1)
    x, y, z = xy[:, 0] / norm, xy[:, 1] / norm, 1 / norm
    rest = 1 / (1 + z)
    R = np.empty((len(xy), 3, 3))
    R[:, 0] = np.stack([1 - x * x * rest, -x * y * rest, -x], axis=1)
    R[:, 1] = np.stack([-x * y * rest, 1 - y * y * rest, -y], axis=1)
    R[:, 2] = np.stack([x, y, z], axis=1)
    return R


def _corners(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """(samples, 4, 2) corners of rectangles, around."""
    return np.stack([low, np.stack([high[:, 0], low[:, 1]], 1), high, np.stack([low[:, 0], high[:, 1]], 1)], axis=1)


def _on_plane(uv: np.ndarray, R_turn: np.ndarray, focal: np.ndarray, principal: np.ndarray) -> np.ndarray:
    """(samples, points, 2) image points on the plane at distance 1 of the turned camera."""
    x, y = np.moveaxis((uv - principal[:, None]) / focal[:, None], -1, 0)
    R = R_turn[:, :, :, None]
    turned = R[:, :, 0] * x[:, None] + R[:, :, 1] * y[:, None] + R[:, :, 2]
    return np.stack([turned[:, 0] / turned[:, 2], turned[:, 1] / turned[:, 2]], axis=-1)


def _largest_extent(quad: np.ndarray, aspect: np.ndarray) -> np.ndarray:
    """(samples, 2) size, at distance 1, of the largest centred frame of that aspect inside the turned source image."""
    along = np.roll(quad, -1, axis=1) - quad
    cross = quad[..., 0] * along[..., 1] - quad[..., 1] * along[..., 0]  # of the edge's line with the origin
    reach = []
    for sign in (1.0, -1.0):  # the two diagonals (aspect, 1) and (aspect, -1)
        slope = aspect[:, None] * along[..., 1] - sign * along[..., 0]
        reach.append(np.abs(np.divide(cross, slope, out=np.full_like(cross, np.inf), where=np.abs(slope) > 1e-12)))
    shortest = np.minimum(*reach).min(axis=1)
    return 2 * np.stack([shortest * aspect, shortest], axis=1)


def _draw_roll(fits: Callable[[np.ndarray], np.ndarray], u: np.ndarray, config: ViewConfig) -> np.ndarray:
    """(samples,) roll [rad] between the largest ones that fit to either side."""
    good = np.zeros((len(u), 2))
    bad = np.full((len(u), 2), config.max_roll_rad)
    bad[:, 1] *= -1
    for _ in range(_BISECTIONS):
        middle = (good + bad) / 2
        is_fit = fits(middle)
        good, bad = np.where(is_fit, middle, good), np.where(is_fit, bad, middle)
    return good[:, 1] + (good[:, 0] - good[:, 1]) * u


def _exact_fit(
    quad: np.ndarray, extent: np.ndarray, box: np.ndarray, config: ViewConfig
) -> Callable[[np.ndarray], np.ndarray]:
    """Whether a rolled view lies inside the source image and the box inside the view, up to `min_overlap` of its area.

    Args:
        quad, box: (samples, 4, 2) corners of source image and box on the plane at distance 1.
        extent: (samples, 2) size of the view there.
    """
    # Corners come first and coordinates apart: NumPy is slow at reducing short last axes.
    quad_x, quad_y = np.ascontiguousarray(np.moveaxis(quad, (2, 1), (0, 1)))[..., None]
    box_x, box_y = np.ascontiguousarray(np.moveaxis(box, (2, 1), (0, 1)))[..., None]
    normal_x, normal_y = np.roll(quad_y, -1, axis=0) - quad_y, quad_x - np.roll(quad_x, -1, axis=0)  # outwards
    room = normal_x * quad_x + normal_y * quad_y + 1e-12
    half_x, half_y = extent.T[..., None] / 2

    def fits(roll: np.ndarray) -> np.ndarray:
        cosine, sine = np.cos(roll), np.sin(roll)
        # The view's corner that goes furthest beyond an edge, seen from the rolled view.
        reach = np.abs(cosine * normal_x - sine * normal_y) * half_x
        reach += np.abs(sine * normal_x + cosine * normal_y) * half_y
        x, y = cosine * box_x - sine * box_y, sine * box_x + cosine * box_y
        low, high = (x.min(0), y.min(0)), (x.max(0), y.max(0))
        inside = (reach <= room).all(0)
        return inside & _holds((-half_x, -half_y), (half_x, half_y), low, high, config.min_overlap)

    return fits


def _flat_fit(
    centre: np.ndarray, size: np.ndarray, box: np.ndarray, min_overlap: float
) -> Callable[[np.ndarray], np.ndarray]:
    """The official test: the frame is turned in image coordinates, and its hull is compared with the box."""
    half_x, half_y = size.T[..., None] / 2
    centre_x, centre_y = centre.T[..., None]
    box_low, box_high = (box.T[0, :, None], box.T[1, :, None]), (box.T[2, :, None], box.T[3, :, None])

    def fits(roll: np.ndarray) -> np.ndarray:
        cosine, sine = np.abs(np.cos(roll)), np.abs(np.sin(roll))
        reach_x, reach_y = half_x * cosine + half_y * sine, half_y * cosine + half_x * sine
        low, high = (centre_x - reach_x, centre_y - reach_y), (centre_x + reach_x, centre_y + reach_y)
        inside = (low[0] >= 0) & (low[1] >= 0) & (high[0] <= 1) & (high[1] <= 1)
        return inside & _holds(low, high, box_low, box_high, min_overlap)

    return fits


_Point = tuple[np.ndarray, np.ndarray]


def _holds(low: _Point, high: _Point, box_low: _Point, box_high: _Point, share: float) -> np.ndarray:
    """Whether rectangles hold a share of a box's area; one without area they must contain."""
    width, height = (np.minimum(high[i], box_high[i]) - np.maximum(low[i], box_low[i]) for i in range(2))
    area = (box_high[0] - box_low[0]) * (box_high[1] - box_low[1])
    contained = (box_low[0] >= low[0]) & (box_low[1] >= low[1]) & (box_high[0] <= high[0]) & (box_high[1] <= high[1])
    return np.where(area > 0, np.maximum(width, 0) * np.maximum(height, 0) >= share * area, contained)
