"""How right a lifter is on samples with truth, and the controls that it has to beat.

The controls: a constant mean pose, which uses size and place of the hand alone, and the tracker's own 3-D guess set to
metric size.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from vitra_lib.geometry.rotations import log as rotation_log
from vitra_lib.geometry.rotations import nearest_rotation
from vitra_lib.reconstruction.lifter import FEATURES, OUTPUTS, PALM, Lifter, decode, encode, encode_truth
from vitra_lib.reconstruction.lifter_data import LifterSamples


@dataclass(frozen=True)
class LiftErrors:
    """Medians over samples against the truth.

    Attributes:
        wrist_cm: distance of the wrist in the camera [cm].
        rotation_deg: angle between lifted and true palm [deg].
        relative_mm: mean distance of the joints relative to the wrist [mm].
        depth_ratio: lifted / true wrist depth.
        camera_mm: mean distance of the joints in the camera [mm]; what decides between candidates.
        samples: how many.
    """

    wrist_cm: float
    rotation_deg: float
    relative_mm: float
    depth_ratio: float
    camera_mm: float
    samples: int


def palm_rotation_error(
    lifted: Float[np.ndarray, "n 21 3"], truth: Float[np.ndarray, "n 21 3"]
) -> Float[np.ndarray, " n"]:
    """Angle [rad] of the rotation that best carries the true palm joints to the lifted ones."""
    a = lifted[:, PALM] - lifted[:, PALM].mean(axis=1, keepdims=True)
    b = truth[:, PALM] - truth[:, PALM].mean(axis=1, keepdims=True)
    return np.linalg.norm(rotation_log(nearest_rotation(np.swapaxes(a, 1, 2) @ b)), axis=-1)


def errors(lifted: Float[np.ndarray, "n 21 3"], truth: Float[np.ndarray, "n 21 3"]) -> LiftErrors:
    """Compare lifted with true joints in the camera [m]."""
    relative = np.linalg.norm((lifted - lifted[:, :1]) - (truth - truth[:, :1]), axis=-1)[:, 1:].mean(axis=1)
    return LiftErrors(
        wrist_cm=float(np.median(np.linalg.norm(lifted[:, 0] - truth[:, 0], axis=-1)) * 100),
        rotation_deg=float(np.rad2deg(np.median(palm_rotation_error(lifted, truth)))),
        relative_mm=float(np.median(relative) * 1000),
        depth_ratio=float(np.median(lifted[:, 0, 2] / truth[:, 0, 2])),
        camera_mm=float(np.median(np.linalg.norm(lifted - truth, axis=-1).mean(axis=1)) * 1000),
        samples=len(lifted),
    )


def lift_samples(lifter: Lifter, samples: LifterSamples) -> Float[np.ndarray, "n 21 3"]:
    """Joints in the camera [m] of right-handed samples."""
    features, frame = encode(samples.rays_cam, samples.world_landmarks_m, samples.score)
    return decode(lifter.predict(features)[0], frame)


def fit_belief(lifter: Lifter, sets: Sequence[LifterSamples]) -> Float[np.ndarray, "4"]:
    """How a lifter's signs of doubt go with its true error: least squares in logarithms, every set counting alike.

    Args:
        lifter: the trained networks.
        sets: hands that it was not trained on.

    Returns:
        Constant and exponents for `Lifter.expected_error_m`.
    """
    rows, logs, weights = [], [], []
    for samples in sets:
        features, frame = encode(samples.rays_cam, samples.world_landmarks_m, samples.score)
        joints, _, doubts = lifter.doubts(features, frame)
        rows.append(np.column_stack([np.ones(len(doubts)), doubts]))
        logs.append(np.log(np.linalg.norm(joints - samples.joints_cam, axis=-1).mean(axis=1)))
        weights.append(np.full(len(doubts), len(doubts) ** -0.5))
    root = np.concatenate(weights)
    return np.linalg.lstsq(np.concatenate(rows) * root[:, None], np.concatenate(logs) * root, rcond=None)[0]


def constant_control(train: LifterSamples) -> Lifter:
    """The lifter that answers every hand with the mean pose of the training set: it only uses size and place."""
    _, frame = encode(train.rays_cam, train.world_landmarks_m, train.score)
    targets = encode_truth(train.joints_cam, frame)
    layers = [[(np.zeros((FEATURES, OUTPUTS)), np.zeros(OUTPUTS))]]
    return Lifter(layers, np.zeros(FEATURES), np.ones(FEATURES), targets.mean(0), np.ones(63))


def naive_lift(samples: LifterSamples, reference: Float[np.ndarray, "m 21 3"]) -> Float[np.ndarray, "n 21 3"]:
    """Control: the tracker's own 3-D guess, set to the palm size of `reference` and placed where it projects right."""
    guess = samples.world_landmarks_m - samples.world_landmarks_m[:, :1]

    def palm_size(joints: np.ndarray) -> np.ndarray:
        return np.linalg.norm(joints[:, PALM[1:]] - joints[:, :1], axis=-1).mean(axis=1)

    guess = guess * (np.mean(palm_size(reference)) / palm_size(guess))[:, None, None]
    _, frame = encode(samples.rays_cam, samples.world_landmarks_m, samples.score)
    rays = samples.rays_cam @ np.swapaxes(frame.R_ray_cam, 1, 2)
    roll = frame.roll
    turn = np.stack([np.stack([roll[:, 0], roll[:, 1]], -1), np.stack([-roll[:, 1], roll[:, 0]], -1)], -2)
    guess = np.concatenate([guess[..., :2] @ np.swapaxes(turn, 1, 2), guess[..., 2:]], axis=-1)
    p = rays[..., :2] / rays[..., 2:]
    # p (z + tz) = (x, y) + (tx, ty): linear in the translation
    A = np.zeros((len(p), 21, 2, 3))
    A[..., 0, 0] = A[..., 1, 1] = 1.0
    A[..., 2] = -p
    b = p * guess[..., 2:] - guess[..., :2]
    A, b = A.reshape(len(p), 42, 3), b.reshape(len(p), 42, 1)
    t = np.linalg.solve(np.swapaxes(A, 1, 2) @ A, np.swapaxes(A, 1, 2) @ b)[..., 0]
    return (guess + t[:, None]) @ frame.R_ray_cam
