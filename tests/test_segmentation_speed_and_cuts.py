"""Speed on a true time axis, and the rules that choose cuts: closed forms, laws and brute-force oracles."""

import numpy as np
import pytest

from vitra_lib.segmentation import SegmentationConfig
from vitra_lib.segmentation.cuts import merge_short, prominent, rests, split_long, stretches, window_minima
from vitra_lib.segmentation.speed import runs_of, smoothed_motion

CONFIG = SegmentationConfig()


def irregular_clock(count: int, seed: int = 0) -> np.ndarray:
    return np.cumsum(np.random.default_rng(seed).uniform(0.008, 0.08, count))


def one_run(time_s: np.ndarray) -> np.ndarray:
    return np.zeros(len(time_s), np.int64)


def test_straight_motion_is_exact_at_any_rate_and_at_the_ends():
    time_s = irregular_clock(20_000)
    velocity = np.array([0.3, -0.2, 0.5])
    position = np.array([100.0, -40, 7]) + time_s[:, None] * velocity
    smooth, found = smoothed_motion(time_s, position, one_run(time_s), 0.08)
    np.testing.assert_allclose(found, np.tile(velocity, (len(time_s), 1)), atol=1e-9)
    np.testing.assert_allclose(smooth, position, atol=1e-9)
    # Control: smoothing over frames, blind to their times, is far off.
    blind = np.gradient(position, axis=0) * 1 / np.median(np.diff(time_s))
    assert np.abs(np.linalg.norm(blind, axis=1) - np.linalg.norm(velocity)).max() > 0.1


def test_slope_is_the_derivative_of_the_gaussian_smoothed_path():
    time_s = np.arange(4000) / 240.0
    omega, sigma = 2 * np.pi * 0.8, 0.08
    position = np.stack([np.sin(omega * time_s), np.cos(omega * time_s), 0 * time_s], axis=1)
    _, found = smoothed_motion(time_s, position, one_run(time_s), sigma)
    inside = slice(200, -200)
    expected = omega * np.exp(-0.5 * (omega * sigma) ** 2)  # what a Gaussian leaves of a sine's speed
    np.testing.assert_allclose(np.linalg.norm(found[inside], axis=1), expected, rtol=0.02)
    assert abs(expected / omega - 1) > 0.07, "control: without smoothing the speed is another one"


def test_result_does_not_depend_on_how_it_is_chunked(monkeypatch):
    time_s = irregular_clock(1500, 3)
    position = np.random.default_rng(1).normal(size=(1500, 3)).cumsum(axis=0)
    run = runs_of(time_s, 0.07)
    whole = smoothed_motion(time_s, position, run, 0.08)
    for chunk in (7, 64, 1499):
        monkeypatch.setattr("vitra_lib.segmentation.speed._CHUNK", chunk)
        for a, b in zip(whole, smoothed_motion(time_s, position, run, 0.08), strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-9)


def test_stretches_of_track_do_not_see_each_other():
    time_s = np.concatenate([np.arange(30) / 30, 2 + np.arange(30) / 30, [9.0]])
    run = runs_of(time_s, 0.5)
    np.testing.assert_array_equal(run, [0] * 30 + [1] * 30 + [2])
    position = np.zeros((61, 3))
    position[30:] = 5.0
    smooth, velocity = smoothed_motion(time_s, position, run, 10.0)
    assert np.abs(velocity).max() == 0.0
    np.testing.assert_array_equal(smooth, position)
    assert np.abs(smoothed_motion(time_s, position, one_run(time_s), 10.0)[1]).max() > 0.5, (
        "control: one run mixes them"
    )
    assert len(runs_of(np.zeros(0), 0.5)) == 0
    assert all(a.shape == (0, 3) for a in smoothed_motion(np.zeros(0), np.zeros((0, 3)), np.zeros(0, np.int64), 0.08))


@pytest.mark.parametrize("seed", range(15))
def test_window_minima_against_brute_force(seed):
    rng = np.random.default_rng(seed)
    time_s = irregular_clock(200, seed)
    run = runs_of(time_s, 0.075)
    speed = rng.random(200)
    expected = [
        i
        for i in range(200)
        if speed[i] == min(speed[j] for j in range(200) if run[j] == run[i] and abs(time_s[j] - time_s[i]) <= 0.25)
    ]
    np.testing.assert_array_equal(window_minima(time_s, run, speed, 0.5), expected)


def test_a_plateau_gives_one_cut_in_its_middle():
    speed = np.ones(90)
    speed[30:41] = 0.1
    assert list(window_minima(np.arange(90) / 30, one_run(speed), speed, 0.5)) != []
    found = window_minima(np.arange(90) / 30, one_run(speed), speed, 0.5)
    assert list(found[(found > 25) & (found < 46)]) == [35]


def test_stretches_are_half_open_and_split_by_runs():
    is_on = np.array([1, 1, 0, 1, 1, 1, 0, 1], bool)
    starts, stops = stretches(is_on, np.array([0, 0, 0, 0, 1, 1, 1, 1]))
    assert list(zip(starts, stops, strict=True)) == [(0, 2), (3, 4), (4, 6), (7, 8)]
    assert [len(a) for a in stretches(np.zeros(0, bool), np.zeros(0, np.int64))] == [0, 0]


@pytest.mark.parametrize("fps", [24, 30, 60])
def test_ends_of_a_rest_are_where_minimum_jerk_movements_stop_and_start(fps):
    time_s = np.arange(5 * fps) / fps

    def bell(begin):
        u = np.clip(time_s - begin, 0, 1)
        return 0.3 * 30 * u**2 * (1 - u) ** 2

    speed = bell(0.7) + bell(2.9)  # moves until 1.7 s, rests, moves from 2.9 s
    for threshold in (0.03, 0.06, 0.1):
        first, last = rests(time_s, one_run(time_s), speed, threshold)
        middle = np.argmin(np.abs(time_s[first] - 1.7))
        assert abs(time_s[first[middle]] - 1.7) <= 1.5 / fps + 0.02
        assert abs(time_s[last[middle]] - 2.9) <= 1.5 / fps + 0.02
    crossing = time_s[np.flatnonzero((speed < 0.1) & (time_s > 1.3))[0]]
    assert abs(crossing - 1.7) > 0.09, "control: the threshold alone is early"


def kept_of(cuts, fixed, speed, time_s=None, **knobs):
    time_s = np.arange(len(speed)) / 30 if time_s is None else time_s
    config = SegmentationConfig(**({"min_pause_s": 0.0} | knobs))
    return prominent(np.array(cuts), np.array(fixed, bool), time_s, np.array(speed, float), config)


def test_ripples_are_no_cuts_but_valleys_are():
    speed = [0, 1, 0.9, 1, 0.1, 1, 0.95, 0.9, 0.97, 1, 0]
    cuts, fixed = [0, 2, 4, 7, 10], [1, 0, 0, 0, 1]
    np.testing.assert_array_equal(kept_of(cuts, fixed, speed, max_cut_ratio=0.7), [1, 0, 1, 0, 1])
    assert kept_of(cuts, fixed, speed, max_cut_ratio=1.0).all(), "1 switches the rule off"
    assert kept_of(cuts, [1] * 5, speed, max_cut_ratio=0.1).all(), "fixed cuts stay"


def test_of_two_shallow_neighbours_the_deeper_may_stay():
    kept = kept_of([0, 2, 4, 6], [1, 0, 0, 1], [0, 1.0, 0.5, 0.55, 0.54, 1.0, 0], max_cut_ratio=0.7)
    np.testing.assert_array_equal(kept, [1, 1, 0, 1])


@pytest.mark.parametrize("fps", [12, 30, 120])
def test_a_turning_point_is_no_pause_but_an_end_of_movement_is(fps):
    time_s = np.arange(round(2 * fps) + 1) / fps
    reversal = np.abs(np.sin(np.pi * time_s / 2 + np.pi / 2)) ** 0.1  # zero at 1 s, back at full speed at once
    u = time_s % 1.0
    two_bells = u**2 * (1 - u) ** 2 * 16
    cuts, fixed = [0, fps, 2 * fps], [1, 0, 1]
    assert not kept_of(cuts, fixed, reversal, time_s, min_pause_s=0.12)[1]
    assert kept_of(cuts, fixed, two_bells, time_s, min_pause_s=0.12)[1]
    assert kept_of(cuts, fixed, reversal, time_s, min_pause_s=0.0)[1], "control: by depth alone it would be a cut"


def test_short_pieces_merge_across_the_faster_cut():
    time_s = np.arange(200) / 30
    speed = np.ones(200)
    speed[[60, 66]] = 0.1, 0.4
    cuts = merge_short(np.array([0, 60, 66, 120, 199]), time_s, one_run(time_s), speed, 0.3)
    np.testing.assert_array_equal(cuts, [0, 60, 120, 199])
    at_the_ends = merge_short(np.array([0, 5, 100, 195, 199]), time_s, one_run(time_s), speed, 0.3)
    np.testing.assert_array_equal(at_the_ends, [0, 100, 199])
    runs = np.repeat([0, 1], 100)
    np.testing.assert_array_equal(
        merge_short(np.array([0, 95, 99, 100, 104, 199]), time_s, runs, speed, 0.3), [0, 99, 100, 199]
    )
    np.testing.assert_array_equal(merge_short(np.array([0, 4]), time_s, one_run(time_s), speed, 0.3), [0, 4])


@pytest.mark.parametrize("seed", range(10))
def test_after_merging_no_piece_is_short(seed):
    rng = np.random.default_rng(seed)
    time_s = irregular_clock(600, seed)
    cuts = np.union1d([0, 599], rng.integers(1, 599, 150))
    merged = merge_short(cuts, time_s, one_run(time_s), rng.random(600), 0.3)
    assert np.diff(time_s[merged]).min() >= 0.3 - 1e-9
    assert set(merged) <= set(cuts) and merged[0] == 0 and merged[-1] == 599


def test_long_pieces_are_split_at_their_deepest_minimum():
    time_s = np.arange(361) / 30
    speed = 1.0 - 0.5 * np.exp(-0.5 * ((time_s - 4) / 0.2) ** 2) - 0.3 * np.exp(-0.5 * ((time_s - 8.5) / 0.2) ** 2)
    assert split_long(0, 360, time_s, speed, CONFIG) == [120, 255]
    assert split_long(0, 150, time_s, speed, CONFIG) == []
    for constant in (np.ones(361), np.zeros(361)):
        parts = [0, *split_long(0, 360, time_s, constant, CONFIG), 360]
        assert max(np.diff(time_s[parts])) <= 5.0 and min(np.diff(time_s[parts])) >= 0.3 - 1e-9


def test_speed_on_a_clock_too_slow_for_the_smoothing():
    time_s = np.arange(40) / 4.0
    position = np.outer(time_s, [0.3, 0.0, 0.4])
    _, velocity = smoothed_motion(time_s, position, one_run(time_s), 0.07)
    np.testing.assert_allclose(np.linalg.norm(velocity, axis=1), 0.5, rtol=1e-9)


def test_a_frame_alone_between_two_gaps_has_the_speed_of_its_neighbours():
    time_s = np.concatenate([np.arange(30), [45], np.arange(60, 90)]) / 30
    position = np.outer(time_s, [0.3, 0.0, 0.4])
    _, velocity = smoothed_motion(time_s, position, runs_of(time_s, 0.8), 0.07)
    np.testing.assert_allclose(np.linalg.norm(velocity, axis=1), 0.5, rtol=1e-9)
    alone = smoothed_motion(time_s, position, runs_of(time_s, 0.3), 0.07)[1]
    assert np.linalg.norm(alone[30]) == 0.0, "control: in a run of its own it has none"


@pytest.mark.parametrize("shape", ["constant", "rising", "falling", "ripple"])
def test_hours_of_movement_are_split(shape):
    time_s = np.arange(100_000) / 30
    speed = {
        "constant": np.ones(100_000),
        "rising": np.linspace(0.1, 1, 100_000),
        "falling": np.linspace(1, 0.1, 100_000),
        "ripple": 1 + 0.1 * np.sin(7 * time_s) + 0.05 * np.sin(0.9 * time_s),
    }[shape]
    parts = [0, *split_long(0, 99_999, time_s, speed, CONFIG), 99_999]
    assert max(np.diff(time_s[parts])) <= 5.0 and min(np.diff(time_s[parts])) >= 0.3 - 1e-9
