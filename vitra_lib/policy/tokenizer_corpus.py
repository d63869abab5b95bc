"""The text that the shipped tokenizer is trained on: sentences of the synthetic world, and everyday words."""

from collections.abc import Iterator

from vitra_lib.captioning.instruction import two_hand_instruction
from vitra_lib.tabletop.catalog import COLOURS, categories

_ABOUT_ONE = (
    "Reach for the {a}.",
    "Pick up the {a}.",
    "Put down the {a}.",
    "Move the {a} to the left.",
    "Move the {a} to the right.",
    "Move the {a} closer.",
    "Move the {a} further away.",
    "Push the {a} to the left.",
    "Turn the {a} clockwise.",
    "Turn the {a} counterclockwise.",
    "Tilt the {a} back upright.",
    "Wipe the table to the right with the {a}.",
)
_ABOUT_TWO = (
    "Put the {a} on the {b}.",
    "Put the {a} in the {b}.",
    "Move the {a} over the {b}.",
    "Pour from the {a} into the {b}.",
)
# Words of kitchens, desks and hands which the world has no caption for; users' sentences have them.
_EVERYDAY = """
adjust apple arrange attach bag bag's ball banana basket board bolt book bread break brush bucket button cabinet cable
carrot carry chop clean clip close cloth container cook cover crack cut cutting dice dish dough drag drain draw drawer
drill drink drop egg fasten fill flip fold fork fruit glass glove grab grate grind grip hammer handle hang hold insert
jar jug kettle keyboard knead knife knob ladle lay lemon lever lid lift light lock loosen lower machine meat milk mix
mouse needle nut oil onion open oven paint pan paper paste peel pen pencil pepper phone pick piece pin pipe pizza place
plant plastic plate plug pot potato pour press pull pump push put rack remove rinse rod roll rope rotate salt sauce
scissors scoop scrape screw screwdriver scrub sew shake shelf sink slice slide smooth soap sort spatula spoon spray
spread sprinkle squeeze stack stir stove string sugar sweep switch table take tap tape tie tighten tilt tissue tomato
tool towel toy tray trowel turn twist unfold unscrew untie vegetable wash water weed wheel whisk wipe wire wood wrap
write yarn above across against around away back behind below beside between bottom center corner down edge end forward
front from in inside into left middle off on onto out over right side toward top under up upside with without
small large round flat long short empty full hot cold wet dry wooden metal glass first second other both again slowly
""".split()


def world_sentences() -> Iterator[str]:
    """Instructions about all things of the synthetic world in all colours, then everyday words."""
    labels = [f"{colour} {category}" for colour in COLOURS for category in categories()]
    for index, label in enumerate(labels):
        other = labels[(7 * index + 3) % len(labels)]
        for template in (*_ABOUT_ONE, *_ABOUT_TWO):
            sentence = template.format(a=label, b=other)
            yield two_hand_instruction(None, sentence) if index % 2 else two_hand_instruction(sentence, None)
    for word in _EVERYDAY:
        yield from (f"The {word}.", f"{word.capitalize()} it.")
