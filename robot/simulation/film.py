"""A film of a run in simulation: the head camera's pictures at an even rate, taken while the loop runs."""

from pathlib import Path
from types import TracebackType

from robot.execution.loop import Source
from robot.safety.gate import Reading, Wish
from robot.simulation.driver import SimulatedRig
from vitra_lib.core.errors import BadInput
from vitra_lib.video import VideoWriter


class FilmedSource:
    """A source whose run is filmed. A context manager: the file is there when its block ends without an error."""

    def __init__(
        self, source: Source, rig: SimulatedRig, path: Path, fps: float = 10.0, size_px: tuple[int, int] = (480, 360)
    ) -> None:
        """
        Args:
            source: what runs.
            rig: where it runs.
            path: the mp4 to write.
            fps: pictures per second of the simulation.
            size_px: width and height.
        """
        if not 0 < fps <= 1.0 / rig.safety.period_s + 1e-9:
            raise BadInput(f"fps is {fps}; legal are above 0, up to the loop's {1.0 / rig.safety.period_s:g}.")
        self._source, self._rig, self._fps, self._size_px = source, rig, fps, size_px
        self._writer = VideoWriter(path, fps, *size_px)
        self._next_s = float("-inf")

    def __enter__(self) -> "FilmedSource":
        self._writer.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.__exit__(kind, error, trace)

    def wish(self, reading: Reading, now_s: float) -> Wish | None:
        """The source's wish; a picture is taken when one is due."""
        if now_s >= self._next_s - 1e-6:
            self._next_s = (now_s if self._next_s < 0 else self._next_s) + 1.0 / self._fps
            self._writer.write(self._rig.view.picture(self._rig.simulation, *self._size_px).image)
        return self._source.wish(reading, now_s)

    def is_over(self, now_s: float) -> bool:
        """The source is."""
        return self._source.is_over(now_s)
