"""Smoothing and filling: the laws of local polynomials, and what a control without smoothing gets wrong."""

import numpy as np
import pytest
from scipy.signal import savgol_filter
from scipy.spatial.transform import Rotation

from vitra_lib.core.errors import BadInput
from vitra_lib.geometry.rotations import exp, geodesic_angle
from vitra_lib.geometry.smoothing import (
    fill_positions,
    fill_rotations,
    neighbours,
    running_median,
    smooth_positions,
    smooth_rotations,
    velocity,
)

TIMES = np.arange(60) / 30


def irregular(seed: int = 0, n: int = 60) -> np.ndarray:
    return np.cumsum(np.random.default_rng(seed).uniform(0.015, 0.06, n))


def min_jerk(share: np.ndarray) -> np.ndarray:
    s = np.clip(share, 0, 1)
    return 10 * s**3 - 15 * s**4 + 6 * s**5


def test_uniform_times_give_the_savitzky_golay_filter():
    x = np.random.default_rng(0).normal(size=(60, 3))
    ours = smooth_positions(x, TIMES, 0.35, 3)
    theirs = savgol_filter(x, 11, 3, axis=0)
    np.testing.assert_allclose(ours[5:-5], theirs[5:-5], atol=1e-12)
    other = smooth_positions(x, TIMES, 0.2, 3)
    assert np.abs(other - theirs)[5:-5].max() > 0.1  # control: another window is another filter


def test_cubics_pass_unchanged_at_irregular_times_and_quartics_do_not():
    t = irregular()
    cubic = np.stack([1 + t, t**2 - t**3], axis=-1)
    np.testing.assert_allclose(smooth_positions(cubic, t, 0.4, 3), cubic, atol=1e-9)
    assert np.abs(smooth_positions(t[:, None] ** 4, t, 0.4, 3) - t[:, None] ** 4).max() > 1e-5


def test_constants_are_kept_exactly():
    R = np.tile(Rotation.random(2, random_state=0).as_matrix(), (60, 1, 1, 1))
    np.testing.assert_allclose(smooth_rotations(R, TIMES, 0.35), R, atol=1e-13)
    x = np.tile([[0.3, -2.0, 5.0]], (60, 1))
    np.testing.assert_allclose(smooth_positions(x, TIMES, 0.35), x, atol=1e-13)


def test_a_minimum_jerk_reach_keeps_its_length_and_its_peak_speed():
    path = min_jerk((TIMES - 0.5) / 0.6)[:, None] * [[0.3, 0.1, 0.2]]
    smooth = smooth_positions(path, TIMES, 0.35, 3)
    length = np.linalg.norm(np.diff(smooth, axis=0), axis=-1).sum()
    true = np.linalg.norm(path[-1] - path[0])
    assert abs(length - true) / true < 0.02
    speed = np.linalg.norm(velocity(path, TIMES, 0.35, 3), axis=-1).max()
    blurred = np.linalg.norm(velocity(path, TIMES, 0.35, 1), axis=-1).max()
    assert speed > 0.93 * true * 1.875 / 0.6 > blurred  # control: a straight-line fit flattens the peak


def test_smoothing_halves_white_noise_and_no_smoothing_does_not():
    noise = np.random.default_rng(1).normal(0, 0.01, (600, 3))
    t = np.arange(600) / 30
    assert smooth_positions(noise, t, 0.35).std() < 0.5 * noise.std()
    np.testing.assert_array_equal(smooth_positions(noise, t, 0.0), noise)


def test_rotations_are_smoothed_the_same_whatever_the_world():
    rng = np.random.default_rng(2)
    true = exp(np.stack([np.sin(TIMES), 0.5 * TIMES, np.zeros(60)], axis=-1))
    noisy = true @ exp(rng.normal(0, 0.1, (60, 3)))
    turn = Rotation.random(random_state=3).as_matrix()
    smooth = smooth_rotations(noisy, TIMES, 0.35)
    np.testing.assert_allclose(smooth_rotations(turn @ noisy, TIMES, 0.35), turn @ smooth, atol=1e-12)
    assert geodesic_angle(smooth, true).mean() < 0.6 * geodesic_angle(noisy, true).mean()
    np.testing.assert_allclose(np.linalg.det(smooth), 1, atol=1e-12)


def test_weights_let_a_distrusted_sample_follow_the_others():
    x = np.zeros((60, 1))
    x[30] = 1.0
    weight = np.ones(60)
    weight[30] = 1e-6
    assert abs(smooth_positions(x, TIMES, 0.35, 3, weight)[30, 0]) < 1e-3
    assert smooth_positions(x, TIMES, 0.35, 3)[30, 0] > 0.2  # control: trusted, it pulls the path


def test_velocity_of_a_parabola_and_of_one_sample():
    np.testing.assert_allclose(velocity(TIMES[:, None] ** 2, TIMES, 0.2), 2 * TIMES[:, None], atol=1e-9)
    np.testing.assert_array_equal(velocity(np.ones((1, 3)), np.zeros(1), 0.2), np.zeros((1, 3)))


def test_a_running_median_ignores_a_spike_and_keeps_a_ramp_to_its_ends():
    ramp = TIMES[:, None] * [[1.0, -2.0]]
    spiked = ramp.copy()
    spiked[20] += 5
    np.testing.assert_allclose(running_median(ramp, TIMES, 0.35), ramp, atol=1e-12)
    assert np.abs(running_median(spiked, TIMES, 0.35)[20] - ramp[20]).max() < 0.1


def test_gaps_of_smooth_motion_are_filled_closely_and_a_straight_line_is_worse():
    path = np.stack([np.sin(3 * TIMES), np.cos(3 * TIMES)], axis=-1)
    known = np.r_[0:26, 34:60]
    holes = np.arange(26, 34)
    filled = fill_positions(path[known], TIMES[known], TIMES[holes], 0.35)
    straight = np.stack([np.interp(TIMES[holes], TIMES[known], x) for x in path[known].T], axis=-1)
    error = np.abs(filled - path[holes]).max()
    assert error < 0.02 < np.abs(straight - path[holes]).max()


def test_rotations_are_filled_along_the_geodesic():
    R = exp(np.array([[0.0, 0, 0], [0, 0, 1.0]]))
    filled = fill_rotations(R, np.array([0.0, 1.0]), np.array([0.25, 2.0]))
    np.testing.assert_allclose(filled, exp(np.array([[0, 0, 0.25], [0, 0, 1.0]])), atol=1e-12)


def test_windows_count_samples_on_their_border_and_bad_times_are_refused():
    index, is_real = neighbours(TIMES, 10 / 30)
    assert is_real[30].sum() == 11 and is_real[0].sum() == 6
    assert set(index[30][is_real[30]]) == set(range(25, 36))
    with pytest.raises(BadInput, match="increase"):
        neighbours(np.array([0.0, 0.0, 1.0]), 0.1)
