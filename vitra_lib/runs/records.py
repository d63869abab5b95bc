"""Records: what a notebook run measured, with everything needed to believe it.

In a notebook, `record("wrist_error", 0.041, unit="m", n=240)` shows the value and leaves it in the cell's output in a
form that the runner collects. So a value exists only where a cell produced it, and the record of a run is made from
the executed notebook alone.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitra_lib.core import provenance
from vitra_lib.core.errors import BadInput
from vitra_lib.core.files import atomic_path, sha256_of, write_json, write_text
from vitra_lib.core.paths import repository, run_folder, sample_folder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCHEMA = 1
MIME = "application/vnd.vitra-lab.record+json"


@dataclass(frozen=True)
class RunFacts:
    """What the runner knows of a run.

    Attributes:
        notebook: the source notebook.
        parameters: all parameters, defaults included.
        started: time of start, with time zone.
        seconds: wall time [s].
        status: "ok" or "failed".
        failure: one sentence on what failed, or "".
    """

    notebook: Path
    parameters: Mapping[str, Any]
    started: datetime
    seconds: float
    status: str
    failure: str = ""


def record(
    name: str, value: float | int | bool | None, unit: str, n: int | None = None, ci95: Sequence[float] | None = None
) -> None:
    """Record one figure of the running notebook and show it.

    Args:
        name: what it is: the id of a claim ("T1.hand_object_distance"), or a plain name ("wrist_error").
        value: the figure; None or NaN when it could not be measured, which is recorded as missing.
        unit: SI unit ("m", "rad", "1/s"), or "1" for a pure number or a share.
        n: number of samples behind it.
        ci95: lower and upper end of its 95 % interval.

    Raises:
        BadInput: a value or an interval that makes no sense.
    """
    if not name or not unit:
        raise BadInput("A record needs a name and a unit ('1' for a pure number).")
    if ci95 is not None and (len(ci95) != 2 or not ci95[0] <= ci95[1]):
        raise BadInput(f"The interval of {name!r} must be (lower, upper), not {ci95!r}.")
    if isinstance(value, bool):
        value = int(value)
    number = None if value is None or not math.isfinite(value) else value
    entry = {
        "claim": name,
        "value": number if number is None or isinstance(number, int) else float(number),
        "unit": unit,
        "n": None if n is None else int(n),
        "ci95": None if ci95 is None else [float(end) for end in ci95],
    }
    shown = "missing" if number is None else f"{number:.4g}" + ("" if unit == "1" else f" {unit}")
    samples = "" if n is None else f" (n = {n})"
    interval = "" if ci95 is None else f", 95 % interval {ci95[0]:.4g} to {ci95[1]:.4g}"
    _emit("value", entry, f"recorded {name}: {shown}{interval}{samples}")


def record_input(name: str, path: str | Path) -> None:
    """Record a file or folder that the running notebook reads, by its digest; a missing one is recorded as missing."""
    digest = provenance.input_digests({name: path})[name]
    _emit("input", {"name": name, "digest": digest}, f"input {name}: {digest or 'missing'}")


def save_figure(figure: "Figure", name: str) -> Path:
    """Write a matplotlib figure as SVG with a sidecar that says where it comes from.

    Args:
        figure: the figure.
        name: file name without suffix ("01_wrist_path").

    Returns:
        The SVG, in the folder `figures` of the run; the same figure always gives the same bytes.

    Raises:
        WriteFailed: the folder can't be written.
    """
    import matplotlib

    path = run_folder() / "figures" / f"{name}.svg"
    with matplotlib.rc_context({"svg.hashsalt": "vitra-lab", "svg.fonttype": "path"}), atomic_path(path) as part:
        figure.savefig(part, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": "vitra-lab"})
    sidecar = {
        "figure": path.name,
        "sha256": sha256_of(path),
        "git": _git_block(),
        "environment": provenance.environment(),
    }
    write_json(path.with_suffix(".json"), sidecar)
    _emit("figure", {"name": name, "sha256": sidecar["sha256"]}, f"saved figures/{path.name}")
    return path


def harvest(executed: Any) -> dict[str, list[dict[str, Any]]]:
    """What the cells of an executed notebook recorded: lists under "value", "input" and "figure".

    Raises:
        BadInput: two values of one name.
    """
    found: dict[str, list[dict[str, Any]]] = {"value": [], "input": [], "figure": []}
    for cell in executed.cells:
        for output in cell.get("outputs", ()):
            entry = output.get("data", {}).get(MIME)
            if entry:
                found[entry["kind"]].append({key: item for key, item in entry.items() if key != "kind"})
    names = [entry["claim"] for entry in found["value"]]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise BadInput(f"Recorded twice in one notebook: {', '.join(doubled)}.")
    return found


def write_record(executed: Any, facts: RunFacts, folder: Path, keep_diff: bool = False) -> Path:
    """Write the record of a run as `<NN>.<profile>.json`.

    Args:
        executed: the executed notebook (nbformat's object).
        facts: what the runner knows.
        folder: where records go.
        keep_diff: also store the checkout's difference to its commit as `<NN>.<profile>.diff`.

    Returns:
        The file written.

    Raises:
        BadInput: two values of one name.
        WriteFailed: the folder can't be written.
    """
    found = harvest(executed)
    profile = str(facts.parameters.get("profile", "none"))
    path = folder / f"{facts.notebook.stem.split('_')[0]}.{profile}.json"
    git = _git_block()
    content = {
        "schema": SCHEMA,
        "notebook": {"path": f"notebooks/{facts.notebook.name}", "sha256": source_sha256(executed)},
        "profile": profile,
        "parameters": dict(facts.parameters),
        "seed": facts.parameters.get("seed"),
        "values": found["value"],
        "figures": found["figure"],
        "inputs": {**_default_inputs(facts.parameters), **{entry["name"]: entry["digest"] for entry in found["input"]}},
        "git": git,
        "environment": provenance.environment(),
        "started": facts.started.isoformat(timespec="seconds"),
        "seconds": round(facts.seconds, 1),
        "status": facts.status,
    }
    if facts.failure:
        content["failure"] = facts.failure
    write_json(path, content)
    if keep_diff and git["dirty"] and git["sha"]:
        write_text(path.with_suffix(".diff"), provenance.git_diff(repository()))
    return path


def source_sha256(notebook: Any) -> str:
    """Digest of the sources of a notebook's cells; outputs and injected parameters do not count."""
    cells = [c for c in notebook.cells if "injected-parameters" not in c.metadata.get("tags", ())]
    return hashlib.sha256("\0".join(f"{c.cell_type}\n{c.source}" for c in cells).encode()).hexdigest()


def _default_inputs(parameters: Mapping[str, Any]) -> dict[str, str | None]:
    """The video that every notebook takes: the user's, or the sample."""
    video = parameters.get("video")
    if video is None:
        return {}
    return provenance.input_digests({"video": video} if video else {"data/sample": sample_folder()})


def _git_block() -> dict[str, Any]:
    state = provenance.git_state(repository())
    return {"sha": state.sha, "dirty": state.dirty, "diff_sha256": state.diff_sha256}


def _emit(kind: str, entry: dict[str, Any], text: str) -> None:
    """Put an entry into the output of the running cell."""
    from IPython.display import display

    display({MIME: {"kind": kind, **entry}, "text/plain": text}, raw=True)


def write_figures_record(
    name: str, figures: Sequence[Any], parameters: Mapping[str, Any], inputs: Mapping[str, str | Path], folder: Path
) -> Path:
    """Write the record of a measurement that a command made, as `<name>.json`.

    Args:
        name: name of the measurement ("reconstruction.world").
        figures: objects with `name`, `value`, `unit`, `n` and `ci95`.
        parameters: what the command was asked for.
        inputs: name -> file that was measured on; its digest is recorded.
        folder: where records go.

    Returns:
        The file written.
    """
    values = [
        {
            "name": figure.name,
            "value": figure.value if math.isfinite(figure.value) else None,
            "unit": figure.unit,
            "n": figure.n,
            "ci95": list(figure.ci95) if figure.ci95 else None,
        }
        for figure in figures
    ]
    content = {
        "schema": SCHEMA,
        "measurement": name,
        "parameters": dict(parameters),
        "values": values,
        "inputs": provenance.input_digests({key: str(path) for key, path in inputs.items()}),
        "git": _git_block(),
        "environment": provenance.environment(),
        "status": "ok",
    }
    path = folder / f"{name}.json"
    write_json(path, content)
    return path
