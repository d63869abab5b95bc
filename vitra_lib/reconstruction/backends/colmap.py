"""COLMAP's text model: `cameras.txt` and `images.txt`.

images.txt: two lines per image, the first `id qw qx qy qz tx ty tz camera name` (WORLD TO CAMERA, OpenCV's axes); the
frame number is the last number in the image's name. cameras.txt: `id MODEL width height params…`; SIMPLE_PINHOLE and
PINHOLE are read, pixel centres at halves. There is no metric scale: hands or a metric depth must tell it.
"""

from pathlib import Path

import numpy as np

from vitra_lib.core.errors import BadInput
from vitra_lib.geometry.cameras_lens import Pinhole
from vitra_lib.geometry.transforms import invert, make
from vitra_lib.reconstruction.backends.checks import frame_number, quaternions, read_text, shaped
from vitra_lib.reconstruction.backends.given import GivenCamera
from vitra_lib.reconstruction.backends.intrinsics import fit_to_video
from vitra_lib.video import VideoInfo

_TOOL = "COLMAP"


def read_camera(path: Path, info: VideoInfo) -> GivenCamera:
    """Poses of all registered images, and the camera of most of them.

    Args:
        path: folder of the text model.
        info: the video; images must be named by 0-based frame numbers.

    Raises:
        BadInput: a file is missing or malformed, a name has no number, or the lens is no pinhole.
    """
    lines = [line for line in read_text(path / "images.txt", _TOOL).splitlines() if not line.startswith("#")]
    rows, frames, cameras = [], [], []
    for line in lines[::2]:  # every other line lists points
        words = line.split()
        number = frame_number(words[9]) if len(words) >= 10 else None
        if number is None:
            raise BadInput(
                f"images.txt: {line[:60]!r} isn't `id qw qx qy qz tx ty tz camera name` with a frame number."
            )
        rows.append(words[1:8])
        frames.append(number)
        cameras.append(words[8])
    values = shaped(np.array(rows, dtype=object), (None, 7), "images.txt")
    T_cam_world = make(quaternions(values[:, [1, 2, 3, 0]], "images.txt"), values[:, 4:])
    order = np.argsort(frames, kind="stable")
    lens = _lens(path / "cameras.txt", max(set(cameras), key=cameras.count) if cameras else "", info)
    return GivenCamera("colmap", np.array(frames, int)[order], invert(T_cam_world)[order], lens, False)


def _lens(path: Path, camera: str, info: VideoInfo) -> Pinhole:
    for line in read_text(path, _TOOL).splitlines():
        words = line.split()
        if words[:1] == [camera]:
            break
    else:
        raise BadInput(f"cameras.txt has no camera {camera!r}.")
    if words[1] not in ("PINHOLE", "SIMPLE_PINHOLE"):
        raise BadInput(f"cameras.txt: the lens {words[1]} isn't read; legal are PINHOLE and SIMPLE_PINHOLE: undistort.")
    params = shaped(np.array(words[4:], dtype=object), (3 if words[1] == "SIMPLE_PINHOLE" else 4,), "cameras.txt")
    fx, fy, cx, cy = (params[0], *params) if len(params) == 3 else params
    K = np.array([[fx, 0, cx - 0.5], [0, fy, cy - 0.5], [0, 0, 1.0]])
    return fit_to_video(Pinhole(K, int(words[2]), int(words[3])), info, path)
