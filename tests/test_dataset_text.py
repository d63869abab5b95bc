"""Words in the mirror."""

import pytest

from vitra_lib.core.errors import BadInput
from vitra_lib.dataset import mirror_instruction, mirror_text


@pytest.mark.parametrize(
    ("text", "mirrored"),
    [
        ("Move the left cup to the right.", "Move the right cup to the left."),
        ("LEFT, Right, left-hand", "RIGHT, Left, right-hand"),
        ("The rightmost and leftward ones.", "The leftmost and rightward ones."),
        ("Turn the lid clockwise.", "Turn the lid counterclockwise."),
        ("Turn it anti-clockwise.", "Turn it clockwise."),
        ("Use the left-handed scissors.", "Use the right-handed scissors."),
    ],
)
def test_directions_change_sides(text, mirrored):
    assert mirror_text(text) == mirror_text(text) == mirrored


@pytest.mark.parametrize(
    "text",
    [
        "Take the bright leftover bowl and stand it upright.",
        "Brighten the rightful copyright of Wright.",
        "All right, put it away right now, at a right angle.",
        "Uplefted cleft thighs frighten.",
    ],
)
def test_other_words_are_left_alone(text):
    assert mirror_text(text) == text


@pytest.mark.parametrize("text", ["Left of the right one, upright.", "Turn it clockwise to the right, all left now."])
def test_twice_mirrored_is_as_before(text):
    assert mirror_text(mirror_text(text)) == text


def test_an_instruction_changes_hands():
    text = "Left hand: Hold the bright bowl. Right hand: Push it to the left."
    mirrored = "Left hand: Push it to the right. Right hand: Hold the bright bowl."
    assert mirror_instruction(text) == mirrored and mirror_instruction(mirrored) == text
    nothing = mirror_instruction("Left hand: None. Right hand: Pour.")
    assert nothing == "Left hand: Pour. Right hand: None."
    with pytest.raises(BadInput, match="Left hand: … Right hand: …"):
        mirror_instruction("Pour the right cup.")


def test_the_official_code_swaps_letters():
    text = "Left hand: None. Right hand: Set the bright leftover Upright and upright on the right."
    wanted = "Left hand: Set the bleft leftover Upleft and upright on the left. Right hand: None."
    assert mirror_instruction(text, official_quirks=True) == wanted
    assert mirror_instruction(text) != wanted  # control
