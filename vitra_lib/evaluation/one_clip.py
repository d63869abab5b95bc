"""How one reconstruction compares with the truth of its clip; where there is no truth, every figure is NaN of nothing.

So a page that measures a rendered clip also runs on anybody's own video: its figures are then missing, not wrong.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

from vitra_lib.contracts import Reconstruction, Segment, Segmentation
from vitra_lib.contracts.hand_track import SIDES, Side
from vitra_lib.evaluation.accuracy import boundary_score, score_world_clip
from vitra_lib.evaluation.boundaries import BoundaryScore, inner_boundaries
from vitra_lib.evaluation.hands import HandErrors, Summary, summarise
from vitra_lib.segmentation import segment
from vitra_lib.tabletop.clip import TabletopClip

NOTHING = Summary(float("nan"), float("nan"), 0, (float("nan"), float("nan")))


@dataclass(frozen=True)
class ClipErrors:
    """Errors of one reconstruction; medians over frames with intervals from blocks of frames.

    Attributes:
        wrist_m: distance of the wrist joint from the true one, in the camera [m].
        rotation_rad: angle between estimated and true wrist rotation [rad].
        root_aligned_m: mean joint error after moving the wrists together [m].
        found: share of visible hands that were found.
        visible: how many visible hands there were, one per hand and frame.
        ate_m: root mean square error of the camera path after similarity alignment [m].
        camera_rotation_rad: median error of the camera's rotation after that alignment [rad].
        scale: estimated over true length of the camera path.
        frames: number of frames in which the camera paths were compared.
        by_side: the errors of every frame, per hand that is in view at all.
    """

    wrist_m: Summary = NOTHING
    rotation_rad: Summary = NOTHING
    root_aligned_m: Summary = NOTHING
    found: float = float("nan")
    visible: int = 0
    ate_m: float = float("nan")
    camera_rotation_rad: float = float("nan")
    scale: float = float("nan")
    frames: int = 0
    by_side: dict[Side, HandErrors] = field(default_factory=dict)


def clip_errors(clip: TabletopClip | None, estimate: Reconstruction, seed: int = 0) -> ClipErrors:
    """Compare a reconstruction with the truth of its clip.

    Args:
        clip: the rendered clip; None = there is no truth.
        estimate: the reconstruction of its video.
        seed: of the resampling behind the intervals.
    """
    if clip is None:
        return ClipErrors()
    score = score_world_clip(clip, estimate)
    pooled = HandErrors.concatenated(list(score.hands))
    present = [side for side in SIDES if clip.truth.hand(side).is_valid.any()]
    return ClipErrors(
        wrist_m=summarise(pooled.wrist_m, seed=seed),
        rotation_rad=summarise(pooled.rotation_rad, seed=seed),
        root_aligned_m=summarise(pooled.root_aligned_m, seed=seed),
        found=score.rates.found_rate,
        visible=score.rates.visible,
        ate_m=score.ate_m,
        camera_rotation_rad=score.rotation_rad,
        scale=score.scale,
        frames=int(estimate.camera.is_valid.sum()),
        by_side=dict(zip(present, score.hands, strict=True)),
    )


def wrist_errors(
    clip: TabletopClip | None, side: Side, joints_cam: Float[np.ndarray, "time 21 3"]
) -> Float[np.ndarray, " time"]:
    """Distance of an estimated wrist from the true one in every frame [m]; NaN where either is unknown.

    Args:
        clip: the rendered clip; None = there is no truth, and everything is NaN.
        side: which hand.
        joints_cam: joints in the camera of each frame [m], NaN where unknown.
    """
    if clip is None:
        return np.full(len(joints_cam), np.nan)
    return np.linalg.norm(joints_cam[:, 0] - clip.truth.hand(side).joints_cam[:, 0], axis=-1)


def clip_boundaries(clip: TabletopClip | None, found: Segmentation | Sequence[Segment]) -> BoundaryScore:
    """Predicted boundaries against the true ones; no boundary at all where there is no truth."""
    return BoundaryScore(0, 0, 0) if clip is None else boundary_score(clip, found)


def boundaries_on_truth(clip: TabletopClip | None) -> BoundaryScore:
    """What the default rule scores on the true tracks: the share of its errors that no reconstruction can mend."""
    return BoundaryScore(0, 0, 0) if clip is None else boundary_score(clip, segment(clip.truth))


def true_joints_cam(clip: TabletopClip | None, side: Side, time: int) -> Float[np.ndarray, "time 21 3"]:
    """The true joints of one hand in the camera of each frame [m]; NaN where it is out of view or nothing is known."""
    return np.full((time, 21, 3), np.nan) if clip is None else clip.truth.hand(side).joints_cam[:time]


def true_boundaries(clip: TabletopClip | None, side: Side) -> Int[np.ndarray, " boundaries"]:
    """Frames at which true actions of one hand meet; none where nothing is known."""
    return np.zeros(0, np.int64) if clip is None else inner_boundaries(clip.segments, side)


def true_captions(clip: TabletopClip | None, piece: Segment) -> str:
    """The true sentences of the actions that fill at least a third of a piece, joined; "" where nothing is known."""
    texts = []
    for caption in clip.captions if clip is not None else ():
        true = caption.segment
        shared = min(true.stop, piece.stop) - max(true.start, piece.start)
        if true.side == piece.side and 3 * shared >= piece.stop - piece.start:
            texts.append(caption.text or "(idle)")
    return " / ".join(texts)
