"""Read a captioner's reply: a JSON object with `think` and `action`, bare or in a code fence."""

import json
import re
from dataclasses import dataclass

from vitra_lib.core.errors import BadInput

_FENCE = re.compile(r"```(?:json)?\s*(.*?)```", re.DOTALL | re.IGNORECASE)
_NOT_AVAILABLE = {"n/a", "na", "none"}


class BadAnswer(BadInput):
    """A captioner's reply is not the JSON object that the prompt asked for."""


@dataclass(frozen=True)
class Answer:
    """One parsed reply.

    Attributes:
        think: the reasoning.
        action: one imperative sentence with its final period, or "" when `is_na`.
        is_na: the captioner saw no nameable action.
    """

    think: str
    action: str
    is_na: bool


def parse_answer(reply: str) -> Answer:
    """Parse `{"think": ..., "action": ...}` out of a reply.

    Args:
        reply: the whole text of the reply; prose around the object and code fences are tolerated.

    Raises:
        BadAnswer: there is no JSON object, or it lacks a string `action`.
    """
    data = _first_object(reply)
    if data is None:
        raise BadAnswer(f"The reply holds no JSON object: it begins {reply.strip()[:80]!r}.")
    action = data.get("action")
    if not isinstance(action, str) or not action.strip():
        raise BadAnswer(f'The reply needs a text under "action"; it has the keys {sorted(data)}.')
    think = data.get("think")
    think = think.strip() if isinstance(think, str) else ""
    action = " ".join(action.split())
    if action.rstrip(".").lower() in _NOT_AVAILABLE:
        return Answer(think, "", True)
    return Answer(think, action if action.endswith(".") else action + ".", False)


def _first_object(reply: str) -> dict | None:
    """The first JSON object in a fence or in the bare text; None when there is none."""
    decoder = json.JSONDecoder()
    for text in [*_FENCE.findall(reply), reply]:
        for match in re.finditer(r"\{", text):
            try:
                data, _ = decoder.raw_decode(text, match.start())
            except json.JSONDecodeError:
                continue
            if isinstance(data, dict):
                return data
    return None
