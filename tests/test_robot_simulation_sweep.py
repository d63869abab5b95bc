"""Sweeping in simulation: where crumbs count, scenes and splits, success by physics, the expert and its recovery."""

from dataclasses import replace

import numpy as np

from robot.safety.gate import Reading
from robot.simulation.config import CONTROL_PERIOD_S, TABLE_Z_M
from robot.simulation.expert.run import Expert, run_expert
from robot.simulation.physics import Simulation
from robot.simulation.scene import SPLITS, Scene
from robot.simulation.tasks import outcome, sample_scene
from robot.simulation.tasks.granules import granule_names, inside_area
from robot.simulation.tasks.sweep import PAN_HALF_M
from vitra_lib.geometry.rotations import exp
from vitra_lib.geometry.transforms import apply, make


def _few(scene: Scene, count: int) -> Scene:
    """The scene with fewer crumbs, which is quicker."""
    dropped = granule_names(scene)[count:]
    return replace(scene, things=tuple(thing for thing in scene.things if thing.name not in dropped))


def test_a_crumb_counts_above_the_rectangle_wherever_the_pan_lies() -> None:
    half, height = (0.09, 0.05), 0.04
    places = np.array([[0.08, 0.04, 0.01], [-0.08, -0.04, 0.03], [0.04, 0.08, 0.01], [0.0, 0.0, 0.05], [0, 0, -0.01]])
    T = make(exp(np.array([0.0, 0.0, 0.9])), np.array([0.4, 0.1, TABLE_Z_M]))
    assert inside_area(apply(T, places), T, half, height).tolist() == [True, True, False, False, False]
    unturned = make(np.eye(3), T[:3, 3])  # control: without the turn other ones are inside
    assert inside_area(apply(T, places), unturned, half, height).tolist() != [True, True, False, False, False]


def test_crumbs_begin_on_the_table_apart_and_outside_of_the_pan() -> None:
    for split in SPLITS:
        for seed in range(5):
            scene = sample_scene("sweep", seed, split)
            points = np.array([scene.thing(name).T_world_thing[:3, 3] for name in granule_names(scene)])
            radius = scene.thing("granule_00").parts[0].size_m[0]
            assert np.allclose(points[:, 2], TABLE_Z_M + radius)
            assert (np.linalg.norm(points[:, None] - points, axis=2) + np.eye(len(points))).min() > 2 * radius
            assert not inside_area(points, scene.thing("pan").T_world_thing, PAN_HALF_M, 0.05).any()


def test_splits_hold_out_tools_colours_and_backgrounds() -> None:
    scenes = {split: [sample_scene("sweep", seed, split) for seed in range(12)] for split in SPLITS}
    kinds = {split: {scene.thing("brush").category for scene in of} for split, of in scenes.items()}
    heads = {split: {scene.thing("brush").parts[1].size_m for scene in of} for split, of in scenes.items()}
    colours = {split: {scene.thing("brush").colour for scene in of} for split, of in scenes.items()}
    tables = {split: {scene.look.table.family for scene in of} for split, of in scenes.items()}
    assert kinds["seen"] == kinds["unseen-object"] == kinds["unseen-background"] == {"brush"}
    assert kinds["unseen-category"] == {"sponge"}
    assert heads["unseen-object"].isdisjoint(heads["seen"]) and heads["unseen-background"] == heads["seen"]
    assert colours["unseen-object"].isdisjoint(colours["seen"])
    assert tables["unseen-background"].isdisjoint(tables["seen"])
    texts = {scene.instruction.split(" with ")[0].split()[-1] for scene in scenes["seen"]}
    assert texts == {"dustpan"}


def test_success_is_what_physics_says() -> None:
    scene = sample_scene("sweep", 2)
    simulation, names, T = Simulation(scene), granule_names(scene), scene.thing("pan").T_world_thing
    assert "only 0 of" in outcome(simulation, scene).reason  # nothing was done
    rows = np.array([[0.02 * (k % 8) - 0.07, 0.02 * (k // 8) - 0.03, 0.012] for k in range(len(names))])
    missed = round(0.3 * len(names))
    for wrong in (0, missed):
        places = rows.copy()
        places[:wrong, 1] -= 0.10  # before the pan's edge, on the table
        for name, point in zip(names, apply(T, places), strict=True):
            joint = simulation.data.joint(name)
            joint.qpos[:3], joint.qvel[:] = point, 0.0
        simulation.step(simulation.target, 0.5)
        got = outcome(simulation, scene)
        assert got.success == (wrong == 0)  # control: 70 % are too few
        assert round(got.figures["in_pan_share"] * len(names)) == len(names) - wrong
    brush = simulation.data.joint("brush")
    brush.qpos[:3], brush.qpos[3:] = [0.55, -0.2, 0.0], [np.sqrt(0.5), np.sqrt(0.5), 0.0, 0.0]
    simulation.step(simulation.target, 0.5)
    assert "brush was dropped" in outcome(simulation, scene).reason


def test_the_expert_sweeps_and_its_commands_without_fingers_do_not() -> None:
    scene = _few(sample_scene("sweep", 7), 6)
    done = run_expert(scene)
    assert done.outcome.success and done.outcome.figures["is_held"] == 1.0 and done.trace.ending == "over"
    assert 6.0 <= done.duration_s <= 16.0
    assert set(done.interventions) <= {"acceleration", "velocity", "lead"}  # smoothed, never refused
    control = Simulation(scene)
    for row in done.trace.sent[done.trace.is_sent]:
        control.step(np.r_[row[:7], scene.start_rad[7:]], CONTROL_PERIOD_S)
    assert not outcome(control, scene).success


def test_the_expert_takes_a_displaced_brush_at_a_second_attempt() -> None:
    scene = _few(sample_scene("sweep", 3), 4)
    simulation = Simulation(scene)
    expert, tick = Expert(simulation, scene), 0
    while (wish := expert.wish(Reading(simulation.measured, simulation.time_s), simulation.time_s)) is not None:
        tick += 1
        simulation.step(wish.values, CONTROL_PERIOD_S)
        if tick == 72:  # the hand is on its way
            simulation.data.joint("brush").qpos[0] += 0.06
    assert expert.actor.attempts >= 2
    assert outcome(simulation, scene).success, outcome(simulation, scene).reason
