"""Which estimators can fill each role of the pipeline: the embedded ones, and readers of what other tools wrote."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Literal

from vitra_lib.core.errors import BadInput, UnknownName

Role = Literal["hands", "camera", "intrinsics", "depth"]


@dataclass(frozen=True)
class Backend:
    """One way to fill a role.

    Attributes:
        name: how a user names it.
        role: what it estimates.
        what: one sentence; for files: what to give.
        input: "none" (embedded), "file" (a file or folder of a tool; needed) or "model" (a folder of weights; needed).
        reader: "module:function" of this room that reads its file; "" for embedded ones.
        card: name of its asset card, or "".
    """

    name: str
    role: Role
    what: str
    input: Literal["none", "file", "model"] = "none"
    reader: str = ""
    card: str = ""

    def load(self) -> Callable:
        """The reader's function; its module is imported now."""
        module, function = self.reader.split(":")
        return getattr(import_module(f"vitra_lib.reconstruction.backends.{module}"), function)


BACKENDS: tuple[Backend, ...] = (
    Backend("mediapipe", "hands", "Landmarks on the CPU, the learned lifter and one fit per hand.", card="mediapipe"),
    Backend("hawor", "hands", "Folder of a HaWoR run, or world_space_res.pth.", "file", "hawor:read_hands", "hawor"),
    Backend("wilor", "hands", "Folder with one file of WiLoR per frame.", "file", "hamer:read_wilor", "wilor"),
    Backend("hamer", "hands", "Folder with one file of HaMeR per frame.", "file", "hamer:read_hamer", "hamer"),
    Backend("klt", "camera", "Static test, then structure from motion with the hands masked."),
    Backend("static", "camera", "The user asserts that the camera stands still."),
    Backend("megasam", "camera", "NAME_sgd_cvd_hr.npz or NAME_droid.npz.", "file", "megasam:read_camera", "megasam"),
    Backend("vipe", "camera", "pose/NAME.npz of a ViPE run.", "file", "vipe:read_camera", "vipe"),
    Backend("droid", "camera", "Folder reconstructions/NAME of DROID-SLAM.", "file", "droid:read_camera", "droid_slam"),
    Backend("tum", "camera", "Trajectory in TUM format: time tx ty tz qx qy qz qw.", "file", "droid:read_tum"),
    Backend("tum-metric", "camera", "The same in metres (stereo, inertial).", "file", "droid:read_tum_metric"),
    Backend("colmap", "camera", "Folder with cameras.txt and images.txt.", "file", "colmap:read_camera"),
    Backend("hawor", "camera", "Folder of a HaWoR run (its scaled SLAM path).", "file", "hawor:read_camera", "hawor"),
    Backend("self", "intrinsics", "Self-calibration where the motion allows it, else an egocentric prior."),
    Backend("file", "intrinsics", "JSON, .npy, Ego4D .npy or Aria .json.", "file", "intrinsics:read_lens"),
    Backend("droidcalib", "intrinsics", "DroidCalib's output.", "file", "calibrators:read_droidcalib", "droidcalib"),
    Backend("anycalib", "intrinsics", "Saved prediction of AnyCalib.", "file", "calibrators:read_anycalib", "anycalib"),
    Backend("moge", "intrinsics", "Output of MoGe-2.", "file", "moge:read_lens", "moge2"),
    Backend("none", "depth", "No depth: the metre comes from the hands."),
    Backend("moge", "depth", "Output of MoGe-2, per frame or of all.", "file", "moge:depth_source", "moge2"),
    Backend("depth-pro", "depth", "Folder of Depth Pro.", "model", "monocular:depth_pro", "depth_pro"),
    Backend(
        "depth-anything", "depth", "Folder of a metric Depth Anything.", "model", "monocular:depth_anything",
        "depth_anything",
    ),
)  # fmt: skip


def names(role: Role) -> tuple[str, ...]:
    """Names that can fill a role."""
    return tuple(backend.name for backend in BACKENDS if backend.role == role)


def backend(role: Role, name: str) -> Backend:
    """The backend of a role by its name.

    Raises:
        UnknownName: no such backend; the message lists the legal ones.
    """
    for found in BACKENDS:
        if found.role == role and found.name == name:
            return found
    raise UnknownName("hand backend" if role == "hands" else f"{role} backend", name, names(role))


def parse(role: Role, text: str) -> tuple[str, Path | None]:
    """`NAME` or `NAME=FILE` of the command line; for intrinsics a bare FILE means `file=FILE`.

    Raises:
        UnknownName: no such backend.
        BadInput: a file is missing, or given to a backend that reads none.
    """
    name, _, file = text.partition("=")
    if role == "intrinsics" and name not in names(role):
        name, file = "file", text
    path = Path(file).expanduser() if file else None
    check(role, name, path)
    return name, path


def check(role: Role, name: str, path: Path | None) -> None:
    """Whether a backend has the file it needs.

    Raises:
        UnknownName: no such backend.
        BadInput: a file is missing, or given to a backend that reads none.
    """
    found = backend(role, name)
    if found.input == "none" and path is not None:
        raise BadInput(f"The {role} backend {name!r} reads no file: drop {str(path)!r}.")
    if found.input != "none" and path is None:
        hint = f" `vitra assets explain {found.card}` says where it comes from." if found.card else ""
        raise BadInput(f"The {role} backend {name!r} needs a file, as in {name}=PATH. {found.what}{hint}")
