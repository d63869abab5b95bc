"""Statistics of the store: exact per episode, merged episode by episode without looking back (parallel variance).

State and action are counted over valid entries only, as the published normalisation is; a component that is never
valid has mean and standard deviation 0. Quantiles of the whole are the count-weighted means of the episodes'
quantiles, which is how LeRobot merges them.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}


Sums = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Count, mean and sum of squared deviations from the mean of each component."""


def combined(a: Sums, b: Sums) -> Sums:
    """Count, mean and squared deviations of two disjoint parts together (parallel Welford; Chan, Golub, LeVeque)."""
    count = a[0] + b[0]
    share = np.divide(b[0], count, out=np.zeros_like(count), where=count > 0)
    delta = b[1] - a[1]
    return count, a[1] + delta * share, a[2] + b[2] + delta**2 * a[0] * share


@dataclass(frozen=True)
class Moments:
    """Running statistics of one feature, component by component.

    Attributes:
        rows: rows seen, valid or not.
        count: (size,) valid entries.
        mean: (size,) mean over them.
        m2: (size,) sum of squared deviations from it.
        low, high: (size,) extremes; 0 where nothing was valid.
        quantiles: (5, size) count-weighted means of the parts' quantiles.
    """

    rows: int
    count: Float[np.ndarray, " size"]
    mean: Float[np.ndarray, " size"]
    m2: Float[np.ndarray, " size"]
    low: Float[np.ndarray, " size"]
    high: Float[np.ndarray, " size"]
    quantiles: Float[np.ndarray, "5 size"]

    @classmethod
    def of(cls, values: Float[np.ndarray, "rows size"], mask: Bool[np.ndarray, "rows size"]) -> "Moments":
        """Statistics of one block."""
        size = values.shape[1]
        count = mask.sum(0).astype(float)
        zeros = np.zeros(size)
        quantiles = np.zeros((len(QUANTILES), size))
        if not mask.any():
            return cls(len(values), count, zeros, zeros, zeros, zeros, quantiles)
        some = count > 0
        kept = np.where(mask, values, np.nan)[:, some]
        mean, m2, low, high = (zeros.copy() for _ in range(4))
        mean[some] = np.nanmean(kept, axis=0)
        m2[some] = np.nansum((kept - mean[some]) ** 2, axis=0)
        low[some], high[some] = np.nanmin(kept, axis=0), np.nanmax(kept, axis=0)
        quantiles[:, some] = _quantiles(kept)
        return cls(len(values), count, mean, m2, low, high, quantiles)

    def merged(self, other: "Moments") -> "Moments":
        """Statistics of both blocks together."""
        count, mean, m2 = combined((self.count, self.mean, self.m2), (other.count, other.mean, other.m2))
        share = np.divide(other.count, count, out=np.zeros_like(count), where=count > 0)
        ours, theirs = self.count > 0, other.count > 0
        low = np.where(ours & theirs, np.minimum(self.low, other.low), np.where(theirs, other.low, self.low))
        high = np.where(ours & theirs, np.maximum(self.high, other.high), np.where(theirs, other.high, self.high))
        return Moments(
            rows=self.rows + other.rows,
            count=count,
            mean=mean,
            m2=m2,
            low=low,
            high=high,
            quantiles=self.quantiles + (other.quantiles - self.quantiles) * share,
        )

    def lerobot(self, shape: tuple[int, ...] = (-1,)) -> dict[str, list]:
        """The entry of meta/stats.json: min, max, mean, std, count, quantiles; `shape` is (3, 1, 1) for images."""
        variance = np.divide(self.m2, self.count, out=np.zeros_like(self.m2), where=self.count > 0)
        values = {"min": self.low, "max": self.high, "mean": self.mean, "std": np.sqrt(variance)}
        values |= dict(zip(QUANTILES, self.quantiles, strict=True))
        entry = {name: value.reshape(shape).tolist() for name, value in values.items()}
        return entry | {"count": [self.rows]}

    def to_json(self) -> dict[str, object]:
        """Plain numbers, without loss."""
        return {name: value if isinstance(value, int) else value.tolist() for name, value in vars(self).items()}

    @classmethod
    def from_json(cls, values: dict) -> "Moments":
        """Inverse of `to_json`."""
        arrays = {name: np.array(value, float) for name, value in values.items() if name != "rows"}
        return cls(rows=values["rows"], **arrays)


def _quantiles(kept: Float[np.ndarray, "rows size"]) -> Float[np.ndarray, "5 size"]:
    """Linearly interpolated quantiles of each column without its NaNs (`np.nanquantile` loops over columns)."""
    ordered = np.sort(kept, axis=0)  # NaNs go last
    last = (~np.isnan(kept)).sum(0) - 1
    position = np.array(list(QUANTILES.values()))[:, None] * last
    below = position.astype(int)
    above = np.minimum(below + 1, last)
    low, high = (np.take_along_axis(ordered, rows, axis=0) for rows in (below, above))
    return low + (high - low) * (position - below)


def image_moments(images: list[np.ndarray]) -> Moments:
    """Per-channel statistics of sampled frames, scaled to [0, 1]; the count is the number of frames, as LeRobot's."""
    pixels = np.concatenate([image.reshape(-1, 3) for image in images]).astype(np.float64) / 255.0
    block = Moments.of(pixels, np.ones_like(pixels, bool))
    scale = len(images) / len(pixels)
    return dataclasses.replace(block, rows=len(images), count=block.count * scale, m2=block.m2 * scale)
