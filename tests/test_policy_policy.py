"""Backbone, whole policy and its files: frozen numbers of the official code, laws, and bad input."""

from pathlib import Path

import numpy as np
import pytest
import torch
from policy_makers import golden_inputs, golden_policy, mask_of, tiny_inputs, tiny_policy, wave

from vitra_lib.core.errors import BadInput, MissingAsset, VitraError
from vitra_lib.policy.backbone import Backbone
from vitra_lib.policy.checkpoint import load_policy, save_policy
from vitra_lib.policy.config import BackboneConfig, LossConfig, PolicyConfig, SamplingConfig
from vitra_lib.policy.diffusion import draw_noise
from vitra_lib.policy.official_weights import export_official, import_official, official_names
from vitra_lib.policy.policy import PolicyInputs, empty_policy
from vitra_lib.policy.processor import Processor, pixel_values

COGNITION = [0.59572, 0.52953, 0.40587, 0.22897, 0.00655, -0.25047, -0.52853, -0.81207]
ACTION = [-26.66062, -25.58882, -18.19876, -6.14606, 7.91183, 20.88557, 29.91644, 32.98948]


@torch.no_grad()
def test_the_whole_policy_gives_the_official_numbers() -> None:
    policy, inputs = golden_policy(), golden_inputs()
    feature = policy.cognition(inputs)
    torch.testing.assert_close(feature[0, :8], torch.tensor(COGNITION), rtol=1e-4, atol=2e-5)
    noise = wave((1, 16, 192), 0.05)
    out = policy.predict(inputs, mask_of((1, 16, 192), 51, 102), SamplingConfig(10, 5.0), noise)
    torch.testing.assert_close(out[0, 0, 0, 51:59], torch.tensor(ACTION), rtol=1e-4, atol=1e-4)
    assert out.abs().sum().item() == pytest.approx(13272.641993, rel=1e-5)


@torch.no_grad()
def test_padding_anywhere_changes_nothing() -> None:
    policy = tiny_policy()
    inputs = tiny_inputs(policy)
    feature = policy.cognition(inputs)
    pad = torch.zeros(2, 3, dtype=torch.long)
    for ids in (torch.cat([inputs.input_ids, pad], 1), torch.cat([pad, inputs.input_ids], 1)):
        mask = (ids != 0).long()
        torch.testing.assert_close(policy.backbone(ids, mask, inputs.pixel_values, inputs.fov_rad), feature)
    seen = policy.backbone(ids, torch.ones_like(ids), inputs.pixel_values, inputs.fov_rad)
    assert (seen - feature).abs().max() > 1e-3  # the control: padding that is attended to


@torch.no_grad()
def test_every_input_reaches_the_cognition_feature_from_both_sides() -> None:
    policy = tiny_policy()
    inputs = tiny_inputs(policy)
    feature = policy.cognition(inputs)
    changed = {
        "pixel_values": inputs.pixel_values.flip(-1),
        "fov_rad": inputs.fov_rad + 0.3,
        "input_ids": inputs.input_ids.flip(0),
    }
    for name, value in changed.items():
        other = policy.cognition(PolicyInputs(**vars(inputs) | {name: value}))
        assert (other - feature).abs().max() > 1e-5, name


def test_samples_of_one_image_share_its_backbone_pass_and_equal_single_draws() -> None:
    policy = tiny_policy()
    inputs, mask = tiny_inputs(policy), mask_of((2, 16, 192), 0, 102)
    calls = []
    policy.backbone.register_forward_hook(lambda *_: calls.append(1))
    drawn = policy.predict(inputs, mask, SamplingConfig(5, samples=3, seed=4))
    assert drawn.shape == (2, 3, 16, 192) and len(calls) == 1
    assert torch.equal(policy.predict(inputs, mask, SamplingConfig(5, samples=3, seed=4)), drawn)
    assert (drawn[:, 0] - drawn[:, 1]).abs().max() > 1e-3
    noise = torch.randn((6, 16, 192), generator=torch.Generator().manual_seed(4))
    single = policy.predict(inputs, mask, SamplingConfig(5), noise.view(2, 3, 16, 192)[:, 1].contiguous())
    torch.testing.assert_close(single[:, 0], drawn[:, 1], rtol=1e-4, atol=1e-5)


def test_a_loss_can_be_learned_from_and_nan_labels_are_refused() -> None:
    policy = tiny_policy().train()
    inputs, mask = tiny_inputs(policy), mask_of((2, 16, 192), 51, 102)
    action = torch.randn(2, 16, 192, generator=torch.Generator().manual_seed(3))
    optimizer = torch.optim.Adam(policy.parameters(), 3e-3)
    losses = []
    for step in range(40):
        draws = draw_noise([(step, row) for row in range(2)], 8, policy.config.denoiser, (16, 192))
        optimizer.zero_grad()
        loss = policy(inputs, action, mask, draws, LossConfig()).total
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-8:]) < 0.8 * np.mean(losses[:4])
    action[0, 0, 60] = torch.nan
    with pytest.raises(BadInput, match="NaN or infinite actions"):
        policy(inputs, action, mask, draws, LossConfig())


def test_the_full_size_has_the_published_names_and_count() -> None:
    policy = empty_policy(PolicyConfig.of_profile("paper"))
    assert sum(p.numel() for p in policy.parameters()) == 3_174_149_808
    names = official_names(policy)
    assert len(names) == 899
    for name in ("cognition_token", "backbone.language_model.model.layers.25.mlp.gate_proj.weight"):
        assert name in names
    assert not any("vision_model.head" in name for name in names)


def test_released_weights_go_in_and_out_unchanged(tmp_path: Path) -> None:
    policy = tiny_policy()
    export_official(policy, tmp_path / "weights.pt")
    empty = empty_policy(policy.config)
    import_official(empty, tmp_path / "weights.pt")
    for name, value in policy.state_dict().items():
        assert torch.equal(empty.state_dict()[name], value), name
    inputs = tiny_inputs(policy)
    with torch.no_grad():
        torch.testing.assert_close(empty.eval().cognition(inputs), policy.cognition(inputs))


def test_wrong_released_weights_are_refused_and_nothing_in_them_runs(tmp_path: Path) -> None:
    policy, path = tiny_policy(), tmp_path / "weights.pt"
    export_official(policy, path)
    values = torch.load(path, weights_only=True)
    for change, sentence in (
        (lambda v: v.pop("cognition_token"), "lacks cognition_token"),
        (lambda v: v.update(extra=torch.zeros(1)), "has the unknown extra"),
        (lambda v: v.update(cognition_token=torch.zeros(5)), "another shape for cognition_token"),
    ):
        changed = dict(values)
        change(changed)
        torch.save(changed, path)
        with pytest.raises(BadInput, match=sentence):
            import_official(tiny_policy(), path)
    torch.save({"weights": Path("somewhere")}, path)  # an object that is no tensor
    with pytest.raises(BadInput, match="nothing in it was run"):
        import_official(tiny_policy(), path)
    with pytest.raises(BadInput, match="No checkpoint at"):
        import_official(policy, tmp_path / "none.pt")


def test_checkpoints_round_trip_and_damaged_ones_are_refused(tmp_path: Path) -> None:
    policy, folder = tiny_policy(), tmp_path / "checkpoint"
    save_policy(policy, folder, {"steps": 7})
    again = load_policy(folder)
    assert again.config == policy.config
    assert all(torch.equal(value, policy.state_dict()[name]) for name, value in again.state_dict().items())
    with pytest.raises(BadInput, match="profile test, not tiny"):
        load_policy(folder, "tiny")
    save_policy(policy, folder, dtype=torch.bfloat16)
    half = load_policy(folder).state_dict()["backbone.cognition_token"]
    torch.testing.assert_close(half, policy.backbone.cognition_token.detach(), rtol=1e-2, atol=1e-2)
    weights = folder / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(BadInput, match="missing or cut short"):
        load_policy(folder)
    (folder / "policy.json").write_text("{")
    with pytest.raises(BadInput, match="is damaged"):
        load_policy(folder)
    with pytest.raises(BadInput, match="No policy checkpoint"):
        load_policy(tmp_path)
    with torch.no_grad():
        policy.backbone.cognition_token[0] = torch.nan
    save_policy(policy, folder)
    with pytest.raises(BadInput, match="NaN or infinite"):
        load_policy(folder)


def test_the_processor_lays_out_image_text_and_padding() -> None:
    processor = Processor()
    config = processor.policy_config("tiny")
    images = [np.zeros((48, 64, 3), np.uint8), np.full((112, 112, 3), 255, np.uint8)]
    texts = ["Right hand: Pick up the red mug.", "Left hand: Grüße, 世界 🙂."]
    state, mask = np.zeros((2, 212)), np.zeros((2, 212), bool)
    inputs = processor(config, images, texts, np.ones((2, 2)), state, mask)
    count = config.backbone.image_tokens
    assert count == 64 and (inputs.input_ids[:, :count] == processor.image_token_id).all()
    assert (inputs.input_ids[:, count] == 2).all()  # bos
    for row, ids, text in zip(inputs.attention_mask, inputs.input_ids, texts, strict=True):
        valid = ids[count + 1 : int(row.sum())].tolist()
        assert processor._tokenizer.decode(valid) == text + "\n"
    assert inputs.pixel_values[0].max() == -1 and inputs.pixel_values[1].min() == 1
    assert inputs.input_ids[inputs.attention_mask == 0].abs().max() == 0


def test_pictures_are_resized_as_paligemmas_own_processor_does() -> None:
    from transformers import SiglipImageProcessorPil

    image = (255 * np.random.default_rng(0).random((300, 400, 3))).astype(np.uint8)
    theirs = SiglipImageProcessorPil(
        size={"height": 224, "width": 224}, resample=3, image_mean=[0.5] * 3, image_std=[0.5] * 3
    )(image, return_tensors="pt")["pixel_values"]
    ours = pixel_values([image], BackboneConfig.paper())
    torch.testing.assert_close(ours, theirs, atol=2.1 / 127.5, rtol=0)  # two of 256 levels
    assert (ours - theirs).abs().mean() < 0.05 / 127.5


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is empty"),
        ("  \n ", "is empty"),
        ("word " * 800, "3999 characters"),
        ("a <image> b", "holds <image>"),
    ],
)
def test_bad_instructions_are_refused(text: str, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        Processor().tokens(text, 256)


def test_missing_paligemma_is_explained(tmp_path: Path) -> None:
    config = tiny_policy().config.backbone
    with pytest.raises(MissingAsset, match="download google/paligemma2-3b-mix-224"):
        Backbone.from_pretrained(tmp_path, config)
    with pytest.raises(VitraError, match="No tokenizer.json"):
        Processor(tmp_path)
