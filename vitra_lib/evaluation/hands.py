"""How well hands were found, told apart and measured, against truth or a reference annotation.

Errors are per frame and in the camera of that frame; `summarise` turns them into medians with counts and intervals.
Frames of one video resemble each other, so intervals come from resampling blocks of frames or whole clips.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from vitra_lib.contracts.hand_track import HandTrack
from vitra_lib.core.errors import BadInput
from vitra_lib.geometry.rotations import geodesic_angle, nearest_rotation

HIT_SHARE = 0.6
"""A detection belongs to a hand if its mean joint error in the image is below this share of the longer box side."""


@dataclass(frozen=True)
class HandErrors:
    """Errors of one hand in the frames that both tracks know.

    Attributes:
        frames: (n,) indices of the compared frames.
        wrist_m: (n,) distance between the wrist joints [m].
        depth_m: (n,) error along the true viewing ray, positive = too far [m].
        rotation_rad: (n,) geodesic angle between the wrist rotations [rad].
        joints_m: (n,) mean over the 21 joints of the distance in the camera (MPJPE) [m].
        root_aligned_m: (n,) the same after moving the wrists together [m].
        pa_m: (n,) the same after the best similarity (PA-MPJPE) [m].
        confidence: (n,) how sure the estimate said it was, in [0, 1].
    """

    frames: Int[np.ndarray, " n"]
    wrist_m: Float[np.ndarray, " n"]
    depth_m: Float[np.ndarray, " n"]
    rotation_rad: Float[np.ndarray, " n"]
    joints_m: Float[np.ndarray, " n"]
    root_aligned_m: Float[np.ndarray, " n"]
    pa_m: Float[np.ndarray, " n"]
    confidence: Float[np.ndarray, " n"]

    @classmethod
    def concatenated(cls, parts: "list[HandErrors]") -> "HandErrors":
        """All frames of several clips; `frames` keep the numbers of their own clip."""
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in cls.__annotations__})


@dataclass(frozen=True)
class Summary:
    """One figure over many frames.

    Attributes:
        median, mean: of the frames, in the unit of the error; NaN if n = 0.
        n: number of frames.
        ci95: 95 % bootstrap interval of the median.
    """

    median: float
    mean: float
    n: int
    ci95: tuple[float, float]


@dataclass(frozen=True)
class DetectionRates:
    """Counts over frames; rates are properties, counts of several clips add up with `+`.

    Attributes:
        visible: hands that are visible, one count per hand and frame.
        found: those that an estimate hits, whatever its label.
        labelled: those found that carry the right label.
        estimates: hands estimated in frames that can be judged.
        false: estimates that hit no hand at all.
        tracks: runs of estimates of one label.
        tracks_right: runs whose hits are mostly of their own label (runs without a hit are false, not wrong).
    """

    visible: int
    found: int
    labelled: int
    estimates: int
    false: int
    tracks: int
    tracks_right: int

    def __add__(self, other: "DetectionRates") -> "DetectionRates":
        return DetectionRates(*(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))

    @property
    def found_rate(self) -> float:
        """Share of visible hands that were found."""
        return self.found / self.visible if self.visible else float("nan")

    @property
    def identity_rate(self) -> float:
        """Share of found hands with the right label."""
        return self.labelled / self.found if self.found else float("nan")

    @property
    def track_identity_rate(self) -> float:
        """Share of runs with the right label."""
        return self.tracks_right / self.tracks if self.tracks else float("nan")


def hand_errors(
    estimate: HandTrack, truth: HandTrack, is_compared: Bool[np.ndarray, " time"] | None = None
) -> HandErrors:
    """Compare two tracks of one hand frame by frame.

    Args:
        estimate, truth: tracks of the same side and frames, in the camera of each frame.
        is_compared: frames to use besides both tracks' `is_valid`; None = all.

    Raises:
        BadInput: different sides or lengths.
    """
    if estimate.side != truth.side or len(estimate) != len(truth):
        raise BadInput(
            f"A {estimate.side} track of {len(estimate)} frames can't be compared "
            f"with a {truth.side} one of {len(truth)}."
        )
    use = estimate.is_valid & truth.is_valid
    frames = np.flatnonzero(use if is_compared is None else use & is_compared)
    ours, theirs = estimate.joints_cam[frames], truth.joints_cam[frames]
    wrist = estimate.t_cam_wrist[frames] - truth.t_cam_wrist[frames]
    ray = truth.t_cam_wrist[frames]
    ray = ray / np.maximum(np.linalg.norm(ray, axis=-1, keepdims=True), 1e-9)
    return HandErrors(
        frames=frames,
        wrist_m=np.linalg.norm(wrist, axis=-1),
        depth_m=np.sum(wrist * ray, axis=-1),
        rotation_rad=geodesic_angle(estimate.R_cam_wrist[frames], truth.R_cam_wrist[frames]),
        joints_m=mean_joint_error(ours, theirs),
        root_aligned_m=mean_joint_error(ours - ours[:, :1], theirs - theirs[:, :1]),
        pa_m=mean_joint_error(procrustes(ours, theirs), theirs),
        confidence=estimate.confidence[frames],
    )


def rank_correlation(a: Float[np.ndarray, " n"], b: Float[np.ndarray, " n"]) -> float:
    """Spearman's correlation: do two figures put the frames into the same (1) or the opposite (-1) order?

    NaN with fewer than three frames where both are known, or where one of them never changes.
    """
    from scipy.stats import rankdata

    known = np.isfinite(a) & np.isfinite(b)
    if known.sum() < 3:
        return float("nan")
    x, y = rankdata(a[known]), rankdata(b[known])
    x, y = x - x.mean(), y - y.mean()
    length = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / length if length > 0 else float("nan")


def mean_joint_error(
    joints: Float[np.ndarray, "*batch 21 3"], truth: Float[np.ndarray, "*batch 21 3"]
) -> Float[np.ndarray, "*batch"]:
    """Mean over the joints of the distance to the true joint [m]."""
    return np.linalg.norm(joints - truth, axis=-1).mean(axis=-1)


def procrustes(joints: Float[np.ndarray, "n 21 3"], truth: Float[np.ndarray, "n 21 3"]) -> Float[np.ndarray, "n 21 3"]:
    """The joints after the similarity that brings each frame closest to the truth."""
    centre, true_centre = joints.mean(axis=1, keepdims=True), truth.mean(axis=1, keepdims=True)
    x, y = joints - centre, truth - true_centre
    covariance = np.swapaxes(y, 1, 2) @ x
    R = nearest_rotation(covariance)
    scale = np.sum(R * covariance, axis=(1, 2)) / np.maximum(np.sum(x**2, axis=(1, 2)), 1e-12)
    return scale[:, None, None] * x @ np.swapaxes(R, 1, 2) + true_centre


def detection_rates(
    estimate_px: Float[np.ndarray, "2 time 21 2"],
    truth_px: Float[np.ndarray, "2 time 21 2"],
    is_visible: Bool[np.ndarray, "2 time"],
) -> DetectionRates:
    """Match estimated to true hands in the image.

    Args:
        estimate_px: joints of the hands labelled (left, right) [px], NaN where there is none.
        truth_px: joints of the true (left, right) hand [px], NaN where it is not in front of the camera.
        is_visible: which true hands one can expect to be found. A hit on another true hand (half outside the frame)
            is neither counted as found nor as false.

    Returns:
        Counts. Each estimate goes to the true hand that it fits best, and hits if it fits within `HIT_SHARE`.
    """
    has_estimate = np.isfinite(estimate_px).all(axis=(2, 3))
    has_truth = np.isfinite(truth_px).all(axis=(2, 3))
    box = np.ptp(np.where(has_truth[..., None, None], truth_px, 0.0), axis=2).max(axis=-1)
    error = np.full((2, 2, estimate_px.shape[1]), np.inf)  # estimate, truth, time
    for label in range(2):
        for side in range(2):
            both = has_estimate[label] & has_truth[side]
            distance = np.linalg.norm(estimate_px[label, both] - truth_px[side, both], axis=-1).mean(axis=-1)
            error[label, side, both] = distance / np.maximum(box[side, both], 1e-9)
    is_hit = (error < HIT_SHARE) & (error <= error[:, ::-1])
    found = is_hit.any(axis=0) & is_visible
    labelled = np.stack([is_hit[side, side] for side in range(2)]) & is_visible
    tracks = tracks_right = 0
    for label in range(2):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], has_estimate[label].astype(int), [0]])))
        for start, stop in zip(edges[::2], edges[1::2], strict=True):
            own, other = is_hit[label, label, start:stop].sum(), is_hit[label, 1 - label, start:stop].sum()
            if own + other:
                tracks, tracks_right = tracks + 1, tracks_right + int(own > other)
    return DetectionRates(
        visible=int(is_visible.sum()),
        found=int(found.sum()),
        labelled=int(labelled.sum()),
        estimates=int(has_estimate.sum()),
        false=int((has_estimate & ~is_hit.any(axis=1)).sum()),
        tracks=tracks,
        tracks_right=tracks_right,
    )


def summarise(
    values: Float[np.ndarray, " n"],
    clip: Int[np.ndarray, " n"] | None = None,
    block: int = 15,
    draws: int = 1000,
    seed: int = 0,
) -> Summary:
    """Median, mean, count and a 95 % bootstrap interval of the median.

    Args:
        values: one error per frame, in time order; non-finite ones are left out.
        clip: which clip each frame is from: whole clips are resampled. None: blocks of consecutive frames are.
        block: frames per block, about as long as neighbouring frames stay alike (0.5 s at 30 fps).
        draws: number of resamples.
        seed: of the resampling.
    """
    keep = np.isfinite(values)
    values = values[keep]
    if len(values) == 0:
        return Summary(float("nan"), float("nan"), 0, (float("nan"), float("nan")))
    groups = np.arange(len(values)) // block if clip is None else np.unique(clip[keep], return_inverse=True)[1]
    parts = [values[groups == group] for group in range(int(groups.max()) + 1)]
    rng = np.random.default_rng(seed)
    picks = rng.integers(len(parts), size=(draws, len(parts)))
    medians = [np.median(np.concatenate([parts[i] for i in pick])) for pick in picks]
    low, high = np.percentile(medians, [2.5, 97.5])
    return Summary(float(np.median(values)), float(values.mean()), len(values), (float(low), float(high)))
