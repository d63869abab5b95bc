"""The camera of the synthetic world: the eyes of a seated person, swaying a little, gaze following the hands."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d

from vitra_lib.geometry.cameras import K_from_focal
from vitra_lib.geometry.rotations import exp
from vitra_lib.geometry.transforms import make
from vitra_lib.tabletop.config import ClipConfig

_GAZE_LAG_S = 0.30
_SWAY_HZ = (0.07, 0.45)


@dataclass(frozen=True)
class HeadPath:
    """Intrinsics and path of the head camera.

    Attributes:
        K_px: (3, 3) intrinsics in pixels.
        T_table_cam: (time, 4, 4) maps points in the camera of each frame to the table [m].
    """

    K_px: Float[np.ndarray, "3 3"]
    T_table_cam: Float[np.ndarray, "time 4 4"]


def look_at(eye: Float[np.ndarray, "time 3"], target: Float[np.ndarray, "time 3"]) -> Float[np.ndarray, "time 3 3"]:
    """Rotations (time, 3, 3) of level cameras (OpenCV axes) at `eye` that look at `target`, table frame, z up."""
    z = target - eye
    z = z / np.linalg.norm(z, axis=1, keepdims=True)
    x = np.cross(z, [0.0, 0.0, 1.0])
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    return np.stack([x, np.cross(z, x), z], axis=-1)


def _sway(
    times_s: Float[np.ndarray, " time"], rng: np.random.Generator, channels: int
) -> Float[np.ndarray, "time channels"]:
    """Band-limited noise: sums of slow sines, unit amplitude at the slow end and falling with frequency."""
    frequency = rng.uniform(*_SWAY_HZ, size=(5, channels))
    phase = rng.uniform(0, 2 * np.pi, size=(5, channels))
    amplitude = rng.normal(size=(5, channels)) / (1.0 + (frequency / 0.2) ** 2)
    return (amplitude * np.sin(2 * np.pi * frequency * times_s[:, None, None] + phase)).sum(axis=1)


def head_path(
    config: ClipConfig,
    times_s: Float[np.ndarray, " time"],
    focus: Float[np.ndarray, "time 3"],
    rng: np.random.Generator,
) -> HeadPath:
    """Draw the camera of a clip.

    Eyes 0.45 to 0.6 m above the table and a little behind its edge, looking 35 to 60 degrees down. A moving head
    travels 2 to 4 cm per second and turns several degrees; a static one stays at its first pose.

    Args:
        config: size of the image, field of view, moving or static.
        times_s: (time,) times of the frames [s].
        focus: (time, 3) what the hands are busy with, table frame [m].
        rng: source of randomness.
    """
    fov = np.deg2rad(rng.uniform(config.fov_min_deg, config.fov_max_deg))
    K_px = K_from_focal(config.width_px / 2 / np.tan(fov / 2), config.width_px, config.height_px)
    home = np.array([rng.uniform(-0.05, 0.05), rng.uniform(-0.14, -0.05), rng.uniform(0.45, 0.60)])
    centre = np.array([rng.uniform(-0.03, 0.03), rng.uniform(0.22, 0.30), 0.03])
    lag = _GAZE_LAG_S / max(float(times_s[1] - times_s[0]), 1e-6)
    gaze = centre + 0.55 * (gaussian_filter1d(focus, lag, axis=0, mode="nearest") - centre) * [1.0, 1.0, 0.3]
    sway = _sway(times_s, rng, 6)
    lean = 0.14 * (gaussian_filter1d(gaze, 1.5 * lag, axis=0, mode="nearest") - centre) * [1.0, 0.7, 0.0]
    wanted = rng.uniform(0.02, 0.04) * float(times_s[-1] - times_s[0])
    eye = home + lean + _scaled_to_path(sway[:, :3] * [1.0, 0.8, 0.6], lean, wanted)
    R = look_at(eye, gaze + 0.01 * sway[:, 3:6]) @ exp(np.deg2rad([0.0, 0.0, 1.5]) * sway[:, 3:4])
    T = make(R, eye)
    if config.camera == "static":
        T = np.tile(make(look_at(home[None], centre[None]), home[None]), (len(times_s), 1, 1))
    return HeadPath(K_px, T)


def _scaled_to_path(sway: np.ndarray, lean: np.ndarray, wanted_m: float) -> Float[np.ndarray, "time 3"]:
    """Sway scaled (to 6 cm of excursion at most) so that the head's path is about `wanted_m` long."""
    low, high = 0.0, 0.06 / float(np.abs(sway - sway.mean(axis=0)).max())
    for _ in range(20):
        k = 0.5 * (low + high)
        length = np.linalg.norm(np.diff(lean + k * sway, axis=0), axis=1).sum()
        low, high = (k, high) if length < wanted_m else (low, k)
    return k * (sway - sway.mean(axis=0))
