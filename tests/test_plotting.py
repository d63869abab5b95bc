"""Figures draw what they are given, in the right place and colour, with units, and leave other figures alone."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex
from reconstruction_motions import K_PX, hand_motion, moving_camera

from vitra_lib import plotting
from vitra_lib.contracts import HandTrack, Reconstruction, Segment, Segmentation
from vitra_lib.core.errors import BadInput, UnknownName
from vitra_lib.geometry.cameras import project


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


@pytest.fixture
def reconstruction() -> Reconstruction:
    times, right = hand_motion(0, 60)
    valid = np.ones(60, bool)
    valid[20:30] = False
    right = replace(right, is_valid=valid, is_observed=valid & (np.arange(60) != 40))
    camera, left = moving_camera(times), HandTrack.absent("left", 60)
    return Reconstruction("clip.mp4", "", 30.0, np.arange(60), times, camera, left, right)


def colours(ax) -> set[str]:
    return {to_hex(line.get_color()).upper() for line in ax.lines}


def test_colours_are_fixed_distinct_and_named():
    assert len(set(plotting.COLOURS.values())) == len(plotting.COLOURS)
    assert plotting.colour_of("left") == "#E69F00" and plotting.colour_of("right") == "#0072B2"
    with pytest.raises(UnknownName, match="legal"):
        plotting.colour_of("middle")


def test_the_top_view_shows_world_positions_and_breaks_at_gaps(reconstruction):
    ax = plotting.plot_paths_top(reconstruction)
    line = next(line for line in ax.lines if line.get_label() == "right wrist")
    world = reconstruction.t_world_wrist("right")
    np.testing.assert_allclose(line.get_xdata()[:20], world[:20, 0])
    np.testing.assert_allclose(line.get_ydata()[30:], world[30:, 2])
    assert np.isnan(line.get_xdata()[20:30]).all()
    assert plotting.COLOURS["left"] not in colours(ax)  # a hand that was never seen is not drawn
    assert "[m]" in ax.get_xlabel() and "[m]" in ax.get_ylabel()


def test_three_dimensions_have_equal_scales_and_up_is_up(reconstruction):
    ax = plotting.plot_paths_3d(reconstruction)
    spans = [np.ptp(limits) for limits in (ax.get_xlim(), ax.get_ylim(), ax.get_zlim())]
    np.testing.assert_allclose(spans, spans[0])
    line = next(line for line in ax.lines if line.get_label() == "right wrist")
    np.testing.assert_allclose(line.get_data_3d()[2][:20], -reconstruction.t_world_wrist("right")[:20, 1])
    assert all("[m]" in label for label in (ax.get_xlabel(), ax.get_ylabel(), ax.get_zlabel()))


def test_speed_has_its_cuts_and_segments():
    times = np.arange(60) / 30
    speed = np.abs(np.sin(times * 4))
    segment = Segment("right", 0, 24, 0.2, 0.3, 1.0, "speed-minima")
    cuts = {"right": np.array([0, 24, 60]), "left": np.zeros(0, int)}
    found = Segmentation((segment,), (), cuts, {"right": speed, "left": np.full(60, np.nan)}, "speed-minima")
    ax = plotting.plot_wrist_speed(found, times, "right")
    np.testing.assert_allclose(ax.lines[0].get_ydata(), speed)
    np.testing.assert_allclose([line.get_xdata()[0] for line in ax.lines[1:]], [0.0, 0.8, 2.0])
    assert len(ax.patches) == 1 and "[m/s]" in ax.get_ylabel() and "[s]" in ax.get_xlabel()
    unseen = plotting.plot_wrist_speed(found, times, "left")
    assert any("not seen" in text.get_text() for text in unseen.texts) and len(unseen.patches) == 0
    bars = plotting.plot_segments(found.segments, times)
    assert sum(len(collection.get_paths()) for collection in bars.collections) == 1


def test_skeletons_lie_on_the_joints_and_missing_hands_are_left_out(reconstruction):
    image = np.full((480, 640, 3), 90, np.uint8)
    before = image.copy()
    right = project(K_PX, reconstruction.right.joints_cam[0])
    ax = plotting.plot_skeletons(image, {"right": right, "left": np.full((21, 2), np.nan)})
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    np.testing.assert_allclose(dots[0].get_xydata(), right)
    assert len([line for line in ax.lines if line.get_marker() != "o"]) == 40
    assert ax.get_ylim() == (479.5, -0.5)
    np.testing.assert_array_equal(image, before)


def test_contact_sheets_hold_every_frame_in_order():
    images = [np.full((24, 32, 3), 40 * k, np.uint8) for k in range(5)]
    figure = plotting.plot_contact_sheet(images, [f"{k} s" for k in range(5)], columns=2)
    shown = [ax for ax in figure.axes if ax.images]
    assert [int(ax.images[0].get_array()[0, 0, 0]) for ax in shown] == [0, 40, 80, 120, 160]
    assert [ax.get_title() for ax in shown] == ["0 s", "1 s", "2 s", "3 s", "4 s"] and len(figure.axes) == 6
    with pytest.raises(BadInput):
        plotting.plot_contact_sheet([])
    with pytest.raises(BadInput, match="titles"):
        plotting.plot_contact_sheet(images, ["one"])


def test_a_summary_can_be_drawn_and_saved_with_equal_bytes(reconstruction, tmp_path):
    for name in ("a", "b"):
        figure = plotting.plot_reconstruction(reconstruction)
        assert len(figure.axes) == 4
        figure.savefig(tmp_path / f"{name}.png", metadata={"Software": None})
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_given_axes_are_used_and_returned(reconstruction):
    _, ax = plt.subplots()
    assert plotting.plot_confidence(reconstruction, ax) is ax and plotting.plot_paths_top(reconstruction, ax) is ax
    assert plt.rcParams["axes.grid"] is False  # the house style does not leak
