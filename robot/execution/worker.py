"""Asking a slow policy beside a fast loop: in a thread, or, on a clock that is turned by hand, with a given latency."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol, runtime_checkable

from robot.drivers.clock import Clock


@runtime_checkable
class Worker(Protocol):
    """Does one job at a time."""

    @property
    def is_busy(self) -> bool:
        """A job runs, or its result waits."""
        ...

    def start(self, job: Callable[[], Any]) -> None:
        """Begin a job."""
        ...

    def take(self) -> Any | None:
        """The result, once; None while there is none. Raises what the job raised."""
        ...

    def close(self) -> None:
        """End."""
        ...


class ThreadWorker:
    """A thread of its own."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="policy")
        self._future: Future | None = None

    @property
    def is_busy(self) -> bool:
        """A job runs, or its result waits."""
        return self._future is not None

    def start(self, job: Callable[[], Any]) -> None:
        """Begin a job."""
        self._future = self._pool.submit(job)

    def take(self) -> Any | None:
        """The result, once; None while there is none."""
        if self._future is None or not self._future.done():
            return None
        future, self._future = self._future, None
        return future.result()

    def close(self) -> None:
        """End without waiting for the job."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class DelayedWorker:
    """Does the job at once and hands its result out after a given time of its clock: exactly repeatable."""

    def __init__(self, clock: Clock, latency_s: float) -> None:
        """
        Args:
            clock: time.
            latency_s: from start to result.
        """
        self._clock, self._latency_s = clock, latency_s
        self._waiting: tuple[float, Any] | None = None

    @property
    def is_busy(self) -> bool:
        """A result waits."""
        return self._waiting is not None

    def start(self, job: Callable[[], Any]) -> None:
        """Do a job."""
        self._waiting = (self._clock.now() + self._latency_s, job())

    def take(self) -> Any | None:
        """The result, once its time has come."""
        if self._waiting is None or self._clock.now() < self._waiting[0] - 1e-9:
            return None
        (_, result), self._waiting = self._waiting, None
        return result

    def close(self) -> None:
        """Nothing to end."""
