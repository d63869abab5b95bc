"""Reading and writing the layout of VITRA-TeleData: annotation/{name}.h5 and videos/{name}.mp4 (robot spec, 7.3).

Only plain data sets of the file itself are read: a link to another place or file is refused, and sizes are checked
before anything is loaded.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from robot.teleop.episode import ARM_JOINTS, HAND_JOINTS, TeleArm, TeleEpisode
from vitra_lib.contracts.hand_track import SIDES, Side
from vitra_lib.core.errors import BadInput, MissingAsset
from vitra_lib.core.files import atomic_path

if TYPE_CHECKING:
    import h5py

MAX_FRAMES = 1_000_000
"""More frames than this in one episode (nine hours at 30 per second) are taken for a broken file."""

# Field of `TeleArm` -> path in the file, and numbers per frame (None: a 4x4 transform of the whole episode).
_FIELDS: dict[str, tuple[str, int | None]] = {
    "T_flange_mount": ("kinematics/{side}_ee_urdf_to_hand_mount", None),
    "T_base_cam": ("kinematics/head_camera_to_{side}_arm_base", None),
    "arm_rad": ("state/{side}_arm_joint", ARM_JOINTS),
    "hand_rad": ("state/{side}_hand_joint", HAND_JOINTS),
    "mount_in_base": ("state/{side}_hand_mount_pose", 6),
    "mount_in_cam": ("state/{side}_hand_mount_pose_in_cam", 6),
    "arm_command_rad": ("action/{side}_arm_joint", ARM_JOINTS),
    "hand_command_rad": ("action/{side}_hand_joint", HAND_JOINTS),
}
_MASKS = {"arm_is_valid": "mask/{side}_arm", "hand_is_valid": "mask/{side}_hand"}


@dataclass(frozen=True)
class TeleData:
    """A folder of episodes.

    Attributes:
        root: the folder with `annotation` and `videos`.
        names: episodes, sorted.
    """

    root: Path
    names: tuple[str, ...]

    @classmethod
    def open(cls, root: str | Path) -> "TeleData":
        """List the episodes of a folder.

        Raises:
            BadInput: there are none.
        """
        root = Path(root)
        names = tuple(sorted(path.stem for path in (root / "annotation").glob("*.h5")))
        if not names:
            raise BadInput(f"{root} has no annotation/*.h5: give the folder that holds annotation/ and videos/.")
        return cls(root, names)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, number: int) -> TeleEpisode:
        return read_tele(self.root / "annotation" / f"{self.names[number]}.h5")

    def __iter__(self) -> Iterator[TeleEpisode]:
        return (self[number] for number in range(len(self)))

    def video(self, name: str) -> Path:
        """The video of an episode; it need not exist."""
        return self.root / "videos" / f"{name}.mp4"


def read_tele(path: str | Path) -> TeleEpisode:
    """Read one annotation file.

    Raises:
        BadInput: it isn't there, isn't HDF5, lacks a data set, or one has another shape.
        MissingAsset: h5py is not installed.
    """
    path = Path(path)
    try:
        with _h5py().File(path, "r") as file:
            frames = int(_scalar(file, "meta/frame_count"))
            if not 0 < frames <= MAX_FRAMES:
                raise BadInput(f"{path.name}: meta/frame_count is {frames}; legal is 1 to {MAX_FRAMES}.")
            return TeleEpisode(
                name=path.stem,
                instruction=_text(file, "meta/instruction"),
                video_path=_text(file, "meta/video_path"),
                fps=float(_scalar(file, "meta/fps")),
                K_px=_array(file, "observation/camera/intrinsics", (3, 3)),
                has_left=bool(_scalar(file, "meta/has_left")),
                has_right=bool(_scalar(file, "meta/has_right")),
                left=_read_arm(file, "left", frames),
                right=_read_arm(file, "right", frames),
            )
    except OSError as error:
        raise BadInput(f"{path} can't be read as an HDF5 file ({' '.join(str(error).split())[:120]}).") from error
    except (ValueError, KeyError, RuntimeError) as error:
        raise BadInput(f"{path.name} is not a TeleData episode: {' '.join(str(error).split())[:120]}.") from error


def write_tele(
    root: str | Path, episode: TeleEpisode, images: Iterable[UInt8[np.ndarray, "height width 3"]] | None = None
) -> Path:
    """Write one episode: the annotation, whole or not at all, after its video.

    Args:
        root: the folder that gets `annotation` and `videos`.
        episode: what to write; `video_path` is written as it is.
        images: one RGB image per frame; None writes no video.

    Returns:
        The annotation file.

    Raises:
        BadInput: another number of images than frames, or a name that can't be a file name.
        WriteFailed: no permission, or the disk is full.
        MissingAsset: h5py is not installed.
    """
    if not episode.name or "/" in episode.name or "\\" in episode.name or episode.name.startswith("."):
        raise BadInput(f"{episode.name!r} can't be the name of an episode's files.")
    root, h5py = Path(root), _h5py()
    if images is not None:
        _write_video(root / "videos" / f"{episode.name}.mp4", episode, images)
    path = root / "annotation" / f"{episode.name}.h5"
    with atomic_path(path) as part, h5py.File(part, "w", libver=("earliest", "v110")) as file:
        text = h5py.string_dtype("utf-8")
        for name in ("instruction", "video_path"):
            file.create_dataset(f"meta/{name}", data=getattr(episode, name), dtype=text)
        file["meta/frame_count"] = len(episode)
        file["meta/fps"] = float(episode.fps)
        for side in SIDES:
            file[f"meta/has_{side}"] = np.bool_(episode.has(side))
            for field, (place, _) in _FIELDS.items():
                file[place.format(side=side)] = np.asarray(getattr(episode.arm(side), field), np.float64)
            for field, place in _MASKS.items():
                file[place.format(side=side)] = getattr(episode.arm(side), field)
        file["observation/camera/intrinsics"] = np.asarray(episode.K_px, np.float64)
    return path


def _write_video(path: Path, episode: TeleEpisode, images: Iterable[np.ndarray]) -> None:
    from vitra_lib.video import VideoWriter

    source, count = iter(images), 1
    first = next(source, None)
    if first is None:
        raise BadInput(f"Episode {episode.name} has {len(episode)} frames, but no image was given.")
    with VideoWriter(path, episode.fps, first.shape[1], first.shape[0]) as video:
        video.write(first)
        for image in source:
            video.write(image)
            count += 1
        if count != len(episode):
            raise BadInput(f"Episode {episode.name} has {len(episode)} frames, but {count} images were given.")


def _h5py():  # noqa: ANN202 - the module, imported where it is needed
    try:
        import h5py
    except ImportError as error:
        raise MissingAsset("TeleData is stored as HDF5, which needs the package h5py: pip install h5py.") from error
    return h5py


def _read_arm(file: "h5py.File", side: Side, frames: int) -> TeleArm:
    values = {
        field: _array(file, place.format(side=side), (4, 4) if size is None else (frames, size))
        for field, (place, size) in _FIELDS.items()
    }
    for field, place in _MASKS.items():
        mask = _array(file, place.format(side=side), (frames,))
        if not np.isin(mask, (0.0, 1.0)).all():
            raise BadInput(f"{place.format(side=side)} holds values other than true and false.")
        values[field] = mask.astype(bool)
    return TeleArm(**values)


def _dataset(file: "h5py.File", place: str) -> "h5py.Dataset":
    """A data set of this file itself."""
    h5py = _h5py()
    node = file
    for part in place.split("/"):
        if not isinstance(node, h5py.Group) or part not in node:
            raise BadInput(f"{Path(file.filename).name} has no {place}; it is not a whole TeleData episode.")
        if not isinstance(node.get(part, getlink=True), h5py.HardLink):
            raise BadInput(f"{Path(file.filename).name}: {place} is a link to another place; only plain data is read.")
        node = node[part]
    if not isinstance(node, h5py.Dataset) or node.external or node.is_virtual:
        raise BadInput(f"{Path(file.filename).name}: {place} is not a plain data set of this file.")
    return node


def _array(file: "h5py.File", place: str, shape: tuple[int, ...]) -> np.ndarray:
    data = _dataset(file, place)
    if data.shape != shape or data.dtype.kind not in "fiub":
        raise BadInput(
            f"{Path(file.filename).name}: {place} has shape {data.shape} of {data.dtype}; needed is {shape} of numbers."
        )
    return data[()].astype(np.float64)


def _scalar(file: "h5py.File", place: str) -> float:
    data = _dataset(file, place)
    if data.size != 1 or data.dtype.kind not in "fiub":
        raise BadInput(f"{Path(file.filename).name}: {place} is not one number.")
    return float(np.asarray(data[()]).ravel()[0])


def _text(file: "h5py.File", place: str) -> str:
    data = _dataset(file, place)
    if data.size != 1 or data.dtype.kind not in "OS":
        raise BadInput(f"{Path(file.filename).name}: {place} is not one text.")
    value = data[()] if data.shape == () else data[:].ravel()[0]
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)
