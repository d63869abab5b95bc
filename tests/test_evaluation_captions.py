"""Scores of captions: meaning by synonyms, N/A, the wrong hand, and intervals that resample clips in pairs."""

import numpy as np
import pytest

from vitra_lib.contracts import Segment
from vitra_lib.core.errors import BadInput, UnknownName
from vitra_lib.core.paths import sample_folder
from vitra_lib.evaluation.captions import Judgement, caption_figures, judge, judge_clip, paired_figures
from vitra_lib.evaluation.captions_run import CaptionCondition, condition_segments
from vitra_lib.tabletop.clip import TabletopClip

RIGHT = Segment("right", 0, 30, 0.3, 0.3, 1.0, "truth")
TRUTH = "Pick up the red mug."


@pytest.mark.parametrize(
    ("said", "verb", "noun"),
    [
        ("Pick up the red mug.", True, True),
        ("Grasp the cup.", True, True),
        ("Lift the blue bottle.", True, False),
        ("Push the mug.", False, True),
        ("Put down the mug.", False, True),
        ("Reach forward with the right hand.", False, False),
        ("", False, False),
        (None, False, False),
        ("Juggle.", False, False),
    ],
)
def test_verb_and_noun(said: str | None, verb: bool, noun: bool) -> None:
    judged = judge(0, RIGHT, TRUTH, "", said)
    assert (judged.verb, judged.noun, judged.wrong_hand) == (verb, noun, False)


@pytest.mark.parametrize(
    ("said", "other", "is_wrong"),
    [
        ("Push the box.", "Push the box to the left.", True),  # what the other hand does
        ("Push the box.", "", False),  # the other hand does nothing: simply wrong
        ("Lift the cup.", "Push the box to the left.", False),
        ("Lift the cup.", "Grab the mug.", False),  # both do the same: nobody can tell
        ("Pick up the mug with the left hand.", "", True),  # it names the other hand
        ("Pick up the mug with the right hand.", "", False),
        ("", "Push the box to the left.", False),
    ],
)
def test_the_wrong_hand(said: str, other: str, is_wrong: bool) -> None:
    assert judge(0, RIGHT, TRUTH, other, said).wrong_hand is is_wrong


def made(clip: int, truth: str, said: str | None) -> Judgement:
    return judge(clip, RIGHT, truth, "Push the box.", said)


def test_shares_are_counts() -> None:
    judged = [
        made(0, TRUTH, "Take the cup."),
        made(0, TRUTH, "Take the bowl."),
        made(0, TRUTH, ""),
        made(1, TRUTH, None),
        made(1, TRUTH, "Push the box."),
        made(1, "", ""),
        made(1, "", ""),
        made(2, "", "Take the cup."),
    ]
    value = {figure.name: (figure.value, figure.n) for figure in caption_figures(judged)}
    assert value["segments answered"] == (7 / 8, 8)
    assert value["verb right"] == (2 / 5, 5) and value["noun right"] == (1 / 5, 5)
    assert value["verb and noun right"] == (1 / 5, 5)
    assert value["N/A precision"] == (2 / 3, 3) and value["N/A recall"] == (2 / 3, 3)
    assert value["wrong hand"] == (1 / 4, 4)  # of four captions while the other hand pushes a box


def test_perfect_and_empty_captioners() -> None:
    clip = TabletopClip.load(sample_folder())
    perfect = judge_clip(clip, clip.segments, clip.captions)
    value = {figure.name: figure.value for figure in caption_figures(perfect)}
    assert value.pop("wrong hand") == 0.0 and set(value.values()) == {1.0}
    nothing = {f.name: f.value for f in caption_figures(judge_clip(clip, clip.segments, ()))}
    assert nothing["segments answered"] == nothing["verb right"] == nothing["N/A recall"] == 0.0
    assert np.isnan(nothing["N/A precision"])
    # Control: the captions of one hand, given to the other, are mostly wrong.
    texts = [c.text for c in clip.captions]
    rolled = [judge(0, s, t, "", o) for s, t, o in zip(clip.segments, texts, texts[3:] + texts[:3], strict=True)]
    assert {f.name: f.value for f in caption_figures(rolled)}["verb and noun right"] < 0.5


def test_every_true_sentence_of_the_world_has_a_known_verb_and_noun() -> None:
    from vitra_lib.captioning.vocabulary import COLOUR_GROUPS, NOUN_GROUPS, meaning
    from vitra_lib.tabletop.catalog import COLOURS, allowed
    from vitra_lib.tabletop.config import SPLITS

    things = {instance.category for split in SPLITS for instance in allowed(split).instances}
    assert things <= set(NOUN_GROUPS) and set(COLOURS) == set(COLOUR_GROUPS)
    for text in (c.text for c in TabletopClip.load(sample_folder()).captions if c.text):
        assert meaning(text).verbs and meaning(text).nouns, text
    for thing in things:
        for text in (
            f"Reach for the red {thing}.", f"Pick up the red {thing}.", f"Put down the red {thing}.",
            f"Put the red {thing} in the white bowl.", f"Move the red {thing} over the white bowl.",
            f"Pour from the red {thing} into the white bowl.", f"Tilt the red {thing} back upright.",
            f"Push the red {thing} to the left.", f"Turn the red {thing} clockwise.",
            f"Wipe the table to the left with the red {thing}.",
        ):  # fmt: skip
            found = meaning(text)
            assert found.verbs and thing in found.nouns and (found.colour == "red" or "Wipe" in text), text


def test_paired_intervals_see_what_unpaired_ones_miss() -> None:
    """Clips differ much, the two conditions little but always the same way: only pairing shows it."""
    rng = np.random.default_rng(0)
    with_path, without = [], []
    for clip in range(20):
        ease = rng.uniform(0.2, 0.8)
        for k in range(20):
            easy = k / 20 < ease
            with_path.append(made(clip, TRUTH, "Take the cup." if easy or k == 19 else "Juggle."))
            without.append(made(clip, TRUTH, "Take the cup." if easy else "Juggle."))
    value = {f.name: f for f in paired_figures(with_path, without, ("with", "without"))}
    difference = value["verb right, difference"]
    assert difference.value == pytest.approx(0.05) and 0.04 < difference.ci95[0] <= difference.ci95[1] < 0.06
    one, two = value["verb right, with"].ci95, value["verb right, without"].ci95
    assert one[0] < two[1]  # control: the two intervals themselves overlap
    same = {f.name: f for f in paired_figures(without, without, ("a", "b"))}["verb right, difference"]
    assert same.value == 0.0 and same.ci95 == (0.0, 0.0)


def test_bad_comparisons() -> None:
    with pytest.raises(BadInput, match="no segment"):
        caption_figures([])
    with pytest.raises(BadInput, match="same clips"):
        paired_figures([made(0, TRUTH, "")], [made(1, TRUTH, "")], ("a", "b"))
    with pytest.raises(UnknownName, match="speed-minima"):
        CaptionCondition(cuts="none")


def test_cutting_rules_are_judged_by_the_action_that_fills_most_of_a_piece() -> None:
    clip = TabletopClip.load(sample_folder())
    pieces = condition_segments(clip, CaptionCondition(cuts="fixed-interval"))
    judged = judge_clip(clip, pieces, ())
    assert judged and {j.segment for j in judged} <= set(pieces)
    one = max((c for c in clip.captions if c.text), key=lambda c: c.segment.stop - c.segment.start)
    inside = Segment(one.segment.side, one.segment.start + 2, one.segment.stop + 3, 0.1, 0.1, 1.0, "fixed-interval")
    assert judge_clip(clip, [inside], ())[0].truth == one.text
