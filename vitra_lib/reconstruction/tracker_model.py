"""What the tracker would say of a hand that was never rendered: learned from renders, so that poses are free.

Rendering a view takes a quarter of a second, stating a pose takes nothing. From rendered pairs (true joints, what the
tracker said) this model learns the tracker's mean answer as a function of the true pose seen along its ray, and keeps
what it missed, pair by pair. A new pose gets the mean answer plus the residual of one of its nearest neighbours among
the pairs: bias, noise, their correlation over the joints and their growth in difficult poses all come from the tracker
itself. Residuals are of pairs that the mean had not seen, otherwise they would be too small.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import cKDTree

from vitra_lib.reconstruction.lifter import JOINT_SCALE_M, RayFrame, encode
from vitra_lib.reconstruction.lifter_data import LifterSamples

_NEIGHBOURS = 8
_EPOCHS = 25
_WIDTH = 128
_BATCH = 256
_IN_PLANE_WEIGHT = 0.7  # nearness counts the pose in space more than its picture, which follows from it
_MAX_FEATURE = 50.0


class TrackerModel:
    """A stand-in for the tracker: true joints of right hands -> landmarks and 3-D guess.

    Args:
        samples: rendered pairs.
        seed: of the training.
    """

    def __init__(self, samples: LifterSamples, seed: int) -> None:
        pose, _ = _pose_of(samples.joints_cam)
        said = _said_of(samples)
        self._mean, self._std = pose.mean(0), pose.std(0) + 1e-6
        self._said_std = said.std(0) + 1e-6
        x, y = (pose - self._mean) / self._std, said / self._said_std
        half = samples.clip % 2
        self._answers = [_fit(x[half != k], y[half != k], seed + k) for k in (0, 1)]
        self._residual = np.zeros_like(said)
        for k, answer in enumerate(self._answers):
            self._residual[half == k] = (y[half == k] - answer(x[half == k])) * self._said_std
        self.explained = float(1 - self._residual.var() / said.var())
        """Share of the variance of what the tracker says that the pose explains, on pairs not trained on."""
        weight = np.ones(pose.shape[1])
        weight[:43] = weight[103:] = _IN_PLANE_WEIGHT
        self._weight = weight
        self._tree = cKDTree(x * weight)

    def __call__(
        self, joints_cam: Float[np.ndarray, "n 21 3"], clip: Int[np.ndarray, " n"], rng: np.random.Generator, looks: int
    ) -> LifterSamples:
        """Samples as if the tracker had seen these right hands; poses that it could not have seen are left out.

        Args:
            joints_cam: true joints in the camera [m].
            clip: number of the clip of each.
            rng: chooses the residuals.
            looks: how often each hand is seen, with new errors each time.
        """
        keep = joints_cam[..., 2].min(axis=1) > 0.05
        joints, clip = joints_cam[keep], clip[keep]
        pose, frame = _pose_of(joints)
        x = (pose - self._mean) / self._std
        mean = 0.5 * sum(answer(x) for answer in self._answers) * self._said_std
        near = self._tree.query(x * self._weight, k=_NEIGHBOURS)[1]
        seen = []
        for _ in range(looks):
            said = mean + self._residual[near[np.arange(len(near)), rng.integers(0, _NEIGHBOURS, len(near))]]
            rays, world = _spoken(said, pose, frame)
            samples = LifterSamples(
                rays_cam=rays / rays[..., 2:],
                world_landmarks_m=world,
                score=np.full(len(joints), 0.9),
                joints_cam=joints,
                clip=clip,
                is_right=np.ones(len(joints), bool),
                time_s=np.full(len(joints), np.nan),
            )
            in_front = rays[..., 2].min(axis=1) > 0.05
            seen.append(samples.take(in_front & (np.abs(said).max(axis=1) < _MAX_FEATURE)))
        return LifterSamples.joined(seen)


def _pose_of(joints_cam: np.ndarray) -> tuple[np.ndarray, RayFrame]:
    """True hands as the model sees them: picture, size, joints about the wrist and roll, along their own rays."""
    flat, frame = encode(joints_cam / joints_cam[..., 2:], np.zeros_like(joints_cam), np.zeros(len(joints_cam)))
    joints = joints_cam @ np.swapaxes(frame.R_ray_cam, 1, 2)
    relative = (joints[:, 1:] - joints[:, :1]).reshape(len(joints), 60) / JOINT_SCALE_M
    return np.concatenate([flat[:, :43], relative, frame.roll], axis=1), frame


def _roll_of(frame: RayFrame) -> np.ndarray:
    c, s = frame.roll.T
    zero, one = np.zeros_like(c), np.ones_like(c)
    return np.stack([np.stack([c, s, zero], -1), np.stack([-s, c, zero], -1), np.stack([zero, zero, one], -1)], -2)


def _said_of(samples: LifterSamples) -> np.ndarray:
    """(n, 102) errors of the landmarks in units of the hand's size, and the 3-D guess, in the true hand's frame."""
    pose, frame = _pose_of(samples.joints_cam)
    rays = samples.rays_cam @ np.swapaxes(frame.R_ray_cam, 1, 2)
    plane = (rays[..., :2] / rays[..., 2:] - frame.centre[:, None]) / frame.size[:, None, None]
    world = samples.world_landmarks_m - samples.world_landmarks_m[:, :1]
    world = world @ np.swapaxes(_roll_of(frame), 1, 2)
    n = len(samples)
    return np.concatenate([plane.reshape(n, 42) - pose[:, :42], world[:, 1:].reshape(n, 60) / JOINT_SCALE_M], axis=1)


def _spoken(said: np.ndarray, pose: np.ndarray, frame: RayFrame) -> tuple[np.ndarray, np.ndarray]:
    """Inverse of `_said_of`: rays in the camera (any length) and the 3-D guess [m]."""
    n = len(said)
    plane = (said[:, :42] + pose[:, :42]).reshape(n, 21, 2) * frame.size[:, None, None] + frame.centre[:, None]
    rays = np.concatenate([plane, np.ones((n, 21, 1))], axis=-1) @ frame.R_ray_cam
    world = np.concatenate([np.zeros((n, 1, 3)), said[:, 42:].reshape(n, 20, 3) * JOINT_SCALE_M], axis=1)
    return rays, world @ _roll_of(frame)


def _fit(x: np.ndarray, y: np.ndarray, seed: int) -> Callable[[np.ndarray], np.ndarray]:
    """A small perceptron for the typical (least distance) answer."""
    import torch

    torch.manual_seed(seed)
    order = torch.Generator().manual_seed(seed)
    layers: list[torch.nn.Module] = []
    for i, o in ((x.shape[1], _WIDTH), (_WIDTH, _WIDTH)):
        layers += [torch.nn.Linear(i, o), torch.nn.ReLU(), torch.nn.Dropout(0.05)]
    net = torch.nn.Sequential(*layers, torch.nn.Linear(_WIDTH, y.shape[1]))
    X, Y = torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)
    steps = max(1, _EPOCHS * len(X) // _BATCH)
    optimiser = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, steps + 1)
    for _ in range(steps):
        rows = torch.randint(len(X), (_BATCH,), generator=order)
        loss = torch.sqrt((net(X[rows]) - Y[rows]).square().sum(-1) + 0.01).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    net.eval()

    def answer(poses: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return net(torch.tensor(poses, dtype=torch.float32)).numpy().astype(np.float64)

    return answer
