"""Shares of trials that succeeded, with Wilson's interval: honest for few trials and for shares of 0 and 1."""

import math
from dataclasses import dataclass
from statistics import NormalDist

from vitra_lib.core.errors import BadInput
from vitra_lib.evaluation.accuracy import Figure


@dataclass(frozen=True)
class Proportion:
    """So many of so many.

    Attributes:
        hits: trials that succeeded.
        trials: all of them; at least one.
    """

    hits: int
    trials: int

    def __post_init__(self) -> None:
        if self.trials < 1 or not 0 <= self.hits <= self.trials:
            raise BadInput(
                f"{self.hits} of {self.trials} is no share: there must be a trial, and no more hits than that."
            )

    @property
    def share(self) -> float:
        """hits / trials."""
        return self.hits / self.trials

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Wilson's score interval: the shares whose own test would not be surprised by these hits.

        Args:
            confidence: in (0, 1).

        Raises:
            BadInput: another confidence.
        """
        if not 0 < confidence < 1:
            raise BadInput(f"confidence is {confidence}: legal are numbers between 0 and 1.")
        z2, n, p = NormalDist().inv_cdf(0.5 + confidence / 2) ** 2, self.trials, self.share
        middle = p + z2 / (2 * n)
        half = math.sqrt(z2 * (p * (1 - p) / n + z2 / (4 * n * n)))
        low, high = (middle - half) / (1 + z2 / n), (middle + half) / (1 + z2 / n)
        # At the ends the formula is 0 or 1 but for rounding.
        return 0.0 if self.hits == 0 else max(0.0, low), 1.0 if self.hits == n else min(1.0, high)

    def figure(self, name: str) -> Figure:
        """The share as a figure of a record, with its 95 % interval."""
        return Figure(name, self.share, "share", self.trials, self.interval())
