"""The prompts (paper section on language labelling), in our own words and versioned.

Change the wording only together with `PROMPT_VERSION`: cached answers are keyed by it.
"""

from vitra_lib.contracts.hand_track import Side

PROMPT_VERSION = "2026-11-2"

_SYSTEM = (
    "You describe what one hand does in short clips filmed from the wearer's own point of view. "
    "You are precise about which hand, which object and in which order things happen."
)

_OVERLAY = """\
What is drawn on them: a coloured line shows where the palm of the {side} hand will travel from that frame to the end \
of the clip; it runs from blue (now) through green to red (the end of the clip). A blue dot marks the palm now. \
The line and the dot are not part of the scene: never report their colours as colours of an object.

"""

_TASK = """\
The {count} pictures are frames of one short clip, in order of time. They show one atomic action of the {side} hand.

{overlay}Describe the action of the {side} hand only. If the {other} hand does something else, leave it out; take \
care not to mix up the two hands.

First think, in three or four sentences: what state is the {side} hand in at the beginning and at the end (open, \
closing, holding), which object does it handle or clearly reach for, and what changes in the course of the frames?

Then give the action:
- one sentence in the imperative mood ("Pick up the red cup."), with a concrete verb such as pick up, place, push, \
pull, turn, open, close, pour, cut; avoid vague verbs such as clean, fix, prepare or use;
- name an object only if the hand handles it or plainly reaches for it; no pronouns;
- report only what is visible: do not guess a purpose from the surroundings;
- if the hand does nothing that can be named, or can't be seen well enough, the action is "N/A".

Answer with one JSON object and nothing else: {{"think": "...", "action": "..."}}"""

_REPHRASE_SYSTEM = "You reword short instructions for a robot without changing what they ask for."

_REPHRASE = """\
Instruction: {text}

Write {count} other wordings of it. Each is one sentence in the imperative mood that asks for exactly the same: the \
same object with the same attributes, the same direction, the same hand if one is named, nothing added and nothing \
left out. Change the verb first; change the order of the words where it stays natural. No two may be equal.

Answer with one JSON object and nothing else: {{"rephrasings": ["...", "..."]}}"""


def system_prompt() -> str:
    """The captioner's role."""
    return _SYSTEM


def task_prompt(side: Side, count: int, has_overlay: bool = True) -> str:
    """The task for one segment: which hand, how many pictures, what the drawing means, how to answer.

    Args:
        side: the hand to describe.
        count: number of pictures.
        has_overlay: whether the palm's path is drawn on them; False for the ablation without it (paper, Table 2).
    """
    other = "left" if side == "right" else "right"
    overlay = _OVERLAY.format(side=side) if has_overlay else ""
    return _TASK.format(side=side, other=other, count=count, overlay=overlay)


def rephrase_system_prompt() -> str:
    """The role of the one who rewords."""
    return _REPHRASE_SYSTEM


def rephrase_prompt(text: str, count: int) -> str:
    """The task of rewording one caption `count` times."""
    return _REPHRASE.format(text=text, count=count)
