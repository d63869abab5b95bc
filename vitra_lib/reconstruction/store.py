"""A `Reconstruction` as one file: arrays and a JSON header in an .npz without pickle; same content, same bytes."""

import json
import math
import zipfile
import zlib
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np

from vitra_lib.contracts.camera_track import CameraTrack
from vitra_lib.contracts.hand_track import SIDES, HandTrack
from vitra_lib.contracts.reconstruction import Reconstruction
from vitra_lib.contracts.rejection import Rejection
from vitra_lib.core.errors import BadInput
from vitra_lib.core.files import atomic_path

FORMAT = "vitra-reconstruction"
VERSION = 1

_TOP_ARRAYS = ("source_frame", "time_s")
_CAMERA_ARRAYS = ("K_px", "T_world_cam", "is_valid")
_HAND_ARRAYS = (
    "R_cam_wrist", "t_cam_wrist", "R_parent_joint", "betas", "joints_cam", "is_valid", "is_observed", "confidence",
)  # fmt: skip
_DAMAGE = (OSError, ValueError, KeyError, TypeError, EOFError, AttributeError, zipfile.BadZipFile, zlib.error)
_AGAIN = "make it again with `vitra reconstruct`."
_HEADER = "header"
_FRAME_QUALITY = "frame_quality."  # files of an earlier version hold none


def save_reconstruction(reconstruction: Reconstruction, path: Path) -> None:
    """Write a reconstruction; a crash leaves the old file or none, never half of one.

    Args:
        reconstruction: what to write.
        path: the .npz file.

    Raises:
        WriteFailed: the file system refuses.
        BadInput: the name doesn't end in .npz.
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise BadInput(f"A reconstruction is stored as .npz, not {path.name!r}.")
    camera = reconstruction.camera
    arrays = {name: getattr(reconstruction, name) for name in _TOP_ARRAYS}
    arrays |= {f"camera.{name}": getattr(camera, name) for name in _CAMERA_ARRAYS}
    header = {
        "format": FORMAT,
        "version": VERSION,
        "video_name": reconstruction.video_name,
        "video_sha256": reconstruction.video_sha256,
        "fps": reconstruction.fps,
        "camera": _scalars(camera, _CAMERA_ARRAYS),
        "rejections": [asdict(rejection) for rejection in reconstruction.rejections],
        "quality": {name: _or_null(value) for name, value in reconstruction.quality.items()},
    }
    for side in SIDES:
        hand = reconstruction.hand(side)
        arrays |= {f"{side}.{name}": getattr(hand, name) for name in _HAND_ARRAYS}
        header[side] = _scalars(hand, _HAND_ARRAYS)
    arrays |= {f"{_FRAME_QUALITY}{name}": values for name, values in reconstruction.frame_quality.items()}
    text = json.dumps(header, ensure_ascii=False, allow_nan=False, sort_keys=True)
    arrays[_HEADER] = np.frombuffer(text.encode(), dtype=np.uint8)
    with atomic_path(path) as part:
        _write_npz(part, arrays)


def load_reconstruction(path: Path) -> Reconstruction:
    """Read what `save_reconstruction` wrote.

    Raises:
        BadInput: no such file, not a reconstruction, damaged, or of another version.
    """
    path = Path(path)
    if not path.is_file():
        raise BadInput(f"There is no reconstruction {path}: make one with `vitra reconstruct`.")
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        header = json.loads(arrays[_HEADER].tobytes().decode())
        kind, version = header["format"], header["version"]
    except _DAMAGE as error:
        raise BadInput(f"{path} is not a reconstruction, or is damaged: {_AGAIN}") from error
    if kind != FORMAT or version != VERSION:
        raise BadInput(f"{path} holds {kind} version {version}, but this program reads {FORMAT} version {VERSION}.")
    try:
        return _assemble(header, arrays)
    except (KeyError, TypeError) as error:
        raise BadInput(f"{path} lacks parts of a reconstruction ({error}): {_AGAIN}") from error


def _assemble(header: dict, arrays: dict[str, np.ndarray]) -> Reconstruction:
    hands = {}
    for side in SIDES:
        hands[side] = HandTrack(**{name: arrays[f"{side}.{name}"] for name in _HAND_ARRAYS}, **_from_null(header[side]))
    camera = CameraTrack(**{name: arrays[f"camera.{name}"] for name in _CAMERA_ARRAYS}, **_from_null(header["camera"]))
    return Reconstruction(
        video_name=header["video_name"],
        video_sha256=header["video_sha256"],
        fps=header["fps"],
        source_frame=arrays["source_frame"],
        time_s=arrays["time_s"],
        camera=camera,
        left=hands["left"],
        right=hands["right"],
        rejections=tuple(Rejection(**item) for item in header["rejections"]),
        quality=_from_null(header["quality"]),
        frame_quality={n.removeprefix(_FRAME_QUALITY): v for n, v in arrays.items() if n.startswith(_FRAME_QUALITY)},
    )


def _scalars(record: CameraTrack | HandTrack, arrays: tuple[str, ...]) -> dict:
    """The fields that are not arrays, fit for JSON."""
    names = (field.name for field in fields(record))
    return {name: _or_null(getattr(record, name)) for name in names if name not in arrays}


def _or_null(value: object) -> object:
    """JSON has no NaN: a missing figure is null."""
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _from_null(values: dict) -> dict:
    return {name: float("nan") if value is None else value for name, value in values.items()}


def _write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """An .npz with sorted members and a fixed date, so that equal arrays give equal bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name in sorted(arrays):
            member = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            member.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(member, "w", force_zip64=True) as stream:
                array = np.ascontiguousarray(arrays[name])
                np.lib.format.write_array(stream, array, version=(1, 0), allow_pickle=False)
