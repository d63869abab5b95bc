"""Words of a mirrored scene: left becomes right, word by word (spec of the augmentation, 3.5)."""

import re
from functools import lru_cache

from vitra_lib.core.errors import BadInput

_SWAP = {"left": "right", "right": "left", "clockwise": "counterclockwise"}
_SWAP |= {word: "clockwise" for word in ("counterclockwise", "counter-clockwise", "anticlockwise", "anti-clockwise")}
# Compounds of direction only: "bright", "upright", "leftover" and "rightful" are words of their own. In "right away"
# or "all right" nothing has a side, and "left" there is kept too, so that mirroring twice changes nothing.
_WORD = re.compile(
    r"(?<!\ball )\b(?:(left|right)(most|wards?|hand(?:ed)?)?(?!\s+(?:away|now|angles?|over)\b)"
    r"|((?:counter-?|anti-?)?clockwise))\b",
    re.IGNORECASE,
)
_MARKERS = re.compile(r"^Left hand: (?P<left>.*) Right hand: (?P<right>.*)$", re.DOTALL)
_GUARDED = ("upright", "leftover")


@lru_cache(maxsize=65536)
def mirror_text(text: str) -> str:
    """Swap left and right (and clockwise and counterclockwise) as whole words; letter case is kept."""
    return _WORD.sub(_swapped, text)


def _swapped(match: re.Match) -> str:
    side, ending, turn = match.groups()
    word = side or turn
    other = _SWAP[word.lower()]
    if word.isupper():
        other = other.upper()
    elif word[0].isupper():
        other = other[0].upper() + other[1:]
    return other + (ending or "")


def mirror_instruction(text: str, official_quirks: bool = False) -> str:
    """The instruction of the mirrored scene: the hands change places, and so do left and right in their sentences.

    Args:
        text: "Left hand: … Right hand: …".
        official_quirks: replace letters anywhere ("bright" becomes "bleft"), as the official code does, with only
            "upright" and "leftover" guarded.

    Raises:
        BadInput: one of the two markers is missing.
    """
    parts = _MARKERS.match(text)
    if parts is None:
        raise BadInput(f"Can't mirror {text!r}: an instruction reads 'Left hand: … Right hand: …'.")
    mirror = _mirror_letters if official_quirks else mirror_text
    return f"Left hand: {mirror(parts['right'])} Right hand: {mirror(parts['left'])}"


def _mirror_letters(text: str) -> str:
    for number, word in enumerate(_GUARDED):
        text = text.replace(word, f"\0{number}")
    text = re.sub("Left|Right|left|right", lambda m: _swapped(_WORD.match(m[0])), text)  # type: ignore[arg-type]
    for number, word in enumerate(_GUARDED):
        text = text.replace(f"\0{number}", word)
    return text
