"""Counters of the server, in the text format that Prometheus reads."""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
SIZES = (1, 2, 4, 8, 16, 32, 64)


@dataclass
class Histogram:
    """How often a value fell below each of some bounds.

    Attributes:
        bounds: upper bounds, ascending.
        counts: one count per bound and one for what is above all.
        total: sum of the values.
    """

    bounds: tuple[float | int, ...]
    counts: list[int] = field(default_factory=list)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.counts = self.counts or [0] * (len(self.bounds) + 1)

    @property
    def count(self) -> int:
        """Number of values."""
        return sum(self.counts)

    def add(self, value: float | int) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def lines(self, name: str) -> list[str]:
        """The samples of the text format; its buckets are cumulative."""
        below, lines = 0, []
        for bound, count in zip((*self.bounds, None), self.counts, strict=True):
            below += count
            lines.append(f'{name}_bucket{{le="{"+Inf" if bound is None else f"{bound:g}"}"}} {below}')
        return [*lines, f"{name}_sum {self.total:g}", f"{name}_count {below}"]


class Metrics:
    """What the server has done so far.

    Attributes:
        requests: outcome -> number of requests; outcomes are "ok" and the codes of refusals.
        connections: outcome -> number of connections that were "accepted", or refused: "unauthorised", "full", …,
            or cut: "slow_message", "slow_reader", "too_many_bad_messages".
        received_bytes, sent_bytes: of messages.
        request_seconds: from the request's arrival to its answer [s].
        infer_seconds: of one call of the policy [s].
        batch_sizes: requests answered by one call of the policy.
        gauges: name -> a function that reads a present value.
    """

    def __init__(self) -> None:
        self.requests: dict[str, int] = {"ok": 0}
        self.connections: dict[str, int] = {"accepted": 0}
        self.received_bytes = self.sent_bytes = 0
        self.request_seconds, self.infer_seconds = Histogram(SECONDS), Histogram(SECONDS)
        self.batch_sizes = Histogram(SIZES)
        self.gauges: dict[str, tuple[str, Callable[[], float]]] = {}

    def request(self, outcome: str) -> None:
        """Count a request."""
        self.requests[outcome] = self.requests.get(outcome, 0) + 1

    def connection(self, outcome: str) -> None:
        """Count a connection."""
        self.connections[outcome] = self.connections.get(outcome, 0) + 1

    def text(self) -> str:
        """All of it in Prometheus' text format (version 0.0.4)."""
        lines = []
        for name, what, counts in (
            ("requests", "Requests by outcome.", self.requests),
            ("connections", "Connections by outcome.", self.connections),
        ):
            full = f"vitra_server_{name}_total"
            lines += [f"# HELP {full} {what}", f"# TYPE {full} counter"]
            lines += [f'{full}{{outcome="{outcome}"}} {count}' for outcome, count in counts.items()]
        for name, count in (("received", self.received_bytes), ("sent", self.sent_bytes)):
            full = f"vitra_server_{name}_bytes_total"
            lines += [f"# HELP {full} Bytes of messages {name}.", f"# TYPE {full} counter", f"{full} {count}"]
        for name, what, histogram in (
            ("request_seconds", "From a request's arrival to its answer.", self.request_seconds),
            ("infer_seconds", "One call of the policy.", self.infer_seconds),
            ("batch_size", "Requests answered by one call of the policy.", self.batch_sizes),
        ):
            full = f"vitra_server_{name}"
            lines += [f"# HELP {full} {what}", f"# TYPE {full} histogram", *histogram.lines(full)]
        for name, (what, read) in self.gauges.items():
            full = f"vitra_server_{name}"
            lines += [f"# HELP {full} {what}", f"# TYPE {full} gauge", f"{full} {read():g}"]
        return "\n".join(lines) + "\n"
