"""Blocks of each format: cut, read, and written with what became of their rows."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from server.bulk.blocks import BulkError, Outcome, Scan
from server.bulk.formats import format_named


def scanned(path: Path, name: str, rows: int = 2) -> Scan:
    return format_named(name, "text").scan(str(path), rows)


def through(path: Path, name: str, rows: int = 2) -> list[bytes]:
    """What is written of each block when a translation is the text in capitals."""
    kept = format_named(name, "text")
    contents = []
    for block in kept.scan(str(path), rows).blocks:
        found = kept.rows(str(path), block)
        outcomes = [
            text if isinstance(text, Outcome) else Outcome(translation=text.upper()) for text in found.texts
        ]
        contents.append(found.written(block.first_row, outcomes))
        assert kept.count(contents[-1]) == (block.num_rows, sum(o.error is not None for o in outcomes))
    return contents


def objects(contents: list[bytes]) -> list[dict[str, Any]]:
    return [json.loads(line) for content in contents for line in content.decode().splitlines()]


def written(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "rows"
    path.write_bytes(content)
    return path


def test_lines_become_objects_in_order(tmp_path: Path) -> None:
    path = written(tmp_path, b"\xef\xbb\xbfone\r\n\ntwo\xc3\xa8\nno \xff here\nfive")
    contents = through(path, "lines")
    assert len(contents) == 3
    rows = objects(contents)
    assert [row.get("translation") for row in rows] == ["ONE", "", "TWOÈ", None, "FIVE"]
    assert [row["row"] for row in rows] == [0, 1, 2, 3, 4]
    assert rows[3]["input"] == "no \\xff here"
    assert rows[3]["error"] == "the line is no UTF-8: byte 4 is 0xff"


def test_members_of_json_stay_as_they_were_written(tmp_path: Path) -> None:
    line = b' {"n": 1.10, "text": "cat", "x": {"y": 12345678901234567890123}} '
    path = written(tmp_path, line + b"\n")
    (content,) = through(path, "jsonl")
    tail = b', "row": 0, "translation": "CAT", "warnings": null, "error": null}\n'
    assert content == line.rstrip()[:-1] + tail


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("", "the line is no JSON: Expecting value"),
        ('{"text": NaN}', "the line is no JSON: NaN is no number"),
        ("[1]", "the line is no object"),
        ("{}", "the line has no 'text'"),
        ('{"text": 3}', "'text' is a number, must be a string"),
        ('{"text": null}', "'text' is null, must be a string"),
        ('{"text": "\\ud800"}', "the text is no Unicode: character 1"),
        ('{"text": "a", "error": 1}', "the line has a column 'error' of its own, which is written here"),
    ],
)
def test_a_line_that_is_no_row_keeps_its_place(tmp_path: Path, line: str, error: str) -> None:
    path = written(tmp_path, f'{line}\n{{"text": "cat"}}\n'.encode())
    bad, good = objects(through(path, "jsonl"))
    assert bad["error"].startswith(error)
    assert bad["translation"] is None
    assert good["translation"] == "CAT"


def test_rows_of_csv_may_have_several_lines(tmp_path: Path) -> None:
    content = '\ufeffid,text\n1,"a\nb"\n\n2,"c, ""d"""\n3\n4,e,f\n5,caf\u00e9\n'.encode() + b"6,\xff\n"
    path = written(tmp_path, content)
    contents = through(path, "csv")
    assert len(contents) == 3
    rows = []
    for content in contents:
        text = content.decode(errors="surrogateescape")
        header, *some = csv.reader(io.StringIO(text, newline=""))
        assert header == ["id", "text", "row", "translation", "warnings", "error"]
        rows += some
    assert [row[:4] for row in rows] == [
        ["1", "a\nb", "0", "A\nB"],
        ["2", 'c, "d"', "1", 'C, "D"'],
        ["3", "", "2", ""],
        ["4", "e", "3", ""],
        ["5", "caf\u00e9", "4", "CAF\u00c9"],
        ["6", "\udcff", "5", ""],
    ]
    assert [row[5] for row in rows[2:4]] == [
        'the row has 1 fields, the header 2: ["3"]',
        'the row has 3 fields, the header 2: ["4", "e", "f"]',
    ]
    assert rows[5][5] == "the text is no Unicode: character 1"


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "no column 'text' among none"),
        (b"id,words\n1,a\n", "no column 'text' among id, words"),
        (b"text,text\n", "name comes twice"),
        (b"text,row\n", "has a column 'row' of its own"),
        (b'text\n"open\n', "line 2: unexpected end of data"),
    ],
)
def test_a_csv_that_cannot_be_cut_is_refused(tmp_path: Path, content: bytes, fault: str) -> None:
    with pytest.raises(BulkError, match=fault):
        scanned(written(tmp_path, content), "csv")


def test_columns_of_parquet_keep_their_types(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    texts = ["a", None, "c", "d", "e", "f", "g"]
    table = pyarrow.table({"id": pyarrow.array(range(7), "int16"), "text": texts})
    parquet.write_table(table, path, row_group_size=3)
    contents = through(path, "parquet")
    back = pyarrow.concat_tables([parquet.read_table(io.BytesIO(content)) for content in contents])
    assert back.schema.field("id").type == "int16"
    assert back["id"].to_pylist() == back["row"].to_pylist() == list(range(7))
    assert back["translation"].to_pylist() == ["A", None, "C", "D", "E", "F", "G"]
    assert back["error"].to_pylist() == [None, "the text is null", *[None] * 5]


def test_a_parquet_without_texts_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    parquet.write_table(pyarrow.table({"text": [1]}), path)
    with pytest.raises(BulkError, match="of type int64, must be string"):
        scanned(path, "parquet")
    with pytest.raises(BulkError, match="is no Parquet"):
        scanned(written(tmp_path, b"no"), "parquet")


def test_other_content_has_another_digest(tmp_path: Path) -> None:
    first = scanned(written(tmp_path, b"a\nb\n"), "lines")
    second = scanned(written(tmp_path, b"a\nc\n"), "lines")
    assert first.blocks == second.blocks
    assert first.sha256 != second.sha256


def test_an_empty_file_has_no_blocks(tmp_path: Path) -> None:
    assert scanned(written(tmp_path, b""), "lines").blocks == []
