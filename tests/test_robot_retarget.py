"""Human finger motion on robot hands: laws, real recordings, and the command."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from robot.hand import load_hand
from robot.hand.dex import hand_urdf
from robot.hand.motion import HumanMotion, motion_of_points, read_motion
from robot.hand.retarget import RetargetConfig, retarget, tip_targets
from vitra_lib.cli.main import main
from vitra_lib.core.errors import BadInput, MissingAsset, UnknownName
from vitra_lib.geometry.rotations import from_euler_xyz
from vitra_lib.hands.grasps import sample_pose
from vitra_lib.hands.model import load_hand_model
from vitra_lib.hands.posed import pose_hand


def human(side: str = "right", frames: int = 6, seed: int = 0) -> HumanMotion:
    """A person's hand in plausible poses, seen in some camera."""
    rng = np.random.default_rng(seed)
    euler = np.stack([sample_pose(rng) for _ in range(frames)])
    R, t = from_euler_xyz(rng.normal(0, 0.5, (frames, 3))), rng.normal(0, 0.1, (frames, 3))
    joints = pose_hand(load_hand_model("standin"), side, R, t, from_euler_xyz(euler), np.zeros(10))[1]
    return motion_of_points(joints, side)


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_closed_form_copies_angles_within_limits(side: str) -> None:
    hand, motion = load_hand("xhand", side), human(side)
    q = retarget(motion, hand, "table").q
    assert (q >= hand.tree.lower).all() and (q <= hand.tree.upper).all()
    index = motion.finger_euler[:, 0, 2]  # index1.z -> index_joint1
    inside = (index > hand.tree.lower[4]) & (index < hand.tree.upper[4])
    assert inside.any() and np.array_equal(q[inside, 4], index[inside])


def test_both_sides_of_one_pose_give_the_same_angles() -> None:
    left, right = (retarget(human(side), load_hand("xhand", side), "table").q for side in ("left", "right"))
    np.testing.assert_allclose(left, right, atol=1e-3)


@pytest.mark.parametrize("name", ["xhand", "allegro"])
def test_fitting_tips_comes_nearer_than_the_closed_form(name: str) -> None:
    hand, motion = load_hand(name), human()
    table, tips = (retarget(motion, hand, method) for method in ("table", "tips"))
    assert np.nanmean(tips.tip_error_m) < 0.5 * np.nanmean(table.tip_error_m)
    assert (tips.q >= hand.tree.lower).all() and (tips.q <= hand.tree.upper).all()


def test_reachable_tips_are_reached() -> None:
    """Human tips where the robot's own are: the fit finds them; frozen fingers, the control, do not."""
    hand, motion = load_hand("xhand"), human(frames=5)
    q = np.linspace(hand.tree.lower + 0.05, hand.tree.upper - 0.05, 5) * np.linspace(0.4, 0.6, 12)
    q = hand.tree.clip(q)
    targets = tip_targets(motion, hand)
    shift = targets.tips_base[0] - targets.scale * motion.joints_wrist[0][[4, 8, 12, 16, 20]] @ hand.R_mount_base
    joints = motion.joints_wrist.copy()
    joints[:, [4, 8, 12, 16, 20]] = (hand.tips(q) - shift) @ hand.R_mount_base.T / targets.scale
    found = retarget(replace(motion, joints_wrist=joints), hand, "tips", RetargetConfig(smoothness_m=1e-4))
    frozen = np.linalg.norm(hand.tips(q[:1]) - hand.tips(q), axis=-1)
    assert found.tip_error_m.max() < 5e-4 < 0.1 * frozen.max()


def test_unknown_frames_hold_the_last_angles() -> None:
    motion = human(frames=4)
    joints = motion.joints_wrist.copy()
    joints[2] = np.nan
    gap = replace(motion, joints_wrist=joints, is_valid=np.array([True, True, False, True]))
    found = retarget(gap, load_hand("xhand"), "tips")
    assert np.array_equal(found.q[2], found.q[1]) and np.isnan(found.tip_error_m[2]).all()


def test_a_real_recording_is_followed(shared_data: Path) -> None:
    motion = read_motion(shared_data / "dexretarget_hand/human_joint_right.pkl", "right")
    kept = slice(None, None, 60)
    motion = HumanMotion(
        "right", motion.joints_wrist[kept], motion.finger_euler[kept], motion.flat_wrist, motion.is_valid[kept]
    )
    table, tips = (retarget(motion, load_hand(), method) for method in ("table", "tips"))
    assert np.nanmean(tips.tip_error_m) < 0.02 < 0.5 * np.nanmean(table.tip_error_m)
    assert np.nanmean(tips.pinch_error_m) < 0.01


def test_wrong_input_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="same side"):
        retarget(human("left", 1), load_hand("xhand", "right"))
    with pytest.raises(UnknownName, match="table, tips, dex"):
        retarget(human(frames=1), load_hand(), "magic")
    with pytest.raises(BadInput, match="no frame"):
        motion_of_points(np.full((2, 21, 3), np.nan), "right")
    np.savez(tmp_path / "bad.npz", joints=np.zeros((3, 20, 3)))
    with pytest.raises(BadInput, match="shape"):
        read_motion(tmp_path / "bad.npz", "right")


def test_the_description_for_other_tools_holds_the_table() -> None:
    hand = load_hand("xhand")
    text = hand_urdf(hand)
    assert text.count('type="revolute"') == 12 and text.count('type="fixed"') == 5
    assert all(f'name="{name}"' in text for name in hand.tree.names)


def test_dex_retargeting_where_it_is_installed() -> None:
    motion = human(frames=3)
    try:
        import dex_retargeting  # noqa: F401
    except ImportError:
        with pytest.raises(MissingAsset, match="pip install dex-retargeting"):
            retarget(motion, load_hand(), "dex")
        return
    found, table = (retarget(motion, load_hand(), method) for method in ("dex", "table"))
    assert np.nanmean(found.tip_error_m) < np.nanmean(table.tip_error_m)


def test_the_command_writes_angles(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    motion = human(frames=3)
    np.savez(tmp_path / "motion.npz", joints=motion.joints_wrist)
    out = tmp_path / "angles.csv"
    words = ["robot", "retarget", str(tmp_path / "motion.npz"), "--out", str(out), "--records", str(tmp_path)]
    assert main(words) == 0
    lines = out.read_text().splitlines()
    assert len(lines) == 4 and lines[0].split(",")[2] == "thumb_bend_joint"
    assert "tip error" in capsys.readouterr().out
    assert '"tips_tip_error"' in (tmp_path / "robot.retarget.xhand.json").read_text()
    assert main(["robot", "retarget", str(tmp_path / "absent.npz")]) == 2
