"""The only reader of secrets and endpoints from the environment; a key is never logged and never stored."""

import os
from dataclasses import dataclass, field

from vitra_lib.core.errors import MissingAsset


@dataclass(frozen=True)
class ChatEndpoint:
    """An OpenAI-compatible chat endpoint.

    Attributes:
        base_url: root of the API ("http://127.0.0.1:8000/v1"), or None for OpenAI's own.
        api_key: the key; left out of `repr` so that no log or notebook can show it.
    """

    base_url: str | None
    api_key: str = field(repr=False)


def chat_endpoint() -> ChatEndpoint:
    """Read `OPENAI_BASE_URL` and `OPENAI_API_KEY`.

    A local server (vLLM, Ollama…) needs no key: with a base URL and no key a placeholder is sent.

    Raises:
        MissingAsset: neither variable is set.
    """
    base_url = os.environ.get("OPENAI_BASE_URL") or None
    api_key = os.environ.get("OPENAI_API_KEY") or None
    if base_url is None and api_key is None:
        raise MissingAsset(
            "No caption endpoint: set OPENAI_API_KEY for OpenAI, or OPENAI_BASE_URL for a local server "
            "(vLLM, Ollama…); or use the offline captioner 'motion-only'."
        )
    return ChatEndpoint(base_url, api_key or "not-needed")
