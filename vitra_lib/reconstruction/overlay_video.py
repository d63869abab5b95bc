"""A video a person can judge: the fitted hands drawn back on the frames they came from."""

from pathlib import Path

import numpy as np
from tqdm import tqdm

from vitra_lib.contracts import Reconstruction
from vitra_lib.contracts.hand_track import SIDES
from vitra_lib.geometry.cameras import project
from vitra_lib.video import VideoReader, VideoWriter
from vitra_lib.video.overlay import draw_label, draw_skeleton

_SHORT_SIDE_PX = 480
_FILLED_ALPHA = 0.45  # frames in which the hand was not seen but filled over a short gap are drawn pale


def draw_hands(reconstruction: Reconstruction, index: int, image: np.ndarray) -> np.ndarray:
    """A copy of an image with both fitted skeletons of one frame drawn on it.

    Args:
        reconstruction: camera and hands.
        index: frame index into the reconstruction.
        image: (height, width, 3) RGB of that frame, at any size of the same aspect.
    """
    camera = reconstruction.camera
    scale = np.array([image.shape[1] / camera.width_px, image.shape[0] / camera.height_px])
    for side in SIDES:
        hand = reconstruction.hand(side)
        if hand.is_valid[index]:
            uv = (project(camera.K_px, hand.joints_cam[index]) + 0.5) * scale - 0.5
            image = draw_skeleton(image, uv, side, alpha=1.0 if hand.is_observed[index] else _FILLED_ALPHA)
    return image


def write_overlay(reconstruction: Reconstruction, video: Path, path: Path, progress: bool = False) -> None:
    """Write the overlay video (short side at most 480 px), with frame number and confidences on every frame.

    Args:
        reconstruction: camera and hands of `video`.
        video: the video that was reconstructed.
        path: the mp4 to write, atomically.
        progress: show a progress bar.
    """
    with VideoReader(video, max_short_side_px=_SHORT_SIDE_PX) as reader:
        size = (reader.info.width_px, reader.info.height_px)
        with VideoWriter(path, reconstruction.fps, *size) as writer:
            for frame in tqdm(reader.frames(), total=len(reader), desc="overlay", unit="frame", disable=not progress):
                image = draw_hands(reconstruction, frame.index, frame.image)
                writer.write(draw_label(image, _label(reconstruction, frame.index)))


def _label(reconstruction: Reconstruction, index: int) -> str:
    """Frame number and time; then what is known of each hand and of the camera."""
    parts = []
    for side in SIDES:
        hand = reconstruction.hand(side)
        is_filled = hand.is_valid[index] and not hand.is_observed[index]
        parts.append(f"{side} {hand.confidence[index]:.2f}" if hand.is_valid[index] else f"{side} -")
        parts[-1] += " filled" if is_filled else ""
    if not reconstruction.camera.is_valid[index]:
        parts.append("camera lost")
    return f"{index}   {reconstruction.time_s[index]:.2f} s   " + "   ".join(parts)
