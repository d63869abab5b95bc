"""One sentence per atomic action: 8 frames with the palm's future path drawn on them, a prompt, a captioner, a parser."""

from vitra_lib.captioning.answer import Answer, parse_answer
from vitra_lib.captioning.caption import CAPTIONERS, Captioner, caption, make_captioner
from vitra_lib.captioning.overlay import OverlayFrame, overlay_frames, palm_world

__all__ = [
    "CAPTIONERS",
    "Answer",
    "Captioner",
    "OverlayFrame",
    "caption",
    "make_captioner",
    "overlay_frames",
    "palm_world",
    "parse_answer",
]
