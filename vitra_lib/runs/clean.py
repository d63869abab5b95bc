"""Cleaning an executed notebook for the repository: no times, no machine paths, no progress bars, small pictures."""

import base64
import io
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from vitra_lib.core.paths import repository

MAX_WIDTH_PX = 900
_KEPT_METADATA = ("kernelspec", "language_info")
_NOISE = re.compile(
    r"^.*(?:\d+%\|.*\||\bit/s\b|\bs/it\b|\bcell/s\b).*$"  # progress bars
    r"|^[WIE]\d{4} .*$|^WARNING: All log messages before absl.*$|^INFO: Created TensorFlow Lite.*$"  # native logs
)


def clean(notebook: Any) -> Any:
    """Clean an executed notebook in place and return it; the same run gives the same notebook on every machine."""
    notebook.metadata = type(notebook.metadata)({k: v for k, v in notebook.metadata.items() if k in _KEPT_METADATA})
    notebook.metadata.get("language_info", {}).pop("version", None)
    for index, cell in enumerate(notebook.cells):
        cell.id = f"cell-{index:02d}"
        tags = cell.metadata.get("tags")
        cell.metadata = type(cell.metadata)({"tags": tags} if tags else {})
        if cell.cell_type == "code":
            cell.outputs = [output for output in map(_clean_output, cell.outputs) if output is not None]
    return notebook


def _clean_output(output: Any) -> Any | None:
    if output.output_type == "stream":
        output.text = _clean_text(output.text, drop_noise=True)
        return output if output.text.strip() else None
    for mime, value in list(output.get("data", {}).items()):
        if mime == "application/vnd.jupyter.widget-view+json":
            return None  # a progress bar; its state is not saved
        if mime == "image/png":
            output.data[mime] = _smaller(value)
        elif isinstance(value, str):
            output.data[mime] = _clean_text(value)
    return output


def _clean_text(text: str, drop_noise: bool = False) -> str:
    for path, name in _machine_paths():
        text = text.replace(path, name)
    if not drop_noise:
        return text
    lines = [line.split("\r")[-1] if "\r" in line.rstrip("\r") else line for line in text.split("\n")]
    return "\n".join(line for line in lines if not _NOISE.match(line))


def _machine_paths() -> list[tuple[str, str]]:
    """Folders of this machine and what stands for them, longest first."""
    paths = {
        str(repository()): ".",
        sys.prefix: "<python>",
        sys.base_prefix: "<python>",
        str(Path.home()): "~",
        tempfile.gettempdir(): "<tmp>",
    }
    return sorted(((p, name) for p, name in paths.items() if len(p) > 1), key=lambda item: -len(item[0]))


def _smaller(png_base64: str) -> str:
    """The picture at no more than `MAX_WIDTH_PX`, in 256 colours."""
    from PIL import Image

    data = base64.b64decode(png_base64)
    with Image.open(io.BytesIO(data)) as original:
        if original.mode == "P" and original.width <= MAX_WIDTH_PX:
            return png_base64  # cleaned before
        image = original.convert("RGB")
    if image.width > MAX_WIDTH_PX:
        size = (MAX_WIDTH_PX, round(image.height * MAX_WIDTH_PX / image.width))
        image = image.resize(size, Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.quantize(256, method=Image.Quantize.MEDIANCUT).save(buffer, "png", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
