"""The XHand: our own driver for its RS485 bus, and one through the maker's package where that is installed."""

import importlib
import logging
import threading
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from robot.drivers.clock import Clock, WallClock
from robot.drivers.protocol import DriverFault, NoAnswer
from robot.drivers.serial_port import SerialPort
from robot.drivers.xhand_wire import (
    BAUD,
    CMD_STATE,
    HAND,
    HOST,
    JOINTS,
    MODE_POSITION,
    MODE_POWERLESS,
    FrameReader,
    Gains,
    HandState,
    pack_command,
    pack_frame,
    unpack_state,
)
from robot.hand.table import load_hand
from robot.safety.gate import Cleared
from vitra_lib.core.errors import BadInput, MissingAsset

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class XHandConfig:
    """How to reach and drive a hand.

    Attributes:
        port: serial device.
        address: of the hand on the bus.
        gains: how hard it is driven.
        time_limit_s: longest wait for one answer; a state is 7.4 ms on the wire.
        attempts: how often a state is asked for before the hand counts as gone.
        table: shipped hand table, or the path of one's own; its `motor_sign` says which joints this hardware turns the
            other way. Published drivers differ about index bend, so look at the hardware at low current first.
    """

    port: str = "/dev/ttyUSB0"
    address: int = HAND
    gains: Gains = field(default_factory=Gains)
    time_limit_s: float = 0.05
    attempts: int = 2
    table: str | Path = "xhand"

    def __post_init__(self) -> None:
        if not self.time_limit_s > 0 or self.attempts < 1:
            raise BadInput("time_limit_s must be above 0, attempts 1 or more.")
        if len(load_hand(self.table)) != JOINTS:
            raise BadInput(f"The hand table {self.table} has not the {JOINTS} joints of an XHand.")

    @cached_property
    def signs(self) -> Float[np.ndarray, "12"]:
        """Sign of each joint on this hardware: angle sent = sign x angle."""
        return load_hand(self.table).motor_sign


class XHandSerial:
    """A hand on RS485. Every command is answered by the state, so one trip both moves and measures.

    Attributes:
        bad_frames: broken frames that were thrown away.
    """

    def __init__(self, config: XHandConfig | None = None, clock: Clock | None = None) -> None:
        """
        Args:
            config: how to reach it.
            clock: of the control loop.
        """
        self._config, self._clock = config or XHandConfig(), clock or WallClock()
        self._port: SerialPort | None = None
        self._reader = FrameReader()
        self._lock = threading.Lock()  # one request on the bus at a time
        self._last: tuple[HandState, float] | None = None
        self._is_fresh = False
        self._held: np.ndarray | None = None

    @property
    def bad_frames(self) -> int:
        """Broken frames that were thrown away."""
        return self._reader.bad_frames

    @property
    def state(self) -> HandState | None:
        """The last whole state, with currents, temperatures and errors."""
        return None if self._last is None else self._last[0]

    def connect(self) -> None:
        """Open the port and ask the hand, without power on its motors, where it is.

        Raises:
            DriverFault: it does not answer.
        """
        self._port = SerialPort(self._config.port, BAUD)
        try:
            self._exchange(np.zeros(JOINTS), MODE_POWERLESS)
        except DriverFault:
            self._port.close()
            self._port = None
            raise

    def read_hand(self) -> tuple[Float[np.ndarray, "12"], float]:
        """Angles [rad] and when they were asked for [s].

        The answer to the last command counts once; without one the hand is asked, holding what it was told.
        """
        if self._last is None or not self._is_fresh:
            mode = MODE_POWERLESS if self._held is None else MODE_POSITION
            self._exchange(np.zeros(JOINTS) if self._held is None else self._held, mode)
        state, at_s = self._last
        self._is_fresh = False
        return state.position * self._config.signs, at_s

    def write_hand(self, command: Cleared) -> None:
        """Send the hand's angles; keeps the state that comes back."""
        angles = command.hand * self._config.signs
        self._exchange(angles, MODE_POSITION)
        self._held = angles

    def stop(self) -> None:
        """Make the fingers powerless."""
        if self._port is None:
            return
        try:
            self._exchange(np.zeros(JOINTS), MODE_POWERLESS)
        except DriverFault as error:
            LOG.error("The hand did not confirm the stop: %s Cut its power.", error)
        self._held = None

    def disconnect(self) -> None:
        """Make the fingers powerless and close the port."""
        self.stop()
        if self._port is not None:
            self._port.close()
        self._port = None

    def _exchange(self, angles: np.ndarray, mode: int) -> None:
        """One command, one state; a lost or broken answer is asked for again.

        Raises:
            NoAnswer: no whole state came.
            DriverFault: the port is gone.
        """
        frame = pack_frame(CMD_STATE, pack_command(angles, self._config.gains, mode), HOST, self._config.address)
        with self._lock:
            if self._port is None:
                raise DriverFault("The hand is not connected; call connect() first.")
            for attempt in range(self._config.attempts):
                asked, until = self._clock.now(), time.monotonic() + self._config.time_limit_s
                self._port.drop_input()
                self._reader.reset()
                self._port.write(frame, until)
                state = self._state_until(until)
                if state is not None:
                    self._last, self._is_fresh = (state, asked), True
                    return
                LOG.warning("No whole state of the hand, attempt %d of %d", attempt + 1, self._config.attempts)
        raise NoAnswer(f"The hand at {self._config.port} sent no whole state in {self._config.time_limit_s} s.")

    def _state_until(self, until: float) -> HandState | None:
        """The first state from this hand; None when none came in time."""
        while time.monotonic() < until:
            try:
                data = self._port.read(until)
            except NoAnswer:
                return None
            for frame in self._reader.feed(data):
                if frame.command == CMD_STATE and frame.source == self._config.address:
                    try:
                        return unpack_state(frame.payload)
                    except BadInput as error:
                        LOG.warning("A state of the hand was thrown away: %s", error)
        return None


class XHandVendor:
    """A hand through the maker's package `xhand_controller`, which is not on PyPI."""

    def __init__(self, config: XHandConfig | None = None, clock: Clock | None = None, package: Any = None) -> None:
        """
        Args:
            config: how to reach it.
            clock: of the control loop.
            package: the maker's module; imported on connecting when None.
        """
        self._config, self._clock, self._package = config or XHandConfig(), clock or WallClock(), package
        self._device: Any = None
        self._hand_id = 0

    def connect(self) -> None:
        """Open the port and find the hand.

        Raises:
            DriverFault: it does not answer.
            MissingAsset: the package is not installed.
        """
        if self._package is None:
            try:
                self._package = importlib.import_module("xhand_controller").xhand_control
            except ImportError as error:
                raise MissingAsset(
                    f"The maker's package xhand_controller is not installed ({error}); get it from the maker, or use "
                    "our own driver (--hand serial)."
                ) from error
        device = self._package.XHandControl()
        self._done(device.open_serial(self._config.port, BAUD), "opening the port")
        hands = device.list_hands_id()
        if not hands:
            device.close_device()
            raise DriverFault(f"No hand answers at {self._config.port}.")
        self._device, self._hand_id = device, hands[0]

    def read_hand(self) -> tuple[Float[np.ndarray, "12"], float]:
        """Angles [rad] and when they were asked for [s]; asks the hand, since the package's own copy has no time."""
        asked = self._clock.now()
        error, state = self._open().read_state(self._hand_id, True)
        self._done(error, "reading the hand")
        angles = np.array([finger.position for finger in state.finger_state], float)
        return angles * self._config.signs, asked

    def write_hand(self, command: Cleared) -> None:
        """Send the hand's angles."""
        self._send(command.hand * self._config.signs, MODE_POSITION)

    def stop(self) -> None:
        """Make the fingers powerless."""
        if self._device is None:
            return
        try:
            self._send(np.zeros(JOINTS), MODE_POWERLESS)
        except DriverFault as error:
            LOG.error("The hand did not confirm the stop: %s Cut its power.", error)

    def disconnect(self) -> None:
        """Make the fingers powerless and close the device."""
        self.stop()
        if self._device is not None:
            self._device.close_device()
        self._device = None

    def _send(self, angles: np.ndarray, mode: int) -> None:
        command, gains = self._package.HandCommand_t(), self._config.gains
        for joint, angle in enumerate(angles.tolist()):
            finger = command.finger_command[joint]
            finger.id, finger.position, finger.mode = joint, angle, mode
            finger.kp, finger.ki, finger.kd, finger.tor_max = gains.kp, gains.ki, gains.kd, gains.current_limit_ma
        self._done(self._open().send_command(self._hand_id, command), "a command")

    def _open(self) -> Any:
        if self._device is None:
            raise DriverFault("The hand is not connected; call connect() first.")
        return self._device

    def _done(self, error: Any, what: str) -> None:
        if error.error_code != 0:
            raise DriverFault(f"{what.capitalize()} of the hand failed: {error.error_message}.")
