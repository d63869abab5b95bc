"""The caption prompt (paper section on language labelling), in our own words and versioned.

Change the wording only together with `PROMPT_VERSION`: cached answers are keyed by it.
"""

from vitra_lib.contracts.hand_track import Side

PROMPT_VERSION = "2026-11-1"

_SYSTEM = (
    "You describe what one hand does in short clips filmed from the wearer's own point of view. "
    "You are precise about which hand, which object and in which order things happen."
)

_TASK = """\
The {count} pictures are frames of one short clip, in order of time. They show one atomic action of the {side} hand.

What is drawn on them: a coloured line shows where the palm of the {side} hand will travel from that frame to the end \
of the clip; it runs from blue (now) through green to red (the end of the clip). A blue dot marks the palm now. \
The line and the dot are not part of the scene: never report their colours as colours of an object.

Describe the action of the {side} hand only. If the {other} hand does something else, leave it out; take care not to \
mix up the two hands.

First think, in three or four sentences: what state is the {side} hand in at the beginning and at the end (open, \
closing, holding), which object does it handle or clearly reach for, and what changes in the course of the frames?

Then give the action:
- one sentence in the imperative mood ("Pick up the red cup."), with a concrete verb such as pick up, place, push, \
pull, turn, open, close, pour, cut; avoid vague verbs such as clean, fix, prepare or use;
- name an object only if the hand handles it or plainly reaches for it; no pronouns;
- report only what is visible: do not guess a purpose from the surroundings;
- if the hand does nothing that can be named, or can't be seen well enough, the action is "N/A".

Answer with one JSON object and nothing else: {{"think": "...", "action": "..."}}"""


def system_prompt() -> str:
    """The captioner's role."""
    return _SYSTEM


def task_prompt(side: Side, count: int) -> str:
    """The task for one segment: which hand, how many pictures, what the drawing means, how to answer."""
    return _TASK.format(side=side, other="left" if side == "right" else "right", count=count)
