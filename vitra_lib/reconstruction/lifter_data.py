"""Training set of the lifter: what the tracker sees on rendered egocentric hands, with the truth beside it.

Views come from outside (a function clip index -> rendered clip), so this room knows no renderer. Every clip runs
through the tracker exactly as a video does, forward and time-reversed: hard poses enter the set as the tracker meets
them in practice, followed from easier ones. Shards are written one by one, so a killed run goes on where it stopped.
"""

import logging
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int

from vitra_lib.contracts.hand_track import Side
from vitra_lib.core.errors import BadInput, WriteFailed
from vitra_lib.hands.mirror import mirror_points
from vitra_lib.reconstruction.identity import IdentityConfig, Sighting, fuse
from vitra_lib.reconstruction.lifter import rays_of

log = logging.getLogger(__name__)

SHARD_FIELDS = (
    "keypoints_px",
    "world_landmarks_m",
    "right_probability",
    "K_px",
    "joints_cam",
    "is_right",
    "clip",
    "time_s",
)
MAX_MATCH_DISTANCE = 0.6


@runtime_checkable
class RenderedPiece(Protocol):
    """A rendered piece of video with its truth.

    Attributes:
        frames: (time, height, width, 3) uint8 RGB.
        times_s: (time,) times of the frames inside their clip [s].
        K_px: (3, 3) pinhole intrinsics.
        joints_cam: per hand in the scene, its (time, 21, 3) true joints in the camera [m], NaN where out of view.
    """

    frames: np.ndarray
    times_s: np.ndarray
    K_px: np.ndarray
    joints_cam: dict[Side, np.ndarray]


MakePieces = Callable[[int, int], Sequence[RenderedPiece]]


@dataclass(frozen=True)
class LifterSamples:
    """Detections with truth; left hands are already mirrored to right ones.

    Attributes:
        rays_cam: (n, 21, 3) viewing rays (z = 1) of the tracker's landmarks.
        world_landmarks_m: (n, 21, 3) the tracker's 3-D guess [m].
        score: (n,) the tracker's belief in the true side.
        joints_cam: (n, 21, 3) true joints in the camera [m].
        clip: (n,) number of the clip that a sample comes from.
        is_right: (n,) side before mirroring.
        time_s: (n,) time inside the clip [s]; NaN where it was not kept.
    """

    rays_cam: Float[np.ndarray, "n 21 3"]
    world_landmarks_m: Float[np.ndarray, "n 21 3"]
    score: Float[np.ndarray, " n"]
    joints_cam: Float[np.ndarray, "n 21 3"]
    clip: Int[np.ndarray, " n"]
    is_right: Bool[np.ndarray, " n"]
    time_s: Float[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.score)

    def take(self, chosen: np.ndarray) -> "LifterSamples":
        """A subset by index or mask."""
        return LifterSamples(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))

    @classmethod
    def joined(cls, parts: "list[LifterSamples]") -> "LifterSamples":
        """All samples of several sets."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__dataclass_fields__))


@dataclass(frozen=True)
class TruePoses:
    """Hands whose joints are known and that nobody rendered; left hands are already mirrored to right ones.

    Attributes:
        joints_cam: (n, 21, 3) true joints in the camera [m].
        clip: (n,) number of the clip that each comes from.
    """

    joints_cam: Float[np.ndarray, "n 21 3"]
    clip: Int[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.clip)


@dataclass(frozen=True)
class RenderJob:
    """One run of the data generator.

    Attributes:
        out: folder of the shards.
        seed: clip i of the run is determined by (seed, i).
        count: number of clips.
        clips_per_shard: clips per file; a killed run loses at most one file per worker.
        workers: processes.
        prefix: first part of the files' names: what is in them.
    """

    out: Path
    seed: int
    count: int
    clips_per_shard: int = 20
    workers: int = 1
    prefix: str = "views"

    def __post_init__(self) -> None:
        for name in ("count", "clips_per_shard", "workers"):
            if getattr(self, name) < 1:
                raise BadInput(f"{name} must be at least 1, not {getattr(self, name)}.")
        if self.seed < 0:
            raise BadInput(f"seed must not be negative, not {self.seed}.")

    def shards(self) -> list[tuple[Path, range]]:
        """Every file of the run and the clips in it."""
        starts = range(0, self.count, self.clips_per_shard)
        return [
            (
                self.out / f"{self.prefix}_{self.seed:04d}_{start:06d}.npz",
                range(start, min(start + self.clips_per_shard, self.count)),
            )
            for start in starts
        ]


def render_shards(job: RenderJob, make_pieces: MakePieces) -> Iterator[tuple[int, int]]:
    """Render, track and store a training set; files that exist are kept.

    Args:
        job: what and where.
        make_pieces: (seed, clip index) -> rendered pieces of that clip; an importable function, for it runs in worker
            processes.

    Yields:
        (clips, samples) of each finished shard, as it finishes.
    """
    try:
        job.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteFailed(f"Can't create {job.out}: {error.strerror or error}.") from error
    todo = [(path, clips, job.seed, make_pieces) for path, clips in job.shards() if not path.exists()]
    if job.workers == 1:
        for task in todo:
            yield _write_shard(task)
        return
    # spawn: native threads of the tracker don't survive a fork
    with multiprocessing.get_context("spawn").Pool(min(job.workers, max(len(todo), 1))) as pool:
        yield from pool.imap_unordered(_write_shard, todo)


def _write_shard(task: tuple[Path, range, int, MakePieces]) -> tuple[int, int]:
    from vitra_lib.reconstruction.tracker import TrackPasses

    path, clips, seed, make_pieces = task
    rows: list[tuple] = []
    with TrackPasses() as passes:
        for index in clips:
            for piece in make_pieces(seed, index):
                rows += samples_of(piece, index, *passes(list(piece.frames)))
    columns = zip(*rows, strict=True) if rows else ([] for _ in SHARD_FIELDS)
    arrays = {name: np.array(column) for name, column in zip(SHARD_FIELDS, columns, strict=True)}
    for name in ("keypoints_px", "world_landmarks_m", "right_probability", "K_px", "joints_cam", "time_s"):
        arrays[name] = arrays[name].astype(np.float32)
    _save_shard(path, arrays)
    return len(clips), len(rows)


def _save_shard(path: Path, arrays: dict[str, np.ndarray]) -> None:
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)
    os.replace(temporary, path)


def pose_shards(job: RenderJob, make_poses: Callable[[int, int], dict[Side, np.ndarray]]) -> Iterator[tuple[int, int]]:
    """Store true poses without rendering them; files that exist are kept.

    Args:
        job: what and where; one process.
        make_poses: (seed, clip index) -> per side, (n, 21, 3) joints in the camera [m].

    Yields:
        (clips, poses) of each finished shard.
    """
    job.out.mkdir(parents=True, exist_ok=True)
    for path, clips in job.shards():
        if path.exists():
            continue
        parts = []
        for index in clips:
            for side, joints in make_poses(job.seed, index).items():
                right = joints if side == "right" else mirror_points(joints)
                parts.append((right.astype(np.float32), np.full(len(joints), index)))
        joints, clip = (np.concatenate(column) for column in zip(*parts, strict=True))
        _save_shard(path, {"joints_cam": joints, "clip": clip})
        yield len(clips), len(clip)


def load_poses(folder: Path) -> TruePoses | None:
    """Read all poses of a folder; None if it has none."""
    parts = []
    for path in sorted(Path(folder).glob("poses_*.npz")):
        with np.load(path, allow_pickle=False) as shard:
            number = 1_000_000 * int(path.stem.split("_")[1])
            parts.append((shard["joints_cam"].astype(np.float64), shard["clip"].astype(np.int64) + number))
    return TruePoses(*(np.concatenate(column) for column in zip(*parts, strict=True))) if parts else None


def samples_of(
    piece: RenderedPiece, index: int, forward: list[list[Sighting]], backward: list[list[Sighting]]
) -> list[tuple]:
    """Rows (order of `SHARD_FIELDS`) of the sightings of one piece that lie on a true hand."""
    rows = []
    limit = IdentityConfig().fuse_distance
    fused = [fuse(a, b, limit) for a, b in zip(forward, backward, strict=True)]
    for side, joints in piece.joints_cam.items():
        projected = joints @ piece.K_px.T
        true_px = projected[..., :2] / projected[..., 2:]
        for time, sightings in enumerate(fused):
            if not sightings or not np.isfinite(joints[time]).all():
                continue
            size = max(np.ptp(true_px[time], axis=0).max(), 1e-6)
            errors = [np.linalg.norm(s.keypoints_px - true_px[time], axis=1).mean() / size for s in sightings]
            best = sightings[int(np.argmin(errors))]
            if min(errors) < MAX_MATCH_DISTANCE and _is_nearest(best, side, time, piece):
                rows.append(
                    (
                        best.keypoints_px,
                        best.world_landmarks_m,
                        best.right_probability,
                        piece.K_px,
                        joints[time],
                        side == "right",
                        index,
                        piece.times_s[time],
                    )
                )
    return rows


def _is_nearest(sighting: Sighting, side: Side, time: int, piece: RenderedPiece) -> bool:
    """Whether no other true hand is nearer to a sighting than that of `side`."""
    gaps = {}
    for name, joints in piece.joints_cam.items():
        projected = joints[time] @ piece.K_px.T
        gap = np.linalg.norm(sighting.keypoints_px - projected[:, :2] / projected[:, 2:], axis=1).mean()
        gaps[name] = gap if np.isfinite(gap) else np.inf
    return min(gaps, key=lambda name: gaps[name]) == side


def load_samples(folder: Path, prefix: str = "views") -> LifterSamples:
    """Read all shards of a folder whose names begin with `prefix`.

    Raises:
        BadInput: there are none.
    """
    paths = sorted(Path(folder).glob(f"{prefix}_*.npz"))
    if not paths:
        raise BadInput(
            f"{folder} holds no lifter data ({prefix}_*.npz): make some with `vitra lifter render --out {folder}`."
        )
    parts = []
    for path in paths:
        with np.load(path, allow_pickle=False) as shard:
            arrays = {name: shard[name] for name in SHARD_FIELDS if name in shard.files}
        arrays.setdefault("time_s", np.full(len(arrays["clip"]), np.nan))  # written before times were kept
        if len(arrays["clip"]):
            # clips of different seeds must stay apart in the split
            arrays["clip"] = arrays["clip"].astype(np.int64) + 1_000_000 * int(path.stem.split("_")[1])
            parts.append(arrays)
    if not parts:
        raise BadInput(f"The lifter data in {folder} has no detected hand: render more clips.")
    joined = {name: np.concatenate([part[name] for part in parts]) for name in SHARD_FIELDS}
    return as_right_hands(joined)


def as_right_hands(arrays: dict[str, np.ndarray]) -> LifterSamples:
    """Raw shard columns -> samples in the frame of right hands."""
    is_right = arrays["is_right"].astype(bool)
    keypoints, K = arrays["keypoints_px"].astype(np.float64), arrays["K_px"].astype(np.float64)
    rays = np.stack([rays_of(k, intrinsics) for k, intrinsics in zip(keypoints, K, strict=True)])
    p = arrays["right_probability"].astype(np.float64)

    def mirrored(points: np.ndarray) -> np.ndarray:
        points = points.astype(np.float64)
        return np.where(is_right[:, None, None], points, mirror_points(points))

    return LifterSamples(
        rays_cam=mirrored(rays),
        world_landmarks_m=mirrored(arrays["world_landmarks_m"]),
        score=np.where(is_right, p, 1 - p),
        joints_cam=mirrored(arrays["joints_cam"]),
        clip=arrays["clip"].astype(np.int64),
        is_right=is_right,
        time_s=arrays["time_s"].astype(np.float64),
    )
