"""A dropped frame, segment, caption or episode, with the reason: nothing is dropped silently."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Rejection:
    """One dropped item.

    Attributes:
        stage: who dropped it: "reconstruction", "segmentation", "captioning" or "episodes".
        item: what was dropped, for a human: "right hand, frames [120, 135)".
        reason: a short, countable name: "low_motion", "hand_lost", "caption_na"…
        detail: one sentence with the figures behind the decision.
        start: first frame of the item (index into the reconstruction), or -1.
        stop: one past its last frame, or -1.
    """

    stage: str
    item: str
    reason: str
    detail: str = ""
    start: int = -1
    stop: int = -1
