"""Normalisation, its statistics in one pass and merged, mixtures, the official files, lengths of robots."""

import json

import numpy as np
import pytest
from dataset_samples_makers import labels_at, make_episode

from vitra_lib.core.errors import BadInput, UnknownName
from vitra_lib.dataset import (
    AugmentationConfig,
    EpisodeArrays,
    Normaliser,
    SampleConfig,
    label_statistics,
    make_label_batch,
    mixed,
    read_statistics,
    write_statistics,
)
from vitra_lib.dataset.draws import draw_many
from vitra_lib.episodes.statistics import combined

PLAIN, VARIED = SampleConfig(), SampleConfig(augmentation=AugmentationConfig())


@pytest.fixture(scope="module")
def parts():
    return [EpisodeArrays.of(make_episode(0, seed), make_episode(2, seed)) for seed in (0, 1)]


def make_normaliser(state: int = 122, action: int = 102, seed: int = 0) -> Normaliser:
    rng = np.random.default_rng(seed)
    pairs = [(rng.normal(size=n), rng.uniform(0.1, 2, n)) for n in (state, action)]
    return Normaliser(*pairs[0], *pairs[1], name="made", count=7)


@pytest.mark.parametrize(("state", "action"), [(122, 102), (158, 138), (36, 36)])
def test_there_and_back(state, action):
    normaliser, rng = make_normaliser(state, action), np.random.default_rng(1)
    x, a = rng.normal(size=(4, state)), rng.normal(size=(4, 16, action))
    z = normaliser.normalise_state(x)
    assert np.allclose(z, (x - normaliser.state_mean) / (normaliser.state_std + 1e-7), rtol=1e-12)
    assert np.allclose(normaliser.restore_state(z), x, atol=1e-12)
    assert np.allclose(normaliser.restore_action(normaliser.normalise_action(a)), a, atol=1e-12)
    assert not np.allclose(normaliser.restore_state(x), x, atol=0.1)  # control


def test_a_number_that_never_varies_is_not_divided_by_zero():
    normaliser = Normaliser(np.ones(122), np.zeros(122), np.zeros(102), np.zeros(102))
    assert np.array_equal(normaliser.normalise_state(np.ones(122)), np.zeros(122))


@pytest.mark.parametrize(("state", "action"), [(122, 102), (36, 36)])
def test_official_files_both_ways(tmp_path, state, action):
    normaliser, path = make_normaliser(state, action), tmp_path / "a_angle_statistics.json"
    write_statistics(path, normaliser)
    content = json.loads(path.read_text())
    assert list(content) == ["dataset_name", "state_left", "state_right", "action_left", "action_right", "num_traj"]
    assert len(content["state_left"]["mean"]) == state // 2 and len(content["action_right"]["std"]) == action // 2
    back = read_statistics(path)
    for name, value in vars(normaliser).items():
        assert np.array_equal(getattr(back, name), value), name
    del content["state_left"], content["action_left"], content["num_traj"]
    alone = Normaliser.from_official(content)
    assert (alone.state_mean[: state // 2] == 1e-4).all() and (alone.action_std[: action // 2] == 1e-4).all()
    assert np.array_equal(alone.state_mean[state // 2 :], normaliser.state_mean[state // 2 :]) and alone.count is None


def test_damaged_files_are_one_sentence(tmp_path):
    with pytest.raises(BadInput, match="not a JSON file"):
        read_statistics(tmp_path / "none.json")
    (tmp_path / "a.json").write_text("[1]")
    with pytest.raises(BadInput, match="holds a list"):
        read_statistics(tmp_path / "a.json")
    good = make_normaliser().to_official()
    for key, wrong, words in (
        ("state_right", None, "no state_right"),
        ("state_left", {"mean": [1.0], "std": [1.0]}, "differ in length"),
        ("action_left", {"mean": [1.0]}, "two lists"),
        ("action_right", {"mean": [1.0] * 51, "std": [-1.0] * 51}, "deviations >= 0"),
    ):
        content = {k: v for k, v in (good | {key: wrong}).items() if v is not None}
        with pytest.raises(BadInput, match=words):
            Normaliser.from_official(content)


@pytest.mark.parametrize("config", [PLAIN, VARIED], ids=["plain", "augmented"])
def test_statistics_are_those_of_all_rows_at_once(parts, config):
    """Streamed in pieces, merged from two workers, or computed over all rows: the same."""
    counts = [int(arrays.length.sum()) for arrays in parts]
    one_pass = label_statistics(parts, config, seed=3)
    second = label_statistics(parts[1:], config, 3, first_index=counts[0])
    merged = label_statistics(parts[:1], config, 3).merged(second)
    whole = EpisodeArrays.of(*(make_episode(local, number) for number in (0, 1) for local in (0, 2)))
    episode = np.repeat(np.arange(4), whole.length)
    frame = np.concatenate([np.arange(n) for n in whole.length])
    u = draw_many(3, 0, np.arange(len(frame)))
    rows = make_label_batch(whole, episode, frame, u, SampleConfig(chunk=1, augmentation=config.augmentation))
    state_mask = np.repeat(rows.raw_state_mask, 61, axis=1)
    step_mask = np.repeat(rows.raw_action_mask[:, 0], 51, axis=1)
    for got in (one_pass.normaliser("a"), merged.normaliser("a")):
        assert got.count == len(frame) == sum(counts)
        for values, mask, mean, std in (
            (rows.raw_state, state_mask, got.state_mean, got.state_std),
            (rows.raw_action[:, 0], step_mask, got.action_mean, got.action_std),
        ):
            kept = np.where(mask, values, np.nan)
            assert np.allclose(mean, np.nanmean(kept, axis=0), atol=1e-10)
            assert np.allclose(std, np.nanstd(kept, axis=0), atol=1e-10)
            assert not np.allclose(std, values.std(0), atol=1e-4)  # control: masked rows counted too


def test_statistics_do_not_cancel_far_from_zero():
    """Welford's sums keep a deviation of 1e-3 around 1e6, where a sum of squares has lost it."""
    rng = np.random.default_rng(0)
    values = 1e6 + 1e-3 * rng.normal(size=(400, 1))
    state = (np.zeros(1), np.zeros(1), np.zeros(1))
    for block in np.split(values, 8):
        state = combined(state, (np.array([50.0]), block.mean(0), ((block - block.mean(0)) ** 2).sum(0)))
    std = np.sqrt(state[2] / state[0])
    assert abs(std[0] - values.std()) < 1e-8
    naive = np.sqrt(abs((values**2).mean() - values.mean() ** 2))
    assert abs(naive - values.std()) > 1e-4  # control


def test_mixtures_by_name():
    a, b = make_normaliser(seed=0), make_normaliser(seed=1)
    official = mixed([a, b], [300.0, 100.0], "official", "mix")
    assert np.allclose(official.state_std, 0.75 * a.state_std + 0.25 * b.state_std)
    pooled = mixed([a, b], [300.0, 100.0], "pooled", "mix")
    assert np.allclose(official.action_mean, pooled.action_mean)
    at = int(np.argmax(np.abs(a.action_mean - b.action_mean)))
    halves = [x.action_mean[at] + x.action_std[at] * np.resize([-1.0, 1.0], n) for x, n in ((a, 3000), (b, 1000))]
    draws = np.concatenate(halves)
    assert abs(draws.std() - pooled.action_std[at]) < 1e-9
    assert abs(draws.std() - official.action_std[at]) > 0.1  # control: the linear mean is not the mixture's deviation
    assert "num_traj" not in official.to_official() and official.name == "mix"
    alone = mixed([a], [2.0], "pooled", "a")
    assert np.allclose(alone.state_std, a.state_std)


def test_bad_mixtures_are_one_sentence():
    a = make_normaliser()
    with pytest.raises(UnknownName, match="official, pooled"):
        mixed([a], [1.0], "mean", "x")
    for parts, weights in (([], []), ([a], [1.0, 2.0]), ([a], [-1.0]), ([a], [0.0])):
        with pytest.raises(BadInput, match="one weight"):
            mixed(parts, weights, "pooled", "x")
    with pytest.raises(BadInput, match="different action spaces"):
        mixed([a, make_normaliser(36, 36)], [1.0, 1.0], "pooled", "x")


def test_a_sample_is_normalised_and_then_masked():
    normaliser = make_normaliser()
    plain, arrays = labels_at(make_episode(), [11]), EpisodeArrays.of(make_episode())
    scaled = make_label_batch(arrays, np.array([0]), np.array([11]), np.zeros((1, 16)), PLAIN, normaliser)
    assert not scaled.state[0, :51].any() and not scaled.action[0, :3, :51].any()  # the left hand is lost there
    wanted = normaliser.normalise_action(plain.raw_action[0, 0])[51:]
    assert np.allclose(scaled.action[0, 0, 51:102], wanted, atol=1e-5)
    assert not np.allclose(plain.action[0, 0, 51:102], wanted, atol=1e-2)  # control
