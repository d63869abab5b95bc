"""Which data sets are trained on together, and how often each is swept: published mixtures by name, or one's own."""

from dataclasses import dataclass
from pathlib import Path

from vitra_lib.core.errors import BadInput
from vitra_lib.dataset.source import SampleSource, SourceConfig, open_source

# Published weights (spec of the training, 6): sweeps of each data set per epoch.
_COOKING = {"ego4d_cooking_and_cleaning": 1.0, "egoexo4d": 3.0, "epic": 1.0, "ssv2": 5.0}
MIXTURES: dict[str, dict[str, float]] = {
    "magic_mix": {**_COOKING, "ego4d_other": 0.5},
    "magic_mix_cooking_and_cleaning": _COOKING,
}


@dataclass(frozen=True)
class Mixture:
    """Data sets and how often each is swept per epoch.

    Attributes:
        names: of the data sets; unique.
        weights: sweeps per epoch, above 0; 0.5 means that an epoch shows half of the data set, the next one the rest.
    """

    names: tuple[str, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.names or len(self.names) != len(self.weights) or len(set(self.names)) != len(self.names):
            raise BadInput(f"A mixture needs different names and as many weights: {self.names}, {self.weights}.")
        if any(not name for name in self.names):
            raise BadInput(f"A mixture has a data set without a name: {self.names}.")
        if not all(0 < weight < float("inf") for weight in self.weights):
            raise BadInput(f"The weights of {', '.join(self.names)} are {self.weights}: legal are numbers above 0.")

    @classmethod
    def parse(cls, text: str) -> "Mixture":
        """A published mixture by its name ("magic_mix"), a list "epic:1,ssv2:5", or one data set ("epic").

        Raises:
            BadInput: a weight is not a number above 0, or a name comes twice.
        """
        if text in MIXTURES:
            return cls(tuple(MIXTURES[text]), tuple(MIXTURES[text].values()))
        names, weights = [], []
        for part in text.split(","):
            name, colon, weight = part.strip().partition(":")
            try:
                weights.append(float(weight) if colon else 1.0)
            except ValueError:
                raise BadInput(f"{part.strip()!r} is no part of a mixture: write name:weight, as in epic:1.") from None
            names.append(name.strip())
        return cls(tuple(names), tuple(weights))

    def open(self, root: str | Path, config: SourceConfig | None = None) -> tuple[SampleSource, ...]:
        """Open all data sets below one folder or URL, in the mixture's order.

        Raises:
            BadInput: one of them isn't there, or is damaged.
        """
        return tuple(open_source(root, name, config) for name in self.names)
