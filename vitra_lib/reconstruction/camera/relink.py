"""Find scene points again after they left the view or were covered: this ties a path to its past and stops drift."""

import cv2
import numpy as np

from vitra_lib.reconstruction.camera.intrinsics import Pinhole
from vitra_lib.reconstruction.camera.mapping import KeyframeMap
from vitra_lib.reconstruction.camera.tracks import free_mask, to_work_image

_SOURCES_PER_KEYFRAME = 3
_MIN_POINTS = 12
_SEARCH_PX = 6.0
_BACK_PX = 0.4
_MAX_GREY_DIFFERENCE = 12.0
_LK = {"winSize": (15, 15), "maxLevel": 1, "criteria": (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 15, 0.02)}


def relink(mapped: KeyframeMap, frames: list, hand_boxes: np.ndarray | None, keys: np.ndarray, lens: Pinhole) -> int:
    """Add observations of mapped points to keyframes that see them but did not track them, then adjust the map.

    Each keyframe looks for the points that should be in view: starting at the predicted pixel, Lucas-Kanade matches
    the patch of the earlier or later keyframe nearest in place that saw the point. Matches must come back when
    matched in reverse, look alike, and lie close to the prediction; adjustment rejects what does not fit the rest.

    Args:
        mapped: the map; changed in place.
        frames: all frames of the clip, uint8 RGB.
        hand_boxes: (time, box, 4) or None.
        keys: frames that are keyframes.
        lens: pinhole with the map's focal length.

    Returns:
        How many observations were added.
    """
    registered = np.flatnonzero(mapped.registered)
    points = np.flatnonzero(mapped.has_point)
    greys = {int(k): to_work_image(frames[int(keys[k])], lens.scale) for k in registered}
    centres = -np.einsum("kji,kj->ki", mapped.R, mapped.t)
    tracked = mapped.ok.copy()
    added = 0
    for k in registered.tolist():
        boxes = None if hand_boxes is None else hand_boxes[int(keys[k])]
        mask = free_mask(greys[k].shape, boxes, lens.scale, mapped.config.hand_margin)
        wanted, predicted = _expected(mapped, k, points, mask, lens)
        distance = np.linalg.norm(centres - centres[k], axis=1)
        distance[~mapped.registered] = np.inf
        saw = tracked[:, wanted]
        nearest = np.where(saw, distance[:, None], np.inf).argmin(axis=0) if len(wanted) else np.zeros(0, int)
        sources, counts = np.unique(nearest, return_counts=True)
        for j in sources[np.argsort(-counts, kind="stable")][:_SOURCES_PER_KEYFRAME].tolist():
            rows = np.flatnonzero((nearest == j) & saw[j])
            if j == k or len(rows) < _MIN_POINTS:
                continue
            here = wanted[rows]
            uv, good = _match(greys[j], greys[k], lens.to_work(mapped.uv[j, here]), predicted[rows])
            mapped.uv[k, here[good]] = lens.centred(uv[good])
            mapped.ok[k, here[good]] = True
            added += int(good.sum())
    if added:
        mapped.finish()
    return added


def _expected(
    mapped: KeyframeMap, k: int, points: np.ndarray, mask: np.ndarray, lens: Pinhole
) -> tuple[np.ndarray, np.ndarray]:
    """Points without an observation in keyframe k that project into its free part, and where [working px]."""
    unseen = points[np.isnan(mapped.uv[k, points, 0])]
    p = mapped.X[unseen] @ mapped.R[k].T + mapped.t[k]
    unseen, p = unseen[p[:, 2] > 1e-3], p[p[:, 2] > 1e-3]
    uv = lens.to_work(mapped.focal * p[:, :2] / p[:, 2:])
    inside = ((uv >= 8) & (uv < np.array(mask.shape[::-1]) - 8)).all(axis=1)
    unseen, uv = unseen[inside], uv[inside]
    free = mask[uv[:, 1].astype(int), uv[:, 0].astype(int)] > 0
    return unseen[free], uv[free]


def _match(
    source: np.ndarray, target: np.ndarray, uv_source: np.ndarray, predicted: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Pixels in the target that look like the source's, and which of them can be trusted."""
    start = np.ascontiguousarray(uv_source, np.float32)
    guess = np.ascontiguousarray(predicted, np.float32)
    flags = cv2.OPTFLOW_USE_INITIAL_FLOW
    found, ok, error = cv2.calcOpticalFlowPyrLK(source, target, start, guess.copy(), flags=flags, **_LK)
    back, ok_back, _ = cv2.calcOpticalFlowPyrLK(target, source, found, start.copy(), flags=flags, **_LK)
    good = (ok.ravel() == 1) & (ok_back.ravel() == 1) & (error.ravel() < _MAX_GREY_DIFFERENCE)
    good &= np.linalg.norm(back - start, axis=1) < _BACK_PX
    good &= np.linalg.norm(found - guess, axis=1) < _SEARCH_PX
    return found.astype(float), good
