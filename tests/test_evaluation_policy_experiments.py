"""Experiments in the synthetic world: shares of a data set, rows that stay, and what counts as beaten."""

from pathlib import Path

import numpy as np
import pytest
import torch
from dataset_stores import make_store
from policy_makers import tiny_policy

from vitra_lib.core.errors import BadInput
from vitra_lib.dataset import Normaliser, SampleSource, open_source
from vitra_lib.evaluation import policy_experiments
from vitra_lib.evaluation.hand_actions import UNITS, MethodScores
from vitra_lib.evaluation.policy_ablations import (
    AS_IT_IS,
    CONDITIONS,
    GREY,
    SWAPPED,
    ablation_figures,
    answers_under,
    first_scenes,
)
from vitra_lib.evaluation.policy_eval import PolicyEvaluation
from vitra_lib.evaluation.policy_experiments import FirstEpisodes, WorldExperiment, beaten_baselines, read_rows, scaling
from vitra_lib.hands.model import load_hand_model
from vitra_lib.pipeline.world_episodes import WorldEpisodesConfig, build_world_episodes
from vitra_lib.policy.config import SamplingConfig
from vitra_lib.policy.policy import Policy
from vitra_lib.policy.predict import Predictor
from vitra_lib.policy.processor import Processor
from vitra_lib.training.denoising import DenoisingConfig


def test_a_share_is_the_first_episodes_and_nothing_of_the_next(tmp_path: Path) -> None:
    make_store(tmp_path / "set").close()
    whole = open_source(tmp_path / "set")
    lengths = [len(whole.episode(number)) for number in range(4)]
    part = FirstEpisodes(whole, 2)
    assert isinstance(part, SampleSource)
    assert len(part) == sum(lengths[:2]) and part.episodes == 2
    assert part.locate(np.arange(len(part)))[0].max() == 1
    assert len(FirstEpisodes(whole, 99)) == len(whole)
    assert whole.locate(np.array([len(part)]))[0][0] == 2  # the control: one sample more is another episode


def scores(name: str, errors: np.ndarray) -> MethodScores:
    """The same errors in every metric."""
    rows = [{metric: np.array([error]) for metric in UNITS} for error in errors]
    return MethodScores.of(name, rows, [f"e{k}" for k in range(len(errors))], ["right"] * len(errors))


def test_beaten_means_that_the_interval_of_the_difference_is_below_zero() -> None:
    rng = np.random.default_rng(0)
    ours = rng.uniform(0.02, 0.06, 40)
    evaluation = PolicyEvaluation(
        {
            "policy": scores("policy", ours),
            "worse": scores("worse", ours + 0.01),
            "same": scores("same", rng.permutation(ours)),
            "better": scores("better", ours - 0.01),
        },
        40,
    )
    assert beaten_baselines(evaluation) == {"worse": True, "same": False, "better": False}


def test_finished_runs_stay_and_only_missing_ones_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_store(tmp_path / "set").close()
    whole = open_source(tmp_path / "set")
    trained: list[tuple[int, int]] = []
    monkeypatch.setattr(policy_experiments, "world_data", lambda experiment: (whole, whole))

    class Study:
        def trained(self, samples: int, config: DenoisingConfig, run: Path) -> None:
            trained.append((int(whole.locate(np.array([samples - 1]))[0][0]) + 1, config.seed))

    def evaluate(*_: object) -> PolicyEvaluation:
        if len(trained) == 3:
            raise KeyboardInterrupt
        found = {name: scores(name, np.full(5, error)) for name, error in (("policy", 0.03), ("mean of draws", 0.02))}
        return PolicyEvaluation(found, 5)

    monkeypatch.setattr(policy_experiments._Study, "of", lambda *_: Study())
    monkeypatch.setattr(policy_experiments, "evaluate_policy", evaluate)
    experiment = WorldExperiment(tmp_path / "study", episodes=4)
    with pytest.raises(KeyboardInterrupt):
        scaling(experiment, [0.5, 1.0], [0, 1])
    path = scaling(experiment, [0.5, 1.0], [0, 1])
    assert trained == [(2, 0), (2, 1), (4, 0), (4, 0), (4, 1)]
    rows = read_rows(path)
    columns = ("episodes", "seed", "wrist_fde_cm", "mean_of_draws_fde_cm")
    assert [tuple(row[name] for name in columns) for row in rows] == [
        (2, 0, 3.0, 2.0), (2, 1, 3.0, 2.0), (4, 0, 3.0, 2.0), (4, 1, 3.0, 2.0),
    ]  # fmt: skip
    with pytest.raises(BadInput, match=r"each must be in \(0, 1\]"):
        scaling(experiment, [1.5], [0])


def test_ablations_change_what_they_say_and_nothing_else(tmp_path: Path) -> None:
    build_world_episodes(WorldEpisodesConfig.tiny(2, seed=40), tmp_path / "set").close()
    scenes = first_scenes(open_source(tmp_path / "set"))
    assert len(scenes) == 2
    for scene in scenes:
        names = scene.truth.clip.objects.names
        assert names[scene.truth.target] in scene.instruction and names[scene.other] not in scene.instruction
        assert names[scene.other] in scene.swapped and names[scene.truth.target] not in scene.swapped
    predictor = Predictor(seeing_policy(), Processor(), Normaliser(*unit_statistics()), load_hand_model())
    sampling = SamplingConfig(steps=2, guidance=1.0, samples=3)
    found = {name: answers_under(predictor, scenes, name, sampling) for name in CONDITIONS}
    again = answers_under(predictor, scenes, AS_IT_IS, sampling)
    np.testing.assert_array_equal(again.fde_m, found[AS_IT_IS].fde_m)
    for name in (GREY, SWAPPED):
        assert not np.array_equal(found[name].fde_m, found[AS_IT_IS].fde_m), name
    figures = {figure.name: figure for figure in ablation_figures(predictor, open_source(tmp_path / "set"), sampling)}
    nearer = 100 * (found[AS_IT_IS].to_other_m - found[SWAPPED].to_other_m)
    assert figures["first pictures / other thing named / palm ends nearer to it by"].value == pytest.approx(
        nearer.mean()
    )
    grey = figures["first pictures / grey picture / wrist FDE"]
    assert grey.value == pytest.approx(100 * found[GREY].fde_m.mean()) and grey.n == 2
    one = found[AS_IT_IS].joints_cam[0]
    assert one.shape == (3, len(scenes[0].steps) + 1, 21, 3)
    np.testing.assert_allclose(one[:, 0] - one[:1, 0], 0.0, atol=1e-9)  # all draws start from the same hand


def unit_statistics() -> tuple[np.ndarray, ...]:
    """Means of zero and small deviations."""
    return np.zeros(122), np.ones(122), np.zeros(102), np.full(102, 0.01)


def seeing_policy() -> Policy:
    """A small policy with the shipped tokenizer whose condition matters."""
    from dataclasses import replace

    processor, config = Processor(), tiny_policy().config
    backbone = replace(config.backbone, vocabulary=processor.vocabulary, image_token_id=processor.image_token_id)
    torch.manual_seed(0)
    policy = Policy(replace(config, backbone=backbone)).eval()
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return policy
