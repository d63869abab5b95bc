"""Smoothing and filling of irregularly sampled paths in R^n and SO(3), with every window in seconds.

The smoother is local polynomial regression: the value at time t is the constant term of the polynomial
that fits the samples in [t - window/2, t + window/2] best. With uniform times it is exactly the
Savitzky-Golay filter (11 frames and degree 3 at 30 fps: `window_s = 0.35`), and it stays defined
at the ends and for variable frame rate. On SO(3) the same weights average the logarithms relative to the
sample itself, so that a constant stays constant and the result is independent of the world's orientation.
"""

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.interpolate import CubicHermiteSpline

from vitra_lib.core.errors import BadInput
from vitra_lib.geometry.rotations import exp, log

_EPS_S = 1e-6  # times come from container time bases; a window limit must not depend on their last bit


def neighbours(
    times_s: Float[np.ndarray, " time"], window_s: float | Float[np.ndarray, " time"]
) -> tuple[Int[np.ndarray, "time width"], Bool[np.ndarray, "time width"]]:
    """Indices of the samples within half a window of each sample, padded to the widest window.

    Args:
        times_s: strictly increasing sample times [s].
        window_s: full width of the window [s], one for all or one per sample; samples exactly on its border belong
            to it.

    Returns:
        (index, is_real): padded places repeat a legal index and are False in `is_real`.

    Raises:
        BadInput: times that do not increase, or a negative window.
    """
    if len(times_s) == 0:
        return np.zeros((0, 1), int), np.zeros((0, 1), bool)
    if np.any(np.diff(times_s) <= 0):
        raise BadInput("Sample times must increase strictly; sort them and drop repeated ones first.")
    if np.any(np.asarray(window_s) < 0):
        raise BadInput(f"A smoothing window is a time >= 0 s, not {window_s}.")
    half = window_s / 2 + _EPS_S
    start = np.searchsorted(times_s, times_s - half, side="left")
    stop = np.searchsorted(times_s, times_s + half, side="right")
    width = int((stop - start).max())
    index = start[:, None] + np.arange(width)
    is_real = index < stop[:, None]
    return np.minimum(index, len(times_s) - 1), is_real


def local_polynomial_weights(
    times_s: Float[np.ndarray, " time"],
    window_s: float,
    degree: int = 3,
    derivative: int = 0,
    weight: Float[np.ndarray, " time"] | None = None,
) -> tuple[Int[np.ndarray, "time width"], Float[np.ndarray, "time width"]]:
    """The linear smoother: value (or derivative) at i = sum_k weights[i, k] x[index[i, k]].

    Args:
        times_s: strictly increasing sample times [s].
        window_s: full window [s].
        degree: degree of the local polynomial; where a window holds fewer samples than coefficients the
            sample keeps its value.
        derivative: 0 for the value, 1 for the first derivative [1/s].
        weight: relative trust in each sample (> 0), or None for equal trust.

    Returns:
        (index, weights); padded places have weight 0.
    """
    index, is_real = neighbours(times_s, window_s)
    if len(times_s) == 0:
        return index, np.zeros(index.shape)
    half = max(window_s / 2, _EPS_S)
    offset = (times_s[index] - times_s[:, None]) / half
    trust = is_real.astype(float) if weight is None else np.where(is_real, np.sqrt(weight[index]), 0.0)
    design = offset[..., None] ** np.arange(degree + 1) * trust[..., None]
    rows = np.linalg.pinv(design, rcond=1e-10)[:, min(derivative, degree), :] * trust
    if derivative > degree:
        rows = np.zeros_like(rows)
    return index, rows / half**derivative


def smooth_positions(
    x: Float[np.ndarray, "time *value"],
    times_s: Float[np.ndarray, " time"],
    window_s: float,
    degree: int = 3,
    weight: Float[np.ndarray, " time"] | None = None,
) -> Float[np.ndarray, "time *value"]:
    """Smooth a path in R^n; polynomials up to `degree` pass unchanged. Arguments as in `local_polynomial_weights`."""
    index, rows = local_polynomial_weights(times_s, window_s, degree, 0, weight)
    return np.einsum("tk,tk...->t...", rows, x[index])


def velocity(
    x: Float[np.ndarray, "time *value"], times_s: Float[np.ndarray, " time"], window_s: float, degree: int = 2
) -> Float[np.ndarray, "time *value"]:
    """First derivative [value/s] of a path by local polynomial regression (zero for a single sample)."""
    index, rows = local_polynomial_weights(times_s, window_s, degree, 1)
    return np.einsum("tk,tk...->t...", rows, x[index])


def smooth_rotations(
    R: Float[np.ndarray, "time *joint 3 3"],
    times_s: Float[np.ndarray, " time"],
    window_s: float,
    degree: int = 3,
    weight: Float[np.ndarray, " time"] | None = None,
) -> Float[np.ndarray, "time *joint 3 3"]:
    """Smooth rotations in the tangent space of each sample: R_i exp(sum_k w_ik log(R_i^T R_k)).

    Args:
        R: rotations; extra axes (joints) are smoothed independently.
        times_s, window_s, degree, weight: as in `local_polynomial_weights`.

    Returns:
        Rotations of the same shape. Left multiplication by a fixed rotation (a turned world) commutes with it.
    """
    index, rows = local_polynomial_weights(times_s, window_s, degree, 0, weight)
    tangent = np.zeros(R.shape[:-1])
    R_back = np.swapaxes(R, -1, -2)
    for k in range(index.shape[1]):
        share = rows[:, k].reshape(-1, *[1] * (R.ndim - 2))
        tangent += share * log(R_back @ R[index[:, k]])
    return R @ exp(tangent)


def running_median(
    x: Float[np.ndarray, "time value"], times_s: Float[np.ndarray, " time"], window_s: float
) -> Float[np.ndarray, "time value"]:
    """Median of each component over a centred window [s] that narrows towards both ends.

    Narrowing keeps the window symmetric, so that a steady motion is its own median at the ends too.
    """
    if len(times_s) == 0:
        return x.copy()
    to_end = np.minimum(times_s - times_s[0], times_s[-1] - times_s)
    index, is_real = neighbours(times_s, np.minimum(window_s, 2 * to_end))
    return np.nanmedian(np.where(is_real[..., None], x[index], np.nan), axis=1)


def fill_positions(
    x: Float[np.ndarray, "known *value"],
    known_s: Float[np.ndarray, " known"],
    query_s: Float[np.ndarray, " query"],
    slope_window_s: float,
) -> Float[np.ndarray, "query *value"]:
    """Cubic Hermite spline through known samples, with slopes from a local fit so that noise is not amplified.

    Args:
        x, known_s: the known samples and their strictly increasing times [s].
        query_s: times inside [known_s[0], known_s[-1]] to fill [s].
        slope_window_s: full window [s] of the quadratic fit that gives the slope at each known sample.
    """
    if len(known_s) == 1:
        return np.broadcast_to(x, (len(query_s), *x.shape[1:])).copy()
    slope = velocity(x, known_s, slope_window_s)
    return CubicHermiteSpline(known_s, x, slope, axis=0)(query_s)


def fill_rotations(
    R: Float[np.ndarray, "known *joint 3 3"],
    known_s: Float[np.ndarray, " known"],
    query_s: Float[np.ndarray, " query"],
) -> Float[np.ndarray, "query *joint 3 3"]:
    """Geodesic interpolation (slerp) between the known samples around each query time [s]; held beyond the ends."""
    after = np.clip(np.searchsorted(known_s, query_s), 1, max(len(known_s) - 1, 1))
    before = after - 1
    after = np.minimum(after, len(known_s) - 1)
    span = np.maximum(known_s[after] - known_s[before], _EPS_S)
    share = np.clip((query_s - known_s[before]) / span, 0.0, 1.0).reshape(-1, *[1] * (R.ndim - 2))
    return R[before] @ exp(share * log(np.swapaxes(R[before], -1, -2) @ R[after]))
