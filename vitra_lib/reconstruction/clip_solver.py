"""Whole-clip refinement of a hand pose: Levenberg-Marquardt on all frames at once, banded normal equations.

The unknowns of a frame are a turn of the wrist (right perturbation of R), the wrist position and the free finger
angles: at most 51. Terms, each divided by its standard deviation:

- reprojection of 21 points, robust (Cauchy). Its error is mostly common to all points of a frame: a wrong size, which
  would otherwise pass for depth;
- the lifted joints relative to the wrist, robust, whose common error is a rotation of the whole hand (a wrong tilt);
- the lifted wrist, along and across its viewing ray;
- a Gaussian prior on the angles and soft joint limits;
- white-noise acceleration of position, wrist rotation and angles, for the true time steps.

The common errors are nuisances with their own standard deviations, integrated out in closed form: a low-rank change
of the weights, computed once.

Everything is a right hand here: `fit.py` mirrors left hands before and after (the mirror is exact).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.linalg import LinAlgError, solveh_banded

from vitra_lib.geometry.rotations import exp, log
from vitra_lib.hands.kinematics import CHAINS, BoneChains, FingerDofs, chain_jacobian

_MIN_DEPTH_M = 0.02
_CORRELATION_S = 0.1  # an acceleration lasts about this long; turns its rms into the density of a white noise


@dataclass(frozen=True)
class ClipEvidence:
    """What was measured, already mirrored to a right hand, for the usable frames only.

    Attributes:
        xy: (time, 21, 2) detected points on the plane z = 1 (normalised image coordinates).
        xy_std: (time, 21) their standard deviations, same unit.
        joints_cam: (time, 21, 3) lifted joints in the camera [m].
        depth_std_m: (time,) error of the lifted wrist along its viewing ray [m].
        times_s: (time,) times of the frames [s], increasing.
        is_linked: (time - 1,) True where motion may be assumed smooth from one frame to the next.
    """

    xy: Float[np.ndarray, "time 21 2"]
    xy_std: Float[np.ndarray, "time 21"]
    joints_cam: Float[np.ndarray, "time 21 3"]
    depth_std_m: Float[np.ndarray, " time"]
    times_s: Float[np.ndarray, " time"]
    is_linked: Bool[np.ndarray, " links"]


@dataclass(frozen=True)
class ClipState:
    """Poses of all frames: wrist rotation and position in the camera [m], angles of 15 joints [rad]."""

    R: Float[np.ndarray, "time 3 3"]
    t: Float[np.ndarray, "time 3"]
    angles: Float[np.ndarray, "time 15 3"]


@dataclass(frozen=True)
class SolverWeights:
    """Standard deviations of the terms (module docstring) and the effort.

    Attributes:
        scale_std: common relative scale error of the reprojected points of one frame.
        tilt_std: common rotation of the lifted joints of one frame about the wrist [rad].
        relative_std_m: error of a lifted joint relative to the wrist [m].
        across_std_m: error of the lifted wrist across its viewing ray [m].
        angle_mean, angle_std: (15, 3) Gaussian prior of the finger angles [rad].
        limit_std: how far an angle may exceed its limit [rad].
        acceleration: typical acceleration of the wrist [m/s^2].
        angular_acceleration: typical angular acceleration of the wrist [rad/s^2].
        finger_acceleration: typical angular acceleration of a finger angle [rad/s^2].
        robust_at: residual, in standard deviations, from which a point counts as an outlier.
        iterations: most Levenberg-Marquardt steps.
        stop_at: relative decrease of the cost below which the solver stops.
    """

    scale_std: float
    tilt_std: float
    relative_std_m: float
    across_std_m: float
    angle_mean: Float[np.ndarray, "15 3"]
    angle_std: Float[np.ndarray, "15 3"]
    limit_std: float
    acceleration: float
    angular_acceleration: float
    finger_acceleration: float
    robust_at: float
    iterations: int
    stop_at: float


class ClipSolver:
    """One clip's least-squares problem; `solve` improves a state, `cost` rates it."""

    def __init__(self, chains: BoneChains, dofs: FingerDofs, evidence: ClipEvidence, weights: SolverWeights):
        self.chains, self.dofs, self.evidence, self.weights = chains, dofs, evidence, weights
        self.free = np.flatnonzero(dofs.is_free.ravel())
        self.size = 6 + len(self.free)
        self._lower, self._upper = dofs.lower.ravel()[self.free], dofs.upper.ravel()[self.free]
        self._mean, self._std = weights.angle_mean.ravel()[self.free], weights.angle_std.ravel()[self.free]
        wrist = evidence.joints_cam[:, 0]
        ray = wrist / np.linalg.norm(wrist, axis=-1, keepdims=True)
        along = ray[:, :, None] * ray[:, None, :]
        self._wrist_root = along / evidence.depth_std_m[:, None, None] + (np.eye(3) - along) / weights.across_std_m
        self._relative = evidence.joints_cam[:, 1:] - evidence.joints_cam[:, :1]
        spread = (evidence.xy - evidence.xy.mean(axis=1, keepdims=True)) / evidence.xy_std[..., None]
        self._scale = _nuisance(spread.reshape(len(wrist), 42, 1), weights.scale_std)
        turned = -_cross(self._relative) / weights.relative_std_m
        self._tilt = _nuisance(turned.reshape(len(wrist), 60, 3), weights.tilt_std)
        self._triples()

    def _triples(self) -> None:
        """Coefficients of the second difference over each three consecutive linked frames."""
        linked = self.evidence.is_linked
        self.middle = np.flatnonzero(linked[:-1] & linked[1:]) + 1 if len(linked) > 1 else np.zeros(0, int)
        steps = np.diff(self.evidence.times_s)
        before, after = steps[self.middle - 1], steps[self.middle]
        mean = (before + after) / 2
        density = np.sqrt(mean / (2 * _CORRELATION_S))  # white noise of rms a and correlation time tau
        self._before, self._after, self._density = 1 / before, 1 / after, density / mean
        rms = np.concatenate(
            [
                np.full(3, self.weights.angular_acceleration),
                np.full(3, self.weights.acceleration),
                np.full(len(self.free), self.weights.finger_acceleration),
            ]
        )
        self._inverse_rms = 1 / rms

    def solve(self, state: ClipState) -> ClipState:
        """Run Levenberg-Marquardt from a state; never returns a worse one."""
        damping, system = 1e-4, self._system(state)
        for _ in range(self.weights.iterations):
            cost, diagonal, lower1, lower2, gradient = system
            try:
                step = self._banded_step(diagonal, lower1, lower2, gradient, damping)
            except LinAlgError:
                damping *= 10
                continue
            trial = self._moved(state, step)
            trial_system = self._system(trial)
            if trial_system[0] < cost:
                state, system, damping = trial, trial_system, max(damping / 10, 1e-8)
                if cost - trial_system[0] < self.weights.stop_at * cost:
                    break
            else:
                damping = max(damping * 10, 1e-3)
        return state

    def cost(self, state: ClipState) -> float:
        """Sum of robust squared residuals, halved."""
        return self._system(state)[0]

    def points(self, state: ClipState) -> Float[np.ndarray, "time 21 3"]:
        """Joints of the state in the camera [m]."""
        return self._kinematics(state)[0]

    def _moved(self, state: ClipState, step: np.ndarray) -> ClipState:
        angles = state.angles.reshape(-1, 45).copy()
        angles[:, self.free] += np.clip(step[:, 6:], -0.7, 0.7)
        return ClipState(state.R @ exp(step[:, :3]), state.t + step[:, 3:6], angles.reshape(-1, 15, 3))

    def _kinematics(self, state: ClipState) -> tuple[np.ndarray, np.ndarray]:
        """Joints in the camera and their derivative in all unknowns of the frame: (time, 21, 3, size)."""
        frames = len(state.R)
        chain_points, chain_J = chain_jacobian(self.chains, self.dofs, state.angles)
        wrist_points = np.broadcast_to(self.chains.joints, (frames, 21, 3)).copy()
        wrist_points[:, CHAINS.ravel()] = chain_points.reshape(frames, 20, 3)
        local = np.zeros((frames, 21, 3, 6 + 45))
        x, y, z = np.moveaxis(wrist_points, -1, 0)  # derivative of exp(d) p in d is -[p]x
        local[..., 0, 1], local[..., 0, 2] = z, -y
        local[..., 1, 0], local[..., 1, 2] = -z, x
        local[..., 2, 0], local[..., 2, 1] = y, -x
        for finger in range(5):
            rows = CHAINS[finger, 1:]
            local[:, rows, :, 6 + 9 * finger : 15 + 9 * finger] = chain_J[:, finger].reshape(frames, 3, 3, 9)
        local = local[..., np.concatenate([np.arange(6), 6 + self.free])]
        jacobian = (state.R[:, None] @ local.reshape(frames, 21, 3, self.size)).reshape(frames, 21, 3, self.size)
        jacobian[..., 3:6] = np.eye(3)
        points = wrist_points @ np.swapaxes(state.R, -1, -2) + state.t[:, None]
        return points, jacobian

    def _system(self, state: ClipState) -> tuple[float, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Cost, blocks of the normal matrix (diagonal, first and second below it) and the descent direction."""
        points, jacobian = self._kinematics(state)
        cost2d, r2d, J2d = self._reprojection(points, jacobian)
        cost3d, r3d, J3d = self._lifted(points, jacobian)
        residual, J = np.concatenate([r2d, r3d], axis=1), np.concatenate([J2d, J3d], axis=1)
        diagonal = np.swapaxes(J, 1, 2) @ J
        gradient = -(residual[:, None] @ J)[:, 0]
        cost = cost2d + cost3d + self._add_prior(state, diagonal, gradient)
        lower1 = np.zeros((max(len(points) - 1, 0), self.size, self.size))
        lower2 = np.zeros((max(len(points) - 2, 0), self.size, self.size))
        cost += self._add_smoothness(state, diagonal, lower1, lower2, gradient)
        return cost, diagonal, lower1, lower2, gradient

    def _robust(self, squared: np.ndarray) -> tuple[float, np.ndarray]:
        """Cauchy cost of squared residual norms and the square roots of their weights."""
        c2 = self.weights.robust_at**2
        return float(0.5 * c2 * np.log1p(squared / c2).sum()), np.sqrt(1 / (1 + squared / c2))

    def _reprojection(self, points: np.ndarray, jacobian: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        frames = len(points)
        z = np.maximum(points[..., 2], _MIN_DEPTH_M)
        xy = points[..., :2] / z[..., None]
        std = self.evidence.xy_std
        residual = (xy - self.evidence.xy) / std[..., None]
        J = (jacobian[..., :2, :] - xy[..., None] * jacobian[..., 2:, :]) / (z * std)[..., None, None]
        return self._terms(residual, J.reshape(frames, 42, self.size), self._scale)

    def _lifted(self, points: np.ndarray, jacobian: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        frames = len(points)
        residual = (points[:, 1:] - points[:, :1] - self._relative) / self.weights.relative_std_m
        J = (jacobian[:, 1:] - jacobian[:, :1]) / self.weights.relative_std_m
        cost, residual, J = self._terms(residual, J.reshape(frames, 60, self.size), self._tilt)
        wrist = np.einsum("tab,tb->ta", self._wrist_root, points[:, 0] - self.evidence.joints_cam[:, 0])
        wrist_J = self._wrist_root @ jacobian[:, 0]
        cost += 0.5 * float(np.sum(wrist**2))
        return cost, np.concatenate([residual, wrist], axis=1), np.concatenate([J, wrist_J], axis=1)

    def _terms(
        self, residual: np.ndarray, J: np.ndarray, nuisance: tuple[np.ndarray, np.ndarray]
    ) -> tuple[float, np.ndarray, np.ndarray]:
        """Robust points with a nuisance integrated out: what moves along its directions counts by `keep` only."""
        directions, keep = nuisance
        frames, count, dim = residual.shape
        flat = residual.reshape(frames, -1)
        along = (flat[:, None] @ directions)[:, 0]
        along_J = np.swapaxes(directions, 1, 2) @ J
        clean = flat - (directions @ along[..., None])[..., 0]
        cost, root = self._robust(np.sum(clean.reshape(frames, count, dim) ** 2, axis=-1))
        root = np.repeat(root, dim, axis=1)
        clean_J = (J - directions @ along_J) * root[..., None]
        cost += 0.5 * float(np.sum((keep * along) ** 2))
        return (
            cost,
            np.concatenate([clean * root, keep * along], axis=1),
            np.concatenate([clean_J, keep[..., None] * along_J], axis=1),
        )

    def _add_prior(self, state: ClipState, diagonal: np.ndarray, gradient: np.ndarray) -> float:
        angles = state.angles.reshape(-1, 45)[:, self.free]
        prior = (angles - self._mean) / self._std
        beyond = np.maximum(angles - self._upper, 0) + np.minimum(angles - self._lower, 0)
        beyond = beyond / self.weights.limit_std
        place = np.arange(6, self.size)
        diagonal[:, place, place] += 1 / self._std**2 + (beyond != 0) / self.weights.limit_std**2
        gradient[:, 6:] -= prior / self._std + beyond / self.weights.limit_std
        return 0.5 * float(np.sum(prior**2) + np.sum(beyond**2))

    def _add_smoothness(
        self, state: ClipState, diagonal: np.ndarray, lower1: np.ndarray, lower2: np.ndarray, gradient: np.ndarray
    ) -> float:
        """Add the acceleration terms of every linked triple of frames to the normal equations."""
        mid = self.middle
        if len(mid) == 0:
            return 0.0
        angles = state.angles.reshape(-1, 45)[:, self.free]
        vector = np.concatenate([state.t, angles], axis=1)
        slope = np.diff(vector, axis=0)
        turn_before = log(np.swapaxes(state.R[mid - 1], -1, -2) @ state.R[mid])
        turn_after = log(np.swapaxes(state.R[mid], -1, -2) @ state.R[mid + 1])
        change = np.concatenate([turn_after, slope[mid]], axis=1) * self._after[:, None]
        change -= np.concatenate([turn_before, slope[mid - 1]], axis=1) * self._before[:, None]
        weight = self._density[:, None] * self._inverse_rms
        residual = change * weight
        # Each unknown is a diagonal 1-2-1 stencil; a turn's is carried into the middle frame by half its rotation. The
        # frames `mid + offset` of one offset are all different, so plain indexed addition is exact.
        place = np.arange(3, self.size)
        stencil = (self._before, -(self._before + self._after), self._after)
        scaled = [factor[:, None] * weight[:, 3:] for factor in stencil]
        half_before, half_after = _cross(turn_before) / 2, _cross(turn_after) / 2
        eye, wr = np.eye(3), weight[:, :3, None]
        before, after = self._before[:, None, None], self._after[:, None, None]
        turns = (
            before * (eye - half_before) * wr,
            (-before * (eye + half_before) - after * (eye - half_after)) * wr,
            after * (eye + half_after) * wr,
        )
        for which, offset in enumerate((-1, 0, 1)):
            transposed = np.swapaxes(turns[which], -1, -2)
            gradient[mid + offset, :3] -= (transposed @ residual[:, :3, None])[..., 0]
            gradient[mid + offset, 3:] -= scaled[which] * residual[:, 3:]
            diagonal[mid + offset, :3, :3] += transposed @ turns[which]
            diagonal[(mid + offset)[:, None], place, place] += scaled[which] ** 2
        for lower, shift, late, early in ((lower1, -1, 1, 0), (lower1, 0, 2, 1), (lower2, -1, 2, 0)):
            lower[mid + shift, :3, :3] += np.swapaxes(turns[late], -1, -2) @ turns[early]
            lower[(mid + shift)[:, None], place, place] += scaled[late] * scaled[early]
        return 0.5 * float(np.sum(residual**2))

    def _banded_step(
        self, diagonal: np.ndarray, lower1: np.ndarray, lower2: np.ndarray, gradient: np.ndarray, damping: float
    ) -> np.ndarray:
        """Solve the damped normal equations by banded Cholesky."""
        frames, n = gradient.shape
        reach = 2 * n + 2 if frames > 2 else (n + 2 if frames > 1 else 0)
        band = np.zeros((max(reach, n - 1) + 1, frames * n))
        rows, cols = np.tril_indices(n)
        start = np.arange(frames)[:, None] * n
        band[rows - cols, start + cols] = diagonal[:, rows, cols]
        band[0] *= 1 + damping
        # Off the diagonal block only like unknowns couple, and the three angles of the wrist among themselves.
        rows = np.concatenate([np.repeat(np.arange(3), 3), np.arange(3, n)])
        cols = np.concatenate([np.tile(np.arange(3), 3), np.arange(3, n)])
        for distance, lower in ((1, lower1), (2, lower2)):
            if frames > distance:
                band[distance * n + rows - cols, start[: frames - distance] + cols] = lower[:, rows, cols]
        return solveh_banded(band, gradient.ravel(), lower=True, overwrite_ab=True).reshape(frames, n)


def _nuisance(directions: np.ndarray, std: float) -> tuple[np.ndarray, np.ndarray]:
    """Orthonormal directions in which a common error moves all residuals, and the weight that is left to each."""
    U, singular, _ = np.linalg.svd(directions, full_matrices=False)
    return U, 1 / np.sqrt(1 + (std * singular) ** 2)


def _cross(v: np.ndarray) -> np.ndarray:
    """Matrices [v]x of vectors."""
    x, y, z = np.moveaxis(v, -1, 0)
    zero = np.zeros_like(x)
    return np.stack([np.stack([zero, -z, y], -1), np.stack([z, zero, -x], -1), np.stack([-y, x, zero], -1)], -2)
