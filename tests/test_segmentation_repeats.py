"""Repeated motion: found where it is, not found where it isn't, merged only when the words agree."""

import dataclasses

import numpy as np
import pytest
from segmentation_tracks import MadeTrack, Noise, actions, reconstruction_of, with_noise

from vitra_lib.contracts import Caption, Repeat, Segment
from vitra_lib.core.errors import BadInput
from vitra_lib.segmentation import SegmentationConfig, WristPath, merge_repeats, merged_cuts, segment, segment_path


def minimum_jerk(u: np.ndarray) -> np.ndarray:
    u = np.clip(u, 0, 1)
    return 10 * u**3 - 15 * u**4 + 6 * u**5


def wiping(strokes: int = 8, fps: float = 30.0, drift_m: float = 0.01, stroke_s: float = 0.8) -> MadeTrack:
    """A reach, strokes to and fro that move sideways a little, and a way back."""
    time_s = np.arange(round((strokes * stroke_s + 3) * fps)) / fps
    moves = [(0.0, 1.0, [0.3, 0.2, 0.0])]
    moves += [(1.0 + k * stroke_s, stroke_s, [0.18 * (-1) ** k, drift_m, 0.0]) for k in range(strokes)]
    moves += [(1.0 + strokes * stroke_s, 1.2, [-0.2, -0.1, 0.25])]
    position = np.tile([0.0, 0.0, 0.5], (len(time_s), 1))
    for begin, length, way in moves:
        position = position + minimum_jerk((time_s - begin) / length)[:, None] * way
    boundaries = np.searchsorted(time_s, [begin for begin, _, _ in moves[1:]])
    return MadeTrack(time_s, position, np.ones(len(time_s), bool), boundaries)


@pytest.mark.parametrize("fps", [12, 24, 30, 50, 60])
def test_wiping_is_cut_at_its_strokes_and_reported_as_one_repeat(fps):
    made = wiping(fps=fps)
    found = segment(reconstruction_of(made))
    np.testing.assert_allclose(found.cuts["right"][1:10], made.boundaries, atol=max(2, 0.07 * fps))
    (repeat,) = found.repeats
    assert (repeat.side, repeat.strokes, repeat.period) == ("right", 8, 2)
    assert abs(repeat.start / fps - 1.0) < 0.1 and abs(repeat.stop / fps - 7.4) < 0.1
    merged = merged_cuts(found, "right")
    assert len(merged) == len(found.cuts["right"]) - 7
    assert {repeat.start, repeat.stop} <= set(merged.tolist())


def test_stirring_in_circles_has_period_one():
    time_s = np.arange(300) / 30
    turn = time_s + 0.12 * np.sin(2 * np.pi * time_s)  # once per turn the hand is slow
    position = 0.1 * np.stack([np.cos(2 * np.pi * turn), np.sin(2 * np.pi * turn), 0 * turn], axis=1)
    found = segment_path(WristPath(time_s, position, np.ones(300, bool)), config=SegmentationConfig(min_pause_s=0))
    (repeat,) = found.repeats
    assert repeat.period == 1 and repeat.strokes >= 7


def test_noise_and_a_stroke_gone_wrong_do_not_break_it():
    made = wiping(12)
    noisy = segment(reconstruction_of(with_noise(made, Noise(white_m=0.002, drift_m=0.005), 3)))
    assert max(r.strokes for r in noisy.repeats) >= 9
    position = made.position.copy()
    during = (made.time_s > 5.0) & (made.time_s < 5.8)  # the sixth stroke is done with a bow
    position[during, 2] += 0.12 * np.sin(np.pi * (made.time_s[during] - 5.0) / 0.8) ** 2
    found = segment(reconstruction_of(dataclasses.replace(made, position=position)))
    assert max(r.strokes for r in found.repeats) >= 11


@pytest.mark.parametrize("seed", range(6))
def test_actions_that_differ_are_no_repeat(seed):
    assert segment(reconstruction_of(actions(seed))).repeats == ()
    assert segment(reconstruction_of(wiping()), SegmentationConfig(repeat_shape=0)).repeats == (), "0 never looks"


def test_strokes_in_another_place_do_not_repeat():
    assert segment(reconstruction_of(wiping(drift_m=0.15))).repeats == ()


def piece(start: int, stop: int, text: str, side: str = "right", **more) -> Caption:
    made = Segment(side, start, stop, 0.1 * (stop - start), 3.0, 1.0, "speed-minima")
    return Caption(made, text, more.pop("is_na", False), "openai:x", more.pop("is_weak", False), **more)


def merged(captions: list[Caption], repeats=None) -> list[tuple]:
    segments, words = merge_repeats([c.segment for c in captions], captions, repeats)
    assert [c.segment for c in words] == list(segments)
    return [(s.side, s.start, s.stop, c.text) for s, c in zip(segments, words, strict=True)]


def test_equal_words_of_neighbours_are_merged_and_nothing_else():
    said = [
        piece(0, 20, "Reach."),
        piece(20, 40, "Wipe the table."),
        piece(25, 60, "Wipe the table.", "left"),
        piece(40, 70, "wipe the  table"),
        piece(70, 90, "Wipe the table.", is_na=True),
        piece(90, 110, "Wipe the table."),
        piece(115, 140, "Wipe the table."),
    ]
    assert merged(said) == [
        ("right", 0, 20, "Reach."),
        ("right", 20, 70, "Wipe the table."),
        ("left", 25, 60, "Wipe the table."),
        ("right", 70, 90, "Wipe the table."),
        ("right", 90, 110, "Wipe the table."),
        ("right", 115, 140, "Wipe the table."),
    ]
    weak = [piece(0, 20, "Move.", is_weak=True), piece(20, 40, "Move.", is_weak=True)]
    assert len(merged(weak)) == 2, "geometry's own words agree too easily"


def test_with_repeats_only_their_strokes_are_merged():
    said = [piece(0, 30, "Pick up the cup."), piece(30, 60, "Pick up the cup.")]
    said += [piece(60, 90, "Wipe."), piece(90, 120, "Wipe.")]
    assert len(merged(said)) == 2, "control: words alone merge both pairs"
    repeats = (Repeat("right", 60, 120, 2, 2), Repeat("left", 0, 60, 2, 2))
    assert [row[1:3] for row in merged(said, repeats)] == [(0, 30), (30, 60), (60, 120)]


def test_inside_a_repeat_directions_do_not_count():
    said = [
        piece(0, 20, "Reach for the sponge."),
        piece(20, 40, "Wipe the table to the left with the sponge."),
        piece(40, 60, "Wipe the table to the right with the sponge."),
        piece(60, 80, "Wipe the table to the left with the sponge."),
    ]
    assert merged(said, (Repeat("right", 20, 80, 3, 2),)) == [
        ("right", 0, 20, "Reach for the sponge."),
        ("right", 20, 80, "Wipe the table with the sponge."),
    ]
    assert len(merged(said)) == 4, "control: without a repeat the direction is part of the action"
    other = [said[1], piece(40, 60, "Wipe the shelf to the right with the sponge.")]
    assert len(merged(other, (Repeat("right", 20, 80, 3, 2),))) == 2


def test_figures_of_a_merged_segment_are_those_of_its_parts():
    a = Segment("right", 0, 30, 0.3, 0.3, 1.0, "speed-minima")
    b = Segment("right", 30, 90, 0.2, 0.1, 0.5, "speed-minima")
    captions = [Caption(s, "Wipe.", False, "truth", False) for s in (a, b)]
    ((whole,), _) = merge_repeats([a, b], captions)
    assert (whole.start, whole.stop, whole.rule) == (0, 90, "speed-minima")
    assert whole.path_m == pytest.approx(0.5)
    assert whole.mean_speed == pytest.approx(0.5 / 3.0)  # 1 s and 2 s
    assert whole.valid_fraction == pytest.approx((30 * 1.0 + 60 * 0.5) / 90)
    assert merge_repeats([], []) == ((), ())


def test_captions_of_other_segments_are_refused():
    a, b = piece(0, 30, "Wipe."), piece(30, 60, "Wipe.")
    with pytest.raises(BadInput, match="legal is one of each"):
        merge_repeats([a.segment, b.segment], [b, a])
    with pytest.raises(BadInput, match="1 captions for 2 segments"):
        merge_repeats([a.segment, b.segment], [a])
