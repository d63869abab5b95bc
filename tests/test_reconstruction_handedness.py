"""Left or right: odd under mirroring, better than the tracker's own label on views it never saw."""

from pathlib import Path

import numpy as np
import pytest

from vitra_lib.core.errors import BadInput
from vitra_lib.reconstruction.handedness import _layers, features, log_odds, mirrored, relabel
from vitra_lib.reconstruction.handedness_training import load
from vitra_lib.reconstruction.identity import Sighting

HELD_OUT = Path(__file__).parent / "data" / "handedness_heldout.npz"


def held_out():
    """240 rendered views from clips that training never saw."""
    with np.load(HELD_OUT, allow_pickle=False) as file:
        return file["features"].astype(float), file["is_right"]


def test_mirroring_the_picture_negates_the_answer():
    x, _ = held_out()
    assert np.allclose(mirrored(mirrored(x)), x)
    assert np.allclose(log_odds(_layers(), mirrored(x)), -log_odds(_layers(), x), atol=1e-12)


def test_features_of_a_mirrored_picture_are_mirrored_features():
    rng = np.random.default_rng(0)
    uv, world, p = rng.uniform(50, 300, (5, 21, 2)), rng.normal(0, 0.05, (5, 21, 3)), rng.uniform(0.1, 0.9, 5)
    flipped_uv, flipped_world = uv * [-1, 1] + [640, 0], world * [-1, 1, 1]
    a = features(uv, world, p, 640.0, 480.0)
    b = features(flipped_uv, flipped_world, 1 - p, 640.0, 480.0)
    assert np.allclose(b, mirrored(a), atol=1e-9)


def test_it_is_right_more_often_than_the_tracker():
    x, is_right = held_out()
    ours = ((log_odds(_layers(), x) > 0) == is_right).mean()
    tracker = ((x[:, -1] > 0) == is_right).mean()  # the control
    assert ours > 0.92
    assert ours > tracker + 0.06


def test_size_and_place_alone_do_not_decide():
    """The shape features are free of size: a hand twice as large in the same place gets the same answer."""
    rng = np.random.default_rng(1)
    uv, world = rng.uniform(200, 300, (21, 2)), rng.normal(0, 0.05, (21, 3))
    palm = uv[[0, 5, 9, 13, 17]].mean(axis=0)
    small = Sighting(0, uv, world, 0.6)
    large = Sighting(0, palm + 2 * (uv - palm), world, 0.6)
    a, b = (relabel([s], 640, 480)[0] for s in (small, large))
    assert a.right_probability == pytest.approx(b.right_probability, abs=1e-9)
    assert np.array_equal(a.keypoints_px, uv) and 0 <= a.right_probability <= 1


def test_training_without_data_is_one_sentence(tmp_path):
    with pytest.raises(BadInput, match="vitra lifter render"):
        load(tmp_path)
