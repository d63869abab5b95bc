"""MegaSaM: `outputs_cvd/NAME_sgd_cvd_hr.npz` or `outputs/NAME_droid.npz`.

In the file: `images` (T, h, w, 3) uint8, `depths` (T, h, w), `intrinsic` (3, 3) in pixels of those images, `cam_c2w`
(T, 4, 4) camera to world with OpenCV's axes. The images are the video's, shrunk to an area of 384 x 512 pixels and
cropped to multiples of eight. Depth and path share one unit, which MegaSaM normalises by the scene's disparity: it is
not the metre, so hands or a metric depth must tell the scale.
"""

from pathlib import Path

import numpy as np

from vitra_lib.core.errors import BadInput
from vitra_lib.reconstruction.backends.checks import frame_count_agrees, poses, read_arrays, shaped
from vitra_lib.reconstruction.backends.given import DepthMaps, GivenCamera
from vitra_lib.reconstruction.backends.resizing import droid_lens
from vitra_lib.video import VideoInfo

_TOOL = "MegaSaM"
_DEPTH_FRAMES = 120


def read_camera(path: Path, info: VideoInfo) -> GivenCamera:
    """Camera path, intrinsics and depth that MegaSaM wrote for a video.

    Raises:
        BadInput: the file is damaged, of another tool or of another video, or holds what is no pose.
    """
    content = read_arrays(path, _TOOL, ("depths", "intrinsic", "cam_c2w"))
    T_world_cam = poses(content["cam_c2w"], f"{path.name}: cam_c2w")
    frame_count_agrees(len(T_world_cam), info.frame_count, path, _TOOL)
    depth = content["depths"]
    if depth.ndim != 3 or len(depth) != len(T_world_cam):
        raise BadInput(f"{path.name}: depths has shape {depth.shape}, but one map per pose is needed.")
    K = shaped(content["intrinsic"], (3, 3), f"{path.name}: intrinsic")
    values = np.array([K[0, 0], K[1, 1], K[0, 2], K[1, 2]])
    lens = droid_lens(values, (depth.shape[2], depth.shape[1]), info, _TOOL)
    kept = np.unique(np.linspace(0, len(depth) - 1, min(len(depth), _DEPTH_FRAMES)).astype(int))
    maps = depth[kept].astype(np.float32)
    maps[~np.isfinite(maps) | (maps <= 0)] = np.nan
    frames = np.arange(len(T_world_cam))
    return GivenCamera("megasam", frames, T_world_cam, lens, False, DepthMaps(kept, maps, False))
