"""A data set of the synthetic world, as a policy is trained on: short clips with true hands, camera and captions.

The truth takes the place of reconstruction, segmentation and captioning; the store, the loader and everything after
them are those of real data. Only the frames of the wanted actions are drawn, as small pictures. Every episode says
in its provenance from which clip it comes, so that `episode_truth` gives all that is true of it, objects included.
"""

import json
import logging
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from vitra_lib.contracts import CameraTrack, Caption, HandTrack, Reconstruction
from vitra_lib.core.errors import BadInput, RefusedClip, UnknownName
from vitra_lib.episodes import Episode, EpisodeStore, EpisodeWriter, FootageConfig, build_episodes
from vitra_lib.episodes.card import CardFacts
from vitra_lib.geometry.transforms import apply
from vitra_lib.tabletop.clip import TabletopClip
from vitra_lib.tabletop.config import ClipConfig
from vitra_lib.tabletop.generate import generate_clip
from vitra_lib.tabletop.staging import Stage
from vitra_lib.video import VideoWriter

_log = logging.getLogger(__name__)
PREFIX = "Tabletop"
SKILLS = ("reach", "lift", "place", "over", "pour", "upright", "push", "turn", "wipe")
_CONFIG, _START, _TARGET = "tabletop_config", "tabletop_start", "tabletop_target"
_CRF = 16
_MOST_TRIES = 8  # clips looked at per wanted episode before the request is refused


@dataclass(frozen=True)
class WorldEpisodesConfig:
    """What is asked for; the same configuration always gives the same data set.

    Attributes:
        episodes: how many.
        clip: of the first clip; the next ones have the seeds that follow. Other seeds are other scenes.
        skills: actions that become episodes, of `SKILLS`.
        per_clip: most episodes out of one clip, the first ones; several of one clip share its scene.
        texture_px: side of painted surfaces [px].
    """

    episodes: int
    clip: ClipConfig
    skills: tuple[str, ...] = ("reach",)
    per_clip: int = 1
    texture_px: int = 128

    def __post_init__(self) -> None:
        if self.episodes < 1 or self.per_clip < 1:
            raise BadInput(f"episodes is {self.episodes}, per_clip {self.per_clip}; both must be at least 1.")
        for skill in self.skills:
            if skill not in SKILLS:
                raise UnknownName("skill", skill, SKILLS)
        if not self.skills:
            raise BadInput(f"skills is empty; name at least one of {', '.join(SKILLS)}.")
        if not float(self.clip.fps).is_integer():
            raise BadInput(f"fps is {self.clip.fps}; a data set needs a whole number.")

    @classmethod
    def tiny(cls, episodes: int, seed: int = 0, split: str = "train") -> "WorldEpisodesConfig":
        """One right hand that reaches for one of two things: what a policy can learn to see in minutes.

        Ten frames per second let the sixteen steps of an action chunk cover a whole reach.
        """
        clip = ClipConfig(
            seed=seed,
            split=split,
            duration_s=3.0,
            fps=10.0,
            width_px=112,
            height_px=84,
            hands="right",
            fov_min_deg=60.0,
            fov_max_deg=75.0,
            objects=2,
            clutter=0,
            antialias=False,
        )
        return cls(episodes, clip)


@dataclass(frozen=True)
class _Piece:
    """Part of a clip, drawn.

    Attributes:
        clip: where it comes from.
        start, stop: [start, stop) frames of the clip.
        captions: of the actions that become episodes, in the clip's frames.
    """

    clip: TabletopClip
    start: int
    stop: int
    captions: tuple[Caption, ...]


def build_world_episodes(
    config: WorldEpisodesConfig, out: Path, workers: int = 1, progress: bool = False
) -> EpisodeStore:
    """Write a data set of the synthetic world.

    Args:
        config: what is asked for.
        out: folder of the data set; must not exist.
        workers: processes that plan and draw; the result does not depend on it.
        progress: show a bar over episodes.

    Returns:
        The store, opened.

    Raises:
        BadInput: `out` exists, or workers is not positive.
        RefusedClip: the clips hold too few of the wanted actions.
        WriteFailed: the data set can't be written.
    """
    if workers < 1:
        raise BadInput(f"The number of workers must be 1 or more, not {workers}.")
    clip = config.clip
    footage = FootageConfig(width_px=clip.width_px, height_px=clip.height_px, fps=int(clip.fps), crf=_CRF)
    with ExitStack() as stack:
        writer = stack.enter_context(EpisodeWriter.create(out, footage))
        videos = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="world-")))
        bar = stack.enter_context(tqdm(total=config.episodes, unit="episode", disable=not progress))
        for path, piece in _pieces(config, videos, workers, stack):
            writer.add_video(path.stem, [path], PREFIX)
            for episode in _episodes(piece, path)[: config.episodes - len(writer)]:
                writer.append(episode)
                bar.update()
            path.unlink()
            if len(writer) == config.episodes:
                return writer.finalize(CardFacts("drawn from the synthetic world, with its own truth as labels"))
    raise RefusedClip(
        f"{_MOST_TRIES * config.episodes} clips gave fewer than {config.episodes} episodes of "
        f"{', '.join(config.skills)}; ask for longer clips or other skills."
    )


def _pieces(config: WorldEpisodesConfig, folder: Path, workers: int, stack: ExitStack) -> Iterator[tuple[Path, _Piece]]:
    """Drawn parts of clips in the order of their seeds; clips without a wanted action are passed over."""
    first = config.clip.seed
    seeds = range(first, first + _MOST_TRIES * config.episodes)
    if workers == 1:
        results = (_drawn(config, seed, folder) for seed in seeds)
    else:
        pool = stack.enter_context(ProcessPoolExecutor(workers, mp_context=get_context("spawn")))
        results = _in_order(pool, config, seeds, folder, 4 * workers)
    passed_over = 0
    for seed, piece in zip(seeds, results, strict=True):
        if piece is None:
            passed_over += 1
            continue
        yield folder / _name(config.clip, seed), piece
    _log.info("%d clips had none of the wanted actions in sight", passed_over)


def _in_order(
    pool: ProcessPoolExecutor, config: WorldEpisodesConfig, seeds: Sequence[int], folder: Path, ahead: int
) -> Iterator[_Piece | None]:
    """Results in the order of the seeds, with few clips under way, since nobody knows how many are needed."""
    jobs = []
    for seed in seeds:
        jobs.append(pool.submit(_drawn, config, seed, folder))
        if len(jobs) == ahead:
            yield jobs.pop(0).result()
    for job in jobs:
        yield job.result()


def _name(clip: ClipConfig, seed: int) -> str:
    return f"{clip.split}-{seed:07d}.mp4"


def _drawn(config: WorldEpisodesConfig, seed: int, folder: Path) -> _Piece | None:
    """Plan one clip and draw what is wanted of it; None if that is nothing."""
    clip = generate_clip(replace(config.clip, seed=seed))
    wanted = [
        caption
        for caption, skill in zip(clip.captions, clip.skills, strict=True)
        if skill in config.skills and not caption.is_na and caption.segment.valid_fraction == 1.0
    ][: config.per_clip]
    if not wanted:
        return None
    start, stop = min(c.segment.start for c in wanted), max(c.segment.stop for c in wanted)
    stage = Stage.of(clip, config.texture_px)
    size = (clip.config.width_px, clip.config.height_px)
    with VideoWriter(folder / _name(config.clip, seed), clip.config.fps, *size, crf=_CRF) as video:
        for index in range(start, stop):
            video.write(stage.render(index).image)
    return _Piece(clip, start, stop, tuple(wanted))


def _episodes(piece: _Piece, path: Path) -> list[Episode]:
    """The episodes of a part, each knowing its clip."""
    truth = _between(replace(piece.clip.truth, video_name=path.name), piece.start, piece.stop)
    moved = tuple(
        replace(c, segment=replace(c.segment, start=c.segment.start - piece.start, stop=c.segment.stop - piece.start))
        for c in piece.captions
    )
    episodes, _ = build_episodes(truth, moved, dataset_prefix=PREFIX)
    told = []
    for episode in episodes:
        text = episode.hand(episode.primary_hand).captions[0].text
        facts = {
            _CONFIG: json.dumps(piece.clip.config.as_dict(), sort_keys=True),
            _START: str(piece.start + int(episode.source_frame[0])),
            _TARGET: str(_target(piece.clip, text)),
        }
        told.append(replace(episode, provenance=episode.provenance | facts))
    return told


def _target(clip: TabletopClip, text: str) -> int:
    """Number of the object that a caption names first; -1 if it names none."""
    places = [(text.find(f"the {name}"), number) for number, name in enumerate(clip.objects.names)]
    found = sorted(place for place in places if place[0] >= 0)
    return found[0][1] if found else -1


def _between(truth: Reconstruction, start: int, stop: int) -> Reconstruction:
    """Frames [start, stop) of a reconstruction, counted from 0; the world stays where it was."""
    part = slice(start, stop)
    camera: CameraTrack = replace(
        truth.camera, T_world_cam=truth.camera.T_world_cam[part], is_valid=truth.camera.is_valid[part]
    )
    rows = ("R_cam_wrist", "t_cam_wrist", "R_parent_joint", "joints_cam", "is_valid", "is_observed", "confidence")

    def hand(track: HandTrack) -> HandTrack:
        return replace(track, **{name: getattr(track, name)[part] for name in rows})

    return replace(
        truth,
        source_frame=np.arange(stop - start),
        time_s=truth.time_s[part] - truth.time_s[start],
        camera=camera,
        left=hand(truth.left),
        right=hand(truth.right),
    )


@dataclass(frozen=True)
class EpisodeTruth:
    """What the world knows of an episode beyond its labels.

    Attributes:
        clip: the clip that it is part of.
        start: frame of the clip that is the episode's first.
        target: number of the object that the caption names, -1 for none.
    """

    clip: TabletopClip
    start: int
    target: int

    def object_cam(self, number: int, frame: int) -> Float[np.ndarray, "3"]:
        """Where an object stands at a frame of the episode, in that frame's camera (the centre of its base) [m]."""
        at = self.start + frame
        T_cam_world = self.clip.truth.camera.T_cam_world[at]
        return apply(T_cam_world, self.clip.T_world_object[at, number, None, :3, 3])[0]


def episode_truth(episode: Episode) -> EpisodeTruth:
    """Plan the clip of an episode again (0.1 s), to get at the truth about its objects.

    Raises:
        BadInput: the episode does not come from the synthetic world.
    """
    facts = episode.provenance
    if _CONFIG not in facts:
        raise BadInput(f"Episode {episode.name} is not of the synthetic world: it does not say from which clip it is.")
    config = ClipConfig.from_dict(json.loads(facts[_CONFIG]))
    return EpisodeTruth(generate_clip(config), int(facts[_START]), int(facts[_TARGET]))
