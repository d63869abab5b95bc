"""Hand tracks with known boundaries: chains of minimum-jerk movements, rests and dwells, with noise on top."""

import dataclasses
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from vitra_lib.contracts import CameraTrack, HandTrack, Reconstruction
from vitra_lib.contracts.hand_track import Side
from vitra_lib.geometry.rotations import exp

_DISTANCE_M = {
    "reach": (0.15, 0.40), "lift": (0.08, 0.20), "place": (0.15, 0.40), "pour": (0.06, 0.12), "push": (0.10, 0.25),
    "rotate": (0.05, 0.12), "idle": (0.0, 0.0),
}  # fmt: skip


@dataclass(frozen=True)
class MadeTrack:
    """time_s (time,), position (time, 3) [m], is_valid (time,), boundaries: frames at which an action begins."""

    time_s: np.ndarray
    position: np.ndarray
    is_valid: np.ndarray
    boundaries: np.ndarray


@dataclass(frozen=True)
class Noise:
    """What tracking adds: white and correlated jitter [m], slow drift [m], share of frames lost in short dropouts."""

    white_m: float = 0.0
    correlated_m: float = 0.0
    correlation_s: float = 0.15
    drift_m: float = 0.0
    dropout: float = 0.0


def actions(seed: int, seconds: float = 40.0, fps: float = 30.0, time_s: np.ndarray | None = None) -> MadeTrack:
    """Atomic actions of 0.6 to 2 s each, at any rate or on any time axis; the boundaries are true to the frame."""
    rng = np.random.default_rng(seed)
    clock = np.arange(round(seconds * fps)) / fps if time_s is None else time_s
    fine = np.arange(0.0, clock[-1] + 0.01, 0.01)
    tremor = gaussian_filter1d(rng.normal(size=(len(fine), 3)), 16, axis=0)
    tremor = np.stack([np.interp(clock, fine, 0.0012 * tremor[:, k] / tremor.std()) for k in range(3)], axis=1)
    position = np.tile([0.0, 0.0, 0.4], (len(clock), 1))
    at, place, kind, begins = rng.uniform(0, 0.5), position[0], "", []
    while at < clock[-1]:
        kind = rng.choice([name for name in _DISTANCE_M if name != kind])
        begins.append(at)
        at += rng.uniform(0.1, 0.35) if kind == "lift" else 0.0  # the fingers close before the hand leaves
        length = rng.uniform(0.6, 2.0) if kind in ("idle", "pour") else rng.uniform(0.6, 1.3)
        way = rng.normal(size=3)
        way *= rng.uniform(*_DISTANCE_M[kind]) / np.linalg.norm(way)
        bow = rng.uniform(0, 0.25) * np.cross(way, rng.normal(size=3))
        after = clock >= at
        u = np.clip((clock[after] - at) / length, 0, 1)
        w = u**0.92
        s = (10 * w**3 - 15 * w**4 + 6 * w**5)[:, None]
        fade = np.clip(np.minimum(u, 1 - u) / 0.25, 0, 1)[:, None]
        position[after] = place + way * s + bow * 4 * s * (1 - s) + fade**2 * (3 - 2 * fade) * tremor[after]
        place = place + way
        at += length + (rng.uniform(0, 0.2) if kind != "idle" and rng.random() < 0.3 else 0.0)
    frames = np.searchsorted(clock, np.array(begins[1:]) - 0.5 * np.median(np.diff(clock)))
    frames = frames[(frames > 0) & (frames < len(clock) - 1)]
    return MadeTrack(clock, position, np.ones(len(clock), bool), frames)


def with_noise(track: MadeTrack, noise: Noise, seed: int) -> MadeTrack:
    """The same track as a tracker might see it."""
    rng = np.random.default_rng(seed)
    count, fps = len(track.time_s), 1 / np.median(np.diff(track.time_s))
    position = track.position + noise.white_m * rng.normal(size=(count, 3))
    for size, width_s in ((noise.correlated_m, noise.correlation_s), (noise.drift_m, 1.0)):
        slow = gaussian_filter1d(rng.normal(size=(count, 3)), width_s * fps, axis=0)
        position += size * slow / slow.std()
    is_valid = track.is_valid.copy()
    for start in rng.integers(0, count, round(count * noise.dropout / 6)):
        is_valid[start : start + rng.integers(1, 12)] = False
    return dataclasses.replace(track, position=position, is_valid=is_valid)


def reconstruction_of(
    track: MadeTrack, side: Side = "right", other: MadeTrack | None = None, turn_rad: np.ndarray | None = None
) -> Reconstruction:
    """One or two hands before a camera that turns and walks; the world path is exactly the track's position."""
    count = len(track.time_s)
    T_world_cam = np.tile(np.eye(4), (count, 1, 1))
    T_world_cam[:, :3, :3] = exp(np.outer(0.3 * np.sin(track.time_s), [0.2, 1.0, 0.1]))
    T_world_cam[:, :3, 3] = 0.5 * np.sin(0.7 * track.time_s)[:, None] * [1.0, 0.2, 0.5]
    camera = CameraTrack(
        K_px=np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]]),
        width_px=640,
        height_px=480,
        T_world_cam=T_world_cam,
        is_valid=np.ones(count, bool),
        is_static=False,
        intrinsics_source="truth",
        scale_source="truth",
        scale_rel_std=0.0,
        method="truth",
    )

    def hand(name: Side, made: MadeTrack | None) -> HandTrack:
        absent = HandTrack.absent(name, count)
        if made is None:
            return absent
        t_cam = np.einsum("nji,nj->ni", T_world_cam[:, :3, :3], made.position - T_world_cam[:, :3, 3])
        angle = np.zeros(count) if turn_rad is None else turn_rad
        R_world_wrist = exp(np.outer(angle, [0.0, 0.0, 1.0]))
        return dataclasses.replace(
            absent,
            R_cam_wrist=np.swapaxes(T_world_cam[:, :3, :3], 1, 2) @ R_world_wrist,
            t_cam_wrist=np.where(made.is_valid[:, None], t_cam, np.nan),
            is_valid=made.is_valid,
            is_observed=made.is_valid,
            confidence=made.is_valid.astype(float),
        )

    tracks = {side: track, "left" if side == "right" else "right": other}
    return Reconstruction(
        video_name="made.mp4",
        video_sha256="",
        fps=float(1 / np.median(np.diff(track.time_s))) if count > 1 else 30.0,
        source_frame=np.arange(count),
        time_s=track.time_s,
        camera=camera,
        left=hand("left", tracks["left"]),
        right=hand("right", tracks["right"]),
    )
