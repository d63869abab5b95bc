"""The safety layer: limits, geometry, caps, ages, watchdog, stop, arming, and that nothing gets around it."""

import ast
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from robot.arm import load_arm
from robot.drivers.kinematic import ready_pose
from robot.safety.arming import Arming
from robot.safety.bodies import CAPSULES, hand_tree, place, rig_bodies
from robot.safety.caps import Motion, braked, stoppable_speed
from robot.safety.config import SafetyConfig, per_joint, table_scene
from robot.safety.decide import Measured, Memory, Proposal, decide
from robot.safety.gate import Cleared, Reading, SafetyGate, Wish
from robot.safety.geometry import clearances, segment_distance
from robot.safety.limits import JOINTS, rig_limits
from robot.tables import find_table
from vitra_lib.core.errors import BadInput

CONFIG = SafetyConfig()


def reading(position: np.ndarray, at_s: float) -> Reading:
    return Reading(position, at_s, at_s)


def armed(config: SafetyConfig = CONFIG, position: np.ndarray | None = None) -> tuple[SafetyGate, np.ndarray]:
    gate, q = SafetyGate(config), ready_pose() if position is None else position
    gate.arm(reading(q, 0.0), 0.0)
    return gate, q


def test_limits_are_the_intersection_of_the_sources() -> None:
    limits = rig_limits()
    low = dict(zip(limits.names, np.rad2deg(limits.lower_rad), strict=True))
    high = dict(zip(limits.names, np.rad2deg(limits.upper_rad), strict=True))
    for finger in ("index", "mid", "ring", "pinky"):
        assert low[f"hand.{finger}_joint2"] == pytest.approx(5.0)  # the floor of the distal joints
    assert high["hand.thumb_rota_joint2"] == pytest.approx(89.95, abs=0.01)  # the URDF's, below the maker's 105
    assert low["hand.thumb_rota_joint1"] == pytest.approx(-39.99, abs=0.01)
    assert (limits.upper_rad[:7] <= np.deg2rad([178, 130, 178, 135, 178, 128, 360])).all()
    assert np.rad2deg(limits.speed_rad_s[:7]).max() < 180.0  # the lower of 180 and 225


def test_limits_that_leave_no_room_are_refused() -> None:
    limits = rig_limits()
    with pytest.raises(BadInput, match="leave no room"):
        limits.narrowed(limits.upper_rad + 1.0, limits.upper_rad + 2.0)


@pytest.mark.parametrize("side", ["left", "right"])
def test_capsules_are_where_the_kinematic_trees_say(side: str) -> None:
    rng, limits = np.random.default_rng(0), rig_limits()
    q = rng.uniform(limits.lower_rad, limits.upper_rad, (200, JOINTS))
    placed = place(rig_bodies(side, "RM75-6F"), np.eye(4), q)
    T_base_flange, tree = load_arm("RM75-6F").forward(q[:, :7]), hand_tree(side)
    frames = T_base_flange[:, None] @ tree.forward(q[:, 7:])
    assert np.abs(placed.hand.T - T_base_flange[:, :3, 3]).max() < 1e-12
    for number, (name, tip) in enumerate(find_table("hand", "xhand")["tips"].items()):
        point = frames[:, tree.names.index(tip["joint"])] @ np.array([*tip[side], 1.0])
        assert CAPSULES[5 + number] == name
        assert np.abs(placed.stop[:, 5 + number].T - point[:, :3]).max() < 1e-12


def test_segment_distance_is_that_of_a_fine_search() -> None:
    rng = np.random.default_rng(0)
    p0, p1, q0, q1 = rng.normal(size=(4, 3, 300))
    p1[:, :20] = p0[:, :20]  # a point
    q1[:, 20:40] = q0[:, 20:40] + (p1 - p0)[:, 20:40]  # parallel
    found = segment_distance(p0, p1, q0, q1)
    s = np.linspace(0, 1, 121)
    P, Q = p0[..., None] + (p1 - p0)[..., None] * s, q0[..., None] + (q1 - q0)[..., None] * s
    best = np.linalg.norm(P[..., :, None] - Q[..., None, :], axis=0).min((1, 2))
    assert (found <= best + 1e-12).all() and (best - found).max() < 0.02


def test_clearance_sees_table_box_and_own_body() -> None:
    bodies, scene = rig_bodies("right", "RM75-6F"), table_scene()
    ready = clearances(bodies, scene, ready_pose()[None])
    assert min(ready.box_m[0], ready.table_m[0], ready.self_m[0]) > 0.02
    low, folded = ready_pose(), ready_pose()
    low[[1, 3, 5]] = 0.9, 1.1, 1.1
    folded[[1, 3, 5]] = -2.2, -2.3, 2.2
    assert clearances(bodies, scene, low[None]).table_m[0] < 0
    assert clearances(bodies, scene, folded[None]).self_m[0] < 0.02


def test_stoppable_speed_leaves_just_the_way_to_brake() -> None:
    distance, a, dt = np.linspace(0.0, 1.0, 50), np.full(50, 3.0), np.full(50, 0.01)
    v = stoppable_speed(distance, dt, a)
    assert np.allclose(v * dt + v * v / (2 * a), distance, atol=1e-12)
    assert stoppable_speed(np.array([-1.0]), dt[:1], a[:1])[0] == 0.0


def test_braking_stops_exactly_and_never_turns_round() -> None:
    motion = Motion(np.zeros((1, JOINTS)), np.full((1, JOINTS), 0.5), np.zeros((1, JOINTS)))
    dt, places = np.full((1, 1), 0.01), []
    for _ in range(40):
        position, velocity = braked(CONFIG, motion, dt)
        motion = Motion(position, velocity, position)
        places.append(position[0, 0])
    assert (np.diff(places) >= 0).all() and motion.velocity[0, 0] == 0.0
    assert places[-1] <= 0.5**2 / (2 * 3.0)


def test_small_slow_wishes_pass_unchanged() -> None:
    gate, q = armed()
    for tick in range(1, 101):
        want = q + 0.05 * (1 - np.cos(0.03 * tick))
        cleared = gate.tick(reading(want, 0.01 * tick), Wish(want, "right", tick, 0.01 * tick), 0.01 * tick)
    assert np.array_equal(cleared.position, want)
    assert gate.journal.used == 100 and not gate.journal.counts


def test_a_jump_becomes_a_ramp_that_arrives_without_overshoot() -> None:
    gate, q = armed()
    goal, real, places = np.minimum(q + per_joint(0.3, 0.2), CONFIG.limits.upper_rad), q.copy(), []
    for tick in range(1, 200):
        cleared = gate.tick(reading(real, 0.01 * tick), Wish(goal, "right", tick, 0.01 * tick), 0.01 * tick)
        real = real + 0.5 * (cleared.position - real)
        places.append(cleared.position)
    steps = np.abs(np.diff(places, axis=0)) / 0.01
    assert np.abs(places[-1] - goal).max() < 1e-6 and (np.array(places) <= goal + 1e-9).all()
    assert (steps <= CONFIG.speed_rad_s + 1e-9).all()
    assert {"velocity", "acceleration"} <= set(gate.journal.counts)


BAD_WISHES = {
    "wrong_length": lambda q: Wish(q[:18], "right", 1, 0.01),
    "non_finite": lambda q: Wish(np.where(np.arange(JOINTS) == 4, np.nan, q), "right", 1, 0.01),
    "wrong_side": lambda q: Wish(q, "left", 1, 0.01),
    "old_action": lambda q: Wish(q, "right", 1, -3.0),
    "future_action": lambda q: Wish(q, "right", 1, 5.0),
    "words": lambda q: Wish("up!", "right", 1, 0.01),
    "ragged": lambda q: Wish([[1.0], [2.0, 3.0]], "right", 1, 0.01),
    "nothing": lambda q: Wish(None, "right", 1, 0.01),
    "matrix": lambda q: Wish(np.tile(q, (2, 1)), "right", 1, 0.01),
}


@pytest.mark.parametrize("name", BAD_WISHES)
def test_a_bad_wish_is_refused_and_counted(name: str) -> None:
    gate, q = armed()
    cleared = gate.tick(reading(q, 0.01), BAD_WISHES[name](q + 0.01), 0.01)
    assert np.array_equal(cleared.position, q) and gate.journal.used == 0
    assert gate.journal.counts[name if name in gate.journal.counts else "wrong_length"] == 1


def test_a_sequence_number_counts_once() -> None:
    gate, q = armed()
    gate.tick(reading(q, 0.01), Wish(q, "right", 7, 0.01), 0.01)
    gate.tick(reading(q, 0.02), Wish(q, "right", 7, 0.02), 0.02)
    gate.tick(reading(q, 0.03), Wish(q, "right", 6, 0.03), 0.03)
    assert gate.journal.counts["old_sequence"] == 2


@pytest.mark.parametrize(("name", "state_age", "camera_age"), [("stale_state", 0.2, 0.0), ("stale_camera", 0.0, 0.9)])
def test_stale_readings_brake(name: str, state_age: float, camera_age: float) -> None:
    gate, q = armed()
    old = Reading(q, 1.0 - state_age, 1.0 - camera_age)
    assert np.array_equal(gate.tick(old, Wish(q + 0.1, "right", 1, 1.0), 1.0).position, q)
    assert gate.journal.counts[name] == 1 and gate.journal.used == 0


def test_the_watchdog_holds_then_stops_then_needs_arming() -> None:
    gate, q = armed()
    for tick in range(1, 31):  # get moving
        at = 0.01 * tick
        gate.tick(reading(gate.target, at), Wish(q + 1.0, "right", tick, at), at)
    moving, sent = gate.target, []
    for tick in range(31, 200):
        at = 0.01 * tick
        cleared = gate.tick(reading(gate.target, at), None, at)
        sent.append(None if cleared is None else cleared.position)
    held = [row for row in sent if row is not None]
    assert (np.abs(np.diff(held, axis=0))[60:] == 0).all() and np.abs(held[-1] - moving).max() > 0  # ramped, then held
    assert sent[-1] is None and 95 <= len(held) <= 105 and not gate.is_armed
    assert gate.journal.counts["watchdog"] > 60
    late = Wish(q, "right", 500, 2.0)
    assert gate.tick(reading(gate.target, 2.0), late, 2.0) is None  # stopped is stopped
    gate.arm(reading(gate.target, 2.0), 2.0)
    assert gate.tick(reading(gate.target, 2.01), Wish(gate.target, "right", 501, 2.01), 2.01) is not None


def test_the_emergency_stop_lets_nothing_through() -> None:
    gate, q = armed()
    gate.estop()
    assert gate.tick(reading(q, 0.01), Wish(q, "right", 1, 0.01), 0.01) is None and not gate.is_armed
    assert gate.journal.counts["estop"] == 1


@pytest.mark.parametrize(("name", "push"), [("tracking", 0.5), ("overspeed", 0.2)])
def test_a_robot_that_is_pushed_or_runs_away_is_stopped(name: str, push: float) -> None:
    gate, q = armed()
    gate.tick(reading(q, 0.01), Wish(q, "right", 1, 0.01), 0.01)
    pushed = q + per_joint(push, 0.0)
    assert gate.tick(reading(pushed, 0.02), Wish(q, "right", 2, 0.02), 0.02) is None
    assert gate.journal.counts[name] == 1


def test_time_that_runs_backwards_sends_nothing() -> None:
    gate, q = armed()
    gate.tick(reading(q, 0.05), Wish(q, "right", 1, 0.05), 0.05)
    assert gate.tick(reading(q, 0.04), Wish(q, "right", 2, 0.04), 0.04) is None
    assert gate.journal.counts["clock"] == 1


def test_a_wish_below_the_table_is_stopped_above_it() -> None:
    gate, q = armed()
    low, heights, bodies = q.copy(), [], rig_bodies("right", "RM75-6F")
    low[[1, 3, 5]] = 0.9, 1.1, 1.1
    for tick in range(1, 200):
        at = 0.01 * tick
        gate.tick(reading(gate.target, at), Wish(low, "right", tick, at), at)
        heights.append(clearances(bodies, CONFIG.scene, gate.target[None]).table_m[0])
    assert min(heights) >= CONFIG.table_margin_m and gate.journal.counts["table"] > 10
    assert min(heights) < 0.05  # it did come near


def _within_the_slack() -> np.ndarray:
    """A pose 1 mm above the margin over the table, where no command may be sent but one that leads out."""
    low, bodies = ready_pose(), rig_bodies("right", "RM75-6F")
    up, down = 0.3, 0.9  # of joint 2
    for _ in range(60):
        low[1] = 0.5 * (up + down)
        room = clearances(bodies, CONFIG.scene, low[None]).table_m[0] - CONFIG.table_margin_m
        up, down = (low[1], down) if room > 0.001 else (up, low[1])
    return low


@pytest.mark.parametrize(("by", "gets_out"), [(-0.02, True), (0.02, False)])
def test_a_robot_held_within_the_slack_may_back_out_but_not_go_on(by: float, gets_out: bool) -> None:
    q, bodies, used = _within_the_slack(), rig_bodies("right", "RM75-6F"), 0
    memory, heights = Memory.at_rest(q[None], 0.0), []
    for tick in range(1, 40):
        at, now = np.array([0.01 * tick]), 0.01 * tick
        position = memory.motion.position
        wanted = q[None].copy()
        wanted[0, 1] += by
        wish = Proposal(wanted, np.array([JOINTS]), np.array([1]), np.array([tick]), at)
        decision = decide(CONFIG, memory, Measured(position, np.zeros_like(position), at, at), wish, now)
        memory, used = decision.memory, used + int(decision.is_used[0])
        heights.append(clearances(bodies, CONFIG.scene, memory.motion.position).table_m[0] - CONFIG.table_margin_m)
    assert (used > 30) == gets_out and min(heights) >= 0.00099
    assert (heights[-1] > 0.003) == gets_out


def test_a_hand_below_its_floor_may_come_in_but_not_go_further_out() -> None:
    q = ready_pose()
    q[[12, 14, 16, 18]] = 0.0  # distal joints at rest, below their floor of 5 degrees
    gate, q = armed(position=q)
    seen = []
    for tick in range(1, 150):
        at = 0.01 * tick
        gate.tick(reading(gate.target, at), Wish(q - 0.1, "right", tick, at), at)
        seen.append(gate.target[12])
    assert min(seen) >= 0.0 and seen[-1] == pytest.approx(np.deg2rad(5.0))


@pytest.mark.parametrize("where", ["stale", "outside", "table", "nan"])
def test_arming_is_refused_where_the_robot_must_not_begin(where: str) -> None:
    q, at = ready_pose(), 1.0
    if where == "stale":
        at = 0.5
    elif where == "outside":
        q[1] = 3.0
    elif where == "table":
        q[[1, 3, 5]] = 0.9, 1.1, 1.1
    else:
        q[2] = np.nan
    with pytest.raises(BadInput, match="can't be armed"):
        SafetyGate().arm(reading(q, at), 1.0)


def test_two_keys() -> None:
    assert not Arming().moves_hardware and Arming().writes
    assert not Arming(real=True).writes
    assert Arming(True, True).moves_hardware
    with pytest.raises(BadInput, match="--real"):
        Arming(execute=True)


def test_only_a_gate_makes_cleared_commands() -> None:
    with pytest.raises(BadInput, match="safety gate"):
        Cleared(np.zeros(JOINTS), 0.0, object())


def _makers(source: str) -> bool:
    """Whether a module calls Cleared(…) or touches its seal."""
    tree = ast.walk(ast.parse(source))
    return any(
        (isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "Cleared")
        or (isinstance(node, ast.Name | ast.Attribute) and getattr(node, "id", getattr(node, "attr", "")) == "_SEAL")
        for node in tree
    )


def test_nothing_else_in_the_package_makes_cleared_commands(repository: Path) -> None:
    makers = [path for path in (repository / "robot").rglob("*.py") if _makers(path.read_text(encoding="utf-8"))]
    assert [path.name for path in makers] == ["gate.py"]
    assert _makers("from robot.safety import gate\ngate.Cleared(q, 0.0, gate._SEAL)")  # control


def test_every_hardware_driver_takes_cleared_commands_only(repository: Path) -> None:
    writers = 0
    for path in (repository / "robot" / "drivers").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name in ("write", "write_arm", "write_hand"):
                if path.name == "serial_port.py":
                    continue
                assert [ast.unparse(a.annotation) for a in node.args.args[1:]] == ["Cleared"], path
                writers += 1
    assert writers >= 7


@pytest.mark.parametrize(
    "change",
    [
        {"speed_rad_s": per_joint(9.0, 2.0)},
        {"tracking_rad": per_joint(0.1, 0.2)},
        {"stop_after_s": 0.1},
        {"period_s": 0.0},
        {"lead_rad": np.full(JOINTS, np.nan)},
        {"self_margin_m": -0.1},
    ],
)
def test_an_impossible_configuration_is_refused(change: dict) -> None:
    with pytest.raises(BadInput):
        replace(CONFIG, **change)


def test_the_journal_is_written_as_json_lines(tmp_path: Path) -> None:
    gate, q = armed()
    for tick in range(1, 5):
        gate.tick(reading(q, 0.01 * tick), Wish(q * np.nan, "right", tick, 0.01 * tick), 0.01 * tick)
    gate.journal.write(tmp_path / "journal.jsonl")
    lines = (tmp_path / "journal.jsonl").read_text().splitlines()
    assert len(lines) == 2 and '"non_finite": 4' in lines[0] and '"ticks": 4' in lines[1]


def test_the_makers_stream_passes_and_trips_one_row_later(shared_data: Path) -> None:
    """3,600 rows of degrees at 10 ms that end at the software limits of the joints."""
    rows = np.deg2rad(np.loadtxt(shared_data / "rm75_canfd" / "RM75_canfd_data.txt", delimiter=","))
    limits = rig_limits()
    inside = (rows >= limits.lower_rad[:7]) & (rows <= limits.upper_rad[:7])
    assert inside[:-2].all()
    beyond = rows[-1] + (rows[-1] - rows[-2])
    assert (beyond > limits.upper_rad[:7]).all()  # one row later, every joint trips
    assert (np.abs(np.diff(rows, axis=0)) / 0.01 <= CONFIG.speed_rad_s[:7]).all()
    assert not (np.abs(np.diff(rows, axis=0)) / 0.001 <= CONFIG.speed_rad_s[:7]).all()  # control: at 1 kHz it trips
    gate, q = armed()
    wish, start = q.copy(), q[:7].copy()
    for tick in range(1, 301):  # the stream's motion from a pose where there is room
        wish = q.copy()
        wish[:7] = start + 0.2 * rows[tick]
        at = 0.01 * tick
        gate.tick(reading(gate.target, at), Wish(wish, "right", tick, at), at)
    assert np.abs(gate.target - wish).max() < 1e-12 and "limit" not in gate.journal.counts
