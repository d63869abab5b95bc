"""Recordings with known action boundaries: the synthetic world, and labelled real demonstrations read from disk."""

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from vitra_lib.contracts import Reconstruction
from vitra_lib.contracts.hand_track import SIDES
from vitra_lib.core.errors import BadInput
from vitra_lib.episodes import read_official
from vitra_lib.evaluation.boundaries import inner_boundaries
from vitra_lib.evaluation.segmentation_rules import TrackNoise, with_noise
from vitra_lib.evaluation.segmentation_run import Recording
from vitra_lib.segmentation import WristPath
from vitra_lib.tabletop.clip import TabletopClip

HAND_DIAGONAL_M = 0.2
"""Diagonal of the box around a hand: what a 2-D path is scaled with, for want of depth."""
_SSV2_FPS = 12.0
_ICSC_FPS = 100.0  # grating and peeling come without a clock; the wiping file states about 0.01 s, taken for all


def world_recordings(
    clip: TabletopClip, tracks: Reconstruction | None = None, noise: TrackNoise | None = None, seed: int = 0
) -> Iterator[Recording]:
    """The hands of a clip of the world.

    Args:
        clip: the clip with its truth.
        tracks: what to cut; None = the true tracks.
        noise: added to the paths.
        seed: of the noise.
    """
    rng = np.random.default_rng([seed, clip.config.seed])
    group = f"{clip.config.split}-{clip.config.seed}"
    for side in SIDES:
        in_view = clip.truth.hand(side).is_valid
        if not in_view.any():
            continue
        path = WristPath.of(tracks or clip.truth, side)
        if noise is not None:
            path = with_noise(path, noise, rng)
        time_s = clip.truth.time_s
        actions = [
            (time_s[s.start], time_s[min(s.stop, len(time_s) - 1)])
            for s, skill in zip(clip.segments, clip.skills, strict=True)
            if s.side == side and skill != "idle" and s.valid_fraction >= 0.5
        ]
        yield Recording(
            group=group,
            path=path,
            boundary_s=time_s[inner_boundaries(clip.segments, side)],
            action_s=np.array(actions, float).reshape(-1, 2),
            in_view=in_view,
        )


def icsc_recordings(folder: Path) -> dict[str, list[Recording]]:
    """Real demonstrations with a manual label per sample (ICSC-HMM): tool paths of grating, wiping and peeling.

    The twelve grating trials are three demonstrations in four versions each, which share a group, so that intervals
    do not take them for twelve. Their second file holds the same paths in another frame and is left out.

    Args:
        folder: with `CarrotGrating_robot.mat`, `circular_wiping_dataset.mat` and `proc-data-noObj.mat`.

    Returns:
        Task -> recordings.

    Raises:
        BadInput: a file is missing or not what it should be.
    """
    try:
        grating = _mat(folder / "CarrotGrating_robot.mat")
        wiping = _mat(folder / "circular_wiping_dataset.mat")
        peeling = _mat(folder / "proc-data-noObj.mat")
        found = {"grating": [], "wiping": [], "peeling": []}
        for number, (x, label) in enumerate(zip(grating["Data"], grating["True_states"], strict=True)):
            found["grating"].append(_labelled(f"grating {number // 4}", x[:, :3], label, 1 / _ICSC_FPS))
        for number, (demo, label) in enumerate(zip(wiping["proc_data"], wiping["True_states"], strict=True)):
            found["wiping"].append(_labelled(f"wiping {number}", demo.X[:3].T, label, float(demo.dt)))
        for number, (x, label) in enumerate(zip(peeling["Data_noObj"], peeling["True_states_noObj"], strict=True)):
            found["peeling"].append(_labelled(f"peeling {number}", x[:3].T, label, 1 / _ICSC_FPS))
    except (KeyError, AttributeError, IndexError, TypeError, ValueError) as error:
        raise BadInput(f"{folder} does not hold the ICSC demonstrations as published: {error!r}.") from error
    return found


def _mat(path: Path) -> dict:
    from scipy.io import loadmat

    try:
        return loadmat(path, squeeze_me=True, struct_as_record=False)
    except OSError as error:
        raise BadInput(f"{path} can't be read: give the folder of the ICSC demonstrations.") from error


def _labelled(group: str, position: np.ndarray, label: np.ndarray, step_s: float) -> Recording:
    """A path whose boundaries are where the label changes; every labelled stretch is an action."""
    count = len(label)
    time_s = np.arange(count) * step_s
    edges = np.flatnonzero(np.diff(label)) + 1
    ends = np.concatenate([[0], edges, [count - 1]])
    path = WristPath(time_s, np.ascontiguousarray(position, dtype=float), np.ones(count, bool), name=group)
    actions = np.stack([time_s[ends[:-1]], time_s[ends[1:]]], axis=1)
    return Recording(group, path, time_s[edges], actions, np.ones(count, bool))


def ssv2_recordings(folder: Path) -> list[Recording]:
    """Hand boxes in clips of Something-Something v2 with the phases approach, action, leave.

    There are no 3-D tracks: the path is the centre of the box in the image, in units of the hand's own size, and the
    camera's motion is in it. So this says how far the rule carries in 2-D, not how good it is on reconstructed hands.

    Args:
        folder: with `phase_annots.csv` and `something_else_annots.json`.

    Raises:
        BadInput: a file is missing or damaged.
    """
    try:
        boxes = json.loads((folder / "something_else_annots.json").read_text(encoding="utf-8"))
        rows = list(csv.DictReader((folder / "phase_annots.csv").read_text(encoding="utf-8").splitlines()))
        found = [_phases(row, boxes[row["video_id"]]) for row in rows if row["video_id"] in boxes]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{folder} does not hold the phase labels as published: {error!r}.") from error
    return [recording for recording in found if recording is not None]


def _phases(row: dict[str, str], frames: Sequence[dict]) -> Recording | None:
    """One clip; None where a hand is boxed in fewer than a third of the frames or there is no boundary to find."""
    centre, diagonal = _hand_boxes(frames)
    is_valid = np.isfinite(centre[:, 0])
    ranges = [row[name].split("-") for name in ("approach", "action", "leave") if row[name].strip("- ")]
    starts = np.array(sorted(int(first) - 1 for first, _ in ranges)[1:], np.int64)  # frames are counted from 1
    if 3 * is_valid.sum() < len(frames) or len(starts) == 0:
        return None
    time_s = np.arange(len(frames)) / _SSV2_FPS
    metres = HAND_DIAGONAL_M / np.median(diagonal[is_valid])
    position = np.column_stack([np.nan_to_num(centre) * metres, np.zeros(len(frames))])
    path = WristPath(time_s, position, is_valid, name=f"clip {row['video_id']}")
    return Recording(row["video_id"], path, time_s[starts[starts < len(frames)]], np.zeros((0, 2)), is_valid)


def _hand_boxes(frames: Sequence[dict]) -> tuple[Float[np.ndarray, "time 2"], Float[np.ndarray, " time"]]:
    """Centre and diagonal [px] of the hand's box per frame, of two the one nearest to the last; NaN where none is."""
    centre, diagonal = np.full((len(frames), 2), np.nan), np.full(len(frames), np.nan)
    last = None
    for number, frame in enumerate(frames):
        boxes = [label["box2d"] for label in frame["labels"] if label["standard_category"] == "hand"]
        if not boxes:
            continue
        corners = np.array([[b["x1"], b["y1"], b["x2"], b["y2"]] for b in boxes], float)
        middle = 0.5 * (corners[:, :2] + corners[:, 2:])
        size = np.hypot(*(corners[:, 2:] - corners[:, :2]).T)
        best = int(np.argmax(size) if last is None else np.argmin(np.linalg.norm(middle - last, axis=1)))
        last = centre[number] = middle[best]
        diagonal[number] = size[best]
    return centre, diagonal


def episode_recording(annotation: Path, fps: float) -> Recording:
    """The main hand of an official episode: one atomic action, so there is no boundary inside it.

    Args:
        annotation: the `.npy` file.
        fps: frame rate of its video [1/s].
    """
    episode = read_official(annotation, fps)
    side = episode.primary_hand
    hand = episode.hand(side)
    time_s = np.arange(len(episode)) / fps
    path = WristPath(
        time_s=time_s,
        position=hand.t_world_wrist,
        is_valid=hand.is_valid,
        camera=episode.T_world_cam[:, :3, 3],
        rotation=lambda frame: hand.R_world_wrist[frame],
        name=annotation.stem,
    )
    whole = np.array([[time_s[0], time_s[-1]]])
    return Recording(annotation.stem, path, np.zeros(0), whole, np.ones(len(time_s), bool))
