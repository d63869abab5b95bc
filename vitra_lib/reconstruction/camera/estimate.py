"""Camera path and intrinsics of one clip: static test, feature tracks, structure from motion (paper section 3.1)."""

import logging
import time
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float, Int

from vitra_lib.contracts import CameraTrack, Rejection
from vitra_lib.core.errors import BadInput, RefusedClip
from vitra_lib.geometry.cameras import K_from_focal
from vitra_lib.reconstruction.camera.config import DEFAULT_CONFIG, CameraConfig
from vitra_lib.reconstruction.camera.frames import FramePoses, pose_every_frame
from vitra_lib.reconstruction.camera.intrinsics import Focal, Pinhole, calibrate, prior_focal, rotation_limit_px
from vitra_lib.reconstruction.camera.mapping import build_map
from vitra_lib.reconstruction.camera.relink import relink
from vitra_lib.reconstruction.camera.spinning import rotation_parallax_px, track_rotations
from vitra_lib.reconstruction.camera.static import StaticDecision, is_static
from vitra_lib.reconstruction.camera.tracks import FeatureTracks, choose_keyframes, keyframe_table, track_features

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CameraEstimate:
    """A camera path up to scale, the scene points behind it and the figures to judge both.

    Attributes:
        track: intrinsics and path; `scale_source` is "none": one unit is the median depth of the observed scene
            (for a static or merely turning camera the path is zero and has no scale).
        points_world: (point, 3) scene points in the same world and unit.
        point_error_px: (point,) root mean square reprojection error of each point [px of the given frames].
        inlier_count: (time,) observations that agree with the pose of each frame.
        obs_frame, obs_point: (obs,) which frame saw which point; sorted by frame.
        obs_uv_px: (obs, 2) where, in pixels of the given frames.
        focal_rel_std: relative 1-sigma of the focal length; 0 when K was given.
        reason: one sentence: why this method was chosen.
        figures: named measurements ("static_displacement_px", "parallax_px", "reprojection_px", "keyframes", …).
        rejections: frames without a pose, with reasons.
    """

    track: CameraTrack
    points_world: Float[np.ndarray, "point 3"]
    point_error_px: Float[np.ndarray, " point"]
    inlier_count: Int[np.ndarray, " time"]
    obs_frame: Int[np.ndarray, " obs"]
    obs_point: Int[np.ndarray, " obs"]
    obs_uv_px: Float[np.ndarray, "obs 2"]
    focal_rel_std: float
    reason: str
    figures: dict[str, float] = field(default_factory=dict)
    rejections: tuple[Rejection, ...] = ()

    @property
    def has_scale(self) -> bool:
        """True when the path has a translation, so that a metric scale means something."""
        return len(self.points_world) > 0


def estimate_camera(
    frames: list[np.ndarray],
    times_s: Float[np.ndarray, " time"],
    K_px: Float[np.ndarray, "3 3"] | None = None,
    hand_boxes: Float[np.ndarray, "time box 4"] | None = None,
    config: CameraConfig = DEFAULT_CONFIG,
) -> CameraEstimate:
    """Estimate the camera of one clip, up to about 20 s (longer videos: overlapping clips and `merge_tracks`).

    Args:
        frames: (h, w, 3) uint8 RGB, one size.
        times_s: (time,) presentation times [s], increasing.
        K_px: (3, 3) intrinsics in pixels of the frames, used as they are; None = self-calibrate.
        hand_boxes: (time, box, 4) x0, y0, x1, y1 of hands in pixels of the frames, NaN where absent; or None.
        config: knobs.

    Returns:
        The path up to scale, world = camera of the first valid frame.

    Raises:
        BadInput: the arguments do not fit together.
        RefusedClip: one frame, no texture, or no motion that one rigid scene explains.
    """
    _check(frames, times_s, K_px, hand_boxes)
    clock = _Clock()
    verdict = is_static(frames, times_s, hand_boxes, config)
    clock.lap("static")
    if verdict.is_static:
        return _static_estimate(frames, K_px, verdict, config, clock)
    tracks = track_features(frames, hand_boxes, config)
    clock.lap("tracks")
    if np.median(tracks.counts) < config.min_tracks:
        raise RefusedClip(
            f"Only {int(np.median(tracks.counts))} features per frame can be followed (at least {config.min_tracks} "
            "are needed): the clip is too blurred or has too little texture for a camera path."
        )
    return _moving_estimate(_Clip(frames, times_s, K_px, hand_boxes), tracks, verdict, config, clock)


def _check(frames: list, times_s: np.ndarray, K_px: np.ndarray | None, hand_boxes: np.ndarray | None) -> None:
    if len(frames) != len(times_s):
        raise BadInput(f"There are {len(frames)} frames but {len(times_s)} times: give one time per frame.")
    if hand_boxes is not None and len(hand_boxes) != len(frames):
        raise BadInput(f"There are {len(frames)} frames but {len(hand_boxes)} rows of hand boxes: give one per frame.")
    if len(times_s) > 1 and not np.all(np.diff(times_s) > 0):
        raise BadInput("The times of the frames must increase.")
    if K_px is not None and not (np.isfinite(K_px).all() and K_px[0, 0] > 0 and K_px[1, 1] > 0):
        raise BadInput("K_px must be finite with positive focal lengths.")


@dataclass(frozen=True)
class _Clip:
    """What the caller gave."""

    frames: list[np.ndarray]
    times_s: np.ndarray
    K_px: np.ndarray | None
    hand_boxes: np.ndarray | None


@dataclass(frozen=True)
class _Followed:
    """What is known of a moving clip once its tracks and its focal length are."""

    tracks: FeatureTracks
    uv: np.ndarray
    lens: Pinhole
    found: Focal
    size: tuple[int, int]
    figures: dict[str, float]


class _Clock:
    """Seconds per stage."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.laps[stage] = self.laps.get(stage, 0.0) + now - self._last
        self._last = now

    def log(self, frame_count: int) -> None:
        parts = ", ".join(f"{stage} {seconds:.2f} s" for stage, seconds in self.laps.items())
        logger.info("camera of %d frames: %s", frame_count, parts)


def _static_estimate(
    frames: list, K_px: np.ndarray | None, verdict: StaticDecision, config: CameraConfig, clock: _Clock
) -> CameraEstimate:
    """Identity poses; without motion the focal length can't be seen either, so it is given or a prior."""
    height, width = frames[0].shape[:2]
    K = K_px if K_px is not None else K_from_focal(prior_focal(float(width), config), width, height)
    std = 0.0 if K_px is not None else config.prior_rel_std
    clock.log(len(frames))
    time_count = len(frames)
    track = CameraTrack(
        K_px=np.asarray(K, float),
        width_px=width,
        height_px=height,
        T_world_cam=np.tile(np.eye(4), (time_count, 1, 1)),
        is_valid=np.ones(time_count, bool),
        is_static=True,
        intrinsics_source="given" if K_px is not None else "prior",
        scale_source="none",
        scale_rel_std=float("nan"),
        method="static",
        focal_rel_std=std,
    )
    figures = {"static_displacement_px": verdict.displacement_px}
    return _without_points(track, np.zeros(time_count, int), std, verdict.reason, figures)


def _without_points(
    track: CameraTrack, inliers: np.ndarray, focal_std: float, reason: str, figures: dict[str, float]
) -> CameraEstimate:
    none = np.zeros(0, int)
    return CameraEstimate(
        track, np.zeros((0, 3)), np.zeros(0), inliers, none, none, np.zeros((0, 2)), focal_std, reason, figures,
        _invalid_frames(track.is_valid, inliers),
    )  # fmt: skip


def _moving_estimate(
    clip: _Clip, tracks: FeatureTracks, verdict: StaticDecision, config: CameraConfig, clock: _Clock
) -> CameraEstimate:
    frames, times_s, K_px = clip.frames, clip.times_s, clip.K_px
    height, width = frames[0].shape[:2]
    lens = Pinhole.of(K_px, width, height, tracks.work_scale, config)
    uv = lens.centred(tracks.uv_work)
    keys = choose_keyframes(tracks, float(times_s[-1] - times_s[0]), config)
    _, table, seen = keyframe_table(tracks, keys)
    table = lens.centred(table)
    figures = {"static_displacement_px": verdict.displacement_px, "keyframes": float(len(keys))}
    found = calibrate(table, seen, lens, K_px is not None, config)
    clock.lap("calibration")
    lens = lens.with_focal(found.focal)
    figures["parallax_px"] = rotation_parallax_px(table, seen, found.focal, config)
    spinning = figures["parallax_px"] < rotation_limit_px(width * tracks.work_scale, config)
    mapped = None if spinning else build_map(table, seen, found.focal, found.source == "self-calibration", config)
    if mapped is not None:
        figures["relinked"] = float(relink(mapped, clip.frames, clip.hand_boxes, keys, lens))
    clock.lap("map")
    if mapped is None:
        return _spinning_estimate(_Followed(tracks, uv, lens, found, (width, height), figures), config, clock)
    if found.source == "self-calibration":
        found = found.refined(mapped, config)
        lens = lens.with_focal(found.focal)
    tracked, _, _ = keyframe_table(tracks, keys)
    poses = pose_every_frame(tracks, uv, keys, tracked, mapped, config)
    clock.lap("frames")
    clock.log(len(frames))
    figures |= {"map_points": float(mapped.has_point.sum()), "registered": float(mapped.registered.sum())}
    return _mapped_estimate(poses, _Followed(tracks, uv, lens, found, (width, height), figures))


def _spinning_estimate(clip: _Followed, config: CameraConfig, clock: _Clock) -> CameraEstimate:
    """Rotations only, and a refusal when not even those explain the tracks."""
    spin = track_rotations(clip.tracks, clip.uv, clip.lens.focal, config)
    clock.lap("frames")
    clock.log(clip.tracks.frame_count)
    figures = clip.figures | {"rotation_residual_px": spin.residual_px}
    if spin.is_valid.mean() < 0.5 or spin.residual_px > config.inlier_px:
        raise RefusedClip(
            f"No rigid scene explains the image motion: a pure rotation leaves {spin.residual_px:.1f} px and no pair "
            "of frames gives a consistent translation. The clip is too blurred, or most of the view moves by itself."
        )
    T = np.tile(np.eye(4), (clip.tracks.frame_count, 1, 1))
    T[:, :3, :3] = spin.R_world_cam
    track = _track(T, spin.is_valid, clip, "klt-rotation")
    reason = (
        f"A pure rotation explains the image motion to {figures['parallax_px']:.2f} px: the translation is too small "
        "to see and is reported as zero; the scale is not observable."
    )
    return _without_points(track, spin.inlier_count, clip.found.rel_std, reason, figures)


def _mapped_estimate(poses: FramePoses, clip: _Followed) -> CameraEstimate:
    """Put world into the first valid camera, scale to median depth 1, and go back to pixels of the given frames."""
    if not poses.is_valid.any():
        raise RefusedClip("No frame agrees with the reconstructed scene: the clip is too blurred or not rigid enough.")
    track = _track(poses.T_world_cam, poses.is_valid, clip, "klt-odometry")
    to_px = 1.0 / clip.tracks.work_scale
    figures = clip.figures | poses.figures
    figures["reprojection_px"] = poses.rms_px * to_px
    return CameraEstimate(
        track=track,
        points_world=poses.points_world,
        point_error_px=poses.point_error_px * to_px,
        inlier_count=poses.inlier_count,
        # A quarter of a million observations per clip are kept until the clips of a long video are merged.
        obs_frame=poses.obs_frame.astype(np.int32),
        obs_point=poses.obs_point.astype(np.int32),
        obs_uv_px=clip.lens.to_px(poses.obs_uv).astype(np.float32),
        focal_rel_std=clip.found.rel_std,
        reason=f"The background shows parallax ({figures['parallax_px']:.1f} px beyond a pure rotation).",
        figures=figures,
        rejections=_invalid_frames(poses.is_valid, poses.inlier_count),
    )


def _track(T: np.ndarray, valid: np.ndarray, clip: _Followed, method: str) -> CameraTrack:
    return CameraTrack(
        K_px=clip.lens.K_px(),
        width_px=clip.size[0],
        height_px=clip.size[1],
        T_world_cam=T,
        is_valid=valid,
        is_static=False,
        intrinsics_source=clip.found.source,
        scale_source="none",
        scale_rel_std=float("nan"),
        method=method,
        focal_rel_std=clip.found.rel_std,
    )


def _invalid_frames(valid: np.ndarray, inliers: np.ndarray) -> tuple[Rejection, ...]:
    """One rejection per run of frames without a pose."""
    edges = np.flatnonzero(np.diff(np.concatenate([[True], valid, [True]]).astype(int)))
    return tuple(
        Rejection(
            stage="reconstruction",
            item=f"camera, frames [{start}, {stop})",
            reason="camera_lost",
            detail=f"At most {int(inliers[start:stop].max())} background features agree with the scene.",
            start=int(start),
            stop=int(stop),
        )
        for start, stop in zip(edges[::2], edges[1::2], strict=True)
    )


def with_scale(estimate: CameraEstimate, scale: float, rel_std: float, source: str) -> CameraEstimate:
    """The same estimate in metres: path and points times `scale`.

    Args:
        estimate: up to scale.
        scale: metres per unit of the estimate.
        rel_std: relative 1-sigma of the scale.
        source: where the metre comes from: "hands" or "prior".
    """
    if not (np.isfinite(scale) and scale > 0):
        raise BadInput(f"The metric scale is {scale}: it must be finite and greater than 0.")
    T = estimate.track.T_world_cam.copy()
    T[:, :3, 3] *= scale
    track = replace(estimate.track, T_world_cam=T, scale_source=source, scale_rel_std=float(rel_std))
    return replace(estimate, track=track, points_world=estimate.points_world * scale)
