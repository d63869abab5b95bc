"""MoGe-2: metric depth and intrinsics, one file per frame or one for all.

What `infer` returns, saved as .npz: `depth` (h, w) [m], infinite where `mask` (h, w) is False, `intrinsics` (3, 3)
normalised by the picture's size (fx / w, fy / h, cx / w, cy / h), and `points` (h, w, 3), which is not read; with a
leading axis for several frames, then `frame` (n,) may number them. What `moge infer --maps` leaves, a folder with
fov.json (`fov_x`, `fov_y` in degrees) per picture, is read for intrinsics; its depth.exr is not (OpenCV's wheels lack
OpenEXR).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from vitra_lib.core.errors import BadInput
from vitra_lib.geometry.cameras_lens import Pinhole
from vitra_lib.reconstruction.backends.checks import array_names, frame_number, read_arrays, read_json, shaped
from vitra_lib.reconstruction.backends.given import DepthMaps
from vitra_lib.video import VideoInfo

_TOOL = "MoGe-2"


def read_lens(path: Path, info: VideoInfo) -> Pinhole:
    """The pinhole that MoGe-2 saw: the median over its frames (the official pipeline uses nothing else of it).

    Raises:
        BadInput: no such file, or of no known kind.
    """
    width, height = info.width_px, info.height_px
    found = [_focal_per_width(file) for file in _files(path, (".npz", "fov.json"))]
    focal = width * float(np.median(np.concatenate(found)))
    return Pinhole(np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]]), width, height)


def _focal_per_width(file: Path) -> Float[np.ndarray, " n"]:
    if file.suffix == ".json":
        content = read_json(file, _TOOL)
        fov = shaped([content.get("fov_x") if isinstance(content, dict) else None], (1,), f"{file.name}: fov_x")
        if not 1 < fov[0] < 179:
            raise BadInput(f"{file.name}: fov_x is {fov[0]:g} degrees; legal are 1 to 179.")
        return 0.5 / np.tan(0.5 * np.deg2rad(fov))
    K = read_arrays(file, _TOOL, ("intrinsics",))["intrinsics"]
    K = shaped(K.reshape(-1, *K.shape[-2:]) if K.ndim in (2, 3) else K, (None, 3, 3), f"{file.name}: intrinsics")
    if not ((K[:, 0, 0] > 0.1) & (K[:, 0, 0] < 20)).all():
        raise BadInput(f"{file.name}: intrinsics aren't normalised by the width, as {_TOOL} writes them.")
    return 0.5 * K[:, 0, 0] / K[:, 0, 2]


@dataclass(frozen=True)
class MogeDepth:
    """Depth files of some frames.

    Attributes:
        maps: the depth, metric.
    """

    maps: DepthMaps

    def at(self, frame: int, image: np.ndarray) -> np.ndarray | None:
        """(h, w) depth [m] of a frame, NaN where unknown; None where there is no file for it."""
        row = np.flatnonzero(self.maps.frame == frame)
        return self.maps.depth[row[0]] if len(row) else None

    @property
    def frames(self) -> tuple[int, ...] | None:
        """Frames that have a depth."""
        return tuple(int(i) for i in self.maps.frame)


def depth_source(path: Path, info: VideoInfo) -> MogeDepth:
    """All depth that MoGe-2 wrote for a video.

    Args:
        path: one .npz, or a folder with one per frame, each named after its frame's number.
        info: the video.

    Raises:
        BadInput: a file is damaged, has no frame number, or belongs to a frame that the video doesn't have.
    """
    frames, maps = [], []
    for file in _files(path, (".npz",)):
        names = array_names(file, _TOOL)
        content = read_arrays(file, _TOOL, ("depth", *(n for n in ("mask", "frame") if n in names)))
        depth = np.asarray(content["depth"], np.float32)
        depth = depth[None] if depth.ndim == 2 else depth
        if depth.ndim != 3:
            raise BadInput(f"{file.name}: depth has shape {depth.shape}, but (h, w) or (n, h, w) is needed.")
        mask = np.isfinite(depth) & (depth > 0)
        if "mask" in content:
            mask &= content["mask"].reshape(depth.shape).astype(bool)
        frames += _numbers(file, content.get("frame"), len(depth))
        maps.append(np.where(mask, depth, np.nan).astype(np.float32))
    order = np.argsort(frames, kind="stable")
    number = np.array(frames, int)[order]
    if len(number) and (number[0] < 0 or number[-1] >= info.frame_count):
        raise BadInput(f"{_TOOL} gives depth for frame {number[-1]}, the video has {info.frame_count} frames.")
    if len({m.shape[1:] for m in maps}) > 1:
        raise BadInput(f"The depth maps in {path} have different sizes: they are of several videos.")
    return MogeDepth(DepthMaps(number, np.concatenate(maps)[order], True))


def _numbers(file: Path, given: np.ndarray | None, count: int) -> list[int]:
    if given is not None:
        return [int(i) for i in shaped(given, (count,), f"{file.name}: frame")]
    if count > 1:
        return list(range(count))
    number = frame_number(file.name)
    if number is None:
        raise BadInput(f"{file.name} has no frame number in its name.")
    return [number]


def _files(path: Path, endings: tuple[str, ...]) -> list[Path]:
    if path.is_file():
        return [path]
    found = sorted(p for p in path.rglob("*") if p.name.endswith(endings)) if path.is_dir() else []
    if not found:
        raise BadInput(f"There is nothing of {_TOOL} at {path}: give a .npz or a folder with {' or '.join(endings)}.")
    return found
