"""One question to a chat model: its messages, its key by content, and how many tokens it is."""

import base64
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from vitra_lib.captioning.overlay import OverlayFrame
from vitra_lib.captioning.prompt import (
    PROMPT_VERSION,
    rephrase_prompt,
    rephrase_system_prompt,
    system_prompt,
    task_prompt,
)
from vitra_lib.contracts import Segment

_JPEG_QUALITY = 90
_CHARACTERS_PER_TOKEN = 4
_TOKENS_PER_MESSAGE = 4
# How OpenAI counts a picture of full detail: so much for each, and for each tile of 512 px after the shorter side was
# brought to 768 px. Other models count otherwise; it is an estimate.
_TOKENS_PER_PICTURE, _TOKENS_PER_TILE, _TILE_PX, _SHORT_SIDE_PX = 85, 170, 512, 768


@dataclass(frozen=True)
class Question:
    """What a chat model is asked.

    Attributes:
        item: what it is about, for a human: "right hand, frames [120, 135)".
        model: the endpoint's name for the model.
        system: the model's role.
        text: the task.
        jpegs: pictures as JPEG bytes, in order.
        sizes_px: (width, height) of each picture.
        subject: the sentence that is to be reworded, or "".
    """

    item: str
    model: str
    system: str
    text: str
    jpegs: tuple[bytes, ...] = ()
    sizes_px: tuple[tuple[int, int], ...] = ()
    subject: str = ""

    @cached_property
    def key(self) -> str:
        """Hex digest of all that decides the answer: prompt and its version, model, pictures. Not the endpoint."""
        digest = hashlib.sha256(json.dumps([PROMPT_VERSION, self.model, self.system, self.text]).encode())
        for jpeg in self.jpegs:
            digest.update(hashlib.sha256(jpeg).digest())
        return digest.hexdigest()

    @property
    def tokens(self) -> int:
        """Estimated tokens of the question."""
        written = math.ceil((len(self.system) + len(self.text)) / _CHARACTERS_PER_TOKEN) + 2 * _TOKENS_PER_MESSAGE
        return written + sum(_picture_tokens(*size) for size in self.sizes_px)

    def body(self, max_answer_tokens: int, temperature: float | int = 0.0) -> dict[str, Any]:
        """The request in the form of the chat-completions protocol."""
        pictures = [
            {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()}}
            for jpeg in self.jpegs
        ]
        content: Any = [{"type": "text", "text": self.text}, *pictures] if pictures else self.text
        messages = [{"role": "system", "content": self.system}, {"role": "user", "content": content}]
        body: dict[str, Any] = {"model": self.model, "messages": messages}
        if self.model.startswith(("o1", "o3", "o4", "gpt-5")):  # models that think first take neither of the two
            return body | {"max_completion_tokens": max_answer_tokens}
        return body | {"temperature": temperature, "max_tokens": max_answer_tokens}


def item_of(segment: Segment, video_name: str = "") -> str:
    """How messages and reports call a segment."""
    where = f"{video_name}: " if video_name else ""
    return f"{where}{segment.side} hand, frames [{segment.start}, {segment.stop})"


def caption_question(model: str, segment: Segment, frames: Sequence[OverlayFrame], item: str | None = None) -> Question:
    """Ask what the hand of a segment does.

    Args:
        model: the endpoint's name for the model.
        segment: the atomic action.
        frames: its pictures, all with the path drawn or all without; the text says which.
        item: what messages call it; None = hand and frames.
    """
    return Question(
        item=item or item_of(segment),
        model=model,
        system=system_prompt(),
        text=task_prompt(segment.side, len(frames), all(frame.has_path for frame in frames)),
        jpegs=tuple(_jpeg(frame.image) for frame in frames),
        sizes_px=tuple((frame.image.shape[1], frame.image.shape[0]) for frame in frames),
    )


def rephrase_question(model: str, text: str, count: int) -> Question:
    """Ask for `count` other wordings of one caption."""
    prompt = rephrase_prompt(text, count)
    return Question(f"wordings of {text!r}", model, rephrase_system_prompt(), prompt, subject=text)


def _jpeg(image: UInt8[np.ndarray, "height width 3"]) -> bytes:
    """The picture as JPEG bytes."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1].tobytes()


def _picture_tokens(width_px: int, height_px: int) -> int:
    scale = min(1.0, _SHORT_SIDE_PX / min(width_px, height_px))
    tiles = math.ceil(width_px * scale / _TILE_PX) * math.ceil(height_px * scale / _TILE_PX)
    return _TOKENS_PER_PICTURE + _TOKENS_PER_TILE * tiles
