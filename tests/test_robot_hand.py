"""The tables of robot hands, the mapping to the human vector and back, and the physical check of its axes."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from robot.hand import HandMap, check_axes, draw_axis_check, load_hand
from robot.tables import FOLDER, table_names
from vitra_lib.core.errors import BadInput, UnknownName
from vitra_lib.dataset.action_space import ActionSpace

# What the official code gives for the human vector 0, 1, … 101.
GOLDEN = np.array(
    [0, 1, 2, 3, 4, 5, 44, -43, -46, 7, 8, 14, 17, 23, 35, 41, 26, 32,
     51, 52, 53, 54, 55, 56, 95, -94, -97, 58, 59, 65, 68, 74, 86, 92, 77, 83.0]
)  # fmt: skip
BOTH = np.array([True, True])
MAP = HandMap.load("xhand")


def test_the_official_vector_is_reproduced_exactly() -> None:
    assert np.array_equal(MAP.human_to_robot(np.arange(102.0)), GOLDEN)
    assert (MAP.per_hand, MAP.dim, MAP.unmapped) == (18, 36, 33)


def test_control_another_order_of_fingers_is_seen(tmp_path: Path) -> None:
    table = yaml.safe_load((FOLDER / "xhand_joints.yaml").read_text())
    ring, pinky = table["joints"][8], table["joints"][10]
    ring["human"], pinky["human"] = pinky["human"], ring["human"]
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(table))
    assert not np.array_equal(HandMap.load(tmp_path / "own.yaml").human_to_robot(np.arange(102.0)), GOLDEN)


@pytest.mark.parametrize("name", ["xhand", "allegro"])
def test_there_and_back_is_the_same(name: str) -> None:
    hand_map, rng = HandMap.load(name), np.random.default_rng(0)
    robot = rng.normal(size=(5, 16, hand_map.dim)).astype(np.float32)
    mask = np.ones((5, 16, 2), bool)
    for rule in ("masked", "zero"):
        human, valid = hand_map.robot_to_human(robot, mask, rule)
        assert np.array_equal(hand_map.human_to_robot(human), robot)
        assert not human[~valid].any()


def test_unmapped_fingers_are_masked_or_officially_zero() -> None:
    robot = np.random.default_rng(1).normal(size=36).astype(np.float32)
    human, masked = MAP.robot_to_human(robot, BOTH)
    same, official = MAP.robot_to_human(robot, BOTH, "zero")
    assert np.array_equal(human, same)
    assert official.all() and masked.sum() == 36 and (official & ~masked).sum() == 2 * 33
    with pytest.raises(UnknownName, match="masked, zero"):
        MAP.robot_to_human(robot, BOTH, "drop")


@pytest.mark.parametrize("mask", [(True, False), (False, True), (False, False), (True, True)])
def test_the_official_rule_packs_as_human_data_is_packed(mask: tuple[bool, bool]) -> None:
    robot, hands = np.random.default_rng(2).normal(size=(16, 36)), np.tile(mask, (16, 1))
    whole = MAP.robot_to_human(robot, np.ones((16, 2), bool), "zero")[0]
    expected = ActionSpace().pack_action(whole, hands)
    action = MAP.unified_action(robot, hands, "zero")
    assert np.array_equal(action[0], expected[0]) and np.array_equal(action[1], expected[1])
    state, known = MAP.unified_state(robot, hands, "zero")
    assert np.array_equal(state[:, :192], action[0]) and not state[:, 192:].any() and not known[:, 192:].any()
    assert np.array_equal(MAP.action_mask(hands, "zero"), action[1])


def test_a_masked_hand_is_zero_even_where_it_was_not_finite() -> None:
    robot = np.concatenate([np.full(18, np.nan), np.ones(18)])
    human, valid = MAP.robot_to_human(robot, np.array([False, True]))
    assert np.isfinite(human).all() and not human[:51].any() and not valid[:51].any()


def test_wrong_lengths_are_refused() -> None:
    with pytest.raises(BadInput, match="36"):
        MAP.robot_to_human(np.zeros(35), BOTH)
    with pytest.raises(BadInput, match="102"):
        MAP.human_to_robot(np.zeros(101))


@pytest.mark.parametrize("side", ["left", "right"])
def test_nine_axes_are_exact_two_tilted_one_a_choice(side: str) -> None:
    check = check_axes(load_hand("xhand", side))
    cosine = dict(zip(check.joints, check.cosine, strict=True))
    assert check.exact == 9
    assert cosine.pop("thumb_rota_joint1") == pytest.approx(0.9651, abs=1e-4)
    assert cosine.pop("thumb_rota_joint2") == pytest.approx(0.9651, abs=1e-4)
    assert cosine.pop("thumb_bend_joint") == pytest.approx(0.0, abs=1e-9)
    np.testing.assert_allclose(list(cosine.values()), 1.0, atol=1e-9)


def test_control_the_wrong_alignment_fails_the_check() -> None:
    from dataclasses import replace

    hand = load_hand("xhand", "left")
    assert check_axes(replace(hand, R_mount_base=load_hand("xhand", "right").R_mount_base)).exact < 9


def test_the_second_hand_is_one_more_table() -> None:
    assert table_names("hand") == ("allegro", "xhand")
    check = check_axes(load_hand("allegro"))
    assert len(check.joints) == 16 and check.cosine.min() > np.cos(np.deg2rad(5.1))
    with pytest.raises(UnknownName, match="right"):
        load_hand("allegro", "left")


def test_the_figure_shows_every_joint() -> None:
    check = check_axes(load_hand("xhand"))
    ax = draw_axis_check(check)
    assert len(ax.patches) == 12 and "thumb1.z" in ax.get_yticklabels()[0].get_text()


# Tips at q = 0 in the hand's base [m], as the maker's geometry gives them.
TIPS_RIGHT = [[0.0221, 0.1568, 0.0287], [0.0065, 0.0265, 0.2057], [0.0065, 0.004, 0.2062],
              [0.0065, -0.016, 0.2032], [0.0065, -0.036, 0.2002]]  # fmt: skip


def test_tips_and_directions_are_the_measured_ones() -> None:
    hand = load_hand("xhand")
    np.testing.assert_allclose(hand.tips(np.zeros(12)), TIPS_RIGHT, atol=6e-5)
    moved = dict(zip(hand.tree.names, hand.tips(0.17 * np.eye(12)) - hand.tips(np.zeros(12)), strict=True))
    assert moved["thumb_bend_joint"][0, 0] == pytest.approx(0.022, abs=0.001)  # towards the palm
    assert moved["thumb_rota_joint1"][0, 2] > 0.01  # towards the fingers
    assert moved["index_bend_joint"][1, 1] > 0.01  # towards the thumb
    assert not np.abs(moved["index_joint1"][[0, 2, 3, 4]]).any()


def test_the_left_hand_is_the_right_one_mirrored() -> None:
    q = np.random.default_rng(4).uniform(0, 0.5, (20, 12))
    mirrored = load_hand("xhand", "left").tips(q) * [1, -1, 1]
    np.testing.assert_allclose(mirrored, load_hand("xhand").tips(q), atol=3e-4)  # the makers' tips differ by 0.24 mm


def test_tip_jacobian_is_the_derivative() -> None:
    hand, h = load_hand("allegro"), 1e-6
    q = np.random.default_rng(5).uniform(hand.tree.lower, hand.tree.upper)
    numeric = np.stack([(hand.tips(q + h * d) - hand.tips(q - h * d)) / (2 * h) for d in np.eye(16)], axis=-1)
    np.testing.assert_allclose(hand.tip_jacobian(q), numeric, atol=1e-8)


def test_limits_are_the_intersection_of_the_sources() -> None:
    hand = load_hand("xhand")
    low, high = (dict(zip(hand.tree.names, np.rad2deg(x), strict=True)) for x in (hand.tree.lower, hand.tree.upper))
    assert low["index_joint2"] == pytest.approx(5.0) and low["index_joint1"] == 0.0
    assert high["thumb_rota_joint2"] == pytest.approx(89.954, abs=1e-3)
    assert low["thumb_rota_joint1"] == pytest.approx(-39.992, abs=1e-3)


def test_a_motor_that_turns_the_other_way_is_one_number(tmp_path: Path) -> None:
    assert (load_hand("xhand").motor_sign == 1).all()
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(read() | {"motor_sign": {"index_bend_joint": -1}}))
    assert np.array_equal(np.flatnonzero(load_hand(tmp_path / "own.yaml").motor_sign < 0), [3])


def test_presets_read_on_hardware_lie_within_the_makers_range(shared_data: Path) -> None:
    import json

    poses = json.loads((shared_data / "xhand_presets/presets.json").read_text())["poses"]
    spec = np.array([row["limits_deg"]["spec"] for row in read()["joints"]])
    for name, pose in poses.items():
        assert (np.array(pose) >= spec[:, 0] - 1).all() and (np.array(pose) <= spec[:, 1] + 1).all(), name


def read() -> dict:
    return yaml.safe_load((FOLDER / "xhand_joints.yaml").read_text())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t["joints"][0]["human"].update(joint="elbow1"), "legal joints"),
        (lambda t: t["joints"][4].update(human=t["joints"][3]["human"]), "copied once"),
        (lambda t: t["joints"][0].pop("limits_deg"), "limits_deg"),
        (lambda t: t["joints"][0]["limits_deg"].update(own=[200, 210]), "nothing in common"),
        (lambda t: t["joints"][1]["right"].update(parent="nobody"), "not whole"),
        (lambda t: t["joints"][1]["right"].update(axis=[0, 0, 2]), "length 1"),
        (lambda t: t.update(kind="arm"), "kind"),
        (lambda t: t["R_mount_base"].update(right=[[1, 0, 0], [0, 1, 0], [0, 0, -1]]), "rotation"),
        (lambda t: t.update(motor_sign={"elbow": 1}), "motor_sign"),
    ],
)
def test_a_broken_table_is_one_sentence(change, said: str, tmp_path: Path) -> None:
    table = read()
    change(table)
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(table))
    with pytest.raises(BadInput, match=said):
        load_hand(tmp_path / "own.yaml")
