"""One official VITRA-1M episode (a pickled dict in a `.npy` file) <-> `Episode` (spec of the episode format, 1.1-1.4).

The only place that knows the official keys. Everything that the official loader reads comes back bit for bit;
camera-space copies and deprecated entries are derived anew, as the official files have them.
"""

import io
import pickle
import pickletools
from pathlib import Path

import numpy as np

from vitra_lib.contracts.hand_track import SIDES, Side
from vitra_lib.core.errors import BadInput
from vitra_lib.core.pickles import load_npy_object
from vitra_lib.episodes.episode import Episode, EpisodeCaption, EpisodeHand
from vitra_lib.episodes.naming import EGOEXO4D_SHOWN_FRACTION
from vitra_lib.geometry.rotations import geodesic_angle
from vitra_lib.geometry.transforms import apply

CAPTION_SOURCE = "vitra-1m"
_INFORMATIVE = ("avg_speed", "total_rotvec_degree", "total_transl_dist")
_USED = ("extrinsics", "intrinsics", "video_decode_frame", "video_name", "anno_type", "text", "left", "right")
_USED_OF_HAND = (
    "beta",
    "global_orient_worldspace",
    "hand_pose",
    "transl_worldspace",
    "kept_frames",
    "joints_worldspace",
)


def read_official(path: str | Path, fps: float) -> Episode:
    """Read one official file; nothing that a pickle might ask to run is run.

    Args:
        path: "{prefix}_{video_name}_ep_{number}.npy".
        fps: frame rate of the source video [1/s]; the files don't hold it.

    Raises:
        UnsafePickle: the file asks for more than plain data.
        BadInput: the file is damaged, or an entry is missing or has the wrong shape.
    """
    path = Path(path)
    content = load_npy_object(path)
    try:
        return from_official(content, path.stem, fps)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise BadInput(f"{path.name} is not a VITRA-1M episode: {_describe(error)}.") from error


def _describe(error: Exception) -> str:
    return f"the entry {error} is missing" if isinstance(error, KeyError) else str(error)


def from_official(content: object, name: str, fps: float) -> Episode:
    """Translate the official keys; `name` is the file name without ".npy"."""
    if not isinstance(content, dict):
        raise BadInput(f"{name} holds a {type(content).__name__}, not a dict: it is not a VITRA-1M episode.")
    for key in _USED:
        content[key]
    prefix = name.split("_", 1)[0]
    K = _array(content["intrinsics"], (3, 3), "intrinsics")
    frames = np.array(content["video_decode_frame"], dtype=np.int64).reshape(-1)
    T_cam_world = _array(content["extrinsics"], (len(frames), 4, 4), "extrinsics")
    # The official loader takes the image for twice the principal point.
    width, height = round(2 * K[0, 2]), round(2 * K[1, 2])
    crop = np.array([0.0, 0.0, width, height])
    if prefix == "EgoExo4D":
        shown = np.array([width, height]) * EGOEXO4D_SHOWN_FRACTION
        crop = np.concatenate([(np.array([width, height]) - shown) / 2, shown])
    clip = np.array(content.get("video_clip_id_segment", 0)).reshape(-1)
    quality = {key: float(content[key]) for key in _INFORMATIVE if content.get(key) is not None}
    return Episode(
        name=name,
        dataset_prefix=prefix,
        video_name=str(content["video_name"]),
        primary_hand=_side(content["anno_type"]),
        fps=float(fps),
        width_px=width,
        height_px=height,
        K_px=K,
        crop_px=crop,
        T_cam_world=T_cam_world,
        source_frame=frames,
        time_s=frames / float(fps),
        left=_hand(content, "left", len(frames)),
        right=_hand(content, "right", len(frames)),
        source_clip=int(clip[0]) if len(clip) else 0,
        quality=quality,
        provenance={"format": "vitra-1m"},
    )


def _side(value: object) -> Side:
    if value not in SIDES:
        raise BadInput(f"anno_type is {value!r}: legal are left, right.")
    return "left" if value == "left" else "right"


def _array(value: object, shape: tuple[int, ...], what: str) -> np.ndarray:
    array = np.array(value, dtype=np.float64)
    if array.shape != shape:
        raise BadInput(f"{what} has shape {array.shape} instead of {shape}.")
    return array


def _hand(content: dict, side: Side, time: int) -> EpisodeHand:
    hand = content[side]
    for key in _USED_OF_HAND:
        hand[key]
    is_valid = np.array(hand["kept_frames"], dtype=np.int64).reshape(-1) != 0
    if len(is_valid) != time:
        raise BadInput(f"{side} kept_frames has {len(is_valid)} entries instead of {time}.")
    wrist = np.array(hand.get("wrist", np.zeros(3)), dtype=np.float64).reshape(-1, 3)
    return EpisodeHand(
        R_world_wrist=_array(hand["global_orient_worldspace"], (time, 3, 3), f"{side} global_orient_worldspace"),
        t_world_wrist=_array(hand["transl_worldspace"], (time, 3), f"{side} transl_worldspace"),
        R_parent_joint=_array(hand["hand_pose"], (time, 15, 3, 3), f"{side} hand_pose"),
        betas=_array(hand["beta"], (10,), f"{side} beta"),
        joints_world=_array(hand["joints_worldspace"], (time, 21, 3), f"{side} joints_worldspace"),
        is_valid=is_valid,
        confidence=is_valid.astype(np.float64),
        hand_model="mano",
        rest_wrist_m=wrist[0] if len(wrist) else np.zeros(3),
        captions=_captions(content["text"].get(side, []), (content.get("text_rephrase") or {}).get(side, [])),
    )


def _captions(texts: list, rephrased: list) -> tuple[EpisodeCaption, ...]:
    captions = []
    for number, (text, (start, stop)) in enumerate(texts):
        others = rephrased[number][0] if number < len(rephrased) else ()
        # The official loader ignores rephrasings that are not a list.
        others = tuple(str(other) for other in others) if isinstance(others, list | tuple) else ()
        captions.append(EpisodeCaption(str(text), int(start), int(stop), CAPTION_SOURCE, False, others))
    return tuple(captions)


def to_official(episode: Episode) -> dict[str, object]:
    """The official dict, all keys in the official order, arrays in the official types."""
    time = len(episode)
    centre = episode.T_world_cam[:, :3, 3]
    turns = geodesic_angle(episode.T_cam_world[:-1, :3, :3], episode.T_cam_world[1:, :3, :3])
    wrist = episode.hand(episode.primary_hand).t_world_wrist
    derived = {
        "avg_speed": _mean(np.linalg.norm(np.diff(wrist, axis=0), axis=1)),
        "total_rotvec_degree": float(np.rad2deg(turns).sum()),
        "total_transl_dist": float(np.linalg.norm(np.diff(centre, axis=0), axis=1).sum()),
    }
    content: dict[str, object] = {
        "video_clip_id_segment": np.full(time, episode.source_clip, dtype=np.int64),
        "extrinsics": episode.T_cam_world.copy(),
        "intrinsics": episode.K_px.copy(),
        "video_decode_frame": episode.source_frame.copy(),
        "video_name": episode.video_name,
    }
    content |= {key: np.float64(episode.quality.get(key, derived[key])) for key in _INFORMATIVE}
    content["anno_type"] = episode.primary_hand
    content["text"] = {side: [(c.text, (c.start, c.stop)) for c in episode.hand(side).captions] for side in SIDES}
    if any(c.rephrasings for side in SIDES for c in episode.hand(side).captions):
        content["text_rephrase"] = {
            side: [(list(c.rephrasings), (c.start, c.stop)) for c in episode.hand(side).captions] for side in SIDES
        }
    for side in SIDES:
        content[side] = _official_hand(episode, side)
    return content


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else 0.0


def _official_hand(episode: Episode, side: Side) -> dict[str, object]:
    hand = episode.hand(side)
    time = len(episode)
    # Official files know no NaN: joints of an unknown hand sit at its wrist, as theirs do.
    joints = np.where(np.isfinite(hand.joints_world), hand.joints_world, hand.t_world_wrist[:, None])
    ever = bool(hand.is_valid.any())
    path_m = np.linalg.norm(np.diff(hand.t_world_wrist, axis=0), axis=1)
    wrist_rad = geodesic_angle(hand.R_world_wrist[:-1], hand.R_world_wrist[1:])
    finger_rad = geodesic_angle(hand.R_parent_joint[:-1], hand.R_parent_joint[1:])
    return {
        "beta": hand.betas.copy(),
        "global_orient_camspace": episode.R_cam_wrist(side),
        "global_orient_worldspace": hand.R_world_wrist.copy(),
        "hand_pose": hand.R_parent_joint.copy(),
        "transl_camspace": episode.t_cam_wrist(side) - hand.rest_wrist_m,
        "transl_worldspace": hand.t_world_wrist.copy(),
        "kept_frames": hand.is_valid.astype(np.int64),
        "joints_camspace": apply(episode.T_cam_world, joints).astype(np.float32),
        "joints_worldspace": joints,
        "wrist": np.tile(hand.rest_wrist_m.astype(np.float32), (time, 1, 1)),
        "max_translation_movement": _largest(path_m, ever),
        "max_wrist_rotation_movement": _largest(wrist_rad, ever),
        "max_finger_joint_angle_movement": _largest(finger_rad, ever),
    }


def _largest(values: np.ndarray, ever: bool) -> np.float64 | None:
    return np.float64(values.max()) if ever and values.size else None


def official_bytes(episode: Episode) -> bytes:
    """The whole `.npy` file. Same episode, same bytes; NumPy 1 and NumPy 2 both read it."""
    whole = np.empty((), dtype=object)
    whole[()] = _canonical(to_official(episode), {})
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "|O", "fortran_order": False, "shape": ()})
    stream.write(_for_any_numpy(pickle.dumps(whole, protocol=3)))
    return stream.getvalue()


def _canonical(value: object, strings: dict[str, str]) -> object:
    """The same value in which equal strings are one object: a pickle shows which strings are shared."""
    if isinstance(value, str):
        return strings.setdefault(value, value)
    if isinstance(value, dict):
        return {_canonical(key, strings): _canonical(item, strings) for key, item in value.items()}
    if isinstance(value, list):
        return [_canonical(item, strings) for item in value]
    if isinstance(value, tuple):
        return tuple(_canonical(item, strings) for item in value)
    return np.ascontiguousarray(value).copy() if isinstance(value, np.ndarray) and value.dtype != object else value


def _for_any_numpy(pickled: bytes) -> bytes:
    """Rename `numpy._core` to `numpy.core`, which both major versions of NumPy understand, in the opcodes only.

    Protocol 3 spells a global as text between two newlines and has no frames, so no length changes elsewhere.
    """
    pieces, done = [], 0
    for opcode, argument, position in pickletools.genops(pickled):
        if opcode.name == "GLOBAL" and argument.startswith("numpy._core"):
            module, attribute = argument.split(" ")
            written = f"c{module}\n{attribute}\n".encode()
            pieces += [pickled[done:position], written.replace(b"numpy._core", b"numpy.core", 1)]
            done = position + len(written)
    return b"".join([*pieces, pickled[done:]])
