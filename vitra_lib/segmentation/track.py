"""What the rules look at: the valid frames of one wrist with their smoothed speed."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from vitra_lib.contracts import Reconstruction
from vitra_lib.contracts.hand_track import Side
from vitra_lib.core.errors import BadInput
from vitra_lib.segmentation.config import SegmentationConfig
from vitra_lib.segmentation.speed import fit_motion, runs_of

_CHUNK = 8192


@dataclass(frozen=True)
class WristPath:
    """One wrist through time, from wherever it was measured.

    Attributes:
        time_s: (time,) increasing times of the frames [s]; need not be uniform.
        position: (time, 3) wrist in the world [m]; read where valid.
        is_valid: (time,) True where the position may be used.
        camera: (time, 3) place of the camera that saw it [m]: a picture tells how far away something is much worse than
            where it is, so speed along the line of sight counts less; None = all directions are equally sure.
        rotation: gives the rotations of the wrist into the world at some frames, (n,) -> (n, 3, 3); None = unknown,
            and no piece is kept for turning on the spot.
        name: of the video or recording, for error messages.
    """

    time_s: Float[np.ndarray, " time"]
    position: Float[np.ndarray, "time 3"]
    is_valid: Bool[np.ndarray, " time"]
    camera: Float[np.ndarray, "time 3"] | None = None
    rotation: Callable[[np.ndarray], np.ndarray] | None = None
    name: str = "the path"

    def __post_init__(self) -> None:
        if not len(self.time_s) == len(self.position) == len(self.is_valid):
            raise BadInput(
                f"{self.name} has {len(self.time_s)} times, {len(self.position)} positions and "
                f"{len(self.is_valid)} validity flags: legal is one of each per frame."
            )
        if not (np.isfinite(self.time_s).all() and (np.diff(self.time_s) > 0).all()):
            raise BadInput(f"The frame times of {self.name} do not increase: segmentation needs a time axis.")

    @classmethod
    def of(cls, reconstruction: Reconstruction, side: Side) -> "WristPath":
        """The wrist of one hand of a reconstruction, in the world."""
        hand, camera = reconstruction.hand(side), reconstruction.camera
        wrist, eye = _in_world(camera.T_world_cam, hand.t_cam_wrist)

        def rotation(frame: np.ndarray) -> np.ndarray:
            return camera.T_world_cam[frame, :3, :3] @ hand.R_cam_wrist[frame]

        return cls(
            time_s=reconstruction.time_s,
            position=wrist.T,
            is_valid=hand.is_valid & camera.is_valid,
            camera=eye.T,
            rotation=rotation,
            name=reconstruction.video_name,
        )


@dataclass(frozen=True)
class Track:
    """The valid frames of one wrist: `frame` are their indices, `run` numbers the stretches between long gaps.

    Attributes:
        frame: (n,) indices into the path.
        time_s: (n,) [s].
        run: (n,) stretch of each frame.
        smooth: (3, n) smoothed positions [m].
        speed: (n,) [m/s], its part along the line of sight weighted by `depth_trust`.
        path_so_far: (n,) length of the smoothed path up to each frame [m].
        source: where it comes from.
    """

    frame: Int[np.ndarray, " n"]
    time_s: Float[np.ndarray, " n"]
    run: Int[np.ndarray, " n"]
    smooth: Float[np.ndarray, "3 n"]
    speed: Float[np.ndarray, " n"]
    path_so_far: Float[np.ndarray, " n"]
    source: WristPath

    @classmethod
    def of(cls, path: WristPath, config: SegmentationConfig) -> "Track":
        """Smoothed speed and path of the valid frames."""
        x = np.ascontiguousarray(path.position.T)
        frame = np.flatnonzero(path.is_valid & np.isfinite(x[0]) & np.isfinite(x[1]) & np.isfinite(x[2]))
        time_s = path.time_s[frame]
        run = runs_of(time_s, config.max_gap_s)
        smooth, velocity = fit_motion(time_s, np.take(x, frame, axis=1), run, config.smoothing_s)
        square = (velocity**2).sum(axis=0)
        if path.camera is not None and config.depth_trust < 1:
            sight = smooth - np.take(np.ascontiguousarray(path.camera.T), frame, axis=1)
            along = (velocity * sight).sum(axis=0) ** 2 / np.maximum((sight**2).sum(axis=0), 1e-12)
            square = np.maximum(square - (1 - config.depth_trust**2) * along, 0.0)
        step = np.sqrt((np.diff(smooth, axis=1) ** 2).sum(axis=0))
        return cls(
            frame=frame,
            time_s=time_s,
            run=run,
            smooth=smooth,
            speed=np.sqrt(square),
            path_so_far=np.concatenate([[0.0], np.cumsum(step)])[: len(frame)],
            source=path,
        )


def _in_world(
    T_world_cam: Float[np.ndarray, "time 4 4"], t_cam: Float[np.ndarray, "time 3"]
) -> tuple[Float[np.ndarray, "3 time"], Float[np.ndarray, "3 time"]]:
    """Points and the camera itself in the world, one row per axis; chunk by chunk, so that it stays in the cache."""
    point, eye = np.empty((3, len(t_cam))), np.empty((3, len(t_cam)))
    for start in range(0, len(t_cam), _CHUNK):
        part = slice(start, start + _CHUNK)
        T, (x, y, z) = T_world_cam[part], np.ascontiguousarray(t_cam[part].T)
        for axis in range(3):
            eye[axis, part] = T[:, axis, 3]
            point[axis, part] = T[:, axis, 0] * x + T[:, axis, 1] * y + T[:, axis, 2] * z + eye[axis, part]
    return point, eye
