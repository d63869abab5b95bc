"""A websocket connection that is watched: who sends or takes a message too slowly, or floods, is cut off."""

import asyncio
import math
import time
from typing import Any

from websockets.asyncio.server import ServerConnection


class WatchedConnection(ServerConnection):
    """A connection that knows since when a message has been on its way.

    Attributes:
        message_since: when the first byte of an unfinished message came; None when there is none.
        sending_since: when the present answer was begun; None when there is none.
        asked_at: when the last request came.
        most: clients that the server admits.
        alive: all connections of the server, half-open ones too.
    """

    message_since: float | None = None
    sending_since: float | None = None
    asked_at: float = -math.inf
    most = 256
    alive: set[ServerConnection] = set()
    _is_in_fragments = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Turn a flood away before it can cost anything: half-open handshakes are connections too."""
        super().connection_made(transport)
        self.alive.add(self)
        if len(self.alive) > 2 * self.most:
            transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        """One less."""
        self.alive.discard(self)
        super().connection_lost(error)

    def process_event(self, event: Any) -> None:
        """Remember whether a message in several frames is open; a whole one stops the clock."""
        if getattr(event, "opcode", None) in (0, 1, 2):
            self._is_in_fragments = not event.fin
            self.message_since = None if event.fin else self.message_since
        super().process_event(event)

    def data_received(self, data: bytes) -> None:
        """Start or stop the clock."""
        super().data_received(data)
        if not (self._is_in_fragments or self.protocol.reader.buffer):
            self.message_since = None
        elif self.message_since is None:
            self.message_since = time.monotonic()
