"""Where the thing is that a hand will take next, exact, out of the truth of the synthetic world."""

import functools
import json
from pathlib import Path

import numpy as np
import trimesh
from jaxtyping import Float

from vitra_lib.contracts.hand_track import SIDES, Side
from vitra_lib.core.errors import BadInput
from vitra_lib.episodes.episode import Episode
from vitra_lib.geometry.transforms import apply, invert
from vitra_lib.pipeline.world_episodes import EpisodeTruth, episode_truth
from vitra_lib.tabletop.catalog import Instance
from vitra_lib.tabletop.clip import TabletopClip
from vitra_lib.tabletop.layout import sample_scene
from vitra_lib.tabletop.meshes import object_mesh

_KEPT_CLIPS = 64
_PLANNED: dict[tuple, EpisodeTruth | None] = {}
_POINTS = 4000  # two neighbours on a mug are then some 3 mm apart


class WorldObjects:
    """Finds the clips that episodes were cut from: by what an episode says of itself, or among rendered ones."""

    def __init__(self, folder: Path | None = None) -> None:
        """Look for rendered clips; none is read yet.

        Args:
            folder: holds one folder per clip, as `vitra tabletop` makes them; None = only episodes that know theirs.

        Raises:
            BadInput: there is no clip in the folder.
        """
        self._folders: dict[str, Path] = {}
        for path in sorted(folder.glob("*/truth.json")) if folder is not None else ():
            digest = json.loads(path.read_text(encoding="utf-8")).get("video_sha256", "")
            self._folders |= {path.parent.name: path.parent} | ({digest: path.parent} if digest else {})
        if folder is not None and not self._folders:
            raise BadInput(f"{folder} holds no rendered clips: make some with `vitra tabletop`.")

    def points_cam(self, episode: Episode, frame: int, side: Side) -> Float[np.ndarray, "n 3"] | None:
        """Surface of the object that a hand takes next in an episode, in the camera of a frame [m].

        Args:
            episode: cut from a clip.
            frame: episode frame.
            side: whose object.

        Returns:
            Points on the surface; None where the hand already holds something, takes nothing until the episode's end,
            or the episode is of another video.
        """
        planned = _planned(episode)
        if planned is not None:
            clip, start, named = planned.clip, planned.start, planned.target
            now, end = start + frame, start + len(episode) - 1
        else:
            digest = episode.provenance.get("video_sha256", "")
            folder = self._folders.get(digest or episode.video_name) or self._folders.get(episode.video_name)
            if folder is None:
                return None
            clip, named = _clip(folder), -1
            now, end = int(episode.source_frame[frame]), int(episode.source_frame[-1])
        thing = next_object(clip, now, end, side)
        if thing is None and named >= 0 and side == episode.primary_hand and not _holds(clip, now, side):
            thing = named  # the hand reaches it with the episode's last frame, or only touches it
        if thing is None:
            return None
        T_cam_object = invert(clip.T_table_cam[now]) @ clip.objects.T_table_object[now, thing]
        return apply(T_cam_object, surface_points(sample_scene(clip.config).things[thing].instance))


def next_object(clip: TabletopClip, now: int, end: int, side: Side) -> int | None:
    """Number of the object that a hand will hold next in frames (now, end]; None if it holds one now, or takes none."""
    if _holds(clip, now, side):
        return None
    later = (clip.objects.held_by == SIDES.index(side))[now + 1 : end + 1]
    frames = np.flatnonzero(later.any(1))
    return int(np.argmax(later[frames[0]])) if len(frames) else None


@functools.lru_cache(maxsize=64)
def surface_points(instance: Instance) -> Float[np.ndarray, "n 3"]:
    """Points spread evenly over an object's surface, and its corners, in the object's own frame [m]."""
    mesh = object_mesh(instance)
    surface = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    spread, _ = trimesh.sample.sample_surface(surface, _POINTS, seed=0)
    return np.concatenate([np.asarray(spread), mesh.vertices])


def _holds(clip: TabletopClip, now: int, side: Side) -> bool:
    return bool((clip.objects.held_by[now] == SIDES.index(side)).any())


def _planned(episode: Episode) -> EpisodeTruth | None:
    """The clip of an episode that says which one it is, planned again; None for any other."""
    key = (episode.name, tuple(sorted(episode.provenance.items())))
    if key not in _PLANNED:
        if len(_PLANNED) >= _KEPT_CLIPS:
            _PLANNED.clear()
        try:
            _PLANNED[key] = episode_truth(episode)
        except BadInput:
            _PLANNED[key] = None
    return _PLANNED[key]


@functools.lru_cache(maxsize=4)
def _clip(folder: Path) -> TabletopClip:
    return TabletopClip.load(folder)
