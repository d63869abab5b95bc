"""The delay between commands and states: closed forms, real recordings, and other robots' datasets as input."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from robot_makers import FPS, make_tele

from robot.teleop.lag import LagConfig, align_commands, measure_lag
from robot.teleop.lerobot import RobotRecordings, aligned
from vitra_lib.cli.main import main
from vitra_lib.core.errors import BadInput


def commands(frames: int = 200, joints: int = 4) -> np.ndarray:
    rng, t = np.random.default_rng(0), np.arange(frames + 40) / FPS
    return np.stack([np.sin(t * rng.uniform(1, 3) + i) + 0.3 * np.sin(t * 5 + i) for i in range(joints)], axis=1)


def delayed(values: np.ndarray, frames: float) -> np.ndarray:
    at = np.arange(len(values)) - frames
    return np.stack([np.interp(at, np.arange(len(values)), column) for column in values.T], axis=1)


@pytest.mark.parametrize("frames", [0.0, 1.0, 4.0, 4.5, 9.0])
def test_a_known_delay_is_found(frames: float) -> None:
    sent = commands()
    lag = measure_lag([sent], [delayed(sent, frames)], FPS)
    assert lag.frames == pytest.approx(frames, abs=0.2)


def test_every_joint_has_its_own_delay_and_a_still_one_has_no_say() -> None:
    sent = commands()
    seen = np.stack([delayed(sent, n)[:, i] for i, n in enumerate((2, 5, 9, 3))], axis=1)
    sent[:, 3] = 0.01 * sent[:, 3]
    lag = measure_lag([sent], [seen], FPS)
    np.testing.assert_allclose(lag.joint_lag_s[:3] * FPS, [2, 5, 9], atol=0.2)
    assert np.isnan(lag.joint_lag_s[3]) and np.isnan(lag.joint_correlation[3])


def test_control_an_unrelated_state_has_no_delay() -> None:
    noise = np.random.default_rng(1).normal(size=(240, 4))
    assert np.isnan(measure_lag([commands()], [noise], FPS).lag_s)


def test_aligned_commands_fit_the_states() -> None:
    sent = commands()
    seen = delayed(sent, 4.0)
    lag = measure_lag([sent], [seen], FPS)
    aligned, valid = align_commands(sent, lag.joint_lag_s, FPS)
    assert np.array_equal(np.flatnonzero(~valid), np.arange(int(np.ceil(np.nanmax(lag.joint_lag_s) * FPS))))
    before, after = (np.sqrt(((x - seen)[valid] ** 2).mean()) for x in (sent, aligned))
    assert after < 0.05 * before
    same, all_valid = align_commands(sent, np.zeros(4), FPS)
    assert np.array_equal(same, sent) and all_valid.all()


def test_wrong_input_is_refused() -> None:
    sent = commands()
    with pytest.raises(BadInput, match="one shape"):
        measure_lag([sent], [sent[:, :3]], FPS)
    with pytest.raises(BadInput, match="frames or more"):
        measure_lag([sent[:10]], [sent[:10]], FPS)
    with pytest.raises(BadInput, match="delays"):
        align_commands(sent, np.array([-1.0, 0, 0, 0]), FPS)
    with pytest.raises(BadInput, match="max_lag_s"):
        LagConfig(max_lag_s=0.0)


def test_teledata_shows_the_delay_it_was_made_with() -> None:
    episode = make_tele(frames=120, lag_frames=4)
    lag = measure_lag([episode.right.arm_command_rad], [episode.right.arm_rad], FPS)
    assert lag.frames == pytest.approx(4.0, abs=0.2)


def test_real_arms_lag_four_to_five_frames_and_alignment_helps(shared_data: Path) -> None:
    recordings = list(RobotRecordings(shared_data / "g1_inspire_lerobot"))
    assert [len(r) for r in recordings] == [221, 450, 464] and recordings[0].state_names[10] == "kRightElbow"
    sent, seen = [r.action[:, 10:14] for r in recordings], [r.state[:, 10:14] for r in recordings]
    lag = measure_lag(sent, seen, 30.0)  # elbow and wrist of the arm that works
    assert 4.0 <= lag.frames <= 5.5
    moved, valid = align_commands(sent[1], lag.joint_lag_s, 30.0)
    before, after = (np.sqrt(((x - seen[1])[valid] ** 2).mean()) for x in (sent[1], moved))
    assert after < 0.6 * before
    whole = measure_lag([r.action for r in recordings], [r.state for r in recordings], 30.0)
    cut = aligned(recordings[1], whole)
    lost = len(recordings[1]) - len(cut)
    assert 9 < lost < 13 and cut.videos["observation.images.cam_high"][1] == pytest.approx(lost / 30.0)
    assert np.array_equal(cut.state, recordings[1].state[lost:])
    assert np.abs(cut.action - cut.state).mean() < 0.6 * np.abs(recordings[1].action - recordings[1].state).mean()
    hand = measure_lag([r.action[:, 20:] for r in recordings], [r.state[:, 20:] for r in recordings], 30.0)
    assert hand.frames > 1.5 * lag.frames, "the hand is slower than the arm"


def test_version_3_is_read_too(shared_data: Path) -> None:
    recordings = list(RobotRecordings(shared_data / "lerobot_v3_so101"))
    assert len(recordings) >= 1 and all(len(r) > 300 for r in recordings)
    lag = measure_lag([r.action for r in recordings], [r.state for r in recordings], recordings[0].fps)
    assert 3.5 <= lag.frames <= 5.0


def test_broken_datasets_are_one_sentence(shared_data: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="info.json"):
        RobotRecordings(tmp_path)
    root = tmp_path / "copy"
    shutil.copytree(shared_data / "g1_inspire_lerobot" / "meta", root / "meta", copy_function=shutil.copyfile)
    with pytest.raises(BadInput, match="no episode"):
        RobotRecordings(root)
    info = json.loads((root / "meta/info.json").read_text())
    for change, said in (({"codebase_version": "v9"}, "v9"), ({"features": {}}, "observation.state")):
        (root / "meta/info.json").unlink()
        (root / "meta/info.json").write_text(json.dumps(info | change))
        with pytest.raises(BadInput, match=said):
            RobotRecordings(root)


def test_the_command_prints_one_line_per_joint_and_writes_a_record(shared_data: Path, tmp_path: Path, capsys) -> None:
    assert main(["robot", "lag", str(shared_data / "g1_inspire_lerobot"), "--records", str(tmp_path)]) == 0
    assert "kRightElbow" in capsys.readouterr().out
    values = json.loads((tmp_path / "robot.lag.g1_inspire_lerobot.json").read_text())["values"]
    by_name = {value["name"]: value["value"] for value in values}
    assert by_name["kLeftElbow"] is None and 0.12 < by_name["kRightElbow"] < 0.15
