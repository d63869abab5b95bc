"""Single pictures of the synthetic world in which every thing's name and place are known: what one learns to see from.

They cost a fraction of an episode. A hand and an eye are taken from a clip; then the things are put down anywhere on
the table, so that where the hand is says nothing about where the things are: who wants to know has to look.
"""

import logging
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, UInt8
from tqdm import tqdm

from vitra_lib.captioning.instruction import two_hand_instruction
from vitra_lib.core.errors import BadInput
from vitra_lib.core.files import atomic_path
from vitra_lib.geometry.cameras import fov_from_K
from vitra_lib.geometry.transforms import apply, invert
from vitra_lib.pipeline.world_episodes import WorldEpisodesConfig
from vitra_lib.tabletop.config import ClipConfig
from vitra_lib.tabletop.generate import generate_clip
from vitra_lib.tabletop.layout import Thing, zone
from vitra_lib.tabletop.solids import turned
from vitra_lib.tabletop.staging import Stage

_log = logging.getLogger(__name__)
_GAP_M = 0.01
_TRIES = 200
_STREAM = 77  # of the random numbers, beside those of the clip


@dataclass(frozen=True, eq=False)
class NamedPictures:
    """Pictures with the names and places of what is in them.

    Attributes:
        images: RGB.
        fov_rad: horizontal and vertical field of view of each [rad].
        places_cam: where each thing stands, the centre of its base, in the camera [m].
        sentences: per picture and thing the instruction that names it.
    """

    images: UInt8[np.ndarray, "n height width 3"]
    fov_rad: Float[np.ndarray, "n 2"]
    places_cam: Float[np.ndarray, "n things 3"]
    sentences: tuple[tuple[str, ...], ...]

    def __len__(self) -> int:
        return len(self.images)

    def taken(self, rows: Int[np.ndarray, " rows"]) -> "NamedPictures":
        """Some of them."""
        sentences = tuple(self.sentences[row] for row in rows)
        return NamedPictures(self.images[rows], self.fov_rad[rows], self.places_cam[rows], sentences)

    def save(self, path: Path) -> None:
        """Write one npz file.

        Raises:
            WriteFailed: it can't be written.
        """
        with atomic_path(path) as part:
            np.savez_compressed(
                part,
                images=self.images,
                fov_rad=self.fov_rad,
                places_cam=self.places_cam,
                sentences=np.array(self.sentences),
            )

    @classmethod
    def read(cls, path: Path) -> "NamedPictures":
        """Read what `save` wrote.

        Raises:
            BadInput: it is not there, or something else.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                sentences = tuple(tuple(row) for row in file["sentences"].tolist())
                return cls(file["images"], file["fov_rad"], file["places_cam"], sentences)
        except (OSError, ValueError, KeyError) as error:
            raise BadInput(f"{path} holds no pictures ({error}); remove it, and they are drawn again.") from None


@dataclass(frozen=True)
class WorldPicturesConfig:
    """What is asked for; the same configuration always gives the same pictures.

    Attributes:
        pictures: how many.
        clip: of the first clip; the next ones have the seeds that follow.
        per_clip: pictures out of one clip: the same things, newly placed, and other moments of hand and eye.
        texture_px: side of painted surfaces [px].
    """

    pictures: int
    clip: ClipConfig
    per_clip: int = 4
    texture_px: int = 128

    def __post_init__(self) -> None:
        if self.pictures < 1 or self.per_clip < 1:
            raise BadInput(f"pictures is {self.pictures}, per_clip {self.per_clip}; both must be at least 1.")

    @classmethod
    def tiny(cls, pictures: int, seed: int) -> "WorldPicturesConfig":
        """Pictures like those of the tiny episodes."""
        return cls(pictures, WorldEpisodesConfig.tiny(1, seed).clip)


def draw_world_pictures(config: WorldPicturesConfig, workers: int = 1, progress: bool = False) -> NamedPictures:
    """Draw pictures.

    Args:
        config: what is asked for.
        workers: processes that draw; the result does not depend on it.
        progress: show a bar.

    Raises:
        BadInput: workers is not positive.
    """
    if workers < 1:
        raise BadInput(f"The number of workers must be 1 or more, not {workers}.")
    parts: list[NamedPictures] = []
    with ExitStack() as stack:
        bar = stack.enter_context(tqdm(total=config.pictures, unit="picture", disable=not progress))
        for part in _parts(config, workers, stack):
            left = config.pictures - sum(map(len, parts))
            parts.append(part.taken(np.arange(min(left, len(part)))))
            bar.update(len(parts[-1]))
            if left <= len(part):
                break
    return NamedPictures(
        np.concatenate([part.images for part in parts]),
        np.concatenate([part.fov_rad for part in parts]),
        np.concatenate([part.places_cam for part in parts]),
        tuple(row for part in parts for row in part.sentences),
    )


def _parts(config: WorldPicturesConfig, workers: int, stack: ExitStack) -> Iterator[NamedPictures]:
    """Pictures of one clip after the other, in the order of their seeds, without end."""
    batch = -(-config.pictures // config.per_clip)  # enough, unless hands are out of sight
    first = config.clip.seed
    pool = stack.enter_context(ProcessPoolExecutor(workers, mp_context=get_context("spawn"))) if workers > 1 else None
    while True:
        configs = [replace(config, clip=replace(config.clip, seed=seed)) for seed in range(first, first + batch)]
        yield from map(_of_clip, configs) if pool is None else pool.map(_of_clip, configs, chunksize=8)
        first, batch = first + batch, 8 * workers


def _of_clip(config: WorldPicturesConfig) -> NamedPictures:
    """Pictures of one clip: frames in which the hand is in sight, with the things somewhere else."""
    clip = generate_clip(config.clip)
    stage = Stage.of(clip, config.texture_px)
    rng = np.random.default_rng([config.clip.seed, _STREAM])
    in_sight = np.flatnonzero(clip.truth.right.is_valid | clip.truth.left.is_valid)
    frames = np.sort(rng.choice(in_sight, min(config.per_clip, len(in_sight)), replace=False))
    T_table_object = clip.objects.T_table_object.copy()
    for frame in frames:
        T_table_object[frame] = _scattered(stage.scene.things, rng)
    stage = replace(stage, clip=replace(clip, objects=replace(clip.objects, T_table_object=T_table_object)))
    size = (config.clip.height_px, config.clip.width_px)
    images = [stage.render(int(frame)).image for frame in frames]
    places = [apply(invert(clip.T_table_cam[f]), T_table_object[f, :, :3, 3]) for f in frames]
    fov = fov_from_K(clip.truth.camera.K_px, size[1], size[0])
    sentence = tuple(two_hand_instruction(None, f"Reach for the {name}.") for name in clip.objects.names)
    return NamedPictures(
        np.stack(images) if images else np.empty((0, *size, 3), np.uint8),
        np.tile(fov, (len(frames), 1)),
        np.stack(places) if places else np.empty((0, len(sentence), 3)),
        (sentence,) * len(frames),
    )


def _scattered(things: tuple[Thing, ...], rng: np.random.Generator) -> Float[np.ndarray, "things 4 4"]:
    """Upright things anywhere in a hand's working area, clear of each other."""
    x0, x1, y0, y1 = zone(False)
    placed: list[tuple[np.ndarray, float]] = []
    for thing in things:
        radius = thing.instance.radius_m
        for _ in range(_TRIES):
            at = rng.uniform([x0, y0], [x1, y1])
            if all(np.linalg.norm(at - other) > radius + r + _GAP_M for other, r in placed):
                break
        placed.append((at, radius))
    return np.stack([turned(rng.uniform(-np.pi, np.pi), *at) for at, _ in placed])
