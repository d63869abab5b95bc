"""A client of the policy server for robots: needs NumPy and websockets, no torch, and refuses old answers.

An answer counts only if it belongs to the request that was sent and came back before the observation grew too old. It
also talks to openpi's own servers, which know no sequence numbers: one request at a time is on its way, and a
connection whose answer did not come in time is given up, so that a late answer can't be taken for a later one.
"""

import logging
import random
import socket
import struct
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from robot.serving.protocol import (
    DEADLINE,
    DEFAULT_PORT,
    SEQUENCE,
    BadMessage,
    Refusal,
    WireLimits,
    decode,
    encode,
    read_refusal,
)
from vitra_lib.core.errors import BadInput, VitraError

_LOG = logging.getLogger(__name__)


class ServerUnavailable(VitraError):
    """No server answers at the address, or the connection broke and did not come back in time."""


class StaleAnswer(VitraError):
    """The answer came too late, or belongs to another observation; it must not be executed."""


class RequestRefused(VitraError):
    """The server refused the request.

    Attributes:
        refusal: code and sentence.
    """

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


@dataclass(frozen=True)
class ClientConfig:
    """Where the server is, and how fresh its answers must be.

    Attributes:
        host, port: of the server.
        api_key: sent with the handshake; None = none.
        deadline_s: largest age of an observation when its answer is handed out [s].
        patience_s: how long the first connection is tried [s].
        handshake_s: time for one try [s].
        first_wait_s: pause after a failed try, doubled after each further one [s].
        longest_wait_s: largest pause between two tries [s].
        limits: largest answer.
    """

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    api_key: str | None = field(default=None, repr=False)
    deadline_s: float = 1.0
    patience_s: float = 60.0
    handshake_s: float = 5.0
    first_wait_s: float = 0.05
    longest_wait_s: float = 5.0
    limits: WireLimits = WireLimits()

    def __post_init__(self) -> None:
        if min(self.deadline_s, self.patience_s, self.handshake_s, self.first_wait_s, self.longest_wait_s) <= 0:
            raise BadInput("The times of a client must be above 0.")


@dataclass(frozen=True, eq=False)
class ServedAnswer:
    """A fresh answer.

    Attributes:
        content: what the policy said; its arrays are copies that may be changed.
        seq: number of the request.
        age_s: age of the observation when the answer was handed out [s].
    """

    content: dict[str, Any]
    seq: int
    age_s: float


class PolicyClient:
    """A connection to a policy server that mends itself; a context manager, for one thread.

    Attributes:
        metadata: what the server said of itself when it was last reached.
        reconnections: how often the connection was made anew.
    """

    def __init__(self, config: ClientConfig | None = None) -> None:
        self._config = config or ClientConfig()
        self._connection: ClientConnection | None = None
        self._wait_s = self._config.first_wait_s
        self._seq = 0
        self.metadata: dict[str, Any] = {}
        self.reconnections = -1

    def __enter__(self) -> "PolicyClient":
        self.connect()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def connect(self) -> None:
        """Reach the server, trying again with growing pauses.

        Raises:
            ServerUnavailable: not reached within `patience_s`.
            BadInput: the server wants another key.
        """
        self._reach(time.monotonic() + self._config.patience_s)

    def close(self) -> None:
        """Leave; `infer` would connect again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def infer(self, observation: dict[str, Any], observed_s: float | None = None) -> ServedAnswer:
        """Ask for actions; a broken connection is mended and the request sent again while it is fresh.

        Args:
            observation: names -> values as the server's metadata say.
            observed_s: when the observation was made, on `time.monotonic`'s clock [s]; now when None.

        Returns:
            An answer to this observation, no older than `deadline_s`.

        Raises:
            StaleAnswer: none came in time.
            RequestRefused: the server refused it.
            ServerUnavailable: the server can't be reached before the observation is too old.
        """
        observed_s = time.monotonic() if observed_s is None else observed_s
        until = observed_s + self._config.deadline_s
        self._seq += 1
        while True:
            self._left(until)
            if self._connection is None:
                self._reach(until)
            try:
                return self._ask(observation, observed_s, until)
            except ConnectionClosed:
                self._connection = None

    def _ask(self, observation: dict[str, Any], observed_s: float, until: float) -> ServedAnswer:
        """One request over the present connection."""
        left = self._left(until)
        numbered = "protocol" in self.metadata
        extra = {SEQUENCE: self._seq, DEADLINE: min(left, self._longest())} if numbered else {}
        self._connection.send(encode(observation | extra))
        try:
            message = self._connection.recv(timeout=max(until - time.monotonic(), 0.0))
        except TimeoutError:
            self._abandon()
            raise StaleAnswer(f"No answer came within {self._config.deadline_s:g} s.") from None
        if isinstance(message, str):
            self._refused(read_refusal(message))
        try:
            content = decode(message, self._config.limits)
        except BadMessage:
            self._abandon()
            raise
        if not isinstance(content, dict) or (numbered and content.get(SEQUENCE) != self._seq):
            self._abandon()
            raise StaleAnswer("The answer belongs to another request; the connection is given up.")
        age_s = time.monotonic() - observed_s
        if age_s > self._config.deadline_s:
            raise StaleAnswer(f"The answer came after {age_s:.3f} s; {self._config.deadline_s:g} s are legal.")
        return ServedAnswer(_writable(content), self._seq, age_s)

    def _left(self, until: float) -> float:
        """Time that the observation stays fresh [s]."""
        left = until - time.monotonic()
        if left <= 0:
            raise StaleAnswer(f"The observation is older than {self._config.deadline_s:g} s; make a new one.")
        return left

    def _refused(self, refusal: Refusal) -> None:
        """Raise what a refusal means."""
        if refusal.code in ("internal", "shutting_down"):
            self._abandon()
        if refusal.code == "expired":
            raise StaleAnswer(refusal.message)
        raise RequestRefused(refusal)

    def _longest(self) -> float:
        """The longest deadline that the server takes [s]."""
        rules = self.metadata.get("protocol")
        longest = rules.get("longest_deadline_s") if isinstance(rules, dict) else None
        return float(longest) if isinstance(longest, int | float) and longest > 0 else self._config.deadline_s

    def _abandon(self) -> None:
        """Give the connection up at once, without waiting for the other side."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close_timeout = 0.05
            connection.close()

    def _reach(self, until: float) -> None:
        """Connect and read the metadata, trying until a moment."""
        config = self._config
        while True:
            left = until - time.monotonic()
            if left <= 0:
                raise ServerUnavailable(
                    f"No policy server answers at {config.host}:{config.port}; is `vitra serve` running there?"
                )
            try:
                self._greet(left)
            except InvalidStatus as error:
                if error.response.status_code == 401:
                    raise BadInput("The policy server wants an API key, and this is not it.") from None
            except (OSError, InvalidHandshake, ConnectionClosed) as error:
                _LOG.debug("no server yet: %s", error)
            else:
                return
            time.sleep(max(min(self._wait_s * random.uniform(0.5, 1.0), until - time.monotonic()), 0.0))
            self._wait_s = min(2 * self._wait_s, config.longest_wait_s)

    def _greet(self, left: float) -> None:
        """One try, which may take so long."""
        config = self._config
        headers = {"Authorization": f"Api-Key {config.api_key}"} if config.api_key else None
        connection = ExitStack().enter_context(connect(
            f"ws://{_bracketed(config.host)}:{config.port}", additional_headers=headers, compression=None,
            max_size=config.limits.message_bytes, open_timeout=min(left, config.handshake_s), proxy=None,
        ))  # fmt: skip
        try:
            metadata = decode(connection.recv(timeout=config.handshake_s), config.limits)
            if not isinstance(metadata, dict):
                raise BadMessage(f"{config.host}:{config.port} does not greet as a policy server does.")
        except BaseException:
            connection.close()
            raise
        # A server that has stopped reading must not hold a robot's loop: sending, too, ends with the deadline.
        seconds, part = divmod(config.deadline_s, 1.0)
        limit = struct.pack("ll", int(seconds), max(int(1e6 * part), 1))
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        self._connection, self.metadata, self._wait_s = connection, metadata, config.first_wait_s
        self.reconnections += 1


def _bracketed(host: str) -> str:
    """A host as it stands in a URL."""
    return f"[{host}]" if ":" in host else host


def _writable(value: Any) -> Any:
    """The value with arrays of its own."""
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, dict):
        return {key: _writable(item) for key, item in value.items()}
    return [_writable(item) for item in value] if isinstance(value, list) else value
