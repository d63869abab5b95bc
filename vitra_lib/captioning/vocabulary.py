"""Words for what hands do and hold: which mean the same, and which is the verb and the noun of a sentence.

Captions say one thing in many words. In scores, verbs of one group count as the same action, and nouns of one group as
the same thing. The groups hold the synthetic world's actions and things, and what people call them.
"""

import re
from dataclasses import dataclass

VERB_GROUPS: dict[str, tuple[str, ...]] = {
    "reach": (
        "reach for", "reach toward", "reach towards", "reach to", "reach out for", "reach", "approach", "extend",
        "stretch toward", "stretch", "move toward", "move towards", "go for",
    ),
    "pick up": (
        "pick up", "pick", "lift", "lift up", "raise", "take", "grab", "grasp", "grip", "seize", "get", "hold up",
    ),
    "put down": (
        "put down", "place", "set down", "lay down", "put", "set", "lay", "lower", "release", "drop", "rest",
        "put back", "return", "deposit", "insert", "stack",
    ),
    "move": ("move", "shift", "carry", "bring", "transfer", "relocate", "transport"),
    "push": ("push", "slide", "shove", "nudge", "press"),
    "pull": ("pull", "draw", "drag", "tug"),
    "turn": ("turn", "rotate", "twist", "spin", "swivel"),
    "pour": ("pour", "tip", "empty", "decant", "tilt"),
    "upright": ("tilt back", "set upright", "straighten", "bring upright"),
    "wipe": ("wipe", "rub", "scrub", "sweep", "swipe", "polish"),
    "open": ("open", "unfold", "spread"),
    "close": ("close", "shut", "clench", "curl"),
    "retract": ("retract", "withdraw", "pull back", "move back", "draw back", "bring back"),
    "keep": ("keep", "leave", "remain", "stay", "hold"),
    "cut": ("cut", "slice", "chop"),
    "stir": ("stir", "mix", "whisk"),
}  # fmt: skip
"""Name of an action -> phrases that begin a sentence about it."""

NOUN_GROUPS: dict[str, tuple[str, ...]] = {
    "mug": ("mug", "cup", "coffee cup", "beaker"),
    "bottle": ("bottle", "flask"),
    "can": ("can", "soda can", "drink can", "tin can", "cylinder"),
    "jar": ("jar", "pot with lid", "glass jar", "canister"),
    "box": ("box", "carton", "package", "container", "packet"),
    "block": ("block", "cube", "wooden block"),
    "sponge": ("sponge", "scrubber", "cleaning pad"),
    "bowl": ("bowl", "dish", "basin"),
    "plate": ("plate", "saucer", "disc", "disk", "tray"),
    "vase": ("vase", "carafe"),
    "tin": ("tin", "can", "tin can"),
    "candle": ("candle", "pillar candle"),
    "brick": ("brick", "block", "bar"),
    "eraser": ("eraser", "rubber", "sponge", "board eraser"),
    "pot": ("pot", "bowl", "saucepan", "pan"),
    "book": ("book", "notebook"),
    "table": ("table", "desk", "tabletop", "surface", "counter"),
    "lid": ("lid", "cap", "cover", "top"),
}

COLOUR_GROUPS: dict[str, tuple[str, ...]] = {
    "red": ("red", "crimson", "scarlet"),
    "green": ("green",),
    "blue": ("blue", "navy"),
    "yellow": ("yellow", "golden"),
    "white": ("white", "cream", "ivory"),
    "black": ("black", "dark"),
    "purple": ("purple", "violet"),
    "turquoise": ("turquoise", "teal", "cyan"),
    "grey": ("grey", "gray", "silver"),
    "pink": ("pink", "rose"),
}

REWORDINGS: dict[str, tuple[str, ...]] = {
    "reach for": ("reach out for", "reach toward", "move toward", "stretch toward"),
    "pick up": ("lift", "take", "grab", "raise"),
    "put down": ("place", "set down", "lay down", "lower"),
    "put": ("place", "set", "lay", "deposit"),
    "move": ("shift", "bring", "carry", "transfer"),
    "push": ("slide", "shove", "nudge", "press"),
    "turn": ("rotate", "twist", "spin", "swivel"),
    "wipe": ("rub", "scrub", "sweep", "swipe"),
}
"""The verb that begins a sentence -> four that can stand in its place without another change."""

_WORD = re.compile(r"[a-z']+")


@dataclass(frozen=True)
class Meaning:
    """What a sentence says, in the names of the groups.

    Attributes:
        verbs: verb groups that its first words belong to; empty when they are unknown.
        nouns: noun groups of the first thing it names, and of what it is done with ("with the sponge"); empty when
            it names no known thing.
        colour: the colour said right before the first thing, or "".
        hand: "left" or "right" when the sentence names a hand, else "".
    """

    verbs: frozenset[str]
    nouns: frozenset[str]
    colour: str
    hand: str


def meaning(sentence: str) -> Meaning:
    """Take verb, noun, colour and hand out of an imperative sentence."""
    words = _WORD.findall(sentence.lower())
    hands = [a for a, b in zip(words, words[1:], strict=False) if a in ("left", "right") and b in ("hand", "wrist")]
    places = [i for i in range(len(words)) if _nouns_at(words, i)]
    nouns = _nouns_at(words, places[0]) if places else frozenset()
    for place in places[1:]:
        if "with" in words[max(0, place - 4) : place]:
            nouns |= _nouns_at(words, place)
    before = words[places[0] - 1] if places and places[0] else ""
    colour = next((name for name, group in COLOUR_GROUPS.items() if before in group), "")
    return Meaning(_verbs(words), nouns, colour, hands[0] if hands else "")


def reworded(sentence: str) -> tuple[str, ...]:
    """The sentence with four other verbs, where its own has such; () where it has none."""
    for verb in sorted(REWORDINGS, key=len, reverse=True):
        if re.match(rf"{verb}\b", sentence, re.IGNORECASE):
            rest = sentence[len(verb) :]
            return tuple(other[0].upper() + other[1:] + rest for other in REWORDINGS[verb])
    return ()


def _verbs(words: list[str]) -> frozenset[str]:
    """Groups of the verb that begins a sentence: the longest phrase decides."""
    if words and words[0] in ("tilt", "tip", "turn", "set", "bring", "stand") and "upright" in words:
        return frozenset({"upright"})
    for length in (3, 2, 1):
        groups = frozenset(name for name, group in VERB_GROUPS.items() if " ".join(words[:length]) in group)
        if groups:
            return groups
    return frozenset()


def _nouns_at(words: list[str], place: int) -> frozenset[str]:
    """Groups of the longest known thing that begins at a word, its plural too."""
    for length in (3, 2, 1):
        phrase = " ".join(words[place : place + length])
        for form in (phrase, phrase.removesuffix("s"), phrase.removesuffix("es")):
            groups = frozenset(name for name, group in NOUN_GROUPS.items() if form in group)
            if groups:
                return groups
    return frozenset()
