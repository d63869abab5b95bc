"""The accuracy table: what the records say, side by side, and nothing that no record says."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vitra_lib.core.errors import BadInput
from vitra_lib.core.files import write_json, write_text

_BEGIN, _END = "<!-- accuracy -->", "<!-- /accuracy -->"


@dataclass(frozen=True)
class Source:
    """One column of the table.

    Attributes:
        record: name of the record ("reconstruction.world").
        title: head of the column.
        about: one sentence on what was measured against what.
        is_synthetic: whether the input was rendered.
    """

    record: str
    title: str
    about: str
    is_synthetic: bool = False


SOURCES: tuple[Source, ...] = (
    Source(
        "reconstruction.world", "world, unseen objects",
        "Rendered clips of seeds and objects that no training saw, moving camera, against their truth.", True,
    ),
    Source(
        "reconstruction.world.unseen-texture", "world, unseen textures",
        "Rendered clips with textures that no training saw, against their truth.", True,
    ),
    Source(
        "reconstruction.world.unseen-category", "world, unseen categories",
        "Rendered clips with kinds of objects that no training saw, against their truth.", True,
    ),
    Source(
        "reconstruction.official", "Ego4D clip",
        "One real 25-frame clip against the annotation of VITRA's authors, which is their pipeline's output, not "
        "ground truth; the field of view is given, as it was to them.",
    ),
    Source(
        "reconstruction.official.self-calibrated", "Ego4D clip, lens unknown",
        "The same clip, with the field of view left to self-calibration.",
    ),
    Source(
        "reconstruction.aria", "Aria glasses",
        "Three colour frames of second-generation Aria glasses against the hands that the device tracked with its "
        "four other cameras.",
    ),
    Source(
        "reconstruction.static_hand", "still camera",
        "A real 20 s video of one hand before a still camera; the joints recorded with it are another tracker's.",
    ),
    Source(
        "two_view.scannet", "ScanNet pairs",
        "Relative pose of pairs of real frames with known poses; no hands.",
    ),
)  # fmt: skip
"""Everything that goes into the table, in the order of its columns."""

_OVERVIEW = (
    "reconstruction.world", "reconstruction.world.unseen-texture", "reconstruction.world.unseen-category",
    "reconstruction.official", "reconstruction.aria",
)  # fmt: skip
_ROWS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("visible hands found", ("visible hands found", "right hand found")),
    ("identity right, by track", ("identity right, by track",)),
    ("false hands", ("false hands",)),
    ("wrist position in camera, median", ("wrist position in camera",)),
    ("wrist rotation, median", ("wrist rotation",)),
    ("root-aligned joints, median", ("root-aligned joints",)),
    ("camera path after similarity alignment (ATE)", ("camera path after similarity alignment (ATE)",)),
    ("camera rotation, median", ("camera rotation",)),
    ("metric scale error of the path", ("metric scale error of the path",)),
    ("metric scale, ours over official", ("metric scale of the path, ours over official",)),
    ("confidence against true error, Spearman", ("confidence against joint error (Spearman)",)),
    ("boundary F1 at 5 frames, truth tracks", ("boundary F1 at 5 frames, truth tracks",)),
    ("boundary F1 at 5 frames, reconstructed tracks", ("boundary F1 at 5 frames, reconstructed tracks",)),
)


def read_records(folder: Path, sources: Sequence[Source] = SOURCES) -> dict[str, dict]:
    """The records that exist, by name.

    Raises:
        BadInput: a record is damaged.
    """
    records = {}
    for source in sources:
        path = folder / f"{source.record}.json"
        if not path.is_file():
            continue
        try:
            record = json.loads(path.read_text("utf-8"))
            for value in record["values"]:
                _name(value), value["unit"], value["value"], value["n"]
        except (ValueError, KeyError, TypeError) as error:
            raise BadInput(f"The record {path} is damaged: measure it again.") from error
        records[source.record] = record
    return records


def write_accuracy_table(records: Mapping[str, dict], folder: Path) -> tuple[Path, Path]:
    """Write `accuracy.md` and `accuracy.json` into a folder and return both.

    Args:
        records: what `read_records` gave.
        folder: made if it isn't there.

    Raises:
        WriteFailed: the folder can't be written.
    """
    markdown, data = folder / "accuracy.md", folder / "accuracy.json"
    write_text(markdown, table_markdown(records))
    rows = {
        source.record: {
            "title": source.title,
            "about": source.about,
            "is_synthetic": source.is_synthetic,
            "commit": records[source.record].get("git", {}).get("sha"),
            "parameters": records[source.record].get("parameters", {}),
            "values": records[source.record]["values"],
        }
        for source in SOURCES
        if source.record in records
    }
    missing = [source.record for source in SOURCES if source.record not in records]
    write_json(data, {"schema": 1, "sources": rows, "not_measured": missing})
    return markdown, data


def table_markdown(records: Mapping[str, dict]) -> str:
    """The whole page: an overview, then every figure of every source with interval and number of samples."""
    parts = [
        "# Accuracy of the default chain\n",
        "Made by `vitra evaluate accuracy-table` from the records in `results/records`. Intervals are 95 % bootstrap "
        "intervals of the median: over clips for the world, over blocks of half a second within one clip. A dash is a "
        "figure that was not measured. Rendered clips say that a mechanism works, not how well it does on your "
        "video.\n",
        overview_markdown(records, with_intervals=True),
    ]
    for source in SOURCES:
        parts.append(f"\n## {source.title[0].upper()}{source.title[1:]}\n")
        parts.append(source.about + "\n")
        record = records.get(source.record)
        if record is None:
            parts.append("Not measured.\n")
            continue
        parts.append("| figure | value | 95 % interval | n |\n|---|---|---|---|")
        parts += [f"| {_name(v)} | {_value(v)} | {_interval(v)} | {_n(v)} |" for v in record["values"]]
        parts.append(f"\n{_origin(source, record)}\n")
    return "\n".join(parts).rstrip() + "\n"


def overview_markdown(records: Mapping[str, dict], with_intervals: bool = False) -> str:
    """The main figures, one column per source that has them."""
    shown = [source for source in SOURCES if source.record in _OVERVIEW and source.record in records]
    if not shown:
        return "Nothing has been measured yet.\n"
    lines = ["| | " + " | ".join(source.title for source in shown) + " |", "|---" * (len(shown) + 1) + "|"]
    for title, names in _ROWS:
        cells = [_cell(records[source.record], names, with_intervals) for source in shown]
        if any(cell != "–" for cell in cells):
            lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def quoted_rows(records: Mapping[str, dict]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The overview for a notebook: its header and its rows, with intervals."""
    lines = [line for line in overview_markdown(records, with_intervals=True).splitlines() if line.startswith("|")]
    rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines if not line.startswith("|---")]
    return (("measured", *rows[0][1:]), rows[1:]) if rows else (("measured",), [])


def update_marked_block(page: Path, records: Mapping[str, dict]) -> bool:
    """Put the overview between the accuracy marks of a page.

    Args:
        page: a markdown file with the two marks.
        records: what `read_records` gave.

    Returns:
        Whether the page changed.

    Raises:
        BadInput: the page is not there, or the marks are not in it, once each.
    """
    if not page.is_file():
        raise BadInput(f"There is no page {page}: give a markdown file with the marks {_BEGIN} and {_END}.")
    text = page.read_text("utf-8")
    if text.count(_BEGIN) != 1 or text.count(_END) != 1:
        raise BadInput(f"{page.name} must hold the marks {_BEGIN} and {_END} once each, around the table.")
    block = f"{_BEGIN}\n{overview_markdown(records)}{_END}"
    new = re.sub(f"{re.escape(_BEGIN)}.*?{re.escape(_END)}", lambda _: block, text, flags=re.DOTALL)
    if new != text:
        write_text(page, new)
    return new != text


def _origin(source: Source, record: dict) -> str:
    git = record.get("git") or {}
    commit = str(git.get("sha") or "unknown")[:9] + (", with uncommitted changes" if git.get("dirty") else "")
    settings = ", ".join(f"{key} = {value}" for key, value in (record.get("parameters") or {}).items())
    return f"Record `{source.record}.json`, commit {commit}" + (f"; {settings}." if settings else ".")


def _cell(record: dict, names: tuple[str, ...], with_interval: bool) -> str:
    value = next((v for v in record["values"] if _name(v) in names), None)
    if value is None or value["value"] is None:
        return "–"
    interval = f" [{_interval(value)}]" if with_interval and value.get("ci95") else ""
    if value["unit"] in ("frames", "clips") and value["n"]:
        return f"{value['value']:.0f} of {value['n']} {value['unit']}"
    return _value(value) + interval + (f" of {value['n']}" if value["unit"] == "share" and value["n"] else "")


def _name(value: dict) -> str:
    return value["name"] if "name" in value else value["claim"]


def _value(value: dict) -> str:
    number, unit = value["value"], value["unit"]
    if number is None:
        return "–"
    if unit == "share":
        return f"{100 * number:.0f} %" if number in (0, 1) or 0.01 <= number <= 0.99 else f"{100 * number:.1f} %"
    if unit in ("frames", "clips"):
        return f"{number:.0f} {unit}"
    return _digits(number) + ("" if unit in ("ratio", "1") else "°" if unit == "deg" else f" {unit}")


def _interval(value: dict) -> str:
    ends = value.get("ci95")
    if not ends or any(end is None for end in ends):
        return "–"
    if value["unit"] == "share":
        return f"{100 * ends[0]:.0f} to {100 * ends[1]:.0f} %"
    return f"{_digits(ends[0])} to {_digits(ends[1])}"


def _digits(number: float) -> str:
    """Two or three digits, no more than a figure like these can bear."""
    size = abs(number)
    return f"{number:.0f}" if size >= 99.5 else f"{number:.1f}" if size >= 1 else f"{number:.2f}"


def _n(value: dict) -> str:
    return "–" if value["n"] is None else str(value["n"])
