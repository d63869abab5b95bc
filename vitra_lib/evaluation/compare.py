"""One reconstruction against another, against truth, or one camera path against another: `vitra compare`.

What is compared need not come from this kit: a rendered clip with its truth, an official episode annotation, and
camera paths in the field's file formats are read as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from vitra_lib.contracts import HandTrack, Reconstruction
from vitra_lib.contracts.hand_track import SIDES, Side
from vitra_lib.core.errors import BadInput
from vitra_lib.episodes import read_official
from vitra_lib.evaluation.accuracy import Figure, official_track
from vitra_lib.evaluation.hands import hand_errors, summarise
from vitra_lib.evaluation.path_files import read_path_file
from vitra_lib.evaluation.trajectories import associate, path_errors, rms, rotation_errors, step_errors
from vitra_lib.reconstruction.store import load_reconstruction
from vitra_lib.tabletop.clip import TabletopClip

_LEGAL = (
    "legal are a folder or .npz of `vitra reconstruct`, a folder of `vitra tabletop` (its truth), an official .npy "
    "episode, and a camera path (.txt in TUM or KITTI layout, .csv of EuRoC)"
)


@dataclass(frozen=True)
class CompareConfig:
    """How two sides are brought together.

    Attributes:
        max_difference_s: largest difference in time within a pair of poses [s].
        step_s: length of the motions whose relative error is taken [s]; 0 = one frame.
        by_frame: pair by frame number of the video even where both sides have a clock.
    """

    max_difference_s: float = 0.01
    step_s: float = 0.0
    by_frame: bool = False

    def __post_init__(self) -> None:
        for name in ("max_difference_s", "step_s"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise BadInput(f"CompareConfig.{name} must be 0 s or more, not {getattr(self, name)}.")


@dataclass(frozen=True)
class Subject:
    """One side of a comparison.

    Attributes:
        name: what to call it.
        T_world_cam: (time, 4, 4) camera path [m, or the file's unit].
        is_valid: (time,) True where the pose is known.
        time_s: (time,) times of the poses [s].
        source_frame: (time,) frame numbers in the video.
        has_clock: False where only the frame numbers mean anything.
        hands: hand tracks by side, in the camera of each frame; empty for a bare camera path.
    """

    name: str
    T_world_cam: Float[np.ndarray, "time 4 4"]
    is_valid: Bool[np.ndarray, " time"]
    time_s: Float[np.ndarray, " time"]
    source_frame: Int[np.ndarray, " time"]
    has_clock: bool
    hands: dict[Side, HandTrack] = field(default_factory=dict)


def read_subject(path: str | Path, fps: float = 30.0) -> Subject:
    """Read whatever can be compared.

    Args:
        path: see the module's first lines.
        fps: frame rate for an official episode, whose file holds none [1/s].

    Raises:
        BadInput: nothing that can be compared, or damaged.
    """
    path = Path(path)
    if path.is_dir():
        if (path / "truth.json").is_file():
            return _of_reconstruction(TabletopClip.load(path).truth, path.name + " (truth)")
        if (path / "reconstruction.npz").is_file():
            return _of_reconstruction(load_reconstruction(path / "reconstruction.npz"), path.name)
        raise BadInput(f"The folder {path} holds neither a reconstruction nor a rendered clip: {_LEGAL}.")
    if not path.exists():
        raise BadInput(f"There is nothing at {path}: {_LEGAL}.")
    if path.suffix == ".npz":
        return _of_reconstruction(load_reconstruction(path), path.stem)
    if path.suffix == ".npy":
        return _of_official(path, fps)
    if path.suffix in (".txt", ".csv", ".tum", ".kitti"):
        read = read_path_file(path)
        known = np.ones(len(read.time_s), bool)
        frames = np.arange(len(read.time_s))
        return Subject(path.name, read.T_world_cam, known, read.time_s, frames, read.has_clock)
    raise BadInput(f"{path.name} can't be compared: {_LEGAL}.")


def _of_reconstruction(r: Reconstruction, name: str) -> Subject:
    hands: dict[Side, HandTrack] = {side: r.hand(side) for side in SIDES}
    return Subject(name, r.camera.T_world_cam, r.camera.is_valid, r.time_s, r.source_frame, True, hands)


def _of_official(path: Path, fps: float) -> Subject:
    """An official episode. Its clock would be a guess, so it is paired by frame number."""
    episode = read_official(path, fps)
    hands: dict[Side, HandTrack] = {side: official_track(episode, side) for side in SIDES}
    known = np.ones(len(episode), bool)
    return Subject(path.stem, episode.T_world_cam, known, episode.time_s, episode.source_frame, False, hands)


def compare(estimate: Subject, reference: Subject, config: CompareConfig | None = None) -> tuple[Figure, ...]:
    """All figures of a comparison; those that one side can't give are left out.

    Args:
        estimate: what is judged.
        reference: what it is judged by.
        config: pairing and step.

    Returns:
        Of the camera: ATE (root mean square) after rigid and after similarity alignment, mean and median of the
        latter, scale, rotation, and relative error per step in both parts. Per hand: wrist, rotation, MPJPE,
        root-aligned and PA-MPJPE as medians with intervals, and frames that only one side has.

    Raises:
        BadInput: no pose of one side can be paired with one of the other.
    """
    config = config or CompareConfig()
    index, ref_index = _pairs(estimate, reference, config)
    known = estimate.is_valid[index] & reference.is_valid[ref_index]
    index, ref_index = index[known], ref_index[known]
    if len(index) == 0:
        raise BadInput(
            f"No pose of {estimate.name} can be paired with one of {reference.name}: are they of one video, and on "
            f"one clock to {config.max_difference_s:g} s (--max-difference), or should frames be paired (--by-frame)?"
        )
    figures = _camera_figures(estimate, reference, index, ref_index, config)
    if estimate.hands and reference.hands:
        hand_index, hand_ref = _pairs(estimate, reference, config)
        for side in SIDES:
            ours, theirs = _take(estimate.hands[side], hand_index), _take(reference.hands[side], hand_ref)
            figures += _hand_figures(side, ours, theirs)
    return tuple(figures)


def _pairs(a: Subject, b: Subject, config: CompareConfig) -> tuple[np.ndarray, np.ndarray]:
    if a.has_clock and b.has_clock and not config.by_frame:
        return associate(a.time_s, b.time_s, config.max_difference_s)
    _, index, ref_index = np.intersect1d(a.source_frame, b.source_frame, return_indices=True)
    return index, ref_index


def _camera_figures(
    a: Subject, b: Subject, index: np.ndarray, ref_index: np.ndarray, config: CompareConfig
) -> list[Figure]:
    T, T_ref = a.T_world_cam[index], b.T_world_cam[ref_index]
    rigid, similar = path_errors(T, T_ref, with_scale=False), path_errors(T, T_ref)
    n = len(index)
    turned = np.rad2deg(rotation_errors(T, T_ref))
    figures = [
        Figure("camera ATE, rigid alignment", rigid.ate_m, "m", n),
        Figure("camera ATE, similarity alignment", similar.ate_m, "m", n),
        Figure("camera ATE mean, similarity alignment", float(similar.position_m.mean()), "m", n),
        Figure("camera ATE median, similarity alignment", float(np.median(similar.position_m)), "m", n),
        Figure("scale that the similarity applies", similar.alignment.scale, "ratio", n),
        Figure("camera rotation, rigid alignment (rms)", float(np.rad2deg(rms(rigid.rotation_rad))), "deg", n),
        Figure("camera rotation, aligned by rotations (median)", float(np.median(turned)), "deg", n),
    ]
    step = 1
    if config.step_s > 0 and n > 1:
        step = max(1, round(config.step_s / float(np.median(np.diff(b.time_s[ref_index])))))
    if n > step:
        motion = step_errors(T, T_ref, step)
        what = f"relative error over {step} frame{'s' if step > 1 else ''}"
        figures += [
            Figure(f"{what}, position (rms)", rms(motion.translation_m), "m", len(motion.translation_m)),
            Figure(f"{what}, rotation (rms)", float(np.rad2deg(rms(motion.rotation_rad))), "deg", n - step),
        ]
    return figures


def _take(hand: HandTrack, index: np.ndarray) -> HandTrack:
    """A track of some frames."""
    per_frame = ("R_cam_wrist", "t_cam_wrist", "R_parent_joint", "joints_cam", "is_valid", "is_observed", "confidence")
    parts = {name: getattr(hand, name)[index] for name in per_frame}
    return HandTrack(side=hand.side, betas=hand.betas, hand_model=hand.hand_model, **parts)


def _hand_figures(side: Side, ours: HandTrack, theirs: HandTrack) -> list[Figure]:
    errors = hand_errors(ours, theirs)
    missed = int((theirs.is_valid & ~ours.is_valid).sum())
    extra = int((ours.is_valid & ~theirs.is_valid).sum())
    figures = [
        Figure(f"{side} hand only in the reference", float(missed), "frames", int(theirs.is_valid.sum())),
        Figure(f"{side} hand only in the estimate", float(extra), "frames", int(ours.is_valid.sum())),
    ]
    rows: Sequence[tuple[str, np.ndarray, str]] = (
        ("wrist position in camera", errors.wrist_m * 100, "cm"),
        ("wrist rotation", np.rad2deg(errors.rotation_rad), "deg"),
        ("joints (MPJPE)", errors.joints_m * 1000, "mm"),
        ("root-aligned joints", errors.root_aligned_m * 1000, "mm"),
        ("joints after similarity (PA-MPJPE)", errors.pa_m * 1000, "mm"),
    )
    for name, values, unit in rows if len(errors.frames) else ():
        s = summarise(values)
        figures.append(Figure(f"{side} {name}, median", s.median, unit, s.n, s.ci95))
    return figures
