"""HaWoR: the folder that its demo leaves beside a video.

`world_space_res.pth`: a joblib (pickle) list of five torch tensors, hands (left, right) first: translation (2, T, 3),
root rotation (2, T, 3), fingers (2, T, 45), shape (2, T, 10), validity (2, T); rotations are rotation vectors [rad].
`SLAM/hawor_slam_w_scale_A_B.npz`: `traj` (T, 7) tx ty tz qx qy qz qw, CAMERA TO WORLD, times `scale` in metres,
`img_focal`, `img_center`. `cam_space/{0,1}/A_B.json`: the hands before gaps were filled, in each frame's camera.

Conventions converted: the world is HaWoR's own and is left by its own camera path. MANO's translation t moves the root
joint to J_0(shape) + t, so the wrist is there. A left hand is MANO_LEFT: its J_0 is mirrored, its root rotation is what
this kit calls R_cam_wrist, and its fingers are mirrored back into the right-hand convention. Depth goes with the focal
length that HaWoR was given.
"""

import io
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from vitra_lib.contracts.hand_track import SIDES, Side
from vitra_lib.core.errors import BadInput
from vitra_lib.core.pickles import ForeignObject, load_pickle
from vitra_lib.geometry.rotations import exp
from vitra_lib.geometry.transforms import apply, invert, make
from vitra_lib.hands.mirror import mirror_points, mirror_rotation
from vitra_lib.hands.model import HandModel
from vitra_lib.reconstruction.backends.checks import (
    frame_count_agrees,
    is_file,
    quaternions,
    read_arrays,
    shaped,
)
from vitra_lib.reconstruction.backends.given import GivenCamera, GivenHand, GivenHands
from vitra_lib.video import VideoInfo

_TOOL = "HaWoR"
_TENSOR, _STORAGE = "torch._utils._rebuild_tensor_v2", "torch.storage._load_from_bytes"
_WIDTHS = (3, 3, 45, 10)
MANO_ROOT_M = np.array([0.0957, 0.0064, 0.0062])
"""MANO's mean right root joint, used where MANO itself is not at hand: shapes move it by a few millimetres."""


def read_hands(path: Path, info: VideoInfo, model: HandModel) -> GivenHands:
    """Both hands of a HaWoR run, in the camera of each frame.

    Args:
        path: the run's folder, or its world_space_res.pth.
        info: the video.
        model: MANO gives the root joint of each shape; the stand-in takes the mean one.

    Raises:
        BadInput: a file is missing, damaged or of another video.
        UnsafePickle: the .pth asks for more than tensors; nothing in it was run.
    """
    folder, file = (path, path / "world_space_res.pth") if path.is_dir() else (path.parent, path)
    translation, root, fingers, betas, valid = _tensors(is_file(file, _TOOL))
    frame_count_agrees(translation.shape[1], info.frame_count, file, _TOOL)
    T_world_cam, focal, first = _slam(folder, info.frame_count)
    T_cam_world = invert(T_world_cam)
    hands: dict[Side, GivenHand] = {}
    for index, side in enumerate(SIDES):
        frames = np.flatnonzero(valid[index] & (np.arange(info.frame_count) >= first))
        frames = frames[frames < first + len(T_world_cam)]
        if len(frames) == 0:
            continue
        for what, values in (("translation", translation), ("rotation", root), ("fingers", fingers), ("shape", betas)):
            shaped(values[index, frames], (None, values.shape[-1]), f"{file.name}: {what} of the {side} hand")
        joint = _root_joint(model, betas[index, frames])
        local = exp(fingers[index, frames].reshape(-1, 15, 3))
        if side == "left":
            joint, local = mirror_points(joint), mirror_rotation(local)
        T = T_cam_world[frames - first]
        observed = _observed(folder, index, info.frame_count)[frames]
        hands[side] = GivenHand(
            side=side,
            frame=frames,
            R_cam_wrist=T[:, :3, :3] @ exp(root[index, frames]),
            t_cam_wrist=apply(T, (joint + translation[index, frames])[:, None])[:, 0],
            R_parent_joint=local,
            betas=betas[index, frames],
            confidence=np.where(observed, 0.8, 0.4),
            is_observed=observed,
        )
    return GivenHands("hawor", hands, focal)


def read_camera(path: Path, info: VideoInfo) -> GivenCamera:
    """The camera path of a HaWoR run, in its metres (a metric depth network set the scale).

    Args:
        path: the run's folder.
        info: the video.

    Raises:
        BadInput: the SLAM file is missing, damaged or of another video.
    """
    folder = path if path.is_dir() else path.parent
    T_world_cam, _, first = _slam(folder, info.frame_count)
    return GivenCamera("hawor", first + np.arange(len(T_world_cam)), T_world_cam, None, True)


def _slam(folder: Path, frame_count: int) -> tuple[Float[np.ndarray, "n 4 4"], float | None, int]:
    """Camera poses [m], the focal length HaWoR was given [px] and the first frame of the path."""
    files = sorted(folder.glob("SLAM/hawor_slam_w_scale_*.npz"))
    if not files:
        raise BadInput(f"{folder} has no SLAM/hawor_slam_w_scale_*.npz: give the folder of a finished HaWoR run.")
    content = read_arrays(files[-1], _TOOL, ("traj", "scale", "img_focal"))
    rows = shaped(content["traj"], (None, 7), f"{files[-1].name}: traj")
    scale, focal = (
        float(shaped(np.ravel(content[name])[:1], (1,), f"{files[-1].name}: {name}")[0])
        for name in ("scale", "img_focal")
    )
    words = files[-1].stem.split("_")
    first = int(words[-2]) if words[-2].isdigit() else 0
    if first + len(rows) > frame_count:
        raise BadInput(
            f"{files[-1].name} of {_TOOL} covers frames {first} to {first + len(rows)}, the video has {frame_count}: "
            f"run {_TOOL} on exactly this video, with every frame."
        )
    T = make(quaternions(rows[:, 3:], f"{files[-1].name}: traj"), rows[:, :3] * scale)
    return T, focal if focal > 0 else None, first


def _tensors(file: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, Bool[np.ndarray, "2 time"]]:
    content = load_pickle(file, allow=(_TENSOR, _STORAGE))
    if not isinstance(content, list | tuple) or len(content) != 5:
        raise BadInput(f"{file.name} isn't what {_TOOL} writes: a list of five tensors is needed.")
    arrays = [_array(item, file) for item in content]
    time = arrays[0].shape[1] if arrays[0].ndim == 3 else -1
    for array, width in zip(arrays[:4], _WIDTHS, strict=True):
        if array.shape != (2, time, width):
            raise BadInput(f"{file.name}: a tensor has shape {array.shape}, but (2, {time}, {width}) is needed.")
    if arrays[4].shape[:2] != (2, time):
        raise BadInput(f"{file.name}: validity has shape {arrays[4].shape}, but (2, {time}) is needed.")
    return (*(a.astype(float) for a in arrays[:4]), arrays[4].reshape(2, time) > 0.5)


def _array(item: object, file: Path) -> np.ndarray:
    """A NumPy array from what the inert reader made of a tensor; the numbers come through torch's safe loader."""
    if isinstance(item, np.ndarray):
        return item
    if not (isinstance(item, ForeignObject) and item.name == "_rebuild_tensor_v2" and len(item.args) >= 4):
        raise BadInput(f"{file.name} isn't what {_TOOL} writes: it holds {type(item).__name__} instead of a tensor.")
    storage, offset, size, stride = item.args[:4]
    if not (isinstance(storage, ForeignObject) and storage.name == "_load_from_bytes" and len(storage.args) == 1):
        raise BadInput(f"{file.name}: a tensor has no numbers.")
    import torch

    try:
        typed = torch.load(io.BytesIO(storage.args[0]), map_location="cpu", weights_only=True)
        flat = torch.tensor([], dtype=typed.dtype).set_(typed)
        last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
        if min(size, default=1) < 1 or offset < 0 or min(stride, default=0) < 0 or last >= len(flat):
            raise BadInput(f"{file.name}: a tensor of shape {tuple(size)} doesn't fit its {len(flat)} numbers.")
        return torch.as_strided(flat, size, stride, offset).numpy().copy()
    except (RuntimeError, TypeError, ValueError, EOFError, AttributeError) as error:
        raise BadInput(f"{file.name}: a tensor is damaged ({error}).") from error
    except Exception as error:  # torch raises pickle's own error classes for what it refuses
        if isinstance(error, BadInput):
            raise
        raise BadInput(f"{file.name}: a tensor is refused by torch's safe loader ({error}).") from error


def _observed(folder: Path, index: int, frame_count: int) -> Bool[np.ndarray, " time"]:
    """Frames that HaWoR saw the hand in; all where it left no record of it."""
    files = sorted((folder / "cam_space" / str(index)).glob("*_*.json"))
    seen = np.zeros(frame_count, bool)
    for file in files:
        first, _, last = file.stem.partition("_")
        if first.isdigit() and last.isdigit():
            seen[int(first) : int(last) + 1] = True
    return seen if files else np.ones(frame_count, bool)


def _root_joint(model: HandModel, betas: np.ndarray) -> Float[np.ndarray, "n 3"]:
    """MANO's right root joint for each shape."""
    if model.name != "mano":
        return np.tile(MANO_ROOT_M, (len(betas), 1))
    return np.asarray(model.rest_joints(betas), float)[:, 0]
