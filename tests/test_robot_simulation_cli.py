"""`vitra robot run --simulate`: policies, films and outcomes from the command line, and the Gymnasium registry."""

from argparse import Namespace
from pathlib import Path

import gymnasium
import numpy as np
import pytest

from robot.cli.run import FRESH_S, _asking
from robot.simulation.config import RigConfig
from robot.simulation.environment import NAME, XHandTabletop
from robot.simulation.rig import Rig, load_mujoco, rig_spec
from robot.simulation.tasks import sample_scene
from vitra_lib.cli.main import main
from vitra_lib.contracts.hand_track import Side
from vitra_lib.video import VideoReader


def asked(fps: float) -> Namespace:
    """Parsed arguments."""
    return Namespace(fps=fps, settled=0.0)


def test_a_task_is_run_in_simulation_judged_and_filmed(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    film, journal = tmp_path / "film.mp4", tmp_path / "journal.jsonl"
    arguments = ["--simulate", "functional-grasp", "--seed", "3", "--duration", "0.8", "--film", str(film)]
    assert main(["robot", "run", "--policy", "hold", "--fps", "10", *arguments, "--journal", str(journal)]) == 0
    said = capsys.readouterr().out
    assert f"Simulation: {sample_scene('functional-grasp', 3, 'seen').instruction}" in said
    assert "24 commands cleared, 0 late ticks" in said and "Ended: the time was up" in said
    assert said.splitlines()[-1].startswith("No success: ")  # a policy that rests can't do it
    assert journal.is_file()
    with VideoReader(film) as reader:
        assert (reader.info.width_px, reader.info.height_px) == (480, 360) and reader.info.frame_count == 8


def test_a_policy_at_ten_steps_per_second_never_acts_on_old_pictures(capsys: pytest.CaptureFixture) -> None:
    arguments = ["robot", "run", "--policy", "hold", "--simulate", "functional-grasp", "--duration", "2.5"]
    assert main([*arguments, "--fps", "10"]) == 0
    assert "old_action" not in capsys.readouterr().out
    assert _asking(asked(10.0)).ask_left_s == pytest.approx(1.6 - FRESH_S)
    assert _asking(asked(30.0)).broker.merge == "ensemble" and _asking(asked(10.0)).broker.merge == "latest"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--policy", "expert"], "--simulate"),
        (["--policy", "hold", "--film", "film.mp4"], "--simulate"),
        (["--policy", "hold", "--simulate", "juggle"], "pick-place"),
        (["--policy", "hold", "--simulate", "pour", "--split", "foggy"], "unseen-object"),
        (["--policy", "hold", "--simulate", "pick-place", "--side", "left"], "--side"),
        (["--policy", "hold", "--simulate", "pour", "--real"], "--simulate"),
    ],
)
def test_bad_requests_are_one_sentence(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture) -> None:
    assert main(["robot", "run", *arguments]) == 2
    said = capsys.readouterr().err
    assert sentence in said and "Traceback" not in said


def test_the_environment_is_made_by_its_name() -> None:
    environment = gymnasium.make(NAME, disable_env_checker=True)
    assert isinstance(environment.unwrapped, XHandTabletop)
    observation, info = environment.reset(seed=4, options={"split": "unseen-background"})
    scene = environment.unwrapped.rig.simulation.scene
    assert (scene.task, scene.split, scene.seed, info["seed"]) == ("pick-place", "unseen-background", 4, 4)
    assert observation["instruction"].startswith("Left hand: None. Right hand: ")
    after, reward, done, late, info = environment.step(np.r_[np.zeros(6), observation["state"][6:]])
    assert (reward, done, late) == (0.0, False, False) and info["figures"] and after["image"].shape == (224, 224, 3)
    environment.close()


@pytest.mark.parametrize("side", ["right", "left"])
def test_the_rig_is_written_as_mjcf_that_mujoco_reads_back(
    side: Side, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    file = tmp_path / "rig.xml"
    assert main(["robot", "mjcf", "--side", side, "--out", str(file)]) == 0
    assert "19 joints, 19 servos" in capsys.readouterr().out
    mujoco, config = load_mujoco(), RigConfig(side=side)
    read, built = mujoco.MjModel.from_xml_path(str(file)), rig_spec(config).compile()
    q = np.random.default_rng(0).uniform(-0.5, 0.5, 19)
    tips = []
    for model in (read, built):
        data, rig = mujoco.MjData(model), Rig.of(model, config)
        data.qpos[rig.qpos] = q
        mujoco.mj_forward(model, data)
        tips.append(data.site_xpos[rig.tip_sites])
    np.testing.assert_allclose(tips[0], tips[1], atol=1e-6)
    np.testing.assert_allclose(read.actuator_biasprm, built.actuator_biasprm, rtol=1e-4)
    for name in ("geom_contype", "geom_conaffinity", "geom_friction", "body_mass", "jnt_range", "dof_armature"):
        np.testing.assert_allclose(getattr(read, name), getattr(built, name), rtol=1e-4, atol=1e-6)
    assert main(["robot", "mjcf", "--variant", "RM99", "--out", str(file)]) == 2
    assert "RM75-6F" in capsys.readouterr().err
