"""One hand of a clip: lifted joints and detected points -> a `HandTrack` in camera space, MANO's layout.

`hands.fitting` gives every frame a closed-form start from the lifted joints; `clip_solver` then refines whole runs of
frames. Detected points fix the bearing and the finger angles; the depth of the wrist is left to the lifter, because
the detector's apparent hand size is biased in egocentric views and would drag the hand along its ray.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr

from vitra_lib.contracts.hand_track import HandTrack, Side
from vitra_lib.core.errors import BadInput
from vitra_lib.geometry.cameras import project, rays
from vitra_lib.hands.fitting import PointFit, fit_points
from vitra_lib.hands.grasps import named_pose, to_rotations
from vitra_lib.hands.kinematics import BoneChains, FingerDofs, joint_rotations, joints_of, pose_joints, rest_chains
from vitra_lib.hands.mirror import mirror_points, mirror_rotation
from vitra_lib.hands.model import HandModel
from vitra_lib.reconstruction.clip_solver import ClipEvidence, ClipSolver, ClipState, SolverWeights
from vitra_lib.reconstruction.identity import HandDetections
from vitra_lib.reconstruction.lifter import LiftedHand

_CHUNK_FRAMES = 400  # bounds memory; neighbours share a margin so that the cut is not felt
_MARGIN_FRAMES = 20
_MIDDLE_KNUCKLE = 9


@dataclass(frozen=True)
class FitConfig:
    """Knobs of the hand fit; every `_std` is the standard deviation of a term of the least-squares problem.

    The defaults were chosen on renders that the lifter had not seen. They trust the lifter more than its own error
    bars ask for, because the detected points err as the lifter's input does: pulled towards them, single frames fit
    the image better and the truth worse.

    Attributes:
        betas: (10,) shape of the hand model, shared by all frames.
        point_std: error of a detected point, relative to the hand's length (wrist to middle knuckle) in the image.
        scale_std: common relative size error of all detected points of a frame.
        tilt_std: common rotation error of all lifted joints of a frame [rad].
        relative_std_m: error of a lifted joint relative to the wrist [m].
        across_std_m: error of the lifted wrist across its viewing ray [m].
        depth_std_share: the lifter's own depth error is multiplied by this (< 1 trusts the lifter more).
        pose_std: spread of finger angles about the relaxed hand [rad].
        limit_std: softness of the joint limits [rad].
        acceleration: typical acceleration of a wrist in the camera [m/s^2].
        angular_acceleration: typical angular acceleration of a wrist [rad/s^2].
        finger_acceleration: typical angular acceleration of a finger joint [rad/s^2].
        max_gap_s: frames further apart than this are not tied by smoothness [s].
        robust_at: residual, in standard deviations, where a point begins to count as an outlier.
        iterations: most solver steps; 0 keeps the closed form.
        stop_at: relative decrease of the cost at which the solver stops.
        good_error_m: confidence is the chance that the joints of a frame are off by less than this on average [m].
        error_spread: standard deviation of the logarithm of true over expected joint error.
        usual_reprojection: residual, relative to the hand's length, at which the lifter's expectation stands.
        reprojection_power: how fast the expected error grows with the residual.
        lost_reprojection: residual, relative to the hand's length, at which the points may as well be another hand's;
            confidence has halved there and soon vanishes.
    """

    betas: tuple[float, ...] = (0.0,) * 10
    point_std: float = 0.4
    scale_std: float = 0.15
    tilt_std: float = 0.04
    relative_std_m: float = 0.008
    across_std_m: float = 0.008
    depth_std_share: float = 0.4
    pose_std: float = 1.0
    limit_std: float = 0.05
    acceleration: float = 5.0
    angular_acceleration: float = 50.0
    finger_acceleration: float = 50.0
    max_gap_s: float = 0.3
    robust_at: float = 2.0
    iterations: int = 8
    stop_at: float = 1e-3
    good_error_m: float = 0.05
    error_spread: float = 0.65
    usual_reprojection: float = 0.11
    reprojection_power: float = 0.2
    lost_reprojection: float = 0.5

    def __post_init__(self) -> None:
        if len(self.betas) != 10:
            raise BadInput(f"FitConfig.betas needs 10 numbers, not {len(self.betas)}.")
        for name, value in vars(self).items():
            if name not in ("betas", "iterations") and not value > 0:
                raise BadInput(f"FitConfig.{name} must be positive, not {value}.")
        if self.iterations < 0:
            raise BadInput(f"FitConfig.iterations must be 0 or more, not {self.iterations}.")


def fit_hand(
    side: Side,
    lifted: LiftedHand,
    detections: HandDetections,
    K_px: Float[np.ndarray, "3 3"],
    times_s: Float[np.ndarray, " time"],
    model: HandModel,
    config: FitConfig | None = None,
) -> HandTrack:
    """Fit the hand model to what was detected and lifted.

    Args:
        side: which hand.
        lifted: its lifted joints and their predicted depth error.
        detections: its detected points.
        K_px: intrinsics of the frames the points were detected in.
        times_s: times of the frames [s], strictly increasing.
        model: the hand model whose skeleton is fitted.
        config: knobs.

    Returns:
        HandTrack in camera space; valid = observed = lifted and detected. Gaps are left to `world`.

    Raises:
        BadInput: inputs of different lengths or sides.
    """
    config = config or FitConfig()
    if not len(lifted.is_valid) == len(detections.is_detected) == len(times_s):
        raise BadInput(
            f"Lifted hand, detections and times must cover the same frames, not {len(lifted.is_valid)}, "
            f"{len(detections.is_detected)} and {len(times_s)}."
        )
    if not lifted.side == detections.side == side:
        raise BadInput(
            f"Asked for the {side} hand but given a lifted {lifted.side} and a detected {detections.side} hand."
        )
    is_valid = lifted.is_valid & detections.is_detected & np.isfinite(lifted.joints_cam).all((1, 2))
    is_valid = is_valid & np.isfinite(detections.keypoints_px).all((1, 2))
    if not is_valid.any():
        return HandTrack.absent(side, len(times_s), model.name)
    betas = np.array(config.betas, float)
    chains = rest_chains(model, betas)
    frames = np.flatnonzero(is_valid)
    start = fit_points(lifted.joints_cam[frames], side, chains)
    evidence = _evidence(lifted, detections, K_px, times_s, frames, config)
    state = _refined(start, evidence, chains, side, config)
    absent = HandTrack.absent(side, len(times_s), model.name)
    R, t, fingers = absent.R_cam_wrist, absent.t_cam_wrist, absent.R_parent_joint
    R[frames], t[frames], fingers[frames] = state.R, state.t, joint_rotations(FingerDofs.anatomical(), state.angles)[0]
    absent.joints_cam[frames] = pose_joints(model, side, R[frames], t[frames], fingers[frames], betas)
    track = replace(absent, betas=betas, is_valid=is_valid, is_observed=is_valid.copy())
    return replace(track, confidence=_confidence(track, lifted, detections, K_px, config))


def reprojection_rel(
    joints_cam: Float[np.ndarray, "time 21 3"],
    keypoints_px: Float[np.ndarray, "time 21 2"],
    K_px: Float[np.ndarray, "3 3"],
) -> Float[np.ndarray, " time"]:
    """Mean reprojection error per frame, relative to the hand's length in the image (wrist to middle knuckle, not
    foreshortened); NaN where either is missing."""
    length_px = _length_px(joints_cam, K_px)
    error = np.linalg.norm(project(K_px, joints_cam) - keypoints_px, axis=-1)
    return np.mean(error, axis=-1) / length_px


def _length_px(joints_cam: np.ndarray, K_px: np.ndarray) -> np.ndarray:
    """Length of wrist to middle knuckle as it would appear face on at the wrist's depth [px]."""
    length = np.linalg.norm(joints_cam[:, _MIDDLE_KNUCKLE] - joints_cam[:, 0], axis=-1)
    depth = np.maximum(joints_cam[:, 0, 2], 0.02)
    return np.sqrt(K_px[0, 0] * K_px[1, 1]) * length / depth


def _evidence(
    lifted: LiftedHand,
    detections: HandDetections,
    K_px: np.ndarray,
    times_s: np.ndarray,
    frames: np.ndarray,
    config: FitConfig,
) -> ClipEvidence:
    """Measurements of the usable frames, mirrored to a right hand."""
    joints = lifted.joints_cam[frames]
    on_plane = rays(K_px, detections.keypoints_px[frames])
    std_px = config.point_std * _length_px(joints, K_px)
    if lifted.side == "left":
        joints, on_plane = mirror_points(joints), mirror_points(on_plane)
    std = std_px / np.sqrt(K_px[0, 0] * K_px[1, 1])
    return ClipEvidence(
        xy=on_plane[..., :2],
        xy_std=np.repeat(std[:, None], 21, axis=1),
        joints_cam=joints,
        depth_std_m=np.maximum(lifted.sigma_m[frames] * config.depth_std_share, 1e-3),
        times_s=times_s[frames],
        is_linked=np.diff(times_s[frames]) <= config.max_gap_s + 1e-6,
    )


def _refined(
    start: PointFit, evidence: ClipEvidence, chains: BoneChains, side: Side, config: FitConfig
) -> ClipState:
    """Refine the closed-form start chunk by chunk; start and answer are for the true side."""
    state = ClipState(start.R_a_wrist, start.t_a_wrist, start.angles)
    if config.iterations == 0:
        return state
    state = _mirrored(state, side)
    R, t, angles = state.R.copy(), state.t.copy(), state.angles.copy()
    dofs, weights = FingerDofs.anatomical(), _weights(config, chains)
    for whole, own in _chunks(len(R)):
        part = ClipEvidence(
            xy=evidence.xy[whole],
            xy_std=evidence.xy_std[whole],
            joints_cam=evidence.joints_cam[whole],
            depth_std_m=evidence.depth_std_m[whole],
            times_s=evidence.times_s[whole],
            is_linked=evidence.is_linked[whole.start : whole.stop - 1],
        )
        first = ClipState(state.R[whole], state.t[whole], state.angles[whole])
        solved = ClipSolver(chains, dofs, part, weights).solve(first)
        inner = slice(own.start - whole.start, own.stop - whole.start)
        R[own], t[own], angles[own] = solved.R[inner], solved.t[inner], solved.angles[inner]
    # A soft limit may be exceeded by a hair; the track keeps every angle legal.
    return _mirrored(ClipState(R, t, np.clip(angles, dofs.lower, dofs.upper)), side)


def _mirrored(state: ClipState, side: Side) -> ClipState:
    if side == "right":
        return state
    return ClipState(mirror_rotation(state.R), mirror_points(state.t), state.angles)


def _chunks(count: int) -> list[tuple[slice, slice]]:
    """(solved together, kept) slices of at most `_CHUNK_FRAMES` kept frames with a margin on both sides."""
    pieces = max(-(-count // _CHUNK_FRAMES), 1)
    edges = np.linspace(0, count, pieces + 1).round().astype(int)
    return [
        (slice(max(a - _MARGIN_FRAMES, 0), min(b + _MARGIN_FRAMES, count)), slice(a, b))
        for a, b in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
    ]


def _weights(config: FitConfig, chains: BoneChains) -> SolverWeights:
    relaxed = fit_points(joints_of(chains, to_rotations(named_pose("relaxed")))[None], "right", chains)
    return SolverWeights(
        scale_std=config.scale_std,
        tilt_std=config.tilt_std,
        relative_std_m=config.relative_std_m,
        across_std_m=config.across_std_m,
        angle_mean=relaxed.angles[0],
        angle_std=np.full((15, 3), config.pose_std),
        limit_std=config.limit_std,
        acceleration=config.acceleration,
        angular_acceleration=config.angular_acceleration,
        finger_acceleration=config.finger_acceleration,
        robust_at=config.robust_at,
        iterations=config.iterations,
        stop_at=config.stop_at,
    )


def _confidence(
    track: HandTrack, lifted: LiftedHand, detections: HandDetections, K_px: np.ndarray, config: FitConfig
) -> Float[np.ndarray, " time"]:
    """Chance that the joints of a frame are off by less than `good_error_m` on average; 0 where invalid.

    The expected error is the lifter's, times a power of how far the fitted hand misses the detected points; true errors
    scatter about it like a log-normal. The numbers of `FitConfig` are from validation renders.
    """
    missed = reprojection_rel(track.joints_cam, detections.keypoints_px, K_px)
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = np.log(lifted.error_m) + config.reprojection_power * np.log(missed / config.usual_reprojection)
        chance = ndtr((np.log(config.good_error_m) - expected) / config.error_spread)
        chance = chance / (1 + (missed / config.lost_reprojection) ** 4)
    return np.where(track.is_valid, chance, 0.0)
