"""Intrinsics files: plain JSON, a matrix in .npy, Ego4D's dictionaries, Aria's device calibrations.

plain JSON   {"fx": …, "fy": …, "cx": …, "cy": …, "width": …, "height": …}; with "model": "fisheye" or
             "omnidirectional" also "distortion": [four numbers] and "xi". Pixel (0, 0) is a pixel's centre.
.npy         a 3 x 3 matrix of numbers, for the frames of the video as they are shown
Ego4D .npy   a pickled {"intrinsics_ori": {"K", "D", "xi"}, "intrinsics_new": {"K"}}: Mei's model of the original
             video and the pinhole of the undistorted one (spec of the episode format, 1.8); xi <= 0 means that the
             video needs no undistortion
Aria .json   "CameraCalibrations" with the camera "camera-rgb" in FISHEYE624, for the full sensor or a known crop
"""

from pathlib import Path
from typing import Any

import numpy as np

from vitra_lib.core.errors import BadInput
from vitra_lib.core.pickles import load_npy_object
from vitra_lib.geometry.cameras import rotate_K
from vitra_lib.geometry.cameras_fisheye import Fisheye
from vitra_lib.geometry.cameras_fisheye624 import Fisheye624
from vitra_lib.geometry.cameras_lens import Lens, Pinhole
from vitra_lib.geometry.cameras_omnidirectional import Omnidirectional
from vitra_lib.reconstruction.backends.checks import is_file, read_json, shaped
from vitra_lib.video import VideoInfo

_WHOSE = "intrinsics"
_KEYS = ("fx", "fy", "cx", "cy", "width", "height")
_ARIA_CAMERA = "camera-rgb"
_ARIA_SENSORS = ((2880, 2880), (1408, 1408), (704, 704), (4032, 3024), (2016, 1512))
# Aria's first generation cuts 32 pixels off every side of its 2880 x 2880 sensor before it shrinks the picture.
_ARIA_CROP_PX, _ARIA_CROPPED = 32, {(1408, 1408), (704, 704)}
_ARIA_TARGET_FOCAL = 412.5 / 1408  # of the width: the pinhole that EgoExo4D's users undistort to
_OFF_CENTRE = 0.25


def read_lens(path: Path, info: VideoInfo) -> Lens:
    """The lens that a file describes, fitted to the frames of a video.

    Args:
        path: the file; its kind is told by its content.
        info: the video it belongs to.

    Raises:
        BadInput: no such file, of no known kind, not finite, or for frames of another shape.
    """
    return read_lens_and_target(path, info)[0]


def read_lens_and_target(path: Path, info: VideoInfo) -> tuple[Lens, Pinhole | None]:
    """The lens of a file, and the pinhole that the same file wants the undistorted video to have (or None).

    Raises:
        BadInput: see `read_lens`.
    """
    path = is_file(Path(path), _WHOSE)
    if path.suffix == ".npy":
        return _from_npy(path, info)
    if path.suffix != ".json":
        raise BadInput(f"{path.name} is no intrinsics file: legal are .json and .npy (see `vitra undistort --help`).")
    content = read_json(path, _WHOSE)
    if isinstance(content, dict) and "CameraCalibrations" in content:
        return _from_aria(content, path, info)
    return fit_to_video(_from_json(content, path), info, path), None


def read_pinhole(path: Path, info: VideoInfo) -> Pinhole:
    """Intrinsics of a video that shows straight lines straight.

    Raises:
        BadInput: see `read_lens`; or the file describes a lens with distortion.
    """
    lens = read_lens(path, info)
    if isinstance(lens, Pinhole):
        return lens
    raise BadInput(
        f"{Path(path).name} describes a lens with distortion: run `vitra undistort VIDEO --intrinsics {path} --out "
        "STRAIGHT.mp4` first, and go on with STRAIGHT.mp4 and STRAIGHT.intrinsics.json."
    )


def as_json(lens: Pinhole) -> dict[str, Any]:
    """A pinhole in the plain JSON form that `read_lens` reads."""
    K = lens.K_px
    return {
        "fx": float(K[0, 0]), "fy": float(K[1, 1]), "cx": float(K[0, 2]), "cy": float(K[1, 2]),
        "width": lens.width_px, "height": lens.height_px,
    }  # fmt: skip


def fit_to_video(lens: Lens, info: VideoInfo, path: Path) -> Lens:
    """The lens on frames of the video's size, where that is the same picture at another size.

    A calibration of the sensor's picture is turned with the video where its rotation metadata say so.

    Raises:
        BadInput: the frames have another shape.
    """
    size, video = (lens.width_px, lens.height_px), (info.width_px, info.height_px)
    if info.rotation_deg in (90, 270) and _is_same_shape(size, video[::-1]) and size[0] != size[1]:
        if not isinstance(lens, Pinhole):
            raise BadInput(
                f"{path.name} is for {size[0]} x {size[1]} and the video is shown turned, {video[0]} x {video[1]}: "
                "transcode the video upright and calibrate that."
            )
        lens = Pinhole(rotate_K(lens.K_px, *size, info.rotation_deg), size[1], size[0])
        size = size[::-1]
    if not _is_same_shape(size, video):
        raise BadInput(
            f"{path.name} is for frames of {size[0]} x {size[1]} pixels, the video shows {video[0]} x {video[1]}: "
            "give the intrinsics of this video (another size of the same shape would do)."
        )
    return lens if size == video else lens.resized(*video)


def _is_same_shape(a: tuple[int, int], b: tuple[int, int]) -> bool:
    """Equal ratio of the sides, but for the rounding of sizes to even pixels."""
    return abs(a[0] * b[1] - a[1] * b[0]) <= 2 * max(a[0], b[0], a[1], b[1])


def _from_json(content: Any, path: Path) -> Lens:
    if not isinstance(content, dict) or any(key not in content for key in _KEYS):
        raise BadInput(
            f"{path.name} holds no intrinsics: needed are {', '.join(_KEYS)} (or Aria's CameraCalibrations)."
        )
    numbers = shaped([content[key] for key in _KEYS], (6,), f"{path.name}: {', '.join(_KEYS)}")
    fx, fy, cx, cy = numbers[:4]
    width, height = round(numbers[4]), round(numbers[5])
    K = np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])
    model = content.get("model", "pinhole")
    if model == "pinhole":
        return Pinhole(K, width, height)
    if model not in ("fisheye", "omnidirectional"):
        raise BadInput(f"{path.name}: the model {model!r} is unknown; legal are pinhole, fisheye, omnidirectional.")
    distortion = shaped(content.get("distortion"), (4,), f"{path.name}: distortion")
    if model == "fisheye":
        return Fisheye(K, distortion, width, height)
    return Omnidirectional(K, distortion, width, height, float(shaped(content.get("xi"), (), f"{path.name}: xi")))


def _from_npy(path: Path, info: VideoInfo) -> tuple[Lens, Pinhole | None]:
    width, height = info.width_px, info.height_px
    try:
        K = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError):
        return _from_ego4d(load_npy_object(path), path, info)
    lens = Pinhole(shaped(K, (3, 3), f"{path.name}: K"), width, height)
    _check_centre(lens.K_px, path, info)
    return lens, None


def _from_ego4d(content: Any, path: Path, info: VideoInfo) -> tuple[Lens, Pinhole | None]:
    try:
        original, new = content["intrinsics_ori"], content["intrinsics_new"]
        K, D, xi, K_new = original["K"], original["D"], original["xi"], new["K"]
    except (TypeError, KeyError, IndexError) as error:
        raise BadInput(
            f"{path.name} isn't an intrinsics file of Ego4D: needed are intrinsics_ori (K, D, xi) and "
            "intrinsics_new (K)."
        ) from error
    K, K_new = shaped(K, (3, 3), f"{path.name}: K"), shaped(K_new, (3, 3), f"{path.name}: new K")
    xi = float(shaped(np.ravel(xi), (1,), f"{path.name}: xi")[0])
    D = shaped(np.ravel(D), (None,), f"{path.name}: D")
    target = Pinhole(K_new, info.width_px, info.height_px)
    _check_centre(K_new, path, info)
    if xi <= 0:  # "no distortion": such videos are used as they are
        return target, target
    return Omnidirectional(K, D, info.width_px, info.height_px, xi), target


def _check_centre(K_px: np.ndarray, path: Path, info: VideoInfo) -> None:
    """A file without a size can only be judged by its principal point: real ones are near the middle."""
    away = np.abs(K_px[:2, 2] / np.array([info.width_px, info.height_px]) - 0.5)
    if (away > _OFF_CENTRE).any():
        raise BadInput(
            f"{path.name} has its principal point at ({K_px[0, 2]:.0f}, {K_px[1, 2]:.0f}), far from the middle of the "
            f"video's {info.width_px} x {info.height_px}: it is for another video or size."
        )


def _from_aria(content: dict, path: Path, info: VideoInfo) -> tuple[Lens, Pinhole | None]:
    try:
        cameras = {camera["Label"]: camera["Projection"] for camera in content["CameraCalibrations"]}
        if _ARIA_CAMERA not in cameras:
            raise BadInput(f"{path.name} has no camera {_ARIA_CAMERA!r}, only {', '.join(sorted(cameras)) or 'none'}.")
        kind, numbers = cameras[_ARIA_CAMERA]["Name"], cameras[_ARIA_CAMERA]["Params"]
    except (TypeError, KeyError) as error:
        raise BadInput(f"{path.name} isn't a device calibration of Aria ({error} is missing).") from error
    if kind != "FisheyeRadTanThinPrism":
        raise BadInput(
            f"{path.name}: the lens model {kind!r} isn't read; legal is FisheyeRadTanThinPrism (FISHEYE624)."
        )
    params = shaped(numbers, (15,), f"{path.name}: Params")
    size = _aria_sensor(params[1:3], path)
    lens: Lens = Fisheye624.from_params(params, *size)
    video = (info.width_px, info.height_px)
    if size == (2880, 2880) and video in _ARIA_CROPPED:
        side = 2880 - 2 * _ARIA_CROP_PX
        lens = lens.shifted(_ARIA_CROP_PX, _ARIA_CROP_PX, side, side)
    lens = fit_to_video(lens, info, path)
    focal = _ARIA_TARGET_FOCAL * video[0]
    K = np.array([[focal, 0, (video[0] - 1) / 2], [0, focal, (video[1] - 1) / 2], [0, 0, 1.0]])
    return lens, Pinhole(K, *video)


def _aria_sensor(centre_px: np.ndarray, path: Path) -> tuple[int, int]:
    """Which picture a calibration is for: the file does not say, but the principal point is near its middle."""
    off = [np.abs(centre_px / np.array(size) - 0.5).max() for size in _ARIA_SENSORS]
    if min(off) > 0.1:
        raise BadInput(
            f"{path.name}: the principal point ({centre_px[0]:.0f}, {centre_px[1]:.0f}) is in the middle of no known "
            "Aria picture."
        )
    return _ARIA_SENSORS[int(np.argmin(off))]
