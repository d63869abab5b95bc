"""Captions from any OpenAI-compatible chat-completions endpoint, through the `openai` package.

The frames leave this machine: use it only with footage that may leave. Base URL and key come from the
environment (`vitra_lib.core.environment`). Answers are cached on disk by content, so that a rerun asks nothing twice.
"""

import base64
import hashlib
import json
import logging
from pathlib import Path

import cv2

from vitra_lib.captioning.answer import Answer, BadAnswer, parse_answer
from vitra_lib.captioning.overlay import OverlayFrame
from vitra_lib.captioning.prompt import PROMPT_VERSION, system_prompt, task_prompt
from vitra_lib.contracts import Reconstruction, Segment
from vitra_lib.core.environment import chat_endpoint
from vitra_lib.core.errors import BadInput
from vitra_lib.core.files import atomic_path

_log = logging.getLogger(__name__)
_JPEG_QUALITY = 90
_TRIES = 3


class ChatCaptioner:
    """Asks a vision-language model, one request per segment.

    Attributes:
        name: "openai:<model>".
    """

    is_weak = False
    needs_images = True

    def __init__(self, model: str, cache_dir: Path | None = None, timeout_s: float = 60.0) -> None:
        """
        Args:
            model: the endpoint's name for the model ("gpt-4.1").
            cache_dir: folder of cached answers; None = ask every time.
            timeout_s: limit of one request [s].

        Raises:
            MissingAsset: no endpoint in the environment.
        """
        from openai import OpenAI  # 2 s to import: only those who ask a model pay for it

        endpoint = chat_endpoint()
        self.name = f"openai:{model}"
        self._model = model
        self._cache_dir = cache_dir
        # The package retries 408, 409, 429, 5xx and broken connections with exponential backoff.
        self._client = OpenAI(base_url=endpoint.base_url, api_key=endpoint.api_key, timeout=timeout_s, max_retries=4)

    def answer(self, reconstruction: Reconstruction, segment: Segment, frames: tuple[OverlayFrame, ...]) -> Answer:
        """Ask for one segment; a reply that isn't the wished JSON is asked for again, up to three times.

        Raises:
            BadInput: the endpoint refused the request or can't be reached (with what it said).
            BadAnswer: it never answered in the wished form.
        """
        jpegs = [_jpeg(frame) for frame in frames]
        key = self._key(segment, jpegs)
        cached = self._read_cache(key)
        if cached is not None:
            return cached
        for attempt in range(_TRIES):
            reply = self._ask(segment, jpegs)
            try:
                answer = parse_answer(reply)
            except BadAnswer as error:
                _log.warning("Reply %d of %d for frames [%d, %d): %s", attempt + 1, _TRIES, segment.start, segment.stop, error)
                if attempt == _TRIES - 1:
                    raise
                continue
            self._write_cache(key, reply)
            return answer
        raise AssertionError("unreachable: the last try either returns or raises")

    def _ask(self, segment: Segment, jpegs: list[bytes]) -> str:
        """One request; returns the reply's text."""
        import openai

        pictures = [
            {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()}} for jpeg in jpegs
        ]
        messages = [
            {"role": "system", "content": system_prompt()},
            {"role": "user", "content": [{"type": "text", "text": task_prompt(segment.side, len(jpegs))}, *pictures]},
        ]
        try:
            response = self._client.chat.completions.create(model=self._model, messages=messages, temperature=0.0)
        except openai.OpenAIError as error:
            raise BadInput(f"The caption endpoint gave no answer for model {self._model!r}: {error}") from error
        return (response.choices[0].message.content if response.choices else None) or ""

    def _key(self, segment: Segment, jpegs: list[bytes]) -> str:
        digest = hashlib.sha256(f"{self._model}\n{PROMPT_VERSION}\n{segment.side}\n".encode())
        for jpeg in jpegs:
            digest.update(hashlib.sha256(jpeg).digest())
        return digest.hexdigest()

    def _read_cache(self, key: str) -> Answer | None:
        path = self._cache_dir / f"{key}.json" if self._cache_dir else None
        if path is None or not path.exists():
            return None
        return parse_answer(json.loads(path.read_text())["reply"])

    def _write_cache(self, key: str, reply: str) -> None:
        if self._cache_dir is None:
            return
        self._cache_dir.mkdir(parents=True, exist_ok=True)
        with atomic_path(self._cache_dir / f"{key}.json") as temporary:
            temporary.write_text(json.dumps({"model": self._model, "prompt": PROMPT_VERSION, "reply": reply}))


def _jpeg(frame: OverlayFrame) -> bytes:
    """The picture as JPEG bytes."""
    bgr = cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1].tobytes()
