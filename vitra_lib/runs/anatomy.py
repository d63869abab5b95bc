"""The anatomy that every notebook of the kit shares, and the check that holds them to it.

Title and question; a parameters cell whose defaults run offline; set-up in one cell; numbered steps of prose and few
lines of code; records; exercises with folded solutions; what next. Committed outputs are one clean run, 1 to n.
"""

import ast
import re
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vitra_lib.runs.parameters import read_notebook

MAX_CELL_LINES = 25
MAX_MEDIAN_LINES = 8
MAX_CODE_CELLS = 25
MAX_FUNCTIONS = 2
MIN_PROSE_PER_CODE = 0.8
MAX_BYTES = 500_000
_CALLS = {
    "banner(": "print versions and device with `banner()`",
    "record(": "record a result with `record(…)`",
    "my_answer": "have an exercise with `my_answer = ...`",
}
_COMMANDS = re.compile(r"^\s*[%!]", re.MULTILINE)
_MACHINE_PATH = re.compile(r"(?<![\w.~>/:])/(?:home|root|Users|tmp|work|mnt|private|opt)/[\w./-]+")


def findings(path: Path) -> list[str]:
    """What is wrong with a notebook, one sentence each; empty when nothing is.

    Args:
        path: the `.ipynb` file as committed.

    Raises:
        BadInput: it isn't a notebook.
    """
    notebook = read_notebook(path)
    found = [
        *_document(path, notebook),
        *_prose(notebook),
        *_parameters(notebook),
        *_code(notebook),
        *_outputs(notebook),
    ]
    return [f"{path.name}: {finding}" for finding in found]


def _document(path: Path, notebook: Any) -> Iterator[str]:
    if path.stat().st_size > MAX_BYTES:
        yield f"is {path.stat().st_size / 1000:.0f} KB, the limit is {MAX_BYTES / 1000:.0f} KB"
    for key in ("kernelspec", "language_info"):
        if key not in notebook.metadata:
            yield f"lacks the metadata {key!r}, without which papermill can't run it"
    code = [c for c in notebook.cells if c.cell_type == "code"]
    prose = [c for c in notebook.cells if c.cell_type == "markdown"]
    if len(code) > MAX_CODE_CELLS:
        yield f"has {len(code)} code cells, the limit is {MAX_CODE_CELLS}"
    if len(prose) < MIN_PROSE_PER_CODE * len(code):
        yield f"has {len(prose)} prose cells for {len(code)} code cells, at least {MIN_PROSE_PER_CODE} each are wanted"


def _prose(notebook: Any) -> Iterator[str]:
    first = notebook.cells[0] if notebook.cells else None
    if first is None or first.cell_type != "markdown" or not first.source.startswith("# "):
        yield "does not begin with a title (`# …`)"
        return
    if "?" not in first.source:
        yield "does not ask its question in the first cell"
    prose = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    opening = first.source
    for cell in notebook.cells[1:]:
        if cell.cell_type != "markdown":
            break
        opening += "\n" + cell.source
    if not re.search(r"^\|.*reads.*\|", opening, re.MULTILINE | re.IGNORECASE):
        yield "has no table of what it reads and writes and how long it takes, at the top"
    if "paper" not in opening.lower():
        yield "does not name the section of the paper at the top"
    for heading in ("Exercise", "What next"):
        if not re.search(rf"^#+ .*{heading}", prose, re.MULTILINE | re.IGNORECASE):
            yield f"has no section {heading!r}"
    if "<details>" not in prose:
        yield "has no folded solution (`<details>`)"
    numbers = [int(n) for n in re.findall(r"^## (\d+)\b", prose, re.MULTILINE)]
    if numbers != list(range(1, len(numbers) + 1)) or not numbers:
        yield f"has steps numbered {numbers or 'not at all'} instead of 1, 2, 3…"


def _parameters(notebook: Any) -> Iterator[str]:
    code = [c for c in notebook.cells if c.cell_type == "code"]
    tagged = [c for c in code if "parameters" in c.metadata.get("tags", ())]
    if len(tagged) != 1 or tagged[0] is not code[0]:
        yield "must have one cell tagged `parameters`, and it must be the first code cell"
        return
    lines = [line for line in tagged[0].source.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    for line in lines:
        if not re.match(r"^\w+: \w+(?:\[.*\])? = .+  # .+$", line):
            yield f"parameter line {line!r} is not `name: type = default  # what it means`"
    if not any(line.startswith('profile: str = "tiny"') for line in lines):
        yield 'the parameters do not have `profile: str = "tiny"`, which must run offline on a CPU'
    if not any(line.startswith("seed: int = ") for line in lines):
        yield "the parameters do not have `seed: int`"


def _code(notebook: Any) -> Iterator[str]:
    code = [c for c in notebook.cells if c.cell_type == "code"]
    counts = [len(c.source.splitlines()) for c in code]
    yield from (
        f"code cell {i + 1} has {n} lines, the limit is {MAX_CELL_LINES}"
        for i, n in enumerate(counts)
        if n > MAX_CELL_LINES
    )
    if counts and statistics.median(counts) > MAX_MEDIAN_LINES:
        yield f"the median code cell has {statistics.median(counts):g} lines, the limit is {MAX_MEDIAN_LINES}"
    functions, importing, has_checkpoint = 0, [], False
    for i, cell in enumerate(code):
        if _COMMANDS.search(cell.source):
            yield f"code cell {i + 1} uses a shell or magic command"
            continue
        try:
            tree = ast.parse(cell.source)
        except SyntaxError:
            yield f"code cell {i + 1} is not valid Python"
            continue
        nodes = list(ast.walk(tree))
        functions += sum(isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) for n in nodes)
        importing += [i + 1] if any(isinstance(n, ast.Import | ast.ImportFrom) for n in nodes) else []
        has_checkpoint |= any(isinstance(n, ast.Assert) and n.msg is not None for n in nodes)
        if any(isinstance(n, ast.Assert) and n.msg is None for n in nodes):
            yield f"code cell {i + 1} asserts without saying what it means"
    if functions > MAX_FUNCTIONS:
        yield f"defines {functions} functions or classes, the limit is {MAX_FUNCTIONS}: they belong in the library"
    if len(importing) > 1:
        yield f"imports in code cells {importing}: all imports belong in one"
    if not has_checkpoint:
        yield "has no checkpoint (`assert …, 'what it means'`)"
    sources = "\n".join(c.source for c in code)
    for call, what in _CALLS.items():
        if call not in sources:
            yield f"does not {what}"


def _outputs(notebook: Any) -> Iterator[str]:
    code = [c for c in notebook.cells if c.cell_type == "code"]
    counts = [c.get("execution_count") for c in code]
    if counts != list(range(1, len(code) + 1)):
        yield "is not one clean run from 1 to n: execute it with `make notebooks`"
    if any("injected-parameters" in c.metadata.get("tags", ()) for c in notebook.cells):
        yield "holds injected parameters: commit the run of the defaults, made by `make notebooks`"
    if "papermill" in notebook.metadata or any({"papermill", "execution"} & set(c.metadata) for c in notebook.cells):
        yield "holds timing metadata: clean it with `make notebooks`"
    for i, cell in enumerate(code):
        for output in cell.get("outputs", ()):
            if output.output_type == "error":
                yield f"code cell {i + 1} ended in {output.ename}"
            texts = [output.get("text", "")]
            texts += [v for v in output.get("data", {}).values() if isinstance(v, str) and len(v) < 20_000]
            paths = sorted({match.group() for text in texts for match in _MACHINE_PATH.finditer(text)})
            if paths:
                yield f"the output of code cell {i + 1} names a folder of some machine: {paths[0]}"
