"""How errors fall with the number of episodes: a straight line over the logarithm, with intervals.

A power law is a straight line when the error's logarithm is taken too; where errors are near a floor, or data are few,
a line in the error itself may describe them as well, and nothing but more sizes can tell the two apart. Intervals come
from drawing the residuals again and again, since most sizes are trained once or thrice: too few to draw from by
themselves.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from vitra_lib.core.errors import BadInput, UnknownName
from vitra_lib.evaluation.accuracy import Figure

FORMS = ("power law", "log-linear")
METRICS = {
    "wrist FDE": "wrist_fde_cm",
    "wrist ADE": "wrist_ade_cm",
    "wrist FDE, mean of draws": "mean_of_draws_fde_cm",
}
"""Name in a record -> column of a study's rows."""
_RUN = re.compile(r"(?P<metric>.+) / (?P<episodes>\d+) episodes / seed (?P<seed>\d+)$")
_DRAWS = 2000


@dataclass(frozen=True, eq=False)
class ScalingFit:
    """A line over log10(episodes), through log10(error) for a power law, through the error if it is log-linear.

    Attributes:
        form: of `FORMS`.
        line: intercept and slope; the slope of a power law is its exponent.
        draws: intercepts and slopes for other residuals.
        residual: deviation of the runs from the line, in its unit.
    """

    form: str
    line: Float[np.ndarray, "2"]
    draws: Float[np.ndarray, "draws 2"]
    residual: float

    @property
    def slope(self) -> tuple[float, tuple[float, float]]:
        """The slope with its 95 % interval: change of log10(error), or of the error, for ten times the episodes."""
        low, high = np.percentile(self.draws[:, 1], [2.5, 97.5])
        return float(self.line[1]), (float(low), float(high))

    def at(self, episodes: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """The line's error for numbers of episodes, in the unit of the errors."""
        return self._errors(self.line, episodes)

    def band(self, episodes: Float[np.ndarray, " n"]) -> Float[np.ndarray, "2 n"]:
        """Ends of the 95 % interval of `at`; of the mean over runs, not of a single run."""
        errors = np.stack([self._errors(line, episodes) for line in self.draws])
        return np.percentile(errors, [2.5, 97.5], axis=0)

    def _errors(self, line: np.ndarray, episodes: np.ndarray) -> np.ndarray:
        y = line[0] + line[1] * np.log10(episodes)
        return 10.0**y if self.form == "power law" else y


def fit_scaling(
    episodes: Float[np.ndarray, " runs"], errors: Float[np.ndarray, " runs"], form: str = "power law", seed: int = 0
) -> ScalingFit:
    """Fit a line to finished runs.

    Args:
        episodes: number of training episodes of each run.
        errors: of each run on the same unseen scenes, in any unit.
        form: of `FORMS`.
        seed: of the draws.

    Raises:
        BadInput: fewer than four runs or three sizes, or numbers that have no logarithm.
        UnknownName: no such form.
    """
    if form not in FORMS:
        raise UnknownName("form", form, FORMS)
    sizes = len(np.unique(episodes))
    if len(episodes) != len(errors) or len(episodes) < 4 or sizes < 3:
        raise BadInput(f"A line needs at least 4 runs of 3 sizes, not {len(errors)} of {sizes}; train more shares.")
    if not (np.isfinite(errors).all() and (errors > 0).all() and (episodes > 0).all()):
        raise BadInput("Numbers of episodes and errors must be positive and finite.")
    x = np.stack([np.ones(len(episodes)), np.log10(episodes)], 1)
    y = np.log10(errors) if form == "power law" else np.asarray(errors, float)
    solve = np.linalg.pinv(x)
    line = solve @ y
    residuals = (y - x @ line) / np.sqrt(1 - np.einsum("ij,ji->i", x, solve))  # each as large as a new run's would be
    residuals -= residuals.mean()
    picks = np.random.default_rng(seed).integers(len(y), size=(_DRAWS, len(y)))
    draws = line + residuals[picks] @ solve.T
    spread = float(np.sqrt(np.square(y - x @ line).sum() / (len(y) - 2)))
    return ScalingFit(form, line, draws, spread)


@dataclass(frozen=True, eq=False)
class ScalingRuns:
    """The finished runs of a study, one number each.

    Attributes:
        episodes: that each was trained on.
        seed: of each.
        errors: of each [cm].
    """

    episodes: Float[np.ndarray, " runs"]
    seed: Int[np.ndarray, " runs"]
    errors: Float[np.ndarray, " runs"]


def figures_of_rows(rows: Sequence[Mapping[str, float]]) -> list[Figure]:
    """The figures of a study's rows, as a record holds them; `read_runs` gets them back."""
    return [
        Figure(f"{metric} / {row['episodes']:.0f} episodes / seed {row['seed']:.0f}", row[column], "cm", int(row["n"]))
        for row in rows
        for metric, column in METRICS.items()
    ]


def read_runs(record: Path, metric: str = "wrist FDE") -> ScalingRuns:
    """The runs in a record of `vitra experiment scaling`, by number of episodes and seed.

    Args:
        record: the file.
        metric: of `METRICS`.

    Raises:
        UnknownName: no such metric.
        BadInput: the file is not there, or holds no runs.
    """
    if metric not in METRICS:
        raise UnknownName("metric", metric, tuple(METRICS))
    try:
        values = json.loads(record.read_text(encoding="utf-8"))["values"]
        matches = [(_RUN.match(value["name"]), value["value"]) for value in values]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(
            f"{record} is no record of a scaling study ({error}); make one with `vitra experiment scaling`."
        ) from None
    runs = sorted((int(m["episodes"]), int(m["seed"]), value) for m, value in matches if m and m["metric"] == metric)
    if not runs:
        raise BadInput(f"{record} holds no runs of a scaling study; make some with `vitra experiment scaling`.")
    episodes, seeds, errors = map(np.array, zip(*runs, strict=True))
    return ScalingRuns(episodes.astype(float), seeds, errors.astype(float))
