"""One sentence per atomic action: 8 frames with the palm's future path, a prompt, a captioner, a parser."""

from vitra_lib.captioning.answer import Answer, parse_answer
from vitra_lib.captioning.caption import CAPTIONERS, Captioner, caption, make_captioner, unanswered
from vitra_lib.captioning.chat_config import ChatConfig, Price
from vitra_lib.captioning.instruction import two_hand_instruction
from vitra_lib.captioning.overlay import OverlayFrame, overlay_frames, palm_world
from vitra_lib.captioning.rephrase import make_rephraser, rephrase

__all__ = [
    "CAPTIONERS",
    "Answer",
    "Captioner",
    "ChatConfig",
    "OverlayFrame",
    "Price",
    "caption",
    "make_captioner",
    "make_rephraser",
    "overlay_frames",
    "palm_world",
    "parse_answer",
    "rephrase",
    "two_hand_instruction",
    "unanswered",
]
