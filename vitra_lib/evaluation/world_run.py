"""Render held-out clips, reconstruct them as a user would, and pool their scores; clips run side by side.

Each process renders and reconstructs whole clips, with one thread for numerics, so that figures do not depend on how
many there are. Rendered clips stay, and are used again by the next run.
"""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

from tqdm import tqdm

from vitra_lib.core.devices import settle_threads
from vitra_lib.core.errors import BadInput, RefusedClip
from vitra_lib.evaluation.accuracy import ClipScore, Figure, pool, score_refused_clip, score_world_clip
from vitra_lib.reconstruction.backends import ReconstructConfig
from vitra_lib.reconstruction.outputs import check_folder
from vitra_lib.reconstruction.reconstruct import reconstruct
from vitra_lib.tabletop.clip import TabletopClip
from vitra_lib.tabletop.config import ClipConfig
from vitra_lib.tabletop.rendering import clip_folder, is_done, render_one


def world_accuracy(
    clips: Sequence[ClipConfig],
    clips_dir: Path,
    workers: int = 1,
    config: ReconstructConfig | None = None,
    progress: bool = False,
) -> tuple[Figure, ...]:
    """Measure the default chain on rendered clips.

    Args:
        clips: what to render; K is never given to the reconstruction, only pixels.
        clips_dir: folder of the rendered clips; those that are there already are used as they are.
        workers: processes that render and reconstruct, each a whole clip at a time.
        config: backends.
        progress: show a bar over clips.

    Returns:
        The pooled figures; the same clips give the same figures whatever the number of workers.

    Raises:
        BadInput: fewer than one worker, a folder holds another clip, or a process was killed.
        RefusedClip: every single clip was refused.
        WriteFailed: clips can't be written.
    """
    if workers < 1:
        raise BadInput(f"The number of workers must be 1 or more, not {workers}.")
    check_folder(clips_dir)
    for clip in clips:
        is_done(clip_folder(clips_dir, clip), clip)  # a folder that holds something else must show at once
    config = config or ReconstructConfig()
    if workers == 1:
        done = tqdm(clips, desc="world clips", unit="clip", disable=not progress)
        return pool([measure_clip(clip, clips_dir, config) for clip in done])
    settle_threads()  # inherited by the processes, which import numpy anew
    scores: dict[int, ClipScore] = {}
    with ProcessPoolExecutor(min(workers, len(clips)), mp_context=get_context("spawn")) as processes:
        jobs = {processes.submit(measure_clip, clip, clips_dir, config): i for i, clip in enumerate(clips)}
        try:
            for job in tqdm(as_completed(jobs), total=len(jobs), desc="world clips", unit="clip", disable=not progress):
                scores[jobs[job]] = job.result()
        except BrokenProcessPool as error:
            raise BadInput(
                f"One of {workers} processes was killed, probably for lack of memory: give a smaller --workers."
            ) from error
        except BaseException:
            processes.shutdown(wait=False, cancel_futures=True)
            raise
    return pool([scores[i] for i in range(len(clips))])


def measure_clip(clip: ClipConfig, clips_dir: Path, config: ReconstructConfig) -> ClipScore:
    """Render one clip if it isn't there, reconstruct it, and compare with its truth."""
    folder = render_one(clip, clips_dir)
    truth = TabletopClip.load(folder)
    try:
        return score_world_clip(truth, reconstruct(folder / truth.truth.video_name, config))
    except RefusedClip as error:
        return score_refused_clip(truth, str(error))
