"""Small tables for notebooks: the same rows as HTML for a browser and as aligned text for a terminal."""

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """Rows under a header; a notebook shows it as HTML.

    Attributes:
        header: one name per column, with the unit.
        rows: one text per cell.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def _repr_html_(self) -> str:
        head = "".join(f'<th style="text-align:left">{html.escape(name)}</th>' for name in self.header)
        body = "".join(
            "<tr>" + "".join(f'<td style="text-align:left">{html.escape(cell)}</td>' for cell in row) + "</tr>"
            for row in self.rows
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def __repr__(self) -> str:
        lines = [self.header, *self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.header))]
        return "\n".join("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines)


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """A table of any values; floats are shown with four digits, a missing one as a dash.

    Args:
        header: one name per column.
        rows: as many values per row.
    """
    return Table(tuple(header), tuple(tuple(map(_text, row)) for row in rows))


def _text(value: object) -> str:
    if isinstance(value, float):
        return "–" if value != value else f"{value:.4g}"
    return "–" if value is None else str(value)
