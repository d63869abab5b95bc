"""TeleData: files of the exact layout, faults with reasons, vectors, statistics, samples and the episode store."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from robot_makers import FPS, make_images, make_tele, with_arm

from robot.arm import load_arm
from robot.hand import HandMap
from robot.teleop.check import TeleCheckConfig, check_tele
from robot.teleop.episode import pose_matrix, pose_vector
from robot.teleop.files import TeleData, read_tele, write_tele
from robot.teleop.samples import TeleSampleConfig, TeleSamples, make_tele_sample, tele_instruction
from robot.teleop.statistics import tele_statistics
from robot.teleop.vectors import chunk_of, tele_states, tele_steps
from vitra_lib.cli.main import main
from vitra_lib.core.errors import BadInput
from vitra_lib.dataset.normalisation import read_statistics
from vitra_lib.episodes.state_action import step_actions
from vitra_lib.episodes.store import EpisodeStore
from vitra_lib.geometry.cameras import fov_from_K
from vitra_lib.geometry.rotations import exp, from_euler_xyz, geodesic_angle

h5py = pytest.importorskip("h5py", reason="TeleData files need h5py, which is not installed.")

LAYOUT = {
    "meta/instruction": (), "meta/video_path": (), "meta/frame_count": (), "meta/fps": (), "meta/has_left": (),
    "meta/has_right": (), "observation/camera/intrinsics": (3, 3),
    **{f"kinematics/{s}_ee_urdf_to_hand_mount": (4, 4) for s in ("left", "right")},
    **{f"kinematics/head_camera_to_{s}_arm_base": (4, 4) for s in ("left", "right")},
    **{f"{kind}/{s}_{part}_joint": (24, n) for kind in ("state", "action") for s in ("left", "right")
       for part, n in (("arm", 7), ("hand", 12))},
    **{f"state/{s}_hand_mount_pose{where}": (24, 6) for s in ("left", "right") for where in ("", "_in_cam")},
    **{f"mask/{s}_{part}": (24,) for s in ("left", "right") for part in ("arm", "hand")},
}  # fmt: skip


def same(a, b) -> bool:
    """Field by field, floats bit for bit."""
    arms = all(
        np.array_equal(getattr(a.arm(s), f), getattr(b.arm(s), f)) for s in ("left", "right") for f in vars(a.left)
    )
    rest = {k: v for k, v in vars(a).items() if k not in ("left", "right", "K_px")}
    return arms and np.array_equal(a.K_px, b.K_px) and all(vars(b)[k] == v for k, v in rest.items())


@pytest.mark.parametrize("sides", [("right",), ("left",), ("left", "right")])
def test_a_file_gives_back_what_was_written(sides: tuple[str, ...], tmp_path: Path) -> None:
    episode = make_tele(sides=sides)
    path = write_tele(tmp_path, episode)
    assert path == tmp_path / "annotation" / "000001.h5"
    assert same(episode, read_tele(path))
    first = path.read_bytes()
    write_tele(tmp_path, episode)
    assert path.read_bytes() == first


def test_the_file_has_exactly_the_public_layout(tmp_path: Path) -> None:
    found = {}
    with h5py.File(write_tele(tmp_path, make_tele()), "r") as file:
        file.visititems(lambda name, node: found.update({name: node.shape}) if isinstance(node, h5py.Dataset) else None)
        assert file["state/right_arm_joint"].dtype == np.float64 and file["mask/right_arm"].dtype == bool
        assert file["meta/instruction"][()] == b"Pick up the cup"
        assert not file["state/left_arm_joint"][()].any()
    assert found == LAYOUT


def broken(tmp_path: Path, change) -> Path:
    path = write_tele(tmp_path, make_tele())
    with h5py.File(path, "a") as file:
        change(file)
    return path


def put(file, place: str, value: object) -> None:
    del file[place]
    file[place] = value


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f.pop("state/right_hand_joint"), "has no state/right_hand_joint"),
        (lambda f: put(f, "state/right_hand_joint", np.zeros((24, 11))), "shape"),
        (lambda f: put(f, "meta/frame_count", 25), "shape"),
        (lambda f: put(f, "meta/frame_count", 0), "frame_count is 0"),
        (lambda f: put(f, "meta/frame_count", 10**12), "frame_count"),
        (lambda f: put(f, "meta/fps", "fast"), "not one number"),
        (lambda f: put(f, "meta/instruction", 3), "not one text"),
        (lambda f: put(f, "mask/right_arm", np.full(24, 2)), "true and false"),
        (lambda f: put(f, "state/right_arm_joint", h5py.SoftLink("/state/left_arm_joint")), "link"),
        (lambda f: put(f, "state/right_arm_joint", h5py.ExternalLink("other.h5", "/x")), "link"),
    ],
)
def test_a_broken_file_is_one_sentence(change, said: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=said):
        read_tele(broken(tmp_path, change))


def test_what_is_not_hdf5_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.h5").write_bytes(b"not hdf5")
    for path in (tmp_path / "x.h5", tmp_path / "absent.h5"):
        with pytest.raises(BadInput, match="HDF5"):
            read_tele(path)
    whole = write_tele(tmp_path, make_tele())
    whole.write_bytes(whole.read_bytes()[:3000])
    with pytest.raises(BadInput):
        read_tele(whole)
    with pytest.raises(BadInput, match="annotation"):
        TeleData.open(tmp_path / "nowhere")


def test_nothing_half_written_is_left(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="24 frames, but 3 images"):
        write_tele(tmp_path, make_tele(), make_images(3))
    with pytest.raises(BadInput, match="name"):
        write_tele(tmp_path, make_tele(name="../x"))
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


@pytest.mark.parametrize("sides", [("right",), ("left", "right")])
def test_a_good_episode_has_no_fault(sides: tuple[str, ...], tmp_path: Path) -> None:
    episode = make_tele(sides=sides)
    write_tele(tmp_path, episode, make_images(24))
    assert check_tele(episode, TeleData.open(tmp_path).video("000001")) == ()


def changed(field: str, row: int, column: int, value: float):
    def change(episode):
        values = getattr(episode.right, field).copy()
        values[row, column] = value
        return with_arm(episode, "right", **{field: values})

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (changed("arm_rad", 3, 0, np.nan), "not_finite"),
        (changed("arm_command_rad", 3, 1, 2.5), "limits"),
        (changed("hand_command_rad", 3, 0, -0.3), "limits"),
        (changed("hand_rad", 3, 4, 1.9), "speed"),
        (changed("mount_in_base", 3, 0, 9.0), "kinematics"),
        (changed("mount_in_cam", 3, 2, 9.0), "camera"),
        (changed("T_base_cam", 0, 0, 5.0), "transform"),
        (lambda e: with_arm(e, "right", hand_is_valid=np.zeros(24, bool)), "mask"),
        (lambda e: with_arm(e, "left", arm_is_valid=np.ones(24, bool)), "mask"),
        (lambda e: replace(e, instruction=" "), "instruction"),
        (lambda e: replace(e, fps=0.0), "fps"),
        (lambda e: replace(e, K_px=np.eye(3) * -1), "intrinsics"),
    ],
)
def test_every_fault_has_its_reason(change, reason: str) -> None:
    assert reason in {fault.reason for fault in check_tele(change(make_tele()))}


def test_a_thumb_at_102_degrees_is_real_and_at_110_is_not() -> None:
    for angle, reasons in ((102.0, set()), (110.0, {"limits"})):
        hand = make_tele().right.hand_rad.copy()
        hand[:, 2] = np.deg2rad(angle)
        assert {fault.reason for fault in check_tele(with_arm(make_tele(), "right", hand_rad=hand))} == reasons


def test_a_fault_in_a_masked_frame_is_none() -> None:
    episode = changed("arm_rad", 3, 0, np.nan)(make_tele())
    assert check_tele(with_arm(episode, "right", arm_is_valid=np.arange(24) != 3)) == ()


def test_the_wrong_variant_of_the_arm_is_noticed() -> None:
    faults = check_tele(make_tele(), config=TeleCheckConfig(arm_variant="RM75-B"))
    assert {fault.reason for fault in faults} == {"kinematics"}


def test_rotation_vectors_become_euler_angles() -> None:
    episode = make_tele(sides=("left", "right"))
    states, mask = tele_states(episode)
    assert mask.all()
    for side, start in (("left", 0), ("right", 18)):
        vector = episode.arm(side).mount_in_cam[:, 3:]
        R = from_euler_xyz(states[:, start + 3 : start + 6])
        assert geodesic_angle(R, exp(vector)).max() < 1e-9
        assert np.abs(states[:, start + 3 : start + 6] - vector).max() > 0.1, "control: they are not the same numbers"
        assert np.array_equal(states[:, start + 6 : start + 18], episode.arm(side).hand_rad)


def test_steps_integrate_to_the_recorded_path_and_joints_are_commands() -> None:
    episode = make_tele(lag_frames=3)
    steps, mask = tele_steps(episode)
    assert mask[:-1, 1].all() and not mask[-1].any() and not mask[:, 0].any()
    T = episode.right.T_cam_mount[0]
    R, t = T[:3, :3], T[:3, 3]
    for step in steps[:-1, 18:]:
        R, t = from_euler_xyz(step[3:6]) @ R, t + step[:3]
    last = episode.right.T_cam_mount[-1]
    assert np.abs(t - last[:3, 3]).max() < 1e-12 and geodesic_angle(R, last[:3, :3]) < 1e-9
    assert np.array_equal(steps[:-1, 24:], episode.right.hand_command_rad[:-1])
    assert np.abs(steps[:-1, 24:] - episode.right.hand_rad[1:]).max() > 0.01, "control: not the measured angles"


def test_a_step_needs_both_of_its_frames() -> None:
    valid = np.arange(24) != 5
    mask = tele_steps(with_arm(make_tele(), "right", hand_is_valid=valid))[1][:, 1]
    assert np.array_equal(np.flatnonzero(~mask), [4, 5, 23])


def test_chunks_end_with_the_episode() -> None:
    values, mask = tele_steps(make_tele())
    chunk, valid = chunk_of(values, mask, 20, 16)
    assert np.array_equal(chunk[:3], values[20:23]) and not chunk[3:].any()
    assert valid[:3, 1].all() and not valid[3:].any() and not valid[:, 0].any()


def test_statistics_are_those_of_all_valid_frames_at_once() -> None:
    episodes = [make_tele(seed, frames) for seed, frames in ((0, 24), (1, 40), (2, 9))]
    episodes[1] = with_arm(episodes[1], "right", arm_is_valid=np.arange(40) > 10)
    found = tele_statistics(episodes)
    for kind, of in (("state", tele_states), ("action", tele_steps)):
        rows = np.concatenate([values[mask[:, 1], 18:] for values, mask in map(of, episodes)])
        np.testing.assert_allclose(getattr(found, f"{kind}_mean")[18:], rows.mean(0), atol=1e-12)
        np.testing.assert_allclose(getattr(found, f"{kind}_std")[18:], rows.std(0), atol=1e-12)
        assert not getattr(found, f"{kind}_mean")[:18].any()
    assert found.count == 73
    with pytest.raises(BadInput, match="No hand"):
        tele_statistics([with_arm(make_tele(), "right", arm_is_valid=np.zeros(24, bool))])


def test_samples_are_normalised_in_robot_numbers_then_mapped() -> None:
    episode, frame = make_tele(), 7
    normaliser, image = tele_statistics([episode]), make_images(24)[frame]
    sample = make_tele_sample(episode, frame, image, normaliser)
    states, steps = tele_states(episode)[0], tele_steps(episode)[0]
    hand_map = HandMap.load()
    action = hand_map.human_to_robot(sample.action)[:, 18:]
    np.testing.assert_allclose(action, normaliser.normalise_action(steps)[7:23, 18:], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(hand_map.restored_action(sample.action, normaliser)[:, 18:], steps[7:23, 18:], atol=1e-6)
    state = hand_map.human_to_robot(sample.state)[18:]
    np.testing.assert_allclose(state, normaliser.normalise_state(states)[7, 18:], rtol=1e-5, atol=1e-5)
    assert sample.action.shape == (16, 192) and sample.state.shape == (212,)
    assert sample.action_mask[0].sum() == sample.state_mask.sum() == 18 and not sample.state_mask[:51].any()
    assert sample.instruction == "Left hand: None. Right hand: Pick up the cup."
    np.testing.assert_allclose(sample.fov_rad, fov_from_K(episode.K_px, 64, 48), rtol=1e-6)
    official = make_tele_sample(episode, frame, image, normaliser, config=TeleSampleConfig(unmapped="zero"))
    assert official.action_mask[0].sum() == 51 and np.array_equal(official.action, sample.action)
    with pytest.raises(BadInput, match="frames 0 to 23"):
        make_tele_sample(episode, 24)


def test_instructions_name_the_arms_that_there_are() -> None:
    both = make_tele(sides=("left", "right"))
    assert tele_instruction(both) == "Left hand: Pick up the cup. Right hand: Pick up the cup."
    told = replace(both, instruction="Left hand: None. Right hand: Wave.")
    assert tele_instruction(told) == told.instruction


def test_conversion_keeps_wrists_angles_and_steps(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    tele = make_tele()
    write_tele(tmp_path / "tele", tele, make_images(24))
    out = tmp_path / "store"
    assert main(["robot", "teledata", "convert", str(tmp_path / "tele"), "--out", str(out)]) == 0
    store = EpisodeStore.open(out)
    episode = store[0]
    assert len(store) == 1 and len(episode) == 24 and episode.fps == FPS and not episode.left.is_valid.any()
    assert store.images(0, [0, 23])[1].mean() > store.images(0, [0])[0].mean() + 10
    np.testing.assert_allclose(episode.t_cam_wrist("right"), tele.right.mount_in_cam[:, :3], atol=1e-12)
    values, mask = step_actions(episode)
    robot = HandMap.load().human_to_robot(values)
    np.testing.assert_allclose(robot[:-1, 18:24], tele_steps(tele)[0][:-1, 18:24], atol=1e-9)
    np.testing.assert_allclose(robot[:-1, 24:], tele.right.hand_rad[1:], atol=1e-9)  # measured, not commanded
    assert np.array_equal(mask, tele_steps(tele)[1])
    assert episode.instruction(0) == "Left hand: None. Right hand: Pick up the cup."
    capsys.readouterr()


def test_the_command_checks_and_counts(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write_tele(tmp_path / "tele", make_tele(), make_images(24))
    assert main(["robot", "teledata", "check", str(tmp_path / "tele")]) == 0
    write_tele(tmp_path / "tele", changed("mount_in_cam", 3, 2, 9.0)(make_tele(name="000002")))
    assert main(["robot", "teledata", "check", "--no-video", str(tmp_path / "tele")]) == 1
    assert "000002: camera: right" in capsys.readouterr().out
    assert main(["robot", "teledata", "statistics", str(tmp_path / "tele"), "--out", str(tmp_path / "s.json")]) == 0
    assert len(read_statistics(tmp_path / "s.json").state_mean) == 36


def test_poses_there_and_back() -> None:
    pose = np.random.default_rng(0).uniform(-1.5, 1.5, size=(50, 6))  # rotation vectors shorter than pi
    np.testing.assert_allclose(pose_vector(pose_matrix(pose)), pose, atol=1e-9)
    arm = make_tele().right
    np.testing.assert_allclose(
        pose_matrix(arm.mount_in_base), load_arm().forward(arm.arm_rad) @ arm.T_flange_mount, atol=1e-9
    )


def test_samples_by_number_come_with_their_images_and_travel(tmp_path: Path) -> None:
    import pickle

    from vitra_lib.dataset.collate import collate

    gap = with_arm(make_tele(1, 12, name="000002"), "right", hand_is_valid=np.arange(12) != 5)
    write_tele(tmp_path, make_tele(), make_images(24))
    write_tele(tmp_path, gap, make_images(12))
    data = TeleData.open(tmp_path)
    samples = TeleSamples(data, tele_statistics(data))
    samples[0]
    samples = pickle.loads(pickle.dumps(samples))
    assert len(samples) == 23 + 9
    last = samples[len(samples) - 1]
    assert (last.name, last.frame) == ("000002", 10)
    assert np.abs(last.image.astype(int) - make_images(12)[10]).mean() < 3
    assert np.abs(last.image.astype(int) - make_images(12)[0]).mean() > 6, "control: another frame"
    batch = collate([samples[0], last])
    assert batch.image.shape == (2, 3, 224, 224) and batch.action_mask[1, 1:].sum() == 0
    samples.close()
    with pytest.raises(BadInput, match="valid together"):
        write_tele(tmp_path / "none", with_arm(gap, "right", hand_is_valid=np.zeros(12, bool)))
        TeleSamples(TeleData.open(tmp_path / "none"))
