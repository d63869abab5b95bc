"""A policy server in a thread of this process: for notebooks, tests, and a robot whose policy runs beside it."""

import asyncio
import contextlib
import threading

from robot.serving.batching import ServedPolicy
from robot.serving.server import PolicyServer, ServerConfig
from vitra_lib.core.errors import BadInput

_START_S, _STOP_S = 20.0, 20.0


class BackgroundServer:
    """`with BackgroundServer(policy, ServerConfig(port=0)) as served:` serves until the block ends.

    Attributes:
        server: it.
        port: where it listens, once it does.
    """

    def __init__(self, policy: ServedPolicy, config: ServerConfig | None = None) -> None:
        """
        Args:
            policy: what is served.
            config: where and how; any free port of this machine when None.
        """
        self.server = PolicyServer(policy, config or ServerConfig(port=0))
        self.port = 0
        self._ready = threading.Event()
        self._fault: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="policy-server", daemon=True)

    def __enter__(self) -> "BackgroundServer":
        self._thread.start()
        if not self._ready.wait(_START_S):
            raise BadInput(f"The policy server did not begin to listen within {_START_S:g} s.")
        if self._fault is not None:
            self._thread.join(_STOP_S)
            raise self._fault
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._thread.join(_STOP_S)

    @property
    def is_running(self) -> bool:
        """It still serves, or answers what is in flight."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Begin to stop; returns at once. What is in flight is answered."""
        if self._thread.is_alive() and self._loop is not None and self._stop is not None:
            with contextlib.suppress(RuntimeError):  # it has come to its end just now
                self._loop.call_soon_threadsafe(self._stop.set)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # handed to the thread that waits for the port
            self._fault = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with self.server:
            self.port = self.server.port
            self._ready.set()
            await self._stop.wait()
