"""A serial port in raw mode with time limits, by the operating system's own terminal interface (POSIX)."""

import os
import select
import termios
import time
from pathlib import Path

from robot.drivers.protocol import DriverFault, NoAnswer
from vitra_lib.core.errors import BadInput


class SerialPort:
    """Bytes in, bytes out; eight bits, no parity, one stop bit."""

    def __init__(self, path: str | Path, baud: int) -> None:
        """
        Args:
            path: of the device; one under /dev/serial/by-id stays the same over restarts.
            baud: rate that the system knows.

        Raises:
            DriverFault: it can't be opened.
            BadInput: the system doesn't know the rate.
        """
        speed = getattr(termios, f"B{baud}", None)
        if speed is None:
            raise BadInput(f"This system's serial ports can't do {baud} baud.")
        try:
            self._file = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError as error:
            why = f"({error.strerror}); check cable and rights."
            raise DriverFault(f"The serial port {path} can't be opened {why}") from None
        settings = [termios.IGNPAR, 0, termios.CS8 | termios.CREAD | termios.CLOCAL, 0, speed, speed, [b"\0"] * 32]
        settings[6][termios.VMIN] = 0
        settings[6][termios.VTIME] = 0
        try:
            termios.tcsetattr(self._file, termios.TCSANOW, settings)
        except termios.error as error:
            os.close(self._file)
            raise DriverFault(f"{path} is not a serial port ({error.args[-1]}).") from None

    def write(self, data: bytes, until_s: float) -> None:
        """Send all bytes.

        Args:
            data: bytes.
            until_s: monotonic time by which they must be taken.

        Raises:
            NoAnswer: it did not take them in time.
            DriverFault: the port is gone.
        """
        left = memoryview(data)
        while left:
            self._wait([], [self._file], until_s, "take a command")
            try:
                left = left[os.write(self._file, left) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise DriverFault(f"The serial port is gone ({error.strerror}).") from None

    def read(self, until_s: float) -> bytes:
        """Whatever bytes have come, at least one.

        Raises:
            NoAnswer: nothing came in time.
            DriverFault: the port is gone.
        """
        self._wait([self._file], [], until_s, "answer")
        try:
            data = os.read(self._file, 4096)
        except OSError as error:
            raise DriverFault(f"The serial port is gone ({error.strerror}).") from None
        if not data:
            raise DriverFault("The serial port was closed from the other end.")
        return data

    def drop_input(self) -> None:
        """Forget bytes that have come and were not read."""
        termios.tcflush(self._file, termios.TCIFLUSH)

    def close(self) -> None:
        """Close it; safe to call twice."""
        if self._file >= 0:
            os.close(self._file)
        self._file = -1

    def _wait(self, readers: list[int], writers: list[int], until_s: float, what: str) -> None:
        left = until_s - time.monotonic()
        if left <= 0 or not any(select.select(readers, writers, [], left)):
            raise NoAnswer(f"The device did not {what} in time.")
