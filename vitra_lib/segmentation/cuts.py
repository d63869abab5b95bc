"""Where to cut one stretch of track, from its speed alone."""

import numpy as np
from jaxtyping import Bool, Float, Int

from vitra_lib.segmentation.config import SegmentationConfig


def window_minima(
    time_s: Float[np.ndarray, " time"],
    run: Int[np.ndarray, " time"],
    speed: Float[np.ndarray, " time"],
    window_s: float | int,
) -> Int[np.ndarray, " minima"]:
    """Frames with the lowest speed in the window centred on them; a plateau gives its middle frame.

    Args:
        time_s: increasing times of the valid frames [s].
        run: stretch of each frame; a window ends where its stretch does.
        speed: [m/s].
        window_s: full width of the window [s].
    """
    count = len(time_s)
    is_lowest = np.ones(count, bool)
    reach = window_s / 2 + 1e-9  # a frame exactly at the window's edge belongs to it, whatever the rounding
    for offset in range(1, count):
        is_near = (time_s[offset:] - time_s[:-offset] <= reach) & (run[offset:] == run[:-offset])
        if not is_near.any():
            break
        is_lowest[:-offset] &= ~is_near | (speed[:-offset] <= speed[offset:])
        is_lowest[offset:] &= ~is_near | (speed[offset:] <= speed[:-offset])
    starts, stops = stretches(is_lowest, run)
    return (starts + stops - 1) // 2


def stretches(
    is_on: Bool[np.ndarray, " time"], run: Int[np.ndarray, " time"]
) -> tuple[Int[np.ndarray, " found"], Int[np.ndarray, " found"]]:
    """Half-open [start, stop) of consecutive True frames that lie in one run."""
    if len(is_on) == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    is_joined = is_on[1:] & is_on[:-1] & (run[1:] == run[:-1])
    starts = np.flatnonzero(is_on & ~np.concatenate([[False], is_joined]))
    stops = np.flatnonzero(is_on & ~np.concatenate([is_joined, [False]])) + 1
    return starts, stops


def rests(
    time_s: Float[np.ndarray, " time"],
    run: Int[np.ndarray, " time"],
    speed: Float[np.ndarray, " time"],
    rest_speed: float,
) -> tuple[Int[np.ndarray, " rests"], Int[np.ndarray, " rests"]]:
    """First and last frame of every rest, from the stretches in which the speed is below `rest_speed`.

    The hand still moves when it crosses the threshold. A movement begins and ends with speed k t^2 (minimum jerk),
    so it has 2 v / v' seconds left at speed v; each end of the stretch is moved inwards by that time.
    """
    starts, stops = stretches(speed < rest_speed, run)
    last = stops - 1
    bounds = np.column_stack([starts, stops]).ravel()
    floor = np.minimum.reduceat(np.append(speed, np.inf), bounds)[::2] if len(starts) else np.zeros(0)
    is_run_start = (starts == 0) | (run[starts] != run[starts - 1])
    after = np.minimum(stops, len(speed) - 1)
    is_run_end = (after == last) | (run[after] != run[last])
    before = np.maximum(starts - 1, 0)

    def settled(above: np.ndarray, below: np.ndarray, is_end: np.ndarray) -> np.ndarray:
        """Time between the outermost frame below the threshold and the standstill that its slope points to."""
        fall = np.maximum(speed[above] - speed[below], 1e-12)
        step = np.abs(time_s[above] - time_s[below])
        rest_of_movement = 2 * np.maximum(speed[below] - floor, 0.0) * step / fall
        return np.where(is_end, 0.0, rest_of_movement)

    begin = time_s[starts] + settled(before, starts, is_run_start)
    end = time_s[last] - settled(after, last, is_run_end)
    middle = 0.5 * (begin + end)
    begin, end = np.minimum(begin, middle), np.maximum(end, middle)
    half = np.median(np.diff(time_s)) / 2 if len(time_s) > 1 else 0.0
    first = np.clip(np.searchsorted(time_s, begin - half), starts, last)
    return first, np.clip(np.searchsorted(time_s, end - half), first, last)


def prominent(
    cuts: Int[np.ndarray, " cuts"],
    is_fixed: Bool[np.ndarray, " cuts"],
    time_s: Float[np.ndarray, " time"],
    speed: Float[np.ndarray, " time"],
    config: SegmentationConfig,
) -> Bool[np.ndarray, " cuts"]:
    """Which cuts are pauses between two movements: deep and wide enough. The worst go first, until all that stay are.

    Deep: the speed is at most `max_cut_ratio` of the lower peak beside the cut, else it is a ripple on one movement.
    Wide: it stays below half that peak for `min_pause_s`, else the path turns back within one movement: there the
    velocity goes through zero at full acceleration, while a movement that ends has none left.

    Args:
        cuts: increasing frames; the first and the last always stay.
        is_fixed: cuts that stay whatever their shape (ends of a stretch or of a rest).
        time_s: [s].
        speed: [m/s].
        config: the thresholds.
    """
    kept = np.arange(len(cuts))
    while len(kept) > 2:
        at = cuts[kept]
        peaks = np.maximum.reduceat(speed, at)[:-1]
        lower = np.concatenate([[np.inf], np.minimum(peaks[:-1], peaks[1:]), [np.inf]])
        fault = speed[at] / np.maximum(config.max_cut_ratio * lower, 1e-12)
        if config.min_pause_s > 0:
            width_s = _dip_width(at, 0.5 * lower, time_s, speed, config.min_pause_s)
            fault = np.maximum(fault, config.min_pause_s / np.maximum(width_s, 1e-12))
        fault[is_fixed[kept]] = 0.0
        fault[[0, -1]] = 0.0
        # Of neighbours that both fail only the worse goes now: without it the other may pass.
        before = np.concatenate([[0.0], fault[:-1]])
        after = np.concatenate([fault[1:], [0.0]])
        is_dropped = (fault > 1 + 1e-9) & (fault >= before) & (fault > after)
        if not is_dropped.any():
            break
        kept = kept[~is_dropped]
    result = np.zeros(len(cuts), bool)
    result[kept] = True
    return result


def _dip_width(
    at: Int[np.ndarray, " cuts"],
    level: Float[np.ndarray, " cuts"],
    time_s: Float[np.ndarray, " time"],
    speed: Float[np.ndarray, " time"],
    enough_s: float | int,
) -> Float[np.ndarray, " cuts"]:
    """How long the speed stays below a level around each frame [s]; not looked further than `enough_s` to each side."""
    width = np.zeros(len(at))
    for direction in (-1, 1):
        inner, is_open = at.copy(), np.ones(len(at), bool)
        while is_open.any():
            outer = np.clip(inner + direction, 0, len(speed) - 1)
            is_below = speed[outer] <= level
            step = np.abs(time_s[outer] - time_s[inner])
            # Where the level is crossed between two frames, the crossing is interpolated.
            rise = np.maximum(speed[outer] - speed[inner], 1e-12)
            part = np.where(is_below, 1.0, np.clip((level - speed[inner]) / rise, 0.0, 1.0))
            width += np.where(is_open, part * step, 0.0)
            inner = np.where(is_open, outer, inner)
            is_open &= is_below & (step > 0) & (np.abs(time_s[inner] - time_s[at]) < enough_s)
    return width


def merge_short(
    cuts: Int[np.ndarray, " cuts"],
    time_s: Float[np.ndarray, " time"],
    run: Int[np.ndarray, " time"],
    speed: Float[np.ndarray, " time"],
    min_duration_s: float | int,
) -> Int[np.ndarray, " kept"]:
    """Remove cuts until no piece is shorter than `min_duration_s`; of the two cuts of a short piece the faster goes.

    The first and last cut of every run stay, so a whole run that is too short stays too.
    """
    while True:
        is_first = np.concatenate([[True], run[cuts[1:]] != run[cuts[:-1]]])
        is_last = np.concatenate([is_first[1:], [True]])
        duration = np.where(is_last[:-1], np.inf, time_s[cuts[1:]] - time_s[cuts[:-1]])
        duration = np.where(is_first[:-1] & is_last[1:], np.inf, duration)
        before = np.concatenate([[np.inf], duration[:-1]])
        after = np.concatenate([duration[1:], [np.inf]])
        # The shortest of neighbouring short pieces goes first; the others may be long enough afterwards.
        picked = np.flatnonzero((duration < min_duration_s - 1e-9) & (duration <= before) & (duration < after))
        if len(picked) == 0:
            return cuts
        left = np.where(is_first[picked], -np.inf, speed[cuts[picked]])
        right = np.where(is_last[picked + 1], -np.inf, speed[cuts[picked + 1]])
        cuts = np.delete(cuts, np.unique(np.where(left > right, picked, picked + 1)))


def split_long(
    start: int,
    stop: int,
    time_s: Float[np.ndarray, " time"],
    speed: Float[np.ndarray, " time"],
    config: SegmentationConfig,
) -> list[int]:
    """Frames at which the piece [start, stop] is split, each time at its deepest minimum, until all parts are short.

    Of equally deep minima the one next to the middle is taken; a part without any minimum is halved. Parts are never
    shorter than `config.min_duration_s`, unless the time axis itself jumps.
    """
    found, parts = [], [(start, stop)]
    while parts:
        a, b = parts.pop()
        if time_s[b] - time_s[a] <= config.max_duration_s:
            continue
        inner = np.arange(a + 1, b)
        room = np.minimum(time_s[inner] - time_s[a], time_s[b] - time_s[inner])
        inner = inner[room >= config.min_duration_s]
        if len(inner) == 0:
            continue
        valleys = inner[(speed[inner] <= speed[inner - 1]) & (speed[inner] <= speed[inner + 1])]
        deepest = valleys[speed[valleys] == speed[valleys].min()] if len(valleys) else inner
        at = int(deepest[np.argmin(np.abs(time_s[deepest] - 0.5 * (time_s[a] + time_s[b])))])
        found.append(at)
        parts += [(a, at), (at, b)]
    return sorted(found)
