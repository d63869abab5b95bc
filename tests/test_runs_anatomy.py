"""The anatomy of notebooks, the cleaning of committed runs, and the gallery."""

import base64
import io
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from runs_notebooks import code, good, prose, write

from vitra_lib.core.errors import BadInput
from vitra_lib.core.paths import notebooks_folder, repository
from vitra_lib.runs.anatomy import findings
from vitra_lib.runs.clean import MAX_WIDTH_PX, clean
from vitra_lib.runs.gallery import Entry, build_gallery

NOTEBOOKS = sorted(notebooks_folder().glob("[0-9][0-9]_*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_committed_notebook_has_the_anatomy(path: Path) -> None:
    assert not findings(path)


def test_a_good_notebook_has_no_findings(tmp_path: Path) -> None:
    assert findings(write(good(), tmp_path / "00_good.ipynb")) == []


def _cell(index: int, **changes: Any) -> Callable:
    def change(notebook: Any) -> None:
        notebook.cells[index].update(changes)

    return change


def _output(**output: Any) -> Callable:
    def change(notebook: Any) -> None:
        notebook.cells[7].outputs = [nbformat.from_dict(output)]

    return change


DEFECTS: dict[str, tuple[Callable, str]] = {
    "no title": (_cell(0, source="How long? paper | reads |"), "does not begin with a title"),
    "no question": (_cell(0, source=good().cells[0].source.replace("?", ".")), "does not ask"),
    "no table": (_cell(0, source="# A?\n\nPaper."), "no table"),
    "no paper": (_cell(0, source=good().cells[0].source.replace("Paper, section 3.1.", "")), "section of the paper"),
    "no steps": (_cell(4, source="Measure"), "steps numbered"),
    "steps out of order": (_cell(6, source="## 3 Record"), "steps numbered [1, 3]"),
    "no exercises": (_cell(8, source="<details></details>"), "'Exercise'"),
    "no solution": (_cell(8, source="## Exercises"), "no folded solution"),
    "no ending": (_cell(10, source="bye"), "'What next'"),
    "no parameters": (_cell(1, metadata={}), "tagged `parameters`"),
    "untyped parameter": (_cell(1, source='profile: str = "tiny"  # x\nseed = 0'), "is not `name: type"),
    "wrong default": (_cell(1, source='profile: str = "paper"  # x\nseed: int = 0  # y'), 'profile: str = "tiny"'),
    "a long cell": (_cell(5, source="\n".join(f'a{i} = 1; assert a{i}, "x"' for i in range(26))), "has 26 lines"),
    "a magic": (_cell(5, source="%matplotlib inline"), "magic"),
    "no python": (_cell(5, source="this is no python"), "not valid Python"),
    "a late import": (_cell(5, source='import os\nassert os, "x"'), "all imports belong in one"),
    "a mute assert": (_cell(5, source="assert True"), "without saying"),
    "three functions": (_cell(5, source="def a(): ...\ndef b(): ...\nclass C: ...\nassert C, 'x'"), "defines 3"),
    "no banner": (_cell(3, source="import os"), "banner()"),
    "no record": (_cell(7, source="metre"), "record a result"),
    "no exercise cell": (_cell(9, source="1"), "my_answer"),
    "not run in order": (_cell(7, execution_count=9), "not one clean run"),
    "not run": (_cell(7, execution_count=None), "not one clean run"),
    "timing": (_cell(7, metadata={"execution": {"iopub.busy": "now"}}), "timing metadata"),
    "an error": (_output(output_type="error", ename="ValueError", evalue="", traceback=[]), "ended in ValueError"),
    "a path": (_output(output_type="stream", name="stdout", text="in /home/jane/clip.mp4\n"), "/home/jane/clip.mp4"),
    "too large": (_output(output_type="stream", name="stdout", text="x" * 500_001), "the limit is 500 KB"),
    "too little prose": (lambda n: n.cells.extend(code("1", 6 + i) for i in range(6)), "prose cells"),
    "too many cells": (
        lambda n: n.cells.extend(c for i in range(21) for c in (code("1", 6 + i), prose("x"))),
        "limit is 25",
    ),
    "no kernel": (lambda n: n.metadata.pop("kernelspec"), "'kernelspec'"),
}


@pytest.mark.parametrize("name", list(DEFECTS))
def test_control_every_defect_is_found(name: str, tmp_path: Path) -> None:
    change, said = DEFECTS[name]
    notebook = good()
    change(notebook)
    nbformat.validate(notebook)
    assert any(said in finding for finding in findings(write(notebook, tmp_path / "00_bad.ipynb")))


def test_a_file_that_is_no_notebook_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "a.ipynb").write_text("x")
    with pytest.raises(BadInput):
        findings(tmp_path / "a.ipynb")


def picture(width: int, height: int) -> str:
    """A PNG of noise, base64."""
    import numpy as np
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)).save(buffer, "png")
    return base64.b64encode(buffer.getvalue()).decode()


def test_cleaning_removes_times_paths_and_bars_and_shrinks_pictures() -> None:
    from PIL import Image

    notebook = good()
    notebook.metadata["papermill"] = {"duration": 1.0}
    notebook.metadata["language_info"]["version"] = "3.11.7"
    notebook.cells[5].metadata["execution"] = {"iopub.busy": "now"}
    text = f"read {repository()}/data/sample\n"
    text += " 40%|####      | 4/10 [00:01<00:02, 3.1it/s]\nW0000 noise\n"
    text += f"in {sys.prefix}/lib\n"
    notebook.cells[5].outputs = [
        nbformat.v4.new_output("stream", name="stderr", text=text),
        nbformat.v4.new_output("stream", name="stderr", text="100%|####| 2/2 [00:01<00:00,  2.0it/s]"),
        nbformat.v4.new_output("display_data", {"image/png": picture(1200, 60)}),
    ]
    before = len(notebook.cells[5].outputs[2].data["image/png"])
    clean(notebook)
    stream, image = notebook.cells[5].outputs
    assert stream.text == "read ./data/sample\nin <python>/lib\n"
    shown = Image.open(io.BytesIO(base64.b64decode(image.data["image/png"])))
    assert shown.width == MAX_WIDTH_PX and len(image.data["image/png"]) < before
    assert "papermill" not in notebook.metadata and "version" not in notebook.metadata["language_info"]
    assert notebook.cells[5].metadata == {} and notebook.cells[1].metadata == {"tags": ["parameters"]}
    once = nbformat.writes(notebook)
    assert nbformat.writes(clean(nbformat.reads(once, as_version=4))) == once


def test_the_gallery_reads_without_a_network(tmp_path: Path) -> None:
    import plotly.graph_objects as go

    notebook = good()
    figure = json.loads(go.Figure(go.Scatter3d(x=[0], y=[1], z=[2])).to_json())
    notebook.cells[5].outputs = [
        nbformat.v4.new_output("display_data", {"application/vnd.plotly.v1+json": figure}),
        nbformat.v4.new_output("display_data", {"image/png": picture(8, 8)}),
    ]
    path = write(notebook, tmp_path / "00_metre.ipynb")
    index = build_gallery([Entry(path, 3.2), Entry(path, None, "failed")], tmp_path / "out", "A <title>")
    page = (tmp_path / "out" / "00_metre.html").read_text()
    for text in (page, index.read_text()):
        assert not re.search(r"<(script|link|img|iframe)[^>]*(src|href)=[\"']?(https?:)?//", text)
        assert not re.search(r"import .*https?://|@import|url\(https?:", text)
    assert "plotly.min.js" in page and (tmp_path / "out" / "plotly.min.js").stat().st_size > 1_000_000
    assert "data:image/png;base64" in page
    assert "A &lt;title&gt;" in index.read_text() and 'href="00_metre.html"' in index.read_text()
