"""Clocks: the machine's monotonic one, and one that a test or a dry run turns by hand."""

import time
from typing import Protocol, runtime_checkable


@runtime_checkable
class Clock(Protocol):
    """Monotonic time."""

    def now(self) -> float:
        """Seconds since some fixed moment."""
        ...

    def sleep_until(self, at_s: float) -> None:
        """Wait; returns at once when that time has passed."""
        ...


class WallClock:
    """The machine's."""

    def now(self) -> float:
        """Seconds since some fixed moment."""
        return time.monotonic()

    def sleep_until(self, at_s: float) -> None:
        """Wait; returns at once when that time has passed."""
        left = at_s - time.monotonic()
        if left > 0:
            time.sleep(left)


class ManualClock:
    """Stands still but for `sleep_until` and `advance`; a loop on it is exactly repeatable and needs no time."""

    def __init__(self, start_s: float = 0.0) -> None:
        """
        Args:
            start_s: time at the beginning.
        """
        self._now = start_s

    def now(self) -> float:
        """Seconds."""
        return self._now

    def sleep_until(self, at_s: float) -> None:
        """Jump there, never back."""
        self._now = max(self._now, at_s)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds
