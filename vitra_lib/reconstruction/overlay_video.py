"""A video a person can judge: the fitted hands drawn back on the frames they came from."""

from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from vitra_lib.contracts import Reconstruction
from vitra_lib.contracts.hand_track import SIDES
from vitra_lib.geometry.cameras import project
from vitra_lib.video import VideoReader, VideoWriter
from vitra_lib.video.overlay import draw_label, draw_skeleton

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
    with VideoReader(video, max_short_side_px=480) as reader:
        writer: VideoWriter | None = None
        try:
            frames = tqdm(reader.frames(), total=len(reader), desc="overlay", disable=not progress)
            for index, frame in enumerate(frames):
                if writer is None:
                    height, width = frame.image.shape[:2]
                    writer = VideoWriter(path, reconstruction.fps, width, height)
                    writer.__enter__()
                image = draw_hands(reconstruction, index, frame.image)
                writer.write(draw_label(image, _label(reconstruction, index)))
        except BaseException as error:
            if writer is not None:
                writer.__exit__(type(error), error, error.__traceback__)
            raise
        if writer is not None:
            writer.__exit__(None, None, None)


def _label(reconstruction: Reconstruction, index: int) -> str:
    hands = [
        f"{side} {reconstruction.hand(side).confidence[index]:.2f}" if reconstruction.hand(side).is_valid[index] else f"{side} -"
        for side in SIDES
    ]
    return f"{index}  {reconstruction.time_s[index]:.2f} s   " + "   ".join(hands)
