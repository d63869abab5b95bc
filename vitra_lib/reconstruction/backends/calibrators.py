"""Intrinsics from DroidCalib and AnyCalib.

DroidCalib prints `fx = …, fy = …, ppx = …, ppy = …[, xi = …]` under "Estimated intrinsics:", in pixels of the
original frames: save what it prints to a file. Its folder `reconstructions/NAME` (intrinsics.npy, images.npy) is
read too. With xi the lens is Mei's model without further distortion.
AnyCalib returns a dictionary: save `intrinsics` and the name it was asked for, `cam_id`, as JSON with `width` and
`height` of the picture. Read are pinhole (fx fy cx cy), simple_pinhole (f cx cy), kb:4 (fx fy cx cy k1..k4) and
simple_kb:4 (f cx cy k1..k4). A list of several pictures gives the median.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np

from vitra_lib.core.errors import BadInput
from vitra_lib.geometry.cameras_fisheye import Fisheye
from vitra_lib.geometry.cameras_lens import Lens, Pinhole
from vitra_lib.geometry.cameras_omnidirectional import Omnidirectional
from vitra_lib.reconstruction.backends.checks import read_array, read_json, read_text, shaped
from vitra_lib.reconstruction.backends.droid import read_lens as read_droid_folder
from vitra_lib.reconstruction.backends.intrinsics import fit_to_video
from vitra_lib.video import VideoInfo

_NUMBER = r"\s*=\s*([-+0-9.eE]+|nan|inf)"
_LINE = re.compile(rf"fx{_NUMBER},\s*fy{_NUMBER},\s*ppx{_NUMBER},\s*ppy{_NUMBER}(?:,\s*xi{_NUMBER})?")
_HEADING = "Estimated intrinsics"
_LENGTHS = {"pinhole": 4, "simple_pinhole": 3, "kb:4": 8, "simple_kb:4": 7}


def read_droidcalib(path: Path, info: VideoInfo) -> Lens:
    """The lens that DroidCalib found.

    Args:
        path: a text file with its output, or a folder `reconstructions/NAME`.
        info: the video.

    Raises:
        BadInput: neither, or of another video.
    """
    if path.is_dir():
        lens = read_droid_folder(path, info)
        if lens is None:
            raise BadInput(f"{path} has no intrinsics.npy: run DroidCalib with --opt_intr and --reconstruction_path.")
        values = read_array(path / "intrinsics.npy", "DroidCalib")
        if values.shape[1] < 5:
            return lens
        return _mei(lens, float(shaped(values[-1, 4], (), "intrinsics.npy: xi")))
    text = read_text(path, "DroidCalib")
    found = _LINE.search(text, max(text.find(_HEADING), 0))
    if found is None or _HEADING not in text:
        raise BadInput(f"{path.name} isn't the output of DroidCalib: there is no line fx = … under {_HEADING!r}.")
    fx, fy, cx, cy = shaped(found.groups()[:4], (4,), path.name)
    lens = Pinhole(np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]]), info.width_px, info.height_px)
    return lens if found.group(5) is None else _mei(lens, float(shaped(found.group(5), (), f"{path.name}: xi")))


def _mei(lens: Pinhole, xi: float) -> Lens:
    return lens if xi <= 0 else Omnidirectional(lens.K_px, np.zeros(4), lens.width_px, lens.height_px, xi)


def read_anycalib(path: Path, info: VideoInfo) -> Lens:
    """The lens that AnyCalib found; the median where several pictures were asked about.

    Raises:
        BadInput: not such a file, a lens that isn't read, or of another video.
    """
    content = read_json(path, "AnyCalib")
    entries = content if isinstance(content, list) else [content]
    kinds = {entry.get("cam_id") for entry in entries if isinstance(entry, dict)}
    if not entries or len(kinds) != 1 or not all(isinstance(e, dict) and "intrinsics" in e for e in entries):
        raise BadInput(f"{path.name} isn't a prediction of AnyCalib: needed are cam_id, intrinsics, width and height.")
    kind = kinds.pop()
    if kind not in _LENGTHS:
        raise BadInput(f"{path.name}: AnyCalib's lens {kind!r} isn't read; legal are {', '.join(_LENGTHS)}.")
    rows = shaped([_flat(entry["intrinsics"]) for entry in entries], (None, _LENGTHS[kind]), f"{path.name}: intrinsics")
    values = np.median(rows, axis=0)
    if kind.startswith("simple_"):
        values = np.concatenate([values[:1], values])
    size = [round(float(shaped(entries[0].get(side), (), f"{path.name}: {side}"))) for side in ("width", "height")]
    K = np.array([[values[0], 0, values[2]], [0, values[1], values[3]], [0, 0, 1.0]])
    lens = Pinhole(K, *size) if len(values) == 4 else Fisheye(K, values[4:], *size)
    return fit_to_video(lens, info, path)


def _flat(values: Any) -> list:
    return list(np.ravel(np.asarray(values, dtype=object)))
