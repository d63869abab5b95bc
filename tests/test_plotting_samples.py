"""Pictures of training samples: sizes, rows, outlines, masked numbers."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from vitra_lib.core.errors import BadInput
from vitra_lib.dataset import ActionSpace, VirtualCameras
from vitra_lib.plotting import plot_action, shelf_picture, view_picture


def test_a_shelf_breaks_its_rows_and_keeps_shapes():
    images = [np.full((100, width, 3), 80, np.uint8) for width in (100, 200, 150)]
    sheet = shelf_picture(images, ["a", "b", "c"], height_px=50, width_px=170).image
    assert sheet.shape == (106, 170, 3)
    assert (sheet[30, :50] < 200).all() and (sheet[30, 56:156] < 200).all() and (sheet[30, 160:] == 255).all()
    assert (sheet[90, :75] < 200).all() and (sheet[90, 80:] == 255).all()
    with pytest.raises(BadInput, match="as many titles"):
        shelf_picture(images, ["a"])


def test_a_view_that_is_the_source_is_outlined_at_its_border():
    K = np.array([[0.9, 0, 0.5], [0, 1.2, 0.5], [0, 0, 1.0]])
    narrow = K.copy()
    narrow[:2, :2] *= 2  # half the size: its frame is the middle half of the source
    views = VirtualCameras(narrow[None], np.eye(3)[None], np.array([False]), np.array([[10, 10]]))
    image = np.full((60, 80, 3), 128, np.uint8)
    drawn = view_picture(image, K, views, width_px=160).image
    changed = np.argwhere((drawn != 128).any(2))
    assert np.abs(changed.min(0) - [30, 40]).max() <= 4 and np.abs(changed.max(0) - [90, 120]).max() <= 4
    none = VirtualCameras(np.zeros((0, 3, 3)), np.zeros((0, 3, 3)), np.zeros(0, bool), np.zeros((0, 2), int))
    assert (view_picture(image, K, none, width_px=160).image == 128).all()  # control: no view, no line


def test_masked_numbers_are_not_drawn():
    action, mask = np.ones((16, 192)), np.zeros((16, 192), bool)
    mask[:, :51] = True
    space = ActionSpace()
    ax = plot_action(action, mask, {"left": space.slices["left"], "right": space.slices["right"]})
    shown = ax.images[0].get_array()
    assert np.ma.filled(np.ma.masked_invalid(shown)[:, :51], np.nan).min() == 1.0
    assert np.isnan(np.ma.filled(np.ma.masked_invalid(shown)[:, 51:], np.nan)).all()
    assert [text.get_text() for text in ax.texts] == ["left", "right"]
    plt.close("all")
