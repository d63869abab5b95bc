"""`vitra robot run` and `vitra robot replay` from the command line, dry."""

import json
from pathlib import Path

import numpy as np
import pytest

from robot.arm import load_arm
from robot.cli.setup_file import read_setup
from robot.drivers.kinematic import ready_pose
from robot.teleop.episode import TeleArm, TeleEpisode, placed
from vitra_lib.cli.main import main
from vitra_lib.core.errors import VitraError


def test_a_dry_run_holds_and_writes_its_journal(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    journal = tmp_path / "journal.jsonl"
    assert main(["robot", "run", "--policy", "hold", "--duration", "0.6", "--journal", str(journal)]) == 0
    said = capsys.readouterr().out
    assert "Dry run: no hardware." in said and "Ended: the time was up" in said
    summary = json.loads(journal.read_text().splitlines()[0])
    assert summary["ticks"] == summary["sent"] >= 58 and summary["interventions"] == {}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--policy", "hold", "--execute"], "--real"),
        (["--policy", "nowhere"], "no checkpoint folder"),
        (["--policy", "hold", "--fps", "0"], "--fps"),
        (["--policy", "hold", "--setup", "none.json"], "none.json"),
        (["--policy", "hold", "--real"], "--setup"),
    ],
)
def test_bad_requests_are_one_sentence(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture, tmp_path: Path
) -> None:
    assert main(["robot", "run", *arguments]) == 2
    said = capsys.readouterr().err
    assert sentence in said and "Traceback" not in said


def _rig_file(folder: Path, **changes: object) -> Path:
    """A rig's file with some entries changed; None leaves one out."""
    content = {"T_base_cam": np.eye(4).tolist(), "T_flange_mount": np.eye(4).tolist(), "table_z_m": -0.1} | changes
    path = folder / "setup.json"
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))
    return path


def test_the_safety_layer_takes_table_box_and_hand_from_the_rigs_file(tmp_path: Path) -> None:
    from robot.hand.table import load_hand
    from robot.simulation.config import RigConfig

    rig = RigConfig()
    path = _rig_file(tmp_path, T_flange_mount=rig.T_flange_mount.tolist(), box_upper_m=[0.7, 0.5, 0.6])
    found = read_setup(path, "right", "Pick up the cup.")
    scene = found.safety.scene
    assert scene.table_offset_m == -0.1 and scene.box_lower_m[2] == pytest.approx(-0.08)
    assert np.allclose(scene.box_upper_m, [0.7, 0.5, 0.6])
    assert np.allclose(scene.T_flange_hand, rig.T_flange_hand)
    left = read_setup(path, "left", "Pick up the cup.").safety.scene.T_flange_hand  # control: the other hand's axes
    assert not np.allclose(left, rig.T_flange_hand)
    R = load_hand("xhand", "left").R_mount_base
    assert np.allclose(left[:3, :3], rig.T_flange_mount[:3, :3] @ R)


def test_a_table_that_is_too_high_keeps_the_robot_from_being_armed(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    arguments = ["robot", "run", "--policy", "hold", "--duration", "0.2", "--setup"]
    assert main([*arguments, str(_rig_file(tmp_path))]) == 0
    assert main([*arguments, str(_rig_file(tmp_path, table_z_m=0.5))]) != 0
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"table_z_m": None}, "lacks table_z_m"),
        ({"table_z_m": "low"}, "one finite number"),
        ({"T_base_cam": [[1.0]]}, "4 x 4 finite numbers"),
        ({"T_flange_mount": (2 * np.eye(4)).tolist()}, "rigid transform"),
        ({"box_lower_m": [1.0, 1.0, 1.0]}, "not below"),
        ({"tabel_z_m": 0.0}, "unknown entries tabel_z_m"),
        ({"hand_table": "claw"}, "claw"),
    ],
)
def test_a_bad_file_of_the_rig_is_one_sentence(changes: dict, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(VitraError, match=sentence):
        read_setup(_rig_file(tmp_path, **changes), "right", "Pick up the cup.")


def test_a_recorded_episode_is_replayed_dry(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    pytest.importorskip("h5py", reason="TeleData files need h5py, which is not installed here")
    from robot.teleop.files import write_tele

    frames, eye = 20, np.eye(4)
    q = ready_pose() + 0.02 * np.sin(np.arange(frames) / 5)[:, None]
    yes, zero = np.ones(frames, bool), np.zeros((frames, 6))
    arm = TeleArm(eye, eye, q[:, :7], q[:, 7:], zero, zero, q[:, :7], q[:, 7:], yes, yes)
    arm = placed(arm, load_arm().forward(q[:, :7]))
    K_px = np.array([[300.0, 0, 160], [0, 300, 120], [0, 0, 1]])
    episode = TeleEpisode("one", "Pick up.", "one.mp4", 30.0, K_px, False, True, TeleArm.absent(frames), arm)
    write_tele(tmp_path, episode, [np.zeros((240, 320, 3), np.uint8)] * frames)
    file = next(tmp_path.rglob("*.h5"))
    assert main(["robot", "replay", str(file)]) == 0
    said = capsys.readouterr().out
    assert "20 recorded frames" in said and "Ended: the end" in said
    assert main(["robot", "replay", str(file), "--side", "left"]) == 2
    assert "no left arm" in capsys.readouterr().err


def test_a_checkpoint_runs_dry_and_continues_settled_steps(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    import torch

    from robot.execution.ahead import AheadPolicy
    from robot.serving.hand_policy import PolicyFiles, open_policy
    from vitra_lib.dataset.normalisation import Normaliser
    from vitra_lib.policy.checkpoint import save_policy
    from vitra_lib.policy.config import SamplingConfig
    from vitra_lib.policy.policy import Policy
    from vitra_lib.policy.predict import STATISTICS
    from vitra_lib.policy.processor import Processor

    mean, rest = np.zeros(36), np.concatenate([np.zeros(6), ready_pose()[7:]])
    mean[:18] = mean[18:] = rest
    spread = np.full(36, 0.002)
    facts = {STATISTICS: Normaliser(mean, np.full(36, 0.5), mean, spread, "test", 1).to_official()}
    torch.manual_seed(0)
    save_policy(Policy(Processor().policy_config("tiny")), tmp_path / "checkpoint", facts)
    arguments = ["--policy", str(tmp_path / "checkpoint"), "--duration", "0.3", "--settled", "0.1"]
    assert main(["robot", "run", *arguments, "--instruction", "Right hand: Pick up the cup."]) == 0
    said = capsys.readouterr().out
    assert "answers of the policy" in said and not said.splitlines()[1].startswith("0 ")

    opened = open_policy(PolicyFiles(tmp_path / "checkpoint"), "cpu", SamplingConfig(5, 2.0))
    policy = AheadPolicy.of(opened)
    observation = {
        "image": np.full((64, 64, 3), 90, np.uint8), "instruction": "Right hand: Pick up the cup.",
        "fov_rad": np.array([1.2, 1.2]), "state": mean, "hands": np.array([False, True]),
    }  # fmt: skip
    settled = mean + 0.001 * np.sin(np.arange(3 * 36)).reshape(3, 36)
    answer = policy.infer_after(observation, settled)["actions"]
    assert answer.shape == (16, 36) and np.isnan(answer[:, :18]).all()
    assert np.abs(answer[:3, 18:] - settled[:, 18:]).max() < 1e-6  # in metres and radians, through table and statistics
    free = policy.infer_after(observation, settled[:0])["actions"]
    assert np.abs(free[:3, 18:] - settled[:, 18:]).max() > 1e-4  # control
    assert np.array_equal(free, opened.infer([opened.prepare(observation)])[0]["actions"], equal_nan=True)
