"""`vitra compare`: published camera paths score as in the field's reference tool; every kind of input is read."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from reconstruction_motions import hand_motion

from vitra_lib.cli.main import main
from vitra_lib.contracts import CameraTrack, HandTrack, Reconstruction
from vitra_lib.core.errors import BadInput
from vitra_lib.evaluation.compare import CompareConfig, Subject, compare, read_subject
from vitra_lib.evaluation.path_files import read_path_file
from vitra_lib.evaluation.trajectories import rms, step_errors
from vitra_lib.geometry.rotations import exp
from vitra_lib.geometry.transforms import make
from vitra_lib.reconstruction.store import save_reconstruction

# Poses; ATE rms [m] after SE3 and after Sim3; mean, median and scale after Sim3; rotation rms after SE3 [deg]; RPE rms
# over 1 frame [m], [deg], over 10 frames [m], [deg]. Made with evo 1.38.1: associate_trajectories(max_diff=0.01),
# align(correct_scale), APE and RPE (delta in frames, all pairs).
EVO = {
    "freiburg1": (785, 0.013470088849733695, 0.013389384904168217, 0.011986889624888907,
        0.011133899090810867, 1.0080013899313374, 2.057699602015454,
        0.005764370848928318, 0.3536131610447985, 0.014040675998645393, 0.6747777477331109),
    "freiburg1_drift": (785, 0.013470118951368277, 0.013389416164851104, 0.011986907749897156,
        0.011133736392279926, 1.008001341325546, 2.0577024866830285,
        0.005764378833030764, 0.3536135361731567, 0.014040694883947972, 0.674778947755531),
    "fr2_desk": (2174, 0.008118977562045396, 0.006123163030157291, 0.005586197318706158,
        0.005305225075852879, 0.9969698308032563, 0.9890356583679113,
        0.003490321374787296, 0.28051922626732667, 0.005841796673881318, 0.395901770227406),
    "V102": (798, 0.09172711520685733, 0.08384138804295284, 0.0748410847826337,
        0.07194517866622532, 0.9796982521745786, 2.71677136027806,
        0.015076710159641309, 0.35761559488592853, 0.05567504013258797, 1.129583062111382),
    "KITTI_00": (4541, 1.303449714565045, 0.9377090736114048, 0.8726926319693131,
        0.8446910134863809, 1.0046980764526636, 0.7563005166348626,
        0.028120377017393467, 0.11497352125979238, 0.18934823038597906, 0.6114682685588468),
}  # fmt: skip
FILES = {
    "freiburg1": ("freiburg1_xyz-rgbdslam.txt", "freiburg1_xyz-groundtruth.txt"),
    "freiburg1_drift": ("freiburg1_xyz-rgbdslam_drift.txt", "freiburg1_xyz-groundtruth.txt"),
    "fr2_desk": ("fr2_desk_ORB.txt", "fr2_desk_groundtruth.txt"),
    "V102": ("V102.txt", "V102_groundtruth.csv"),
    "KITTI_00": ("KITTI_00_ORB.txt", "KITTI_00_gt.txt"),
}


def values(figures) -> dict[str, float]:
    return {figure.name: figure.value for figure in figures}


@pytest.mark.parametrize("name", list(EVO))
def test_published_paths_score_as_in_the_reference_tool(shared_data, name):
    count, rigid, similar, mean, median, scale, turn, step_m, step_deg, far_m, far_deg = EVO[name]
    ours, truth = (read_subject(shared_data / "traj_eval_pairs" / file) for file in FILES[name])
    figures = compare(ours, truth)
    assert figures[0].n == count
    got = values(figures)
    expected = {
        "camera ATE, rigid alignment": rigid,
        "camera ATE, similarity alignment": similar,
        "camera ATE mean, similarity alignment": mean,
        "camera ATE median, similarity alignment": median,
        "scale that the similarity applies": scale,
        "camera rotation, rigid alignment (rms)": turn,
        "relative error over 1 frame, position (rms)": step_m,
        "relative error over 1 frame, rotation (rms)": step_deg,
    }
    for what, value in expected.items():
        assert got[what] == pytest.approx(value, rel=1e-6, abs=1e-6), what
    from vitra_lib.evaluation.compare import _pairs

    a, b = _pairs(ours, truth, CompareConfig())
    far = step_errors(ours.T_world_cam[a], truth.T_world_cam[b], 10)
    assert rms(far.translation_m) == pytest.approx(far_m, rel=1e-6, abs=1e-6)
    assert np.rad2deg(rms(far.rotation_rad)) == pytest.approx(far_deg, rel=1e-6, abs=1e-6)
    unaligned = rms(np.linalg.norm(ours.T_world_cam[a, :3, 3] - truth.T_world_cam[b, :3, 3], axis=-1))
    assert unaligned > 1.02 * rigid > 1.02 * similar, "control: alignment matters"


def test_the_three_layouts_hold_one_path(tmp_path):
    rng = np.random.default_rng(0)
    T = make(exp(rng.normal(0, 0.4, (6, 3))), rng.normal(size=(6, 3)))
    from scipy.spatial.transform import Rotation

    q, t, times = Rotation.from_matrix(T[:, :3, :3]).as_quat(), T[:, :3, 3], 1_400_000_000 + 0.1 * np.arange(6)
    np.savetxt(tmp_path / "tum.txt", np.column_stack([times, t, q]), fmt="%.12f", header="time x y z qx qy qz qw")
    np.savetxt(tmp_path / "kitti.txt", T[:, :3].reshape(6, 12))
    rows = np.column_stack([times * 1e9, t, q[:, [3, 0, 1, 2]], np.full((6, 3), 7.0)])
    np.savetxt(tmp_path / "euroc.csv", rows, delimiter=",", header="time [ns], x, y, z, qw, qx, qy, qz, vx, vy, vz")
    for name, layout in (("tum.txt", "tum"), ("kitti.txt", "kitti"), ("euroc.csv", "euroc")):
        read = read_path_file(tmp_path / name)
        assert read.layout == layout and read.has_clock == (layout != "kitti")
        np.testing.assert_allclose(read.T_world_cam, T, atol=1e-9)
    np.testing.assert_allclose(read_path_file(tmp_path / "tum.txt").time_s, times)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no pose"),
        ("1 2 3\n", "3 columns"),
        ("0 0 0 0 0 0 0 1\n1 nan 0 0 0 0 0 1\n", "pose 1"),
        ("1 0 0 0 0 0 0 1\n0 0 0 0 0 0 0 1\n", "go back"),
        ("0 0 0 0 0 0 0 0\n", "no rotation"),
        ("2 0 0 0 0 2 0 0 0 0 2 0\n", "no rotation"),
        ("<html>\n", "no table"),
    ],
)
@pytest.mark.filterwarnings("ignore:loadtxt")
def test_a_file_that_is_no_path_is_refused(tmp_path, text, words):
    (tmp_path / "path.txt").write_text(text)
    with pytest.raises(BadInput, match=words):
        read_path_file(tmp_path / "path.txt")


def moving_hand(time: int = 40) -> Reconstruction:
    _, hand = hand_motion(0, time)
    rng = np.random.default_rng(1)
    T = make(exp(np.cumsum(rng.normal(0, 0.02, (time, 3)), 0)), np.cumsum(rng.normal(0, 0.02, (time, 3)), 0))
    K = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])
    camera = CameraTrack(K, 640, 480, T, np.ones(time, bool), False, "truth", "truth", 0.0, "truth")
    hands = {hand.side: hand, "left" if hand.side == "right" else "right": None}
    both = {s: h or HandTrack.absent(s, time, hand.hand_model) for s, h in hands.items()}
    return Reconstruction("clip.mp4", "", 30.0, np.arange(time), np.arange(time) / 30, camera, **both)


def test_a_known_error_comes_back(tmp_path, capsys):
    truth = moving_hand()
    side = "right" if truth.right.is_valid.any() else "left"
    hand = truth.hand(side)
    shift = np.array([0.03, 0.0, 0.04])
    shown = np.arange(len(truth)) >= 4
    moved = replace(
        hand, t_cam_wrist=hand.t_cam_wrist + shift, joints_cam=hand.joints_cam + shift, is_valid=hand.is_valid & shown
    )
    T = truth.camera.T_world_cam.copy()
    T[:, :3, 3] *= 2.0
    estimate = replace(truth, camera=replace(truth.camera, T_world_cam=T), **{side: moved})
    for name, one in (("a.npz", estimate), ("b.npz", truth)):
        save_reconstruction(one, tmp_path / name)
    args = ["compare", str(tmp_path / "a.npz"), str(tmp_path / "b.npz"), "--json", str(tmp_path / "out.json")]
    assert main(args) == 0
    assert "PA-MPJPE" in capsys.readouterr().out
    got = {f["name"]: f["value"] for f in json.loads((tmp_path / "out.json").read_text())["figures"]}
    assert got[f"{side} wrist position in camera, median"] == pytest.approx(5.0)
    assert got[f"{side} joints (MPJPE), median"] == pytest.approx(50.0)
    assert got[f"{side} root-aligned joints, median"] == pytest.approx(0.0, abs=1e-6)
    assert got[f"{side} hand only in the reference"] == 4 and got[f"{side} hand only in the estimate"] == 0
    assert got["scale that the similarity applies"] == pytest.approx(0.5)
    assert got["camera ATE, similarity alignment"] < 1e-9 < 0.01 < got["camera ATE, rigid alignment"]


def test_frames_or_times_that_never_meet_are_refused(tmp_path):
    T, known = np.tile(np.eye(4), (3, 1, 1)), np.ones(3, bool)
    one = Subject("a", T, known, np.arange(3.0), np.arange(3), True)
    late = replace(one, time_s=np.arange(3.0) + 100)
    with pytest.raises(BadInput, match="clock"):
        compare(one, late)
    assert values(compare(one, late, CompareConfig(by_frame=True)))["camera ATE, rigid alignment"] == 0  # the control
    with pytest.raises(BadInput):
        CompareConfig(max_difference_s=float("nan"))


def test_an_official_episode_agrees_with_itself_and_not_with_a_path(shared_data: Path, tmp_path):
    episode = next((shared_data / "vitra_ego4d_episode").glob("*.npy"))
    subject = read_subject(episode)
    got = values(compare(subject, subject))
    assert got["camera ATE, rigid alignment"] < 1e-9 and got["right wrist rotation, median"] < 1e-4
    (tmp_path / "notes.pdf").write_text("x")
    for wrong in (tmp_path, tmp_path / "missing", tmp_path / "notes.pdf"):
        with pytest.raises(BadInput, match="legal are"):
            read_subject(wrong)
