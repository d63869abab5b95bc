"""Questions and answers as the JSONL files of OpenAI's Batch API: for large corpora, at its lower price.

Write the questions that have no answer yet (`export_batch`), upload the files, and read what comes back into the
cache (`import_batch`); the next ordinary run then finds the answers there and asks only for what failed.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitra_lib.captioning.answer import BadAnswer, RefusedAnswer
from vitra_lib.captioning.answer_cache import AnswerCache
from vitra_lib.captioning.endpoint import EndpointFailed, read_completion
from vitra_lib.captioning.question import Question
from vitra_lib.core.errors import BadInput
from vitra_lib.core.files import atomic_path

_MAX_LINES = 50_000  # OpenAI's limits for one file
_MAX_BYTES = 190_000_000
_URL = "/v1/chat/completions"


@dataclass(frozen=True)
class BatchCounts:
    """What an imported file held.

    Attributes:
        answered: answers taken into the cache.
        refused: questions that the model declined; remembered too.
        failed: answers that can't be used; they are asked again by the next run.
        known: answers that were in the cache before.
    """

    answered: int
    refused: int
    failed: int
    known: int


def export_batch(
    questions: Iterable[Question], path: Path, cache: AnswerCache, max_answer_tokens: int = 500
) -> tuple[Path, ...]:
    """Write the questions without an answer as Batch-API requests; `custom_id` is the question's key.

    Args:
        questions: what to ask; equal ones are written once.
        path: "name.jsonl"; when one file would be too large, "name-2.jsonl" and so on follow.
        cache: answers that are known already.
        max_answer_tokens: longest reply that is asked for.

    Returns:
        The files written; () when every answer is known.

    Raises:
        WriteFailed: the folder can't be written.
    """
    lines = _lines(questions, cache, max_answer_tokens)
    written: list[Path] = []
    line = next(lines, None)
    while line is not None:
        target = path if not written else path.with_name(f"{path.stem}-{len(written) + 1}{path.suffix}")
        with atomic_path(target) as part, part.open("wb") as stream:
            count = size = 0
            while line is not None and count < _MAX_LINES and size + len(line) <= _MAX_BYTES:
                stream.write(line)
                count, size = count + 1, size + len(line)
                line = next(lines, None)
        written.append(target)
    return tuple(written)


def import_batch(path: Path, model: str, cache: AnswerCache, read: Callable[[str], Any]) -> BatchCounts:
    """Take the answers of a Batch-API output file into the cache.

    Args:
        path: the output file.
        model: the model that was asked.
        cache: where answers are kept.
        read: turns a reply into an answer, or raises BadAnswer; what it refuses isn't kept.

    Raises:
        BadInput: the file can't be read, or a line of it is no Batch-API result.
    """
    answered = refused = failed = known = 0
    for number, line in _numbered(path):
        key, body = _result(path, number, line)
        if cache.get(key) is not None:
            known += 1
            continue
        try:
            reply = read_completion(json.dumps(body).encode()).text
            read(reply)
            answered += 1
        except RefusedAnswer as refusal:
            reply = refusal.reply
            refused += 1
        except (BadAnswer, EndpointFailed):
            failed += 1
            continue
        cache.put(key, model, reply)
    return BatchCounts(answered, refused, failed, known)


def _lines(questions: Iterable[Question], cache: AnswerCache, max_answer_tokens: int) -> Iterator[bytes]:
    seen: set[str] = set()
    for question in questions:
        if question.key in seen or cache.get(question.key) is not None:
            continue
        seen.add(question.key)
        request = {"custom_id": question.key, "method": "POST", "url": _URL, "body": question.body(max_answer_tokens)}
        yield (json.dumps(request, ensure_ascii=False) + "\n").encode()


def _numbered(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with path.open(encoding="utf-8") as stream:
            yield from ((number, line) for number, line in enumerate(stream, start=1) if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} can't be read as a Batch-API output file: {error}.") from error


def _result(path: Path, number: int, line: str) -> tuple[str, Any]:
    """Key and body of one line; the body is None where the request failed."""
    try:
        result = json.loads(line)
        key, response = result["custom_id"], result.get("response") or {}
        is_key = isinstance(key, str) and len(key) == 64 and set(key) <= set("0123456789abcdef")
        body = response.get("body") if response.get("status_code") == 200 else None
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        is_key = False
    if not is_key:
        raise BadInput(f"Line {number} of {path} is no result of a batch that `vitra caption` wrote.")
    return key, body
