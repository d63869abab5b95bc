"""Clips to video files: one clip, or a resumable batch of clips over several processes."""

import hashlib
import json
import logging
import os
import shutil
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

from tqdm import tqdm

from vitra_lib.core.errors import BadInput, WriteFailed
from vitra_lib.tabletop.clip import TabletopClip, with_video
from vitra_lib.tabletop.config import HANDS, ClipConfig
from vitra_lib.tabletop.generate import generate_clip
from vitra_lib.tabletop.staging import Stage

_log = logging.getLogger(__name__)
VIDEO_NAME = "video.mp4"
SAMPLE_NAME = "sample.mp4"
SAMPLE_CONFIG = ClipConfig(seed=2, duration_s=9.0, width_px=480, height_px=360, hands="both", fov_max_deg=75.0)
"""The clip that the project ships in `data/sample`."""
_SAMPLE_CRF = 26


def render_clip(clip: TabletopClip, path: Path, progress: bool = False, crf: int = 20) -> TabletopClip:
    """Draw every frame of a clip into an mp4; the same clip gives the same bytes.

    Args:
        clip: what happens.
        path: the mp4 to write; its folder must exist.
        progress: show a bar.
        crf: quality of x264, 0 (lossless) to 51.

    Returns:
        The clip, knowing the video's name and digest.

    Raises:
        WriteFailed: the file can't be written.
    """
    from vitra_lib.video import VideoWriter

    path = Path(path)
    stage = Stage.of(clip)
    config = clip.config
    with VideoWriter(path, config.fps, config.width_px, config.height_px, crf=crf) as writer:
        for index in tqdm(range(len(clip)), desc=path.parent.name or path.name, unit="frame", disable=not progress):
            writer.write(stage.render(index).image)
    return with_video(clip, path.name, hashlib.sha256(path.read_bytes()).hexdigest())


def render_sample(out: Path, progress: bool = False) -> TabletopClip:
    """Make the project's sample clip: `sample.mp4`, `truth.npz` and `truth.json` in `out`.

    Raises:
        WriteFailed: the folder can't be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        clip = render_clip(generate_clip(SAMPLE_CONFIG), out / SAMPLE_NAME, progress, _SAMPLE_CRF)
        clip.save(out)
    except OSError as error:
        raise WriteFailed(f"The sample can't be written to {out}: {error.strerror or error}.") from error
    return clip


def clip_configs(config: ClipConfig, clips: int, hands: str) -> list[ClipConfig]:
    """Configurations of a batch: seeds `config.seed`, `config.seed` + 1, …

    Args:
        config: of the first clip.
        clips: how many.
        hands: "right", "left", "both", or "any" = in turn both, right, left by seed.

    Raises:
        BadInput: `clips` is not positive.
    """
    if clips < 1:
        raise BadInput(f"The number of clips must be 1 or more, not {clips}.")
    turn = ("both", "right", "left")
    seeds = range(config.seed, config.seed + clips)
    return [replace(config, seed=s, hands=turn[s % len(HANDS)] if hands == "any" else hands) for s in seeds]


def clip_folder(out: Path, config: ClipConfig) -> Path:
    """Folder of one clip inside a batch: `<out>/<split>-<seed>`."""
    return out / f"{config.split}-{config.seed:06d}"


def is_done(folder: Path, config: ClipConfig) -> bool:
    """Whether a clip with this configuration is finished.

    Raises:
        BadInput: the folder holds something else.
    """
    if not folder.exists():
        return False
    try:
        found = json.loads((folder / "truth.json").read_text("utf-8"))["config"]
    except (OSError, ValueError, KeyError) as error:
        raise BadInput(f"{folder} exists and is no finished clip: remove it or choose another --out.") from error
    if found != config.as_dict():
        differs = sorted(k for k in config.as_dict() if found.get(k) != config.as_dict()[k])
        raise BadInput(
            f"{folder} holds a clip made with other settings ({', '.join(differs)}): remove it or choose another --out."
        )
    return True


def render_one(config: ClipConfig, out: Path, progress: bool = False) -> Path:
    """Make one clip in a temporary folder beside its place, then rename; a finished one is kept.

    Raises:
        WriteFailed: the folder can't be written.
        BadInput: the clip's place is taken by something else.
    """
    folder = clip_folder(out, config)
    if is_done(folder, config):
        return folder
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    try:
        part.mkdir(parents=True, exist_ok=True)
        render_clip(generate_clip(config), part / VIDEO_NAME, progress).save(part)
        os.replace(part, folder)
    except OSError as error:
        raise WriteFailed(f"The clip {folder} can't be written: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def render_batch(configs: list[ClipConfig], out: Path, workers: int = 1, progress: bool = False) -> list[Path]:
    """Make several clips; run it again after an interruption and only what is missing is made.

    Args:
        configs: what is asked for; all places are checked before anything is drawn.
        out: folder of the batch; created.
        workers: number of processes.
        progress: show a bar.

    Returns:
        The clips' folders, in the order of `configs`.
    """
    if workers < 1:
        raise BadInput(f"The number of workers must be 1 or more, not {workers}.")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteFailed(f"The folder {out} can't be made: {error.strerror or error}.") from error
    todo = [c for c in configs if not is_done(clip_folder(out, c), c)]
    _log.info("%d of %d clips are there already", len(configs) - len(todo), len(configs))
    if workers == 1 or len(todo) <= 1:
        for config in todo:
            render_one(config, out, progress)
    else:
        with ProcessPoolExecutor(min(workers, len(todo)), mp_context=get_context("spawn")) as pool:
            jobs = [pool.submit(render_one, config, out) for config in todo]
            try:
                for job in tqdm(as_completed(jobs), total=len(jobs), unit="clip", disable=not progress):
                    job.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    return [clip_folder(out, c) for c in configs]
