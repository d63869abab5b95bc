"""The unified vectors: pack and unpack are inverses, masks are per number, slices are the published ones."""

import numpy as np
import pytest

from vitra_lib.core.errors import BadInput, UnknownName
from vitra_lib.dataset import ActionSpace


@pytest.mark.parametrize("action_type", ["angle", "keypoints"])
def test_unpack_undoes_pack(action_type):
    space, rng = ActionSpace(action_type), np.random.default_rng(0)
    mask = rng.random((5, 16, 2)) < 0.6
    action = rng.normal(size=(5, 16, space.action_dim))
    unified, wide = space.pack_action(action, mask)
    assert unified.shape == wide.shape == (5, 16, 192) and unified.dtype == np.float32
    back, back_mask = space.unpack_action(unified, wide)
    kept = np.repeat(mask, space.per_hand, axis=-1)
    assert np.array_equal(back_mask, mask)
    assert np.array_equal(back, np.where(kept, action, 0).astype(np.float32))
    assert not np.array_equal(back, action.astype(np.float32))  # control: what was masked is gone
    state = rng.normal(size=(5, space.state_dim))
    unified, wide = space.pack_state(state, np.ones((5, 2), bool))
    betas = state.reshape(5, 2, -1)[..., -10:]
    back, known = space.unpack_state(unified, wide, betas)
    assert np.allclose(back, state, atol=1e-6) and known.all() and unified.shape == (5, 212)


def test_published_places():
    space = ActionSpace()
    assert (space.per_hand, space.state_per_hand, space.action_dim, space.state_dim) == (51, 61, 102, 122)
    wanted = {
        "left_translation": (0, 3),
        "left_rotation": (3, 6),
        "left_6d": (0, 6),
        "left_fingers": (6, 51),
        "right_translation": (51, 54),
        "right_rotation": (54, 57),
        "right_6d": (51, 57),
        "right_fingers": (57, 102),
        "left": (0, 51),
        "right": (51, 102),
    }
    assert {name: (s.start, s.stop) for name, s in space.slices.items()} == wanted
    assert space.padding == {"action": slice(102, 192), "state": slice(102, 212)}
    points = ActionSpace("keypoints")
    assert (points.action_dim, points.state_dim) == (138, 158)
    assert points.slices["right_translation"].start == 69  # control: the official loss takes 51 here, which is wrong


def test_counts_of_a_mask():
    space = ActionSpace()
    mask = np.zeros((16, 2), bool)
    mask[:, 1] = True
    values, wide = space.pack_action(np.ones((16, 102)), mask)
    assert wide.sum() == values.sum() == 816 and not wide[:, :51].any() and not wide[:, 102:].any()
    _, wide = space.pack_state(np.ones(122), np.array([False, True]))
    assert wide.sum() == 51 and wide[51:102].all()


def test_a_state_is_packed_without_shapes():
    state = np.arange(122.0)
    unified, _ = ActionSpace().pack_state(state, np.ones(2, bool))
    assert unified[50] == 50 and unified[51] == 61 and unified[101] == 111 and not unified[102:].any()


def test_what_is_not_a_number_but_masked_is_zero():
    values, _ = ActionSpace().pack_action(np.full((1, 102), np.nan), np.array([[False, False]]))
    assert np.array_equal(values, np.zeros((1, 192), np.float32))


def test_bad_input_is_one_sentence():
    with pytest.raises(UnknownName, match="angle, keypoints"):
        ActionSpace("euler")
    with pytest.raises(BadInput, match="102 numbers, not 101"):
        ActionSpace().pack_action(np.zeros((1, 101)), np.ones((1, 2), bool))
