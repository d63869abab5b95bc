"""Records and figures: what is collected, how a missing value looks, and that bytes repeat."""

import json
import math
from datetime import UTC, datetime
from pathlib import Path

import nbformat
import pytest
from runs_notebooks import code, good

from vitra_lib.core.errors import BadInput
from vitra_lib.core.files import sha256_of
from vitra_lib.runs import records
from vitra_lib.runs.records import MIME, RunFacts, harvest, record, save_figure, source_sha256, write_record


@pytest.fixture
def emitted(monkeypatch: pytest.MonkeyPatch) -> list:
    """What `record` would have put into a cell's output."""
    found: list = []
    monkeypatch.setattr(records, "_emit", lambda kind, entry, text: found.append((kind, entry, text)))
    return found


def with_outputs(*entries: dict):
    """A notebook whose one cell emitted these entries."""
    notebook = good()
    cell = code("record(...)", 1)
    cell.outputs = [nbformat.v4.new_output("display_data", {MIME: entry, "text/plain": ""}) for entry in entries]
    notebook.cells = [cell]
    return notebook


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_what_could_not_be_measured_is_missing_and_never_zero(value: float | None, emitted: list) -> None:
    record("wrist_error", value, unit="m")
    kind, entry, text = emitted[0]
    assert entry["value"] is None and "missing" in text


def test_a_record_says_value_unit_samples_and_interval(emitted: list) -> None:
    record("wrist_error", 0.0412345, unit="m", n=240, ci95=(0.03, 0.05))
    record("found", True, unit="1")
    assert emitted[0][1] == {"claim": "wrist_error", "value": 0.0412345, "unit": "m", "n": 240, "ci95": [0.03, 0.05]}
    assert emitted[0][2] == "recorded wrist_error: 0.04123 m, 95 % interval 0.03 to 0.05 (n = 240)"
    assert emitted[1][1]["value"] == 1


@pytest.mark.parametrize(
    "arguments", [("", 1.0, "m"), ("a", 1.0, ""), ("a", 1.0, "m", 3, (2.0, 1.0)), ("a", 1.0, "m", 3, (1.0,))]
)
def test_a_senseless_record_is_refused(arguments: tuple, emitted: list) -> None:
    with pytest.raises(BadInput):
        record(*arguments)
    assert not emitted


def test_values_inputs_and_figures_are_collected() -> None:
    value = {"claim": "a", "value": 1.0, "unit": "m", "n": None, "ci95": None}
    found = harvest(with_outputs({"kind": "value", **value}, {"kind": "input", "name": "x", "digest": None}))
    assert found == {"value": [value], "input": [{"name": "x", "digest": None}], "figure": []}
    with pytest.raises(BadInput, match="Recorded twice"):
        harvest(with_outputs({"kind": "value", **value}, {"kind": "value", **value}))


def test_the_record_of_a_run(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"x")
    parameters = {"profile": "tiny", "seed": 7, "video": str(tmp_path / "clip.mp4")}
    facts = RunFacts(tmp_path / "01_reconstruction.ipynb", parameters, datetime(2026, 1, 2, tzinfo=UTC), 41.26, "ok")
    path = write_record(good(), facts, tmp_path / "records")
    content = json.loads(path.read_text())
    assert (
        path.name == "01.tiny.json"
        and content["schema"] == 1
        and content["notebook"]["path"] == "notebooks/01_reconstruction.ipynb"
    )
    assert content["inputs"]["video"].startswith("sha256:") and content["seconds"] == 41.3
    assert content["started"] == "2026-01-02T00:00:00+00:00" and set(content["git"]) == {"sha", "dirty", "diff_sha256"}
    assert set(content["environment"]) == {"python", "packages_sha256", "device"}


def test_the_digest_of_a_notebook_sees_sources_only() -> None:
    plain, injected, changed = good(), good(), good()
    injected.cells.insert(2, code("seed = 3", 2, "injected-parameters"))
    changed.cells[5].source += "\n"
    assert source_sha256(plain) == source_sha256(injected) != source_sha256(changed)


def test_a_figure_is_the_same_bytes_each_time(tmp_path: Path, emitted: list, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    digests = set()
    for name in ("a", "b"):
        monkeypatch.setenv("VITRA_RUN_FOLDER", str(tmp_path / name))
        figure = Figure(figsize=(2, 1))
        figure.subplots().plot([0, 1], [0, 1], label="x")
        path = save_figure(figure, "01_line")
        assert path == tmp_path / name / "figures" / "01_line.svg"
        digests.add(sha256_of(path))
        sidecar = json.loads(path.with_suffix(".json").read_text())
        assert sidecar["sha256"] == sha256_of(path) and "git" in sidecar and "environment" in sidecar
    assert len(digests) == 1
