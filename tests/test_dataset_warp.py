"""The warped image: identity, mirror, a known homography, and the two ways to resample."""

import numpy as np
import pytest

from vitra_lib.core.errors import BadInput, UnknownName
from vitra_lib.dataset.warp import warp
from vitra_lib.geometry.rotations import exp

K = np.array([[0.9, 0, 0.5], [0, 1.2, 0.5], [0, 0, 1]])
MIRROR = np.diag([-1.0, 1.0, 1.0])


@pytest.fixture(scope="module")
def image():
    """A smooth random picture."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:120, :160] / 120
    waves = [np.sin(rng.uniform(2, 14, 3) * x[..., None] + rng.uniform(2, 14, 3) * y[..., None]) for _ in range(4)]
    return np.clip(127 + 40 * sum(waves), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("resampling", ["linear", "lanczos"])
def test_the_same_camera_gives_the_same_image(image, resampling):
    same = warp(image, K, K, np.eye(3), np.array([160, 120]), resampling)
    assert np.abs(same.astype(int) - image).max() <= 1
    flipped = warp(image, K, K, MIRROR, np.array([160, 120]), resampling)
    assert np.abs(flipped.astype(int) - image[:, ::-1]).max() <= 1
    again = warp(flipped, K, K, MIRROR, np.array([160, 120]), resampling)
    assert np.abs(again.astype(int) - image).max() <= 2
    assert np.abs(flipped.astype(int) - image).max() > 50  # control


@pytest.mark.parametrize("size", [(80, 60), (224, 168), (100, 60)])
@pytest.mark.parametrize("resampling", ["linear", "lanczos"])
def test_a_dot_lands_where_the_camera_says(size, resampling):
    image = np.zeros((368, 480, 3), np.uint8)
    y, x = np.mgrid[:368, :480]
    place = np.array([262.0, 151.0])
    image[...] = (255 * np.exp(-((x - place[0]) ** 2 + (y - place[1]) ** 2) / 50))[..., None]
    R = MIRROR @ exp(np.array([0.1, -0.15, 0.2]))
    K_view = np.array([[1.2, 0, 0.5], [0, 1.6, 0.5], [0, 0, 1]])
    seen = warp(image, K, K_view, R, np.array(size), resampling)[..., 0].astype(float)
    ray = np.linalg.inv(K) @ [*(place + 0.5) / [480, 368], 1]
    wanted = K_view @ R @ ray
    wanted = wanted[:2] / wanted[2] * size - 0.5
    grid = np.mgrid[: size[1], : size[0]]
    found = np.array([(seen * grid[1]).sum(), (seen * grid[0]).sum()]) / seen.sum()
    assert np.linalg.norm(found - wanted) < 0.15
    unmirrored = K_view @ MIRROR @ R @ ray
    assert np.linalg.norm(found - (unmirrored[:2] / unmirrored[2] * size - 0.5)) > 3  # control


def test_outside_is_black_and_resamplings_agree(image):
    wide = K * np.array([[0.5], [0.5], [1]]) + np.array([[0, 0, 0.25], [0, 0, 0.25], [0, 0, 0]])
    seen = {way: warp(image, K, wide, np.eye(3), np.array([160, 120]), way) for way in ("linear", "lanczos")}
    assert not seen["linear"][:25].any() and not seen["lanczos"][:25].any()
    inside = (slice(34, 86), slice(44, 116))
    difference = np.abs(seen["linear"][inside].astype(int) - seen["lanczos"][inside])
    assert difference.mean() < 1.5
    shifted = np.abs(seen["linear"][inside].astype(int) - np.roll(seen["lanczos"], 1, axis=1)[inside])
    assert shifted.mean() > 3  # control: one pixel off


def test_bad_input_is_one_sentence(image):
    with pytest.raises(UnknownName, match="linear, lanczos"):
        warp(image, K, K, np.eye(3), np.array([10, 10]), "nearest")
    with pytest.raises(BadInput, match="0 x 10 px"):
        warp(image, K, K, np.eye(3), np.array([0, 10]))
    with pytest.raises(BadInput, match="not finite"):
        warp(image, K, np.diag([np.nan, 1, 1]), np.eye(3), np.array([10, 10]))
