"""The grounding stage: its targets are where the hands are, it learns to look, and it resumes bit by bit."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from policy_makers import mask_of, tiny_policy

from vitra_lib.core.errors import BadInput, UnknownName
from vitra_lib.dataset import Normaliser, PolicyBatch, replay
from vitra_lib.geometry.rotations import from_euler_xyz
from vitra_lib.policy.policy import Policy
from vitra_lib.policy.processor import Processor
from vitra_lib.training.grounding import Grounding, GroundingConfig, palm_places, token_shares, widen_initial_weights
from vitra_lib.training.loop import RunConfig
from vitra_lib.training.presets import preset
from vitra_lib.training.recipes import Recipe

RNG = np.random.default_rng(0)
NORMALISER = Normaliser(
    RNG.normal(size=122), RNG.uniform(0.5, 2, 122), RNG.normal(size=102), RNG.uniform(0.01, 0.1, 102)
)
CONFIG = GroundingConfig(steps=6, learning_rate=3e-3, warmup_steps=2, save_every=2, log_every=1)
STEPS = 16


def batch_of(rows: list[int], is_grey: bool = False) -> PolicyBatch:
    """Samples by number: a bright half of the picture, and a right hand that is and goes there."""
    sides = torch.tensor([1.0 if row % 2 else -1.0 for row in rows])
    image = torch.full((len(rows), 3, 28, 28), 60, dtype=torch.uint8)
    for number, side in enumerate(sides.tolist()):
        if not is_grey:
            image[number, :, :, 14:] = 200 if side > 0 else 60
            image[number, :, :, :14] = 60 if side > 0 else 200
    mask = mask_of((len(rows), STEPS, 192), 51, 102)
    state_mask = mask_of((len(rows), 212), 51, 102)
    state = torch.zeros(len(rows), 212)
    state[:, 51:54] = sides[:, None]
    return PolicyBatch(
        image=image,
        instruction=("Right hand: Go on.",) * len(rows),
        fov_rad=torch.ones(len(rows), 2),
        action=torch.zeros(len(rows), STEPS, 192),
        action_mask=mask,
        state=state,
        state_mask=state_mask,
        dataset=torch.zeros(len(rows), dtype=torch.long),
        name=tuple(f"episode-{row}" for row in rows),
        frame=torch.tensor(rows),
    )


class Sides:
    """An endless loader that knows its place."""

    def __init__(self, is_grey: bool = False, fails_at: int | None = None) -> None:
        self._taken, self._is_grey, self._fails_at = 0, is_grey, fails_at

    def __iter__(self) -> Iterator[PolicyBatch]:
        while True:
            if self._taken == self._fails_at:
                raise KeyboardInterrupt
            self._taken += 1
            yield batch_of([8 * self._taken + row for row in range(8)], self._is_grey)

    def state_dict(self) -> dict[str, Any]:
        return {"taken": self._taken}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._taken = state["taken"]


def new_policy() -> Policy:
    """A small policy with the shipped tokenizer's vocabulary; always the same."""
    processor, config = Processor(), tiny_policy().config
    backbone = replace(config.backbone, vocabulary=processor.vocabulary, image_token_id=processor.image_token_id)
    torch.manual_seed(0)
    policy = Policy(replace(config, backbone=backbone))
    widen_initial_weights(policy, 0)
    return policy


def ground(folder: Path, loader: Sides, config: GroundingConfig = CONFIG, resume: bool = False) -> list[float]:
    """One run; the losses of all steps."""
    still = replace(NORMALISER, action_mean=np.zeros(102))
    Grounding(new_policy(), Processor(), still, config, RunConfig(folder, resume)).run(loader)
    return [json.loads(line)["grounding_loss"] for line in (folder / "log.jsonl").read_text().splitlines()]


def moving_batch(steps_known: int) -> tuple[PolicyBatch, np.ndarray, np.ndarray]:
    """One right hand that moves and turns, and its raw state and steps."""
    state, action = np.zeros(122), np.zeros((STEPS, 102))
    state[61:67] = [0.1, 0.2, 0.6, 0.3, -0.2, 0.5]
    action[:, 51:57] = RNG.normal(0, 0.05, (STEPS, 6))
    packed_state, packed = torch.zeros(1, 212), torch.zeros(1, STEPS, 192)
    packed_state[0, 51:57] = torch.from_numpy(NORMALISER.normalise_state(state)[61:67])
    packed[0, :, :102] = torch.from_numpy(NORMALISER.normalise_action(action))
    batch = batch_of([0])
    mask = batch.action_mask.clone()
    mask[:, steps_known:] = False
    return replace(batch, state=packed_state, action=packed, action_mask=mask), state, action


def palm(point: np.ndarray) -> np.ndarray:
    """Nine centimetres from the wrist towards the fingers of a right hand."""
    return point[:3] - 0.09 * from_euler_xyz(point[3:6])[:, 0]


def test_targets_are_the_palm_now_and_at_the_last_valid_step() -> None:
    batch, state, action = moving_batch(10)
    places, known = palm_places(batch, NORMALISER)
    way = replay(state[61:], action[:, 51:])
    np.testing.assert_allclose(places[0, :, 1], [palm(way[0]), palm(way[10])], atol=2e-6)
    assert np.abs(places[0, 1, 1] - palm(way[16])).max() > 1e-2  # the control: masked steps must not count
    assert known[0].tolist() == [[False, True], [False, True]]


def test_a_hand_without_a_valid_step_has_no_end() -> None:
    _, known = palm_places(moving_batch(0)[0], NORMALISER)
    assert known[0].tolist() == [[False, True], [False, False]]


def test_the_token_with_most_of_the_share_is_the_one_that_shows_the_place() -> None:
    fov = np.array([[1.2, 0.9]])
    places = np.zeros((1, 2, 2, 3))
    for place, (u, v) in zip(places.reshape(4, 3), ((0.1, 0.2), (0.9, 0.55), (0.6, 0.95), (1.4, 0.5)), strict=True):
        place[:] = [(u - 0.5) * 2 * np.tan(0.6), (v - 0.5) * 2 * np.tan(0.45), 1.0]
        place *= 0.7
    shares, inside = token_shares(places, fov, 8)
    np.testing.assert_allclose(shares.sum(-1), 1.0)
    rows, columns = np.divmod(shares.reshape(4, 64).argmax(1), 8)
    assert rows[:3].tolist() == [1, 4, 7] and columns[:3].tolist() == [0, 7, 4]
    assert inside.ravel().tolist() == [True, True, True, False]


def test_the_backbone_learns_to_look_and_can_not_where_there_is_nothing_to_see(tmp_path: Path) -> None:
    config = replace(CONFIG, steps=40, save_every=40)
    seen = ground(tmp_path / "seen", Sides(), config)
    grey = ground(tmp_path / "grey", Sides(is_grey=True), config)
    assert np.mean(seen[-5:]) < 0.2 < 0.8 < np.mean(grey[-5:])


def test_a_killed_run_goes_on_bit_by_bit(tmp_path: Path) -> None:
    whole = ground(tmp_path / "whole", Sides())
    with pytest.raises(KeyboardInterrupt):
        ground(tmp_path / "killed", Sides(fails_at=3))
    assert ground(tmp_path / "killed", Sides(), resume=True) == whole
    assert ground(tmp_path / "other", Sides(), replace(CONFIG, seed=1)) != whole


def test_the_linear_layer_is_thrown_away_and_everything_learns_again(tmp_path: Path) -> None:
    policy = new_policy()
    before = {name: value.clone() for name, value in policy.state_dict().items()}
    Grounding(policy, Processor(), NORMALISER, replace(CONFIG, steps=2), RunConfig(tmp_path)).run(Sides())
    assert policy.state_dict().keys() == before.keys()
    changed = {name for name, value in policy.state_dict().items() if not torch.equal(value, before[name])}
    assert changed and all(name.startswith("backbone.") for name in changed)
    assert all(parameter.requires_grad for parameter in policy.parameters())


def test_what_can_not_be_asked_for(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="at least 1"):
        replace(CONFIG, steps=0)
    with pytest.raises(UnknownName, match="precision 'fp8'"):
        replace(CONFIG, precision="fp8")
    with pytest.raises(UnknownName, match="recipe 'huge'"):
        Recipe.named("huge")
    with pytest.raises(UnknownName, match="profile 'huge'"):
        preset("huge", 5)
    ground(tmp_path, Sides(), replace(CONFIG, steps=1))
    with pytest.raises(BadInput, match="already holds a run"):
        ground(tmp_path, Sides())
