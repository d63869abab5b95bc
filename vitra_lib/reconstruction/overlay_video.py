"""A video a person can judge: the fitted hands drawn back on the frames they came from."""

from pathlib import Path

import numpy as np
from tqdm import tqdm

from vitra_lib.contracts import Reconstruction
from vitra_lib.contracts.hand_track import SIDES
from vitra_lib.core.errors import BadInput
from vitra_lib.geometry.cameras import project, scale_K
from vitra_lib.hands.model import HandModel, load_hand_model
from vitra_lib.hands.posed import faces_for, pose_hand
from vitra_lib.video import VideoReader, VideoWriter
from vitra_lib.video.overlay import draw_label, draw_skeleton
from vitra_lib.video.overlay_mesh import draw_mesh

_SHORT_SIDE_PX = 480
_SKIN_ALPHA = 0.7
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


def draw_skin(
    reconstruction: Reconstruction, index: int, image: np.ndarray, model: HandModel | None = None
) -> np.ndarray:
    """A copy of an image with the fitted skin of both hands of one frame drawn on it.

    Args:
        reconstruction: camera and hands.
        index: frame index into the reconstruction.
        image: (height, width, 3) RGB of that frame, at any size of the same aspect.
        model: the hand model that was fitted; None = the stand-in, which ships with the kit.

    Raises:
        BadInput: another model than the one that was fitted.
    """
    camera = reconstruction.camera
    K_px = scale_K(camera.K_px, image.shape[1] / camera.width_px, image.shape[0] / camera.height_px)
    model = model or load_hand_model("standin")
    for side in sorted(SIDES, key=lambda side: -reconstruction.hand(side).t_cam_wrist[index, 2]):  # the nearer one last
        hand = reconstruction.hand(side)
        if not hand.is_valid[index]:
            continue
        if hand.hand_model != model.name:
            raise BadInput(f"The {side} hand was fitted with {hand.hand_model}, so {model.name} can't draw its skin.")
        one = slice(index, index + 1)
        pose = hand.R_cam_wrist[one], hand.t_cam_wrist[one], hand.R_parent_joint[one], hand.betas
        vertices, _ = pose_hand(model, side, *pose)
        alpha = _SKIN_ALPHA * (1.0 if hand.is_observed[index] else _FILLED_ALPHA)
        image = draw_mesh(image, vertices[0], faces_for(model, side), K_px, side, alpha)
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
                writer.write(draw_label(image, frame_label(reconstruction, frame.index)))


def frame_label(reconstruction: Reconstruction, index: int) -> str:
    """What to write on a frame: frame number and time; then what is known of each hand and of the camera."""
    parts = []
    for side in SIDES:
        hand = reconstruction.hand(side)
        is_filled = hand.is_valid[index] and not hand.is_observed[index]
        parts.append(f"{side} {hand.confidence[index]:.2f}" if hand.is_valid[index] else f"{side} -")
        parts[-1] += " filled" if is_filled else ""
    if not reconstruction.camera.is_valid[index]:
        parts.append("camera lost")
    return f"{index}   {reconstruction.time_s[index]:.2f} s   " + "   ".join(parts)
