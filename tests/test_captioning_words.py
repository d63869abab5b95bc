"""Prompts, the parser, the motion-only captioner, rewording and the two-hand sentence."""

import json
from dataclasses import replace

import numpy as np
import pytest
from captioning_makers import SEGMENT, black, rigid_hand

from vitra_lib.captioning import caption, make_captioner, make_rephraser, parse_answer, rephrase, two_hand_instruction
from vitra_lib.captioning.answer import BadAnswer, RefusedAnswer
from vitra_lib.captioning.prompt import task_prompt
from vitra_lib.captioning.rephrase import parse_rephrasings
from vitra_lib.captioning.vocabulary import REWORDINGS, VERB_GROUPS, meaning, reworded
from vitra_lib.contracts import Caption
from vitra_lib.core.errors import UnknownName


@pytest.mark.parametrize(
    ("reply", "action", "is_na"),
    [
        ('{"think": "t", "action": "Pick up the cup"}', "Pick up the cup.", False),
        ('Sure!\n```json\n{"think": "a {b} c", "action": "Open the box."}\n```', "Open the box.", False),
        ('{"action": "N/A"}', "", True),
        ('{"action": "n/a."}', "", True),
        ('first {not json} then {"think": "", "action": "Push  the\\n lid"} end', "Push the lid.", False),
        ('{"think": "I\'m sorry for the mug.", "action": "Pick up the mug!"}', "Pick up the mug.", False),
    ],
)
def test_parser_reads(reply: str, action: str, is_na: bool) -> None:
    answer = parse_answer(reply)
    assert (answer.action, answer.is_na) == (action, is_na)


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "Pick up the cup.",
        '{"think": "x"}',
        '{"action": 3}',
        '{"action": "  "}',
        '["action"]',
        '{"action": "Pick',
        '{"think": ["x"], "action": "Pick up the cup."}',
        '{"action": "Pick up the cup. Then put it down."}',
        json.dumps({"action": "Pick up the cup " * 20}),
        '{"action": "???"}',
        "{" * 100_000,
    ],
)
def test_parser_refuses(reply: str) -> None:
    with pytest.raises(BadAnswer):
        parse_answer(reply)


@pytest.mark.parametrize(
    "reply", ["I'm sorry, but I can't help with that.", "Sorry, no.", "I cannot identify people.", "I’m unable to see."]
)
def test_refusals_are_told_from_nonsense(reply: str) -> None:
    with pytest.raises(RefusedAnswer) as caught:
        parse_answer(reply)
    with pytest.raises(RefusedAnswer):
        parse_answer(caught.value.reply)  # what is remembered is a refusal again
    with pytest.raises(BadAnswer) as control:
        parse_answer("The hand is sorry.")
    assert not isinstance(control.value, RefusedAnswer)


def test_prompt_names_one_hand_and_warns_of_the_other() -> None:
    prompt = task_prompt("left", 8)
    assert prompt.count("left hand") >= 3 and prompt.count("right hand") == 1 and "8 pictures" in prompt
    assert "blue dot" in prompt and "N/A" in prompt and '"think"' in prompt
    without = task_prompt("left", 8, has_overlay=False)
    assert "line" not in without and "dot" not in without and "N/A" in without


@pytest.mark.parametrize(
    ("velocity", "text"),
    [
        ((0.3, 0, 0), "Move the right hand to the right."),
        ((-0.3, 0, 0), "Move the right hand to the left."),
        ((0, -0.3, 0), "Move the right hand up."),
        ((0.25, 0.2, -0.05), "Move the right hand to the right and down."),
        ((0, 0, 0.3), "Reach forward with the right hand."),
        ((0.2, -0.15, 0.3), "Reach forward, to the right and up with the right hand."),
        ((0, 0, -0.3), "Retract the right hand."),
        ((-0.12, 0.1, -0.3), "Retract the right hand."),
        ((0.0, 0.0, 0.02), "Keep the right hand where it is."),
    ],
)
def test_motion_captioner_names_the_direction(velocity: tuple[float, ...], text: str) -> None:
    captions, rejections = caption(rigid_hand(velocity), [SEGMENT], black, make_captioner("motion-only"))
    assert captions[0].text == text and captions[0].is_weak and captions[0].source == "motion-only"
    assert not rejections


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"close_rad": 1.0}, "Close the right hand."),
        ({"close_rad": -1.0}, "Open the right hand."),
        ({"turn_rad": (0.0, 0.0, 1.0)}, "Turn the right wrist clockwise."),
        ({"turn_rad": (0.0, 0.0, -1.0)}, "Turn the right wrist counterclockwise."),
        ({"turn_rad": (0.0, 1.0, 0.0)}, "Turn the right wrist."),
        ({"turn_rad": (0.0, 0.2, 0.0)}, "Keep the right hand where it is."),
    ],
)
def test_motion_captioner_names_grip_turn_and_rest(settings: dict, text: str) -> None:
    reconstruction = rigid_hand([0, 0, 0], **settings)
    assert caption(reconstruction, [SEGMENT], black, make_captioner("motion-only"))[0][0].text == text


def test_motion_captioner_speaks_in_the_view_of_the_first_frame() -> None:
    """The same world path before a camera that was turned by half a turn about its axis is the opposite direction."""
    upright = rigid_hand([0.3, 0, 0], moving_camera=False)
    flip = np.diag([-1.0, -1.0, 1.0, 1.0])
    camera = replace(upright.camera, T_world_cam=upright.camera.T_world_cam @ flip)
    hand = replace(
        upright.right,
        t_cam_wrist=upright.right.t_cam_wrist * [-1, -1, 1],
        R_cam_wrist=flip[:3, :3] @ upright.right.R_cam_wrist,
        joints_cam=upright.right.joints_cam * [-1, -1, 1],
    )
    flipped = replace(upright, camera=camera, right=hand)
    texts = [caption(r, [SEGMENT], black, make_captioner("motion-only"))[0][0].text for r in (upright, flipped)]
    assert texts == ["Move the right hand to the right.", "Move the right hand to the left."]


def test_a_hand_that_is_hardly_seen_is_na() -> None:
    reconstruction = rigid_hand([0.3, 0, 0])
    reconstruction.right.is_valid[1:] = False
    captions, rejections = caption(reconstruction, [SEGMENT], black, make_captioner("motion-only"))
    assert captions[0].is_na and [r.reason for r in rejections] == ["caption_na"]


def test_two_hand_instruction() -> None:
    assert two_hand_instruction(None, "Pick up the cup") == "Left hand: None. Right hand: Pick up the cup."
    assert two_hand_instruction(" Hold the bowl. ", "") == "Left hand: Hold the bowl. Right hand: None."


def test_verbs_rephraser_puts_the_original_first_then_four() -> None:
    said = [Caption(SEGMENT, "Pick up the red mug.", False, "truth", False), Caption(SEGMENT, "", True, "truth", False)]
    first, na = rephrase(said, make_rephraser("verbs"))
    assert first.rephrasings == (
        "Pick up the red mug.", "Lift the red mug.", "Take the red mug.", "Grab the red mug.", "Raise the red mug.",
    )  # fmt: skip
    assert na.rephrasings == () and rephrase(said, make_rephraser("none")) == tuple(said)
    unknown = rephrase([replace(said[0], text="Juggle the mug.")], make_rephraser("verbs"))[0]
    assert unknown.rephrasings == ("Juggle the mug.",)
    with pytest.raises(UnknownName, match="verbs"):
        make_rephraser("gpt")


def test_offline_rewordings_keep_their_meaning() -> None:
    for verb in REWORDINGS:
        sentence = f"{verb[0].upper()}{verb[1:]} the red mug."
        others = reworded(sentence)
        assert len({sentence, *others}) == 5
        for other in others:
            assert meaning(other).verbs & meaning(sentence).verbs or verb == "push", other
            assert meaning(other).nouns == {"mug"} and meaning(other).colour == "red"


@pytest.mark.parametrize(
    ("wordings", "why"),
    [
        (["a b.", "c d.", "e f."], "4 different"),
        (["a b.", "A B", "c d.", "e f."], "4 different"),
        (["Grab the red mug.", "Lift the red mug.", "Take the blue mug.", "Raise the red mug."], "another thing"),
        (["Grab the red mug.", "Lift the red mug.", "Take the red bowl.", "Raise the red mug."], "another thing"),
        (["Grab the red mug.", "Pick up the red mug", "Take it.", "Raise the red mug."], "repeats"),
        (["Grab the red mug.", "Lift the red mug with the left hand.", "Take the red mug.", "Get the red mug."], None),
        (["x", 3, "y", "z"], "list of texts"),
    ],
)
def test_rephrasings_are_checked(wordings: list, why: str | None) -> None:
    reply = json.dumps({"rephrasings": wordings})
    if why is None:
        assert parse_rephrasings(reply, "Pick up the red mug.")[0] == "Pick up the red mug."
        with pytest.raises(BadAnswer, match="other hand"):  # control: the original names a hand
            parse_rephrasings(reply, "Pick up the red mug with the right hand.")
        return
    with pytest.raises(BadAnswer, match=why):
        parse_rephrasings(reply, "Pick up the red mug.")


@pytest.mark.parametrize(
    ("sentence", "verb", "noun", "colour", "hand"),
    [
        ("Pick up the red mug.", "pick up", "mug", "red", ""),
        ("Grasp the crimson cup.", "pick up", "mug", "red", ""),
        ("Put the blue can on the white plate.", "put down", "can", "blue", ""),
        ("Tilt the mug back upright.", "upright", "mug", "", ""),
        ("Pour from the green bottle into the bowl.", "pour", "bottle", "green", ""),
        ("Turn the right wrist clockwise.", "turn", "", "", "right"),
        ("Reach forward with the left hand.", "reach", "", "", "left"),
        ("Juggle three spoons.", "", "", "", ""),
    ],
)
def test_meaning(sentence: str, verb: str, noun: str, colour: str, hand: str) -> None:
    found = meaning(sentence)
    assert (verb in found.verbs or (not verb and not found.verbs)) and (
        noun in found.nouns or not (noun or found.nouns)
    )
    assert (found.colour, found.hand) == (colour, hand)


def test_what_a_motion_is_done_with_counts_as_a_noun() -> None:
    assert meaning("Wipe the table to the left with the yellow sponge.").nouns >= {"table", "sponge"}
    assert meaning("Pour from the mug into the bowl.").nouns == {"mug"}  # control: where to is not what


def test_no_phrase_is_in_two_verb_groups() -> None:
    phrases = [phrase for group in VERB_GROUPS.values() for phrase in group]
    assert len(phrases) == len(set(phrases))
