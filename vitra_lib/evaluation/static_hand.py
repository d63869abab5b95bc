"""The default chain on a still camera that films one moving hand, against joints recorded with the video.

The camera must come out as still. The recorded joints have no known pose against the camera, so the shape of the hand
is compared after the best similarity of each frame, and the gap between thumb and index finger as it is.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from vitra_lib.core.errors import BadInput
from vitra_lib.core.pickles import load_pickle
from vitra_lib.evaluation.accuracy import Figure
from vitra_lib.evaluation.hands import mean_joint_error, procrustes, summarise
from vitra_lib.reconstruction.reconstruct import reconstruct

_THUMB_TIP, _INDEX_TIP = 4, 8


def static_hand_accuracy(video: Path, joints_file: Path, progress: bool = False) -> tuple[Figure, ...]:
    """Measure camera path and hand shape.

    Args:
        video: one right hand before a still camera.
        joints_file: pickled list of (21, 3) joints, one per frame of the video [m].
        progress: show a progress bar.

    Raises:
        BadInput: the joints are not one (21, 3) array per frame.
    """
    reference = read_joints(joints_file)
    result = reconstruct(video, progress=progress)
    if len(reference) != len(result):
        raise BadInput(f"{joints_file.name} holds {len(reference)} frames, but {video.name} has {len(result)}.")
    hand, camera = result.right, result.camera
    known = np.flatnonzero(hand.is_valid & hand.is_observed)
    ours, theirs = hand.joints_cam[known], reference[known]
    steps = np.linalg.norm(np.diff(camera.T_world_cam[:, :3, 3], axis=0), axis=-1)
    shape = summarise(1000 * mean_joint_error(procrustes(ours, theirs), theirs))
    gap = summarise(1000 * np.abs(_gap(ours) - _gap(theirs)))
    n = len(result)
    return (
        Figure("right hand found", float(len(known)), "frames", n),
        Figure("false hands", float(result.left.is_valid.sum()), "frames", n),
        Figure("camera path of a still camera", float(100 * steps.sum()), "cm", n),
        Figure("joints after similarity (PA-MPJPE)", shape.median, "mm", shape.n, shape.ci95),
        Figure("gap between thumb and index tip, error", gap.median, "mm", gap.n, gap.ci95),
    )


def read_joints(path: Path) -> Float[np.ndarray, "time 21 3"]:
    """A pickled list of (21, 3) arrays, read without running anything in it.

    Raises:
        BadInput: something else.
    """
    content = load_pickle(path)
    try:
        joints = np.array(content, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise BadInput(f"{path.name} holds no list of joints.") from error
    if joints.ndim != 3 or joints.shape[1:] != (21, 3) or not np.isfinite(joints).all():
        raise BadInput(f"{path.name} must hold one finite (21, 3) array per frame, not {joints.shape}.")
    return joints


def _gap(joints: np.ndarray) -> np.ndarray:
    return np.linalg.norm(joints[:, _THUMB_TIP] - joints[:, _INDEX_TIP], axis=-1)
