"""The frames a captioner sees: 8 uniform frames of a segment with the palm's future path drawn on each.

The palm point is the mean of joints 0, 2, 5, 9, 13, 17. On every frame the rest of its world path, from that
frame to the end of the segment, is projected into THAT frame's camera (paper section on language labelling).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from vitra_lib.contracts import Reconstruction, Segment
from vitra_lib.geometry.cameras import project
from vitra_lib.geometry.transforms import apply
from vitra_lib.hands.skeleton import PALM_JOINTS
from vitra_lib.video.overlay import draw_path

FRAME_COUNT = 8

FrameSource = Callable[[list[int]], list[np.ndarray]]
"""Given frame indices into the reconstruction, the RGB uint8 images (height, width, 3) of the video."""


@dataclass(frozen=True)
class OverlayFrame:
    """One picture for the captioner.

    Attributes:
        index: frame index into the reconstruction.
        image: (height, width, 3) RGB, with the path drawn if `has_path`.
        path_px: (rest, 2) projected palm path from this frame to the end of the segment; NaN where the hand
            is invalid or behind the camera. Row 0 is the current palm.
        has_path: whether the path is drawn on the image.
    """

    index: int
    image: UInt8[np.ndarray, "height width 3"]
    path_px: Float[np.ndarray, "rest 2"]
    has_path: bool = True


def palm_world(reconstruction: Reconstruction, side: str) -> Float[np.ndarray, "time 3"]:
    """(time, 3) palm point of one hand in the world [m]; NaN where the hand is invalid."""
    return reconstruction.joints_world(side)[:, list(PALM_JOINTS)].mean(axis=1)


def uniform_indices(start: int, stop: int, count: int = FRAME_COUNT) -> list[int]:
    """`count` frame indices spread evenly over [start, stop), both ends included, without repeats."""
    return sorted({int(round(i)) for i in np.linspace(start, stop - 1, count)})


def path_px(reconstruction: Reconstruction, segment: Segment, index: int) -> Float[np.ndarray, "rest 2"]:
    """(stop - index, 2) pixels of the palm path from frame `index` to the segment's end, in camera `index`."""
    palm = palm_world(reconstruction, segment.side)[index : segment.stop]
    p_cam = apply(reconstruction.camera.T_cam_world[index], palm)
    return project(reconstruction.camera.K_px, p_cam)


def time_colours(count: int) -> UInt8[np.ndarray, "count 3"]:
    """(count, 3) RGB colours from blue (first) through green to red (last)."""
    x = np.linspace(0.0, 1.0, max(count, 1))
    rgb = np.stack([np.clip(2 * x - 1, 0, 1), 1 - np.abs(2 * x - 1), np.clip(1 - 2 * x, 0, 1)], axis=-1)
    return np.round(255 * rgb).astype(np.uint8)


def overlay_frames(
    reconstruction: Reconstruction,
    segment: Segment,
    images: FrameSource,
    count: int = FRAME_COUNT,
    has_path: bool = True,
) -> tuple[OverlayFrame, ...]:
    """Draw the palm's future path on `count` uniform frames of a segment.

    Args:
        reconstruction: camera and hands of the video.
        segment: the atomic action; its `side` says whose palm is drawn.
        images: reader of the video's frames at the size that `reconstruction.camera` describes, or smaller
            (the path is scaled to the picture).
        count: number of frames; fewer are returned when the segment is shorter.
        has_path: False leaves the pictures as they are: the ablation without overlay (paper, Table 2).
    """
    indices = uniform_indices(segment.start, segment.stop, count)
    frames = []
    for index, image in zip(indices, images(indices), strict=True):
        uv = path_px(reconstruction, segment, index)
        camera = reconstruction.camera
        uv = (uv + 0.5) * np.array([image.shape[1] / camera.width_px, image.shape[0] / camera.height_px]) - 0.5
        # Colours belong to the time that is left: blue is always "now", red always "the end of the clip".
        shown = draw_path(image, uv, time_colours(len(uv))) if has_path else image
        frames.append(OverlayFrame(index, shown, uv, has_path))
    return tuple(frames)
