"""Colours change within their limits, and hardly their hue where the caption names one."""

import cv2
import numpy as np
import pytest

from vitra_lib.core.errors import BadInput
from vitra_lib.dataset.colour import COLOUR_WORDS, ColourConfig, change_colours, names_a_colour

MIDDLE = np.array([0.0, 0.5, 0.5, 0.5, 0.5])  # change, but by nothing


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def test_words():
    assert all(names_a_colour(f"Take the {word} cup.") for word in COLOUR_WORDS) and len(COLOUR_WORDS) == 28
    assert names_a_colour("RED.") and not names_a_colour("The scattered, greenish, blackened goldfish")


def test_nothing_changes_where_nothing_is_drawn(image):
    assert change_colours(image, "", np.array([0.9, 0, 0, 0, 0]), ColourConfig()) is image
    same = change_colours(image, "", MIDDLE, ColourConfig())
    assert np.abs(same.astype(int) - image).max() <= 8  # uint8 hue and saturation are that coarse
    assert np.abs(same.astype(int) - image).mean() < 1.5


def test_brightness_and_contrast_are_what_they_say(image):
    grey = np.full((4, 4, 3), 102, np.uint8)
    brighter = change_colours(grey, "", np.array([0, 1, 0.5, 0.5, 0.5]), ColourConfig())
    assert abs(int(brighter[0, 0, 0]) - 255 * 0.7) <= 1
    harder = change_colours(grey, "", np.array([0, 0.5, 1, 0.5, 0.5]), ColourConfig())
    assert abs(int(harder[0, 0, 0]) - 255 * ((0.4 - 0.5) * 1.3 + 0.5)) <= 1


@pytest.mark.parametrize(("caption", "largest"), [("Take the red cup.", 180 * 0.04), ("Take the cup.", 180 * 0.3)])
def test_hue_turns_as_far_as_the_caption_allows(caption, largest):
    image = np.zeros((1, 1, 3), np.uint8)
    image[0, 0] = cv2.cvtColor(np.array([[[90, 200, 200]]], np.uint8), cv2.COLOR_HSV2RGB)[0, 0]
    turned = change_colours(image, caption, np.array([0, 0.5, 0.5, 0.5, 1.0]), ColourConfig())
    hue = int(cv2.cvtColor(turned, cv2.COLOR_RGB2HSV)[0, 0, 0])
    assert abs(hue - 90 - largest) <= 2
    other = 180 * 0.3 if "red" in caption else 180 * 0.04
    assert abs(hue - 90 - other) > 20  # control


def test_the_input_is_not_changed_and_limits_are_checked(image):
    before = image.copy()
    change_colours(image, "", np.array([0, 0.1, 0.2, 0.9, 0.7]), ColourConfig())
    assert np.array_equal(image, before)
    with pytest.raises(BadInput, match="hue is 1.5"):
        ColourConfig(hue=1.5)
