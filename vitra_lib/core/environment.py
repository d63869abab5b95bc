"""The only reader of secrets and endpoints from the environment; a key is never logged and never stored."""

import ipaddress
import os
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

from vitra_lib.core.errors import BadInput, MissingAsset

OPENAI_URL = "https://api.openai.com/v1"
_NO_KEY = "not-needed"
_HIDDEN = "[key]"
_QUERY = {"api-version"}


@dataclass(frozen=True)
class ChatEndpoint:
    """An OpenAI-compatible chat endpoint.

    Attributes:
        base_url: root of the API ("http://127.0.0.1:8000/v1"), or None for OpenAI's own.
        api_key: the key; left out of `repr` so that no log or notebook can show it.
        query: what every request carries in its query ("api-version" on Azure).
    """

    base_url: str | None
    api_key: str = field(repr=False)
    query: tuple[tuple[str, str], ...] = ()

    @property
    def is_azure(self) -> bool:
        """True for Azure's endpoints, which take the key in a header of their own."""
        if self.base_url is None:
            return False
        parts = urlsplit(self.base_url)
        return (parts.hostname or "").endswith(".azure.com") or "/openai/deployments/" in parts.path

    @property
    def is_local(self) -> bool:
        """True when requests stay on this machine: the host is a loopback address."""
        host = urlsplit(self.base_url).hostname if self.base_url else None
        if host is None:
            return False
        if host == "localhost" or host.endswith(".localhost"):
            return True
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False

    @property
    def host(self) -> str:
        """The name of the host, for messages."""
        return (urlsplit(self.base_url).hostname if self.base_url else None) or "api.openai.com"

    def redact(self, text: str) -> str:
        """The text with the key taken out: a server may quote it in an error or an answer."""
        return text if self.api_key == _NO_KEY else text.replace(self.api_key, _HIDDEN)


def chat_endpoint(base_url: str | None = None) -> ChatEndpoint:
    """Read `OPENAI_BASE_URL` and `OPENAI_API_KEY`.

    A local server (vLLM, Ollama…) needs no key: with a base URL and no key a placeholder is sent. An Azure URL may end
    in its query, "…/openai/deployments/NAME?api-version=VERSION".

    Args:
        base_url: takes the place of `OPENAI_BASE_URL`; the key comes from the environment in any case.

    Raises:
        MissingAsset: no URL, and neither variable is set.
        BadInput: the URL is not one, or it holds a name, a password or a key.
    """
    base_url = base_url or os.environ.get("OPENAI_BASE_URL") or None
    api_key = (os.environ.get("OPENAI_API_KEY") or "").strip() or None
    if base_url is None and api_key is None:
        raise MissingAsset(
            "No caption endpoint: set OPENAI_API_KEY for OpenAI, or OPENAI_BASE_URL for a local server "
            "(vLLM, Ollama…); or use the offline captioner 'motion-only'."
        )
    if api_key is not None and not (api_key.isascii() and api_key.isprintable()):
        raise BadInput("OPENAI_API_KEY holds characters that no key has: set it again, without quotes and line breaks.")
    if base_url is None:
        return ChatEndpoint(None, api_key or _NO_KEY)
    root, query = _checked(base_url)
    return ChatEndpoint(root, api_key or _NO_KEY, query)


def server_key(variable: str) -> str:
    """The key that clients of our own server must send.

    Args:
        variable: name of the environment variable that holds it.

    Raises:
        MissingAsset: it is not set, or empty.
    """
    key = (os.environ.get(variable) or "").strip()
    if not key:
        raise MissingAsset(f"The environment variable {variable} holds no API key: set it, or name another one.")
    return key


def _checked(base_url: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Root and query of a URL; the messages leave out what may be secret."""
    try:
        parts = urlsplit(base_url.strip())
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_url = False
    if not is_url:
        raise BadInput("The endpoint's base URL is not one: legal is http://HOST[:PORT]/PATH, or the same with https.")
    query = tuple(parse_qsl(parts.query))
    if parts.username or parts.password or {name for name, _ in query} - _QUERY:
        raise BadInput(
            "The endpoint's base URL may hold no name, password or key (only ?api-version=…, which Azure wants): "
            "set the key in OPENAI_API_KEY."
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path}", query
