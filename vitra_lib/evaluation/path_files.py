"""Camera paths as other tools write them: TUM (text), KITTI (text) and EuRoC (csv).

All three hold poses that map points in the moving frame to the world: `T_world_cam`.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from vitra_lib.core.errors import BadInput
from vitra_lib.geometry.rotations import nearest_rotation
from vitra_lib.geometry.transforms import make

_FORMATS = (
    "legal are TUM (time x y z qx qy qz qw), KITTI (12 numbers: the upper 3 x 4 of the pose) "
    "and EuRoC csv (time in ns, x, y, z, qw, qx, qy, qz, …)"
)
_ROTATION_TOLERANCE = 1e-3


@dataclass(frozen=True)
class PathFile:
    """A camera path read from a file.

    Attributes:
        T_world_cam: (time, 4, 4) maps points in the camera to the world; the file's unit of length.
        time_s: (time,) times on the file's clock [s], never going back; the frame number in KITTI files, which have
            no clock.
        has_clock: False where the times are only frame numbers.
        layout: "tum", "kitti" or "euroc".
    """

    T_world_cam: Float[np.ndarray, "time 4 4"]
    time_s: Float[np.ndarray, " time"]
    has_clock: bool
    layout: str


def read_path_file(path: str | Path) -> PathFile:
    """Read a camera path; the layout is told by the number of columns.

    Raises:
        BadInput: no such file, another layout, a number that is not finite, times that go back, or a rotation
            that is none.
    """
    path = Path(path)
    rows = _rows(path)
    layout = {8: "tum", 12: "kitti"}.get(rows.shape[1], "") if path.suffix != ".csv" else "euroc"
    if not layout or (layout == "euroc" and rows.shape[1] < 8):
        raise BadInput(f"{path.name} has {rows.shape[1]} columns, so it is no camera path: {_FORMATS}.")
    used = rows[:, :8] if layout == "euroc" else rows
    if not np.isfinite(used).all():
        row = int(np.flatnonzero(~np.isfinite(used).all(axis=1))[0])
        raise BadInput(f"{path.name} holds a number that is not finite in pose {row}: remove that pose from the file.")
    if layout == "kitti":
        pose = rows.reshape(-1, 3, 4)
        T = make(_rotations(pose[:, :, :3], path), pose[:, :, 3])
        return PathFile(T, np.arange(len(pose)) * 1.0, False, layout)
    # EuRoC stores nanoseconds since 1970, whose digits a float keeps to about a quarter of a microsecond.
    times = rows[:, 0] * (1e-9 if layout == "euroc" else 1.0)
    quaternion = rows[:, [5, 6, 7, 4]] if layout == "euroc" else rows[:, 4:8]
    if (np.linalg.norm(quaternion, axis=1) < 0.5).any():
        raise BadInput(f"{path.name} holds a quaternion that is no rotation: {_FORMATS}.")
    if (np.diff(times) < 0).any():  # a time written twice is common, and harmless
        row = int(np.flatnonzero(np.diff(times) < 0)[0]) + 1
        raise BadInput(f"The times in {path.name} go back at pose {row}: sort the file by time.")
    return PathFile(make(Rotation.from_quat(quaternion).as_matrix(), rows[:, 1:4]), times, True, layout)


def _rows(path: Path) -> np.ndarray:
    if not path.is_file():
        raise BadInput(f"There is no file {path}.")
    try:
        rows = np.loadtxt(path, delimiter="," if path.suffix == ".csv" else None, ndmin=2)
    except (ValueError, UnicodeDecodeError) as error:
        raise BadInput(f"{path.name} is no table of numbers: {_FORMATS}.") from error
    if len(rows) == 0:
        raise BadInput(f"{path.name} holds no pose: {_FORMATS}.")
    return rows


def _rotations(R: np.ndarray, path: Path) -> np.ndarray:
    """Rotations as written, made exactly orthonormal; written with six digits they are only nearly so."""
    clean = nearest_rotation(R)
    worst = np.abs(clean - R).max(axis=(1, 2))
    if worst.max() > _ROTATION_TOLERANCE:
        raise BadInput(f"Pose {int(worst.argmax())} of {path.name} holds a matrix that is no rotation: {_FORMATS}.")
    return clean
