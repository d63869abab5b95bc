"""The wrist's speed on the true time axis: slope of a Gaussian-weighted line fit around every frame.

On a uniform clock the slope is the derivative of the Gaussian-smoothed path. Unlike smoothing followed by
differences it needs no resampling, so variable rates and missing frames are exact for straight motion, and the
ends of a track are not pulled towards zero.
"""

import numpy as np
from jaxtyping import Float, Int

_REACH_SIGMAS = 3.0
_CHUNK = 8192  # frames fitted at a time: the working set stays in the processor's cache


def runs_of(time_s: Float[np.ndarray, " time"], max_gap_s: float | int) -> Int[np.ndarray, " time"]:
    """Number of the stretch that each (valid) frame belongs to; a gap longer than `max_gap_s` starts the next."""
    if len(time_s) == 0:
        return np.zeros(0, np.int64)
    return np.concatenate([[0], np.cumsum(np.diff(time_s) > max_gap_s)]).astype(np.int64)


def smoothed_motion(
    time_s: Float[np.ndarray, " time"],
    position: Float[np.ndarray, "time 3"],
    run: Int[np.ndarray, " time"],
    smoothing_s: float | int,
) -> tuple[Float[np.ndarray, "time 3"], Float[np.ndarray, "time 3"]]:
    """Smooth positions and velocities of valid frames; no stretch looks into another.

    Args:
        time_s: increasing times of the valid frames [s].
        position: positions at these times [m].
        run: stretch of each frame, see `runs_of`.
        smoothing_s: standard deviation of the weights in time [s]; weights end at three of them.

    Returns:
        Positions [m] and velocities [m/s]; the velocity of a lone frame is 0.
    """
    count = len(time_s)
    reach_s = _REACH_SIGMAS * smoothing_s
    # How many frames lie within reach at most; frames of one chunk never need more neighbours than that.
    reach = int((np.searchsorted(time_s, time_s + reach_s, side="right") - np.arange(count)).max(initial=1)) - 1
    smooth, velocity = np.empty((3, count)), np.empty((3, count))
    x = np.ascontiguousarray(position.T)
    for start in range(0, count, _CHUNK):
        a, b = max(0, start - reach), min(count, start + _CHUNK + reach)
        fitted = _fit_lines(time_s[a:b], x[:, a:b], run[a:b], smoothing_s, reach)
        inside = slice(start - a, min(start + _CHUNK, count) - a)
        smooth[:, start : start + _CHUNK], velocity[:, start : start + _CHUNK] = (f[:, inside] for f in fitted)
    return np.ascontiguousarray(smooth.T), np.ascontiguousarray(velocity.T)


def _fit_lines(
    time_s: Float[np.ndarray, " time"],
    x: Float[np.ndarray, "3 time"],
    run: Int[np.ndarray, " time"],
    smoothing_s: float | int,
    reach: int,
) -> tuple[Float[np.ndarray, "3 time"], Float[np.ndarray, "3 time"]]:
    """Value and slope, at every frame, of the weighted line through its neighbours at most `reach` frames away.

    Times and positions enter as differences to the frame's own, so that far from the origin nothing is lost.
    """
    count = len(time_s)
    w_sum, t_sum, tt_sum = np.ones(count), np.zeros(count), np.zeros(count)
    x_sum, tx_sum = np.zeros((3, count)), np.zeros((3, count))
    for offset in range(1, min(reach, count - 1) + 1):
        dt = time_s[offset:] - time_s[:-offset]
        is_near = (dt <= _REACH_SIGMAS * smoothing_s) & (run[offset:] == run[:-offset])
        weight = np.exp(-0.5 * (dt / smoothing_s) ** 2) * is_near
        wt = weight * dt
        wtt = wt * dt
        dx = x[:, offset:] - x[:, :-offset]
        wx, wtx = weight * dx, wt * dx
        for total, term, sign in (
            (w_sum, weight, 1),
            (t_sum, wt, -1),
            (tt_sum, wtt, 1),
            (x_sum, wx, -1),
            (tx_sum, wtx, 1),
        ):
            total[..., :-offset] += term
            if sign > 0:
                total[..., offset:] += term
            else:
                total[..., offset:] -= term
    spread = w_sum * tt_sum - t_sum**2
    has_slope = spread > 1e-12 * w_sum**2
    slope = (w_sum * tx_sum - t_sum * x_sum) * has_slope / np.where(has_slope, spread, 1.0)
    return x + (x_sum - slope * t_sum) / w_sum, slope
