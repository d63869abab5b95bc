"""The journal of the safety layer: every intervention is counted and kept; runs of equal ones are one entry."""

import json
import logging
from collections import Counter
from dataclasses import asdict, dataclass
from os import PathLike

from robot.safety.reasons import CLAMPING, names
from vitra_lib.core.files import write_text

LOG = logging.getLogger(__name__)


@dataclass
class Intervention:
    """A run of ticks with the same reasons.

    Attributes:
        start_s, stop_s: first and last tick of the run.
        reasons: names.
        ticks: how many.
        sequence: number of the first proposal concerned, -1 for none.
        joint: name of the joint that was changed most at the first tick, "" for none.
        change_rad: by how much.
        is_sent: something was sent at the first tick.
    """

    start_s: float
    stop_s: float
    reasons: tuple[str, ...]
    ticks: int
    sequence: int
    joint: str
    change_rad: float
    is_sent: bool


@dataclass(frozen=True)
class Tick:
    """What one decision was.

    Attributes:
        now_s: when.
        bits: of `Reason`.
        sequence: of the proposal, -1 for none.
        joint, change_rad: what was changed most, and by how much.
        is_sent, is_used: something was sent; the proposal was followed.
    """

    now_s: float
    bits: int
    sequence: int
    joint: str
    change_rad: float
    is_sent: bool
    is_used: bool


class Journal:
    """What the layer did in a run.

    Attributes:
        ticks, sent, used: how many decisions, commands, and followed proposals there were.
        counts: ticks with each reason.
        interventions: in order of time.
    """

    def __init__(self) -> None:
        self.ticks = self.sent = self.used = 0
        self.counts: Counter[str] = Counter()
        self.interventions: list[Intervention] = []
        self._last_bits = 0

    def add(self, tick: Tick) -> None:
        """Count one tick, and log it where its reasons differ from the tick before."""
        self.ticks, self.sent, self.used = self.ticks + 1, self.sent + tick.is_sent, self.used + tick.is_used
        found = names(tick.bits)
        self.counts.update(found)
        if tick.bits and tick.bits == self._last_bits:
            self.interventions[-1].ticks += 1
            self.interventions[-1].stop_s = tick.now_s
        elif tick.bits:
            what = (tick.sequence, tick.joint, tick.change_rad)
            self.interventions.append(Intervention(tick.now_s, tick.now_s, found, 1, *what, tick.is_sent))
            level = logging.DEBUG if not tick.bits & ~int(CLAMPING) else logging.WARNING
            LOG.log(level, "%.3f s: %s at command %d (%s %.4f rad)", tick.now_s, ", ".join(found), *what)
        self._last_bits = tick.bits

    def summary(self) -> dict[str, object]:
        """Counts, ready for JSON."""
        totals = {"ticks": self.ticks, "sent": self.sent, "followed": self.used}
        return totals | {"interventions": dict(sorted(self.counts.items()))}

    def write(self, path: str | PathLike) -> None:
        """Write a summary line and one JSON line per intervention, whole or not at all.

        Raises:
            WriteFailed: the file can't be written.
        """
        lines = [self.summary(), *map(asdict, self.interventions)]
        write_text(path, "".join(json.dumps(line) + "\n" for line in lines))
