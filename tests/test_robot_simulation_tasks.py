"""The task families: scenes are sound and repeatable, splits hold out what they say, success is judged by physics."""

from dataclasses import replace

import numpy as np
import pytest

from robot.simulation.config import TABLE_Z_M
from robot.simulation.physics import Simulation
from robot.simulation.scene import SPLITS, Scene
from robot.simulation.tasks import TASKS, outcome, sample_scene
from robot.simulation.tasks.functional_grasp import on_functional_part
from robot.simulation.tasks.pick_place import CONTAINER, TARGET, is_inside
from robot.simulation.tasks.start import aside_angles
from robot.simulation.tasks.things import OTHER_CATEGORIES, SEEN, SEEN_COLOURS, height_m, kinds_of, make_thing, radius_m
from vitra_lib.core.errors import UnknownName
from vitra_lib.geometry.rotations import exp
from vitra_lib.geometry.transforms import make

GRASPING = ("pick-place", "functional-grasp")


def flat(scene: Scene) -> list:
    """All that a scene is made of, comparable."""
    things = [
        (t.name, t.words, t.T_world_thing.tobytes(), [(p.kind, p.size_m, p.T_thing_part.tobytes()) for p in t.parts])
        for t in scene.things
    ]
    return [scene.instruction, things, scene.look, scene.camera.T_world_cam.tobytes(), scene.start_rad.tobytes()]


@pytest.mark.parametrize("task", GRASPING)
def test_a_scene_follows_from_task_seed_and_split(task: str) -> None:
    assert flat(sample_scene(task, 3)) == flat(sample_scene(task, 3))
    others = [sample_scene(task, 5), *(sample_scene(task, 3, split) for split in SPLITS[1:])]
    assert all(flat(other) != flat(sample_scene(task, 3)) for other in others)


def test_unknown_names_are_refused_with_what_is_legal() -> None:
    with pytest.raises(UnknownName, match="pick-place"):
        sample_scene("juggle", 0)
    for task in TASKS:
        with pytest.raises(UnknownName, match="unseen-object"):
            sample_scene(task, 0, "unseen")


@pytest.mark.parametrize("task", GRASPING)
def test_nothing_touches_or_moves_at_the_beginning(task: str) -> None:
    for seed, split in ((0, "seen"), (1, "unseen-object"), (2, "unseen-category")):
        scene = sample_scene(task, seed, split)
        simulation = Simulation(scene)
        for thing in scene.things:
            moved = simulation.T_world_thing(thing.name)[:2, 3] - thing.T_world_thing[:2, 3]
            assert np.linalg.norm(moved) < 0.002, (thing.words, moved)
            assert set(simulation.touching(thing.name)) <= {"table"}
        assert not outcome(simulation, scene).success


def test_pick_place_needs_both_words_of_the_instruction() -> None:
    for seed in range(20):
        scene = sample_scene("pick-place", seed)
        words = [thing.words for thing in scene.things]
        assert len(set(words)) == len(words)
        colour, category = scene.thing(TARGET).words.split()
        others = [thing.words.split() for thing in scene.things if thing.name.startswith("other")]
        assert 3 <= len(others) <= 4
        assert any(kind == category for _, kind in others) and any(paint == colour for paint, _ in others)
        assert scene.instruction == f"Put the {colour} {category} into the box."


def test_things_keep_their_distance() -> None:
    for seed in range(20):
        scene = sample_scene("pick-place", seed)
        loose = [thing for thing in scene.things if thing.name != CONTAINER]
        for i, one in enumerate(loose):
            for other in loose[i + 1 :]:
                gap = np.linalg.norm(one.T_world_thing[:2, 3] - other.T_world_thing[:2, 3])
                assert gap > radius_m(one) + radius_m(other) + 0.015


@pytest.mark.parametrize("task", GRASPING)
def test_each_split_holds_out_one_thing_only(task: str) -> None:
    def of(split: str, what: str) -> set:
        scenes = [sample_scene(task, seed, split) for seed in range(12)]
        if what == "table":
            return {(scene.look.table.family, scene.look.table.seed >= 1000) for scene in scenes}
        return {scene.thing(scene.target).category for scene in scenes}

    seen = {"pot", "bottle"} if task == "functional-grasp" else {kind.category for kind in SEEN}
    assert of("seen", "category") | of("unseen-object", "category") | of("unseen-background", "category") <= seen
    assert not of("unseen-category", "category") & seen
    assert not of("unseen-background", "table") & of("seen", "table")
    assert of("unseen-object", "table") <= of("seen", "table") | of("unseen-category", "table")
    colours = {sample_scene(task, seed, "unseen-object").thing(TARGET).words.split()[0] for seed in range(12)}
    assert not colours & set(SEEN_COLOURS)


def test_sizes_of_unseen_objects_are_not_those_of_seen_ones() -> None:
    for seen, other in zip(SEEN, kinds_of("unseen-object")[0], strict=True):
        assert seen.category == other.category
        apart = (np.array(seen.high_m) < other.low_m) | (np.array(seen.low_m) > other.high_m)
        assert apart.any(), seen.category


@pytest.mark.parametrize("kind", (*SEEN, *OTHER_CATEGORIES))
def test_every_kind_stands_or_lies_still_and_has_its_height(kind: object) -> None:
    thing = make_thing(kind, TARGET, "red", np.array([0.4, 0.1, 0.3]), np.random.default_rng(0))
    scene = replace(sample_scene("pick-place", 0), things=(thing,), target=TARGET, container="")
    simulation = Simulation(scene)
    simulation.step(scene.start_rad, 1.0)
    T = simulation.T_world_thing(TARGET)
    assert T[2, 2] > 0.999 and abs(T[2, 3] - TABLE_Z_M) < 0.002
    tops = [float(part.T_thing_part[2, 3]) for part in thing.parts]
    assert height_m(thing) > max(tops)


def placed(scene: Scene, name: str, at: np.ndarray, turn: float = 0.0) -> Scene:
    """The scene with one thing elsewhere."""
    T = make(exp(np.array([turn, 0.0, 0.0])), at)
    things = tuple(replace(t, T_world_thing=T) if t.name == name else t for t in scene.things)
    return replace(scene, things=things)


def test_pick_place_is_judged_by_where_things_are() -> None:
    scene = sample_scene("pick-place", 2)
    box = scene.thing(CONTAINER).T_world_thing[:3, 3]
    done = placed(scene, TARGET, box + [0.0, 0.0, 0.012])
    simulation = Simulation(done)
    assert is_inside(simulation, TARGET, CONTAINER)
    assert outcome(simulation, done).success, outcome(simulation, done).reason
    beside = placed(scene, TARGET, box + [0.0, 0.17, 0.002])
    assert "not in the box" in outcome(Simulation(beside), beside).reason
    both = placed(placed(scene, TARGET, box + [-0.05, 0.0, 0.012]), "other_1", box + [0.05, 0.0, 0.012])
    assert "other things" in outcome(Simulation(both), both).reason
    falling = placed(scene, TARGET, box + [0.0, 0.0, 0.05])
    simulation = Simulation(falling)
    simulation.data.joint(TARGET).qpos[2] = box[2] + 0.08
    simulation.step(falling.start_rad, 0.1)
    assert "rest" in outcome(simulation, falling).reason


def test_a_thing_in_the_air_without_a_hand_is_no_grasp() -> None:
    scene = sample_scene("functional-grasp", 1)
    simulation = Simulation(scene)
    simulation.data.joint(TARGET).qpos[2] += 0.2
    simulation.step(scene.start_rad, 0.004)
    found = outcome(simulation, scene)
    assert found.figures["lifted_m"] > 0.15 and not found.success
    assert "thumb and fingers" in found.reason


def test_only_the_functional_part_counts() -> None:
    pot, bottle = (sample_scene("functional-grasp", seed).thing(TARGET) for seed in (0, 1))
    T = pot.T_world_thing
    handle = (T @ pot.parts[1].T_thing_part)[:3, 3]
    wall = T[:3, 3] - T[:3, 0] * pot.parts[0].size_m[0]
    assert list(on_functional_part(pot, np.array([handle, wall]), T)) == [True, False]
    T, top = bottle.T_world_thing, height_m(bottle)
    points = T[:3, 3] + np.array([[0.03, 0.0, 0.3 * top], [0.01, 0.0, 0.97 * top]])
    assert list(on_functional_part(bottle, points, T)) == [True, False]


def test_the_hand_begins_aside_and_never_twice_at_the_same_place() -> None:
    starts = [aside_angles(np.random.default_rng(seed)) for seed in range(8)]
    assert np.ptp(np.array(starts)[:, :7], axis=0).max() > 0.05
    assert all((np.abs(start[:7] - aside_angles()[:7]) < 0.5).all() for start in starts)
