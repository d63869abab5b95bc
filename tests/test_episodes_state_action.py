"""State and step actions: the official numbers, and their replay."""

import json

import numpy as np
import pytest
from episodes_makers import make_captions, make_reconstruction

from vitra_lib.episodes import action_chunk, build_episodes, read_official, replay_wrist, state, step_actions
from vitra_lib.geometry.rotations import geodesic_angle

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


@pytest.mark.parametrize("side", ["left", "right"])
def test_replaying_actions_gives_the_wrist_track_back(episode, side):
    start, length = (14, 10) if side == "left" else (0, 24)
    actions, mask = action_chunk(episode, start, length)
    assert mask[:, ["left", "right"].index(side)].all()
    R, t = replay_wrist(state(episode)[0][start], actions, side)
    camera = episode.T_cam_world[start]
    window = slice(start, start + length + 1)
    want_t = episode.hand(side).t_world_wrist[window] @ camera[:3, :3].T + camera[:3, 3]
    want_R = camera[:3, :3] @ episode.hand(side).R_world_wrist[window]
    assert np.abs(t - want_t).max() < 1e-9
    assert geodesic_angle(R, want_R).max() < 1e-7  # arc cosine of a product of rotations: sqrt of the rounding
    assert np.abs(R - want_R).max() < 1e-9
    # Control: steps of each frame's own camera, played in the first one, do not.
    own = step_actions(episode)[0][start : start + length]
    assert np.abs(replay_wrist(state(episode)[0][start], own, side)[1] - want_t).max() > 1e-4


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
    chunk, chunk_mask = action_chunk(episode, 20, 16)
    assert chunk.shape == (16, 102) and chunk_mask[:4].all() and not chunk_mask[4:].any()


def test_a_step_of_the_store_is_the_first_of_a_chunk(episode):
    values, mask = step_actions(episode)
    for frame in (0, 7, 23, 24):
        chunk, chunk_mask = action_chunk(episode, frame, 3)
        assert np.allclose(values[frame], chunk[0], atol=1e-12) and np.array_equal(mask[frame], chunk_mask[0])


@pytest.mark.parametrize("frame", [0, 10])
def test_official_numbers(shared_data, goldens, frame):
    episode = read_official(shared_data / OFFICIAL, fps=30.0)
    golden = goldens[f"frame{frame}"]
    states, mask = state(episode)
    want = np.array(golden["state"])
    assert mask[frame].tolist() == [bool(value) for value in golden["state_mask"]] == [False, True]
    assert np.abs(states[frame, 61:] - want[61:]).max() < 1e-6
    chunk, chunk_mask = action_chunk(episode, frame, 16)
    golden_mask = np.array(golden["action_mask_right"], bool)
    assert np.array_equal(chunk_mask[:, 1], golden_mask) and not chunk_mask[:, 0].any()
    want = np.array(golden["action_right"])[golden_mask]
    assert np.abs(chunk[golden_mask, 51:] - want).max() < 1e-6
    assert np.allclose(episode.fov_rad, golden["fov"], atol=1e-6)
    # Control: the neighbouring frame is much further off.
    assert np.abs(states[frame + 1, 61:] - np.array(golden["state"])[61:]).max() > 1e-3
