"""How right a reconstruction is: against the truth of the synthetic world, and against an official annotation.

Every figure comes from running the whole default chain on a video file, as a user would; nothing is fitted to the
clips that are measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from vitra_lib.contracts import HandTrack, Reconstruction, Segment, Segmentation
from vitra_lib.contracts.hand_track import SIDES, Side
from vitra_lib.core.errors import RefusedClip
from vitra_lib.episodes import Episode, read_official
from vitra_lib.evaluation.boundaries import BoundaryScore, inner_boundaries, score_boundaries
from vitra_lib.evaluation.hands import (
    DetectionRates,
    HandErrors,
    detection_rates,
    hand_errors,
    mean_joint_error,
    rank_correlation,
    summarise,
)
from vitra_lib.evaluation.trajectories import path_errors, rotation_errors
from vitra_lib.geometry.cameras import project, rays
from vitra_lib.reconstruction.backends import ReconstructConfig
from vitra_lib.reconstruction.reconstruct import reconstruct
from vitra_lib.reconstruction.tracker import track_hands
from vitra_lib.segmentation import segment
from vitra_lib.tabletop.clip import TabletopClip
from vitra_lib.video import VideoReader, probe

TOLERANCE_FRAMES = 5


@dataclass(frozen=True)
class Figure:
    """One measured number.

    Attributes:
        name: what it is.
        value: the number; NaN = could not be measured.
        unit: "cm", "deg", "mm", "share", "frames", "clips" or "ratio".
        n: how many frames, hands or boundaries are behind it.
        ci95: 95 % bootstrap interval, or None.
    """

    name: str
    value: float
    unit: str
    n: int
    ci95: tuple[float, float] | None = None


@dataclass(frozen=True)
class ClipScore:
    """One clip of the world: counts and errors, to be pooled.

    Attributes:
        rates: hands found and told apart.
        hands: errors of each hand that is in view.
        ate_m: of the camera path after similarity alignment [m]; NaN for a refused clip.
        rotation_rad: median error of the camera's rotation [rad].
        scale: estimated over true length of the path; NaN where the camera stands still.
        from_truth, from_reconstruction: boundaries found on the true and on the estimated tracks.
        refusal: why the clip was refused, or "".
    """

    rates: DetectionRates
    hands: tuple[HandErrors, ...]
    ate_m: float
    rotation_rad: float
    scale: float
    from_truth: BoundaryScore
    from_reconstruction: BoundaryScore
    refusal: str = ""


def score_world_clip(clip: TabletopClip, estimate: Reconstruction) -> ClipScore:
    """Compare a reconstruction of a rendered clip with the clip's truth."""
    truth = clip.truth
    poses = (estimate.camera.T_world_cam, truth.camera.T_world_cam)
    path = path_errors(*poses, is_compared=estimate.camera.is_valid)
    turned = rotation_errors(*poses, estimate.camera.is_valid)
    visible = np.stack([truth.hand(side).is_valid for side in SIDES])
    present = [side for side in SIDES if truth.hand(side).is_valid.any()]
    return ClipScore(
        rates=detection_rates(_pixels(estimate), _truth_pixels(truth), visible),
        hands=tuple(hand_errors(estimate.hand(side), truth.hand(side)) for side in present),
        ate_m=path.ate_m,
        rotation_rad=float(np.median(turned)),
        scale=1.0 / path.alignment.scale if path.alignment.scale > 0 and not truth.camera.is_static else float("nan"),
        from_truth=boundary_score(clip, segment(truth)),
        from_reconstruction=boundary_score(clip, segment(estimate)),
    )


def score_refused_clip(clip: TabletopClip, refusal: str) -> ClipScore:
    """A clip that was refused: every visible hand was missed, every true boundary too, and nothing was measured."""
    visible = int(sum(clip.truth.hand(side).is_valid.sum() for side in SIDES))
    nan = float("nan")
    return ClipScore(
        rates=DetectionRates(visible, 0, 0, 0, 0, 0, 0),
        hands=(),
        ate_m=nan,
        rotation_rad=nan,
        scale=nan,
        from_truth=boundary_score(clip, segment(clip.truth)),
        from_reconstruction=boundary_score(clip, ()),
        refusal=refusal,
    )


def boundary_score(clip: TabletopClip, found: Segmentation | Sequence[Segment]) -> BoundaryScore:
    """Predicted boundaries against the true ones, both hands; only where the true hand is in view."""
    total = BoundaryScore(0, 0, 0)
    for side in SIDES:
        in_view = clip.truth.hand(side).is_valid
        if in_view.any():
            predicted = _while_in_view(inner_boundaries(found, side), in_view)
            true = _while_in_view(inner_boundaries(clip.segments, side), in_view)
            total = total + score_boundaries(predicted, true, TOLERANCE_FRAMES)
    return total


def _while_in_view(boundaries: Int[np.ndarray, " n"], in_view: Bool[np.ndarray, " time"]) -> Int[np.ndarray, " m"]:
    """Boundaries with the hand in view on both sides of them: what leaves the picture can't be cut."""
    last = len(in_view) - 1
    keep = [in_view[max(b - TOLERANCE_FRAMES, 0)] and in_view[min(b + TOLERANCE_FRAMES, last)] for b in boundaries]
    return boundaries[np.array(keep, bool)]


def _pixels(estimate: Reconstruction) -> Float[np.ndarray, "2 time 21 2"]:
    """Projected joints of both hands where they were seen (filled gaps do not count as found)."""
    pixels = []
    for side in SIDES:
        hand = estimate.hand(side)
        uv = project(estimate.camera.K_px, hand.joints_cam)
        uv[~(hand.is_valid & hand.is_observed)] = np.nan
        pixels.append(uv)
    return np.stack(pixels)


def _truth_pixels(truth: Reconstruction) -> Float[np.ndarray, "2 time 21 2"]:
    return np.stack([project(truth.camera.K_px, truth.hand(side).joints_cam) for side in SIDES])


def pool(scores: Sequence[ClipScore]) -> tuple[Figure, ...]:
    """The figures of a set of clips, refused ones included; intervals resample whole clips."""
    rates = sum((s.rates for s in scores[1:]), scores[0].rates)
    hands = [(number, hand) for number, s in enumerate(scores) for hand in s.hands]
    if not hands:
        raise RefusedClip(f"All {len(scores)} clips were refused. {scores[0].refusal}")
    errors = HandErrors.concatenated([hand for _, hand in hands])
    clip = np.concatenate([np.full(len(hand.frames), number) for number, hand in hands])
    ate = np.array([s.ate_m for s in scores])
    scale = np.array([abs(s.scale - 1) for s in scores])
    truth_f1 = sum((s.from_truth for s in scores[1:]), scores[0].from_truth)
    own_f1 = sum((s.from_reconstruction for s in scores[1:]), scores[0].from_reconstruction)
    refused = float(sum(bool(s.refusal) for s in scores))
    return (
        Figure("clips refused", refused, "clips", len(scores)),
        Figure("visible hands found", rates.found_rate, "share", rates.visible),
        Figure("identity right, by track", rates.track_identity_rate, "share", rates.tracks),
        Figure("identity right, by frame", rates.identity_rate, "share", rates.found),
        Figure("false hands", float(rates.false), "frames", rates.estimates),
        _median("camera path after similarity alignment (ATE)", ate * 100, "cm", np.arange(len(ate))),
        _median("camera rotation", np.rad2deg([s.rotation_rad for s in scores]), "deg", np.arange(len(ate))),
        _median("metric scale error of the path", scale, "ratio", np.arange(len(ate))),
        _median("wrist position in camera", errors.wrist_m * 100, "cm", clip),
        _median("wrist rotation", np.rad2deg(errors.rotation_rad), "deg", clip),
        _median("root-aligned joints", errors.root_aligned_m * 1000, "mm", clip),
        _belief(errors),
        Figure("boundary F1 at 5 frames, truth tracks", truth_f1.f1, "ratio", truth_f1.true),
        Figure("boundary F1 at 5 frames, reconstructed tracks", own_f1.f1, "ratio", own_f1.true),
    )


def _median(name: str, values: np.ndarray, unit: str, clip: np.ndarray | None) -> Figure:
    summary = summarise(np.asarray(values, float), clip)
    return Figure(name, summary.median, unit, summary.n, summary.ci95)


def _belief(errors: HandErrors) -> Figure:
    """Whether confidence tells good frames from bad ones: -1 = always, 0 = not at all."""
    value = rank_correlation(errors.confidence, errors.joints_m)
    return Figure("confidence against joint error (Spearman)", value, "ratio", len(errors.frames))


def official_accuracy(video: Path, annotation: Path, side: Side = "right", given_K: bool = True) -> tuple[Figure, ...]:
    """Reconstruct a video and compare with an official episode annotation that covers all of it.

    The annotation is the output of the authors' own pipeline, not ground truth.

    Args:
        video: the clip.
        annotation: its official `.npy`.
        side: the annotated hand; the other one must not be found.
        given_K: True gives the annotation's field of view to the camera stage, as the authors' pipeline had it from
            its own calibration; False leaves it to self-calibration.
    """
    episode = read_official(annotation, probe(video).fps)
    config = ReconstructConfig(hfov_rad=float(episode.fov_rad[0]) if given_K else None)
    estimate = reconstruct(video, config)
    reference = official_track(episode, side)
    errors = hand_errors(estimate.hand(side), reference)
    path = path_errors(estimate.camera.T_world_cam, episode.T_world_cam, is_compared=estimate.camera.is_valid)
    turn = rotation_errors(estimate.camera.T_world_cam, episode.T_world_cam, estimate.camera.is_valid)
    other: Side = "left" if side == "right" else "right"
    found = estimate.hand(side).is_observed & estimate.hand(side).is_valid
    floor = landmark_floor(_landmarks(video, side), reference, estimate.camera.K_px)
    focal = estimate.camera.K_px[0, 0] / estimate.camera.width_px * 2 * np.tan(episode.fov_rad[0] / 2)
    return (
        Figure(f"{side} hand found", float(found.sum()), "frames", len(episode)),
        Figure("false hands", float(estimate.hand(other).is_valid.sum()), "frames", len(episode)),
        _median("wrist position in camera", errors.wrist_m * 100, "cm", None),
        _median("wrist rotation", np.rad2deg(errors.rotation_rad), "deg", None),
        _median("root-aligned joints", errors.root_aligned_m * 1000, "mm", None),
        _median("root-aligned joints, landmarks alone at official depths", floor * 1000, "mm", None),
        _belief(errors),
        Figure("camera path after similarity alignment (ATE)", path.ate_m * 100, "cm", len(path.position_m)),
        _median("camera rotation", np.rad2deg(turn), "deg", None),
        Figure("metric scale of the path, ours over official", 1.0 / path.alignment.scale, "ratio", len(episode)),
        Figure("focal length, ours over official", float(focal), "ratio", 1),
    )


def landmark_floor(
    keypoints_px: Float[np.ndarray, "time 21 2"], reference: HandTrack, K_px: Float[np.ndarray, "3 3"]
) -> Float[np.ndarray, " frames"]:
    """Root-aligned joint error [m] of landmarks that are given the reference's depths: what the tracker's landmarks
    cost by themselves, whatever lifts them. Frames without either are left out.

    Args:
        keypoints_px: landmarks [px], NaN where not seen.
        reference: the hand they belong to.
        K_px: intrinsics of the picture.
    """
    used = reference.is_valid & np.isfinite(keypoints_px).all(axis=(1, 2))
    joints = reference.joints_cam[used]
    placed = rays(K_px, keypoints_px[used]) * joints[..., 2:]
    return mean_joint_error(placed - placed[:, :1], joints - joints[:, :1])


def _landmarks(video: Path, side: Side) -> Float[np.ndarray, "time 21 2"]:
    with VideoReader(video) as reader:
        return track_hands([frame.image for frame in reader.frames()], reader.info.fps)[side].keypoints_px


def official_track(episode: Episode, side: Side) -> HandTrack:
    """An annotated hand as a track in the camera of each frame."""
    hand = episode.hand(side)
    return HandTrack(
        side=side,
        R_cam_wrist=episode.R_cam_wrist(side),
        t_cam_wrist=episode.t_cam_wrist(side),
        R_parent_joint=hand.R_parent_joint,
        betas=hand.betas,
        joints_cam=episode.joints_cam(side),
        is_valid=hand.is_valid,
        is_observed=hand.is_valid,
        confidence=hand.confidence,
        hand_model=hand.hand_model,
    )
