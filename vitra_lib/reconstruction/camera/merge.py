"""Join the cameras of overlapping clips on their shared frames (20 s clips, 2 s overlap, Sim3/SE3 fit)."""

from dataclasses import dataclass, replace

import numpy as np

from vitra_lib.contracts import CameraTrack, Rejection
from vitra_lib.core.errors import BadInput
from vitra_lib.geometry.alignment import Similarity
from vitra_lib.geometry.rotations import geodesic_angle, nearest_rotation
from vitra_lib.geometry.transforms import apply
from vitra_lib.reconstruction.camera.config import DEFAULT_CONFIG, CameraConfig
from vitra_lib.reconstruction.camera.estimate import CameraEstimate

_MIN_SHARED = 2
_MIN_PAIRS = 25
_MAX_TURN_RAD = np.deg2rad(5.0)


@dataclass(frozen=True)
class ClipCamera:
    """The camera of one clip of a longer video.

    Attributes:
        start: index in the video of the clip's first frame.
        estimate: its camera up to scale.
        scale: metres per unit of the estimate, from the hands of this clip; NaN if unknown.
        scale_rel_std: relative 1-sigma of it.
        scale_source: "hands", "prior" or "none".
    """

    start: int
    estimate: CameraEstimate
    scale: float = float("nan")
    scale_rel_std: float = float("nan")
    scale_source: str = "none"

    @property
    def stop(self) -> int:
        """One past the clip's last frame in the video."""
        return self.start + len(self.estimate.track)


def merge_tracks(
    clips: tuple[ClipCamera, ...], config: CameraConfig = DEFAULT_CONFIG
) -> tuple[CameraTrack, tuple[Rejection, ...]]:
    """One metric camera path from overlapping clips.

    Each clip is tied to what came before on the frames they share: rotation from the mean of relative rotations,
    relative scale from the depths that both give to the same pixels (far steadier over two seconds than the ratio of
    two short paths), translation from the centres. The metre then is one number for all clips tied together: the
    precision-weighted mean of what the hands of each clip say, so that the noise of single clips averages out and
    lengths do not jump where clips meet.

    Args:
        clips: ordered by start, each overlapping its predecessor.
        config: `max_scale_jump` is the largest disagreement of scale inside an overlap.

    Returns:
        The path of all frames up to the last clip's end, world = camera of the first valid frame, and rejections:
        frames that each clip lost, and clips that do not fit (their frames become invalid, unless a neighbour
        holds them).
    """
    _check(clips)
    frame_count = max(clip.stop for clip in clips)
    T, valid = np.tile(np.eye(4), (frame_count, 1, 1)), np.zeros(frame_count, bool)
    rejections, placed = [], []
    for clip in clips:
        if not clip.estimate.track.is_valid.any():
            rejections.append(_rejected(clip, "camera_lost", "No frame of this clip has a camera pose."))
            continue
        fit, why = _tie(clip, placed, T, valid, config)
        if fit is None:
            rejections.append(_rejected(clip, "clip_not_merged", why))
            continue
        _write(clip, fit, T, valid)
        placed.append((clip, fit))
    unit, std, source = _common_metre(placed)
    T[:, :3, 3] *= unit
    _hold_nearest(T, valid)
    rejections += _lost_frames(valid, clips[0].start, rejections)
    first = clips[0].estimate.track if not placed else placed[0][0].estimate.track
    moving = [clip for clip, _ in placed if not clip.estimate.track.is_static]
    like = moving[0].estimate.track if moving else first
    track = replace(
        like, T_world_cam=T, is_valid=valid, is_static=not moving, scale_source=source, scale_rel_std=std,
        method=next((c.estimate.track.method for c in moving if c.estimate.has_scale), like.method),
    )  # fmt: skip
    return track, tuple(rejections)


def _check(clips: tuple[ClipCamera, ...]) -> None:
    if not clips:
        raise BadInput("There is no clip to merge.")
    for before, after in zip(clips[:-1], clips[1:], strict=True):
        if not before.start < after.start < before.stop:
            raise BadInput(
                f"Clip [{after.start}, {after.stop}) must start inside clip [{before.start}, {before.stop}): clips are "
                "ordered and overlap their predecessor."
            )


def _tie(
    clip: ClipCamera, placed: list, T: np.ndarray, valid: np.ndarray, config: CameraConfig
) -> tuple[Similarity | None, str]:
    """The similarity that takes the clip's world to the merged one, or why there is none."""
    if not placed:
        return Similarity(1.0, np.eye(3), np.zeros(3)), ""
    own_valid, own = clip.estimate.track.is_valid, clip.estimate.track.T_world_cam
    shared = np.flatnonzero(own_valid & valid[clip.start : clip.stop])
    if len(shared) < _MIN_SHARED:
        return None, f"Only {len(shared)} frames have a pose both in this clip and before it."
    T_a, T_b = T[clip.start + shared], own[shared]
    relative = T_a[:, :3, :3] @ np.swapaxes(T_b[:, :3, :3], -1, -2)
    R = nearest_rotation(relative.mean(axis=0))
    turn = float(np.median(geodesic_angle(relative, np.broadcast_to(R, relative.shape))))
    if turn > _MAX_TURN_RAD:
        return (
            None,
            f"The clips disagree by {np.rad2deg(turn):.1f} degrees on how the camera turned in the shared frames.",
        )
    scale, why = _relative_scale(clip, placed, T_a, T_b, R, config)
    if scale is None:
        return None, why
    t = np.mean(T_a[:, :3, 3] - scale * T_b[:, :3, 3] @ R.T, axis=0)
    return Similarity(scale, R, t), ""


def _relative_scale(
    clip: ClipCamera, placed: list, T_a: np.ndarray, T_b: np.ndarray, R: np.ndarray, config: CameraConfig
) -> tuple[float | None, str]:
    """Length of the merged world per length of the clip's, or why the two do not fit."""
    if not clip.estimate.has_scale:
        return 1.0, ""
    with_scale = [(other, fit) for other, fit in placed if other.estimate.has_scale]
    if not with_scale:
        return 1.0, ""
    other, fit = with_scale[-1]
    ratios, half = _depth_ratios(other, clip)
    limit = np.log1p(config.max_scale_jump)
    if len(ratios) >= _MIN_PAIRS:
        log_ratio = np.log(ratios) + np.log(fit.scale)
        early, late = log_ratio[half], log_ratio[~half]
        jump = abs(np.median(early) - np.median(late)) if min(len(early), len(late)) >= _MIN_PAIRS else 0.0
        if jump > limit:
            return (
                None,
                f"The scale of the clips drifts apart by {100 * np.expm1(jump):.0f} % within the shared frames.",
            )
        if other.estimate.track.scale_source != "none" and clip.estimate.track.scale_source != "none":
            if abs(np.median(log_ratio)) > limit:
                return (
                    None,
                    f"The metric scale jumps by {100 * np.expm1(abs(np.median(log_ratio))):.0f} % between the clips.",
                )
        return float(np.exp(np.median(log_ratio))), ""
    a = T_a[:, :3, 3] - T_a[:, :3, 3].mean(axis=0)
    b = (T_b[:, :3, 3] - T_b[:, :3, 3].mean(axis=0)) @ R.T
    energy = float((b * b).sum())
    agreement = float((a * b).sum()) / max(np.sqrt(energy * float((a * a).sum())), 1e-12)
    if agreement > 0.9:
        return float((a * b).sum()) / energy, ""
    if np.isfinite(clip.scale) and np.isfinite(other.scale):
        # No geometry ties the lengths (the camera rested or only turned): the hands of both clips do.
        return fit.scale * clip.scale / other.scale, ""
    return (
        None,
        "Nothing ties the scale of this clip to the one before: no common scene points, no common motion, no hands.",
    )


def _depth_ratios(before: ClipCamera, after: ClipCamera) -> tuple[np.ndarray, np.ndarray]:
    """Depth before / depth after of the same pixels in shared frames, and which are in the first half of them."""
    ratios, frames = [], []
    for frame in range(after.start, min(before.stop, after.stop)):
        uv_a, z_a = _depths(before.estimate, frame - before.start)
        uv_b, z_b = _depths(after.estimate, frame - after.start)
        if len(uv_a) == 0 or len(uv_b) == 0:
            continue
        distance = np.linalg.norm(uv_a[:, None] - uv_b[None], axis=2)
        nearest = distance.argmin(axis=1)
        # Corners of one image sit on the same texture when they are this close.
        close = distance[np.arange(len(uv_a)), nearest] < 0.004 * before.estimate.track.width_px
        ratios.append(z_a[close] / z_b[nearest[close]])
        frames.append(np.full(int(close.sum()), frame))
    if not ratios:
        return np.zeros(0), np.zeros(0, bool)
    frame = np.concatenate(frames)
    return np.concatenate(ratios), frame < 0.5 * (after.start + before.stop)


def _depths(estimate: CameraEstimate, t: int) -> tuple[np.ndarray, np.ndarray]:
    """Observed pixels of one frame and the depths of their points."""
    if not estimate.track.is_valid[t]:
        return np.zeros((0, 2)), np.zeros(0)
    rows = slice(*np.searchsorted(estimate.obs_frame, [t, t + 1]))
    p = apply(estimate.track.T_cam_world[t], estimate.points_world[estimate.obs_point[rows]])
    return estimate.obs_uv_px[rows][p[:, 2] > 0], p[p[:, 2] > 0, 2]


def _write(clip: ClipCamera, fit: Similarity, T: np.ndarray, valid: np.ndarray) -> None:
    """Put the clip's poses into the video; in the overlap the earlier clip fades out and this one fades in."""
    own = fit.apply_poses(clip.estimate.track.T_world_cam)
    at = np.arange(clip.start, clip.stop)
    shared = valid[at] & clip.estimate.track.is_valid
    new = clip.estimate.track.is_valid & ~shared
    if shared.any():
        ramp = np.linspace(0, 1, int(shared.sum()) + 2)[1:-1]
        before = T[at[shared]].copy()
        T[at[shared], :3, 3] = (1 - ramp)[:, None] * before[:, :3, 3] + ramp[:, None] * own[shared][:, :3, 3]
        mixed = (1 - ramp)[:, None, None] * before[:, :3, :3] + ramp[:, None, None] * own[shared][:, :3, :3]
        T[at[shared], :3, :3] = nearest_rotation(mixed)
    T[at[new]] = own[new]
    valid[at[new]] = True


def _common_metre(placed: list) -> tuple[float, float, str]:
    """Metres per unit of the merged world: precision-weighted mean of the clips' own logarithms."""
    told = [
        (np.log(clip.scale / fit.scale), clip.scale_rel_std, clip.scale_source)
        for clip, fit in placed
        if clip.estimate.has_scale and np.isfinite(clip.scale) and clip.scale_rel_std > 0
    ]
    if not told:
        return 1.0, float("nan"), "none"
    from_hands = [row for row in told if row[2] == "hands"]
    rows = from_hands or told
    weight = np.array([std**-2 for _, std, _ in rows])
    value = float(weight @ np.array([log for log, _, _ in rows]) / weight.sum())
    # Hands of one person share their bias: averaging clips removes jitter, but never more than half of the error.
    std = max(float(weight.sum() ** -0.5), 0.5 * min(std for _, std, _ in rows))
    return float(np.exp(value)), std, rows[0][2]


def _hold_nearest(T: np.ndarray, valid: np.ndarray) -> None:
    """Frames without a pose repeat the nearest valid one, so that every matrix is a finite rigid transform."""
    at = np.flatnonzero(valid)
    if len(at):
        right = np.searchsorted(at, np.arange(len(T))).clip(0, len(at) - 1)
        left = (right - 1).clip(0)
        index = np.arange(len(T))
        T[:] = T[np.where(abs(at[left] - index) <= abs(at[right] - index), at[left], at[right])]


def _rejected(clip: ClipCamera, reason: str, detail: str) -> Rejection:
    return Rejection(
        "reconstruction", f"camera, clip [{clip.start}, {clip.stop})", reason, detail, clip.start, clip.stop
    )


def _lost_frames(valid: np.ndarray, first: int, rejected: list[Rejection]) -> list[Rejection]:
    """One rejection per run of frames, from the first clip on, without a pose that no rejected clip explains."""
    explained = valid.copy()
    explained[:first] = True
    for row in rejected:
        explained[row.start : row.stop] = True
    edges = np.flatnonzero(np.diff(np.concatenate([[True], explained, [True]]).astype(int)))
    return [
        Rejection(
            "reconstruction", f"camera, frames [{start}, {stop})", "camera_lost",
            "Too few background features agree with the scene.", int(start), int(stop),
        )
        for start, stop in zip(edges[::2], edges[1::2], strict=True)
    ]  # fmt: skip
