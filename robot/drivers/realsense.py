"""An Intel RealSense as head camera through pyrealsense2: colour pictures with their own intrinsics and times.

A thread keeps the newest picture; who asks gets it with its time, and the safety layer judges its age. Lens distortion
is not undone: the D455's colour stream has next to none.
"""

import importlib
import logging
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from robot.drivers.clock import Clock, WallClock
from robot.drivers.protocol import CameraFrame, DriverFault
from vitra_lib.core.errors import BadInput, MissingAsset

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class RealSenseConfig:
    """Which camera, and how.

    Attributes:
        serial: of the device; any when "".
        width_px, height_px, fps: of the colour stream.
        time_limit_s: longest wait for a picture before the stream counts as broken.
    """

    serial: str = ""
    width_px: int = 640
    height_px: int = 480
    fps: int = 30
    time_limit_s: float = 1.0

    def __post_init__(self) -> None:
        if min(self.width_px, self.height_px, self.fps) < 1 or not self.time_limit_s > 0:
            raise BadInput("Width, height, rate and time limit of the camera must be above 0.")


def load_package() -> Any:
    """The module pyrealsense2.

    Raises:
        MissingAsset: it is not installed.
    """
    try:
        return importlib.import_module("pyrealsense2")
    except ImportError as error:
        raise MissingAsset(f"The RealSense needs pyrealsense2 ({error}): `pip install pyrealsense2`.") from error


def K_of(intrinsics: Any) -> Float[np.ndarray, "3 3"]:
    """K_px of the package's intrinsics, in OpenCV's convention: pixel centres at whole numbers, as the package's."""
    return np.array([[intrinsics.fx, 0, intrinsics.ppx], [0, intrinsics.fy, intrinsics.ppy], [0, 0, 1]], float)


def to_frame(frame: Any, at_s: float) -> CameraFrame:
    """A colour frame of the package in RGB as a picture with the intrinsics of its own stream.

    Raises:
        DriverFault: it is not an RGB picture.
    """
    image = np.array(frame.get_data(), copy=True)  # the package reuses its memory
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise DriverFault(f"The camera sent {image.dtype} of shape {image.shape}; RGB pictures are needed.")
    profile = frame.get_profile().as_video_stream_profile()
    return CameraFrame(image, at_s, K_of(profile.get_intrinsics()))


class RealSense:
    """The camera."""

    def __init__(self, config: RealSenseConfig | None = None, clock: Clock | None = None, package: Any = None) -> None:
        """
        Args:
            config: which camera.
            clock: of the control loop.
            package: the module; imported on connecting when None.
        """
        self._config, self._clock, self._package = config or RealSenseConfig(), clock or WallClock(), package
        self._pipeline: Any = None
        self._thread: threading.Thread | None = None
        self._ending = threading.Event()
        self._newest: CameraFrame | None = None
        self._fault = ""

    def connect(self) -> None:
        """Start the stream and wait for its first picture.

        Raises:
            DriverFault: no camera, or no picture.
            MissingAsset: the package is not installed.
        """
        rs = self._package or load_package()
        wanted, settings = self._config, rs.config()
        if wanted.serial:
            settings.enable_device(wanted.serial)
        settings.enable_stream(rs.stream.color, wanted.width_px, wanted.height_px, rs.format.rgb8, wanted.fps)
        self._pipeline = rs.pipeline()
        try:
            self._pipeline.start(settings)
            self._newest = self._take()
        except RuntimeError as error:
            self.disconnect()
            raise DriverFault(f"No picture from the RealSense ({error}); check cable, rights and serial.") from None
        self._ending.clear()
        self._thread = threading.Thread(target=self._keep_newest, name="realsense", daemon=True)
        self._thread.start()

    def latest(self) -> CameraFrame:
        """The newest picture.

        Raises:
            DriverFault: none has come, or the stream broke.
        """
        if self._fault or self._newest is None:
            raise DriverFault(self._fault or "The camera is not connected; call connect() first.")
        return self._newest

    def disconnect(self) -> None:
        """Stop the stream."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join(timeout=2 * self._config.time_limit_s)
        self._thread = None
        if self._pipeline is not None:
            try:
                self._pipeline.stop()
            except RuntimeError:
                LOG.debug("The stream had not been started")
        self._pipeline, self._newest = None, None

    def _take(self) -> CameraFrame:
        """Wait for the next picture; its time is when it arrived."""
        frames = self._pipeline.wait_for_frames(int(1000 * self._config.time_limit_s))
        return to_frame(frames.get_color_frame(), self._clock.now())

    def _keep_newest(self) -> None:
        while not self._ending.is_set():
            try:
                self._newest = self._take()
            except (RuntimeError, DriverFault) as error:
                self._fault = f"The camera's stream broke ({error})."
                return
