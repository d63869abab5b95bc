"""Bundle adjustment by hand: Levenberg-Marquardt, Huber weights, points eliminated by the Schur complement.

Pixels are centred and isotropic (principal point removed, v stretched by fx / fy), so one focal length f describes
the camera: u = f x / z, v = f y / z with (x, y, z) = R X + t. A pose step acts from the left, R <- exp(w) R and
(x, y, z) <- exp(w) (x, y, z) + d. With residual r, camera Jacobian A and point Jacobian B the normal equations

    [U  W] [da]   [ga]        U = sum A'A,  W = A'B,  V = sum B'B
    [W' V] [db] = [gb]

reduce to (U - W V^-1 W') da = ga - W V^-1 gb, one 6-vector per camera plus, when f is free, one number.
The cost of a step is linear in the number of observations for tracks of bounded length.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import bsr_matrix

from vitra_lib.geometry import rotations

_DAMP_START, _DAMP_MAX = 1e-4, 1e6


@dataclass
class Bundle:
    """Cameras, points and observations while they are adjusted (internal and mutable, never crosses a boundary).

    Attributes:
        R, t: (camera, 3, 3), (camera, 3) map world points to each camera.
        X: (point, 3) points in the world.
        focal: focal length in centred pixels.
        camera, point, uv: (obs,), (obs,), (obs, 2) which camera saw which point where.
    """

    R: np.ndarray
    t: np.ndarray
    X: np.ndarray
    focal: float
    camera: np.ndarray
    point: np.ndarray
    uv: np.ndarray

    def in_camera(self) -> np.ndarray:
        """(obs, 3) each observed point in its camera."""
        return np.einsum("nij,nj->ni", self.R[self.camera], self.X[self.point]) + self.t[self.camera]

    def residuals(self) -> np.ndarray:
        """(obs, 2) projection minus observation [px]; huge where the point is not in front of the camera."""
        p = self.in_camera()
        z = np.where(p[:, 2] > 1e-6, p[:, 2], np.nan)
        return np.nan_to_num(self.focal * p[:, :2] / z[:, None] - self.uv, nan=1e4)


def huber_weights(error_px: np.ndarray, delta_px: float) -> np.ndarray:
    """Weights of iteratively reweighted least squares: 1 inside delta, delta / error outside."""
    return np.minimum(1.0, delta_px / np.maximum(error_px, 1e-12))


def robust_cost(residuals: np.ndarray, delta_px: float) -> float:
    """Sum of Huber losses of (obs, 2) residuals."""
    error = np.linalg.norm(residuals, axis=1)
    return float(np.where(error <= delta_px, 0.5 * error**2, delta_px * (error - 0.5 * delta_px)).sum())


def point_jacobians(p_cam: np.ndarray, focal: float) -> np.ndarray:
    """(obs, 2, 3) derivative of the pixel by the point in the camera."""
    inverse_z = 1.0 / np.maximum(p_cam[:, 2], 1e-6)
    J = np.zeros((len(p_cam), 2, 3))
    J[:, 0, 0] = J[:, 1, 1] = focal * inverse_z
    J[:, :, 2] = -focal * p_cam[:, :2] * (inverse_z**2)[:, None]
    return J


def camera_jacobians(J_cam: np.ndarray, p_cam: np.ndarray) -> np.ndarray:
    """(obs, 2, 6) derivative of the pixel by the left pose step (w, d): chain with [-p]x and the identity."""
    J = np.empty((len(p_cam), 2, 6))
    x, y, z = p_cam[:, None, 0], p_cam[:, None, 1], p_cam[:, None, 2]
    a, b, c = J_cam[..., 0], J_cam[..., 1], J_cam[..., 2]
    J[..., 0], J[..., 1], J[..., 2] = c * y - b * z, a * z - c * x, b * x - a * y
    J[..., 3:] = J_cam
    return J


def group_sum(values: np.ndarray, group: np.ndarray, count: int) -> np.ndarray:
    """(count, ...) sums of rows by group index (groups need not be sorted or all present)."""
    flat = values.reshape(len(values), -1)
    order = np.argsort(group, kind="stable")
    out = np.zeros((count, flat.shape[1]))
    if len(group):
        first = np.flatnonzero(np.diff(group[order], prepend=-1))
        out[group[order][first]] = np.add.reduceat(flat[order], first, axis=0)
    return out.reshape(count, *values.shape[1:])


class _Normal:
    """Normal equations of one linearisation."""

    def __init__(self, bundle: Bundle, row_of_camera: np.ndarray, delta_px: float, free_focal: bool) -> None:
        p = bundle.in_camera()
        r = bundle.residuals()
        w = np.sqrt(huber_weights(np.linalg.norm(r, axis=1), delta_px))[:, None]
        J_cam = point_jacobians(p, bundle.focal)
        A = camera_jacobians(J_cam, p) * w[..., None]
        B = np.einsum("nij,njk->nik", J_cam, bundle.R[bundle.camera]) * w[..., None]
        r = r * w
        self.rows, self.points = int(row_of_camera.max(initial=-1)) + 1, len(bundle.X)
        row = row_of_camera[bundle.camera]
        self.free = row >= 0
        self.row, self.point = row[self.free], bundle.point[self.free]
        Af, rf = A[self.free], r[self.free]
        self.U = group_sum(np.einsum("nki,nkj->nij", Af, Af), self.row, self.rows)
        self.ga = -group_sum(np.einsum("nki,nk->ni", Af, rf), self.row, self.rows)
        self.V = group_sum(np.einsum("nki,nkj->nij", B, B), bundle.point, self.points)
        self.gb = -group_sum(np.einsum("nki,nk->ni", B, r), bundle.point, self.points)
        self.W = np.einsum("nki,nkj->nij", Af, B[self.free])
        by_row = np.argsort(self.row, kind="stable")
        self.W, self.row, self.point = self.W[by_row], self.row[by_row], self.point[by_row]
        self.free_focal = free_focal
        if free_focal:
            F = p[:, :2] / np.maximum(p[:, 2:], 1e-6) * w
            self.Uff, self.gf = float((F * F).sum()), -float((F * r).sum())
            self.Uaf = group_sum(np.einsum("nki,nk->ni", Af, F[self.free]), row[self.free], self.rows)
            self.Wf = group_sum(np.einsum("nki,nk->ni", B, F), bundle.point, self.points)

    def reduced(self, damp: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Schur complement S and right side g over cameras (and focal), and the inverses of the damped V."""
        eye = np.eye(3)
        V = self.V + damp * self.V * eye + 1e-12 * eye * (1.0 + np.trace(self.V, axis1=1, axis2=2))[:, None, None]
        V_inverse = np.linalg.inv(V)
        Y = self.W @ V_inverse[self.point]
        n = 6 * self.rows
        S = np.zeros((n + self.free_focal, n + self.free_focal))
        g = np.zeros(n + self.free_focal)
        if self.rows:
            indptr = np.searchsorted(self.row, np.arange(self.rows + 1))
            shape = (n, 3 * self.points)
            left = bsr_matrix((Y, self.point, indptr), shape=shape)
            right = bsr_matrix((self.W, self.point, indptr), shape=shape)
            S[:n, :n] = -(left @ right.T).toarray()
            blocks = S[:n, :n].reshape(self.rows, 6, self.rows, 6)
            index = np.arange(self.rows)
            blocks[index, :, index, :] += self.U + damp * self.U * np.eye(6)
            g[:n] = (self.ga - group_sum(np.einsum("nij,nj->ni", Y, self.gb[self.point]), self.row, self.rows)).ravel()
        if self.free_focal:
            Vf = np.einsum("pij,pj->pi", V_inverse, self.Wf)
            column = self.Uaf - group_sum(np.einsum("nij,nj->ni", Y, self.Wf[self.point]), self.row, self.rows)
            S[:n, n] = S[n, :n] = column.ravel()
            S[n, n] = self.Uff * (1 + damp) - float((self.Wf * Vf).sum())
            g[n] = self.gf - float((Vf * self.gb).sum())
        return S, g, V_inverse

    def step(self, damp: float) -> tuple[np.ndarray, np.ndarray, float] | None:
        """Pose steps (rows, 6), point steps (points, 3), focal step; None if the system is singular."""
        S, g, V_inverse = self.reduced(damp)
        try:
            solution = cho_solve(cho_factor(S + 1e-9 * np.diag(np.diag(S)), check_finite=False), g, check_finite=False)
        except np.linalg.LinAlgError:
            return None
        da = solution[: 6 * self.rows].reshape(-1, 6)
        df = float(solution[-1]) if self.free_focal else 0.0
        right = self.gb - group_sum(np.einsum("nij,ni->nj", self.W, da[self.row]), self.point, self.points)
        if self.free_focal:
            right = right - self.Wf * df
        return da, np.einsum("pij,pj->pi", V_inverse, right), df


def adjust(
    bundle: Bundle, free_cameras: np.ndarray, delta_px: float, iterations: int, free_focal: bool = False
) -> Bundle:
    """Move cameras, points and, if wanted, the focal length to the least Huber cost.

    Args:
        bundle: where to start; not changed.
        free_cameras: (camera,) True where the pose may move; keep one False to hold the gauge.
        delta_px: Huber threshold [px].
        iterations: most steps taken; stops early when the cost falls by less than 0.01 %.
        free_focal: also refine the focal length.

    Returns:
        The adjusted bundle.
    """
    row_of_camera = np.where(free_cameras, np.cumsum(free_cameras) - 1, -1)
    cost, damp = robust_cost(bundle.residuals(), delta_px), _DAMP_START
    for _ in range(iterations):
        normal = _Normal(bundle, row_of_camera, delta_px, free_focal)
        accepted = False
        while not accepted and damp < _DAMP_MAX:
            move = normal.step(damp)
            trial = None if move is None else _moved(bundle, free_cameras, *move)
            trial_cost = np.inf if trial is None or trial.focal <= 0 else robust_cost(trial.residuals(), delta_px)
            accepted = trial_cost < cost
            damp = max(damp / 5, 1e-8) if accepted else damp * 8
        if not accepted:
            break
        gain, cost, bundle = cost - trial_cost, trial_cost, trial
        if gain < 1e-4 * cost:
            break
    return bundle


def _moved(bundle: Bundle, free: np.ndarray, da: np.ndarray, db: np.ndarray, df: float) -> Bundle:
    """The bundle after one step."""
    R, t = bundle.R.copy(), bundle.t.copy()
    if len(da):
        turn = rotations.exp(da[:, :3])
        R[free] = turn @ bundle.R[free]
        t[free] = np.einsum("nij,nj->ni", turn, bundle.t[free]) + da[:, 3:]
    return Bundle(R, t, bundle.X + db, bundle.focal + df, bundle.camera, bundle.point, bundle.uv)


def focal_std(bundle: Bundle, delta_px: float) -> float:
    """1-sigma of a free focal length [px] from the reduced normal equations at the solution.

    Errors of one feature track repeat from frame to frame, so each track counts as two observations, not as many.
    """
    free = np.ones(len(bundle.R), bool)
    free[0] = False
    normal = _Normal(bundle, np.where(free, np.cumsum(free) - 1, -1), delta_px, True)
    S, _, _ = normal.reduced(1e-9)
    # The scale of the scene is free: without a small floor on the diagonal S is singular in that one direction.
    variance = np.linalg.pinv(S, rcond=1e-12, hermitian=True)[-1, -1]
    error = np.linalg.norm(bundle.residuals(), axis=1)
    noise = np.mean(np.minimum(error, 3 * delta_px) ** 2) / 2
    repeat = max(1.0, len(bundle.uv) / max(1, 2 * len(bundle.X)))
    return float(np.sqrt(max(variance, 0.0) * noise * repeat))


def refine_poses(bundle: Bundle, delta_px: float, iterations: int) -> Bundle:
    """Move every camera by itself, points fixed: one 6 x 6 system per camera, all cameras at once."""
    for _ in range(iterations):
        p, r = bundle.in_camera(), bundle.residuals()
        w = np.sqrt(huber_weights(np.linalg.norm(r, axis=1), delta_px))[:, None]
        A = camera_jacobians(point_jacobians(p, bundle.focal), p) * w[..., None]
        U = group_sum(np.einsum("nki,nkj->nij", A, A), bundle.camera, len(bundle.R))
        g = -group_sum(np.einsum("nki,nk->ni", A, r * w), bundle.camera, len(bundle.R))
        eye = np.eye(6)
        da = np.linalg.solve(U + 1e-6 * U * eye + 1e-9 * eye, g[..., None])[..., 0]
        da *= np.minimum(1.0, 0.3 / np.maximum(np.linalg.norm(da[:, :3], axis=1), 1e-12))[:, None]
        bundle = _moved(bundle, np.ones(len(bundle.R), bool), da, np.zeros_like(bundle.X), 0.0)
        # A millionth of a radian or of the scene is a thousandth of a pixel.
        if np.abs(da).max() < 3e-6:
            break
    return bundle


def refine_points(bundle: Bundle, delta_px: float, iterations: int) -> Bundle:
    """Move every point by itself, cameras fixed: one 3 x 3 system per point, all points at once."""
    for _ in range(iterations):
        p, r = bundle.in_camera(), bundle.residuals()
        w = np.sqrt(huber_weights(np.linalg.norm(r, axis=1), delta_px))[:, None]
        B = np.einsum("nij,njk->nik", point_jacobians(p, bundle.focal), bundle.R[bundle.camera]) * w[..., None]
        V = group_sum(np.einsum("nki,nkj->nij", B, B), bundle.point, len(bundle.X))
        g = -group_sum(np.einsum("nki,nk->ni", B, r * w), bundle.point, len(bundle.X))
        eye = np.eye(3)
        db = np.linalg.solve(V + 1e-3 * V * eye + 1e-9 * eye, g[..., None])[..., 0]
        trial = _moved(bundle, np.zeros(len(bundle.R), bool), np.zeros((0, 6)), db, 0.0)
        before = group_sum((bundle.residuals() ** 2).sum(1), bundle.point, len(bundle.X))
        after = group_sum((trial.residuals() ** 2).sum(1), bundle.point, len(bundle.X))
        X = np.where((after < before)[:, None], trial.X, bundle.X)
        bundle = Bundle(bundle.R, bundle.t, X, bundle.focal, bundle.camera, bundle.point, bundle.uv)
    return bundle
