"""DROID-SLAM's folder `reconstructions/NAME`, and trajectories in TUM's text format, which most SLAM tools write.

The folder: `poses.npy` (n, 7) tx ty tz qx qy qz qw, WORLD TO CAMERA; `tstamps.npy` (n,) frame numbers of the
keyframes; `intrinsics.npy` (n, 4) fx fy cx cy at an eighth of the size of `images.npy` (n, 3, h, w).
TUM: lines `time tx ty tz qx qy qz qw`, CAMERA TO WORLD; "#" begins a comment; time in seconds from the first frame, or
whole frame numbers. Neither has a metric scale: the hands or a metric depth must tell it.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from vitra_lib.core.errors import BadInput
from vitra_lib.geometry.cameras_lens import Pinhole
from vitra_lib.geometry.transforms import invert, make
from vitra_lib.reconstruction.backends.checks import is_file, quaternions, read_array, read_text, shaped
from vitra_lib.reconstruction.backends.given import GivenCamera
from vitra_lib.reconstruction.backends.resizing import droid_lens
from vitra_lib.video import VideoInfo

_TOOL = "DROID-SLAM"
_EIGHTH = 8.0


def read_camera(path: Path, info: VideoInfo) -> GivenCamera:
    """Keyframe poses and intrinsics of a DROID-SLAM run.

    Args:
        path: the folder.
        info: the video.

    Raises:
        BadInput: a file is missing, damaged or of another video.
    """
    if not path.is_dir():
        raise BadInput(f"{path} is no folder: give reconstructions/NAME of DROID-SLAM (poses.npy, tstamps.npy, …).")
    rows = shaped(read_array(path / "poses.npy", _TOOL), (None, 7), "poses.npy")
    frames = shaped(read_array(path / "tstamps.npy", _TOOL), (len(rows),), "tstamps.npy")
    if np.abs(frames - np.round(frames)).max(initial=0.0) > 1e-6:
        raise BadInput("tstamps.npy: keyframes of DROID-SLAM are whole frame numbers.")
    T_cam_world = make(quaternions(rows[:, 3:], "poses.npy"), rows[:, :3])
    return GivenCamera("droid", np.round(frames).astype(int), invert(T_cam_world), read_lens(path, info), False)


def read_lens(path: Path, info: VideoInfo) -> Pinhole | None:
    """Intrinsics of a DROID-SLAM or DroidCalib folder; None where it has none."""
    if not (path / "intrinsics.npy").is_file():
        return None
    values = read_array(path / "intrinsics.npy", _TOOL)
    if values.ndim != 2 or values.shape[1] < 4 or len(values) == 0:
        raise BadInput(f"intrinsics.npy of {path.name} has shape {values.shape}, but (keyframes, 4) is needed.")
    values = shaped(values[-1, :4] * _EIGHTH, (4,), "intrinsics.npy")
    is_file(path / "images.npy", _TOOL)
    try:
        images = np.load(path / "images.npy", mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError) as error:
        raise BadInput(f"images.npy of {path.name} is damaged ({error}).") from error
    return droid_lens(values, (images.shape[-1], images.shape[-2]), info, _TOOL)


def read_tum(path: Path, info: VideoInfo) -> GivenCamera:
    """A trajectory in TUM's format.

    Args:
        path: the text file.
        info: the video; its frame rate turns seconds into frames.

    Raises:
        BadInput: not such a file, or times outside of the video.
    """
    lines = [line.split() for line in read_text(path, "TUM").splitlines() if line.strip() and line[0] != "#"]
    try:
        rows = shaped([[float(word) for word in line] for line in lines], (None, 8), f"{path.name}")
    except ValueError as error:
        raise BadInput(f"{path.name} isn't a trajectory: needed are lines of time tx ty tz qx qy qz qw.") from error
    times = rows[:, 0]
    is_frames = bool(np.abs(times - np.round(times)).max(initial=0.0) < 1e-9) and len(times) > 2
    frames = np.round(times if is_frames else times * info.fps).astype(int)
    last = info.frame_count - 1
    if len(frames) and (frames.min() < 0 or frames.max() > last):
        raise BadInput(
            f"{path.name}: its times reach from {times.min():g} to {times.max():g}; legal are seconds from the first "
            f"frame (0 to {last / info.fps:.2f}) or frame numbers (0 to {last})."
        )
    frames, first = np.unique(frames, return_index=True)
    return GivenCamera("tum", frames, make(quaternions(rows[first, 4:], path.name), rows[first, 1:4]), None, False)


def read_tum_metric(path: Path, info: VideoInfo) -> GivenCamera:
    """A trajectory in TUM's format whose unit is the metre: of a stereo, inertial or depth camera; see `read_tum`."""
    return replace(read_tum(path, info), is_metric=True)
