"""Two-view pose against ground truth: the estimator that starts every camera path, on pairs of pictures far apart.

The path of a video follows corners from frame to frame. Two pictures far apart need descriptors instead, so matches
come from SIFT with a ratio test, and the pose from `relative_pose`, the very function that starts a path. SIFT is the
weak part at such distances; what the estimator itself does is shown by the same figures over the matches that fit the
true epipolar geometry, which is the floor that better matches could reach. The error of a pair is the larger of the
angle between the rotations and the angle between the directions of translation (without sign); AUC@t is the area
under the share of pairs with less error, up to t degrees, divided by t.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float

from vitra_lib.core.errors import BadInput
from vitra_lib.evaluation.accuracy import Figure
from vitra_lib.geometry.rotations import geodesic_angle
from vitra_lib.reconstruction.camera.config import CameraConfig
from vitra_lib.reconstruction.camera.twoview import relative_pose

_RATIO = 0.8
_FEATURES = 4000
_LONG_SIDE_PX = 640
_RESAMPLES, _SEED = 2000, 0
_THRESHOLDS_DEG = (5.0, 10.0, 20.0)
_CONFIG = CameraConfig(min_tracks=8)
"""A path asks for twenty tracks; two pictures have no more to offer, and eight determine a pose."""
_TRUE_PX = 2.0


@dataclass(frozen=True)
class ImagePair:
    """Two pictures of one place.

    Attributes:
        a, b: picture files.
        K_a, K_b: (3, 3) intrinsics [px].
        T_b_a: (4, 4) maps points in camera a to camera b.
    """

    a: Path
    b: Path
    K_a: Float[np.ndarray, "3 3"]
    K_b: Float[np.ndarray, "3 3"]
    T_b_a: Float[np.ndarray, "4 4"]


def read_pairs(folder: Path) -> tuple[ImagePair, ...]:
    """The pairs of `scannet_sample_pairs_with_gt.txt`: names, quarter turns, intrinsics, pose of a in b.

    Raises:
        BadInput: no such file, a malformed line, or a turned picture.
    """
    path = folder / "scannet_sample_pairs_with_gt.txt"
    if not path.is_file():
        raise BadInput(f"There is no {path}: give the folder with pictures and ground truth.")
    pairs = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
        words = line.split()
        if len(words) != 38 or words[2:4] != ["0", "0"]:
            raise BadInput(f"{path.name}, line {number + 1}: needed are two names, 0 0, and 34 numbers.")
        values = np.array(words[4:], float)
        K_a, K_b, T = values[:9].reshape(3, 3), values[9:18].reshape(3, 3), values[18:].reshape(4, 4)
        pairs.append(ImagePair(folder / words[0], folder / words[1], K_a, K_b, T))
    return tuple(pairs)


@dataclass(frozen=True)
class PairResult:
    """What one pair gave.

    Attributes:
        rotation_deg, translation_deg: errors of the estimated pose; 180 where none was found.
        floor_deg: larger error of the pose from true matches alone.
        match_count, true_count: matches, and those that fit the truth.
    """

    rotation_deg: float
    translation_deg: float
    floor_deg: float
    match_count: int
    true_count: int


def measure_pair(pair: ImagePair) -> PairResult:
    """Estimate the pose of a pair, from all matches and from the true ones alone."""
    (uv_a, uv_b), focal = _centred_matches(pair)
    fits = _epipolar_px(pair.T_b_a, uv_a, uv_b, focal) < _TRUE_PX
    errors, floor = (_errors(pair, uv_a[use], uv_b[use], focal) for use in (np.ones(len(fits), bool), fits))
    return PairResult(*errors, max(floor), len(fits), int(fits.sum()))


def _errors(pair: ImagePair, uv_a: np.ndarray, uv_b: np.ndarray, focal: float) -> tuple[float, float]:
    found = relative_pose(uv_a, uv_b, focal, _CONFIG)
    return (180.0, 180.0) if found is None else pose_errors_deg(pair.T_b_a, found.R_b_a, found.t_b_a)


def _epipolar_px(T_b_a: np.ndarray, uv_a: np.ndarray, uv_b: np.ndarray, focal: float) -> np.ndarray:
    """Distance [px] of each match from the true epipolar lines (Sampson's, to first order)."""
    x, y, z = T_b_a[:3, 3]
    E = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ T_b_a[:3, :3]
    a, b = (np.concatenate([uv / focal, np.ones((len(uv), 1))], axis=1) for uv in (uv_a, uv_b))
    line_b, line_a = a @ E.T, b @ E
    slope = np.sqrt((line_b[:, :2] ** 2).sum(1) + (line_a[:, :2] ** 2).sum(1))
    return focal * np.abs((b * line_b).sum(1)) / np.maximum(slope, 1e-12)


def pose_errors_deg(
    T_b_a: Float[np.ndarray, "4 4"], R_b_a: Float[np.ndarray, "3 3"], t_b_a: Float[np.ndarray, "3"]
) -> tuple[float, float]:
    """Angles [deg] between rotations, and between directions of translation without sign."""
    turn = float(np.rad2deg(geodesic_angle(T_b_a[:3, :3], R_b_a)))
    cosine = T_b_a[:3, 3] @ t_b_a / (np.linalg.norm(T_b_a[:3, 3]) * np.linalg.norm(t_b_a))
    return turn, float(np.rad2deg(np.arccos(np.clip(abs(cosine), 0, 1))))


def pose_auc(errors_deg: Float[np.ndarray, " pairs"], threshold_deg: float) -> float:
    """Area under the recall curve up to a threshold, as a share of the whole.

    Args:
        errors_deg: error of every pair [deg].
        threshold_deg: end of the curve [deg].
    """
    order = np.sort(errors_deg)
    recall = np.arange(1, len(order) + 1) / len(order)
    x, y = np.concatenate([[0.0], order]), np.concatenate([[0.0], recall])
    last = int(np.searchsorted(x, threshold_deg))
    x, y = np.append(x[:last], threshold_deg), np.append(y[:last], y[last - 1])
    return float(np.trapezoid(y, x) / threshold_deg)


def two_view_accuracy(pairs: Sequence[ImagePair]) -> tuple[Figure, ...]:
    """AUC of pose error and median errors over pairs, with bootstrap intervals over pairs.

    Raises:
        BadInput: no pairs, or a picture can't be read.
    """
    if not pairs:
        raise BadInput("There are no pairs to measure.")
    results = [measure_pair(pair) for pair in pairs]
    rng = np.random.default_rng(_SEED)
    rows = rng.integers(0, len(results), (_RESAMPLES, len(results)))
    turn, shift = (np.array([getattr(r, name) for r in results]) for name in ("rotation_deg", "translation_deg"))
    worst, floor = np.maximum(turn, shift), np.array([r.floor_deg for r in results])
    figures = []
    for suffix, errors in (("", worst), (", true matches alone", floor)):
        for threshold in _THRESHOLDS_DEG:
            ends = np.percentile([pose_auc(errors[row], threshold) for row in rows], [2.5, 97.5])
            value, name = pose_auc(errors, threshold), f"pose AUC@{threshold:g}{suffix}"
            figures.append(Figure(name, value, "share", len(errors), (float(ends[0]), float(ends[1]))))
    for name, errors in (("rotation error, median", turn), ("translation direction error, median", shift)):
        ends = np.percentile(np.median(errors[rows], axis=1), [2.5, 97.5])
        figures.append(Figure(name, float(np.median(errors)), "deg", len(errors), (float(ends[0]), float(ends[1]))))
    for name, counts in (
        ("matches", [r.match_count for r in results]),
        ("true matches", [r.true_count for r in results]),
    ):
        figures.append(Figure(f"{name} per pair, median", float(np.median(counts)), "1", len(results)))
    figures.append(Figure("pairs without a pose", float((worst >= 180).sum()), "pairs", len(results)))
    return tuple(figures)


def _centred_matches(pair: ImagePair) -> tuple[tuple[np.ndarray, np.ndarray], float]:
    """Matched points of both pictures in pixels of one common focal length about the principal point."""
    grey_a, scale_a = _grey(pair.a)
    grey_b, scale_b = _grey(pair.b)
    sift = cv2.SIFT_create(_FEATURES, contrastThreshold=0.02)
    points_a, looks_a = sift.detectAndCompute(grey_a, None)
    points_b, looks_b = sift.detectAndCompute(grey_b, None)
    uv_a, uv_b = (np.array([p.pt for p in points], float).reshape(-1, 2) for points in (points_a, points_b))
    keep_a, keep_b = _mutual(looks_a, looks_b)
    focal = float(pair.K_a[0, 0] + pair.K_a[1, 1]) * scale_a / 4 + float(pair.K_b[0, 0] + pair.K_b[1, 1]) * scale_b / 4
    return (_centred(uv_a[keep_a], pair.K_a, scale_a, focal), _centred(uv_b[keep_b], pair.K_b, scale_b, focal)), focal


def _grey(path: Path) -> tuple[np.ndarray, float]:
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise BadInput(f"{path} isn't a picture that can be read.")
    scale = min(1.0, _LONG_SIDE_PX / max(image.shape))
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA), scale


def _mutual(looks_a: np.ndarray | None, looks_b: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Rows that are each other's nearest and clearly nearer than the second."""
    if looks_a is None or looks_b is None or min(len(looks_a), len(looks_b)) < 2:
        return np.zeros(0, int), np.zeros(0, int)
    # RootSIFT: the Hellinger kernel compares histograms better than the Euclidean one.
    root_a, root_b = (np.sqrt(x / np.maximum(x.sum(1, keepdims=True), 1e-6)) for x in (looks_a, looks_b))
    matcher = cv2.BFMatcher()
    forth = [m for m, n in matcher.knnMatch(root_a, root_b, k=2) if m.distance < _RATIO * n.distance]
    back = {m.queryIdx: m.trainIdx for m in matcher.match(root_b, root_a)}
    pairs = [(m.queryIdx, m.trainIdx) for m in forth if back.get(m.trainIdx) == m.queryIdx]
    rows = np.array(pairs, int).reshape(-1, 2)
    return rows[:, 0], rows[:, 1]


def _centred(uv: np.ndarray, K_px: np.ndarray, scale: float, focal: float) -> np.ndarray:
    at = (uv + 0.5) / scale - 0.5
    return (at - K_px[:2, 2]) / np.array([K_px[0, 0], K_px[1, 1]]) * focal
