"""Feature tracks through a clip: corners, pyramidal Lucas-Kanade forward and back, hands masked out."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int

from vitra_lib.core.errors import BadInput
from vitra_lib.reconstruction.camera.config import CameraConfig

_LK = {"winSize": (15, 15), "maxLevel": 4, "criteria": (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 15, 0.02)}


@dataclass(frozen=True)
class FeatureTracks:
    """Observations of corners, sorted by (frame, track).

    Attributes:
        frame: (obs,) index of the frame.
        track: (obs,) index of the track in [0, track_count).
        uv_work: (obs, 2) pixel in the working image.
        track_count: number of tracks.
        frame_count: number of frames.
        work_scale: working pixels per pixel of the given frames.
    """

    frame: Int[np.ndarray, " obs"]
    track: Int[np.ndarray, " obs"]
    uv_work: Float[np.ndarray, "obs 2"]
    track_count: int
    frame_count: int
    work_scale: float

    @property
    def counts(self) -> Int[np.ndarray, " time"]:
        """(time,) number of tracks alive in each frame."""
        return np.bincount(self.frame, minlength=self.frame_count)


def work_scale(height_px: int, width_px: int, long_side_px: int) -> float:
    """Factor (at most 1) by which frames are shrunk for tracking."""
    return min(1.0, long_side_px / max(height_px, width_px))


def to_work_image(image: np.ndarray, scale: float) -> np.ndarray:
    """(h, w) uint8 grey working image of an RGB frame."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    if scale == 1.0:
        return grey
    size = (round(grey.shape[1] * scale), round(grey.shape[0] * scale))
    return cv2.resize(grey, size, interpolation=cv2.INTER_AREA)


def pixels_to_work(uv: np.ndarray, scale: float) -> np.ndarray:
    """Pixels of the given frames to pixels of the working image (pixel centres at integers)."""
    return (uv + 0.5) * scale - 0.5


def pixels_from_work(uv: np.ndarray, scale: float) -> np.ndarray:
    """Inverse of `pixels_to_work`."""
    return (uv + 0.5) / scale - 0.5


def free_mask(
    shape: tuple[int, int], boxes: Float[np.ndarray, "box 4"] | None, scale: float, margin: float
) -> np.ndarray:
    """(h, w) uint8 mask, 255 where background features may live: inside the border and outside grown hand boxes."""
    mask = np.zeros(shape, np.uint8)
    border = max(4, min(shape) // 60)
    mask[border:-border, border:-border] = 255
    for box in () if boxes is None else boxes:
        if not np.isfinite(box).all():
            continue
        grow = margin * np.array([box[2] - box[0], box[3] - box[1]])
        low = np.floor((box[:2] - grow) * scale).astype(int).clip(0)
        high = np.ceil((box[2:] + grow) * scale).astype(int).clip(0)
        mask[low[1] : high[1], low[0] : high[0]] = 0
    return mask


def step(
    before: np.ndarray, after: np.ndarray, points: np.ndarray, tolerance_px: float
) -> tuple[np.ndarray, np.ndarray]:
    """Track points between two grey images; returns their new pixels and whether tracking back agrees."""
    if len(points) == 0:
        return points, np.zeros(0, bool)
    moved, found, _ = cv2.calcOpticalFlowPyrLK(before, after, points, None, **_LK)
    back, found_back, _ = cv2.calcOpticalFlowPyrLK(
        after, before, moved, points.copy(), flags=cv2.OPTFLOW_USE_INITIAL_FLOW, **_LK
    )
    agrees = np.linalg.norm(back - points, axis=1) < tolerance_px
    return moved, (found.ravel() == 1) & (found_back.ravel() == 1) & agrees


def corners(grey: np.ndarray, mask: np.ndarray, count: int, spacing_px: float) -> np.ndarray:
    """(n, 2) float32 corners, at least `spacing_px` apart, refined to sub-pixel positions."""
    found = cv2.goodFeaturesToTrack(grey, count, 0.003, spacing_px, mask=mask, blockSize=5)
    if found is None:
        return np.zeros((0, 2), np.float32)
    found = found.reshape(-1, 2)
    # An absolute floor on texture: sensor noise alone also has a best corner (noise of 3 grey levels: 6e-5; the
    # weakest corners of real video: 1.5e-4).
    strength = cv2.cornerMinEigenVal(grey, 5)[found[:, 1].astype(int), found[:, 0].astype(int)]
    return np.ascontiguousarray(found[strength > 6e-5], np.float32)


def track_features(
    frames: list[np.ndarray], hand_boxes: Float[np.ndarray, "time box 4"] | None, config: CameraConfig
) -> FeatureTracks:
    """Follow corners of the background through a clip.

    Args:
        frames: (h, w, 3) uint8 RGB, all of one size.
        hand_boxes: (time, box, 4) x0, y0, x1, y1 in pixels of the frames, NaN where there is no hand; or None.
        config: knobs.

    Returns:
        The tracks; each has at least two observations in consecutive frames.
    """
    height, width = frames[0].shape[:2]
    if any(frame.shape != frames[0].shape for frame in frames):
        raise BadInput("The frames of a clip must all have the same size.")
    scale = work_scale(height, width, config.long_side_px)
    points, ids = np.zeros((0, 2), np.float32), np.zeros(0, int)
    next_id, last, out = 0, None, []
    for t, frame in enumerate(frames):
        grey = to_work_image(frame, scale)
        mask = free_mask(grey.shape, None if hand_boxes is None else hand_boxes[t], scale, config.hand_margin)
        if last is not None:
            moved, ok = step(last, grey, points, config.forward_backward_px)
            pixel = np.round(moved).astype(int)
            ok &= (pixel >= 0).all(1) & (pixel[:, 0] < grey.shape[1]) & (pixel[:, 1] < grey.shape[0])
            ok[ok] = mask[pixel[ok, 1], pixel[ok, 0]] > 0
            points, ids = moved[ok], ids[ok]
        if len(points) < 0.8 * config.feature_count:
            fresh = _fresh_corners(grey, mask, points, config.feature_count)
            ids = np.concatenate([ids, next_id + np.arange(len(fresh))])
            points, next_id = np.concatenate([points, fresh]), next_id + len(fresh)
        out.append((np.full(len(ids), t), ids, points.copy()))
        last = grey
    return _packed(out, next_id, len(frames), scale)


def _fresh_corners(grey: np.ndarray, mask: np.ndarray, points: np.ndarray, count: int) -> np.ndarray:
    """New corners in the free parts of the image, spread so that no textured corner of it takes them all."""
    spacing = 0.6 * np.sqrt(grey.size / count)
    mask = mask.copy()
    for x, y in np.round(points).astype(int):
        cv2.circle(mask, (int(x), int(y)), int(spacing), 0, -1)
    return corners(grey, mask, count - len(points), spacing)


def _packed(out: list, track_count: int, frame_count: int, scale: float) -> FeatureTracks:
    """Concatenate per-frame lists, dropping tracks seen only once."""
    frame, track, uv = (np.concatenate([row[k] for row in out]) for k in range(3))
    long_enough = np.bincount(track, minlength=track_count) > 1
    keep = long_enough[track]
    renumber = np.cumsum(long_enough) - 1
    return FeatureTracks(
        frame[keep], renumber[track[keep]], uv[keep].astype(float), int(long_enough.sum()), frame_count, scale
    )


def keyframe_table(
    tracks: FeatureTracks, keyframes: Int[np.ndarray, " key"]
) -> tuple[Int[np.ndarray, " point"], Float[np.ndarray, "key point 2"], Bool[np.ndarray, "key point"]]:
    """Tracks seen in at least two keyframes: their ids, working pixels (NaN where unseen) and where they are seen."""
    row_of_frame = np.full(tracks.frame_count, -1)
    row_of_frame[keyframes] = np.arange(len(keyframes))
    row = row_of_frame[tracks.frame]
    at_key = row >= 0
    often = np.flatnonzero(np.bincount(tracks.track[at_key], minlength=tracks.track_count) > 1)
    column_of = np.full(tracks.track_count, -1)
    column_of[often] = np.arange(len(often))
    use = at_key & (column_of[tracks.track] >= 0)
    uv = np.full((len(keyframes), len(often), 2), np.nan)
    uv[row[use], column_of[tracks.track[use]]] = tracks.uv_work[use]
    return often, uv, np.isfinite(uv[..., 0])


def choose_keyframes(tracks: FeatureTracks, duration_s: float, config: CameraConfig) -> Int[np.ndarray, " key"]:
    """Frames where the image moved far enough since the last chosen one; first and last frame always belong."""
    budget = max(config.min_keyframes, int(config.keyframes_per_s * duration_s))
    gap = max(1, int(np.ceil((tracks.frame_count - 1) / max(1, budget - 1))))
    start = np.searchsorted(tracks.frame, np.arange(tracks.frame_count + 1))
    keys, last = [0], slice(start[0], start[1])
    for t in range(1, tracks.frame_count):
        here = slice(start[t], start[t + 1])
        if t - keys[-1] < gap:
            continue
        _, i, j = np.intersect1d(tracks.track[last], tracks.track[here], assume_unique=True, return_indices=True)
        moved = np.linalg.norm(tracks.uv_work[last][i] - tracks.uv_work[here][j], axis=1)
        if len(i) <= 0.6 * (last.stop - last.start) or np.median(moved) > config.keyframe_motion_px:
            keys.append(t)
            last = here
    if keys[-1] != tracks.frame_count - 1:
        keys.append(tracks.frame_count - 1)
    return np.array(keys)
