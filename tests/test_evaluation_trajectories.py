"""Path errors: laws and closed forms; `test_evaluation_compare.py` holds the figures of the field's reference tool."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from vitra_lib.core.errors import BadInput
from vitra_lib.evaluation.trajectories import associate, path_errors, rms, step_errors
from vitra_lib.geometry.rotations import exp
from vitra_lib.geometry.transforms import make


def random_path(time: int = 50, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    R = Rotation.from_rotvec(np.cumsum(rng.normal(0, 0.05, (time, 3)), axis=0)).as_matrix()
    return make(R, np.cumsum(rng.normal(0, 0.02, (time, 3)), axis=0))


def moved(T: np.ndarray, scale: float) -> np.ndarray:
    """The same path in another world and another unit."""
    R = Rotation.random(random_state=3).as_matrix()
    return make(R @ T[:, :3, :3], scale * T[:, :3, 3] @ R.T + [1.0, -2.0, 3.0])


def test_the_choice_of_world_does_not_matter_and_the_unit_only_without_scale():
    T = random_path()
    errors = path_errors(moved(T, 2.5), T)
    assert errors.ate_m < 1e-12 and errors.rotation_rad.max() < 1e-7 and abs(errors.alignment.scale - 0.4) < 1e-12
    assert path_errors(moved(T, 1.0), T, with_scale=False).ate_m < 1e-12
    assert path_errors(moved(T, 2.5), T, with_scale=False).ate_m > 0.05  # control: the unit counts for SE3


def test_relative_errors_of_a_known_drift():
    T = np.tile(np.eye(4), (20, 1, 1))
    drift = make(exp(np.arange(20)[:, None] * [[0, 0, 0.01]]), np.arange(20)[:, None] * [[0.0, 0.0, 0.002]])
    for step in (1, 5):
        errors = step_errors(drift, T, step)
        np.testing.assert_allclose(errors.translation_m, 0.002 * step, atol=1e-12)
        np.testing.assert_allclose(errors.rotation_rad, 0.01 * step, atol=1e-9)
        assert len(errors.rotation_rad) == 20 - step
    with_hole = np.arange(20) != 10
    assert len(step_errors(drift, T, 1, with_hole).translation_m) == 17


def test_frames_left_out_do_not_count():
    T = random_path()
    broken = T.copy()
    broken[7, :3, 3] += 10
    use = np.arange(50) != 7
    assert path_errors(broken, T, is_compared=use).ate_m < 1e-12 < path_errors(broken, T).ate_m


def test_times_of_the_shorter_series_are_paired_with_the_nearest_of_the_longer():
    index, reference = associate(np.array([0.0, 0.3, 0.5]), np.array([0.001, 0.1, 0.297, 0.306, 0.512]), 0.01)
    assert index.tolist() == [0, 1] and reference.tolist() == [0, 2]
    reference, index = associate(np.array([0.001, 0.1, 0.297, 0.306, 0.512]), np.array([0.0, 0.3, 0.5]), 0.01)
    assert index.tolist() == [0, 1] and reference.tolist() == [0, 2]
    assert associate(np.zeros(0), np.array([1.0]))[0].tolist() == []
    assert associate(np.array([1.0]), np.array([1.005]))[1].tolist() == [0]


def test_bad_input_is_refused():
    T = random_path(5)
    for call in (lambda: path_errors(T, T[:4]), lambda: path_errors(T, T, is_compared=np.zeros(5, bool)),
                 lambda: step_errors(T, T, 5), lambda: step_errors(T, T, 0)):  # fmt: skip
        with pytest.raises(BadInput):
            call()
    assert np.isnan(rms(np.zeros(0)))


def test_rotation_errors_of_a_straight_path_are_those_of_the_rotations():
    """Turned about its own straight path, a perfect estimate has no rotation error; centres alone can't see that."""
    from vitra_lib.evaluation.trajectories import rotation_errors
    from vitra_lib.geometry import rotations
    from vitra_lib.geometry.transforms import make

    rng = np.random.default_rng(0)
    t = np.linspace(0, 1, 20)[:, None] * np.array([[0.2, 0.0, 0.0]])
    truth = make(rotations.exp(0.1 * rng.normal(size=(20, 3))), t)
    world = make(rotations.exp(np.array([1.0, 0.0, 0.0])), np.array([0.3, 0.0, 0.1]))
    shaken = t + 0.001 * rng.normal(size=t.shape)
    estimate = world @ make(truth[:, :3, :3], shaken)
    assert rotation_errors(estimate, truth).max() < 1e-7
    assert np.median(path_errors(estimate, truth).rotation_rad) > 0.01  # the control
    tilted = estimate.copy()
    tilted[7, :3, :3] = tilted[7, :3, :3] @ rotations.exp(np.array([0.0, 0.0, 0.2]))
    assert rotation_errors(tilted, truth)[7] == pytest.approx(0.2, abs=0.02)
