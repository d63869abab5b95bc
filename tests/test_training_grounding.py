"""The stages before diffusion learn to see and to bind, can not where there is nothing to see, and resume exactly."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from policy_makers import tiny_policy

from vitra_lib.captioning.instruction import two_hand_instruction
from vitra_lib.core.errors import BadInput, UnknownName
from vitra_lib.pipeline.world_pictures import NamedPictures
from vitra_lib.policy.policy import Policy
from vitra_lib.policy.processor import Processor
from vitra_lib.training.grounding import Grounding, GroundingConfig, widen_initial_weights
from vitra_lib.training.loop import RunConfig
from vitra_lib.training.pictures import PictureLoader, token_shares
from vitra_lib.training.presets import preset
from vitra_lib.training.recipes import Recipe

BINDING = GroundingConfig("binding", steps=6, batch=16, learning_rate=3e-3, warmup_steps=2, save_every=2, log_every=1)
SEEING = replace(BINDING, stage="seeing")
COLOURS = {"red": (220, 30, 30), "blue": (30, 30, 220)}
SIDE_PX = 28


def pictures_of(count: int, is_grey: bool = False) -> NamedPictures:
    """A red and a blue quarter of the picture, one left and one right, each high or low; what is asked for is one."""
    rng = np.random.default_rng(0)
    images = np.full((count, SIDE_PX, SIDE_PX, 3), 128, np.uint8)
    places = np.zeros((count, 2, 3))
    for image, place in zip(images, places, strict=True):
        columns = rng.permutation(2)
        for thing, colour in enumerate(COLOURS.values()):
            row, column = rng.integers(2), columns[thing]
            half = SIDE_PX // 2
            if not is_grey:
                image[row * half : (row + 1) * half, column * half : (column + 1) * half] = colour
            place[thing] = [0.5 * column - 0.25, 0.5 * row - 0.25, 1.0]
    fov = np.full((count, 2), 2 * np.arctan(0.5))
    names = tuple(two_hand_instruction(None, f"Reach for the {name} mug.") for name in COLOURS)
    return NamedPictures(images, fov, places, (names,) * count)


def new_policy() -> Policy:
    """A small policy with the shipped tokenizer's vocabulary; always the same."""
    processor, config = Processor(), tiny_policy().config
    sizes = {"vocabulary": processor.vocabulary, "image_token_id": processor.image_token_id, "depth": 2}
    backbone = replace(config.backbone, **sizes)
    torch.manual_seed(0)
    policy = Policy(replace(config, backbone=backbone))
    widen_initial_weights(policy, 0)
    return policy


def loader_of(pictures: NamedPictures, config: GroundingConfig) -> PictureLoader:
    """As a recipe makes them."""
    return PictureLoader(pictures, config.batch, config.seed, asks_all=config.stage == "binding")


def ground(
    folder: Path, config: GroundingConfig, pictures: NamedPictures, resume: bool = False, policy: Policy | None = None
) -> tuple[Grounding, list[float]]:
    """One run; the losses of all steps."""
    run = RunConfig(folder, resume)
    grounding = Grounding(policy or new_policy(), Processor(), loader_of(pictures, config), config, run)
    grounding.run()
    return grounding, [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]


def test_the_token_with_most_of_the_share_is_the_one_that_shows_the_place() -> None:
    fov = np.array([[1.2, 0.9]])
    places = np.zeros((1, 4, 3))
    for place, (u, v) in zip(places[0], ((0.1, 0.2), (0.9, 0.55), (0.6, 0.95), (1.4, 0.5)), strict=True):
        place[:] = [(u - 0.5) * 2 * np.tan(0.6), (v - 0.5) * 2 * np.tan(0.45), 1.0]
        place *= 0.7
    shares, inside = token_shares(places, fov, 8, 0.6)
    np.testing.assert_allclose(shares.sum(-1), 1.0)
    rows, columns = np.divmod(shares[0].argmax(-1), 8)
    assert rows[:3].tolist() == [1, 4, 7] and columns[:3].tolist() == [0, 7, 4]
    assert inside[0].tolist() == [True, True, True, False]
    assert token_shares(places, fov, 8, 2.0)[0].max() < 0.5 * shares.max()  # the control: a wider bell is lower


def test_a_loader_shows_every_picture_once_per_pass_and_knows_its_place() -> None:
    pictures = pictures_of(12)
    numbered = replace(pictures, places_cam=pictures.places_cam + np.arange(12)[:, None, None])
    loader = PictureLoader(numbered, 8, 0, asks_all=True)
    batches = list(itertools.islice(loader, 6))
    for turn in (batches[:3], batches[3:]):
        seen = np.concatenate([batch.places_cam[::2, 0, 2] for batch in turn])
        assert sorted(seen.tolist()) == [1.0 + number for number in range(12)]
    assert not np.array_equal(batches[0].places_cam, batches[3].places_cam)
    assert batches[0].asked.tolist() == [0, 1] * 4
    assert np.array_equal(batches[0].images[::2], batches[0].images[1::2])  # both questions to the same picture
    other = PictureLoader(numbered, 8, 0, asks_all=True)
    other.load_state_dict({"taken": 4})
    np.testing.assert_array_equal(next(iter(other)).places_cam, batches[4].places_cam)
    with pytest.raises(BadInput, match="12 pictures; a batch needs 16"):
        PictureLoader(pictures, 16, 0)


def test_seeing_learns_words_and_places_and_can_not_where_there_is_nothing_to_see(tmp_path: Path) -> None:
    config = replace(SEEING, steps=60, save_every=60)
    _, seen = ground(tmp_path / "seen", config, pictures_of(64))
    _, grey = ground(tmp_path / "grey", config, pictures_of(64, is_grey=True))
    assert np.mean(seen[-5:]) < np.mean(grey[-5:]) - 0.3
    assert abs(np.mean(grey[-5:]) - np.mean(grey[10:15])) < 0.3  # the control: nothing to see, nothing to learn


def test_binding_finds_the_named_thing_and_not_the_other_one(tmp_path: Path) -> None:
    pictures, policy = pictures_of(64), new_policy()
    ground(tmp_path / "seeing", replace(SEEING, steps=60, save_every=60), pictures, policy=policy)
    config = replace(BINDING, steps=140, save_every=140)
    grounding, _ = ground(tmp_path / "binding", config, pictures, policy=policy)
    batch = next(iter(PictureLoader(pictures, 64, 9, asks_all=True)))
    found, rows = grounding.answers(batch), np.arange(len(batch))
    named, other = (
        np.linalg.norm(found - batch.places_cam[rows, thing], axis=1) for thing in (batch.asked, 1 - batch.asked)
    )
    assert (named < other).mean() > 0.9
    deaf = replace(batch, asked=1 - batch.asked)  # the control: the other sentence gets the other answer
    assert (np.linalg.norm(grounding.answers(deaf) - batch.places_cam[rows, batch.asked], axis=1) > named).mean() > 0.9


@pytest.mark.parametrize("config", [SEEING, BINDING], ids=["seeing", "binding"])
def test_a_killed_run_goes_on_bit_by_bit(
    tmp_path: Path, config: GroundingConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = pictures_of(40)
    _, whole = ground(tmp_path / "whole", config, pictures)
    with monkeypatch.context() as patch:
        step = Grounding._step

        def fails(self: Grounding, number: int, batch: object) -> float:
            if number == 3:
                raise KeyboardInterrupt
            return step(self, number, batch)

        patch.setattr(Grounding, "_step", fails)
        with pytest.raises(KeyboardInterrupt):
            ground(tmp_path / "killed", config, pictures)
    assert ground(tmp_path / "killed", config, pictures, resume=True)[1] == whole
    assert ground(tmp_path / "other", replace(config, seed=1), pictures)[1] != whole


def test_the_layers_are_thrown_away_and_everything_learns_again(tmp_path: Path) -> None:
    policy = new_policy()
    before = {name: value.clone() for name, value in policy.state_dict().items()}
    ground(tmp_path, replace(BINDING, steps=2), pictures_of(20), policy=policy)
    assert policy.state_dict().keys() == before.keys()
    changed = {name for name, value in policy.state_dict().items() if not torch.equal(value, before[name])}
    assert changed and all(name.startswith("backbone.") for name in changed)
    assert all(parameter.requires_grad for parameter in policy.parameters())


def test_what_can_not_be_asked_for(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="at least 1"):
        replace(BINDING, steps=0)
    with pytest.raises(UnknownName, match="precision 'fp8'"):
        replace(BINDING, precision="fp8")
    with pytest.raises(UnknownName, match="stage 'hearing'"):
        replace(BINDING, stage="hearing")
    with pytest.raises(UnknownName, match="recipe 'huge'"):
        Recipe.named("huge")
    with pytest.raises(UnknownName, match="profile 'huge'"):
        preset("huge", 5)
    grounding, _ = ground(tmp_path, replace(SEEING, steps=1), pictures_of(20))
    with pytest.raises(BadInput, match="Only the stage 'binding'"):
        grounding.answers(next(iter(loader_of(pictures_of(20), BINDING))))
    with pytest.raises(BadInput, match="already holds a run"):
        ground(tmp_path, SEEING, pictures_of(20))
