"""The policy server: openpi's websocket protocol, with limits.

A client connects and is sent the metadata; then it sends observations, one at a time, and gets an answer or a refusal
(a text frame) for each. `GET /healthz` says whether the server works, `GET /metrics` what it has done. It listens on
this machine alone unless told otherwise, and never without a key for other machines.
"""

import asyncio
import contextlib
import hmac
import http
import ipaddress
import itertools
import logging
import math
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode
from websockets.http11 import Request, Response

from robot.serving.batching import Batcher, BatchingConfig, Refused, ServedPolicy
from robot.serving.connection import WatchedConnection
from robot.serving.metrics import Metrics
from robot.serving.protocol import (
    DEADLINE,
    DEFAULT_PORT,
    PROTOCOL,
    SEQUENCE,
    BadMessage,
    Refusal,
    WireLimits,
    decode,
    encode,
)
from vitra_lib.core.errors import BadInput

_LOG = logging.getLogger(__name__)
_MAX_SEQUENCE = 1 << 63


@dataclass(frozen=True)
class ServerConfig:
    """Where and how to serve.

    Attributes:
        host: address to listen on; other machines reach it only if it is not a loopback address.
        port: 0 = any free one.
        api_key: what clients must send as "Authorization: Api-Key …"; None = none is asked for.
        allows_network: listen on an address that other machines reach; needs a key.
        limits: largest message.
        batching: how clients share calls of the policy.
        connections: clients at a time.
        handshake_s: time for the opening handshake [s].
        message_s: time from the first byte of a message to its last, and for a client to take an answer [s].
        deadline_s: age at which an answer is worthless, if the request does not say; the largest a request may say [s].
        ping_s: pause between two checks whether a silent client is still there [s].
        drain_s: time for answers in flight when the server is stopped [s].
        stall_s: a call of the policy that takes longer makes the server unhealthy [s].
        bad_messages: bad messages in a row after which a client is cut off.
        shows_traces: put tracebacks of the policy into refusals, for debugging.
    """

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    api_key: str | None = field(default=None, repr=False)
    allows_network: bool = False
    limits: WireLimits = WireLimits()
    batching: BatchingConfig = BatchingConfig()
    connections: int = 256
    handshake_s: float = 5.0
    message_s: float = 10.0
    deadline_s: float = 30.0
    ping_s: float = 20.0
    drain_s: float = 10.0
    stall_s: float = 60.0
    bad_messages: int = 20
    shows_traces: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.port < 1 << 16:
            raise BadInput(f"The port is {self.port}; legal is 0 to 65535.")
        times = (self.handshake_s, self.message_s, self.deadline_s, self.ping_s, self.drain_s, self.stall_s)
        if not all(0 < seconds < math.inf for seconds in times) or self.connections < 1 or self.bad_messages < 1:
            raise BadInput("The limits of a server must be above 0.")
        if self.api_key is not None and not (self.api_key.isascii() and self.api_key.isprintable() and self.api_key):
            raise BadInput("The API key is empty or holds characters that no key has.")
        if is_loopback(self.host):
            return
        if not self.allows_network:
            raise BadInput(f"{self.host} can be reached by other machines: say --allow-network, or use 127.0.0.1.")
        if self.api_key is None:
            raise BadInput(f"{self.host} can be reached by other machines, so it needs a key: give --api-key-env NAME.")


def is_loopback(host: str) -> bool:
    """Whether an address is reached by this machine alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class PolicyServer:
    """Serves one policy; `async with PolicyServer(policy, config) as server: …`.

    Attributes:
        metrics: what it has done so far.
    """

    def __init__(self, policy: ServedPolicy, config: ServerConfig | None = None) -> None:
        self._config = config or ServerConfig()
        self._policy = policy
        self.metrics = Metrics()
        self._clients: set[WatchedConnection] = set()
        rules, shows_traces = self._config.batching, self._config.shows_traces
        self._batcher = Batcher(policy, rules, self.metrics, self._at_work, shows_traces)
        self._metadata = encode(self._greeting())
        self._is_draining = False
        self._server: Server | None = None
        self._watch: asyncio.Task | None = None
        gauges = self.metrics.gauges
        gauges["connected"] = ("Clients that are connected.", lambda: len(self._clients))
        gauges["waiting"] = ("Requests that wait or are computed.", lambda: self._batcher.waiting)
        gauges["computing_seconds"] = ("Age of the present call of the policy.", lambda: self._batcher.computing_s)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        if self._server is None:
            raise BadInput("The server does not listen yet.")
        return next(iter(self._server.sockets)).getsockname()[1]

    async def __aenter__(self) -> "PolicyServer":
        config = self._config
        quiet = logging.getLogger(f"{__name__}.websocket")
        quiet.setLevel(logging.CRITICAL)  # strangers who send rubbish shall not fill the log
        self._batcher.start()
        connection = type("WatchedConnection", (WatchedConnection,), {"most": config.connections, "alive": set()})
        try:
            self._server = await serve(
                self._handle, config.host, config.port, process_request=self._admit, create_connection=connection,
                compression=None, origins=[None], max_size=config.limits.message_bytes, max_queue=1, logger=quiet,
                open_timeout=config.handshake_s, ping_interval=config.ping_s, ping_timeout=config.ping_s,
                close_timeout=2.0, server_header=None,
            )  # fmt: skip
        except OSError as error:
            self._batcher.stop()
            where = f"{config.host}:{config.port}"
            raise BadInput(f"Can't listen on {where}: {error.strerror}; use another port.") from None
        self._watch = asyncio.get_running_loop().create_task(self._cut_slow_ones())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Answer what is in flight, refuse what is new, then close."""
        if self._server is None:
            return
        self._is_draining = True
        end = time.monotonic() + self._config.drain_s
        while self._batcher.waiting and time.monotonic() < end:
            await asyncio.sleep(0.01)
        server, self._server = self._server, None
        server.close()
        self._watch.cancel()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(server.wait_closed(), 5.0)
        self._batcher.stop()

    def _at_work(self) -> int:
        """Clients that have sent something lately."""
        since = time.monotonic() - self._config.batching.recent_s
        return sum(client.asked_at > since for client in self._clients)

    def _greeting(self) -> dict[str, Any]:
        """What a client is told first: the policy's words and the server's rules."""
        return dict(self._policy.metadata) | {
            "protocol": {
                "name": PROTOCOL,
                "sequence": SEQUENCE,
                "deadline": DEADLINE,
                "longest_deadline_s": self._config.deadline_s,
                "largest_message_bytes": self._config.limits.message_bytes,
                "largest_batch": self._config.batching.largest,
            }
        }

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer plain HTTP, and decide who may open a websocket."""
        path = request.path.partition("?")[0]
        if path == "/healthz":
            is_stalled = self._batcher.computing_s > self._config.stall_s
            if self._is_draining or is_stalled:
                why = "stalled\n" if is_stalled else "stopping\n"
                return connection.respond(http.HTTPStatus.SERVICE_UNAVAILABLE, why)
            return connection.respond(http.HTTPStatus.OK, "OK\n")
        if not self._has_key(request):
            self.metrics.connection("unauthorised")
            return connection.respond(http.HTTPStatus.UNAUTHORIZED, "Send the header Authorization: Api-Key KEY.\n")
        if path == "/metrics":
            return connection.respond(http.HTTPStatus.OK, self.metrics.text())
        if path != "/":
            return connection.respond(http.HTTPStatus.NOT_FOUND, "Legal are /, /healthz and /metrics.\n")
        if self._is_draining or len(self._clients) >= self._config.connections:
            self.metrics.connection("stopping" if self._is_draining else "full")
            return connection.respond(http.HTTPStatus.SERVICE_UNAVAILABLE, "The server takes no more clients now.\n")
        return None

    def _has_key(self, request: Request) -> bool:
        """Whether the request holds the key; compared in a time that tells nothing."""
        if self._config.api_key is None:
            return True
        given = request.headers.get_all("Authorization")
        wanted = f"Api-Key {self._config.api_key}"
        return len(given) == 1 and hmac.compare_digest(given[0].encode("utf-8", "replace"), wanted.encode())

    async def _handle(self, connection: WatchedConnection) -> None:
        """One client, from greeting to end."""
        self._clients.add(connection)
        self.metrics.connection("accepted")
        try:
            await self._send(connection, self._metadata)
            await self._converse(connection)
        except ConnectionClosed:
            return  # clients come and go
        finally:
            self._clients.discard(connection)

    async def _converse(self, connection: WatchedConnection) -> None:
        """Requests and answers, one at a time and in order."""
        bad_ones, previous_s = 0, 0.0
        for number in itertools.count():
            message = await connection.recv()
            arrived = connection.asked_at = time.monotonic()
            outcome = await self._answer(message, arrived, number, previous_s)
            if isinstance(outcome, Refusal):
                self.metrics.request(outcome.code)
                await self._send(connection, outcome.to_text())
                bad_ones = bad_ones + 1 if outcome.code in ("bad_message", "bad_observation") else 0
                if outcome.code == "internal":
                    return await connection.close(CloseCode.INTERNAL_ERROR, "the policy failed")
                if outcome.code == "shutting_down":
                    return await connection.close(CloseCode.GOING_AWAY, "the server is being stopped")
                if bad_ones >= self._config.bad_messages:
                    self.metrics.connection("too_many_bad_messages")
                    return await connection.close(CloseCode.POLICY_VIOLATION, "too many bad messages in a row")
            else:
                bad_ones = 0
                self.metrics.request("ok")
                await self._send(connection, outcome)
                previous_s = time.monotonic() - arrived
                self.metrics.request_seconds.add(previous_s)

    async def _answer(self, message: bytes | str, arrived: float, number: int, previous_s: float) -> bytes | Refusal:
        """The answer to one message, ready to be sent."""
        self.metrics.received_bytes += len(message)
        seq: int | None = None
        try:
            if isinstance(message, str):
                raise BadMessage("The message is a text frame; observations come in binary frames.")
            observation = decode(message, self._config.limits)
            if not isinstance(observation, dict):
                raise BadMessage(f"The message is a {type(observation).__name__}, not a map of names to values.")
            seq = _sequence(observation.pop(SEQUENCE, None), number)
            deadline_s = _deadline(observation.pop(DEADLINE, None), self._config.deadline_s)
            if self._is_draining:
                return Refusal("shutting_down", "The server is being stopped.", seq)
            answer = await self._batcher.submit(self._policy.prepare(observation), arrived + deadline_s)
        except BadMessage as error:
            return Refusal("bad_message", str(error), seq)
        except BadInput as error:
            return Refusal("bad_observation", str(error), seq)
        except Refused as error:
            return replace(error.refusal, seq=seq)
        except Exception:  # a fault of ours must not look like one of the client, nor tell it what is inside
            _LOG.exception("a request could not be handled")
            return Refusal("internal", "The server failed; its log says why.", seq)
        infer_ms = 1e3 * answer.infer_s
        timing = {"infer_ms": infer_ms, "prev_total_ms": 1e3 * previous_s, "queue_ms": 1e3 * answer.queue_s}
        return encode(
            answer.content
            | {
                SEQUENCE: seq,
                "policy_timing": {"infer_ms": infer_ms},
                "server_timing": timing | {"batch_size": answer.batch_size},
            }
        )

    async def _send(self, connection: WatchedConnection, message: bytes | str) -> None:
        """Send; `_cut_slow_ones` cuts off a client that does not read."""
        connection.sending_since = time.monotonic()
        await connection.send(message)
        connection.sending_since = None
        self.metrics.sent_bytes += len(message)

    async def _cut_slow_ones(self) -> None:
        """Cut off who takes longer than the limit to send a message, or to take one."""
        while True:
            await asyncio.sleep(min(0.5, self._config.message_s / 4))
            now = time.monotonic()
            for one in tuple(self._clients):
                if one.message_since is not None and not one.transport.is_reading():
                    one.message_since = now  # it is us who make it wait
                for reason, since in (("slow_message", one.message_since), ("slow_reader", one.sending_since)):
                    if since is not None and now - since > self._config.message_s:
                        self.metrics.connection(reason)
                        one.transport.abort()
                        break


def _sequence(value: object, number: int) -> int:
    """The request's number; its place in the connection if it has none."""
    if value is None:
        return number
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _MAX_SEQUENCE:
        raise BadInput(f"{SEQUENCE} is {str(value)[:40]}; legal are whole numbers from 0.")
    return value


def _deadline(value: object, longest: float) -> float:
    """How old an answer may be [s]."""
    if value is None:
        return longest
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= longest:
        raise BadInput(f"{DEADLINE} is {str(value)[:40]}; legal is above 0 and up to {longest:g} seconds.")
    return float(value)


def run_server(
    policy: ServedPolicy, config: ServerConfig, announce: Callable[[PolicyServer], None] | None = None
) -> None:
    """Serve until SIGINT or SIGTERM; then answer what is in flight and return.

    Args:
        policy: what is served.
        config: where and how.
        announce: called once the server listens.

    Raises:
        BadInput: the address can't be listened on.
    """
    asyncio.run(_serve(policy, config, announce))


async def _serve(policy: ServedPolicy, config: ServerConfig, announce: Callable[[PolicyServer], None] | None) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    async with PolicyServer(policy, config) as server:
        if announce is not None:
            announce(server)
        await stop.wait()
        _LOG.info("stopping: %d requests in flight", server._batcher.waiting)
