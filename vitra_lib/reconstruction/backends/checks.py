"""What every file of another tool must pass before its numbers are believed; each refusal is one sentence."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from vitra_lib.core.errors import BadInput
from vitra_lib.geometry.rotations import nearest_rotation

_LARGEST_TEXT = 64 << 20
_ORTHONORMAL = 2e-2
"""Files in half precision are off by 1e-3; a wrong layout, a transposed or scaled matrix is off by 0.1 and more."""


def is_file(path: Path, tool: str) -> Path:
    """The path, if a file is there.

    Raises:
        BadInput: there is none.
    """
    if not path.is_file():
        raise BadInput(f"There is no file {path}: give the file that {tool} wrote.")
    return path


def read_arrays(path: Path, tool: str, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Named arrays of an `.npz`; only these are read, and no pickle is.

    Raises:
        BadInput: no such file, no `.npz`, or an array is missing.
    """
    is_file(path, tool)
    try:
        with np.load(path, allow_pickle=False) as archive:
            missing = [name for name in names if name not in archive.files]
            if missing:
                raise BadInput(
                    f"{path.name} isn't what {tool} writes: it lacks {', '.join(missing)} (it holds "
                    f"{', '.join(sorted(archive.files)[:12]) or 'nothing'})."
                )
            return {name: archive[name] for name in names}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, AttributeError) as error:
        raise BadInput(f"{path.name} isn't a whole .npz file of {tool} ({error}).") from error


def array_names(path: Path, tool: str) -> tuple[str, ...]:
    """Names in an `.npz`."""
    is_file(path, tool)
    try:
        with zipfile.ZipFile(path) as archive:
            return tuple(name.removesuffix(".npy") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile) as error:
        raise BadInput(f"{path.name} isn't a whole .npz file of {tool} ({error}).") from error


def read_array(path: Path, tool: str) -> np.ndarray:
    """A `.npy` file without objects.

    Raises:
        BadInput: no such file, or damaged.
    """
    is_file(path, tool)
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise BadInput(f"{path.name} isn't a whole .npy file of {tool} ({error}).") from error


def read_text(path: Path, tool: str) -> str:
    """A text file of sane size.

    Raises:
        BadInput: no such file, too large, or not text.
    """
    is_file(path, tool)
    if path.stat().st_size > _LARGEST_TEXT:
        raise BadInput(f"{path.name} is larger than 64 MiB: it isn't a text file of {tool}.")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path.name} isn't a text file of {tool} ({error}).") from error


def read_json(path: Path, tool: str) -> Any:
    """A JSON file.

    Raises:
        BadInput: no such file, or no JSON.
    """
    try:
        return json.loads(read_text(path, tool))
    except ValueError as error:
        raise BadInput(f"{path.name} isn't a JSON file of {tool} ({error}).") from error


def shaped(array: Any, shape: tuple[int | None, ...], what: str) -> Float[np.ndarray, "..."]:
    """Finite float64 numbers of a shape; None stands for any length.

    Raises:
        BadInput: another shape, or NaN or infinity in it.
    """
    try:
        array = np.asarray(array, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise BadInput(f"{what} isn't an array of numbers ({error}).") from error
    fits = array.ndim == len(shape) and all(n in (None, m) for n, m in zip(shape, array.shape, strict=True))
    if not fits:
        wanted = ", ".join("any" if n is None else str(n) for n in shape)
        raise BadInput(f"{what} has shape {array.shape}, but ({wanted}) is needed.")
    if not np.isfinite(array).all():
        bad = np.argwhere(~np.isfinite(array))[0]
        raise BadInput(f"{what} holds NaN or infinity, first in row {int(bad[0]) if len(bad) else 0}.")
    return array


def rotations(R: Float[np.ndarray, "*batch 3 3"], what: str) -> Float[np.ndarray, "*batch 3 3"]:
    """Rotations, cleaned of rounding.

    Raises:
        BadInput: a matrix is not orthonormal, or a mirror.
    """
    off = np.abs(np.swapaxes(R, -1, -2) @ R - np.eye(3)).max(axis=(-1, -2))
    det = np.linalg.det(R)
    bad = (off > _ORTHONORMAL) | (det < 0)
    if bad.any():
        i = int(np.flatnonzero(bad.reshape(-1))[0])
        kind = "a reflection" if det.reshape(-1)[i] < 0 else f"no rotation (off by {off.reshape(-1)[i]:.2g})"
        raise BadInput(f"{what}: the matrix of row {i} is {kind}; is the file of another convention?")
    return nearest_rotation(R)


def poses(T: Any, what: str) -> Float[np.ndarray, "n 4 4"]:
    """Rigid 4x4 transforms.

    Raises:
        BadInput: another shape, NaN, or a part that is no rotation.
    """
    T = shaped(T, (None, 4, 4), what).copy()
    if np.abs(T[:, 3] - np.array([0, 0, 0, 1.0])).max(initial=0.0) > 1e-6:
        raise BadInput(f"{what}: the last row of a pose isn't (0, 0, 0, 1).")
    T[:, :3, :3] = rotations(T[:, :3, :3], what)
    return T


def quaternions(q_xyzw: Any, what: str) -> Float[np.ndarray, "n 3 3"]:
    """Rotations from unit quaternions (x, y, z, w).

    Raises:
        BadInput: NaN, or a length other than 1.
    """
    from scipy.spatial.transform import Rotation

    q = shaped(q_xyzw, (None, 4), what)
    length = np.linalg.norm(q, axis=1)
    if (np.abs(length - 1) > 0.01).any():
        i = int(np.argmax(np.abs(length - 1)))
        raise BadInput(f"{what}: the quaternion of row {i} has length {length[i]:.3g}, not 1.")
    return Rotation.from_quat(q).as_matrix()


def frame_count_agrees(count: int, frame_count: int, path: Path, tool: str) -> None:
    """Refuse results of another video.

    Raises:
        BadInput: the counts differ.
    """
    if count != frame_count:
        raise BadInput(
            f"{path.name} of {tool} covers {count} frames, the video has {frame_count}: run {tool} on exactly this "
            "video, with every frame."
        )


def frame_number(name: str) -> int | None:
    """The last run of digits in a file's name, which tools use for the frame; None where there is none."""
    digits = ""
    for c in reversed(Path(name).stem):
        if c.isdigit():
            digits = c + digits
        elif digits:
            break
    return int(digits) if digits else None
