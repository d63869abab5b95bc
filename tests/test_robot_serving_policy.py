"""Trained policies behind the server: a shared call gives what single calls give, for human hands and for XHands."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from policy_makers import tiny_policy
from serving_makers import observation

from robot.serving.hand_policy import HandLayout, NetworkPolicy, PolicyFiles, PolicyParts, XHandLayout, open_policy
from vitra_lib.core.errors import BadInput
from vitra_lib.dataset.normalisation import Normaliser
from vitra_lib.policy.checkpoint import save_policy
from vitra_lib.policy.config import SamplingConfig
from vitra_lib.policy.policy import Policy
from vitra_lib.policy.predict import STATISTICS
from vitra_lib.policy.processor import Processor

SAMPLING = SamplingConfig(5, 2.0)


@pytest.fixture(scope="module")
def processor() -> Processor:
    return Processor()


@pytest.fixture(scope="module")
def network(processor: Processor) -> Policy:
    backbone = dataclasses.replace(
        tiny_policy().config.backbone, vocabulary=processor.vocabulary, image_token_id=processor.image_token_id
    )
    torch.manual_seed(0)
    config = dataclasses.replace(tiny_policy().config, backbone=backbone)
    policy = Policy(config).eval()
    with torch.no_grad():
        for parameter in policy.denoiser.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return policy


def statistics(layout: HandLayout | XHandLayout) -> Normaliser:
    rng = np.random.default_rng(0)
    sizes = (layout.state_dim, layout.state_dim, layout.action_dim, layout.action_dim)
    return Normaliser(*(rng.uniform(0.1, 0.5, size) for size in sizes), name="test", count=9)


def served(network: Policy, processor: Processor, layout: HandLayout | XHandLayout) -> NetworkPolicy:
    return NetworkPolicy(PolicyParts(network, processor, statistics(layout), layout), SAMPLING)


def requests(state_dim: int) -> list[dict]:
    """Observations that differ in everything, sizes of the pictures and of the sentences too."""
    asked = [observation(n, side_px=24 + 8 * n, state_dim=state_dim) | {"seed": n} for n in range(3)]
    asked[1]["instruction"] = "Left hand: Slowly open the green drawer below. Right hand: Pick up the cup."
    asked[2]["hands"] = np.array([False, True])
    return asked


@pytest.mark.parametrize("layout", [HandLayout(), XHandLayout()], ids=["hand", "xhand"])
def test_a_shared_call_gives_what_single_calls_give(network: Policy, processor: Processor, layout) -> None:
    policy = served(network, processor, layout)
    calls = []
    hook = network.backbone.register_forward_hook(lambda *_: calls.append(1))
    prepared = [policy.prepare(one) for one in requests(layout.state_dim)]
    together = policy.infer(prepared)
    assert len(calls) == 1
    alone = [policy.infer([one])[0] for one in prepared]
    hook.remove()
    for one, other in zip(together, alone, strict=True):
        assert one["actions"].shape == (16, layout.action_dim) and one["actions"].dtype == np.float32
        np.testing.assert_allclose(one["actions"], other["actions"], rtol=1e-4, atol=1e-4)
    assert np.abs(together[0]["actions"] - together[1]["actions"]).max() > 1e-2  # the control: requests do differ
    half = layout.action_dim // 2
    absent = np.isnan(together[2]["actions"])
    assert absent[:, :half].all() and not absent[:, half:].any() and together[2]["hands"] == [False, True]


def test_without_hands_those_move_that_the_sentence_tells_to(network: Policy, processor: Processor) -> None:
    policy, asked = served(network, processor, HandLayout()), requests(122)[0]
    del asked["hands"]
    assert policy.prepare(asked).hands.tolist() == [False, True]
    assert policy.prepare(asked | {"instruction": "Left hand: Wave. Right hand: Wave."}).hands.all()


def test_the_seed_of_a_request_decides_alone(network: Policy, processor: Processor) -> None:
    policy = served(network, processor, HandLayout())
    asked = requests(122)[0]
    same, other = (policy.prepare(asked | {"seed": seed}) for seed in (0, 1))
    first, second, third = policy.infer([same, other, same])
    np.testing.assert_allclose(first["actions"], third["actions"], rtol=1e-4, atol=1e-4)
    assert np.abs(first["actions"] - second["actions"]).max() > 1e-3


def test_what_the_policy_can_not_use_is_refused(network: Policy, processor: Processor) -> None:
    policy = served(network, processor, HandLayout())
    asked = requests(122)[0]
    for change, said in (
        ({"instruction": "Pick it up."}, "which hand"),
        ({"state": np.zeros(36)}, "122 numbers"),
    ):
        with pytest.raises(BadInput, match=said):
            policy.infer([policy.prepare(asked | change)])
    with pytest.raises(BadInput, match="tokens"):
        policy.infer([policy.prepare(asked | {"instruction": "Right hand: " + "pick up the cup " * 300})])
    with pytest.raises(BadInput, match="36 and 36"):
        PolicyParts(network, processor, statistics(XHandLayout()), HandLayout())
    with pytest.raises(BadInput, match="one draw"):
        parts = PolicyParts(network, processor, statistics(HandLayout()), HandLayout())
        NetworkPolicy(parts, SamplingConfig(samples=2))


@pytest.mark.parametrize("layout", [HandLayout(), XHandLayout()], ids=["hand", "xhand"])
def test_a_checkpoint_says_what_it_is_for(network: Policy, processor: Processor, layout, tmp_path: Path) -> None:
    save_policy(network, tmp_path / "policy", {STATISTICS: statistics(layout).to_official()})
    policy = open_policy(PolicyFiles(tmp_path / "policy"), sampling=SAMPLING)
    assert policy.metadata["action_dim"] == layout.action_dim and policy.metadata["policy"] == "policy"
    asked = requests(layout.state_dim)[0]
    expected = served(network, processor, layout)
    np.testing.assert_allclose(
        policy.infer([policy.prepare(asked)])[0]["actions"],
        expected.infer([expected.prepare(asked)])[0]["actions"],
        rtol=1e-4, atol=1e-4,
    )  # fmt: skip
    other = "xhand" if isinstance(layout, HandLayout) else "hand"
    with pytest.raises(BadInput, match="statistics"):
        open_policy(PolicyFiles(tmp_path / "policy", other))
