"""Pouring in simulation: counting granules, scenes and splits, success by physics, the expert and its recovery."""

from dataclasses import replace

import numpy as np
import pytest

from robot.safety.gate import Reading
from robot.simulation.config import CONTROL_PERIOD_S
from robot.simulation.expert.run import Expert, run_expert
from robot.simulation.physics import Simulation
from robot.simulation.scene import SPLITS, Part, Scene
from robot.simulation.tasks import outcome, sample_scene
from robot.simulation.tasks.granules import GranuleConfig, granule_names, inside_vessel, stacked, vessel_radius_m
from vitra_lib.core.errors import BadInput, UnknownName
from vitra_lib.geometry.rotations import exp
from vitra_lib.geometry.transforms import apply, make

CONE = Part("vessel", (0.05, 0.06, 0.003, 0.03), make(np.eye(3), np.array([0.0, 0.0, 0.06])))
TILTED = make(exp(np.array([0.4, -0.7, 1.1])), np.array([0.3, -0.2, 0.4]))


@pytest.mark.parametrize("count", [1, 7, 30])
def test_stacked_granules_are_inside_and_do_not_touch(count: int) -> None:
    radius = 0.0065
    points = stacked(CONE, count, radius)
    assert points.shape == (count, 3)
    gaps = np.linalg.norm(points[:, None] - points, axis=2) + np.eye(count)
    assert gaps.min() > 2 * radius
    to_wall = vessel_radius_m(CONE, points[:, 2]) - np.linalg.norm(points[:, :2], axis=1)
    assert (to_wall * np.cos(np.arctan2(0.02, 0.12)) >= radius - 1e-9).all()
    assert points[:, 2].min() >= -0.06 + 0.003 + radius


def test_a_vessel_too_small_is_refused() -> None:
    with pytest.raises(BadInput, match="holds .* granules, not 400"):
        stacked(CONE, 400, 0.0065)


def test_inside_is_the_cone_of_the_vessel_wherever_it_stands() -> None:
    # Inner radius 27 mm at the foot and 47 mm at the rim: 40 mm out is inside above, outside below.
    places = np.array(
        [[0.040, 0, 0.115], [0.040, 0, 0.005], [0, 0, 0.005], [0, 0, 0.121], [0, 0, -0.001], [0, 0.046, 0.119]]
    )
    expected = [True, False, True, False, False, True]
    assert inside_vessel(places, CONE, np.eye(4)).tolist() == expected
    assert inside_vessel(apply(TILTED, places), CONE, TILTED).tolist() == expected
    assert inside_vessel(apply(TILTED, places), CONE, np.eye(4)).tolist() != expected  # control: the pose matters
    with pytest.raises(BadInput, match="not in a box"):
        inside_vessel(places, Part("box", (0.1, 0.1, 0.1)), np.eye(4))


def test_scenes_repeat_and_splits_hold_out_what_they_say() -> None:
    scenes = {split: [sample_scene("pour", seed, split) for seed in range(12)] for split in SPLITS}
    again = sample_scene("pour", 3, "seen")
    for first, second in zip(scenes["seen"][3].things, again.things, strict=True):
        assert np.array_equal(first.T_world_thing, second.T_world_thing)
        assert first.parts[0].size_m == second.parts[0].size_m and first.colour == second.colour
    kinds = {split: {scene.thing("source").category for scene in of} for split, of in scenes.items()}
    colours = {split: {scene.thing("source").colour for scene in of} for split, of in scenes.items()}
    looks = {split: {(scene.look.table.family, scene.look.table.seed) for scene in of} for split, of in scenes.items()}
    assert kinds["unseen-category"].isdisjoint(kinds["seen"]) and kinds["unseen-object"] <= kinds["seen"]
    assert colours["unseen-object"].isdisjoint(colours["seen"] | colours["unseen-background"])
    assert looks["unseen-background"].isdisjoint(looks["seen"] | looks["unseen-object"] | looks["unseen-category"])
    assert all(15 <= len(granule_names(scene)) <= 20 for of in scenes.values() for scene in of)
    with pytest.raises(UnknownName):
        sample_scene("pour", 0, "seen-ish")


def _few(scene: Scene, count: int) -> Scene:
    """The scene with fewer granules, which is quicker."""
    dropped = granule_names(scene)[count:]
    return replace(scene, things=tuple(thing for thing in scene.things if thing.name not in dropped))


def _put(simulation: Simulation, names: tuple[str, ...], points: np.ndarray) -> None:
    """Granules at rest at other places."""
    for name, point in zip(names, points, strict=True):
        joint = simulation.data.joint(name)
        joint.qpos[:3], joint.qvel[:] = point, 0.0


def _wait(simulation: Simulation, seconds: float) -> None:
    simulation.step(simulation.target, seconds)


def test_success_is_what_physics_says() -> None:
    scene = sample_scene("pour", 1)
    simulation, names = Simulation(scene), granule_names(scene)
    bowl, T_bowl = scene.thing("bowl").parts[0], simulation.T_world_thing("bowl")
    assert "only 0 of" in outcome(simulation, scene).reason  # nothing was done
    filling = apply(T_bowl @ bowl.T_thing_part, stacked(bowl, len(names), GranuleConfig().radius_m))
    aside = filling + [0.0, -0.16, 0.0]
    _put(simulation, names, filling + [0.0, 0.0, 0.01])
    _wait(simulation, 0.03)
    assert "do not rest" in outcome(simulation, scene).reason  # still falling
    _wait(simulation, 0.6)
    done = outcome(simulation, scene)
    assert done.success and done.figures["in_bowl_share"] == 1.0 and done.reason == ""
    few = round(0.85 * len(names))
    _put(simulation, names[few:], aside[few:] + [0.0, 0.0, 0.01])
    _wait(simulation, 0.6)
    spilled = outcome(simulation, scene)  # control: 85 % inside are enough, 15 % beside are too many
    assert not spilled.success and "spilled" in spilled.reason and "only" not in spilled.reason
    _put(simulation, names, filling + [0.0, 0.0, 0.01])
    lying = simulation.data.joint("source")
    lying.qpos[:3], lying.qpos[3:] = [0.55, -0.2, 0.0], [np.sqrt(0.5), np.sqrt(0.5), 0.0, 0.0]
    _wait(simulation, 0.6)
    assert "was dropped" in outcome(simulation, scene).reason  # control: the vessel lies on the table


def test_the_expert_pours_and_its_commands_without_fingers_do_not() -> None:
    scene = _few(sample_scene("pour", 7), 5)
    done = run_expert(scene)
    assert done.outcome.success and done.outcome.figures["is_held"] == 1.0 and done.trace.ending == "over"
    assert 6.0 <= done.duration_s <= 15.0
    assert set(done.interventions) <= {"acceleration", "velocity", "lead"}  # smoothed, never refused
    control = Simulation(scene)
    for row in done.trace.sent[done.trace.is_sent]:
        control.step(np.r_[row[:7], scene.start_rad[7:]], CONTROL_PERIOD_S)
    assert outcome(control, scene).figures["in_bowl_share"] < 0.2


def test_the_expert_takes_a_displaced_cup_at_a_second_attempt() -> None:
    scene = _few(sample_scene("pour", 1), 3)
    simulation = Simulation(scene)
    expert, tick = Expert(simulation, scene), 0
    while (wish := expert.wish(Reading(simulation.measured, simulation.time_s), simulation.time_s)) is not None:
        tick += 1
        simulation.step(wish.values, CONTROL_PERIOD_S)
        if tick == 36:  # the hand is on its way
            for name in (scene.target, *granule_names(scene)):
                simulation.data.joint(name).qpos[:2] += 0.05
    assert expert.actor.attempts >= 2
    assert outcome(simulation, scene).success
