"""Pictures with named things: things stand where the labels say, the hand does not tell where, and files keep them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vitra_lib.core.errors import BadInput
from vitra_lib.geometry.cameras import K_from_focal, project
from vitra_lib.pipeline.world_pictures import NamedPictures, WorldPicturesConfig, draw_world_pictures
from vitra_lib.tabletop.catalog import COLOURS

CONFIG = WorldPicturesConfig.tiny(12, 40)
STRONG = ("red", "green", "blue", "yellow", "purple", "turquoise", "pink")


@pytest.fixture(scope="module")
def pictures() -> NamedPictures:
    """Twelve pictures of three clips."""
    return draw_world_pictures(CONFIG)


def tint(rgb: np.ndarray) -> np.ndarray:
    """A colour without its brightness."""
    centred = rgb - rgb.mean(-1, keepdims=True)
    return centred / np.maximum(np.linalg.norm(centred, axis=-1, keepdims=True), 1e-9)


def test_a_thing_has_its_colour_where_the_labels_say_it_stands(pictures: NamedPictures) -> None:
    """Most things of a strong colour show it at their place; at the other thing's place (the control) few do."""
    height, width = pictures.images.shape[1:3]
    here, there = [], []
    for image, fov, places, sentences in zip(
        pictures.images, pictures.fov_rad, pictures.places_cam, pictures.sentences, strict=True
    ):
        K_px = K_from_focal(0.5 * width / float(np.tan(0.5 * fov[0])), width, height)
        uv = project(K_px, places - [0.0, 0.02, 0.0])  # a little above the base
        for thing, sentence in enumerate(sentences):
            colour = sentence.split("the ")[1].split()[0]
            inside = (uv >= 2).all() and (uv < [width - 2, height - 2]).all()
            if colour not in STRONG or not inside:
                continue
            wanted = tint(np.array(COLOURS[colour], float))
            for k, found in ((thing, here), (1 - thing, there)):
                x, y = uv[k].astype(int)
                patch = tint(image[y - 2 : y + 3, x - 2 : x + 3].reshape(-1, 3).astype(float))
                found.append(np.median(patch @ wanted) > 0.8)
    assert len(here) >= 6
    assert np.mean(here) > 0.6 > 0.4 > np.mean(there)


def test_pictures_of_one_clip_have_the_same_things_in_other_places(pictures: NamedPictures) -> None:
    assert len(pictures) == 12
    assert len(set(pictures.sentences[:4])) == 1 and pictures.sentences[0] != pictures.sentences[4]
    apart = np.linalg.norm(pictures.places_cam[:, 0] - pictures.places_cam[:, 1], axis=1)
    assert apart.min() > 0.08  # things do not stand in each other
    assert np.linalg.norm(np.diff(pictures.places_cam[:4, 0], axis=0), axis=1).min() > 0.01


def test_the_same_twice_and_a_file_keeps_them(pictures: NamedPictures, tmp_path: Path) -> None:
    again = draw_world_pictures(replace(CONFIG, pictures=5))
    np.testing.assert_array_equal(again.images, pictures.images[:5])
    again.save(tmp_path / "pictures.npz")
    kept = NamedPictures.read(tmp_path / "pictures.npz")
    np.testing.assert_array_equal(kept.places_cam, again.places_cam)
    assert kept.sentences == again.sentences
    other = draw_world_pictures(WorldPicturesConfig.tiny(1, 50))
    assert not np.array_equal(other.images[0], again.images[0])  # the control: another seed, another scene


def test_what_can_not_be_asked_for(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="at least 1"):
        replace(CONFIG, pictures=0)
    with pytest.raises(BadInput, match="1 or more, not 0"):
        draw_world_pictures(CONFIG, workers=0)
    (tmp_path / "broken.npz").write_bytes(b"nothing")
    with pytest.raises(BadInput, match="holds no pictures"):
        NamedPictures.read(tmp_path / "broken.npz")
