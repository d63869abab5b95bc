"""From a hand in each frame's camera to one smooth, gap-ruled path in the world, and back into the camera.

Composition with the camera path gives the wrist in the world, where a hand that rests is at rest whatever the head
does. There, and with every threshold in seconds and metres (defaults where the paper is silent: 5 x MAD about a
running median, gaps up to 0.3 s filled, local cubic smoothing over 11 frames at 30 fps):

1. `cleaning` drops what can't be true, with reasons;
2. gaps inside a run are filled (spline for the position, geodesics for rotations), longer ones stay invalid;
3. position, wrist rotation and fingers are smoothed inside each run;
4. the result goes back into each frame's camera, so that composing again gives exactly the smoothed world path.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from vitra_lib.contracts.camera_track import CameraTrack
from vitra_lib.contracts.hand_track import HandTrack, Side
from vitra_lib.contracts.rejection import Rejection
from vitra_lib.core.errors import BadInput
from vitra_lib.geometry.smoothing import fill_positions, fill_rotations, smooth_positions, smooth_rotations
from vitra_lib.geometry.transforms import apply
from vitra_lib.hands.kinematics import pose_joints
from vitra_lib.hands.model import HandModel, load_hand_model
from vitra_lib.reconstruction.cleaning import CleaningConfig, WristPath, clean, find_runs

_DETAIL = {
    "camera_lost": "the camera pose of these frames is unknown",
    "outlier_position": "further from the running median than {outlier_mads:g} robust standard deviations and "
    "{outlier_floor_m:g} m",
    "outlier_rotation": "turned by more than {outlier_turn_rad:g} rad against both neighbouring frames",
    "impossible_speed": "reached only at more than {max_speed:g} m/s",
    "short_track": "seen for less than {min_run_s:g} s at a time",
}


@dataclass(frozen=True)
class WorldConfig:
    """Knobs of the world-space path.

    Attributes:
        cleaning: what is dropped, and which sightings belong to one run.
        window_s: smoothing window of position and wrist rotation [s].
        finger_window_s: smoothing window of the finger rotations [s].
        degree: degree of the local polynomial.
        filled_weight: trust in a filled frame relative to a sighting of the same confidence, when smoothing.
    """

    cleaning: CleaningConfig = field(default_factory=CleaningConfig)
    window_s: float = 0.35
    finger_window_s: float = 0.35
    degree: int = 3
    filled_weight: float = 0.25

    def __post_init__(self) -> None:
        if not (self.window_s >= 0 and self.finger_window_s >= 0 and self.degree >= 0):
            raise BadInput("WorldConfig needs windows [s] and a degree of 0 or more.")
        if not 0 < self.filled_weight <= 1:
            raise BadInput(f"WorldConfig.filled_weight must be in (0, 1], not {self.filled_weight}.")


def smooth_in_world(
    camera: CameraTrack,
    hand: HandTrack,
    times_s: Float[np.ndarray, " time"],
    config: WorldConfig | None = None,
    model: HandModel | None = None,
) -> tuple[HandTrack, tuple[Rejection, ...]]:
    """Clean, fill and smooth one hand in the world.

    Args:
        camera: poses of the same frames.
        hand: the hand in each frame's camera.
        times_s: times of the frames [s], strictly increasing.
        config: knobs.
        model: the model behind `hand.betas`; None loads the one that `hand.hand_model` names (the stand-in needs
            no file).

    Returns:
        track: still in camera space; `T_world_cam` times it is the smoothed world path.
        rejections: dropped frames with the reasons "camera_lost", "outlier_position", "outlier_rotation",
            "impossible_speed" and "short_track".

    Raises:
        BadInput: tracks and times of different lengths.
    """
    config = config or WorldConfig()
    if not len(camera) == len(hand) == len(times_s):
        raise BadInput(
            f"Camera, hand and times must cover the same frames, not {len(camera)}, {len(hand)} and {len(times_s)}."
        )
    R_world_cam = camera.T_world_cam[:, :3, :3]
    path = WristPath(
        R=R_world_cam @ hand.R_cam_wrist,
        t=apply(camera.T_world_cam, hand.t_cam_wrist[:, None])[:, 0],
        times_s=times_s,
        is_valid=hand.is_valid & camera.is_valid,
    )
    dropped = {"camera_lost": hand.is_valid & ~camera.is_valid, **clean(path, config.cleaning)}
    path = replace(path, is_valid=hand.is_valid & ~np.any(list(dropped.values()), axis=0))
    smoothed = [
        _smooth_run(run, path, hand, camera.is_valid, config) for run in find_runs(path, config.cleaning)
    ]
    track = _in_camera(smoothed, camera, hand, model or load_hand_model(hand.hand_model))
    return track, _rejections(hand.side, dropped, config.cleaning)


@dataclass(frozen=True)
class _SmoothRun:
    """One run after filling and smoothing: frame indices, wrist in the world, fingers, flags."""

    frames: Int[np.ndarray, " run"]
    R: Float[np.ndarray, "run 3 3"]
    t: Float[np.ndarray, "run 3"]
    fingers: Float[np.ndarray, "run 15 3 3"]
    confidence: Float[np.ndarray, " run"]
    is_observed: Bool[np.ndarray, " run"]


def _smooth_run(
    run: np.ndarray, path: WristPath, hand: HandTrack, has_camera: np.ndarray, config: WorldConfig
) -> _SmoothRun:
    """Fill the frames between the sightings of one run, then smooth all of it."""
    frames = np.arange(run[0], run[-1] + 1)
    frames = frames[has_camera[frames]]
    known_s, query_s = path.times_s[run], path.times_s[frames]
    is_known = np.isin(frames, run)
    R, fingers = path.R[frames].copy(), hand.R_parent_joint[frames].copy()
    t, confidence = path.t[frames].copy(), hand.confidence[frames].copy()
    if not is_known.all():
        holes = query_s[~is_known]
        t[~is_known] = fill_positions(path.t[run], known_s, holes, config.window_s)
        R[~is_known] = fill_rotations(path.R[run], known_s, holes)
        fingers[~is_known] = fill_rotations(hand.R_parent_joint[run], known_s, holes)
        confidence[~is_known] = config.filled_weight * np.interp(holes, known_s, hand.confidence[run])
    weight = np.maximum(confidence, 1e-3)
    return _SmoothRun(
        frames=frames,
        R=smooth_rotations(R, query_s, config.window_s, config.degree, weight),
        t=smooth_positions(t, query_s, config.window_s, config.degree, weight),
        fingers=smooth_rotations(fingers, query_s, config.finger_window_s, config.degree, weight),
        confidence=confidence,
        is_observed=is_known & hand.is_observed[frames],
    )


def _in_camera(runs: list[_SmoothRun], camera: CameraTrack, hand: HandTrack, model: HandModel) -> HandTrack:
    """Put smoothed world runs into each frame's camera; everything else is absent."""
    track = HandTrack.absent(hand.side, len(hand), hand.hand_model)
    T_cam_world = camera.T_cam_world
    for run in runs:
        rows = run.frames
        track.R_cam_wrist[rows] = T_cam_world[rows, :3, :3] @ run.R
        track.t_cam_wrist[rows] = apply(T_cam_world[rows], run.t[:, None])[:, 0]
        track.R_parent_joint[rows] = run.fingers
        track.joints_cam[rows] = pose_joints(
            model, hand.side, track.R_cam_wrist[rows], track.t_cam_wrist[rows], run.fingers, hand.betas
        )
        track.confidence[rows] = run.confidence
        track.is_valid[rows], track.is_observed[rows] = True, run.is_observed
    return replace(track, betas=hand.betas.copy())


def _rejections(side: Side, dropped: dict[str, np.ndarray], config: CleaningConfig) -> tuple[Rejection, ...]:
    """One rejection per contiguous stretch and reason, ordered by frame."""
    found = []
    for reason, is_dropped in dropped.items():
        edges = np.flatnonzero(np.diff(np.concatenate([[0], is_dropped.astype(int), [0]])))
        for start, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            found.append(
                Rejection(
                    stage="reconstruction",
                    item=f"{side} hand, frames [{start}, {stop})",
                    reason=reason,
                    detail=_DETAIL[reason].format(**vars(config)),
                    start=start,
                    stop=stop,
                )
            )
    return tuple(sorted(found, key=lambda rejection: (rejection.start, rejection.stop, rejection.reason)))
