"""The accuracy table says what the records say, and a dash where they say nothing."""

import json

import pytest

from vitra_lib.cli.main import main
from vitra_lib.core.errors import BadInput
from vitra_lib.evaluation.accuracy_table import (
    SOURCES,
    overview_markdown,
    quoted_rows,
    read_records,
    table_markdown,
    update_marked_block,
)

VALUES = [
    {"name": "visible hands found", "value": 0.9, "unit": "share", "n": 4182, "ci95": None},
    {"name": "false hands", "value": 34.0, "unit": "frames", "n": 3801, "ci95": None},
    {"name": "wrist position in camera", "value": 3.04, "unit": "cm", "n": 3889, "ci95": [2.1, 3.7]},
    {"name": "wrist rotation", "value": 14.06, "unit": "deg", "n": 3889, "ci95": [9.8, 17.8]},
    {"name": "metric scale error of the path", "value": None, "unit": "ratio", "n": 0, "ci95": None},
]


def write(folder, name, values=VALUES):
    folder.mkdir(exist_ok=True)
    record = {"values": values, "git": {"sha": "0123456789abcdef", "dirty": True}, "parameters": {"clips": 10}}
    (folder / f"{name}.json").write_text(json.dumps(record))


def test_figures_stand_in_their_row_and_column(tmp_path):
    write(tmp_path, "reconstruction.world")
    write(tmp_path, "reconstruction.official", VALUES[2:3])
    records = read_records(tmp_path)
    text = overview_markdown(records)
    assert "| | world, unseen objects | Ego4D clip |" in text
    assert "| visible hands found | 90 % of 4182 | – |" in text
    assert "| false hands | 34 of 3801 frames | – |" in text
    assert "| wrist position in camera, median | 3.0 cm | 3.0 cm |" in text
    assert "14.1°" in text and "scale" not in text, "a row in which nothing is known is left out"
    header, rows = quoted_rows(records)
    assert header == ("measured", "world, unseen objects", "Ego4D clip")
    assert ("wrist position in camera, median", "3.0 cm [2.1 to 3.7]", "3.0 cm [2.1 to 3.7]") in rows


def test_the_page_names_what_was_not_measured_and_where_a_figure_is_from(tmp_path):
    write(tmp_path, "reconstruction.world")
    text = table_markdown(read_records(tmp_path))
    assert "| wrist rotation | 14.1° | 9.8 to 17.8 | 3889 |" in text
    assert "commit 012345678, with uncommitted changes; clips = 10" in text
    assert text.count("Not measured.") == len(SOURCES) - 1
    assert "Nothing has been measured" in overview_markdown({})
    assert quoted_rows({}) == (("measured",), [])


def test_the_block_of_a_page_is_replaced_and_the_rest_kept(tmp_path):
    write(tmp_path, "reconstruction.world")
    records, page = read_records(tmp_path), tmp_path / "page.md"
    page.write_text("before\n<!-- accuracy -->\nold \\1\n<!-- /accuracy -->\nafter\n")
    assert update_marked_block(page, records)
    text = page.read_text()
    assert text.startswith("before\n<!-- accuracy -->\n| |") and text.endswith("<!-- /accuracy -->\nafter\n")
    assert "old" not in text and not update_marked_block(page, records), "a second time changes nothing"
    page.write_text("no marks")
    with pytest.raises(BadInput, match="marks"):
        update_marked_block(page, records)


def test_the_command_gathers_without_measuring_and_damage_is_refused(tmp_path, capsys):
    write(tmp_path / "records", "reconstruction.world")
    command = ["evaluate", "accuracy-table", "--records", str(tmp_path / "records"), "--out", str(tmp_path / "tables")]
    assert main(command) == 0
    assert "not measured: " in capsys.readouterr().out
    data = json.loads((tmp_path / "tables" / "accuracy.json").read_text())
    assert data["sources"]["reconstruction.world"]["values"][2]["value"] == 3.04
    first = (tmp_path / "tables" / "accuracy.md").read_bytes()
    assert main(command) == 0 and (tmp_path / "tables" / "accuracy.md").read_bytes() == first
    assert main([*command, "--again", "reconstruction.moon"]) == 2
    (tmp_path / "records" / "reconstruction.official.json").write_text('{"values": [{}]}')
    assert main(command) == 2
    assert "measure it again" in capsys.readouterr().err


def test_the_committed_page_is_what_the_committed_records_give(repository):
    """So a figure in the README can't be older than its record."""
    page = repository / "results" / "tables" / "accuracy.md"
    if not page.is_file():
        pytest.skip("The accuracy table has not been gathered yet: run `vitra evaluate accuracy-table`.")
    records = read_records(repository / "results" / "records")
    assert page.read_text("utf-8") == table_markdown(records)
    readme = (repository / "README.md").read_text("utf-8")
    assert overview_markdown(records) in readme
