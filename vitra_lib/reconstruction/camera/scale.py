"""The metre of a camera path, from metric hands in the scene.

Two cues that fail in different ways, and a weak prior, combined as Gaussians in the logarithm of the scale:

contact   A hand is never behind the surface that it covers: where a joint and scene points share a line of sight,
          z_joint <= s * d_point, with equality at contact. So s is the upper envelope over time of z_joint / d_point.
          Each frame votes with the median over its closest joints, after a running median in time, because the
          envelope of raw ratios grows with the noise of the hands.
motion    The wrist moves in the world as s * c(t) + R(t) h(t). With a wrong s it mirrors the motion of the head;
          the right s leaves least of it. Only motion across the line of sight counts (depth from one view jitters ten
          times more), and a heavy-tailed loss lets moments of rest decide. Blind when the camera does not translate,
          misled when the whole body walks, hence the wide floor and the veto by contact.
prior     The median scene depth of egocentric manipulation.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import median_filter

from vitra_lib.core.errors import BadInput
from vitra_lib.geometry.cameras import project
from vitra_lib.geometry.transforms import apply
from vitra_lib.reconstruction.camera.config import DEFAULT_CONFIG, CameraConfig
from vitra_lib.reconstruction.camera.estimate import CameraEstimate

_REACH_M = 0.04
_MIN_FRAMES = 8
_MAX_VOTES = 200
_ENVELOPE_PERCENTILE = 85.0
_CONTACT_FLOOR, _MOTION_FLOOR = 0.15, 0.2
_STEP_S = 0.1
_SPEED_FLOOR = 0.03
_RANGE = 4.0


@dataclass(frozen=True)
class ScaleEstimate:
    """Metres per unit of a camera estimate.

    Attributes:
        scale: combined estimate [m per unit]; 1 when the path has no translation to scale.
        rel_std: its relative 1-sigma (NaN when there is nothing to scale).
        source: "hands", "depth", "hands+depth", "prior" or "none".
        contact, motion: the single cues [m per unit], NaN where a cue says nothing.
        contact_rel_std, motion_rel_std: their relative 1-sigma.
    """

    scale: float
    rel_std: float
    source: str
    contact: float = float("nan")
    contact_rel_std: float = float("nan")
    motion: float = float("nan")
    motion_rel_std: float = float("nan")


def metric_scale(
    estimate: CameraEstimate,
    joints_cam: dict[str, Float[np.ndarray, "time 21 3"]],
    is_valid: dict[str, Bool[np.ndarray, " time"]],
    times_s: Float[np.ndarray, " time"],
    config: CameraConfig = DEFAULT_CONFIG,
) -> tuple[float, float]:
    """Scale [m per unit] and its relative 1-sigma; see `scale_from_hands` for the cues behind it."""
    found = scale_from_hands(estimate, joints_cam, is_valid, times_s, config)
    return found.scale, found.rel_std


def scale_from_hands(
    estimate: CameraEstimate,
    joints_cam: dict[str, Float[np.ndarray, "time 21 3"]],
    is_valid: dict[str, Bool[np.ndarray, " time"]],
    times_s: Float[np.ndarray, " time"],
    config: CameraConfig = DEFAULT_CONFIG,
    depth: tuple[float, float] | None = None,
) -> ScaleEstimate:
    """Metric scale of a camera path from hands whose size is known.

    Args:
        estimate: path and points up to scale.
        joints_cam: per side, (time, 21, 3) joints in the camera of each frame [m].
        is_valid: per side, (time,) where they may be used.
        times_s: (time,) presentation times [s].
        config: knobs (the prior).
        depth: scale that a metric depth tells [m per unit] and its relative 1-sigma, see `scale_depth`; or None.
    """
    if not estimate.has_scale:
        return ScaleEstimate(1.0, float("nan"), "none")
    for side, joints in joints_cam.items():
        if len(joints) != len(estimate.track) or side not in is_valid:
            raise BadInput(
                f"The {side} hand has {len(joints)} frames, the camera {len(estimate.track)}: they must agree."
            )
    usable = {
        side: is_valid[side] & estimate.track.is_valid & np.isfinite(joints_cam[side]).all((1, 2))
        for side in joints_cam
    }
    contact, contact_std = _contact_scale(estimate, joints_cam, usable, times_s)
    motion, motion_std = _motion_scale(estimate, joints_cam, usable, times_s, contact if contact > 0 else None, config)
    if contact > 0 and motion > 0 and abs(np.log(motion / contact)) > 2 * np.hypot(contact_std, motion_std):
        motion, motion_std = float("nan"), float("nan")
    cues = {"contact": (contact, contact_std), "motion": (motion, motion_std), "depth": depth or (float("nan"),) * 2}
    scale, std = combined_scale([*cues.values(), (config.prior_scene_depth_m, config.prior_scene_rel_std)])
    by = [name for name, (value, _) in cues.items() if value > 0]
    source = "+".join((["hands"] if {"contact", "motion"} & set(by) else []) + (["depth"] if "depth" in by else []))
    return ScaleEstimate(scale, std, source or "prior", contact, contact_std, motion, motion_std)


def combined_scale(cues: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Scale and relative 1-sigma from cues that are Gaussian in the logarithm; NaN cues say nothing."""
    told = [(np.log(value), std) for value, std in cues if value > 0]
    if not told:
        return float("nan"), float("nan")
    weight = np.array([std**-2 for _, std in told])
    scale = float(np.exp(weight @ np.array([value for value, _ in told]) / weight.sum()))
    return scale, float(weight.sum() ** -0.5)


def scale_from_motion(
    estimate: CameraEstimate,
    joints_cam: dict[str, Float[np.ndarray, "time 21 3"]],
    is_valid: dict[str, Bool[np.ndarray, " time"]],
    times_s: Float[np.ndarray, " time"],
    start: float,
) -> tuple[float, float]:
    """The motion cue alone, for a path without scene points: scale and relative 1-sigma, NaN where it is silent.

    Args:
        estimate: the path.
        joints_cam, is_valid: hands by side [m].
        times_s: times of the frames [s].
        start: a first guess [m per unit]; the search covers a factor of four to both sides.
    """
    usable = {s: is_valid[s] & estimate.track.is_valid & np.isfinite(joints_cam[s]).all((1, 2)) for s in joints_cam}
    return _motion_scale(estimate, joints_cam, usable, times_s, start, DEFAULT_CONFIG)


def _contact_scale(
    estimate: CameraEstimate, joints_cam: dict, usable: dict, times_s: np.ndarray
) -> tuple[float, float]:
    """Upper envelope of hand depth over the depth of the scene around it, and its spread."""
    stride = max(1, len(times_s) // _MAX_VOTES)
    votes = []
    for side, joints in joints_cam.items():
        ratio = np.full(len(joints), np.nan)
        for t in np.flatnonzero(usable[side])[::stride]:
            ratio[t] = _depth_ratio(estimate, joints[t], int(t))
        series = ratio[np.isfinite(ratio)]
        votes.append(median_filter(series, size=min(3, max(1, len(series))), mode="nearest") if len(series) else series)
    every = np.concatenate(votes) if votes else np.zeros(0)
    if len(every) < _MIN_FRAMES:
        return float("nan"), float("nan")
    top = float(np.percentile(every, _ENVELOPE_PERCENTILE))
    # How sharp the envelope is: a plateau of contact gives 95th ~ 65th percentile, a hand in the air does not.
    spread = float(np.log(np.percentile(every, 95) / np.percentile(every, 65))) / 2
    return top, float(np.hypot(_CONTACT_FLOOR, spread))


def _depth_ratio(estimate: CameraEstimate, joints: np.ndarray, t: int) -> float:
    """Joint depth over scene depth on the same line of sight, for the joints closest to the scene; NaN if none."""
    track = estimate.track
    p_cam = apply(track.T_cam_world[t], estimate.points_world)
    front = p_cam[:, 2] > 1e-3
    uv, depth = project(track.K_px, p_cam[front]), p_cam[front, 2]
    joints = joints[joints[:, 2] > 0.05]
    if len(joints) < 5:
        return float("nan")
    uv_joint = project(track.K_px, joints)
    reach_px = _REACH_M * track.K_px[0, 0] / joints[:, 2]
    near = np.linalg.norm(uv_joint[:, None] - uv[None], axis=2) < reach_px[:, None]
    ratios = [z / np.median(depth[row]) for z, row in zip(joints[:, 2], near, strict=True) if row.sum() >= 2]
    return float(np.percentile(ratios, 75)) if len(ratios) >= 3 else float("nan")


def _motion_scale(
    estimate: CameraEstimate,
    joints_cam: dict,
    usable: dict,
    times_s: np.ndarray,
    start: float | None,
    config: CameraConfig,
) -> tuple[float, float]:
    """The scale that takes most head motion out of the wrists' world motion."""
    T = estimate.track.T_world_cam
    hands, heads = [], []
    for side, joints in joints_cam.items():
        wrist = np.einsum("tij,tj->ti", T[:, :3, :3], joints[:, 0])
        a, b = _pairs_apart(times_s, usable[side])
        if len(a) == 0:
            continue
        dt = (times_s[b] - times_s[a])[:, None]
        ray = wrist[a] + wrist[b]
        ray = ray / np.linalg.norm(ray, axis=1, keepdims=True)
        across = np.eye(3) - ray[:, :, None] * ray[:, None, :]
        hands.append(np.einsum("nij,nj->ni", across, (wrist[b] - wrist[a]) / dt))
        heads.append(np.einsum("nij,nj->ni", across, (T[b, :3, 3] - T[a, :3, 3]) / dt))
    if not hands or sum(map(len, hands)) < 2 * _MIN_FRAMES:
        return float("nan"), float("nan")
    hand, head = np.concatenate(hands), np.concatenate(heads)
    middle = start or config.prior_scene_depth_m
    grid = middle * np.geomspace(1 / _RANGE, _RANGE, 161)
    speed = np.linalg.norm(hand[None] + grid[:, None, None] * head[None], axis=2)
    width = max(_SPEED_FLOOR, 0.5 * float(np.median(speed, axis=1).min()))
    cost = np.log1p((speed / width) ** 2).sum(axis=1)
    best = int(cost.argmin())
    if best in (0, len(grid) - 1):
        return float("nan"), float("nan")
    # Samples overlap and hands move smoothly: about one in ten is independent. A rise of 1 there is about one sigma.
    inside = np.flatnonzero(cost < cost[best] + 10.0)
    half_width = 0.5 * float(np.log(grid[inside[-1]] / grid[inside[0]]))
    if inside[0] == 0 or inside[-1] == len(grid) - 1:
        return float("nan"), float("nan")
    return float(grid[best]), float(np.hypot(_MOTION_FLOOR, half_width))


def _pairs_apart(times_s: np.ndarray, usable: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frames a and the first later frame b about a tenth of a second on, both usable."""
    b = np.searchsorted(times_s, times_s + _STEP_S - 1e-6)
    a = np.flatnonzero(b < len(times_s))
    b = b[a]
    good = usable[a] & usable[b] & (times_s[b] - times_s[a] < 2 * _STEP_S + 1e-6)
    return a[good], b[good]
