"""ViPE: `pose/NAME.npz` with `intrinsics/NAME.npz` beside it.

`pose`: `data` (n, 4, 4) camera to world with OpenCV's axes, `inds` (n,) frame numbers. `intrinsics`: `data` (n, 4)
fx, fy, cx, cy in pixels of the frames that ViPE saw, `inds`; `NAME_camera.txt` names the lens of each frame, of which
only PINHOLE is read. ViPE aligns its path to metric depth, so its unit is taken for the metre.
"""

from pathlib import Path

import numpy as np

from vitra_lib.core.errors import BadInput
from vitra_lib.geometry.cameras_lens import Lens, Pinhole
from vitra_lib.reconstruction.backends.checks import poses, read_arrays, read_text, shaped
from vitra_lib.reconstruction.backends.given import GivenCamera
from vitra_lib.reconstruction.backends.intrinsics import fit_to_video
from vitra_lib.video import VideoInfo, probe

_TOOL = "ViPE"


def read_camera(path: Path, info: VideoInfo) -> GivenCamera:
    """Camera path and intrinsics that ViPE wrote for a video.

    Args:
        path: the file `pose/NAME.npz`.
        info: the video.

    Raises:
        BadInput: a file is damaged, of another tool or of another video, or a lens is no pinhole.
    """
    content = read_arrays(path, _TOOL, ("data", "inds"))
    T_world_cam = poses(content["data"], f"{path.name}: data")
    frames = shaped(content["inds"], (len(T_world_cam),), f"{path.name}: inds").astype(int)
    order = np.argsort(frames, kind="stable")
    lens = _lens(path.parent.parent / "intrinsics" / path.name, info)
    return GivenCamera("vipe", frames[order], T_world_cam[order], lens, True)


def _lens(path: Path, info: VideoInfo) -> Lens | None:
    """The median lens of all frames; None where ViPE's intrinsics are not beside its poses."""
    if not path.is_file():
        return None
    kinds = path.with_name(f"{path.stem}_camera.txt")
    if kinds.is_file():
        named = {line.split(":")[1].strip() for line in read_text(kinds, _TOOL).splitlines() if ":" in line}
        if named - {"PINHOLE"}:
            raise BadInput(
                f"{kinds.name}: ViPE used the lens {', '.join(sorted(named - {'PINHOLE'}))}; only PINHOLE is read: "
                "undistort the video first."
            )
    data = shaped(read_arrays(path, _TOOL, ("data",))["data"], (None, 4), f"{path.name}: data")
    if len(data) == 0:
        raise BadInput(f"{path.name} holds no intrinsics.")
    fx, fy, cx, cy = np.median(data, axis=0)
    seen = path.parent.parent / "rgb" / f"{path.stem}.mp4"
    size = probe(seen) if seen.is_file() else info
    K = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])
    return fit_to_video(Pinhole(K, size.width_px, size.height_px), info, path)
