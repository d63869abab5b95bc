"""What a prediction leaves on disk: numbers, a picture and a video.

prediction.npz    per hand: <side>_points (S, T, 51) and <side>_joints_cam (S, T, 21, 3); K_px, instruction
hand_state.npz    the hands as they were, to ask again with `--hand-state`
prediction.jpg    all draws on the picture
prediction.mp4    the draws step by step, one panel each
"""

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from vitra_lib.core.files import atomic_folder
from vitra_lib.geometry.rotations import from_euler_xyz
from vitra_lib.hands.model import HandModel
from vitra_lib.hands.posed import faces_for, pose_hand
from vitra_lib.policy.hand_state import write_hand_state
from vitra_lib.policy.predict import HandFuture, Prediction, shape_for
from vitra_lib.video.futures import DrawnFuture, fitted, future_frames, future_picture
from vitra_lib.video.writer import VideoWriter

NUMBERS, STATE, PICTURE, VIDEO = "prediction.npz", "hand_state.npz", "prediction.jpg", "prediction.mp4"
_PANEL_PX = 480


def write_prediction(
    prediction: Prediction, image: UInt8[np.ndarray, "height width 3"], folder: Path, model: HandModel, fps: float = 8.0
) -> None:
    """Write all files of a prediction, or none.

    Args:
        prediction: what was drawn.
        image: the picture it was drawn for.
        folder: to make; an older one is replaced.
        model: hand model whose skin is shown.
        fps: of the video [1/s].

    Raises:
        WriteFailed: the folder can't be written.
    """
    text = prediction.instruction.encode("ascii", "replace").decode().replace(" Right hand:", "\nRight hand:")
    seen = [DrawnFuture(hand.side, hand.joints_cam) for hand in prediction.hands]
    skinned = [
        DrawnFuture(hand.side, hand.joints_cam, _skin(hand, prediction, model), faces_for(model, hand.side))
        for hand in prediction.hands
    ]
    with atomic_folder(folder) as part:
        np.savez(part / NUMBERS, **_arrays(prediction))
        write_hand_state(part / STATE, prediction.start)
        large, K_large = fitted(image, prediction.K_px)
        picture = future_picture(large, K_large, seen, text)
        encoded = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 92])[1]
        (part / PICTURE).write_bytes(encoded.tobytes())
        frames = future_frames(*fitted(image, prediction.K_px, _PANEL_PX), skinned, text)
        height, width = frames[0].shape[:2]
        with VideoWriter(part / VIDEO, fps, width, height) as writer:
            for frame in frames:
                writer.write(frame)


def _arrays(prediction: Prediction) -> dict[str, np.ndarray]:
    arrays = {"K_px": prediction.K_px, "instruction": np.array(prediction.instruction)}
    for name, value in vars(prediction.sampling).items():
        arrays[f"sampling_{name}"] = np.array(value)
    for hand in prediction.hands:
        arrays[f"{hand.side}_points"] = hand.points
        arrays[f"{hand.side}_joints_cam"] = hand.joints_cam
    return arrays


def _skin(hand: HandFuture, prediction: Prediction, model: HandModel) -> Float[np.ndarray, "samples points vert 3"]:
    """The skin of every draw at every point [m]."""
    index = 0 if hand.side == "left" else 1
    betas = shape_for(model, prediction.start.hand_model, prediction.start.betas[index])
    samples, points = hand.points.shape[:2]
    flat = hand.points.reshape(-1, 51)
    fingers = from_euler_xyz(flat[:, 6:].reshape(-1, 15, 3))
    vertices, _ = pose_hand(model, hand.side, from_euler_xyz(flat[:, 3:6]), flat[:, :3], fingers, betas)
    return vertices.reshape(samples, points, -1, 3)
