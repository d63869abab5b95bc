"""A clip of the synthetic world with everything known, and how it is kept on disk.

On disk: `<video_name>` (the pictures), `truth.npz` (arrays) and `truth.json` (the rest). Frames:
`table` = origin on the table top at the middle of the near edge, x right, y away from the person, z up;
`world` = camera of the first frame (as in `contracts.CameraTrack`), so that reconstructions compare directly;
`T_table_world` leads from one to the other. All lengths in metres.
"""

import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Int8

from vitra_lib.contracts import CameraTrack, Caption, HandTrack, Reconstruction, Segment
from vitra_lib.contracts.hand_track import SIDES, Side
from vitra_lib.core.errors import BadInput
from vitra_lib.geometry.transforms import invert
from vitra_lib.tabletop.config import ClipConfig

if TYPE_CHECKING:
    from vitra_lib.tabletop.render import Rendered

FORMAT = 1
_HAND_ARRAYS = (
    "R_cam_wrist",
    "t_cam_wrist",
    "R_parent_joint",
    "betas",
    "joints_cam",
    "is_valid",
    "is_observed",
    "confidence",
)


@dataclass(frozen=True)
class HandTruth:
    """One hand that is in the scene, whether the camera sees it or not.

    Attributes:
        side: "left" or "right".
        T_table_wrist: (time, 4, 4) maps points in the wrist to the table.
        R_parent_joint: (time, 15, 3, 3) finger rotations, right-hand convention, MANO's order.
        R_wrist_forearm: (time, 3, 3) forearm against the straight arm, right-hand convention.
        betas: (10,) shape of the stand-in hand.
    """

    side: Side
    T_table_wrist: Float[np.ndarray, "time 4 4"]
    R_parent_joint: Float[np.ndarray, "time 15 3 3"]
    R_wrist_forearm: Float[np.ndarray, "time 3 3"]
    betas: Float[np.ndarray, "10"]


@dataclass(frozen=True)
class ObjectTracks:
    """All objects of a clip, those for hands first, then clutter.

    Attributes:
        names: "red mug"…; unique.
        categories, instances, colours: noun, model and colour name of each.
        owners: hand that may use it: "left", "right", or "" for clutter.
        T_table_object: (time, objects, 4, 4) maps points in the object (origin at the centre of its base, z up)
            to the table.
        held_by: (time, objects) -1 = at rest, 0 = with the left hand, 1 = with the right hand.
    """

    names: tuple[str, ...]
    categories: tuple[str, ...]
    instances: tuple[str, ...]
    colours: tuple[str, ...]
    owners: tuple[str, ...]
    T_table_object: Float[np.ndarray, "time objects 4 4"]
    held_by: Int8[np.ndarray, "time objects"]


@dataclass(frozen=True)
class TabletopClip:
    """One clip: what was asked for and what is true.

    Attributes:
        config: what was asked for.
        truth: camera and hands; every later stage can run on it as on a reconstruction.
            `is_valid` = the wrist is in front of the camera and at least 60 % of the joints are in the image.
        segments: true atomic actions of each hand; per hand they cover the clip without gaps.
        captions: one per segment, source "truth"; N/A where nothing is said (idle, withdrawing).
        skills: name of the skill of each segment ("reach", "lift", "pour", "idle"…).
        objects: names and poses of all objects.
        hands: the hands that are in the scene (left first).
        T_table_world: (4, 4) maps points in the world (camera of frame 0) to the table.
    """

    config: ClipConfig
    truth: Reconstruction
    segments: tuple[Segment, ...]
    captions: tuple[Caption, ...]
    skills: tuple[str, ...]
    objects: ObjectTracks
    hands: tuple[HandTruth, ...]
    T_table_world: Float[np.ndarray, "4 4"]

    def __len__(self) -> int:
        return len(self.truth)

    @property
    def T_table_cam(self) -> Float[np.ndarray, "time 4 4"]:
        """(time, 4, 4) maps points in the camera of each frame to the table."""
        return self.T_table_world @ self.truth.camera.T_world_cam

    @property
    def T_world_object(self) -> Float[np.ndarray, "time objects 4 4"]:
        """(time, objects, 4, 4) maps points in each object to the world."""
        return invert(self.T_table_world) @ self.objects.T_table_object

    @property
    def is_present(self) -> Bool[np.ndarray, "time hand"]:
        """(time, hand) True where a hand (left, right) is in the scene, seen or not."""
        return np.tile([any(h.side == side for h in self.hands) for side in SIDES], (len(self), 1))

    def render_frame(self, index: int) -> "Rendered":
        """Draw one frame: picture, depth [m] and instance ids (`staging.instance_ids` says whose they are)."""
        from vitra_lib.tabletop.staging import Stage

        return Stage.of(self).render(index)

    def save(self, folder: Path) -> None:
        """Write truth.npz and truth.json into an existing folder (the video is written by `render_clip`)."""
        _write(folder / "truth.npz", lambda path: _save_arrays(path, self))
        _write(
            folder / "truth.json", lambda path: path.write_text(json.dumps(_as_json(self), indent=1) + "\n", "utf-8")
        )

    @classmethod
    def load(cls, folder: Path) -> "TabletopClip":
        """Read what `save` wrote.

        Raises:
            BadInput: the folder holds no clip, or one of another format.
        """
        folder = Path(folder)
        try:
            meta = json.loads((folder / "truth.json").read_text("utf-8"))
            with np.load(folder / "truth.npz", allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
        except (OSError, ValueError) as error:
            raise BadInput(
                f"{folder} holds no clip of the synthetic world (truth.json and truth.npz): {error}."
            ) from error
        if meta["format"] != FORMAT:
            raise BadInput(f"{folder} was written in format {meta['format']}; this version reads format {FORMAT}.")
        return _from_parts(meta, arrays)


def _write(path: Path, write) -> None:
    """Write under a temporary name, then rename; nothing half-written is left."""
    part = path.with_name(f".{path.name}.part")
    try:
        write(part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _save_arrays(path: Path, clip: TabletopClip) -> None:
    truth = clip.truth
    arrays: dict[str, np.ndarray] = {
        "time_s": truth.time_s,
        "source_frame": truth.source_frame,
        "K_px": truth.camera.K_px,
        "T_world_cam": truth.camera.T_world_cam,
        "T_table_world": clip.T_table_world,
        "T_table_object": clip.objects.T_table_object,
        "held_by": clip.objects.held_by,
    }
    for side in SIDES:
        arrays |= {f"{side}.{name}": getattr(truth.hand(side), name) for name in _HAND_ARRAYS}
    for hand in clip.hands:
        arrays[f"{hand.side}.T_table_wrist"] = hand.T_table_wrist
        arrays[f"{hand.side}.R_wrist_forearm"] = hand.R_wrist_forearm
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)


def _as_json(clip: TabletopClip) -> dict[str, object]:
    camera, objects = clip.truth.camera, clip.objects
    return {
        "format": FORMAT,
        "video_name": clip.truth.video_name,
        "video_sha256": clip.truth.video_sha256,
        "config": clip.config.as_dict(),
        "camera": {"width_px": camera.width_px, "height_px": camera.height_px, "is_static": camera.is_static},
        "hand_model": clip.truth.right.hand_model,
        "objects": {k: list(getattr(objects, k)) for k in ("names", "categories", "instances", "colours", "owners")},
        "actions": [
            {"skill": skill, "text": c.text, **asdict(c.segment)}
            for skill, c in zip(clip.skills, clip.captions, strict=True)
        ],
    }


def _from_parts(meta: dict, arrays: dict[str, np.ndarray]) -> TabletopClip:
    config = ClipConfig.from_dict(meta["config"])
    time = len(arrays["time_s"])
    camera = CameraTrack(
        K_px=arrays["K_px"],
        width_px=meta["camera"]["width_px"],
        height_px=meta["camera"]["height_px"],
        T_world_cam=arrays["T_world_cam"],
        is_valid=np.ones(time, bool),
        is_static=meta["camera"]["is_static"],
        intrinsics_source="truth",
        scale_source="truth",
        scale_rel_std=0.0,
        method="truth",
    )
    tracks = {
        side: HandTrack(side=side, hand_model=meta["hand_model"], **{n: arrays[f"{side}.{n}"] for n in _HAND_ARRAYS})
        for side in SIDES
    }
    truth = Reconstruction(
        meta["video_name"], meta["video_sha256"], config.fps, arrays["source_frame"], arrays["time_s"], camera, **tracks
    )
    captions = []
    for action in meta["actions"]:
        segment = Segment(**{k: v for k, v in action.items() if k not in ("skill", "text")})
        captions.append(Caption(segment, action["text"], not action["text"], "truth", False))
    hands = tuple(
        HandTruth(
            side,
            arrays[f"{side}.T_table_wrist"],
            tracks[side].R_parent_joint,
            arrays[f"{side}.R_wrist_forearm"],
            tracks[side].betas,
        )
        for side in SIDES
        if f"{side}.T_table_wrist" in arrays
    )
    names = {k: tuple(v) for k, v in meta["objects"].items()}
    return TabletopClip(
        config=config,
        truth=truth,
        segments=tuple(c.segment for c in captions),
        captions=tuple(captions),
        skills=tuple(a["skill"] for a in meta["actions"]),
        objects=ObjectTracks(**names, T_table_object=arrays["T_table_object"], held_by=arrays["held_by"]),
        hands=hands,
        T_table_world=arrays["T_table_world"],
    )


def with_video(clip: TabletopClip, name: str, sha256: str) -> TabletopClip:
    """The clip, knowing the name and digest of its video file."""
    return replace(clip, truth=replace(clip.truth, video_name=name, video_sha256=sha256))
