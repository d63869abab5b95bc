"""The strict runner: wrong parameters stop it, failures leave a named copy, good runs a whole one and a record."""

import json
import logging
import os
from pathlib import Path

import pytest
from runs_notebooks import PARAMETERS, code, good, write

from vitra_lib.core.errors import BadInput, UnknownName
from vitra_lib.runs.demo import run_tour
from vitra_lib.runs.parameters import check_parameters, legal_parameters, parse_parameters
from vitra_lib.runs.runner import NotebookFailed, RunPlan, run_notebook


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    """A good notebook in a folder whose name papermill alone would take for a template."""
    folder = tmp_path / "my {video} files"
    folder.mkdir()
    return write(good(), folder / "00_metre.ipynb")


@pytest.mark.parametrize(
    ("parameters", "error", "said"),
    [
        ({"profil": "paper"}, UnknownName, "legal are profile, seed, video"),
        ({"profile": "huge"}, UnknownName, "legal are tiny, small, paper"),
        ({"seed": "seven"}, BadInput, "must be of type int"),
        ({"seed": True}, BadInput, "must be of type int"),
        ({"video": 3}, BadInput, "must be of type str"),
    ],
)
def test_wrong_parameters_stop_the_run_before_it_starts(
    notebook: Path, parameters: dict, error: type, said: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=said):
        run_notebook(notebook, RunPlan(tmp_path / "out", parameters=parameters))
    assert not (tmp_path / "out").exists()


def test_control_papermill_alone_lets_an_unknown_parameter_pass(notebook: Path, tmp_path: Path) -> None:
    import papermill

    logging.getLogger("papermill").setLevel(logging.CRITICAL)
    plain = write(good(), tmp_path / "plain.ipynb")
    papermill.execute_notebook(
        str(plain), str(tmp_path / "out.ipynb"), {"profil": "paper"}, prepare_only=True, progress_bar=False
    )
    assert (tmp_path / "out.ipynb").exists()


def test_the_parameters_cell_is_read_exactly(notebook: Path) -> None:
    legal = legal_parameters(notebook)
    assert list(legal) == ["profile", "seed", "video"]
    assert legal["profile"].choices == ("tiny", "small", "paper")
    assert legal["seed"].default == 0 and legal["seed"].comment == "of everything random; 0 = the first"
    assert check_parameters(notebook, {"seed": 3}) == {"profile": "tiny", "seed": 3, "video": ""}


@pytest.mark.parametrize(
    "source", ["import os", "a = os.getcwd()", "a = b = 1", "a, b = 1, 2", "print(1)", "a: int", "a ="]
)
def test_a_parameters_cell_of_anything_but_literals_is_refused(source: str) -> None:
    with pytest.raises(BadInput, match="parameters cell"):
        parse_parameters(f"{PARAMETERS}\n{source}", "x.ipynb")


@pytest.mark.parametrize("content", [b"", b"hello", b"{}", b'{"cells": 1, "nbformat": 4}'])
def test_a_file_that_is_no_notebook_is_one_sentence(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.ipynb").write_bytes(content)
    with pytest.raises(BadInput, match=r"a\.ipynb isn't a notebook"):
        run_notebook(tmp_path / "a.ipynb", RunPlan(tmp_path / "out"))
    with pytest.raises(BadInput, match="Can't read"):
        run_notebook(tmp_path / "absent.ipynb", RunPlan(tmp_path / "out"))


def test_a_good_run_leaves_a_whole_copy_a_record_and_a_gallery(notebook: Path, tmp_path: Path) -> None:
    before = notebook.read_bytes()
    environment = dict(os.environ)
    tour = run_tour([notebook], tmp_path / "out", {"seed": 3}, "A tour")
    assert notebook.read_bytes() == before and dict(os.environ) == environment
    run = tour.runs[0]
    executed = json.loads(run.executed.read_text())
    counts = [c["execution_count"] for c in executed["cells"] if c["cell_type"] == "code"]
    assert counts == list(range(1, len(counts) + 1))
    assert any("seed = 3" in "".join(c["source"]) for c in executed["cells"])
    content = json.loads(run.record.read_text())
    assert run.record.name == "00.tiny.json" and content["status"] == "ok" and content["seed"] == 3
    assert content["values"] == [{"claim": "metre", "value": 1.0, "unit": "m", "n": 5, "ci95": [0.9, 1.1]}]
    page = tour.index.read_text()
    assert "How long is a metre?" in page and (tmp_path / "out" / "00_metre.html").is_file()
    assert not [name for name in os.listdir(tmp_path / "out") if name.startswith(".")]


def test_a_failed_cell_is_one_sentence_and_a_named_copy(notebook: Path, tmp_path: Path) -> None:
    broken = good()
    broken.cells.insert(
        6, code('import os\nassert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"\nraise ValueError("too\\nshort")')
    )
    path = write(broken, tmp_path / "01_broken.ipynb")
    out = tmp_path / "out"
    out.mkdir()
    (out / "01_broken.ipynb").write_text("an older run")
    with pytest.raises(NotebookFailed) as caught:
        run_tour([path], out, {}, "A tour")
    message = str(caught.value)
    assert "01_broken.ipynb" in message and "ValueError: too short." in message and "\n" not in message
    assert "01_broken.failed.ipynb" in message and not (out / "01_broken.ipynb").exists()
    partly = json.loads((out / "01_broken.failed.ipynb").read_text())
    assert any(o["output_type"] == "error" for c in partly["cells"] for o in c.get("outputs", ()))
    content = json.loads((out / "records" / "01.tiny.json").read_text())
    assert content["status"] == "failed" and content["values"] == [] and "ValueError" in content["failure"]
    assert "failed" in (out / "index.html").read_text()
    assert sorted(os.listdir(out)) == ["01_broken.failed.html", "01_broken.failed.ipynb", "index.html", "records"]


def test_a_kernel_that_dies_is_one_sentence(notebook: Path, tmp_path: Path) -> None:
    deadly = good()
    deadly.cells.insert(6, code('import os\nos.write(2, b"native trouble.")\nos._exit(1)'))
    path = write(deadly, tmp_path / "02_deadly.ipynb")
    with pytest.raises(NotebookFailed, match="02_deadly.ipynb lost its kernel") as caught:
        run_notebook(path, RunPlan(tmp_path / "out"))
    assert "\n" not in str(caught.value) and (tmp_path / "out" / "02_deadly.failed.ipynb").is_file()


def test_a_parameter_that_no_notebook_of_a_tour_has_is_unknown(notebook: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="legal are profile, seed, video"):
        run_tour([notebook], tmp_path / "out", {"sed": 3}, "A tour")
    assert not (tmp_path / "out").exists()
