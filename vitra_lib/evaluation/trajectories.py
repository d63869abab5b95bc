"""How far an estimated camera path is from a reference: absolute error after alignment, and relative error over steps.

Absolute trajectory error (ATE) and relative pose error (RPE) as defined by Sturm et al. (IROS 2012, "A benchmark for
the evaluation of RGB-D SLAM systems"), with Umeyama's alignment. All poses map points in the camera to the world.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from vitra_lib.core.errors import BadInput
from vitra_lib.geometry.alignment import Similarity, align_paths, umeyama
from vitra_lib.geometry.rotations import geodesic_angle
from vitra_lib.geometry.transforms import invert


@dataclass(frozen=True)
class PathErrors:
    """Errors of one path against its reference after alignment.

    Attributes:
        position_m: (frames,) distance of the aligned camera centre from the true one [m].
        rotation_rad: (frames,) angle between the aligned and the true rotation [rad].
        alignment: maps points in the estimate's world to the reference's.
    """

    position_m: Float[np.ndarray, " frames"]
    rotation_rad: Float[np.ndarray, " frames"]
    alignment: Similarity

    @property
    def ate_m(self) -> float:
        """Root mean square of the position errors: the ATE [m]."""
        return rms(self.position_m)


@dataclass(frozen=True)
class StepErrors:
    """Errors of the motion over a fixed number of frames; no alignment is involved.

    Attributes:
        translation_m: (steps,) length of the translation of the error motion [m].
        rotation_rad: (steps,) its angle [rad].
    """

    translation_m: Float[np.ndarray, " steps"]
    rotation_rad: Float[np.ndarray, " steps"]


def path_errors(
    T_world_cam: Float[np.ndarray, "time 4 4"],
    T_ref_cam: Float[np.ndarray, "ref_time 4 4"],
    with_scale: bool = True,
    is_compared: Bool[np.ndarray, " time"] | None = None,
) -> PathErrors:
    """Align the estimate to the reference by its camera centres and measure what is left.

    Args:
        T_world_cam: the estimated path.
        T_ref_cam: the reference, same frames.
        with_scale: True also removes the scale (Sim3), for paths known up to scale; False keeps it (SE3).
        is_compared: frames to use, None = all.

    Raises:
        BadInput: different lengths, or no frame to compare.
    """
    T_world_cam, T_ref_cam = _pairs(T_world_cam, T_ref_cam, is_compared)
    alignment = umeyama(T_ref_cam[:, :3, 3], T_world_cam[:, :3, 3], with_scale)
    aligned = alignment.apply_poses(T_world_cam)
    return PathErrors(
        position_m=np.linalg.norm(aligned[:, :3, 3] - T_ref_cam[:, :3, 3], axis=-1),
        rotation_rad=geodesic_angle(aligned[:, :3, :3], T_ref_cam[:, :3, :3]),
        alignment=alignment,
    )


def rotation_errors(
    T_world_cam: Float[np.ndarray, "time 4 4"],
    T_ref_cam: Float[np.ndarray, "time 4 4"],
    is_compared: Bool[np.ndarray, " time"] | None = None,
) -> Float[np.ndarray, " frames"]:
    """Angle [rad] between estimated and true camera rotations, the worlds being turned together by their rotations.

    `path_errors` turns the worlds together by the camera centres, as ATE tools do; a short or straight path leaves
    that turn nearly free, and its error would hide the rotations' own.

    Args:
        T_world_cam: the estimated path.
        T_ref_cam: the reference, same frames.
        is_compared: frames to use, None = all.
    """
    T_world_cam, T_ref_cam = _pairs(T_world_cam, T_ref_cam, is_compared)
    aligned = align_paths(T_ref_cam, T_world_cam).apply_poses(T_world_cam)
    return geodesic_angle(aligned[:, :3, :3], T_ref_cam[:, :3, :3])


def step_errors(
    T_world_cam: Float[np.ndarray, "time 4 4"],
    T_ref_cam: Float[np.ndarray, "ref_time 4 4"],
    step: int = 1,
    is_compared: Bool[np.ndarray, " time"] | None = None,
) -> StepErrors:
    """Relative pose error over every pair of frames `step` apart (both must be compared).

    Args:
        T_world_cam, T_ref_cam: estimate and reference; bring the estimate to the reference's scale first.
        step: frames between the two ends of a motion, at least 1.
        is_compared: frames to use, None = all.

    Raises:
        BadInput: different lengths, or no pair of frames to compare.
    """
    if len(T_world_cam) != len(T_ref_cam):
        raise BadInput(f"Paths of {len(T_world_cam)} and {len(T_ref_cam)} poses can't be compared frame by frame.")
    if step < 1:
        raise BadInput(f"A relative error needs a step of at least one frame, not {step}.")
    usable = np.ones(len(T_ref_cam), bool) if is_compared is None else is_compared
    first = np.flatnonzero(usable[:-step] & usable[step:])
    if len(first) == 0:
        raise BadInput(f"No two comparable frames are {step} frames apart.")
    motion = invert(T_world_cam[first]) @ T_world_cam[first + step]
    motion_ref = invert(T_ref_cam[first]) @ T_ref_cam[first + step]
    error = invert(motion_ref) @ motion
    identity = np.broadcast_to(np.eye(3), (len(error), 3, 3))
    return StepErrors(np.linalg.norm(error[:, :3, 3], axis=-1), geodesic_angle(identity, error[:, :3, :3]))


def associate(
    times_s: Float[np.ndarray, " a"], ref_times_s: Float[np.ndarray, " b"], max_difference_s: float = 0.01
) -> tuple[Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"]]:
    """Pair the samples of two increasing time series: each of the shorter one with the nearest of the longer.

    Args:
        times_s, ref_times_s: sample times on one clock [s].
        max_difference_s: largest difference within a pair [s].

    Returns:
        (index, ref_index) of the pairs, in time order.
    """
    if len(times_s) > len(ref_times_s):
        ref_index, index = associate(ref_times_s, times_s, max_difference_s)
        return index, ref_index
    if len(times_s) == 0:
        return np.zeros(0, int), np.zeros(0, int)
    after = np.minimum(np.searchsorted(ref_times_s, times_s), len(ref_times_s) - 1)
    before = np.maximum(after - 1, 0)
    is_before = np.abs(ref_times_s[before] - times_s) <= np.abs(ref_times_s[after] - times_s)
    nearest = np.where(is_before, before, after)
    index = np.flatnonzero(np.abs(ref_times_s[nearest] - times_s) <= max_difference_s)
    return index, nearest[index]


def rms(values: Float[np.ndarray, " n"]) -> float:
    """Root mean square; NaN of nothing."""
    return float(np.sqrt(np.mean(values**2))) if len(values) else float("nan")


def _pairs(
    T_world_cam: np.ndarray, T_ref_cam: np.ndarray, is_compared: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    if len(T_world_cam) != len(T_ref_cam):
        raise BadInput(f"Paths of {len(T_world_cam)} and {len(T_ref_cam)} poses can't be compared frame by frame.")
    if is_compared is not None:
        T_world_cam, T_ref_cam = T_world_cam[is_compared], T_ref_cam[is_compared]
    if len(T_ref_cam) == 0:
        raise BadInput("There is no frame in which both paths are known, so they can't be compared.")
    return T_world_cam, T_ref_cam
