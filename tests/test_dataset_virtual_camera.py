"""The virtual camera: the official draws, and what every draw must keep."""

from dataclasses import replace

import numpy as np
import pytest

from vitra_lib.core.errors import BadInput
from vitra_lib.dataset.virtual_camera import ViewConfig, draw_aspect, draw_virtual_cameras

# Given by the official code (commit c68b65e) for numpy.random.default_rng(seed), rounded to five decimals.
SOURCE_K = np.array([[0.9, 0, 0.5], [0, 1.2, 0.5], [0, 0, 1]])
UV = np.array([[0.4, 0.5], [0.55, 0.6], [0.62, 0.7]])
CONFIG = ViewConfig(official_roll=True)
OFFICIAL = [
    (1.0, 1.23017, 1.23017, [[0.99816, 0.03084, 0.05221], [-0.03083, 0.99952, -0.00091], [-0.05221, -0.0007, 0.99864]]),
    (1.5, 1.03967, 1.55951, [[-0.99727, 0.05113, 0.05323], [0.05409, 0.99698, 0.05581], [0.05022, -0.05854, 0.99702]]),
    (1.9, 1.11178, 2.11239, [[0.98834, 0.15147, 0.01526], [-0.14842, 0.98103, -0.12467], [-0.03385, 0.12095, 0.99208]]),
    (1.2, 1.18666, 1.42399, [[-0.9982, 0.0162, -0.0577], [0.01815, 0.99928, -0.03339], [-0.05712, 0.03437, 0.99778]]),
]


def boxes(uv: np.ndarray) -> np.ndarray:
    """(samples, 4) boxes around (samples, points, 2) image points."""
    return np.concatenate([uv.min(1), uv.max(1)], axis=1)


@pytest.mark.parametrize("seed", range(4))
def test_official_draws(seed):
    aspect, fx, fy, R = OFFICIAL[seed]
    u = np.random.default_rng(seed).random((1, 5))
    view = draw_virtual_cameras(SOURCE_K[None], boxes(UV[None]), np.array([aspect]), u, 224, CONFIG)
    assert np.allclose(view.K[0], [[fx, 0, 0.5], [0, fy, 0.5], [0, 0, 1]], atol=6e-6)
    assert np.allclose(view.R_view_cam[0], R, atol=6e-6)
    assert view.is_flipped[0] == (seed in (1, 3)) and view.size_px[0].tolist() == [int(224 * aspect), 224]
    # Control: the same numbers in another order give another camera.
    other = draw_virtual_cameras(SOURCE_K[None], boxes(UV[None]), np.array([aspect]), u[:, ::-1], 224, CONFIG)
    assert not np.allclose(other.K[0], view.K[0], atol=1e-3)


@pytest.fixture(scope="module")
def many():
    """800 cameras, some with an off-centre principal point, and the palm's box of each."""
    rng = np.random.default_rng(5)
    count = 800
    K = np.zeros((count, 3, 3))
    K[:, 0, 0], K[:, 1, 1], K[:, 2, 2] = rng.uniform(0.4, 1.5, count), rng.uniform(0.5, 1.8, count), 1
    K[:, :2, 2] = 0.5 + rng.uniform(-0.1, 0.1, (count, 2)) * (rng.random((count, 1)) < 0.5)
    middle, half = rng.uniform(0.3, 0.7, (count, 2)), rng.uniform(0, 0.15, (count, 2))
    box = np.concatenate([middle - half, middle + half], axis=1)
    aspect = draw_aspect(rng.random(count), ViewConfig())
    views = draw_virtual_cameras(K, box, aspect, rng.random((count, 5)), 224, ViewConfig(margin=0.0))
    return K, box, views, aspect


def to_source(K, views, points):
    """View coordinates to source coordinates, normalised."""
    H = K @ np.linalg.inv(views.R_view_cam) @ np.linalg.inv(views.K)
    rays = np.concatenate([points, np.ones((len(points), 1))], axis=1) @ np.swapaxes(H, 1, 2)
    return rays[..., :2] / rays[..., 2:]


def test_rotations_are_rotations_and_mirrors_are_mirrors(many):
    _, _, views, aspect = many
    eye = views.R_view_cam @ np.swapaxes(views.R_view_cam, 1, 2)
    assert np.allclose(eye, np.eye(3), atol=1e-12)
    assert np.allclose(np.linalg.det(views.R_view_cam), np.where(views.is_flipped, -1, 1))
    assert 0.4 < views.is_flipped.mean() < 0.6
    assert np.allclose(views.K[:, 1, 1] / views.K[:, 0, 0], aspect)  # square pixels
    assert np.allclose(views.K_px[:, 1, 2], 112)
    assert np.allclose(views.fov_rad, 2 * np.arctan(0.5 / views.K[:, [0, 1], [0, 1]]))


def test_views_stay_inside_the_source_image(many):
    K, box, views, aspect = many
    corners = to_source(K, views, np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]]))
    assert corners.min() > -1e-9 and corners.max() < 1 + 1e-9
    assert np.abs(np.arctan2(views.R_view_cam[:, 1, 0], views.R_view_cam[:, 1, 1])).mean() > 0.02  # some do roll
    # Control: bounded as in the official sampler, many views have black corners.
    official = draw_virtual_cameras(K, box, aspect, np.random.default_rng(6).random((len(K), 5)), 224, CONFIG)
    corners = to_source(K, official, np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]]))
    assert np.mean(np.maximum(-corners, corners - 1).max((1, 2)) > 0.01) > 0.2


def test_the_palm_stays_in_view(many):
    K, box, views, _ = many
    back = np.linalg.inv(K @ np.linalg.inv(views.R_view_cam) @ np.linalg.inv(views.K))
    middle = (box[:, :2] + box[:, 2:]) / 2
    rays = np.einsum("nij,nj->ni", back, np.concatenate([middle, np.ones((len(middle), 1))], axis=1))
    seen = rays[:, :2] / rays[:, 2:]
    inside = ((seen >= 0) & (seen <= 1)).all(1)
    assert inside.mean() > 0.99, inside.mean()
    shuffled = np.einsum("nij,nj->ni", back, np.concatenate([middle[::-1], np.ones((len(middle), 1))], axis=1))
    shuffled = shuffled[:, :2] / shuffled[:, 2:]
    assert ((shuffled >= 0) & (shuffled <= 1)).all(1).mean() < 0.97  # control: another sample's palm


def test_a_batch_is_its_samples_one_by_one(many):
    K, box, _, aspect = many
    u = np.random.default_rng(9).random((8, 5))
    whole = draw_virtual_cameras(K[:8], box[:8], aspect[:8], u, 224, ViewConfig())
    for i in range(8):
        one = slice(i, i + 1)
        alone = draw_virtual_cameras(K[one], box[one], aspect[one], u[one], 224, ViewConfig())
        assert np.array_equal(alone.K[0], whole.K[i]) and np.array_equal(alone.R_view_cam[0], whole.R_view_cam[i])


def test_limits_hold_and_are_checked():
    config = ViewConfig(flip_probability=0.0, aspect=(1.0, 1.0), max_roll_rad=0.0)
    u = np.random.default_rng(0).random((200, 5))
    point = np.full((200, 4), 0.5)
    views = draw_virtual_cameras(np.repeat(SOURCE_K[None], 200, axis=0), point, np.ones(200), u, 100, config)
    assert not views.is_flipped.any() and (views.size_px == 100).all()
    assert np.array_equal(draw_aspect(u[:, 0], config), np.ones(200))
    always = draw_virtual_cameras(
        SOURCE_K[None], point[:1], np.ones(1), u[:1], 100, replace(config, flip_probability=1.0)
    )
    assert always.is_flipped.all()
    for wrong in ({"aspect": (2.0, 1.0)}, {"fov_rad": (1.0, 4.0)}, {"margin": -0.1}, {"min_overlap": 1.5}):
        with pytest.raises(BadInput):
            ViewConfig(**wrong)
