"""Every format gives the same pairs, in bounded memory, and a fault names its file and place."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from model.preparation.readers import Pair, read
from model.text.parallel_text import DataError

LANGUAGES = ("en", "it")
TEXTS = [("One.", "Uno."), ("Why? & so", "Perché? 🛶")]
PAIRS = [Pair(1, *TEXTS[0]), Pair(2, *TEXTS[1])]

TMX = """<?xml version="1.0" encoding="UTF-8"?>
<tmx version="1.4"><header srclang="en"/><body>
<tu><tuv xml:lang="en-US"><seg>One.</seg></tuv><tuv xml:lang="IT"><seg>Uno.</seg></tuv></tu>
<tu><tuv xml:lang="en"><seg>Why? <ph>&amp;</ph> so</seg></tuv><tuv xml:lang="de"><seg>Warum?</seg></tuv>
<tuv xml:lang="it-IT"><seg>Perché? 🛶</seg></tuv></tu>
<tu><tuv xml:lang="en"><seg>Alone.</seg></tuv></tu>
</body></tmx>
"""
PO = """msgid ""
msgstr ""
"Content-Type: text/plain; charset=UTF-8\\n"
"Language: {language}\\n"

msgid "{a}"
msgstr "{b}"

#, fuzzy
msgid "Never mind."
msgstr "Boh."

msgid "Not yet."
msgstr ""
"""


def _written(folder: Path, name: str, content: bytes) -> list[Pair]:
    (folder / name).write_bytes(content)
    return list(read(folder, name, LANGUAGES))


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_text_formats_hold_the_same_pairs_plain_and_packed(tmp_path: Path, ending: str) -> None:
    lines = [json.dumps({"it": b, "en": a, "id": 7}) for a, b in TEXTS]
    nested = [json.dumps({"translation": {"en": a, "it": b}}) for a, b in TEXTS]
    contents = {
        "a.tsv": "".join(f"{a}\t{b}\n" for a, b in TEXTS),
        "a.tmx": TMX,
        "a.jsonl": "\n".join(lines),
        "b.jsonl": "\r\n".join(nested),
    }
    for name, text in contents.items():
        data = text.encode()
        assert _written(tmp_path, name + ending, gzip.compress(data) if ending else data) == PAIRS, name


def test_two_files_of_a_sentence_a_line_are_one_corpus(tmp_path: Path) -> None:
    (tmp_path / "n.en").write_text("One.\nWhy? & so\n", encoding="utf-8")
    (tmp_path / "n.it").write_text("Uno.\nPerché? 🛶", encoding="utf-8")
    assert list(read(tmp_path, "n.en,n.it", LANGUAGES)) == PAIRS


def test_two_files_of_different_length_are_no_corpus(tmp_path: Path) -> None:
    (tmp_path / "n.en").write_text("One.\n", encoding="utf-8")
    (tmp_path / "n.it").write_text("Uno.\nDue.\n", encoding="utf-8")
    with pytest.raises(DataError, match=re.escape(f"{tmp_path}/n.en has fewer lines than {tmp_path}/n.it")):
        list(read(tmp_path, "n.en,n.it", LANGUAGES))


@pytest.mark.parametrize("is_nested", [False, True])
def test_parquet_has_columns_by_language(tmp_path: Path, *, is_nested: bool) -> None:
    rows = [{"en": a, "it": b} for a, b in TEXTS]
    table = pa.Table.from_pylist([{"translation": row} for row in rows] if is_nested else rows)
    parquet.write_table(table, tmp_path / "a.parquet")
    assert list(read(tmp_path, "a.parquet", LANGUAGES)) == PAIRS


@pytest.mark.parametrize(("language", "a", "b"), [("it", "One.", "Uno."), ("en_GB", "Uno.", "One.")])
def test_a_catalogue_gives_what_is_translated_and_not_fuzzy(
    tmp_path: Path, language: str, a: str, b: str
) -> None:
    pairs = _written(tmp_path, "a.po", PO.format(language=language, a=a, b=b).encode())
    assert [(pair.first, pair.second) for pair in pairs] == [("One.", "Uno.")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tsv", b"a\tb\nc\n", "a.tsv, line 2: 1 columns"),
        ("a.jsonl", b'{"en": "a", "it": "b"}\n{"en": "a"}\n', "a.jsonl, line 2: no object"),
        ("a.jsonl", b'{"en": "a", "it": 1}\n', "a.jsonl, 1: the texts are 'a' and 1"),
        ("a.jsonl", b"[1]\n", "a.jsonl, line 1: no object"),
        ("a.tmx", b"<tmx><body><tu>", "a.tmx is damaged"),
        ("a.tmx.gz", b"<tmx>", "a.tmx.gz is damaged"),
        ("a.parquet", b"PAR1", "a.parquet is damaged"),
        ("a.po", b'xmsgid "a"', "a.po is damaged"),
        ("a.txt", b"", "'.txt' is not one of .tsv, .tmx, .po, .jsonl, .parquet, or FILE,FILE"),
    ],
)
def test_a_fault_names_its_file_and_place(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        _written(tmp_path, name, content)


@pytest.mark.parametrize("name", ["a.tsv", "a.tmx", "a.po", "a.parquet", "a.jsonl.gz", "a.en,a.it"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(
        DataError, match=re.escape(f"no data file {tmp_path / name.split(',', maxsplit=1)[0]}")
    ):
        list(read(tmp_path, name, LANGUAGES))


def test_a_memory_from_a_stranger_reads_no_other_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret", encoding="utf-8")
    entity = f'<!DOCTYPE tmx [<!ENTITY x SYSTEM "{tmp_path}/secret">]>'
    unit = '<tu><tuv lang="en"><seg>a&x;</seg></tuv><tuv lang="it"><seg>b</seg></tuv></tu>'
    pairs = _written(tmp_path, "a.tmx", f"{entity}<tmx><body>{unit}</body></tmx>".encode())
    assert [pair.first for pair in pairs] == ["a&x;"]
