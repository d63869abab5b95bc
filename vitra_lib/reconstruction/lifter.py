"""2-D landmarks -> metric 3-D hand joints in the camera, by a small network trained on our own renders.

A hand tracker's own 3-D guess is biased for egocentric views (hands that reach away from the camera look flat and too
far). The lifter corrects it: landmarks and the tracker's guess, seen along the ray of the hand so that the place in
the image and the camera's focal length drop out, go to root-relative joints and to the logarithm of (depth x angular
size), which hardly varies. A left hand is lifted as its mirror image. Inference is numpy alone.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from vitra_lib.contracts.hand_track import Side
from vitra_lib.core.errors import BadInput, MissingAsset
from vitra_lib.hands.mirror import mirror_points
from vitra_lib.reconstruction.identity import HandDetections

WEIGHTS_PATH = Path(__file__).parent / "weights" / "lifter.npz"
PALM = np.array([0, 5, 9, 13, 17])
JOINT_SCALE_M = 0.1
FEATURES = 42 + 1 + 63 + 1 + 2
TARGETS = 60 + 3
OUTPUTS = TARGETS + 2
LEAST_APART_M = 1e-4
"""Members that agree better than this agree by chance, or there is only one."""


@dataclass(frozen=True)
class LiftedHand:
    """Metric joints of one hand per frame, each frame lifted on its own.

    Attributes:
        side: "left" or "right".
        joints_cam: (time, 21, 3) joints in the camera of the same frame [m]; NaN where not valid.
        sigma_m: (time,) predicted error of the wrist's position [m]; infinite where not valid.
        error_m: (time,) expected mean error of the joints in the camera [m]; infinite where not valid.
        is_valid: (time,) True where the hand was detected and lifted in front of the camera.
    """

    side: Side
    joints_cam: Float[np.ndarray, "time 21 3"]
    sigma_m: Float[np.ndarray, " time"]
    error_m: Float[np.ndarray, " time"]
    is_valid: Bool[np.ndarray, " time"]

    def __len__(self) -> int:
        return len(self.is_valid)


@dataclass(frozen=True)
class RayFrame:
    """The frame in which a hand is lifted: z along the ray of the palm, x along the hand in the image.

    Attributes:
        R_ray_cam: (n, 3, 3) maps camera directions to the frame.
        centre: (n, 2) mean of the landmarks on the plane z = 1 of the frame.
        size: (n,) root mean square distance of the landmarks from it (tangent of an angle).
        roll: (n, 2) cosine and sine of the roll that was removed.
    """

    R_ray_cam: Float[np.ndarray, "n 3 3"]
    centre: Float[np.ndarray, "n 2"]
    size: Float[np.ndarray, " n"]
    roll: Float[np.ndarray, "n 2"]


def _ray_rotation(directions: np.ndarray) -> np.ndarray:
    """(n, 3, 3) smallest rotations that map unit directions to +z."""
    x, y, z = directions.T
    k = 1 / (1 + z)
    return np.stack(
        [
            np.stack([1 - x * x * k, -x * y * k, -x], -1),
            np.stack([-x * y * k, 1 - y * y * k, -y], -1),
            np.stack([x, y, z], -1),
        ],
        -2,
    )


def encode(
    rays_cam: Float[np.ndarray, "n 21 3"],
    world_landmarks_m: Float[np.ndarray, "n 21 3"],
    score: Float[np.ndarray, " n"],
) -> tuple[Float[np.ndarray, "n features"], RayFrame]:
    """What the network sees of RIGHT hands (mirror left ones first).

    Args:
        rays_cam: viewing rays of the 21 landmarks, z = 1, camera axes.
        world_landmarks_m: the tracker's 3-D guess, camera axes as if the hand were at the image centre [m].
        score: the tracker's belief in this side.

    Returns:
        features and the frame that `decode` needs.
    """
    unit = rays_cam / np.linalg.norm(rays_cam, axis=-1, keepdims=True)
    axis = unit[:, PALM].mean(axis=1)
    R = _ray_rotation(axis / np.linalg.norm(axis, axis=-1, keepdims=True))
    aligned = rays_cam @ np.swapaxes(R, 1, 2)
    plane = aligned[..., :2] / aligned[..., 2:]
    along = plane[:, 9] - plane[:, 0]
    roll = along / np.maximum(np.linalg.norm(along, axis=-1, keepdims=True), 1e-9)
    # turn the wrist-to-knuckle direction to +x: the tracker crops hands that way too
    c, s = roll.T
    zero, one = np.zeros_like(c), np.ones_like(c)
    R_roll = np.stack([np.stack([c, s, zero], -1), np.stack([-s, c, zero], -1), np.stack([zero, zero, one], -1)], -2)
    plane = plane @ np.swapaxes(R_roll[:, :2, :2], 1, 2)
    centre = plane.mean(axis=1)
    size = np.sqrt(np.mean(np.sum((plane - centre[:, None]) ** 2, axis=-1), axis=-1))
    shape = (plane - centre[:, None]) / size[:, None, None]
    world = (world_landmarks_m - world_landmarks_m[:, :1]) @ np.swapaxes(R_roll, 1, 2)
    features = np.concatenate(
        [
            shape.reshape(len(shape), 42),
            np.log(size)[:, None],
            world.reshape(len(world), 63) / JOINT_SCALE_M,
            score[:, None],
            roll,
        ],
        axis=1,
    )
    return features, RayFrame(R_roll @ R, centre, size, roll)


def encode_truth(joints_cam: Float[np.ndarray, "n 21 3"], frame: RayFrame) -> Float[np.ndarray, "n 63"]:
    """The network's targets: 20 root-relative joints, lateral offset and log depth of the wrist, all without unit."""
    joints = joints_cam @ np.swapaxes(frame.R_ray_cam, 1, 2)
    wrist = joints[:, 0]
    relative = (joints[:, 1:] - wrist[:, None]).reshape(len(joints), 60) / JOINT_SCALE_M
    lateral = (wrist[:, :2] / wrist[:, 2:] - frame.centre) / frame.size[:, None]
    depth = np.log(wrist[:, 2:] * frame.size[:, None] / JOINT_SCALE_M)
    return np.concatenate([relative, lateral, depth], axis=1)


def decode(targets: Float[np.ndarray, "n 63"], frame: RayFrame) -> Float[np.ndarray, "n 21 3"]:
    """Inverse of `encode_truth`: joints in the camera [m]."""
    depth = np.exp(targets[:, 62:]) * JOINT_SCALE_M / frame.size[:, None]
    lateral = frame.centre + targets[:, 60:62] * frame.size[:, None]
    wrist = np.concatenate([lateral * depth, depth], axis=1)
    relative = targets[:, :60].reshape(-1, 20, 3) * JOINT_SCALE_M
    joints = np.concatenate([wrist[:, None], wrist[:, None] + relative], axis=1)
    return joints @ frame.R_ray_cam


class Lifter:
    """The trained network: an ensemble of small perceptrons, averaged.

    Args:
        layers: per member, its (weight (in, out), bias (out,)) pairs; ReLU between them.
        mean, std: (features,) normalisation of the features; a feature with std = inf is ignored.
        target_mean, target_std: (63,) normalisation of the targets.
        belief: (4,) what `expected_error_m` makes of the signs of doubt; None = the predicted error as it is.
    """

    def __init__(
        self,
        layers: list[list[tuple[np.ndarray, np.ndarray]]],
        mean: Float[np.ndarray, " features"],
        std: Float[np.ndarray, " features"],
        target_mean: Float[np.ndarray, "63"],
        target_std: Float[np.ndarray, "63"],
        belief: Float[np.ndarray, "4"] | None = None,
    ) -> None:
        self.layers = layers
        self.mean, self.std = mean, std
        self.target_mean, self.target_std = target_mean, target_std
        self.belief = np.array([0.0, 1.0, 0.0, 0.0]) if belief is None else belief

    @classmethod
    def load(cls, path: Path | None = None) -> "Lifter":
        """Read the shipped weights, or those that `vitra lifter train` wrote to `path`.

        Raises:
            MissingAsset: the file is not there.
            BadInput: the file is something else.
        """
        return _load(Path(path or WEIGHTS_PATH))

    def predict(
        self, features: Float[np.ndarray, "n features"]
    ) -> tuple[Float[np.ndarray, "n 63"], Float[np.ndarray, "n 2"]]:
        """Targets of `encode_truth`; and the predicted errors of the wrist's position, in units of its depth, and of
        the joints relative to the wrist, in units of `JOINT_SCALE_M`."""
        return self._scaled(self._outputs(features).mean(axis=0))

    def _outputs(self, features: np.ndarray) -> np.ndarray:
        """(members, n, outputs) of the networks."""
        x0 = (features - self.mean) / self.std
        outputs = []
        for member in self.layers:
            x = x0
            for index, (weight, bias) in enumerate(member):
                x = x @ weight + bias
                if index + 1 < len(member):
                    x = np.maximum(x, 0.0)
            outputs.append(x)
        return np.stack(outputs)

    def _scaled(self, output: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Targets and predicted errors from an output of the networks."""
        targets = output[:, :TARGETS] * self.target_std + self.target_mean
        return targets, np.exp(np.clip(output[:, TARGETS:], -8.0, 2.0))

    def doubts(
        self, features: Float[np.ndarray, "n features"], frame: RayFrame
    ) -> tuple[Float[np.ndarray, "n 21 3"], Float[np.ndarray, " n"], Float[np.ndarray, "n 3"]]:
        """Lifted right hands, and every sign that they may be wrong.

        Returns:
            joints in the camera [m]; predicted error of the wrist's position [m]; logarithms of the predicted error of
            the whole hand [m], of the mean distance of the members' joints from their mean [m], and of the hand's
            apparent size (a small hand is a far or foreshortened one).
        """
        outputs = self._outputs(features)
        targets, spread = self._scaled(outputs.mean(axis=0))
        joints = decode(targets, frame)
        alone = np.stack([decode(self._scaled(output)[0], frame) for output in outputs])
        apart = np.linalg.norm(alone - joints, axis=-1).mean(axis=(0, 2))
        wrist = spread[:, 0] * np.linalg.norm(joints[:, 0], axis=-1)
        whole = np.hypot(wrist, spread[:, 1] * JOINT_SCALE_M)
        return joints, wrist, np.log(np.stack([whole, np.maximum(apart, LEAST_APART_M), frame.size], axis=-1))

    def expected_error_m(self, doubts: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
        """Typical mean error of the joints in the camera [m] of hands with such `doubts`.

        A product of powers, fitted to hands that the networks were not trained on: what a network predicts of itself
        is too rosy, for it has seen its errors on hands it knew.
        """
        return np.exp(self.belief[0] + doubts @ self.belief[1:])

    def lift(self, detections: HandDetections, K_px: Float[np.ndarray, "3 3"]) -> LiftedHand:
        """Lift every detected frame of one hand.

        Args:
            detections: from the tracker.
            K_px: pinhole intrinsics in the pixels of the detections.

        Returns:
            Joints in the camera of each frame; invalid where the hand was not detected.
        """
        if not (np.isfinite(K_px).all() and K_px[0, 0] > 0 and K_px[1, 1] > 0):
            raise BadInput(f"Intrinsics need finite, positive focal lengths, not fx = {K_px[0, 0]}, fy = {K_px[1, 1]}.")
        time = len(detections)
        joints = np.full((time, 21, 3), np.nan)
        sigma, error = np.full(time, np.inf), np.full(time, np.inf)
        finite = np.isfinite(detections.keypoints_px).all((1, 2)) & np.isfinite(detections.world_landmarks_m).all(
            (1, 2)
        )
        used = np.flatnonzero(detections.is_detected & finite)
        used = used[np.ptp(detections.keypoints_px[used], axis=1).max(axis=-1) > 1e-3]
        if len(used):
            features, frame = encode(*self._as_right(detections, K_px, used), detections.score[used])
            lifted, sigma[used], doubts = self.doubts(features, frame)
            joints[used] = lifted if detections.side == "right" else mirror_points(lifted)
            error[used] = self.expected_error_m(doubts)
        is_valid = np.isfinite(joints).all((1, 2)) & (np.nan_to_num(joints[..., 2]).min(axis=1) > 0.0)
        joints[~is_valid], sigma[~is_valid], error[~is_valid] = np.nan, np.inf, np.inf
        return LiftedHand(detections.side, joints, sigma, error, is_valid)

    @staticmethod
    def _as_right(detections: HandDetections, K_px: np.ndarray, used: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rays = rays_of(detections.keypoints_px[used], K_px)
        world = detections.world_landmarks_m[used]
        return (rays, world) if detections.side == "right" else (mirror_points(rays), mirror_points(world))


def rays_of(
    keypoints_px: Float[np.ndarray, "*batch 2"], K_px: Float[np.ndarray, "3 3"]
) -> Float[np.ndarray, "*batch 3"]:
    """Viewing rays (z = 1) of pixels under a pinhole camera with or without skew."""
    homogeneous = np.concatenate([keypoints_px, np.ones((*keypoints_px.shape[:-1], 1))], axis=-1)
    return homogeneous @ np.linalg.inv(K_px).T


@lru_cache(maxsize=2)
def _load(path: Path) -> Lifter:
    if not path.is_file():
        raise MissingAsset(
            f"The lifter's weights {path.name} are missing: reinstall the package, or run "
            "`vitra lifter render` and `vitra lifter train`."
        )
    try:
        with np.load(path, allow_pickle=False) as archive:
            data = {name: archive[name].astype(np.float64) for name in archive.files}
        members = int(data["members"])
        depth = int(data["depth"])
        layers = [[(data[f"w{m}_{k}"], data[f"b{m}_{k}"]) for k in range(depth)] for m in range(members)]
        norm = (data[name] for name in ("mean", "std", "target_mean", "target_std"))
        return Lifter(layers, *norm, data.get("belief"))
    except (KeyError, ValueError, OSError) as error:
        raise BadInput(
            f"{path} does not hold lifter weights ({error}): write them with `vitra lifter train`."
        ) from error


def read_record(path: Path | None = None) -> dict:
    """The record beside the weights: how they were trained and what they reach on held-out renders."""
    return json.loads(Path(path or WEIGHTS_PATH).with_suffix(".json").read_text())
