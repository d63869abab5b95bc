"""The simulated rig against the kinematics, the safety layer and closed forms of mechanics."""

import numpy as np
import pytest
from simulation_makers import at, block, cup, granules, scene

from robot.arm import load_arm, solve_ik
from robot.hand.table import load_hand
from robot.safety.bodies import rig_bodies
from robot.safety.decide import obstructed
from robot.safety.limits import rig_limits
from robot.simulation.config import TABLE_Z_M, RigConfig, ready_angles, rig_safety
from robot.simulation.physics import PARTS, Simulation, thing_names
from robot.simulation.rig import Rig, load_mujoco, rig_spec
from robot.simulation.scene import Part, Thing
from robot.simulation.things import STAVES, solids_of, volume
from vitra_lib.core.errors import BadInput, UnknownName

FIST = np.array([0.8, 0.9, 0.8, 0.0, 1.6, 1.5, 1.6, 1.5, 1.6, 1.5, 1.6, 1.5])


def compiled(side: str, variant: str = "RM75-6F") -> tuple:
    """Model, data, indices."""
    mujoco, config = load_mujoco(), RigConfig(side=side, variant=variant)
    model = rig_spec(config).compile()
    return model, mujoco.MjData(model), Rig.of(model, config)


@pytest.mark.parametrize(("side", "variant"), [("right", "RM75-6F"), ("left", "RM75-6F"), ("right", "RM75-B")])
def test_the_models_kinematics_are_those_of_arm_and_hand(side: str, variant: str) -> None:
    model, data, rig = compiled(side, variant)
    arm, hand, mujoco = load_arm(variant), load_hand("xhand", side), load_mujoco()
    limits, rng, worst, other_hand = rig_limits(), np.random.default_rng(1), 0.0, np.inf
    other = load_hand("xhand", "left" if side == "right" else "right")
    for _ in range(50):
        q = rng.uniform(limits.lower_rad, limits.upper_rad)
        data.qpos[rig.qpos] = q
        mujoco.mj_kinematics(model, data)
        T = arm.forward(q[:7])
        joints = (T @ hand.tree.forward(q[7:]))[:, :3, 3]
        bodies = np.array([data.body(f"hand.{name}").xpos for name in hand.tree.names])
        tips = hand.tips(q[7:]) @ T[:3, :3].T + T[:3, 3]
        seen = data.site_xpos[rig.tip_sites]
        mount = data.site_xmat[rig.mount_site].reshape(3, 3)
        worst = max(worst, *(float(np.abs(a - b).max()) for a, b in (
            (data.xpos[rig.flange_body], T[:3, 3]), (data.xmat[rig.flange_body].reshape(3, 3), T[:3, :3]),
            (bodies, joints), (seen, tips), (mount, (T @ rig.config.T_flange_mount)[:3, :3]),
        )))  # fmt: skip
        other_hand = min(other_hand, float(np.abs(other.tips(q[7:]) @ T[:3, :3].T + T[:3, 3] - seen).max()))
    assert worst < 1e-6
    assert other_hand > 0.02  # the other side's hand is not where this one is


def test_the_left_hand_is_the_right_one_in_the_mirror() -> None:
    mujoco = load_mujoco()
    mirrored, shapes = [], []
    for side in ("right", "left"):
        model, data, rig = compiled(side)
        data.qpos[rig.qpos[7:]] = FIST
        mujoco.mj_kinematics(model, data)
        T = np.eye(4)
        T[:3, :3], T[:3, 3] = data.xmat[rig.hand_body].reshape(3, 3), data.xpos[rig.hand_body]
        mirrored.append((data.site_xpos[rig.tip_sites] - T[:3, 3]) @ T[:3, :3] * [1, 1 if side == "right" else -1, 1])
        shapes.append((model.geom_size.copy(), model.body_mass.copy()))
    # the table's own tips of the two thumbs differ by 0.24 mm
    np.testing.assert_allclose(mirrored[0], mirrored[1], atol=3e-4)
    for one, other in zip(*shapes, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-4)


def test_shapes_fit_into_the_safety_layers_capsules_and_masses_are_the_hardwares() -> None:
    model, _, rig = compiled("right")
    radii = dict(zip(("pedestal", "upper_arm", "forearm", "wrist", "palm"), rig_bodies("right", "RM75-6F").radii_m[:5],
                     strict=True))  # fmt: skip
    inside = {"arm.base": "pedestal", "arm.joint_2": "upper_arm", "arm.joint_4": "forearm", "arm.joint_6": "wrist"}
    for name, capsule in inside.items():
        assert 0.6 * radii[capsule] < model.geom(name).size[0] < radii[capsule]
    palm = model.geom("palm")
    axis = np.array([0.008, 0.0])
    corner = np.abs(palm.pos[:2] - axis) + palm.size[:2]
    assert np.linalg.norm(corner) < radii["palm"]
    fingers = [model.geom(name).size[0] for name in rig_limits().names[7:]]
    assert 0.008 <= min(fingers) and max(fingers) <= rig_bodies("right", "RM75-6F").radii_m[-1]
    assert model.body_subtreemass[rig.hand_body] == pytest.approx(1.10, abs=0.01)
    assert model.body_subtreemass[model.body("arm.base").id] == pytest.approx(7.813 + 1.10, abs=0.02)


@pytest.mark.parametrize("side", ["right", "left"])
def test_safety_limits_are_inside_the_models_and_the_start_is_allowed(side: str) -> None:
    model, _, rig = compiled(side)
    limits = rig_limits()
    joints = np.array([model.joint(name).range for name in limits.names])
    assert (limits.lower_rad >= joints[:, 0] - 1e-9).all() and (limits.upper_rad <= joints[:, 1] + 1e-9).all()
    distal = [name.endswith("joint2") and "rota" not in name for name in limits.names]
    assert (limits.lower_rad[distal] > joints[distal, 0] + 0.08).all()  # the floor of 5 degrees is the safety layer's
    safety, q = rig_safety(rig.config), ready_angles()
    assert (q >= limits.lower_rad).all() and (q <= limits.upper_rad).all()
    assert obstructed(safety, q[None], 0.0)[0] == 0
    low = q.copy()
    low[:7] = solve_ik(load_arm(), load_arm().forward(q[:7]) - np.diag([0, 0, 0, 0.0]) - at_z(0.25), q[:7]).q
    assert obstructed(safety, low[None], 0.0)[0] != 0  # fingers in the table


def at_z(z: float) -> np.ndarray:
    """A shift down."""
    shift = np.zeros((4, 4))
    shift[2, 3] = z
    return shift


def test_the_arm_holds_against_gravity_and_gives_way_to_a_load_as_its_servos_stiffness_says() -> None:
    simulation = Simulation(scene())
    q = ready_angles()
    q[:7] = 0.0, 1.2, 0.0, 0.4, 0.0, 0.2, 0.0  # stretched out
    start = simulation.measured
    for share in np.linspace(0, 1, 60):
        simulation.step(start + share * (q - start))
    for _ in range(30):
        simulation.step(q)
    assert np.abs(simulation.measured - q).max() < 1e-3
    load_n = 5.0
    simulation.data.xfrc_applied[simulation.rig.flange_body, 2] = -load_n
    for _ in range(60):
        simulation.step(q)
    J = load_arm().jacobian(q[:7])[2]
    stiffness = -simulation.model.actuator_biasprm[simulation.rig.actuator[:7], 1]
    sag = simulation.measured[:7] - q[:7]
    np.testing.assert_allclose(sag, -load_n * J / stiffness, atol=2e-4)
    assert np.abs(sag).max() > 1e-3


def test_the_hand_makes_a_fist_and_its_force_is_limited() -> None:
    simulation = Simulation(scene())
    target = simulation.measured
    target[7:] = FIST
    for _ in range(45):
        simulation.step(target)
    assert np.abs(simulation.measured - target).max() < 0.02
    held = simulation.model.actuator_forcerange[simulation.rig.actuator]
    efforts = [60, 60, 30, 30, 10, 10, 10, 1.1, 1.1, 0.4, 0.4, 1.1, 0.4, 1.1, 0.4, 1.1, 0.4, 1.1, 0.4]
    np.testing.assert_allclose(held[:, 1], efforts)
    np.testing.assert_allclose(held[:, 0], -held[:, 1])


def test_the_same_steps_give_the_same_numbers_and_a_snapshot_goes_back() -> None:
    first, second = (Simulation(scene(block(), cup(), *granules(5))) for _ in range(2))
    target = ready_angles() + np.r_[0.2, 0.3, np.zeros(17)]
    for simulation in (first, second):
        for _ in range(10):
            simulation.step(target, 0.03)
    assert np.array_equal(first.data.qpos, second.data.qpos)
    kept, before = first.snapshot(), first.data.qpos.copy()
    ends = []
    for _ in range(2):
        for _ in range(10):
            first.step(ready_angles(), 1.0 / 30.0)
        ends.append((first.data.qpos.copy(), first.time_s))
        first.restore(kept)
    assert np.array_equal(ends[0][0], ends[1][0]) and ends[0][1] == ends[1][1]
    assert np.array_equal(first.data.qpos, before) and not np.array_equal(ends[0][0], before)
    first.reset()
    second.reset()
    assert first.time_s == 0.0 and np.array_equal(first.data.qpos, second.data.qpos)
    with pytest.raises(BadInput, match="another scene"):
        Simulation(scene()).restore(kept)


def test_time_does_not_drift() -> None:
    simulation = Simulation(scene())
    for _ in range(300):
        simulation.step(ready_angles(), 1.0 / 30.0)
    assert simulation.time_s == pytest.approx(10.0, abs=0.002 + 1e-9)


def test_a_block_falls_slides_and_is_held_by_friction_as_mechanics_says() -> None:
    high = Thing("ball", "ball", (Part("sphere", (0.02,)),), 0.05, at(0.4, 0.0, 0.5))
    tilt, friction = 0.5, 0.3
    R = np.array([[np.cos(tilt), 0, np.sin(tilt)], [0, 1, 0], [-np.sin(tilt), 0, np.cos(tilt)]])
    ramp_pose, slider_pose = at(0.3, 0.3, 0.2), at(0.3, 0.3, 0.2)
    ramp_pose[:3, :3] = slider_pose[:3, :3] = R
    slider_pose[:3, 3] += R @ [-0.2, 0.0, 0.03]
    ramp = Thing("ramp", "ramp", (Part("box", (0.3, 0.1, 0.01)),), 1.0, ramp_pose, friction=friction, is_fixed=True)
    slider = Thing("slider", "block", (Part("box", (0.02, 0.02, 0.02)),), 0.1, slider_pose, friction=friction)
    simulation = Simulation(scene(high, ramp, slider))
    mujoco = load_mujoco()
    mujoco.mj_resetData(simulation.model, simulation.data)
    simulation.step(ready_angles(), 0.2)
    fallen = 0.5 - simulation.T_world_thing("ball")[2, 3]
    assert fallen == pytest.approx(0.5 * 9.81 * 0.2**2, abs=0.003)
    speeds = []
    for _ in range(2):
        speeds.append(simulation.thing_speed("slider")[0])
        simulation.step(ready_angles(), 0.1)
    expected = 9.81 * (np.sin(tilt) - friction * np.cos(tilt))
    assert (speeds[1] - speeds[0]) / 0.1 == pytest.approx(expected, abs=0.25)  # contacts are a little soft
    assert abs(expected - 9.81 * np.sin(tilt)) > 0.4 * expected  # without friction it would be far off


def test_contacts_know_who_presses_how_hard() -> None:
    simulation = Simulation(scene(block(mass_kg=0.2), cup()))
    assert simulation.touching("block") == pytest.approx({"table": 0.2 * 9.81}, rel=0.01)
    assert set(simulation.touching("table")) == {"block", "cup"}
    contact = next(c for c in simulation.contacts() if "block" in (c.first, c.second))
    assert abs(contact.normal_world[2]) == pytest.approx(1.0, abs=1e-6)
    assert {c.first for c in simulation.contacts()} | {c.second for c in simulation.contacts()} <= {
        "block", "cup", *PARTS}  # fmt: skip
    with pytest.raises(UnknownName, match="block, cup"):
        simulation.T_world_thing("plate")


def test_fingers_push_a_block_that_stands_in_their_way_and_not_one_beside_it() -> None:
    for y, is_pushed in ((0.0, True), (0.12, False)):
        simulation = Simulation(scene(block(x=0.34, y=y)))
        arm, q = load_arm(), simulation.measured
        T, touched = arm.forward(q[:7]), set()
        for place in ((0.43, -0.012, 0.20), (0.43, -0.012, 0.125), (0.37, -0.012, 0.125)):
            T[:3, 3] = place
            target = np.r_[solve_ik(arm, T, q[:7]).q, q[7:]]
            for share in np.linspace(0, 1, 25):
                simulation.step(q + share * (target - q))
                touched |= set(simulation.touching("block"))
            q = target
        moved = 0.34 - simulation.T_world_thing("block")[0, 3]
        assert (moved > 0.01) == is_pushed and abs(moved) < 0.1
        assert touched == ({"table", "index", "middle"} if is_pushed else {"table"})


def test_a_vessel_holds_granules_and_its_staves_are_watertight_to_them() -> None:
    simulation = Simulation(scene(cup(), *granules(9)))
    for _ in range(15):
        simulation.step(ready_angles())
    for name in thing_names(simulation.scene, "granule"):
        x, y, z = simulation.T_world_thing(name)[:3, 3] - [0.30, 0.20, TABLE_Z_M]
        assert np.hypot(x, y) < 0.04 and 0.005 < z < 0.08
    with pytest.raises(UnknownName, match="granule"):
        thing_names(simulation.scene, "pot")
    solids = solids_of(Part("vessel", (0.04, 0.045, 0.004, 0.04)))
    assert len(solids) == STAVES + 1
    shell = np.pi * (0.04**2 - 0.036**2) * 0.09
    assert sum(volume(*solid[:2]) for solid in solids[1:]) == pytest.approx(shell, rel=0.12)


def test_wrong_use_is_refused() -> None:
    simulation = Simulation(scene())
    with pytest.raises(BadInput, match="finite"):
        simulation.step(np.full(19, np.nan))
    with pytest.raises(BadInput, match="duration_s"):
        simulation.step(ready_angles(), -1.0)
    with pytest.raises(BadInput, match="left"):
        Simulation(scene(side="left"), RigConfig())
    with pytest.raises(BadInput, match="different names"):
        scene(block(), block())
    with pytest.raises(BadInput, match="sizes"):
        Part("box", (0.1,))
    with pytest.raises(BadInput, match="physics_step_s"):
        RigConfig(physics_step_s=0.1)
