"""The official loader's way of making one training sample, stated again from its description, for comparison of speed.

Per sample it reads the episode's pickle, opens the video, seeks, decodes forward to the frame, and closes it again;
turns rotations into Euler angles joint by joint with scipy; resizes the whole frame with a Lanczos filter, then warps
it with another one. Nothing is kept from one sample to the next. Where the description leaves the cost open, the
cheaper way was taken: the virtual camera is drawn by this library's vectorised function, and PyAV opens a file without
reading its index, which the official decoder does.
"""

from pathlib import Path

import av
import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from vitra_lib.dataset.colour import ColourConfig, change_colours
from vitra_lib.dataset.draws import COLOUR, PLACE, VIEW
from vitra_lib.dataset.text import mirror_instruction
from vitra_lib.dataset.virtual_camera import ViewConfig, draw_aspect, draw_virtual_cameras
from vitra_lib.dataset.warp import warp

CHUNK = 16
SIDES = ("left", "right")
PALM = (0, 2, 5, 9, 13, 17)
MIRROR = np.diag([-1.0, 1.0, 1.0])


def euler(R: np.ndarray) -> np.ndarray:
    return Rotation.from_matrix(R).as_euler("xyz")


def fingers(P: np.ndarray) -> np.ndarray:
    """(steps, 15, 3, 3) -> (steps, 45), joint by joint."""
    return np.concatenate([euler(P[:, joint]) for joint in range(15)], axis=1)


def read_frame(path: Path, frame: int) -> np.ndarray:
    """Open the video, seek, decode up to the frame, close."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        pts = round(frame / stream.average_rate / stream.time_base)
        half = round(1 / (2 * stream.average_rate * stream.time_base))
        container.seek(pts, stream=stream, backward=True)
        for picture in container.decode(stream):
            if picture.pts >= pts - half:
                return picture.to_ndarray(format="rgb24")
    raise RuntimeError(f"frame {frame} was not found")


def text_and_bounds(content: dict, side: str, frame: int, u: np.ndarray) -> tuple[str, int, int]:
    """The sentence about one hand, and the first and last frame that its window may use."""
    last = len(content["video_decode_frame"]) - 1
    entries, others = content["text"][side], content["text_rephrase"][side]
    choice, number = u[PLACE["main_text"]], 0
    bounds = (0, last)
    if side != content["anno_type"]:
        choice = u[PLACE["other_text"]]
        match = [n for n, (_, (start, stop)) in enumerate(entries) if start <= frame < stop]
        if not match:
            return "None.", *bounds
        number = match[int(u[PLACE["other_caption"]] * len(match))]
        bounds = (entries[number][1][0], entries[number][1][1] - 1)
    choices = [entries[number][0], *others[number][0]]
    text = choices[min(int(choice * len(choices)), len(choices) - 1)].strip()
    return (text if text.endswith(".") else text + "."), *bounds


def hand_labels(content: dict, side: str, frame: int, first: int, last: int) -> dict[str, np.ndarray]:
    """State and steps of one hand in the camera of `frame`."""
    hand = content[side]
    wanted = np.arange(frame, frame + CHUNK)
    rows = np.clip(wanted, first, last)
    rows = np.append(rows, np.clip(rows[-1] + 1, first, last))
    kept = hand["kept_frames"][rows].astype(bool)
    outside = (wanted < first) | (wanted > last)
    if outside.any():
        kept[:-1][outside] = False
        kept[-1] &= wanted[-1] + 1 <= last
    R_world = np.where(kept[:, None, None], hand["global_orient_worldspace"][rows], np.eye(3))
    P = np.where(kept[:, None, None, None], hand["hand_pose"][rows], np.eye(3))
    T = content["extrinsics"][frame]
    R, t = T[:3, :3] @ R_world, hand["transl_worldspace"][rows] @ T[:3, :3].T + T[:3, 3]
    dR, dP = R[1:] @ R[:-1].transpose(0, 2, 1), P[1:] @ P[:-1].transpose(0, 1, 3, 2)
    absolute = np.concatenate([t[1:], euler(R[1:]), fingers(P[1:])], axis=1)
    relative = np.concatenate([t[1:] - t[:-1], euler(dR), fingers(dP)], axis=1)
    valid = kept[1:] & kept[:-1]
    absolute[~valid] = relative[~valid] = 0.0
    return {
        "R": R[0],
        "state": np.concatenate([t[0], euler(R[0]), fingers(P[:1])[0], hand["beta"]]),
        "known": kept[0],
        "action": np.concatenate([relative[:, :6], absolute[:, 6:]], axis=1),
        "valid": valid,
    }


def under_view(hand: dict[str, np.ndarray], R_view: np.ndarray, is_flipped: bool) -> None:
    """Turn the labels of one hand with the virtual camera."""
    state, action = hand["state"], hand["action"]
    state[:3] = R_view @ state[:3]
    state[3:6] = euler(R_view @ hand["R"] @ (MIRROR if is_flipped else np.eye(3)))
    dR = Rotation.from_euler("xyz", action[:, 3:6]).as_matrix()
    action[:, :3] = action[:, :3] @ R_view.T
    action[:, 3:6] = euler(R_view @ dR @ R_view.T)
    action[~hand["valid"]] = 0.0


def palm_box(content: dict, K: np.ndarray, frame: int, width: int, height: int) -> np.ndarray:
    """Box around the way of the primary palm to the end of the episode, in normalised image coordinates."""
    palm = content[content["anno_type"]]["joints_worldspace"][frame:, PALM].mean(1)
    T = content["extrinsics"][frame]
    p = palm @ T[:3, :3].T + T[:3, 3]
    uv = p[:, :2] / np.maximum(p[:, 2:], 0.05) * K[[0, 1], [0, 1]] + K[:2, 2]
    size = np.array([width, height])
    uv = np.clip(np.rint(uv * size), 0, size - 1) / size
    return np.concatenate([uv.min(0), uv.max(0)])


def official_sample(annotation: Path, video: Path, frame: int, u: np.ndarray) -> dict[str, object]:
    """One augmented training sample with its square picture.

    Args:
        annotation: the episode's file.
        video: the video.
        frame: frame in the episode.
        u: (16,) the sample's uniform numbers, so that the result can be compared with this library's.
    """
    content = np.load(annotation, allow_pickle=True).item()
    chosen = {side: text_and_bounds(content, side, frame, u) for side in SIDES}
    hands = [hand_labels(content, side, frame, *chosen[side][1:]) for side in SIDES]
    text = f"Left hand: {chosen['left'][0]} Right hand: {chosen['right'][0]}"
    image = read_frame(video, int(content["video_decode_frame"][frame]))
    height, width = image.shape[:2]
    K = content["intrinsics"] / np.array([[2 * content["intrinsics"][0, 2]], [2 * content["intrinsics"][1, 2]], [1.0]])
    view = ViewConfig(official_roll=True)
    aspect = draw_aspect(u[None, PLACE["aspect"]], view)
    box = palm_box(content, K, frame, width, height)
    views = draw_virtual_cameras(K[None], box[None], aspect, u[None, VIEW], 224, view)
    R_view, is_flipped = views.R_view_cam[0], bool(views.is_flipped[0])
    image = warp(image, K, views.K[0], R_view, views.size_px[0], "lanczos")
    for hand in hands:
        under_view(hand, R_view, is_flipped)
    if is_flipped:
        hands, text = hands[::-1], mirror_instruction(text, official_quirks=True)
    image = change_colours(image, text, u[COLOUR], ColourConfig())
    action, action_mask = np.zeros((CHUNK, 192), np.float32), np.zeros((CHUNK, 192), bool)
    state, state_mask = np.zeros(212, np.float32), np.zeros(212, bool)
    for number, hand in enumerate(hands):
        block = slice(51 * number, 51 * number + 51)
        action[:, block], action_mask[:, block] = hand["action"], hand["valid"][:, None]
        state[block], state_mask[block] = hand["state"][:51] * hand["known"], hand["known"]
    fov = views.fov_rad[0].astype(np.float32)
    return {
        "image": np.asarray(Image.fromarray(image).resize((224, 224), Image.Resampling.BICUBIC)),
        "instruction": text,
        "fov_rad": fov,
        "action": action,
        "action_mask": action_mask,
        "state": state,
        "state_mask": state_mask,
    }
