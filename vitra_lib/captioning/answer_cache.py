"""Replies on disk, one file per question, named by the question's content; and a list of what failed.

<folder>/<2 letters>/<key>.json   {"model", "prompt", "reply"}: so that a rerun asks nothing twice
<folder>/failures.json            what the last runs could not get answered; the next run asks it again
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from vitra_lib.captioning.prompt import PROMPT_VERSION
from vitra_lib.core.files import write_json, write_text

FAILURES = "failures.json"


@dataclass(frozen=True)
class Failure:
    """A question that got no usable answer.

    Attributes:
        item: what it was about, for a human.
        reason: "bad_answer" = never in the wished form; "refused" = the model declined; "unanswered" = the endpoint
            failed or a limit was reached, and the next run asks again.
        detail: one sentence on what happened last.
        requests: how often it was asked in this run.
    """

    item: str
    reason: str
    detail: str
    requests: int


class AnswerCache:
    """Replies by key; in memory alone when there is no folder."""

    def __init__(self, folder: Path | None) -> None:
        """
        Args:
            folder: where replies are kept; None = for the life of this object.
        """
        self._folder = folder
        self._replies: dict[str, str] = {}

    def get(self, key: str) -> str | None:
        """The reply to a question, or None. A damaged file counts as none: it is asked again."""
        if self._folder is None:
            return self._replies.get(key)
        try:
            reply = json.loads(self._file(key).read_text(encoding="utf-8"))["reply"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return reply if isinstance(reply, str) else None

    def put(self, key: str, model: str, reply: str) -> None:
        """Keep a reply."""
        if self._folder is None:
            self._replies[key] = reply
            return
        text = json.dumps({"model": model, "prompt": PROMPT_VERSION, "reply": reply}, ensure_ascii=False)
        write_text(self._file(key), text + "\n")

    def _file(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.json"  # a folder of a million files would be slow

    def failures(self) -> dict[str, Failure]:
        """What earlier runs could not get answered, by key."""
        try:
            listed = json.loads((self._folder / FAILURES).read_text(encoding="utf-8")) if self._folder else {}
            return {key: Failure(**entry) for key, entry in listed.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}

    def note_failures(self, failed: Mapping[str, Failure], answered: set[str]) -> None:
        """Bring the list up to date after a run.

        Args:
            failed: what this run could not get answered, by key.
            answered: keys of what it did.
        """
        if self._folder is None:
            return
        before = self.failures()
        now = {key: entry for key, entry in (before | dict(failed)).items() if key not in answered}
        if now != before:
            write_json(self._folder / FAILURES, {key: asdict(now[key]) for key in sorted(now)})
