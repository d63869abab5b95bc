"""Many questions to a chat endpoint: in parallel, with patience, within limits, each answered once.

What fails for a while is asked again after a pause that doubles each time; when the endpoint says how long to wait,
all requests wait. What stays unanswered is listed, and asked again by the next run, for only answers are remembered.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vitra_lib.captioning.answer import BadAnswer, RefusedAnswer
from vitra_lib.captioning.answer_cache import AnswerCache, Failure
from vitra_lib.captioning.chat_config import ChatConfig, CostEstimate, Price
from vitra_lib.captioning.endpoint import Endpoint, EndpointFailed, EndpointMisconfigured, QuestionRejected
from vitra_lib.captioning.question import Question

_log = logging.getLogger(__name__)
UNANSWERED = "unanswered"
_SECOND_TEMPERATURE = 0.4  # at 0 the same unusable words would come back


@dataclass
class ChatCounts:
    """What a client did so far.

    Attributes:
        questions: questions given to it.
        cached: answered without a request.
        requests: requests sent.
        retries: those that repeated a question.
        answered, refused, bad_answers, unanswered: what became of the questions.
        tokens: used so far: what the endpoint counted, or the estimate where it doesn't say.
    """

    questions: int = 0
    cached: int = 0
    requests: int = 0
    retries: int = 0
    answered: int = 0
    refused: int = 0
    bad_answers: int = 0
    unanswered: int = 0
    tokens: int = 0


class LimitReached(Exception):
    """The next request would go over a cap of the settings."""


class _Stopped(Exception):
    """The run was given up meanwhile."""


@dataclass
class _Run:
    """State of one pass over the questions."""

    position_of: dict[Future, list[int]] = field(default_factory=dict)
    by_key: dict[str, Future] = field(default_factory=dict)
    failed: dict[str, Failure] = field(default_factory=dict)
    answered: set[str] = field(default_factory=set)
    misconfigured: EndpointMisconfigured | None = None


class ChatClient:
    """Asks questions of one endpoint.

    Attributes:
        counts: what was done so far.
    """

    def __init__(self, config: ChatConfig, cache_dir: Path | None = None, endpoint: Endpoint | None = None) -> None:
        """
        Args:
            config: address, limits and patience.
            cache_dir: folder of answers; None = remembered by this object alone.
            endpoint: one that is open already; None = a new one from the settings.

        Raises:
            MissingAsset: no endpoint in settings or environment.
        """
        self.config = config
        self.cache = AnswerCache(cache_dir)
        self.counts = ChatCounts()
        self.endpoint = endpoint or Endpoint(config)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._not_before_s = 0.0
        self._failed_in_a_row = 0
        self._random = random.Random(0)

    def estimate(self, questions: Iterable[Question], price: Price | None = None) -> CostEstimate:
        """What these questions would cost; asks nothing."""
        count = cached = tokens_in = 0
        seen: set[str] = set()
        for question in questions:
            count += 1
            if question.key in seen or self.cache.get(question.key) is not None:
                cached += 1
            else:
                tokens_in += question.tokens
            seen.add(question.key)
        tokens_out = (count - cached) * self.config.max_answer_tokens
        cost = None if price is None else (tokens_in * price.per_million_in + tokens_out * price.per_million_out) / 1e6
        return CostEstimate(count, cached, tokens_in, tokens_out, cost)

    def ask_all(
        self, questions: Iterable[Question], read: Callable[[str, Question], Any]
    ) -> Iterator[tuple[int, Any | Failure]]:
        """Ask every question, several at a time; questions are taken from the iterable only as they are needed.

        Args:
            questions: what to ask; equal ones are asked once.
            read: turns a reply to a question into an answer, or raises BadAnswer.

        Yields:
            (position, answer or Failure) in the order in which they become known, each position once.

        Raises:
            EndpointMisconfigured: the endpoint takes no question at all. What was answered before is kept.
        """
        self._stop.clear()
        self._failed_in_a_row = 0
        run = _Run()
        pool = ThreadPoolExecutor(self.config.concurrency, thread_name_prefix="chat")
        try:
            for position, question in enumerate(questions):
                self.counts.questions += 1
                known = self._known(question, read)
                if known is not None:
                    self.counts.cached += 1
                    run.answered.add(question.key)
                    yield position, known
                elif question.key in run.by_key:
                    self.counts.cached += 1
                    run.position_of[run.by_key[question.key]].append(position)
                else:
                    future = pool.submit(self._settle, question, read)
                    run.by_key[question.key], run.position_of[future] = future, [position]
                while len(run.position_of) >= 2 * self.config.concurrency:
                    yield from self._collect(run)
                if run.misconfigured:
                    break
            while run.position_of:
                yield from self._collect(run)
        finally:
            self._stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            self.cache.note_failures(run.failed, run.answered)
        if run.misconfigured:
            raise run.misconfigured

    def close(self) -> None:
        """Close the connections."""
        self.endpoint.close()

    def _known(self, question: Question, read: Callable[[str, Question], Any]) -> Any | None:
        """The remembered answer; a remembered refusal is a Failure. None = must be asked."""
        reply = self.cache.get(question.key)
        if reply is None:
            return None
        try:
            return read(reply, question)
        except RefusedAnswer as error:
            return Failure(question.item, "refused", str(error), 0)
        except BadAnswer:
            return None  # kept by a version of the kit that took more than this one

    def _collect(self, run: _Run) -> Iterator[tuple[int, Any | Failure]]:
        """Wait until some questions are settled, and say what became of them."""
        done, _ = wait(run.position_of, return_when=FIRST_COMPLETED)
        for future in sorted(done, key=lambda f: run.position_of[f][0]):
            positions = run.position_of.pop(future)
            key = next(key for key, other in run.by_key.items() if other is future)
            del run.by_key[key]
            try:
                outcome = future.result()
            except EndpointMisconfigured as error:
                self._stop.set()
                run.misconfigured = run.misconfigured or error
                continue
            if isinstance(outcome, Failure) and outcome.reason != "refused":
                run.failed[key] = outcome
            else:
                run.answered.add(key)
            for position in positions:
                yield position, outcome

    def _settle(self, question: Question, read: Callable[[str, Question], Any]) -> Any | Failure:
        """Ask one question until it is answered, refused, or patience or limits are at an end. Runs in a thread."""
        requests = bad = 0
        why = "the run was given up before its turn"
        while requests < self.config.max_tries and bad < self.config.max_bad_answers:
            try:
                self._wait(requests - bad)
                self._reserve(question, is_retry=requests > 0)
            except _Stopped:
                return self._count(Failure(question.item, UNANSWERED, why, requests))
            except LimitReached as limit:
                return self._count(Failure(question.item, UNANSWERED, str(limit), requests))
            requests += 1
            try:
                reply = self.endpoint.ask(question, _SECOND_TEMPERATURE if bad else 0.0)
                self._settled(question, reply.tokens)
                answer = read(reply.text, question)
            except RefusedAnswer as refusal:
                self.cache.put(question.key, question.model, refusal.reply)
                return self._count(self._known(question, read))
            except BadAnswer as error:
                bad, why = bad + 1, str(error)
                _log.info("%s: %s", question.item, error)
                continue
            except QuestionRejected as error:
                return self._count(Failure(question.item, UNANSWERED, f"not taken: {error}", requests))
            except EndpointFailed as error:
                why = str(error)
                self._postpone(error.wait_s)
                _log.info("%s: %s", question.item, why)
                continue
            self.cache.put(question.key, question.model, reply.text)
            self._count(None)
            return answer
        reason = "bad_answer" if bad >= self.config.max_bad_answers else UNANSWERED
        return self._count(Failure(question.item, reason, why, requests))

    def _wait(self, failed: int) -> None:
        """Pause before the next try: the endpoint's wish, and a pause that doubles, with jitter."""
        config = self.config
        longest = min(config.max_wait_s, config.first_wait_s * 2 ** (failed - 1)) if failed > 0 else 0.0
        with self._lock:
            pause = self._random.uniform(longest / 2, longest)
            pause = max(pause, self._not_before_s - time.monotonic())
        if self._stop.wait(pause) if pause > 0 else self._stop.is_set():
            raise _Stopped

    def _postpone(self, wait_s: float | None) -> None:
        """Let all requests wait as long as the endpoint asked for."""
        if wait_s is not None:
            with self._lock:
                until_s = time.monotonic() + min(wait_s, self.config.max_wait_s)
                self._not_before_s = max(self._not_before_s, until_s)

    def _reserve(self, question: Question, is_retry: bool) -> None:
        """Count a request before it is sent, so that no cap is ever passed."""
        config, tokens = self.config, question.tokens + self.config.max_answer_tokens
        with self._lock:
            if config.max_requests is not None and self.counts.requests >= config.max_requests:
                raise LimitReached(f"the limit of {config.max_requests} requests is reached")
            if config.max_tokens is not None and self.counts.tokens + tokens > config.max_tokens:
                raise LimitReached(f"the limit of {config.max_tokens} estimated tokens is reached")
            self.counts.requests += 1
            self.counts.retries += is_retry
            self.counts.tokens += tokens

    def _settled(self, question: Question, used: int | None) -> None:
        """Put what the endpoint counted in the place of the estimate."""
        if used is not None:
            with self._lock:
                self.counts.tokens += used - question.tokens - self.config.max_answer_tokens

    def _count(self, failure: Failure | None) -> Failure | None:
        """Count what became of a question; give the run up when the endpoint answers nothing any more."""
        names = {None: "answered", "refused": "refused", "bad_answer": "bad_answers", UNANSWERED: "unanswered"}
        name = names[failure.reason if failure else None]
        with self._lock:
            setattr(self.counts, name, getattr(self.counts, name) + 1)
            self._failed_in_a_row = self._failed_in_a_row + 1 if name == "unanswered" else 0
            if self._failed_in_a_row == self.config.give_up_after and not self._stop.is_set():
                _log.warning("The endpoint failed %d times in a row; the run is given up.", self._failed_in_a_row)
                self._stop.set()
        return failure
