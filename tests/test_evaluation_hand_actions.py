"""Metrics of predicted hand actions in closed form, exact baselines, and the world's objects."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dataset_stores import make_store
from prediction_makers import make_normaliser, small_policy
from scipy.spatial import cKDTree

from vitra_lib.cli.main import main
from vitra_lib.core.errors import BadInput
from vitra_lib.dataset import SampleConfig, TrainingSamples, open_source, replay
from vitra_lib.evaluation.baselines import (
    Memory,
    Question,
    baselines,
    constant_velocity,
    dataset_mean,
    hand_sentence,
    nearest_instruction,
    nearest_state,
    stay_still,
)
from vitra_lib.evaluation.hand_actions import (
    HandWay,
    MethodScores,
    chunk_errors,
    figures_of,
    hand_object_distance,
    jerk,
    known_steps,
    mean_interval,
    paired_figures,
    points_of_depth,
)
from vitra_lib.evaluation.policy_eval import Material, PolicyEvaluationConfig, evaluate_policy, mean_way
from vitra_lib.evaluation.world_objects import WorldObjects, next_object, surface_points
from vitra_lib.geometry.rotations import euler_xyz, exp, from_euler_xyz
from vitra_lib.geometry.transforms import apply, invert
from vitra_lib.hands.model import load_hand_model
from vitra_lib.pipeline.world_episodes import WorldEpisodesConfig, build_world_episodes, episode_truth
from vitra_lib.policy.config import SamplingConfig
from vitra_lib.policy.predict import Predictor, joints_of_points
from vitra_lib.policy.processor import Processor
from vitra_lib.tabletop.layout import sample_scene
from vitra_lib.tabletop.staging import instance_ids

FPS = 30.0
ERRORS = ("wrist ADE", "wrist FDE", "wrist rotation", "finger angles", "MPJPE", "MPJPE wrist-aligned")


def truth(seed: int = 0) -> HandWay:
    """A right hand that wanders."""
    rng = np.random.default_rng(seed)
    points = np.concatenate([np.cumsum(rng.normal(0, 0.01, (17, 3)), 0) + [0, 0, 0.5], rng.normal(0, 0.3, (17, 48))], 1)
    return way_of(points)


def way_of(points: np.ndarray) -> HandWay:
    """The hand through some poses."""
    return HandWay(points, joints_of_points(points, "right", np.zeros(10), load_hand_model()))


def errors_of(points: np.ndarray, true: HandWay, steps: int = 16, **kwargs) -> dict[str, np.ndarray]:
    """Metrics of some draws (samples, points, 51)."""
    return chunk_errors(way_of(points), true, steps, FPS, **kwargs)


def test_the_truth_as_prediction_has_no_error() -> None:
    true = truth()
    errors = errors_of(true.points[None], true)
    assert all(abs(errors[name][0]) < 1e-7 for name in ERRORS)
    other = errors_of(truth(1).points[None], true)
    assert all(other[name][0] > 1e-3 for name in ERRORS)  # control: another way


def test_a_known_shift_is_found_as_that_shift() -> None:
    true = truth()
    moved = true.points.copy()
    moved[:, :3] += [0.03, 0.0, 0.04]
    errors = errors_of(moved[None], true)
    for name in ("wrist ADE", "wrist FDE", "MPJPE"):
        assert errors[name][0] == pytest.approx(0.05)
    assert errors["MPJPE wrist-aligned"][0] < 1e-9 and errors["wrist rotation"][0] < 1e-7
    drifting = true.points.copy()
    drifting[:, 0] += 0.01 * np.arange(17)
    errors = errors_of(drifting[None], true)
    assert errors["wrist ADE"][0] == pytest.approx(0.085) and errors["wrist FDE"][0] == pytest.approx(0.16)


def test_a_known_turn_and_a_known_bend_are_found() -> None:
    true = truth()
    turned = true.points.copy()
    turned[:, 3:6] = euler_xyz(exp(np.array([0.0, 0.3, 0.4])) @ from_euler_xyz(true.points[:, 3:6]))
    errors = errors_of(turned[None], true)
    assert errors["wrist rotation"][0] == pytest.approx(0.5) and errors["wrist ADE"][0] < 1e-12
    bent = true.points.copy()
    bent[:, 6:] += 0.2
    assert errors_of(bent[None], true)["finger angles"][0] == pytest.approx(0.2)
    bent[:, 6:] += 2 * np.pi - 0.4  # the same angle from the other side
    assert errors_of(bent[None], true)["finger angles"][0] == pytest.approx(0.2)


def test_only_known_steps_count() -> None:
    true, wrong = truth(), truth().points.copy()
    wrong[9:] += 1.0
    assert errors_of(wrong[None], true, 8)["wrist ADE"][0] < 1e-12
    assert errors_of(wrong[None], true, 9)["wrist FDE"][0] > 0.1  # control: one step more
    assert known_steps(np.array([True, True, False, True])) == 2 and known_steps(np.ones(4, bool)) == 4
    for steps in (0, 17):
        with pytest.raises(BadInput, match="can't be compared"):
            errors_of(wrong[None], true, steps)


def test_best_of_several_draws_never_grows_with_their_number() -> None:
    true = truth()
    draws = true.points + np.random.default_rng(3).normal(0, 0.05, (8, 17, 51))
    errors = errors_of(draws, true)
    for name in ERRORS:
        best = [errors[name][:count].min() for count in range(1, 9)]
        assert all(a >= b for a, b in zip(best, best[1:], strict=False)) and best[-1] < best[0]
        means = [errors[name][:count].mean() for count in range(1, 9)]
        assert any(a < b for a, b in zip(means, means[1:], strict=False)), name  # control: means do grow


def test_jerk_of_a_cubic_path_is_its_third_derivative() -> None:
    time = np.arange(17) / FPS
    path = np.stack([2.0 * time**3, 5.0 * time**2, time], -1)
    assert jerk(path, FPS) == pytest.approx(12.0)
    assert jerk(path[:, [1, 1, 2]], FPS) < 1e-4  # control: no cubic part
    assert np.isnan(jerk(path[:3], FPS))


def test_distance_to_an_object_is_that_of_the_nearest_finger() -> None:
    true = truth()
    tip = true.joints_cam[5, 8]
    away = np.array([tip + [0.0, 0.0, -1.0]])
    far = hand_object_distance(true.joints_cam[None, 5:6], away)[0]
    assert far == pytest.approx(np.linalg.norm(true.joints_cam[5, 1:] - away, axis=-1).min())
    assert hand_object_distance(true.joints_cam[None], np.array([tip]))[0] < 1e-12
    wrist = hand_object_distance(true.joints_cam[None, 5:6], true.joints_cam[5, :1])[0]
    assert wrist > 0.01  # control: a wrist on the object touches nothing
    assert np.isnan(hand_object_distance(true.joints_cam[None], None)).all()


def test_points_of_a_depth_map_lie_where_the_camera_sees_them() -> None:
    K_px = np.array([[50.0, 0, 20], [0, 40.0, 10], [0, 0, 1]])
    depth, mask = np.full((20, 40), 2.0), np.zeros((20, 40), bool)
    mask[10, 20] = mask[10, 30] = mask[0, 0] = True
    depth[0, 0] = np.nan
    np.testing.assert_allclose(points_of_depth(depth, mask, K_px), [[0, 0, 2], [0.4, 0, 2]])


def scores(method: str, values: np.ndarray, episode: np.ndarray) -> MethodScores:
    """Scores with one figure for all metrics."""
    rows = [{name: np.array([value]) for name in (*ERRORS, "hand-object distance", "jerk")} for value in values]
    return MethodScores.of(method, rows, [str(e) for e in episode], ["right"] * len(values))


def test_intervals_come_from_whole_episodes() -> None:
    rng = np.random.default_rng(0)
    level, episode = rng.normal(0, 1, 12), np.repeat(np.arange(12), 20)
    values = level[episode] + 0.01 * rng.normal(size=240)
    mean, count, interval = mean_interval(values, episode)
    assert count == 240 and interval[0] < mean < interval[1]
    naive = mean_interval(values, np.arange(240))[2]
    assert interval[1] - interval[0] > 3 * (naive[1] - naive[0])  # control: frames are not independent
    assert mean_interval(values, np.zeros(240))[2] is None
    assert np.isnan(mean_interval(np.full(3, np.nan), episode[:3])[0])


def test_a_paired_difference_is_surer_than_its_parts() -> None:
    rng = np.random.default_rng(0)
    hard, episode = rng.uniform(0.1, 1.0, 60), np.repeat(np.arange(20), 3)
    ours, other = scores("ours", hard, episode), scores("other", hard + 0.05, episode)
    (figure,) = [f for f in paired_figures(ours, other) if f.name == "ours minus other / wrist ADE"]
    assert figure.value == pytest.approx(-5.0) and figure.ci95[1] < 0
    alone = {f.name: f for f in figures_of(ours)}["ours / wrist ADE / mean / right hand"]
    assert alone.ci95[1] - alone.ci95[0] > 10 * (figure.ci95[1] - figure.ci95[0])  # control
    with pytest.raises(BadInput, match="same pictures"):
        paired_figures(ours, scores("other", hard, episode[::-1]))
    with pytest.raises(BadInput, match="nothing to score"):
        MethodScores.of("ours", [], [], [])


def question(**changes: object) -> Question:
    """A right hand that is told to pick up the cup."""
    values = {"hand": 1, "state": truth().points[0], "before": None, "sentence": "Pick up the cup.", "steps": 16}
    return Question(**(values | changes))


def test_simple_baselines_are_exact_where_they_must_be() -> None:
    start = truth().points[0]
    still = replay(start, stay_still(question(state=start)))
    np.testing.assert_allclose(still, np.tile(start, (17, 1)), atol=1e-9)
    before = np.concatenate([[0.01, -0.02, 0.0], [0.0, 0.0, 0.1], start[6:]])
    going = replay(start, constant_velocity(question(state=start, before=before)))
    straight = replay(start, np.tile(before, (16, 1)))
    np.testing.assert_allclose(going, straight, atol=1e-12)
    assert np.abs(still - straight).max() > 0.1  # control: the other one is wrong there
    np.testing.assert_array_equal(constant_velocity(question(state=start)), stay_still(question(state=start)))


def memory() -> Memory:
    """Three right hands with sentences and states of their own; the last one is known for ten steps."""
    rng = np.random.default_rng(5)
    steps = 0.1 * rng.normal(size=(3, 16, 51))
    told = ("Pick up the cup.", "Pour.", "Wipe it.")
    return Memory(np.ones(3, int), rng.normal(size=(3, 51)), steps, np.array([16, 16, 10]), told)


def test_remembering_baselines_give_what_they_remember() -> None:
    known = memory()
    told, seen = nearest_instruction(known), nearest_state(known)
    for row in range(3):
        asked = question(sentence=known.sentence[row], state=known.state[row])
        np.testing.assert_array_equal(told(asked), known.steps[row])
        np.testing.assert_array_equal(seen(asked), known.steps[row])
    mixed = question(sentence=known.sentence[0], state=known.state[1])
    np.testing.assert_array_equal(told(mixed), known.steps[0])  # control: each looks at its own thing
    np.testing.assert_array_equal(seen(mixed), known.steps[1])
    mean = dataset_mean(known)(question())
    np.testing.assert_allclose(mean[0, :3], known.steps[:, 0, :3].mean(0))
    np.testing.assert_allclose(mean[12, :3], known.steps[:2, 12, :3].mean(0))
    assert hand_sentence("Left hand: Hold it. Right hand: Cut.", 0) == "Hold it."
    assert set(baselines(None)) == {"stay still", "constant velocity"} and len(baselines(known)) == 5


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of the world: one right hand reaches for one of two things."""
    out = tmp_path_factory.mktemp("world") / "reaches"
    build_world_episodes(WorldEpisodesConfig.tiny(2, seed=70), out)
    return out


def test_what_happened_reaches_the_object_and_a_still_hand_does_not(world: Path) -> None:
    source = open_source(world)
    config = PolicyEvaluationConfig(windows=40, min_steps=6)
    found = evaluate_policy(None, Material(source, (source,), WorldObjects()), load_hand_model(), config)
    distance = {name: one.values["hand-object distance"] for name, one in found.scores.items()}
    assert np.isfinite(distance["truth"]).all() and len(distance["truth"]) >= 4
    assert distance["truth"].max() < 0.06 < 0.5 * np.median(distance["stay still"])
    assert found.scores["truth"].values["wrist ADE"].max() < 1e-9
    own = found.scores["nearest state"].values["wrist FDE"]
    assert np.median(own) < 1e-6 < found.scores["stay still"].values["wrist FDE"].min()  # it remembers these very hands
    source.close()


def test_objects_lie_where_the_depth_map_shows_them(world: Path) -> None:
    source = open_source(world)
    episode = source.episode(0)
    told = episode_truth(episode)
    drawn = told.clip.render_frame(told.start)
    (number,) = [n for n, name in instance_ids(told.clip).items() if name == told.clip.objects.names[told.target]]
    seen = points_of_depth(drawn.depth_m.astype(np.float64), drawn.instance_id == number, told.clip.truth.camera.K_px)
    surface = WorldObjects().points_cam(episode, 0, "right")
    distance, _ = cKDTree(surface).query(seen)
    assert len(seen) > 20 and np.median(distance) < 0.004
    shifted, _ = cKDTree(surface + [0.03, 0.0, 0.0]).query(seen)
    assert np.median(shifted) > 0.008  # control
    assert WorldObjects().points_cam(episode, 0, "left") is None
    assert next_object(told.clip, told.start, len(told.clip) - 1, "right") == told.target
    T = invert(told.clip.T_table_cam[told.start]) @ told.clip.objects.T_table_object[told.start, told.target]
    model = sample_scene(told.clip.config).things[told.target].instance
    np.testing.assert_allclose(apply(T, surface_points(model)), surface)
    source.close()


def test_a_policy_is_scored_on_the_same_rows_as_the_baselines(tmp_path: Path) -> None:
    make_store(tmp_path / "a")
    source = open_source(tmp_path / "a")
    predictor = Predictor(small_policy(), Processor(), make_normaliser(), load_hand_model())
    config = PolicyEvaluationConfig(windows=8, sampling=SamplingConfig(2, samples=3))
    found = evaluate_policy(predictor, Material(source), load_hand_model(), config)
    rows = {name: len(one.side) for name, one in found.scores.items()}
    assert set(rows) == {"policy", "mean of draws", "stay still", "constant velocity", "truth"}
    assert len(set(rows.values())) == 1
    names = {figure.name for figure in found.figures()}
    assert "policy / wrist ADE / best of 3 / both hands" in names and "policy minus stay still / MPJPE" in names
    with pytest.raises(BadInput, match="1 or more"):
        replace(config, windows=0)
    source.close()


def test_the_mean_of_draws_is_their_middle() -> None:
    points = np.tile(truth().points, (2, 1, 1))
    points[:, :, 0] += np.array([[-0.1], [0.1]])
    R = from_euler_xyz(truth().points[:, 3:6])
    for draw, angle in enumerate((-0.3, 0.3)):
        points[draw, :, 3:6] = euler_xyz(exp(np.array([0.0, 0.0, angle])) @ R)
    middle = errors_of(mean_way(points), truth())
    assert middle["wrist ADE"][0] < 1e-9 and middle["wrist rotation"][0] < 1e-6
    alone = errors_of(points, truth())  # control: each draw is off
    assert alone["wrist ADE"] == pytest.approx(0.1) and alone["wrist rotation"] == pytest.approx(0.3)


def test_a_perfect_policy_has_no_error(tmp_path: Path) -> None:
    """The truth, normalised and put in the policy's place, comes back through statistics, replay and scoring."""
    make_store(tmp_path / "a")
    source = open_source(tmp_path / "a")

    class Oracle(Predictor):
        """Draws what happened."""

        def draw(self, inputs, is_wanted, sampling):  # noqa: ANN001, ANN202
            samples = TrainingSamples((source,), SampleConfig(), self.normaliser)
            numbers = np.unique(np.linspace(0, len(samples) - 1, 6).astype(int))
            labels = samples.labels([samples.key(int(number)) for number in numbers])
            known = (labels.action_mask[:, :, [0, 51]].sum(1) >= config.min_steps).any(1)  # those that are asked
            labels = samples.labels([samples.key(int(number)) for number in numbers[known]])
            drawn = labels.action[:, None, :, :102].astype(np.float64)
            return self.normaliser.restore_action(np.roll(drawn, self.turn, axis=0))

    config = PolicyEvaluationConfig(windows=6, batch=6)
    worst = {}
    for turn in (0, 1):  # control: with 1 every picture gets another one's future
        oracle = Oracle(small_policy(), Processor(), make_normaliser(), load_hand_model())
        oracle.turn = turn
        found = evaluate_policy(oracle, Material(source), load_hand_model(), config)
        worst[turn] = max(found.scores["policy"].values[name].max() for name in ERRORS)
    assert worst[0] < 1e-4 < 0.01 < worst[1]
    source.close()


def test_the_command_writes_a_table_and_a_record(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    make_store(tmp_path / "a")
    words = ["evaluate", "policy", "--dataset", str(tmp_path / "a"), "--training", str(tmp_path / "a")]
    assert main([*words, "--windows", "12", "--records", str(tmp_path)]) == 0
    assert "nearest instruction" in capsys.readouterr().out
    assert (tmp_path / "policy.hand-actions.json").is_file()
    assert main(["evaluate", "policy", "--dataset", str(tmp_path / "none"), "--records", str(tmp_path)]) == 2
