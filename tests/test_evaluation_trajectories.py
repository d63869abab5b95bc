"""Path errors: laws, closed forms, and the figures that the field's reference tool gives for published paths."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from vitra_lib.core.errors import BadInput
from vitra_lib.evaluation.trajectories import associate, path_errors, rms, step_errors
from vitra_lib.geometry.rotations import exp
from vitra_lib.geometry.transforms import make

# frames, ATE [m] without and with scale, scale, rotation rms [deg], RPE rms over 1 frame [m], RPE rms over 10 [deg]:
# printed by evo 1.38.1 (all pairs, association within 0.01 s)
EVO = {
    "freiburg1": (785, 0.013470088849733695, 0.013389384904168217, 1.0080013899313374, 2.057699602015454,
                  0.005764370848928318, 0.6747777477331109),
    "fr2_desk": (2174, 0.008118977562045396, 0.006123163030157291, 0.9969698308032563, 0.9890356583679113,
                 0.003490321374787296, 0.395901770227406),
    "V102": (798, 0.09172711520685733, 0.08384138804295284, 0.9796982521745786, 2.71677136027806,
             0.015076710159641309, 1.129583062111382),
    "KITTI_00": (4541, 1.303449714565045, 0.9377090736114048, 1.0046980764526636, 0.7563005166348626,
                 0.028120377017393467, 0.6114682685588468),
}  # fmt: skip


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


def from_quaternions(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return rows[:, 0], make(Rotation.from_quat(rows[:, 4:8]).as_matrix(), rows[:, 1:4])


def read_pair(folder, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Estimate and reference of one published sequence, on common frames."""
    if name == "KITTI_00":
        paths = [np.loadtxt(folder / f"KITTI_00_{kind}.txt").reshape(-1, 3, 4) for kind in ("ORB", "gt")]
        return tuple(make(path[:, :, :3], path[:, :, 3]) for path in paths)
    if name == "V102":
        times, T = from_quaternions(np.loadtxt(folder / "V102.txt"))
        rows = np.loadtxt(folder / "V102_groundtruth.csv", delimiter=",")
        ref_times, T_ref = rows[:, 0] * 1e-9, make(Rotation.from_quat(rows[:, [5, 6, 7, 4]]).as_matrix(), rows[:, 1:4])
    else:
        estimate, truth = {
            "freiburg1": ("freiburg1_xyz-rgbdslam.txt", "freiburg1_xyz-groundtruth.txt"),
            "fr2_desk": ("fr2_desk_ORB.txt", "fr2_desk_groundtruth.txt"),
        }[name]
        times, T = from_quaternions(np.loadtxt(folder / estimate))
        ref_times, T_ref = from_quaternions(np.loadtxt(folder / truth))
    index, ref_index = associate(times, ref_times, 0.01)
    return T[index], T_ref[ref_index]


@pytest.mark.parametrize("name", list(EVO))
def test_published_paths_score_as_in_the_reference_tool(shared_data, name):
    count, rigid, similar, scale, turn_deg, step_m, step_deg = EVO[name]
    T, T_ref = read_pair(shared_data / "traj_eval_pairs", name)
    assert len(T) == count
    ours, scaled = path_errors(T, T_ref, with_scale=False), path_errors(T, T_ref)
    np.testing.assert_allclose([ours.ate_m, scaled.ate_m, scaled.alignment.scale], [rigid, similar, scale], rtol=1e-6)
    np.testing.assert_allclose(np.rad2deg(rms(ours.rotation_rad)), turn_deg, rtol=1e-5)
    np.testing.assert_allclose(rms(step_errors(T, T_ref, 1).translation_m), step_m, rtol=1e-5)
    np.testing.assert_allclose(np.rad2deg(rms(step_errors(T, T_ref, 10).rotation_rad)), step_deg, rtol=1e-5)
    unaligned = rms(np.linalg.norm(T[:, :3, 3] - T_ref[:, :3, 3], axis=-1))
    assert unaligned > 1.02 * rigid > 1.02 * scaled.ate_m  # control: alignment matters


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
