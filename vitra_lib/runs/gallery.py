"""HTML of executed notebooks and an index page; everything is local, so it reads the same without a network."""

import html
import json
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitra_lib.core.files import write_text
from vitra_lib.runs.parameters import read_notebook

_PLOTLY_MIME = "application/vnd.plotly.v1+json"
_PLOTLY_FILE = "plotly.min.js"
_REMOTE_SCRIPT = re.compile(r"<script[^>]*\bsrc=[\"']https?://[^>]*>\s*</script>|<link[^>]*\bhref=[\"']https?://[^>]*>")
_MODULE_IMPORT = re.compile(
    r"<script type=\"module\">(?:(?!</script>).)*?https?://(?:(?!</script>).)*?</script>", re.DOTALL
)
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:48rem;margin:3rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.4rem .8rem;border-bottom:1px solid #ddd}"
    "a{color:#0b5cad}.failed{color:#a00}"
)


@dataclass(frozen=True)
class Entry:
    """One line of the index.

    Attributes:
        executed: the executed notebook.
        seconds: wall time [s], None when unknown.
        status: "ok" or "failed".
    """

    executed: Path
    seconds: float | None = None
    status: str = "ok"


def build_gallery(entries: Sequence[Entry], folder: Path, title: str, note: str = "") -> Path:
    """Write `<name>.html` for every notebook, and `index.html`.

    Args:
        entries: what to show, in order.
        folder: where the pages go.
        title: heading of the index.
        note: one sentence below it.

    Returns:
        The index page.

    Raises:
        BadInput: a file isn't a notebook.
        WriteFailed: the folder can't be written.
    """
    rows, needs_plotly = [], False
    for entry in entries:
        page, has_plotly = notebook_html(entry.executed)
        needs_plotly |= has_plotly
        name = f"{entry.executed.stem}.html"
        write_text(folder / name, page)
        seconds = "" if entry.seconds is None else f"{entry.seconds:.0f} s"
        status = entry.status if entry.status == "ok" else f'<b class="failed">{html.escape(entry.status)}</b>'
        heading = html.escape(_title(read_notebook(entry.executed), entry.executed.stem))
        rows.append(f'<tr><td><a href="{name}">{heading}</a></td><td>{seconds}</td><td>{status}</td></tr>')
    if needs_plotly:
        from plotly.offline import get_plotlyjs

        write_text(folder / _PLOTLY_FILE, get_plotlyjs())
    index = folder / "index.html"
    write_text(
        index,
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{html.escape(title)}</h1><p>{html.escape(note)}</p>"
        f"<table><tr><th>Notebook</th><th>Time</th><th>Status</th></tr>{''.join(rows)}</table></body></html>\n",
    )
    return index


def notebook_html(path: Path) -> tuple[str, bool]:
    """The page of one notebook without any remote script, and whether it needs plotly's script beside it.

    Raises:
        BadInput: the file isn't a notebook.
    """
    from nbconvert import HTMLExporter

    notebook = read_notebook(path)
    has_plotly = _inline_plotly(notebook)
    notebook.metadata.pop("widgets", None)
    log = logging.getLogger(f"{__name__}.nbconvert")
    log.setLevel(logging.ERROR)  # it warns of every picture without a text of its own
    exporter = HTMLExporter(template_name="lab", embed_images=True, log=log)
    page, _ = exporter.from_notebook_node(notebook, {"metadata": {"name": _title(notebook, path.stem)}})
    return _MODULE_IMPORT.sub("", _REMOTE_SCRIPT.sub("", page)), has_plotly


def _inline_plotly(notebook: Any) -> bool:
    """Turn interactive figures into HTML that draws itself with the local script."""
    count = 0
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            figure = output.get("data", {}).pop(_PLOTLY_MIME, None)
            if figure is None:
                continue
            count += 1
            arguments = ",".join(
                json.dumps(figure.get(key, default)) for key, default in (("data", []), ("layout", {}))
            )
            script = f'<script src="{_PLOTLY_FILE}"></script>' if count == 1 else ""
            drawing = f'Plotly.newPlot("figure-{count}",{arguments},{{"responsive":true}})'.replace("</", "<\\/")
            output.data["text/html"] = f'{script}<div id="figure-{count}"></div><script>{drawing}</script>'
    return count > 0


def _title(notebook: Any, name: str) -> str:
    """The first heading of a notebook, or its file name."""
    for cell in notebook.cells:
        first = cell.source.lstrip().splitlines()[:1]
        if cell.cell_type == "markdown" and first and first[0].startswith("# "):
            return first[0][2:].strip()
    return name
