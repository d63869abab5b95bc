"""Small notebooks that the tests of the runner, the records and the anatomy share."""

from pathlib import Path
from typing import Any

import nbformat

PARAMETERS = 'profile: str = "tiny"  # tiny | small | paper\nseed: int = 0  # of everything random; 0 = the first\n'
PARAMETERS += 'video: str = ""  # a file; empty = the sample'
SETUP = "from vitra_lib.core.provenance import banner\nfrom vitra_lib.runs.records import record\n\nprint(banner())"
OPENING = """# How long is a metre?

**The question.** How long is a metre? Paper, section 3.1.

| reads | writes | minutes |
|---|---|---|
| nothing | one record | 1 |
"""
ENDING = "## Exercises\n\n<details><summary>Solution</summary>1</details>\n"


def prose(text: str) -> Any:
    """A markdown cell."""
    return nbformat.v4.new_markdown_cell(text)


def code(source: str, count: int | None = None, *tags: str) -> Any:
    """A code cell."""
    cell = nbformat.v4.new_code_cell(source, execution_count=count)
    if tags:
        cell.metadata["tags"] = list(tags)
    return cell


def good() -> Any:
    """A notebook in the anatomy of the kit, with the outputs of a clean run."""
    cells = [
        prose(OPENING),
        code(PARAMETERS, 1, "parameters"),
        prose("Set-up: versions and device."),
        code(SETUP, 2),
        prose("## 1 Measure\n\nWe take the rod that defines it."),
        code('metre = 1.0 + 0.0 * seed\nassert metre > 0, "a length is positive"', 3),
        prose("## 2 Record\n\nThe figure goes into the record of this run."),
        code('record("metre", metre, unit="m", n=5, ci95=(0.9, 1.1))', 4),
        prose(ENDING),
        code("my_answer = ...  # your turn", 5),
        prose("## What next\n\nNotebook 01."),
    ]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


def write(notebook: Any, path: Path) -> Path:
    """Write a notebook and return its path."""
    nbformat.write(notebook, path)
    return path
