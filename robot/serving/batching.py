"""One call of the policy for several clients: requests that wait at the same time share it.

The policy runs in one thread of its own, so the server answers health checks and refuses what it must while a policy
computes. A request waits for company only while other clients are at work that may still send one, and never longer
than the window; a single client pays nothing.
"""

import asyncio
import logging
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread
from typing import Any, Protocol, runtime_checkable

from robot.serving.metrics import Metrics
from robot.serving.protocol import Refusal
from vitra_lib.core.errors import BadInput

_LOG = logging.getLogger(__name__)


@runtime_checkable
class ServedPolicy(Protocol):
    """What a server can serve.

    Attributes:
        metadata: what clients are told when they connect: plain values.
    """

    metadata: dict[str, Any]

    def prepare(self, observation: dict[str, Any]) -> Any:
        """Check one observation; quick, for it runs between two messages.

        Raises:
            BadInput: something is missing or impossible; the client gets the sentence.
        """
        ...

    def infer(self, prepared: Sequence[Any]) -> list[dict[str, Any]]:
        """Answer several observations in one call; the order is kept. An answer must not depend on its neighbours."""
        ...


@dataclass(frozen=True)
class BatchingConfig:
    """How requests share calls.

    Attributes:
        largest: requests in one call; 1 = no batching.
        window_s: how long a request waits for company [s].
        recent_s: a client that has been silent for longer is not waited for [s].
        waiting: requests that may wait; more are refused at once.
    """

    largest: int = 8
    window_s: float = 0.003
    recent_s: float = 1.0
    waiting: int = 256

    def __post_init__(self) -> None:
        if self.largest < 1 or self.waiting < 1:
            raise BadInput("A batch and a queue hold at least one request.")
        if not 0.0 <= self.window_s <= 1.0 or self.recent_s < 0:
            raise BadInput(f"The batching window is {self.window_s} s; legal is 0 to 1.")


class Refused(Exception):
    """A request that gets no answer, with the reason."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


@dataclass(eq=False)
class _Waiting:
    """A request in the queue: what to compute, since when and until when, and whom to tell."""

    prepared: Any
    arrived: float
    deadline: float
    answer: asyncio.Future


@dataclass(frozen=True)
class Answer:
    """What came out of the policy.

    Attributes:
        content: the policy's answer.
        infer_s: time of the call [s].
        queue_s: time before the call [s].
        batch_size: requests that shared the call.
    """

    content: dict[str, Any]
    infer_s: float
    queue_s: float
    batch_size: int


class Batcher:
    """The queue in front of a policy."""

    def __init__(
        self,
        policy: ServedPolicy,
        config: BatchingConfig,
        metrics: Metrics,
        company: Callable[[], int],
        shows_traces: bool = False,
    ) -> None:
        """
        Args:
            policy: what is served.
            config: how requests share calls.
            metrics: where calls are counted.
            company: how many clients may have a request by now; each has one at a time.
            shows_traces: put the policy's traceback into refusals.
        """  # fmt: skip
        self._policy, self._config, self._metrics, self._company = policy, config, metrics, company
        self._shows_traces = shows_traces
        self._queue: deque[_Waiting] = deque()
        self._work: SimpleQueue[list[_Waiting] | None] = SimpleQueue()
        self._thread = Thread(target=self._compute, name="policy", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._window: asyncio.TimerHandle | None = None
        self._computing_since: float | None = None
        self._open = 0

    @property
    def waiting(self) -> int:
        """Requests that wait or are computed."""
        return self._open

    @property
    def computing_s(self) -> float:
        """How long the present call of the policy has run [s]; 0 when there is none."""
        since = self._computing_since
        return 0.0 if since is None else time.monotonic() - since

    def start(self) -> None:
        """Begin to answer; inside a running event loop."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def stop(self) -> None:
        """End; what still waits is refused by its deadline."""
        self._queue.clear()
        self._work.put(None)

    async def submit(self, prepared: Any, deadline: float) -> Answer:
        """Wait for the policy's answer.

        Args:
            prepared: what `ServedPolicy.prepare` made.
            deadline: moment on the monotonic clock after which an answer is worthless [s].

        Raises:
            Refused: expired, overloaded, or the policy failed.
        """
        if self._open >= self._config.waiting:
            raise Refused(Refusal("overloaded", f"{self._open} requests wait already; try again later."))
        now = time.monotonic()
        one = _Waiting(prepared, now, deadline, self._loop.create_future())
        alarm = self._loop.call_later(max(deadline - now, 0.0), _expire, one.answer)
        self._open += 1
        try:
            self._queue.append(one)
            self._dispatch()
            answer = await one.answer
        finally:
            alarm.cancel()
            self._open -= 1
        if time.monotonic() > deadline:
            raise Refused(_EXPIRED)
        return answer

    def _dispatch(self) -> None:
        """Give the policy its next call, if it is idle and no company is worth waiting for."""
        while self._queue and self._queue[0].answer.done():
            self._queue.popleft()  # its client has left, or its deadline has passed
        if self._computing_since is not None or not self._queue:
            return
        left = self._queue[0].arrived + self._config.window_s - time.monotonic()
        if left > 0 and len(self._queue) < min(self._config.largest, self._company()):
            if self._window is None:
                self._window = self._loop.call_later(left, self._end_window)
            return
        if self._window is not None:
            self._window.cancel()
            self._window = None
        batch: list[_Waiting] = []
        while self._queue and len(batch) < self._config.largest:
            one = self._queue.popleft()
            if not one.answer.done():
                batch.append(one)
        self._computing_since = time.monotonic()
        self._work.put(batch)

    def _end_window(self) -> None:
        """Nobody else has come."""
        self._window = None
        self._dispatch()

    def _compute(self) -> None:
        """The policy's own thread: one batch after the other."""
        while (batch := self._work.get()) is not None:
            start = time.monotonic()
            outcomes = self._infer([one.prepared for one in batch])
            seconds = time.monotonic() - start
            try:
                self._loop.call_soon_threadsafe(self._tell, batch, outcomes, start, seconds)
            except RuntimeError:
                return  # the event loop has been closed meanwhile

    def _tell(
        self, batch: list[_Waiting], outcomes: list[dict[str, Any] | Refusal], start: float, seconds: float
    ) -> None:
        """Hand the answers out and go on."""
        self._computing_since = None
        self._metrics.infer_seconds.add(seconds)
        self._metrics.batch_sizes.add(len(batch))
        for one, outcome in zip(batch, outcomes, strict=True):
            if one.answer.done():
                continue
            if isinstance(outcome, Refusal):
                one.answer.set_exception(Refused(outcome))
            else:
                one.answer.set_result(Answer(outcome, seconds, start - one.arrived, len(batch)))
        self._dispatch()

    def _infer(self, prepared: list[Any]) -> list[dict[str, Any] | Refusal]:
        """Call the policy; when a shared call fails, each request alone, so that one can't spoil the others."""
        try:
            answers = self._policy.infer(prepared)
            if len(answers) != len(prepared):
                raise RuntimeError(f"The policy gave {len(answers)} answers to {len(prepared)} requests.")
            return list(answers)
        except Exception as error:  # whatever a policy raises, the other clients are still to be served
            if len(prepared) > 1:
                return [outcome for one in prepared for outcome in self._infer([one])]
            if isinstance(error, BadInput):
                return [Refusal("bad_observation", str(error))]
            _LOG.exception("the policy failed")
            trace = traceback.format_exc() if self._shows_traces else ""
            return [Refusal("internal", "The policy failed; the server's log says why.", trace=trace)]


_EXPIRED = Refusal("expired", "No answer was ready before the deadline; the observation is too old by now.")


def _expire(answer: asyncio.Future) -> None:
    """The deadline of a request has come."""
    if not answer.done():
        answer.set_exception(Refused(_EXPIRED))
