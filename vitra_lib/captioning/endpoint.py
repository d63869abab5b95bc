"""One request to an OpenAI-compatible endpoint, through the `openai` package; whatever can go wrong has a name here.

Tries again is the caller's business (`client`): the package's own retries are off, so that every request is counted.
"""

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from vitra_lib.captioning.answer import RefusedAnswer
from vitra_lib.captioning.chat_config import ChatConfig
from vitra_lib.captioning.question import Question
from vitra_lib.core.environment import OPENAI_URL, chat_endpoint
from vitra_lib.core.errors import BadInput

_log = logging.getLogger(__name__)
_SHOWN = 200  # characters of a server's message
_ERROR_BYTES = 20_000
_BUSY = (408, 409, 425, 429)
_MISCONFIGURED = (401, 403, 404, 405)


class EndpointFailed(Exception):
    """One request brought no reply; asking again may.

    Attributes:
        wait_s: how long the endpoint asked to wait [s]; None = it didn't say.
    """

    def __init__(self, message: str, wait_s: float | None = None) -> None:
        super().__init__(message)
        self.wait_s = wait_s


class QuestionRejected(Exception):
    """The endpoint doesn't take this question (400, 413, 422…): asking again would bring the same."""


class EndpointMisconfigured(BadInput):
    """The endpoint takes no question at all: wrong key, model or address, or no money left."""


class _Status(Exception):
    """An HTTP status other than 200, with the beginning of its body."""

    def __init__(self, status: int, headers: Mapping[str, str], text: str) -> None:
        super().__init__(f"HTTP {status}")
        self.status, self.headers, self.text = status, headers, text


@dataclass(frozen=True)
class Reply:
    """What a model said.

    Attributes:
        text: the whole reply.
        tokens: what the endpoint counted for question and answer; None when it doesn't say.
    """

    text: str
    tokens: int | None


class Endpoint:
    """Sends questions; safe to use from several threads."""

    def __init__(self, config: ChatConfig) -> None:
        """
        Args:
            config: address and limits; the key comes from the environment.

        Raises:
            MissingAsset: no endpoint in settings or environment.
            BadInput: the address is not a URL.
        """
        import openai  # 2 s to import: only those who ask a model pay for it

        self.address = chat_endpoint(config.base_url)
        self._config = config
        headers = {"Accept-Encoding": "identity"}  # so that the limit on bytes is one on memory
        if self.address.is_azure:
            headers["api-key"] = self.address.api_key
        self._client = openai.OpenAI(
            base_url=self.address.base_url or OPENAI_URL,
            api_key=self.address.api_key,
            default_query=dict(self.address.query),
            default_headers=headers,
            max_retries=0,
            # A redirection could lead frames and key off to another machine: it is refused like any odd status.
            http_client=openai.DefaultHttpxClient(
                timeout=config.timeout_s, follow_redirects=False, event_hooks={"response": [_refuse_status]}
            ),
        )

    def ask(self, question: Question, temperature: float | int = 0.0) -> Reply:
        """Send one question and wait for its reply.

        Raises:
            EndpointFailed: no reply this time.
            QuestionRejected: no reply ever to this question.
            EndpointMisconfigured: no reply ever to any question.
            RefusedAnswer: the model declined.
        """
        import openai

        body = question.body(self._config.max_answer_tokens, temperature)
        stop_s = time.monotonic() + self._config.timeout_s
        try:
            # As `extra_body` the messages are sent as they are; as `messages` the package would look at each part of
            # them again, which costs more processor time than all the rest of a request.
            send = self._client.chat.completions.with_streaming_response.create
            with send(model=question.model, messages=[], extra_body=body) as response:
                raw = _read(response.iter_bytes(), stop_s, self._config.max_answer_bytes)
        except _Status as status:
            raise self._failure(status) from None
        except openai.APITimeoutError:
            raise EndpointFailed(f"no answer within {self._config.timeout_s:g} s") from None
        except openai.OpenAIError as error:
            if isinstance(error.__cause__, _Status):
                raise self._failure(error.__cause__) from None
            raise EndpointFailed(self.address.redact(f"the connection broke: {error.__cause__ or error}")) from None
        except EndpointFailed:
            raise
        except Exception as error:  # the package's own HTTP library may break in the middle of a body with its errors
            if not type(error).__module__.startswith("http"):
                raise
            raise EndpointFailed(self.address.redact(f"the connection broke: {error}")) from None
        reply = read_completion(raw)
        return Reply(self.address.redact(reply.text), reply.tokens)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _failure(self, status: _Status) -> Exception:
        """The right error for an HTTP status."""
        said = self.address.redact(" ".join(_message(status.text).split()))[:_SHOWN]
        what = f"HTTP {status.status} from {self.address.host}: {said or 'without a word'}"
        if status.status == 429 and "insufficient_quota" in status.text:
            return EndpointMisconfigured(f"The caption endpoint's quota is used up ({what}).")
        if status.status in _BUSY or status.status >= 500:
            return EndpointFailed(what, _wait_s(status.headers))
        if status.status == 400 and ("content_filter" in status.text or "content_policy" in status.text):
            return RefusedAnswer("the content filter stopped it")  # how Azure and OpenAI say so
        if status.status in _MISCONFIGURED or 300 <= status.status < 400:
            return EndpointMisconfigured(
                f"The caption endpoint takes no question ({what}): check OPENAI_API_KEY, the base URL and the model."
            )
        return QuestionRejected(what)


def _refuse_status(response: Any) -> None:
    """Called by the HTTP library before a body is read: stop at any status but 200, having read a little of it."""
    if response.status_code == 200:
        return
    chunks = bytearray()
    stop_s = time.monotonic() + 5.0
    for chunk in response.iter_raw():
        chunks += chunk
        if len(chunks) > _ERROR_BYTES or time.monotonic() > stop_s:
            break
    raise _Status(response.status_code, response.headers, chunks[:_ERROR_BYTES].decode("utf-8", "replace"))


def _read(chunks: Any, stop_s: float, limit: int) -> bytes:
    """A whole body, unless it is too long or comes too slowly."""
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if len(body) > limit:
            raise EndpointFailed(f"the answer is longer than {limit} bytes")
        if time.monotonic() > stop_s:
            raise EndpointFailed("the answer came too slowly")
    return bytes(body)


def read_completion(raw: bytes) -> Reply:
    """The reply in a chat-completions body.

    Raises:
        EndpointFailed: it isn't one.
        RefusedAnswer: it says that the model declined.
    """
    try:
        data = json.loads(raw)
        choice = data["choices"][0]
        message = choice["message"]
        text, refusal = message.get("content"), message.get("refusal")
        usage = data.get("usage") or {}
    except (ValueError, RecursionError, KeyError, IndexError, TypeError, AttributeError):
        shown = " ".join(raw[:80].decode("utf-8", "replace").split())
        raise EndpointFailed(f"the body is no chat completion: it begins {shown!r}") from None
    if refusal or choice.get("finish_reason") == "content_filter":
        raise RefusedAnswer(str(refusal or "the content filter stopped it"))
    if isinstance(text, list):  # some servers send parts
        text = "".join(part.get("text", "") for part in text if isinstance(part, dict))
    if not isinstance(text, str):
        raise EndpointFailed("the body is no chat completion: its message holds no text")
    total = usage.get("total_tokens") if isinstance(usage, dict) else None
    return Reply(text, total if isinstance(total, int) and total > 0 else None)


def _message(text: str) -> str:
    """The human part of an error's body."""
    try:
        error = json.loads(text)["error"]
        return str(error["message"] if isinstance(error, dict) else error)
    except (ValueError, RecursionError, KeyError, TypeError):
        return text


def _wait_s(headers: Mapping[str, str]) -> float | None:
    """How long the endpoint asks to wait: `retry-after-ms`, or `Retry-After` in seconds or as a date."""
    try:
        if "retry-after-ms" in headers:
            return max(0.0, float(headers["retry-after-ms"]) / 1000)
        wish = headers.get("retry-after")
        if wish is None:
            return None
        if wish.strip().replace(".", "", 1).isdigit():
            return float(wish)
        return max(0.0, (parsedate_to_datetime(wish) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None
