"""Figures about a robot's run: they show what they are given, where it was, and leave out what there was not."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from vitra_lib.plotting import (
    paths_picture,
    plot_chunks,
    plot_commands,
    plot_interventions,
    plot_latencies,
    plot_shares_of_cap,
)

TIMES = np.arange(30) / 30


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def test_a_wish_far_outside_does_not_set_the_scale() -> None:
    sent = np.sin(TIMES)[:, None] * np.ones(2)
    wished = np.where(TIMES[:, None] > 0.5, 50.0, sent)
    figure = plot_commands(TIMES, wished, sent, sent - 0.01, ["a", "b"])
    assert [ax.get_ylabel() for ax in figure.axes] == ["a [rad]", "b [rad]"]
    assert figure.axes[0].get_ylim()[1] < 2.0 and len(figure.axes[0].lines) == 3


def test_interventions_are_bars_where_they_were_in_the_colour_of_their_kind() -> None:
    flags = {"table": (TIMES > 0.2) & (TIMES < 0.4), "velocity": TIMES > 0.8, "lead": TIMES > 0.8}
    kinds = {"table": "braked", "velocity": "capped", "lead": "capped"}
    ax = plot_interventions(TIMES, flags, kinds, [("dive", 0.2, 0.4)])
    bars = [c for c in ax.collections if len(c.get_paths())]
    edges = bars[0].get_paths()[0].get_extents()
    assert edges.x0 == pytest.approx(TIMES[flags["table"]][0]) and edges.x1 == pytest.approx(0.4, abs=0.001)
    colours = [tuple(bar.get_facecolor()[0]) for bar in bars]
    assert colours[1] == colours[2] != colours[0]
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["braked", "capped"]
    assert [t.get_text() for t in ax.texts] == ["dive"]


def test_shares_of_a_cap_are_logarithmic_with_the_cap_at_one() -> None:
    ax = plot_shares_of_cap(TIMES, {"wished": 40 * TIMES, "sent": TIMES}, "speed / cap")
    assert ax.get_yscale() == "log" and ax.lines[-1].get_ydata()[0] == 1.0
    assert np.isnan(ax.lines[0].get_ydata()[0])  # nothing moved: no point rather than a point at zero


def test_chunks_and_latencies_show_every_one() -> None:
    ax = plot_chunks([(TIMES[:5], TIMES[:5]), (TIMES[3:9], TIMES[3:9])], {"sent": (TIMES, TIMES)}, "q [rad]")
    assert len(ax.lines) == 5 and ax.get_legend().get_texts()[0].get_text() == "chunks (2)"
    ax = plot_latencies({"echo": np.array([1.0, 2.0, 3.0]), "network": np.array([100.0, 120.0])})
    assert [t.get_text() for t in ax.texts] == ["2 ms", "110 ms"]


def test_paths_are_drawn_where_they_are_seen() -> None:
    image, K = np.zeros((60, 80, 3), np.uint8), np.array([[60.0, 0, 39.5], [0, 60, 29.5], [0, 0, 1]])
    path = np.array([[-0.2, 0.0, 1.0], [0.2, 0.0, 1.0]])
    drawn = paths_picture(image, K, [path], 80).image
    assert drawn[29:32, 30:50].any() and not drawn[:15].any() and not drawn[45:].any()
    assert not paths_picture(image, K, [], 80).image.any()
