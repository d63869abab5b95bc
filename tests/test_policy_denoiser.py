"""The denoiser against frozen numbers of the official code, and its laws: causality, masking, initial silence."""

import pytest
import torch
from policy_makers import denoiser_inputs, golden_denoiser, wave

from vitra_lib.core.errors import BadInput, UnknownName
from vitra_lib.policy.config import DenoiserConfig
from vitra_lib.policy.denoiser import Denoiser, QkNorm

# First numbers, last numbers and sums of the official DiT-T with the weights and inputs of `policy_makers`.
FIRST = [-1.046116, -0.750582, -0.286157, 0.249431, 0.743101, 1.090641, 1.219036, 1.102108]
LAST = [-1.224325, -0.921148, -0.412513, 0.194374, 0.771147, 1.195777, 1.378722, 1.282110]
SUM, ABSOLUTE_SUM = -69.944028, 4245.478364


@torch.no_grad()
def test_forward_gives_the_official_numbers() -> None:
    out = golden_denoiser()(**denoiser_inputs())
    torch.testing.assert_close(out[0, 0, :8], torch.tensor(FIRST), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(out[1, -1, :8], torch.tensor(LAST), rtol=1e-4, atol=1e-5)
    assert out.abs().sum().item() == pytest.approx(ABSOLUTE_SUM, rel=1e-5)
    assert out.sum().item() == pytest.approx(SUM, rel=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("changes", [{"is_causal": False}, {"uses_state": False}])
def test_another_architecture_gives_other_numbers(changes: dict[str, bool]) -> None:
    out = golden_denoiser(**changes)(**denoiser_inputs())
    assert (out[0, 0, :8] - torch.tensor(FIRST)).abs().max() > 1e-3


def test_the_released_weights_norm_divides_by_the_variance_and_the_true_one_by_the_power() -> None:
    x = wave((1, 64), 0.3)
    official = torch.tensor([0.0, 0.4184609, 0.799542, 1.1092023])
    true = torch.tensor([0.0, 0.4217689, 0.8058624, 1.1179706])
    torch.testing.assert_close(QkNorm(64, true_rms=False)(x)[0, :4], official, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(QkNorm(64, true_rms=True)(x)[0, :4], true, rtol=1e-4, atol=1e-6)
    assert (official - true).abs().max() > 1e-3


@torch.no_grad()
@pytest.mark.parametrize("is_causal", [True, False])
def test_changing_a_step_changes_nothing_before_it(is_causal: bool) -> None:
    denoiser, inputs = golden_denoiser(is_causal=is_causal), denoiser_inputs()
    before = denoiser(**inputs)
    for step in (3, 15):
        changed = inputs["noisy"].clone()
        changed[:, step] += 1.0
        difference = (denoiser(**inputs | {"noisy": changed}) - before).abs().amax((0, 2))
        assert difference[step] > 1e-4
        assert (difference[:step].max() < 1e-6) == is_causal  # the bidirectional ablation is the control


@torch.no_grad()
def test_what_is_masked_has_no_influence() -> None:
    denoiser, inputs = golden_denoiser(), denoiser_inputs()
    before = denoiser(**inputs)
    noise = 100 * torch.randn(2, 16, 192)
    noisy = torch.where(inputs["action_mask"], inputs["noisy"], noise)
    state = torch.where(inputs["state_mask"], inputs["state"], 100 * torch.randn(2, 212))
    torch.testing.assert_close(denoiser(**inputs | {"noisy": noisy, "state": state}), before)
    unmasked = torch.ones_like(inputs["action_mask"])
    assert (denoiser(**inputs | {"noisy": noisy, "action_mask": unmasked}) - before).abs().max() > 1e-2


@torch.no_grad()
def test_a_new_denoiser_predicts_nothing_and_prepared_steps_equal_single_ones() -> None:
    inputs = denoiser_inputs()
    assert Denoiser(DenoiserConfig.of_size("T", 2304))(**inputs).abs().max() == 0
    denoiser = golden_denoiser()
    steps = torch.tensor([90, 50, 0])
    prepared = denoiser.prepare(steps, inputs["condition"], inputs["state"], inputs["state_mask"])
    for index, step in enumerate(steps):
        single = denoiser(**inputs | {"timestep": step.expand(2)})
        out = denoiser.step(inputs["noisy"], inputs["action_mask"], prepared, index)
        torch.testing.assert_close(out, single)


def test_parameters_have_the_published_count_and_names() -> None:
    with torch.device("meta"):
        sizes = {size: Denoiser(DenoiserConfig.of_size(size, 2304)) for size in ("T", "S", "M", "B", "L")}
    counts = {size: sum(p.numel() for p in net.parameters()) / 1e6 for size, net in sizes.items()}
    published = {"T": 5.39, "S": 19.2, "M": 35.1, "B": 136.6, "L": 467.8}
    assert counts == {size: pytest.approx(count, rel=3e-3) for size, count in published.items()}
    shapes = {name: tuple(p.shape) for name, p in sizes["B"].named_parameters()}
    assert shapes["state_embedder.projector.2.weight"] == (768, 3072)
    assert shapes["positional_embedding"] == (18, 768)
    assert shapes["blocks.11.adaLN_modulation.1.weight"] == (4608, 768)


def test_bad_configurations_are_refused() -> None:
    with pytest.raises(BadInput, match="multiple of its 5 heads"):
        DenoiserConfig(256, 3, 5, 64)
    with pytest.raises(UnknownName, match="legal are rms, timm-0.9.10"):
        DenoiserConfig(256, 3, 4, 64, qk_norm="layer")
    with pytest.raises(UnknownName, match="legal are T, S, M, B, L"):
        DenoiserConfig.of_size("XL", 64)
