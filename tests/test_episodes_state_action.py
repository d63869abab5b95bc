"""State and step actions of every frame: masks, zeros, and the official numbers."""

import json

import numpy as np
import pytest
from episodes_makers import make_captions, make_reconstruction

from vitra_lib.episodes import build_episodes, read_official, state, step_actions

OFFICIAL = "vitra_ego4d_episode/Ego4D_03cc49c3-a7d1-445b-9a2a-545c4fae6843_ep_example.npy"


@pytest.fixture(scope="module")
def episode():
    return build_episodes(make_reconstruction(), make_captions())[0][0]


@pytest.fixture(scope="module")
def goldens(shared_data):
    path = shared_data.parent / "goldens" / "vitra_golden.json"
    if not path.is_file():
        pytest.skip("The golden numbers of the official code are not on this machine.")
    return json.loads(path.read_text())["dataset_example"]


def test_masks_and_zeros(episode):
    values, mask = step_actions(episode)
    assert not mask[-1].any() and not values[-1].any()
    lost = np.arange(25)
    touched = (lost >= 9) & (lost < 14)  # a step needs both of its frames
    assert np.array_equal(mask[:-1, 0], ~touched[:-1])
    assert not values[touched][:, :51].any() and values[touched][:, 51:].any()
    states, state_mask = state(episode)
    assert np.array_equal(state_mask[:, 0], ~((lost >= 10) & (lost < 14)))
    assert not states[10:14, :61].any()


@pytest.mark.parametrize("frame", [0, 10])
def test_official_numbers(shared_data, goldens, frame):
    episode = read_official(shared_data / OFFICIAL, fps=30.0)
    golden = goldens[f"frame{frame}"]
    states, mask = state(episode)
    want = np.array(golden["state"])
    assert mask[frame].tolist() == [bool(value) for value in golden["state_mask"]] == [False, True]
    assert np.abs(states[frame, 61:] - want[61:]).max() < 1e-6
    steps, step_mask = step_actions(episode)
    assert step_mask[frame].tolist() == [False, True]
    assert np.abs(steps[frame, 51:] - golden["action_right"][0]).max() < 1e-6
    assert np.allclose(episode.fov_rad, golden["fov"], atol=1e-6)
    # Control: the neighbouring frame is much further off.
    assert np.abs(states[frame + 1, 61:] - np.array(golden["state"])[61:]).max() > 1e-3
