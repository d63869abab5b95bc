"""The default chain on a recording of Aria glasses, against the hands that the glasses tracked themselves.

The device sees hands with four cameras of known distance, so its metre does not come from a hand's size. Reading a
.vrs file needs the optional package projectaria-tools.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from vitra_lib.contracts.hand_track import SIDES, Side
from vitra_lib.core.errors import BadInput, MissingAsset
from vitra_lib.evaluation.accuracy import Figure
from vitra_lib.evaluation.hands import summarise
from vitra_lib.geometry.cameras import project
from vitra_lib.geometry.transforms import apply, invert
from vitra_lib.hands.model import load_hand_model
from vitra_lib.reconstruction.fit import fit_hand
from vitra_lib.reconstruction.lifter import Lifter
from vitra_lib.reconstruction.tracker import track_hands

# The device's landmark of our joints; it has no base of the thumb (our joint 1), and its last one is the palm's middle.
_OURS = (0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20)
_DEVICE = (5, 6, 7, 0, 8, 9, 10, 1, 11, 12, 13, 2, 14, 15, 16, 3, 17, 18, 19, 4)
_WIDTH_PX, _HEIGHT_PX = 1280, 880
_FOCAL_PX = 320.0  # 127 degrees across: the hands of a wearer are at the edge of the fisheye picture


@dataclass(frozen=True)
class DeviceRecording:
    """What is used of a recording.

    Attributes:
        images: pinhole pictures of the colour camera, RGB.
        time_s: (time,) when they were taken [s].
        K_px: (3, 3) intrinsics of the pictures.
        joints_cam: side -> (time, 20, 3) device joints at those times in the colour camera [m], wrist first; NaN where
            the device saw no hand.
    """

    images: list[UInt8[np.ndarray, "height width 3"]]
    time_s: Float[np.ndarray, " time"]
    K_px: Float[np.ndarray, "3 3"]
    joints_cam: dict[Side, Float[np.ndarray, "time 20 3"]]


def aria_accuracy(vrs: Path) -> tuple[Figure, ...]:
    """Hands of the default chain against the device's, in the colour camera.

    Args:
        vrs: a recording of second-generation glasses with the streams camera-rgb and handtracking.

    Raises:
        MissingAsset: projectaria-tools is not installed.
        BadInput: the file is no such recording.
    """
    recording = read_device_recording(vrs)
    fps = 1.0 / float(np.median(np.diff(recording.time_s)))
    detections = track_hands(recording.images, fps)
    lifter, model = Lifter.load(), load_hand_model()
    errors: dict[str, list[np.ndarray]] = {"wrist": [], "root": [], "all": []}
    visible = found = 0
    for side in SIDES:
        truth = recording.joints_cam[side]
        lifted = lifter.lift(detections[side], recording.K_px)
        track = fit_hand(side, lifted, detections[side], recording.K_px, recording.time_s, model)
        seen = _is_in_view(truth, recording.K_px)
        both = seen & track.is_valid
        visible, found = visible + int(seen.sum()), found + int(both.sum())
        ours, theirs = track.joints_cam[both][:, _OURS], truth[both]
        errors["wrist"].append(np.linalg.norm(ours[:, 0] - theirs[:, 0], axis=-1))
        errors["all"].append(np.linalg.norm(ours - theirs, axis=-1).mean(axis=-1))
        aligned = (ours - ours[:, :1]) - (theirs - theirs[:, :1])
        errors["root"].append(np.linalg.norm(aligned, axis=-1).mean(axis=-1))
    return (
        Figure("visible hands found", found / visible if visible else float("nan"), "share", visible),
        _median("wrist position in camera", errors["wrist"], 100, "cm"),
        _median("root-aligned joints", errors["root"], 1000, "mm"),
        _median("joints (MPJPE)", errors["all"], 1000, "mm"),
    )


def read_device_recording(vrs: Path) -> DeviceRecording:
    """Pictures and hands of a recording; see `aria_accuracy` for what is raised."""
    try:
        from projectaria_tools.core import calibration, data_provider
        from projectaria_tools.core.sensor_data import TimeDomain, TimeQueryOptions
    except ImportError as error:
        raise MissingAsset(
            "Recordings of Aria glasses are read with projectaria-tools: run `pip install projectaria-tools`."
        ) from error
    if not vrs.is_file():
        raise BadInput(f"There is no recording {vrs}.")
    provider = data_provider.create_vrs_data_provider(str(vrs))
    labels = ("camera-rgb", "handtracking")
    streams = {label: provider.get_stream_id_from_label(label) if provider else None for label in labels}
    if any(stream is None for stream in streams.values()):
        raise BadInput(f"{vrs.name} lacks one of the streams {', '.join(labels)}: it needs second-generation glasses.")
    lens = provider.get_device_calibration().get_camera_calib("camera-rgb")
    pinhole = calibration.get_linear_camera_calibration(
        _WIDTH_PX, _HEIGHT_PX, _FOCAL_PX, "camera-rgb", lens.get_transform_device_camera()
    )
    T_cam_device = invert(np.array(lens.get_transform_device_camera().to_matrix()))
    images, times, hands = [], [], {side: [] for side in SIDES}
    for i in range(provider.get_num_data(streams["camera-rgb"])):
        picture, record = provider.get_image_data_by_index(streams["camera-rgb"], i)
        flat = calibration.distort_by_calibration(picture.to_numpy_array(), pinhole, lens)
        images.append(np.ascontiguousarray(flat))
        times.append(record.capture_timestamp_ns * 1e-9)
        pose = provider.get_hand_pose_data_by_time_ns(
            streams["handtracking"], record.capture_timestamp_ns, TimeDomain.DEVICE_TIME, TimeQueryOptions.CLOSEST
        )
        for side in SIDES:
            hand = pose.left_hand if side == "left" else pose.right_hand
            points = np.full((21, 3), np.nan) if hand is None else np.array(hand.landmark_positions_device)
            hands[side].append(apply(T_cam_device, points)[list(_DEVICE)])
    K_px = np.array([[_FOCAL_PX, 0, (_WIDTH_PX - 1) / 2], [0, _FOCAL_PX, (_HEIGHT_PX - 1) / 2], [0, 0, 1]])
    return DeviceRecording(images, np.array(times), K_px, {side: np.array(hands[side]) for side in SIDES})


def _is_in_view(joints_cam: np.ndarray, K_px: np.ndarray) -> np.ndarray:
    """(time,) True where every joint is in front of the camera and in the picture."""
    uv = project(K_px, joints_cam)
    inside = (uv >= 0) & (uv <= [_WIDTH_PX - 1, _HEIGHT_PX - 1])
    return inside.all(axis=(1, 2))


def _median(name: str, parts: list[np.ndarray], factor: float, unit: str) -> Figure:
    values = np.concatenate(parts) * factor
    if len(values) == 0:
        return Figure(name, float("nan"), unit, 0)
    s = summarise(values, np.arange(len(values)))
    return Figure(name, s.median, unit, s.n, s.ci95)
