"""Several notebooks in order, on the sample or on one video, with a gallery at the end."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitra_lib.core.errors import MissingAsset, UnknownName
from vitra_lib.core.files import write_text
from vitra_lib.core.paths import notebooks_folder, results_folder
from vitra_lib.runs.clean import clean
from vitra_lib.runs.gallery import Entry, build_gallery
from vitra_lib.runs.parameters import check_parameters, legal_parameters
from vitra_lib.runs.runner import NotebookFailed, Run, RunPlan, run_notebook


@dataclass(frozen=True)
class Tour:
    """Result of a tour through notebooks.

    Attributes:
        runs: the executed notebooks, in order.
        index: the HTML index.
    """

    runs: tuple[Run, ...]
    index: Path


def find_notebooks(names: Iterable[str] = ()) -> tuple[Path, ...]:
    """Notebooks by number ("01") or name ("01_reconstruction"); all numbered ones when none is given.

    Raises:
        UnknownName: no notebook of that number or name.
        MissingAsset: the checkout has no notebooks.
    """
    everything = tuple(sorted(notebooks_folder().glob("[0-9][0-9]_*.ipynb")))
    if not everything:
        raise MissingAsset(
            f"There are no notebooks in {notebooks_folder()}: restore them with `git checkout notebooks`."
        )
    found = []
    for name in names:
        stem = name.removesuffix(".ipynb")
        hits = [p for p in everything if stem in (p.stem, p.stem.split("_")[0])]
        if not hits:
            raise UnknownName("notebook", name, [p.stem for p in everything])
        found += hits
    return tuple(found) or everything


def shared_parameters(notebook: Path, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `wanted` that this notebook has; not every notebook of a tour takes a video."""
    legal = legal_parameters(notebook)
    return {name: value for name, value in wanted.items() if name in legal}


def run_tour(notebooks: Sequence[Path], out_folder: Path, parameters: Mapping[str, Any], title: str) -> Tour:
    """Run notebooks in order into one folder, with progress on standard error, and write the gallery.

    The parameters of all notebooks are checked before the first one runs. When one fails, the gallery of what ran,
    the failed one included, is still written.

    Raises:
        UnknownName, BadInput: a parameter that none of the notebooks has, or a wrong value.
        NotebookFailed: a cell failed.
    """
    plans = [RunPlan(out_folder, parameters=shared_parameters(notebook, parameters)) for notebook in notebooks]
    known = {name for plan in plans for name in plan.parameters}
    for name in parameters:
        if name not in known:
            raise UnknownName(
                "parameter", name, sorted({n for notebook in notebooks for n in legal_parameters(notebook)})
            )
    for notebook, plan in zip(notebooks, plans, strict=True):
        check_parameters(notebook, plan.parameters)
    runs: list[Run] = []
    entries: list[Entry] = []
    for number, (notebook, plan) in enumerate(zip(notebooks, plans, strict=True), start=1):
        try:
            run = _run_with_bar(notebook, plan, f"[{number}/{len(notebooks)}] {notebook.stem}")
        except NotebookFailed:
            entries.append(Entry(out_folder / f"{notebook.stem}.failed.ipynb", None, "failed"))
            build_gallery(entries, out_folder, title, "The last notebook stopped; the pages show how far they came.")
            raise
        runs.append(run)
        entries.append(Entry(run.executed, run.seconds))
    return Tour(
        tuple(runs), build_gallery(entries, out_folder, title, "Executed notebooks, in the order to read them.")
    )


def _run_with_bar(notebook: Path, plan: RunPlan, label: str) -> Run:
    """Run one notebook under a progress bar, or, where no human looks on, one line at its end."""
    from tqdm import tqdm

    watched = sys.stderr.isatty()
    with tqdm(desc=label, unit="cell", disable=not watched, leave=True) as bar:

        def show(done: int, count: int) -> None:
            bar.total = count
            bar.update(done - bar.n)

        run = run_notebook(notebook, plan, show)
    if not watched:
        sys.stderr.write(f"{label}: {run.seconds:.0f} s\n")
        sys.stderr.flush()
    return run


def rewrite(notebook: Path) -> Path:
    """Execute a notebook with its defaults and put the cleaned run in its place; returns the record.

    Raises:
        NotebookFailed: a cell failed; the notebook is as it was, the failed run is in `results/executed/commit`.
    """
    import nbformat

    results = results_folder()
    plan = RunPlan(results / "executed" / "commit", records_folder=results / "records", keep_diff=False)
    run = _run_with_bar(notebook, plan, notebook.stem)
    cleaned = clean(nbformat.read(run.executed, as_version=4))
    write_text(notebook, nbformat.writes(cleaned) + "\n")
    return run.record
