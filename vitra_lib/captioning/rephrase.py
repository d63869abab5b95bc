"""Other wordings of captions: the original first, then four (paper section on language labelling)."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol, runtime_checkable

from vitra_lib.captioning.answer import BadAnswer, first_object
from vitra_lib.captioning.answer_cache import Failure
from vitra_lib.captioning.chat_config import ChatConfig
from vitra_lib.captioning.client import ChatClient
from vitra_lib.captioning.instruction import REPHRASINGS, as_sentence
from vitra_lib.captioning.question import rephrase_question
from vitra_lib.captioning.vocabulary import meaning, reworded
from vitra_lib.contracts import Caption
from vitra_lib.core.errors import UnknownName

REPHRASERS = ("none", "verbs", "openai:<model>")


@runtime_checkable
class Rephraser(Protocol):
    """Anything that rewords sentences."""

    def wordings(self, texts: Sequence[str]) -> dict[str, tuple[str, ...] | Failure]:
        """For each text, itself and four others; a Failure, or itself alone, where there are none."""
        ...


class VerbRephraser:
    """Puts another verb of the same meaning in front; offline. A sentence whose verb it doesn't know stays alone."""

    def wordings(self, texts: Sequence[str]) -> dict[str, tuple[str, ...] | Failure]:
        """For each text, itself and four others, or itself alone."""
        return {text: (text, *reworded(text)) for text in texts}


class ChatRephraser:
    """Asks a language model, one question per different text.

    Attributes:
        client: the client; its `counts` say what was asked.
    """

    def __init__(self, model: str, cache_dir: Path | None = None, config: ChatConfig | None = None) -> None:
        """
        Args:
            model: the endpoint's name for the model.
            cache_dir: folder of answers.
            config: address, limits and patience.

        Raises:
            MissingAsset: no endpoint in the settings or in the environment.
        """
        self.model = model
        self.client = ChatClient(config or ChatConfig(), cache_dir)

    def wordings(self, texts: Sequence[str]) -> dict[str, tuple[str, ...] | Failure]:
        """For each text, itself and four others, or why there are none.

        Raises:
            EndpointMisconfigured: the endpoint takes no question at all.
        """
        different = list(dict.fromkeys(texts))
        questions = (rephrase_question(self.model, text, REPHRASINGS - 1) for text in different)
        found: dict[str, tuple[str, ...] | Failure] = {}
        for position, outcome in self.client.ask_all(questions, lambda reply, q: parse_rephrasings(reply, q.subject)):
            found[different[position]] = outcome
        return found


def make_rephraser(name: str, cache_dir: Path | None = None, chat: ChatConfig | None = None) -> Rephraser | None:
    """A rephraser by name: "none" (None), "verbs" (offline), or "openai:<model>".

    Raises:
        UnknownName: none of these.
        MissingAsset: an endpoint was asked for and none is set.
    """
    kind, _, model = name.partition(":")
    if name == "none":
        return None
    if name == "verbs":
        return VerbRephraser()
    if kind == "openai" and model:
        return ChatRephraser(model, cache_dir, chat)
    raise UnknownName("rephraser", name, REPHRASERS)


def parse_rephrasings(reply: str, text: str) -> tuple[str, ...]:
    """The original, then what `{"rephrasings": ["...", …]}` holds: four different sentences with final periods.

    Args:
        reply: the whole text of the reply.
        text: the original.

    Raises:
        BadAnswer: there aren't four, or one repeats the original or names another hand, thing or colour.
    """
    listed = first_object(reply).get("rephrasings")
    if not isinstance(listed, list) or not all(isinstance(item, str) and item.strip() for item in listed):
        raise BadAnswer('The reply needs a list of texts under "rephrasings".')
    sentences = tuple(as_sentence(" ".join(item.split())) for item in listed)
    if len(sentences) != REPHRASINGS - 1 or len({s.lower() for s in sentences}) != len(sentences):
        raise BadAnswer(f"The reply needs {REPHRASINGS - 1} different wordings; it has {len(set(sentences))}.")
    if problem := _problem(text, sentences):
        raise BadAnswer(problem)
    return (text, *sentences)


def rephrase(captions: Iterable[Caption], rephraser: Rephraser | None) -> tuple[Caption, ...]:
    """The captions with their `rephrasings`: the original first, then four; N/A ones stay without.

    A caption whose rewording failed keeps the original alone in its list, so it can still be drawn from.
    """
    captions = tuple(captions)
    if rephraser is None:
        return captions
    texts = list(dict.fromkeys(c.text for c in captions if not c.is_na))
    found = rephraser.wordings(texts)
    return tuple(c if c.is_na else replace(c, rephrasings=_kept(c.text, found.get(c.text))) for c in captions)


def _kept(text: str, wordings: tuple[str, ...] | Failure | None) -> tuple[str, ...]:
    return wordings if isinstance(wordings, tuple) else (text,)


def _problem(text: str, others: Sequence[str]) -> str:
    """What makes wordings unusable for a text: they repeat it, or name another hand, thing or colour; "" = nothing."""
    said = meaning(text)
    for other in others:
        if other.lower() == as_sentence(text).lower():
            return f"{other!r} repeats the original."
        heard = meaning(other)
        if said.hand and heard.hand and heard.hand != said.hand:
            return f"{other!r} names the other hand than {text!r}."
        if (said.nouns and heard.nouns and not said.nouns & heard.nouns) or (
            said.colour and heard.colour != said.colour
        ):
            return f"{other!r} names another thing than {text!r}."
    return ""
