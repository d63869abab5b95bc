"""WiLoR and HaMeR: one file per frame, named after the frame's number, in a folder.

A frame's file holds a list of hands (pickle) or arrays with a leading axis of hands (.npz). Names as in the tools:
`right` or `is_right` (1 = right), `pred_cam_t_full` (or `pred_cam_t`, `cam_t`): translation of the full picture's
camera, `global_orient`, `hand_pose` (rotation matrices as the networks give them, or rotation vectors as WiLoR-mini
saves them; also inside `pred_mano_params` or `wilor_preds`), `betas`, `pred_keypoints_3d` (21, 3),
`scaled_focal_length`, and optionally `score`.

Conventions converted: the networks see left hands mirrored. Rotation matrices are the mirrored right hand's as they
are, so the root is mirrored here and the fingers stay; rotation vectors were already mirrored back by WiLoR-mini, so
there the fingers are mirrored and the root stays. Likewise keypoints: official code mirrors them (x times 2 right - 1)
before it shows them, so saved raw ones are mirrored here. The wrist is keypoint 0 plus the translation. Depth goes with
the tools' assumed focal length (5000 / 256 of the picture's longer side), and is brought to the true one.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vitra_lib.contracts.hand_track import SIDES, Side
from vitra_lib.core.errors import BadInput
from vitra_lib.core.pickles import load_npz, load_pickle
from vitra_lib.geometry.rotations import exp
from vitra_lib.hands.mirror import mirror_points, mirror_rotation
from vitra_lib.hands.model import HandModel
from vitra_lib.reconstruction.backends.checks import frame_number, rotations, shaped
from vitra_lib.reconstruction.backends.given import GivenHand, GivenHands
from vitra_lib.reconstruction.backends.hawor import MANO_ROOT_M
from vitra_lib.video import VideoInfo

_ASSUMED_FOCAL = 5000.0 / 256.0
_ENDINGS = (".npz", ".pkl", ".pickle")
_NESTED = ("wilor_preds", "pred_mano_params")
_NAMES = {
    "right": ("right", "is_right"),
    "translation": ("pred_cam_t_full", "pred_cam_t", "cam_t"),
    "root": ("global_orient",),
    "fingers": ("hand_pose",),
    "betas": ("betas",),
}


def read_wilor(path: Path, info: VideoInfo, model: HandModel) -> GivenHands:
    """Hands that WiLoR or WiLoR-mini saw.

    Args:
        path: the folder of per-frame files.
        info: the video.
        model: unused but for MANO's root joint where keypoints are missing.

    Raises:
        BadInput: no files, a damaged one, or one of a frame that the video doesn't have.
        UnsafePickle: a pickle asks for more than arrays; nothing in it was run.
    """
    return _read(path, info, "wilor")


def read_hamer(path: Path, info: VideoInfo, model: HandModel) -> GivenHands:
    """Hands that HaMeR saw; see `read_wilor`."""
    return _read(path, info, "hamer")


def _read(path: Path, info: VideoInfo, tool: str) -> GivenHands:
    files = sorted(p for p in path.iterdir() if p.suffix in _ENDINGS) if path.is_dir() else []
    if not files:
        raise BadInput(f"{path} is no folder with one .npz or .pkl per frame: save what {tool} gives for each frame.")
    seen: dict[Side, dict[int, tuple[float, dict]]] = {side: {} for side in SIDES}
    focal = None
    for file in files:
        number = frame_number(file.name)
        if number is None or number >= info.frame_count:
            raise BadInput(f"{file.name}: the video has {info.frame_count} frames, 0 to {info.frame_count - 1}.")
        for entry in _hands(file):
            hand = _hand(entry, file, info)
            side: Side = "right" if hand["is_right"] else "left"
            focal = hand["focal"] if focal is None else focal
            # The official pipeline keeps one hand per side and frame; the surer one is kept here.
            if number not in seen[side] or hand["score"] > seen[side][number][0]:
                seen[side][number] = (hand["score"], hand)
    hands = {side: _track(side, found) for side, found in seen.items() if found}
    return GivenHands(tool, hands, focal)


def _track(side: Side, found: dict[int, tuple[float, dict]]) -> GivenHand:
    frames = sorted(found)
    rows = [found[i][1] for i in frames]
    return GivenHand(
        side=side,
        frame=np.array(frames, int),
        R_cam_wrist=np.stack([row["root"] for row in rows]),
        t_cam_wrist=np.stack([row["wrist"] for row in rows]),
        R_parent_joint=np.stack([row["fingers"] for row in rows]),
        betas=np.stack([row["betas"] for row in rows]),
        confidence=np.array([row["score"] for row in rows]),
        is_observed=np.ones(len(rows), bool),
    )


def _hands(file: Path) -> Iterator[dict[str, Any]]:
    """The hands of one frame as flat dictionaries."""
    content = load_npz(file) if file.suffix == ".npz" else load_pickle(file)
    if isinstance(content, dict):
        flat = _flat(content)
        count = len(np.atleast_1d(_first(flat, _NAMES["right"], file)))
        content = [
            {name: np.asarray(value)[i] if _is_stacked(value, count) else value for name, value in flat.items()}
            for i in range(count)
        ]
    if not isinstance(content, list | tuple):
        raise BadInput(f"{file.name} holds neither a list of hands nor arrays of them.")
    for entry in content:
        if not isinstance(entry, dict):
            raise BadInput(f"{file.name} holds {type(entry).__name__} instead of a hand.")
        if len(entry.keys() & {"wilor_preds", "global_orient", "pred_mano_params"}):
            yield _flat(entry)


def _is_stacked(value: Any, count: int) -> bool:
    array = np.asarray(value)
    return array.ndim > 0 and array.shape[0] == count


def _flat(entry: dict[str, Any]) -> dict[str, Any]:
    flat = dict(entry)
    for name in _NESTED:
        inner = flat.pop(name, None)
        if isinstance(inner, np.ndarray) and inner.dtype == object and inner.shape == ():
            inner = inner.item()
        if isinstance(inner, dict):
            flat |= inner
    return flat


def _first(entry: dict[str, Any], names: tuple[str, ...], file: Path) -> Any:
    for name in names:
        if name in entry:
            return entry[name]
    raise BadInput(f"{file.name} lacks {' or '.join(names)}: save all that the network gives for a hand.")


def _hand(entry: dict[str, Any], file: Path, info: VideoInfo) -> dict[str, Any]:
    """One hand in this kit's conventions."""
    is_right = float(np.ravel(_first(entry, _NAMES["right"], file))[0]) > 0.5
    translation = shaped(np.ravel(_first(entry, _NAMES["translation"], file)), (3,), f"{file.name}: translation")
    betas = shaped(np.ravel(_first(entry, _NAMES["betas"], file)), (10,), f"{file.name}: betas")
    root, is_mirrored = _rotations(_first(entry, _NAMES["root"], file), 1, file)
    fingers, _ = _rotations(_first(entry, _NAMES["fingers"], file), 15, file)
    if not is_right:
        root = mirror_rotation(root) if is_mirrored else root
        fingers = fingers if is_mirrored else mirror_rotation(fingers)
    wrist = MANO_ROOT_M if "pred_keypoints_3d" not in entry else None
    if wrist is None:
        wrist = shaped(np.reshape(entry["pred_keypoints_3d"], (-1, 3))[:1], (1, 3), f"{file.name}: keypoints")[0]
    # WiLoR-mini saves its keypoints mirrored back, together with rotation vectors.
    if not is_right and (is_mirrored or "pred_keypoints_3d" not in entry):
        wrist = mirror_points(wrist)
    focal = entry.get("scaled_focal_length")
    focal_px = _ASSUMED_FOCAL * max(info.width_px, info.height_px)
    if focal is not None:
        focal_px = float(shaped(np.ravel(focal)[:1], (1,), f"{file.name}: scaled_focal_length")[0])
    score = float(np.clip(np.ravel(entry.get("score", 0.8))[0], 0.0, 1.0))
    return {
        "is_right": is_right, "root": root[0], "fingers": fingers, "wrist": wrist + translation, "betas": betas,
        "focal": focal_px, "score": score,
    }  # fmt: skip


def _rotations(values: Any, count: int, file: Path) -> tuple[np.ndarray, bool]:
    """(count, 3, 3) rotations, and whether they are matrices: as the network saw them, left hands mirrored."""
    array = np.asarray(values, float)
    if array.size == 9 * count:
        return rotations(shaped(array.reshape(count, 3, 3), (count, 3, 3), file.name), file.name), True
    if array.size == 3 * count:
        return exp(shaped(array.reshape(count, 3), (count, 3), file.name)), False
    raise BadInput(f"{file.name}: {array.shape} is no set of {count} rotations (matrices or rotation vectors).")
