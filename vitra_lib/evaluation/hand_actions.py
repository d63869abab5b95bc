"""How well predicted hand motions meet the true ones (spec of metrics, 11.1; the paper's hand-action benchmark).

One prediction is compared with one truth in the camera of the picture, over the steps in which the true hand is known.
All figures are errors, so that smaller is better, except jerk, which is to be read beside the truth's own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial import cKDTree

from vitra_lib.contracts.hand_track import SIDES
from vitra_lib.core.errors import BadInput
from vitra_lib.evaluation.accuracy import Figure
from vitra_lib.evaluation.hands import mean_joint_error
from vitra_lib.geometry.rotations import from_euler_xyz, geodesic_angle

UNITS: dict[str, str] = {
    "wrist ADE": "cm",
    "wrist FDE": "cm",
    "wrist rotation": "deg",
    "finger angles": "deg",
    "MPJPE": "cm",
    "MPJPE wrist-aligned": "cm",
    "hand-object distance": "cm",
    "jerk": "m/s^3",
}
"""Metrics and the units in which tables give them; in code lengths are metres and angles radians."""
_SCALE = {"cm": 100.0, "deg": float(np.rad2deg(1.0)), "m/s^3": 1.0}
_FINGERS = slice(1, None)  # the wrist does not touch things
_DRAWS = 1000


@dataclass(frozen=True, eq=False)
class HandWay:
    """One hand through a chunk; the first point is now.

    Attributes:
        points: [t, static-axes xyz Euler angles of the wrist, 45 finger angles], in the picture's camera [m, rad].
        joints_cam: joints at each point [m].
    """

    points: Float[np.ndarray, "*samples points 51"]
    joints_cam: Float[np.ndarray, "*samples points 21 3"]


def known_steps(mask: Bool[np.ndarray, " steps"]) -> int:
    """Number of steps before the first one that is not known: so far a chain of steps can be followed."""
    return len(mask) if mask.all() else int(np.argmin(mask))


def chunk_errors(
    predicted: HandWay,
    truth: HandWay,
    steps: int,
    fps: float,
    object_points_cam: Float[np.ndarray, "n 3"] | None = None,
) -> dict[str, Float[np.ndarray, " samples"]]:
    """All metrics of one hand's draws in one picture.

    Args:
        predicted: (samples, points, …) draws.
        truth: (points, …) what happened.
        steps: how many of the steps are known (`known_steps`); at least one.
        fps: steps per second [1/s].
        object_points_cam: surface of the thing to reach, in the same camera [m]; None = no such metric.

    Returns:
        Metric -> one figure per draw [m, rad, m/s^3]; NaN for a jerk of fewer than three steps and for no object.

    Raises:
        BadInput: no known step, or predictions and truth of different length.
    """
    points, ours = truth.points.shape[0], predicted.points.shape[1]
    if ours != points or not 1 <= steps < points:
        raise BadInput(
            f"A prediction of {ours} points can't be compared with {points} true ones of which {steps} steps are known."
        )
    used = slice(1, steps + 1)
    ours, theirs = predicted.points[:, used], truth.points[used]
    joints = predicted.joints_cam[:, used]
    true_joints = np.broadcast_to(truth.joints_cam[used], joints.shape)
    wrist = np.linalg.norm(ours[..., :3] - theirs[..., :3], axis=-1)
    turned = geodesic_angle(from_euler_xyz(ours[..., 3:6]), from_euler_xyz(theirs[..., 3:6])[None])
    bent = ours[..., 6:] - theirs[..., 6:]
    aligned = mean_joint_error(joints - joints[..., :1, :], true_joints - true_joints[..., :1, :])
    return {
        "wrist ADE": wrist.mean(-1),
        "wrist FDE": wrist[:, -1],
        "wrist rotation": turned.mean(-1),
        "finger angles": np.abs((bent + np.pi) % (2 * np.pi) - np.pi).mean((-2, -1)),
        "MPJPE": mean_joint_error(joints, true_joints).mean(-1),
        "MPJPE wrist-aligned": aligned.mean(-1),
        "hand-object distance": hand_object_distance(joints, object_points_cam),
        "jerk": jerk(predicted.points[:, : steps + 1, :3], fps),
    }


def jerk(t_m: Float[np.ndarray, "*batch points 3"], fps: float) -> Float[np.ndarray, "*batch"]:
    """Mean size of the third derivative of a path by differences [m/s^3]; NaN of fewer than four points."""
    if t_m.shape[-2] < 4:
        return np.full(t_m.shape[:-2], np.nan)
    return np.asarray(np.linalg.norm(np.diff(t_m, 3, axis=-2), axis=-1).mean(-1) * fps**3)


def hand_object_distance(
    joints_cam: Float[np.ndarray, "samples points 21 3"], object_points_cam: Float[np.ndarray, "n 3"] | None
) -> Float[np.ndarray, " samples"]:
    """Least distance between any finger joint at any time and any point of the object [m]; NaN without an object."""
    if object_points_cam is None or len(object_points_cam) == 0:
        return np.full(len(joints_cam), np.nan)
    distance, _ = cKDTree(object_points_cam).query(joints_cam[:, :, _FINGERS].reshape(-1, 3))
    return distance.reshape(len(joints_cam), -1).min(-1)


def points_of_depth(
    depth_m: Float[np.ndarray, "height width"], mask: Bool[np.ndarray, "height width"], K_px: Float[np.ndarray, "3 3"]
) -> Float[np.ndarray, "n 3"]:
    """Points of an object in the camera, from a depth map and the object's pixels [m]; unknown depths are left out."""
    v, u = np.nonzero(mask & np.isfinite(depth_m) & (depth_m > 0))
    z = depth_m[v, u]
    return np.stack([(u - K_px[0, 2]) / K_px[0, 0] * z, (v - K_px[1, 2]) / K_px[1, 1] * z, z], axis=-1)


@dataclass(frozen=True, eq=False)
class MethodScores:
    """What one method reached on many hands and pictures; rows agree between methods.

    Attributes:
        method: its name.
        values: metric -> figure of each row; of several draws the mean [m, rad, m/s^3].
        best: metric -> the smallest over the draws.
        episode: which episode a row is from.
        side: "left" or "right" of each row.
        draws: number of draws.
    """

    method: str
    values: dict[str, Float[np.ndarray, " rows"]]
    best: dict[str, Float[np.ndarray, " rows"]]
    episode: np.ndarray
    side: np.ndarray
    draws: int

    @classmethod
    def of(
        cls, method: str, rows: Sequence[Mapping[str, np.ndarray]], episode: Sequence[str], side: Sequence[str]
    ) -> "MethodScores":
        """Collect the `chunk_errors` of every row.

        Raises:
            BadInput: no rows.
        """
        if not rows:
            raise BadInput("There is nothing to score: no picture has a hand that is known now and in the next steps.")
        values = {name: np.array([row[name].mean() for row in rows]) for name in rows[0]}
        best = {name: np.array([row[name].min() for row in rows]) for name in rows[0]}
        draws = len(next(iter(rows[0].values())))
        return cls(method, values, best, np.array(episode), np.array(side), draws)


def mean_interval(
    values: Float[np.ndarray, " rows"], episode: np.ndarray, seed: int = 0
) -> tuple[float, int, tuple[float, float] | None]:
    """Mean, count, and 95 % interval from resampling whole episodes; NaN rows are left out.

    The interval is None with fewer than two episodes.
    """
    keep = np.isfinite(values)
    values, (names, group) = values[keep], np.unique(episode[keep], return_inverse=True)
    if len(values) == 0:
        return float("nan"), 0, None
    if len(names) < 2:
        return float(values.mean()), len(values), None
    sums, counts = np.bincount(group, values), np.bincount(group)
    picks = np.random.default_rng(seed).integers(len(names), size=(_DRAWS, len(names)))
    means = sums[picks].sum(1) / counts[picks].sum(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(values.mean()), len(values), (float(low), float(high))


def figures_of(scores: MethodScores, seed: int = 0) -> list[Figure]:
    """Every metric of one method: both hands, each hand, and best of the draws where there are several."""
    figures = []
    choices = [("both hands", np.ones(len(scores.side), bool))]
    choices += [(f"{side} hand", scores.side == side) for side in SIDES]
    kinds = [("mean", scores.values)] + ([(f"best of {scores.draws}", scores.best)] if scores.draws > 1 else [])
    for metric, unit in UNITS.items():
        for kind, table in kinds:
            if metric == "jerk" and kind != "mean":
                continue  # the least jerk is no merit
            for label, rows in choices:
                figure = _figure(table[metric][rows], scores.episode[rows], unit, seed)
                if figure is not None:
                    figures.append(Figure(f"{scores.method} / {metric} / {kind} / {label}", *figure))
    return figures


def paired_figures(ours: MethodScores, other: MethodScores, seed: int = 0) -> list[Figure]:
    """Ours minus another method's, row by row, with the interval of the difference; below 0 ours is better.

    Raises:
        BadInput: the two were not scored on the same rows.
    """
    if not np.array_equal(ours.episode, other.episode) or not np.array_equal(ours.side, other.side):
        raise BadInput(f"{ours.method} and {other.method} were not scored on the same pictures.")
    figures = []
    for metric, unit in UNITS.items():
        figure = _figure(ours.values[metric] - other.values[metric], ours.episode, unit, seed)
        if metric != "jerk" and figure is not None:
            figures.append(Figure(f"{ours.method} minus {other.method} / {metric}", *figure))
    return figures


def _figure(
    values: np.ndarray, episode: np.ndarray, unit: str, seed: int
) -> tuple[float, str, int, tuple[float, float] | None] | None:
    """(value, unit, n, interval) in the table's unit; None where nothing was measured."""
    mean, count, interval = mean_interval(values, episode, seed)
    scale = _SCALE[unit]
    scaled = None if interval is None else (interval[0] * scale, interval[1] * scale)
    return None if count == 0 else (mean * scale, unit, count, scaled)
