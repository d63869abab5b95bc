"""Checks of one episode's labels, whatever layout they came from."""

import numpy as np
from jaxtyping import Bool, Float

from vitra_lib.contracts.hand_track import SIDES, Side
from vitra_lib.episodes.doctor.finding import Report
from vitra_lib.episodes.doctor.kinematics import fit_rest_hand
from vitra_lib.episodes.doctor.limits import DoctorConfig
from vitra_lib.episodes.episode import Episode, EpisodeCaption
from vitra_lib.geometry.rotations import geodesic_angle

_KNUCKLE = 9


def check_labels(episode: Episode, report: Report, config: DoctorConfig) -> None:
    """All checks that need the labels alone.

    Args:
        episode: the labels.
        report: where findings go.
        config: thresholds.
    """
    _check_camera(episode, report, config)
    _check_intrinsics(episode, report, config)
    _check_frames(episode, report)
    for side in SIDES:
        if episode.hand(side).is_valid.any():
            _check_hand(episode, side, report, config)
        _check_captions(episode, side, report)
    _check_masks(episode, report, config)


def orthonormality(R: Float[np.ndarray, "n 3 3"]) -> Float[np.ndarray, " n"]:
    """(n,) largest entry of R^T R - 1, infinite for a reflection or where R is not finite."""
    error = np.abs(np.swapaxes(R, -1, -2) @ R - np.eye(3)).max((-1, -2))
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(error) & (np.linalg.det(R) > 0), error, np.inf)


def _frames(bad: Bool[np.ndarray, " time"]) -> str:
    where = np.flatnonzero(bad)
    first = ", ".join(str(frame) for frame in where[:3])
    return f"{len(where)} frames ({first}{'…' if len(where) > 3 else ''})"


def _check_camera(episode: Episode, report: Report, config: DoctorConfig) -> None:
    R = episode.T_cam_world[:, :3, :3]
    bad = orthonormality(R) > config.orthonormal
    if bad.any():
        worst = np.abs(np.swapaxes(R, -1, -2) @ R - np.eye(3)).max()
        report.add("error", "rotation", episode.name, f"camera rotation off by {worst:.2g} in {_frames(bad)}")
    bad_rows = (episode.T_cam_world[:, 3] != (0, 0, 0, 1)).any(1) | ~np.isfinite(episode.T_cam_world).all((1, 2))
    if bad_rows.any():
        report.add(
            "error", "transform", episode.name, f"last row of the extrinsics is not 0 0 0 1 in {_frames(bad_rows)}"
        )
    if bad.any() or bad_rows.any():
        return
    T = episode.T_world_cam
    dt = np.diff(episode.time_s)
    if len(dt) and (dt > 0).all():
        speed = np.linalg.norm(np.diff(T[:, :3, 3], axis=0), axis=1) / dt
        rate = geodesic_angle(T[:-1, :3, :3], T[1:, :3, :3]) / dt
        jumps = (speed > config.max_camera_speed) | (rate > config.max_camera_rate)
        if jumps.any():
            what = f"the camera moves at up to {speed.max():.1f} m/s and turns at up to {rate.max():.1f} rad/s"
            report.add("warning", "camera_jump", episode.name, f"{what}; over the limit after {_frames(jumps)}")


def _check_intrinsics(episode: Episode, report: Report, config: DoctorConfig) -> None:
    K = episode.K_px
    is_pinhole = np.isfinite(K).all() and K[0, 0] > 0 and K[1, 1] > 0 and (K[2] == (0, 0, 1)).all() and not K[1, 0]
    if not is_pinhole:
        report.add("error", "intrinsics", episode.name, f"not a pinhole matrix: {np.round(K, 3).tolist()}")
        return
    low, high = config.fov_deg
    fov = float(np.rad2deg(2 * np.arctan(episode.width_px / 2 / K[0, 0])))
    inside = 0 < K[0, 2] < episode.width_px and 0 < K[1, 2] < episode.height_px
    if not low <= fov <= high or not inside or not 0.5 < K[0, 0] / K[1, 1] < 2:
        what = f"field of view {fov:.1f} degrees, principal point ({K[0, 2]:.0f}, {K[1, 2]:.0f})"
        report.add("error", "intrinsics", episode.name, f"{what} in an image {episode.width_px} x {episode.height_px}")


def _check_frames(episode: Episode, report: Report) -> None:
    steps = np.diff(episode.source_frame)
    if (steps != 1).any():
        report.add("error", "frame_range", episode.name, f"frame numbers not consecutive after {_frames(steps != 1)}")
    if episode.source_frame.min() < 0:
        report.add("error", "frame_range", episode.name, f"frame number {episode.source_frame.min()}")
    dt = np.diff(episode.time_s)
    if not np.isfinite(episode.time_s).all() or (dt <= 0).any():
        report.add("error", "time", episode.name, "times do not increase from frame to frame")
    elif len(dt) and not 0.5 < np.median(dt) * episode.fps < 2:
        rate = f"{1 / np.median(dt):.2f} frames/s by its times, {episode.fps:.2f} by its label"
        report.add("error", "time", episode.name, rate)


def _check_hand(episode: Episode, side: Side, report: Report, config: DoctorConfig) -> None:
    hand = episode.hand(side)
    valid = hand.is_valid
    place = f"{episode.name}, {side} hand"
    R, fingers = hand.R_world_wrist, hand.R_parent_joint
    bad = (orthonormality(R) > config.orthonormal) & valid
    bad_fingers = (orthonormality(fingers.reshape(-1, 3, 3)).reshape(-1, 15) > config.orthonormal).any(1) & valid
    for what, wrong in (("wrist", bad), ("finger", bad_fingers)):
        if wrong.any():
            report.add("error", "rotation", place, f"{what} rotations are not proper in {_frames(wrong)}")
    apart = np.linalg.norm(hand.joints_world[:, 0] - hand.t_world_wrist, axis=1)
    off = valid & ~(apart <= config.wrist_on_joint_m)
    if off.any():
        report.add(
            "error", "consistency", place, f"wrist and joint 0 up to {apart[off].max():.3g} m apart, {_frames(off)}"
        )
    _check_jumps(episode, side, report, config)
    palm = float(np.median(np.linalg.norm((hand.joints_world[:, _KNUCKLE] - hand.joints_world[:, 0])[valid], axis=1)))
    if not config.palm_m[0] <= palm <= config.palm_m[1]:
        report.add("error", "hand_size", place, f"{palm:.4g} m from wrist to middle knuckle")
        return
    if bad.any() or bad_fingers.any() or off.any():
        return
    tracks = (R[valid], hand.t_world_wrist[valid], fingers[valid], hand.joints_world[valid])
    rest = fit_rest_hand(side, *tracks)
    residual = float(np.median(rest.residual_m))
    if residual > config.rest_residual_m or rest.pointing < config.min_pointing:
        what = f"one flat hand misses the joints by {1000 * residual:.1f} mm{_in_pixels(episode, side, residual)}"
        pointing = f"its fingers point along -x with cosine {rest.pointing:.2f}"
        report.add("error", "mirror_rule", place, f"{what}; {pointing}")


def _in_pixels(episode: Episode, side: Side, error_m: float) -> str:
    depth = np.median(episode.t_cam_wrist(side)[episode.hand(side).is_valid, 2])
    return f" ({error_m * episode.K_px[0, 0] / depth:.1f} px in the image)" if depth > 0 else ""


def _check_jumps(episode: Episode, side: Side, report: Report, config: DoctorConfig) -> None:
    hand = episode.hand(side)
    dt = np.diff(episode.time_s)
    both = hand.is_valid[:-1] & hand.is_valid[1:]
    if not both.any() or not (dt > 0).all():
        return
    speed = np.where(both, np.linalg.norm(np.diff(hand.t_world_wrist, axis=0), axis=1) / dt, 0.0)
    rate = np.zeros_like(speed)
    rate[both] = geodesic_angle(hand.R_world_wrist[:-1][both], hand.R_world_wrist[1:][both]) / dt[both]
    jumps = (speed > config.max_wrist_speed) | (rate > config.max_wrist_rate)
    if jumps.any():
        what = f"the wrist moves at up to {speed.max():.1f} m/s and turns at up to {rate.max():.1f} rad/s"
        place = f"{episode.name}, {side} hand"
        report.add("warning", "wrist_jump", place, f"{what}; over the limit after {_frames(jumps)}")


def _check_captions(episode: Episode, side: Side, report: Report) -> None:
    captions = episode.hand(side).captions
    place = f"{episode.name}, {side} hand"
    is_primary = side == episode.primary_hand
    if is_primary and not captions:
        report.add("error", "caption_empty", place, "the primary hand has no caption")
    for number, caption in enumerate(captions):
        # A released caption of the other hand may have an empty interval: it then never applies.
        if is_primary and not number and caption.start >= caption.stop:
            report.add("error", "caption_range", place, f"{caption.text!r} covers [{caption.start}, {caption.stop})")
        if _says_nothing(caption):
            report.add("error", "caption_empty", place, f"caption {number} is {caption.text!r}")
        if any(not text.strip() for text in caption.rephrasings):
            report.add("warning", "caption_empty", place, f"caption {number} has an empty paraphrase")


def _says_nothing(caption: EpisodeCaption) -> bool:
    return caption.text.strip().strip(".").lower() in ("", "n/a", "none")


def _check_masks(episode: Episode, report: Report, config: DoctorConfig) -> None:
    for side in SIDES:
        confidence = episode.hand(side).confidence
        if not ((confidence >= 0) & (confidence <= 1)).all():
            place = f"{episode.name}, {side} hand"
            report.add("error", "mask", place, f"confidence from {confidence.min():.3g} to {confidence.max():.3g}")
    share = float(episode.hand(episode.primary_hand).is_valid.mean())
    place = f"{episode.name}, {episode.primary_hand} hand"
    if share == 0:
        report.add("error", "mask", place, "the primary hand is never valid")
    elif share < config.min_valid:
        report.add("warning", "mask", place, f"the primary hand is valid in {share:.0%} of the frames")
