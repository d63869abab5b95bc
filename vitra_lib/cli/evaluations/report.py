"""How `vitra evaluate` shows figures: a table on the screen, and the record it points to."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vitra_lib.evaluation.accuracy import Figure


def report(name: str, figures: "Sequence[Figure]", parameters: dict, inputs: dict[str, Path], folder: Path) -> None:
    """Print figures with their intervals, and write them as the record `<name>.json`.

    Args:
        name: name of the measurement.
        figures: what was measured.
        parameters: what the command was asked for.
        inputs: name -> file that was measured on.
        folder: where records go.
    """
    from vitra_lib.runs.records import write_figures_record

    print(f"\n{name}")
    for figure in figures:
        interval = "" if figure.ci95 is None else f"  [{figure.ci95[0]:.2f}, {figure.ci95[1]:.2f}]"
        print(f"  {figure.name:48s} {figure.value:8.3f} {figure.unit:7s} n={figure.n}{interval}")
    print(f"  -> {write_figures_record(name, figures, parameters, inputs, folder)}")
