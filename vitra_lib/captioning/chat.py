"""Captions from any OpenAI-compatible chat-completions endpoint, through the `openai` package.

Unless the endpoint is on this machine, the frames leave it: faces are blurred first, and only footage that may leave
belongs here. Base URL and key come from the environment (`vitra_lib.core.environment`).
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from vitra_lib.captioning.answer import Answer, parse_answer
from vitra_lib.captioning.answer_cache import Failure
from vitra_lib.captioning.chat_config import ChatConfig
from vitra_lib.captioning.client import ChatClient
from vitra_lib.captioning.question import Question, caption_question
from vitra_lib.captioning.task import CaptionTask


class ChatCaptioner:
    """Asks a vision-language model, one question per segment, several at a time.

    Attributes:
        name: "openai:<model>".
        blurs_faces: whether faces are blurred in the frames it is given.
        client: the client; its `counts` say what was asked.
    """

    is_weak = False
    needs_images = True

    def __init__(self, model: str, cache_dir: Path | None = None, config: ChatConfig | None = None) -> None:
        """
        Args:
            model: the endpoint's name for the model ("gpt-4.1").
            cache_dir: folder of answers; None = remembered by this object alone.
            config: address, limits and patience.

        Raises:
            MissingAsset: no endpoint in the settings or in the environment.
        """
        self.name = f"openai:{model}"
        self.model = model
        self.client = ChatClient(config or ChatConfig(), cache_dir)
        choice = self.client.config.anonymise
        self.blurs_faces = choice == "always" or (choice == "external" and not self.client.endpoint.address.is_local)

    def questions(self, tasks: Iterable[CaptionTask]) -> Iterator[Question]:
        """What is asked about each task."""
        for task in tasks:
            yield caption_question(self.model, task.segment, task.frames, task.item)

    def answers(self, tasks: Iterable[CaptionTask]) -> Iterator[tuple[int, Answer | Failure]]:
        """Ask about segments; (position, answer or failure) in the order in which they become known.

        Raises:
            EndpointMisconfigured: the endpoint takes no question at all.
        """
        return self.client.ask_all(self.questions(tasks), lambda reply, _: parse_answer(reply))
