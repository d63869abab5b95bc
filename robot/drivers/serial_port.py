"""A serial port with time limits, on pyserial: every trip ends in bytes, or in a fault that says what happened."""

import time
from pathlib import Path

import serial

from robot.drivers.protocol import DriverFault, NoAnswer
from vitra_lib.core.errors import BadInput


class SerialPort:
    """Bytes in, bytes out; eight bits, no parity, one stop bit. Nobody else may open the port meanwhile."""

    def __init__(self, path: str | Path, baud: int) -> None:
        """
        Args:
            path: of the device; one under /dev/serial/by-id stays the same over restarts.
            baud: rate that the system knows.

        Raises:
            DriverFault: it can't be opened, is not a serial port, or another program has it.
            BadInput: the system doesn't know the rate.
        """
        try:
            self._port = serial.Serial(str(path), baud, exclusive=True)
        except ValueError as error:
            raise BadInput(f"This system's serial ports can't do {baud} baud ({error}).") from None
        except (serial.SerialException, OSError) as error:
            raise DriverFault(
                f"The serial port {path} can't be opened ({error}); check the cable, the rights, and that no other "
                "program has it."
            ) from None

    def write(self, data: bytes, until_s: float) -> None:
        """Send all bytes.

        Args:
            data: bytes.
            until_s: monotonic time by which they must be taken.

        Raises:
            NoAnswer: it did not take them in time.
            DriverFault: the port is gone.
        """
        try:
            self._port.write_timeout = _left(until_s, "take a command")
            self._port.write(data)
        except serial.SerialTimeoutException:
            raise NoAnswer("The device did not take a command in time.") from None
        except (serial.SerialException, OSError) as error:
            raise DriverFault(f"The serial port is gone ({error}).") from None

    def read(self, until_s: float) -> bytes:
        """Whatever bytes have come, at least one.

        Raises:
            NoAnswer: nothing came in time.
            DriverFault: the port is gone.
        """
        try:
            self._port.timeout = _left(until_s, "answer")
            data = self._port.read(1)
            if data:
                data += self._port.read(self._port.in_waiting)
        except (serial.SerialException, OSError) as error:
            raise DriverFault(f"The serial port is gone ({error}).") from None
        if not data:
            raise NoAnswer("The device did not answer in time.")
        return data

    def drop_input(self) -> None:
        """Forget bytes that have come and were not read.

        Raises:
            DriverFault: the port is gone.
        """
        try:
            self._port.read(self._port.in_waiting)
        except (serial.SerialException, OSError) as error:
            raise DriverFault(f"The serial port is gone ({error}).") from None

    def close(self) -> None:
        """Close it; safe to call twice."""
        self._port.close()


def _left(until_s: float, what: str) -> float:
    """Seconds until then.

    Raises:
        NoAnswer: it has passed.
    """
    left = until_s - time.monotonic()
    if left <= 0:
        raise NoAnswer(f"The device did not {what} in time.")
    return left
