"""Is the camera static? Background optical flow against fixed reference frames, hands masked (paper section 3.1)."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from vitra_lib.core.errors import RefusedClip
from vitra_lib.reconstruction.camera.config import DEFAULT_CONFIG, CameraConfig
from vitra_lib.reconstruction.camera.tracks import corners, free_mask, step, to_work_image, work_scale

_WIDTH_PX = 480
_CELLS = (12, 9)
_FEATURES_PER_TEST = 400
_MIN_CELLS = 6
# In a moving camera every cell moves; in a static one at least the background stands. People and hands may fill most of
# the textured part of a frame (a person at a desk before a bare wall: 60 %), so the stillest 30 % decide.
_STILL_SHARE = 0.3


@dataclass(frozen=True)
class StaticDecision:
    """The verdict and the figures behind it.

    Attributes:
        is_static: True when the camera did not move.
        displacement_px: largest displacement over time of the stillest 30 % of the image cells, at 480 px image
            width; infinite when more than 70 % of the cells were lost.
        threshold_px: the limit it was compared with.
        reason: one sentence.
    """

    is_static: bool
    displacement_px: float
    threshold_px: float
    reason: str


def is_static(
    frames: list[np.ndarray],
    times_s: Float[np.ndarray, " time"],
    hand_boxes: Float[np.ndarray, "time box 4"] | None = None,
    config: CameraConfig = DEFAULT_CONFIG,
) -> StaticDecision:
    """Decide whether the camera stood still through a clip.

    Corners of a reference frame are looked for in later frames. The image is cut into 12 x 9 cells and the verdict
    is taken over cells, not over corners: a hand that covers 30 % of the image spoils 30 % of the cells however
    textured it is. The camera is static when at least 30 % of the cells stand still all the time; a camera that moves
    leaves none still. A lost cell counts as moved.

    Args:
        frames: (h, w, 3) uint8 RGB.
        times_s: (time,) presentation times [s].
        hand_boxes: (time, box, 4) hand boxes in pixels of the frames, NaN where absent; or None.
        config: knobs.

    Raises:
        RefusedClip: there is one frame only, or no texture to judge by.
    """
    if len(frames) < 2:
        raise RefusedClip("The clip has one frame: a camera path needs at least two.")
    if config.assume_static:
        said = "The camera is static because the caller says so."
        return StaticDecision(True, float("nan"), config.static_px, said)
    due = np.searchsorted(times_s, np.arange(times_s[0], times_s[-1] + 1e-9, config.static_sample_s))
    sampled = np.unique(np.concatenate([due.clip(0, len(frames) - 1), [len(frames) - 1]]))
    worst, drift, reference = 0.0, np.zeros(2), None
    for t in sampled.tolist():
        if reference is None or times_s[t] - reference.time_s >= config.static_reference_s:
            if reference is not None:
                cells = reference.displacement(frames[t], _boxes(hand_boxes, t), config)
                drift = drift + _still_vector(cells)
                worst = max(worst, float(np.linalg.norm(drift)), _still_length(cells))
            reference = _Reference(frames[t], float(times_s[t]), _boxes(hand_boxes, t), config)
            continue
        cells = reference.displacement(frames[t], _boxes(hand_boxes, t), config)
        worst = max(worst, _still_length(cells))
        if worst > 4 * config.static_px:
            break
    static = worst <= config.static_px
    verdict = "stays below" if static else "exceeds"
    reason = (
        f"The stillest 30 % of the image moves {worst:.2f} px at {_WIDTH_PX} px width, "
        f"which {verdict} {config.static_px} px."
    )
    return StaticDecision(static, worst, config.static_px, reason)


def _boxes(hand_boxes: np.ndarray | None, t: int) -> np.ndarray | None:
    return None if hand_boxes is None else hand_boxes[t]


def _still_length(cells: np.ndarray) -> float:
    """Displacement that the stillest 30 % of the cells stay below; a lost cell (NaN) counts as infinitely far."""
    if len(cells) < _MIN_CELLS:
        return 0.0
    length = np.where(np.isfinite(cells[:, 0]), np.linalg.norm(cells, axis=1), np.inf)
    return float(np.sort(length)[int(_STILL_SHARE * len(length))])


def _still_vector(cells: np.ndarray) -> np.ndarray:
    """Mean shift of those cells: what adds up from one reference to the next."""
    length = np.linalg.norm(cells, axis=1)
    still = cells[length <= _still_length(cells)]
    return still.mean(axis=0) if len(still) else np.zeros(2)


class _Reference:
    """A frame with its corners, one group per image cell."""

    def __init__(self, frame: np.ndarray, time_s: float, boxes: np.ndarray | None, config: CameraConfig) -> None:
        self.scale = work_scale(frame.shape[0], frame.shape[1], config.long_side_px)
        grey = to_work_image(frame, self.scale)
        self.time_s, self.grey = time_s, grey
        mask = free_mask(grey.shape, boxes, self.scale, config.hand_margin)
        self.points = corners(grey, mask, _FEATURES_PER_TEST, 0.6 * np.sqrt(grey.size / _FEATURES_PER_TEST))
        size = np.array([grey.shape[1], grey.shape[0]])
        column_row = (self.points / size * _CELLS).astype(int)
        self.cell = column_row[:, 1] * _CELLS[0] + column_row[:, 0]
        self.to_480 = _WIDTH_PX / grey.shape[1]
        if len(np.unique(self.cell)) < _MIN_CELLS:
            raise RefusedClip(
                f"The background has texture in only {len(np.unique(self.cell))} of {_CELLS[0] * _CELLS[1]} image "
                "cells: the camera motion can't be judged. Use a video with more of the scene in view."
            )

    def displacement(self, frame: np.ndarray, boxes: np.ndarray | None, config: CameraConfig) -> np.ndarray:
        """(cell, 2) median displacement at 480 px width of each cell that no hand box covers; NaN where lost."""
        grey = to_work_image(frame, self.scale)
        moved, ok = step(self.grey, grey, self.points, config.forward_backward_px)
        mask = free_mask(grey.shape, boxes, self.scale, config.hand_margin)
        pixel = np.round(self.points).astype(int)
        judged = mask[pixel[:, 1], pixel[:, 0]] > 0
        shift = np.where(ok[:, None], (moved - self.points) * self.to_480, np.nan)
        rows = []
        for cell in np.unique(self.cell[judged]):
            here = shift[judged & (self.cell == cell)]
            seen = here[np.isfinite(here[:, 0])]
            # Half of the cell's corners must be found again, or what is left may be one lucky match.
            rows.append(np.median(seen, axis=0) if 2 * len(seen) >= len(here) else np.full(2, np.nan))
        return np.array(rows).reshape(-1, 2)
