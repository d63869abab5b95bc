"""The wrist's speed on the true time axis: slope of a Gaussian-weighted line fit around every frame.

On a uniform clock the slope is the derivative of the Gaussian-smoothed path. Unlike smoothing followed by
differences it needs no resampling, so variable rates and missing frames are exact for straight motion, and the
ends of a track are not pulled towards zero.
"""

import numpy as np
from jaxtyping import Bool, Float, Int

_REACH_SIGMAS = 3.0
_MIN_SIGMA_FRAMES = 0.75  # a narrower Gaussian would see no neighbour on a slow clock, and every speed would be 0
_CHUNK = 8192  # frames fitted at a time: the working set stays in the processor's cache


def runs_of(time_s: Float[np.ndarray, " time"], max_gap_s: float | int) -> Int[np.ndarray, " time"]:
    """Number of the stretch that each (valid) frame belongs to; a gap longer than `max_gap_s` starts the next."""
    if len(time_s) == 0:
        return np.zeros(0, np.int64)
    return np.concatenate([[0], np.cumsum(np.diff(time_s) > max_gap_s + 1e-9)]).astype(np.int64)


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
        smoothing_s: standard deviation of the weights in time [s]; weights end at three of them. On a clock too slow
            for it, 0.75 of the median time between frames.

    Returns:
        Positions [m] and velocities [m/s]; the velocity of a lone frame is 0.
    """
    smooth, velocity = fit_motion(time_s, np.ascontiguousarray(position.T), run, smoothing_s)
    return np.ascontiguousarray(smooth.T), np.ascontiguousarray(velocity.T)


def fit_motion(
    time_s: Float[np.ndarray, " time"],
    x: Float[np.ndarray, "3 time"],
    run: Int[np.ndarray, " time"],
    smoothing_s: float | int,
) -> tuple[Float[np.ndarray, "3 time"], Float[np.ndarray, "3 time"]]:
    """`smoothed_motion` with the axes the other way round, as the arithmetic wants them."""
    count = len(time_s)
    step = np.diff(time_s)
    within = step[run[1:] == run[:-1]]
    sigma_s = max(float(smoothing_s), _MIN_SIGMA_FRAMES * float(np.median(within))) if len(within) else smoothing_s
    reach_s = _REACH_SIGMAS * sigma_s
    # How many frames lie within reach at most; frames of one chunk never need more neighbours than that.
    reach = int((np.searchsorted(time_s, time_s + reach_s, side="right") - np.arange(count)).max(initial=1)) - 1
    smooth, velocity = np.empty((3, count)), np.empty((3, count))
    has_slope = np.empty(count, bool)
    for start in range(0, count, _CHUNK):
        stop = min(count, start + _CHUNK)
        a, b = max(0, start - reach), min(count, stop + reach)
        fitted = _fit_lines(time_s[a:b], x[:, a:b], run[a:b], sigma_s, reach)
        inside = slice(start - a, stop - a)
        smooth[:, start:stop], velocity[:, start:stop] = fitted[0][:, inside], fitted[1][:, inside]
        has_slope[start:stop] = fitted[2][inside]
    lonely = np.flatnonzero(~has_slope)
    if len(lonely):
        velocity[:, lonely] = _difference_quotients(time_s, x, run, lonely)
    return smooth, velocity


def _difference_quotients(
    time_s: Float[np.ndarray, " time"],
    x: Float[np.ndarray, "3 time"],
    run: Int[np.ndarray, " time"],
    frame: Int[np.ndarray, " lonely"],
) -> Float[np.ndarray, "3 lonely"]:
    """Velocity of frames with nothing within reach, from the frames before and after in the same run; else 0."""
    before, after = np.maximum(frame - 1, 0), np.minimum(frame + 1, len(time_s) - 1)
    before = np.where(run[before] == run[frame], before, frame)
    after = np.where(run[after] == run[frame], after, frame)
    dt = time_s[after] - time_s[before]
    return (x[:, after] - x[:, before]) * (dt > 0) / np.where(dt > 0, dt, 1.0)


def _fit_lines(
    time_s: Float[np.ndarray, " time"],
    x: Float[np.ndarray, "3 time"],
    run: Int[np.ndarray, " time"],
    smoothing_s: float | int,
    reach: int,
) -> tuple[Float[np.ndarray, "3 time"], Float[np.ndarray, "3 time"], Bool[np.ndarray, " time"]]:
    """Value and slope, at every frame, of the weighted line through its neighbours at most `reach` frames away.

    Times and positions enter as differences to the frame's own, so that far from the origin nothing is lost.
    The third is False where there is no neighbour, and so no slope.
    """
    count = len(time_s)
    w_sum, t_sum, tt_sum = np.ones(count), np.zeros(count), np.zeros(count)
    x_sum, tx_sum = np.zeros((3, count)), np.zeros((3, count))
    is_one_run = bool(run[0] == run[-1])
    for offset in range(1, min(reach, count - 1) + 1):
        dt = time_s[offset:] - time_s[:-offset]
        is_near = dt <= _REACH_SIGMAS * smoothing_s
        if not is_one_run:
            is_near &= run[offset:] == run[:-offset]
        weight = np.exp((-0.5 / smoothing_s**2) * dt * dt) * is_near
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
    return x + (x_sum - slope * t_sum) / w_sum, slope, has_slope
