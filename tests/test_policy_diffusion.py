"""Schedule, sampler and loss against frozen numbers of the official code, diffusers' own route, and closed forms."""

import numpy as np
import pytest
import torch
from policy_makers import denoiser_inputs, golden_denoiser, mask_of, wave

from vitra_lib.core.errors import BadInput
from vitra_lib.policy.config import DenoiserConfig, LossConfig, SamplingConfig
from vitra_lib.policy.diffusion import (
    alphas_cumprod,
    draw_noise,
    kept_timesteps,
    make_scheduler,
    noised,
    sample_actions,
)
from vitra_lib.policy.loss import COMPONENTS, Counts, noise_loss

RIGHT_FIRST = [31.58197, 36.30464, 34.12741, 25.44043, 12.02672, -3.31979, -17.39282, -27.26102]
BOTH_LAST = [34.54901, 21.49841, 4.87098, -11.8357, -25.10889, -32.17362, -31.58725, -23.548]


def drawn(guidance: float = 5.0, steps: int = 10, **changes: torch.Tensor) -> torch.Tensor:
    """Ten guided steps of the golden denoiser from deterministic noise."""
    inputs = {name: value for name, value in denoiser_inputs().items() if name not in ("noisy", "timestep")}
    noise = wave((2, 16, 192), 0.05)
    with torch.no_grad():
        return sample_actions(
            golden_denoiser(), **{"noise": noise} | inputs | changes, config=SamplingConfig(steps, guidance)
        )


def test_the_schedule_has_the_official_numbers() -> None:
    alphas = alphas_cumprod()
    np.testing.assert_allclose(alphas[:4], [0.9993687184, 0.9982524865, 0.9966523884, 0.9945699782], rtol=1e-9)
    np.testing.assert_allclose(
        alphas[[10, 20, 30, 40, 50]], [0.9667167049, 0.8891031288, 0.7740062071, 0.6325157494, 0.4782646], rtol=1e-6
    )
    assert alphas[90] == pytest.approx(0.0195, abs=1e-4)


def test_kept_steps_follow_the_smallest_whole_stride() -> None:
    assert kept_timesteps(10) == tuple(range(0, 100, 10))
    assert kept_timesteps(8) == (0, 13, 26, 39, 52, 65, 78, 91)  # where diffusers' own spacing differs
    assert kept_timesteps(1) == (50,) and len(kept_timesteps(100)) == 100
    with pytest.raises(BadInput, match="30 sampling steps.*legal are 1, 2, 3, 4, 5, 6, 7, 8"):
        kept_timesteps(30)


def test_a_full_guided_draw_gives_the_official_numbers() -> None:
    out = drawn()
    torch.testing.assert_close(out[0, 0, 51:59], torch.tensor(RIGHT_FIRST), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(out[1, 15, :8], torch.tensor(BOTH_LAST), rtol=1e-4, atol=1e-4)
    assert out.abs().sum().item() == pytest.approx(49035.36222, rel=1e-5)
    assert (drawn(guidance=4.0) - out).abs().max() > 0.1  # the control


def test_the_scheduler_equals_diffusers_own_spacing_where_that_is_whole() -> None:
    from diffusers import DDIMScheduler

    plain = DDIMScheduler(100, beta_schedule="squaredcos_cap_v2", clip_sample=False, timestep_spacing="leading")
    plain.set_timesteps(10)
    ours, trained = make_scheduler(10)
    x = y = wave((1, 4, 8), 0.3)
    for mine, theirs in zip(ours.timesteps, plain.timesteps, strict=True):
        assert trained[mine] == theirs
        x = ours.step(torch.sin(x), int(mine), x).prev_sample
        y = plain.step(torch.sin(y), int(theirs), y).prev_sample
    torch.testing.assert_close(x, y, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("steps", [1, 5, 8])
def test_step_counts_are_independent_calls(steps: int) -> None:
    first = drawn(steps=steps)
    drawn(steps=10)
    assert torch.equal(drawn(steps=steps), first)  # no step count is remembered from another call


def test_guidance_is_linear_in_its_scale_for_one_step() -> None:
    at = {scale: drawn(guidance=scale, steps=1) for scale in (0.0, 1.0, 3.0)}
    expected = at[0.0] + 3.0 * (at[1.0] - at[0.0])
    torch.testing.assert_close(at[3.0], expected, rtol=1e-4, atol=1e-4)
    assert (at[3.0] - at[1.0]).abs().max() > 1e-3


def test_what_is_not_wanted_is_zero() -> None:
    out = drawn()
    assert out[~denoiser_inputs()["action_mask"]].abs().max() == 0
    assert out[0, :, :51].abs().max() == 0


def test_noising_mixes_signal_and_noise_by_the_schedule() -> None:
    actions, noise = torch.ones(2, 1, 1), torch.zeros(2, 1, 1)
    out = noised(actions, noise, torch.tensor([0, 99]))[:, 0, 0]
    assert out[0].item() == pytest.approx(np.sqrt(alphas_cumprod()[0])) and abs(out[1].item()) < 1e-3
    assert noised(noise, actions, torch.tensor([0, 99]))[1, 0, 0].item() == pytest.approx(1.0, abs=1e-5)


def test_the_loss_weighs_components_by_their_valid_rows() -> None:
    mask = torch.zeros(2, 16, 192, dtype=torch.bool)
    mask[0, :, :51] = True  # left hand of one sample: 16 rows
    mask[:, :4, 51:102] = True  # right hand of both, four steps: 8 rows
    error = torch.zeros(2, 16, 192)
    for name, size in (("left_hand_6d", 1.0), ("left_hand_joints", 2.0), ("right_hand_6d", 3.0)):
        error[..., COMPONENTS[name]] = size
    loss = noise_loss(error, torch.zeros_like(error), mask, LossConfig.robot())
    wanted = {"left_hand_6d": 1.6, "left_hand_joints": 0.4 * 4, "right_hand_6d": 1.6 * 9, "right_hand_joints": 0.0}
    assert {name: value.item() for name, value in loss.components.items()} == pytest.approx(wanted)
    assert loss.total.item() == pytest.approx((16 * 1.6 + 16 * 1.6 + 8 * 14.4) / 48)


def test_the_losses_of_parts_add_up_to_the_loss_of_the_whole() -> None:
    mask, error = torch.rand(6, 16, 1) < torch.rand(6, 1, 1), torch.randn(6, 16, 192)
    mask = torch.cat([mask.expand(-1, -1, 102), torch.zeros(6, 16, 90, dtype=torch.bool)], -1)
    zero, config = torch.zeros_like(error), LossConfig.robot()
    whole = noise_loss(error, zero, mask, config).total
    counts = Counts.of(mask[:4]) + Counts.of(mask[4:])
    parts = [noise_loss(error[rows], zero[rows], mask[rows], config, counts).total for rows in (slice(4), slice(4, 6))]
    torch.testing.assert_close(sum(parts), whole)
    alone = [noise_loss(error[rows], zero[rows], mask[rows], config).total for rows in (slice(4), slice(4, 6))]
    assert abs(sum(alone) / 2 - whole) > 1e-4  # the control: each normalised by itself


def test_a_sample_gets_the_same_noise_in_any_batch() -> None:
    config = DenoiserConfig.of_size("T", 64, condition_dropout=0.3)
    whole = draw_noise([(0, 7, row) for row in range(64)], 8, config, (16, 192))
    part = draw_noise([(0, 7, row) for row in range(48, 64)], 8, config, (16, 192))
    assert torch.equal(part.noise, whole.noise[:, 48:]) and torch.equal(part.timestep, whole.timestep[:, 48:])
    assert whole.noise.std().item() == pytest.approx(1.0, abs=0.01)
    assert whole.drops_condition.float().mean().item() == pytest.approx(0.3, abs=0.06)
    assert not torch.equal(draw_noise([(0, 8, 0)], 8, config, (16, 192)).noise[:, 0], whole.noise[:, 0])


def test_a_batch_without_valid_actions_costs_nothing_and_pushes_nowhere() -> None:
    predicted = torch.ones(1, 16, 192, requires_grad=True)
    loss = noise_loss(predicted, torch.zeros(1, 16, 192), mask_of((1, 16, 192), 0, 0), LossConfig())
    loss.total.backward()
    assert loss.total.item() == 0 and predicted.grad.abs().max() == 0
