"""Read a captioner's reply: a JSON object with `think` and `action`, bare or in a code fence."""

import json
import re
from dataclasses import dataclass

from vitra_lib.core.errors import BadInput

_FENCE = re.compile(r"```(?:json)?\s*(.*?)```", re.DOTALL | re.IGNORECASE)
_NOT_AVAILABLE = {"n/a", "na", "none"}
_SHOWN = 80  # characters of a reply in a message
_LONGEST_ACTION = 200  # characters; the released captions stay below 120
_REFUSING = re.compile(
    r"^\W*(?:sorry|i(?: a|[’'])m (?:(?:very |really )?sorry|unable|not able)|i can(?:not|[’']t|t))\b", re.IGNORECASE
)


class BadAnswer(BadInput):
    """A captioner's reply is not the JSON object that the prompt asked for."""


class RefusedAnswer(BadAnswer):
    """A captioner declined to answer at all; asking again would bring the same.

    Attributes:
        reply: words that are read as a refusal again, to be remembered.
    """

    def __init__(self, words: str) -> None:
        words = " ".join(words.split())[:_SHOWN].replace("{", "(")
        self.reply = words if _REFUSING.match(words) else f"Sorry: {words}"
        super().__init__(f"The captioner declined: {self.reply!r}.")


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
        RefusedAnswer: there is no object, and the reply begins like a refusal.
        BadAnswer: there is no JSON object, it lacks a string `action`, or the action is no single short sentence.
    """
    data = first_object(reply)
    action, think = data.get("action"), data.get("think", "")
    if not isinstance(action, str) or not action.strip():
        raise BadAnswer(f'The reply needs a text under "action"; it has the keys {sorted(data)}.')
    if not isinstance(think, str):
        raise BadAnswer(f'The reply needs a text under "think", not {type(think).__name__}.')
    action = " ".join(action.split())
    if action.rstrip(".").lower() in _NOT_AVAILABLE:
        return Answer(think.strip(), "", True)
    if len(action) > _LONGEST_ACTION or re.search(r"[.!?] \S", action):
        raise BadAnswer(f'The "action" must be one short sentence; it has {len(action)} characters: {action[:60]!r}.')
    if not any(character.isalpha() for character in action):
        raise BadAnswer(f'The "action" {action!r} holds no words.')
    return Answer(think.strip(), action.rstrip(".!?;, ") + ".", False)


def first_object(reply: str) -> dict:
    """The first JSON object in a fence or in the bare text.

    Raises:
        RefusedAnswer: there is none, and the reply begins like a refusal.
        BadAnswer: there is none.
    """
    decoder = json.JSONDecoder()
    for text in [*_FENCE.findall(reply), reply]:
        for match in re.finditer(r"\{", text):
            try:
                data, _ = decoder.raw_decode(text, match.start())
            except (json.JSONDecodeError, RecursionError):
                continue
            if isinstance(data, dict):
                return data
    if _REFUSING.match(reply):
        raise RefusedAnswer(reply)
    raise BadAnswer(f"The reply holds no JSON object: it begins {reply.strip()[:_SHOWN]!r}.")
