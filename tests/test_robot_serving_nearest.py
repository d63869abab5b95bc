"""The policy that looks demonstrations up, and the server in a thread that serves it."""

import threading

import numpy as np
import pytest

pytest.importorskip("websockets", reason="the package websockets isn't installed")

from robot_makers import make_tele  # noqa: E402

from robot.execution.askers import ask_here  # noqa: E402
from robot.serving.background import BackgroundServer  # noqa: E402
from robot.serving.client import ClientConfig, PolicyClient, RequestRefused  # noqa: E402
from robot.serving.hand_policy import fresh_policy  # noqa: E402
from robot.serving.nearest import NearestConfig, NearestDemonstration  # noqa: E402
from robot.serving.policies import CHUNK, EchoPolicy  # noqa: E402
from robot.serving.server import ServerConfig  # noqa: E402
from robot.teleop.statistics import tele_statistics  # noqa: E402
from robot.teleop.vectors import PER_HAND, tele_states, tele_steps  # noqa: E402
from vitra_lib.core.errors import BadInput  # noqa: E402
from vitra_lib.geometry.rotations import from_euler_xyz  # noqa: E402

RIGHT = np.array([False, True])


def observation(state: np.ndarray, hands: np.ndarray = RIGHT) -> dict:
    image = np.full((16, 16, 3), 90, np.uint8)
    return {"image": image, "instruction": "Right hand: Go on.", "fov_rad": np.ones(2), "state": state, "hands": hands}


def answer(policy: NearestDemonstration, state: np.ndarray, hands: np.ndarray = RIGHT) -> np.ndarray:
    return policy.infer([policy.prepare(observation(state, hands))])[0]["actions"]


def test_in_a_demonstrated_state_the_demonstrated_steps_come_back() -> None:
    episodes = [make_tele(seed, 40) for seed in (1, 2)]
    policy = NearestDemonstration(episodes, NearestConfig(tie=0.0))
    for which, episode in enumerate(episodes):
        states, _ = tele_states(episode)
        steps, _ = tele_steps(episode)
        for frame in (0, 7, 19):
            assert policy.nearest(states[frame], RIGHT) == (which, frame)
            got = answer(policy, states[frame])
            assert np.allclose(got[:, PER_HAND:], steps[frame : frame + CHUNK, PER_HAND:], atol=1e-6)
            assert np.isnan(got[:, :PER_HAND]).all()
            assert not np.allclose(got[:, PER_HAND:], steps[frame + 1 : frame + 1 + CHUNK, PER_HAND:], atol=1e-4)


def test_from_beside_the_way_it_leads_back_onto_it_within_its_steps() -> None:
    episode = make_tele(3, 40)
    policy, (states, _) = NearestDemonstration([episode], NearestConfig(tie=0.0)), tele_states(episode)
    beside, place, turn = states[5].copy(), slice(PER_HAND, PER_HAND + 3), slice(PER_HAND + 3, PER_HAND + 6)
    beside[place] += [0.004, -0.003, 0.002]
    beside[turn] += [0.02, 0.01, -0.03]
    got, frame = answer(policy, beside).astype(float), policy.nearest(beside, RIGHT)[1]
    ends = beside[place] + np.cumsum(got[:, place], axis=0)
    off = np.linalg.norm(ends - states[frame + 1 : frame + 1 + CHUNK, place], axis=1)
    assert np.allclose(off[3:], 0, atol=1e-6) and (np.diff(off[:4]) < -1e-4).all()
    R = from_euler_xyz(beside[turn])
    for step in got[:6, turn]:
        R = from_euler_xyz(step) @ R
    assert np.allclose(R, from_euler_xyz(states[frame + 6, turn]), atol=1e-5)


def test_at_its_end_it_stays_and_a_pause_is_left() -> None:
    episode = make_tele(4, 30)
    policy, (states, _) = NearestDemonstration([episode]), tele_states(episode)
    last = answer(policy, states[-1])
    assert np.abs(last[:, PER_HAND : PER_HAND + 6]).max() < 1e-6
    still = NearestDemonstration([make_tele(4, 30)], NearestConfig(tie=1e9))
    assert still.nearest(states[0], RIGHT) == (0, 29)  # all frames count as a pause: the last one is taken
    assert policy.nearest(states[0], RIGHT)[1] < 29


def test_hands_that_nobody_showed_are_refused_and_rates_must_agree() -> None:
    policy = NearestDemonstration([make_tele(1, 20)])
    with pytest.raises(BadInput, match="No demonstration shows the left hand"):
        policy.prepare(observation(np.zeros(36), np.array([True, False])))
    with pytest.raises(BadInput, match="one frame rate"):
        NearestDemonstration([])


def test_a_server_in_a_thread_serves_it_and_ends() -> None:
    episode = make_tele(1, 30)
    policy, (states, _) = NearestDemonstration([episode]), tele_states(episode)
    with BackgroundServer(policy) as served:
        assert served.is_running and served.server.metrics is not None
        with PolicyClient(ClientConfig(port=served.port, deadline_s=10.0)) as client:
            assert client.metadata["fps"] == episode.fps
            asked = observation(states[3])
            assert np.array_equal(client.infer(asked).content["actions"], answer(policy, states[3]), equal_nan=True)
            with pytest.raises(RequestRefused, match="left"):
                client.infer(asked | {"hands": np.array([True, False])})
    assert not served.is_running


def test_a_port_that_is_taken_is_one_sentence_and_leaves_no_thread() -> None:
    before = threading.active_count()
    with BackgroundServer(EchoPolicy()) as served:
        with pytest.raises(BadInput, match="use another port"):
            BackgroundServer(EchoPolicy(), ServerConfig(port=served.port)).__enter__()
    assert threading.active_count() <= before


def test_asking_here_is_asking_and_takes_as_many_steps_as_wanted() -> None:
    policy, (states, _) = NearestDemonstration([make_tele(1, 30)]), tele_states(make_tele(1, 30))
    whole = ask_here(policy)(observation(states[2]), np.zeros((0, 36)))
    assert np.array_equal(whole, answer(policy, states[2]).astype(float), equal_nan=True)
    assert np.array_equal(ask_here(policy, 5)(observation(states[2]), np.zeros((0, 36))), whole[:5], equal_nan=True)


def test_fresh_networks_answer_with_numbers_that_mean_nothing() -> None:
    episode = make_tele(1, 30)
    states, _ = tele_states(episode)
    policy = fresh_policy(tele_statistics([episode]))
    asked = observation(states[2])
    first, again, other = (policy.infer([policy.prepare(asked | {"seed": seed})])[0]["actions"] for seed in (0, 0, 1))
    assert first.shape == (CHUNK, 36) and np.isfinite(first[:, PER_HAND:]).all() and np.isnan(first[:, :PER_HAND]).all()
    assert np.array_equal(first, again, equal_nan=True)
    assert not np.array_equal(first, other, equal_nan=True)  # noise in, noise out
