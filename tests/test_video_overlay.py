"""Drawing puts colour where it is told to, leaves the input alone, and survives points that are unknown or far away."""

import numpy as np
import pytest

from vitra_lib.video.overlay import SIDE_COLOURS, draw_label, draw_path, draw_skeleton, line_width_px

GREY = np.full((240, 320, 3), 90, np.uint8)


def hand(x: float, y: float, size: float) -> np.ndarray:
    """21 joints: the wrist at (x, y) and five straight fingers above it."""
    joints = [(x, y)]
    for finger in range(5):
        joints += [(x + size * (finger - 2) * 0.2, y - size * (0.4 + 0.2 * k)) for k in range(4)]
    return np.array(joints)


@pytest.mark.parametrize("side", ["left", "right"])
def test_skeleton_is_drawn_in_the_colour_of_the_hand(side):
    image = GREY.copy()
    joints = hand(160, 200, 120)
    drawn = draw_skeleton(image, joints, side)
    np.testing.assert_array_equal(image, GREY)
    other = "left" if side == "right" else "right"
    for x, y in joints:
        pixel = drawn[round(y), round(x)].astype(int)
        assert np.abs(pixel - SIDE_COLOURS[side]).max() < 12
        assert np.abs(pixel - SIDE_COLOURS[other]).max() > 60, "control: the other hand's colour"
    for a, b in ((0, 1), (0, 5), (5, 6), (19, 20)):
        x, y = (joints[a] + joints[b]) / 2
        assert np.abs(drawn[round(y), round(x)].astype(int) - SIDE_COLOURS[side]).max() < 30
    np.testing.assert_array_equal(drawn[:20], GREY[:20])


def test_alpha_blends():
    joints = hand(160, 200, 120)
    full, half = draw_skeleton(GREY, joints, "right"), draw_skeleton(GREY, joints, "right", alpha=0.5)
    assert np.abs(half.astype(float) - (full.astype(float) + GREY) / 2).max() <= 1
    np.testing.assert_array_equal(draw_skeleton(GREY, joints, "right", alpha=0.0), GREY)


def test_unknown_and_far_points_are_left_out():
    np.testing.assert_array_equal(draw_skeleton(GREY, np.full((21, 2), np.nan), "left"), GREY)
    joints = hand(160, 200, 120)
    joints[8] = np.nan
    joints[12] = (1e12, -1e12)
    drawn = draw_skeleton(GREY, joints, "left")
    x, y = joints[7]
    assert np.abs(drawn[round(y), round(x)].astype(int) - SIDE_COLOURS["left"]).max() < 12
    assert (drawn != draw_skeleton(GREY, hand(160, 200, 120), "left")).any()


def test_path_has_the_colour_of_its_time_and_a_mark_at_now():
    uv = np.stack([np.linspace(40, 280, 61), np.full(61, 120.0)], axis=1)
    colours = np.zeros((61, 3), np.uint8)
    colours[:30], colours[30:] = (255, 0, 0), (0, 0, 255)
    drawn = draw_path(GREY, uv, colours)
    assert tuple(drawn[120, 100]) == (255, 0, 0) and tuple(drawn[120, 220]) == (0, 0, 255)
    assert tuple(drawn[120, 40]) == (255, 0, 0)
    ring = draw_path(GREY, uv, colours, mark="none") != drawn
    assert ring[:, :60].any() and not ring[:, 60:].any()
    last = draw_path(GREY, uv, colours, mark="last") != draw_path(GREY, uv, colours, mark="none")
    assert last[:, 260:].any() and not last[:, :260].any()


def test_path_is_broken_at_unknown_points_and_may_be_empty():
    uv = np.array([[40.0, 120], [100, 120], [np.nan, np.nan], [200, 120], [280, 120]])
    drawn = draw_path(GREY, uv, np.tile(np.array([[255, 0, 0]], np.uint8), (5, 1)))
    assert tuple(drawn[120, 70]) == (255, 0, 0) and tuple(drawn[120, 240]) == (255, 0, 0)
    assert tuple(drawn[120, 150]) == (90, 90, 90)
    np.testing.assert_array_equal(draw_path(GREY, np.zeros((0, 2)), np.zeros((0, 3), np.uint8)), GREY)


def test_lines_grow_with_the_image():
    widths = [line_width_px(np.zeros((h, 2 * h, 3), np.uint8)) for h in (64, 240, 480, 1080, 2160)]
    assert widths == sorted(widths) and widths[0] == 1 and widths[-1] == 9


@pytest.mark.parametrize("corner", ["top-left", "top-right", "bottom-left", "bottom-right"])
def test_label_stands_in_its_corner(corner):
    drawn = draw_label(GREY, "right hand\nPick up the cup – ü.", corner)
    changed = (drawn != GREY).any(axis=2)
    rows, columns = np.nonzero(changed)
    assert (rows.min() == 0) == corner.startswith("top") and (rows.max() == 239) == corner.startswith("bottom")
    assert (columns.min() == 0) == corner.endswith("left") and (columns.max() == 319) == corner.endswith("right")
    assert drawn.max() > 200
    assert changed.mean() < 0.5


def test_long_label_fits_and_tiny_images_survive():
    assert draw_label(GREY, "word " * 60).shape == GREY.shape
    assert draw_label(np.zeros((4, 4, 3), np.uint8), "a").shape == (4, 4, 3)
    np.testing.assert_array_equal(GREY, np.full((240, 320, 3), 90, np.uint8))
