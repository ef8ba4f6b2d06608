"""What of each format is translated, and that all else stays byte for byte."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import polib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.files.formats import READERS, read_file
from server.files.json_file import read_json
from server.files.plain_file import read_paragraphs
from server.files.po_file import read_po
from server.files.subtitles import folded, read_srt, read_vtt
from server.files.text_file import FileError, TextFile

SRT = """1
00:00:01,000 --> 00:00:02,500
Good morning,
<i>everybody</i>!

2
00:00:03,000 --> 00:00:04,000
- Where are you?
- Here.

3
00:00:05,000 --> 00:00:06,000

4
00:00:07,000 --> 00:00:08,000
3
"""
VTT = """WEBVTT - Some title

STYLE
::cue { color: red }

NOTE
A comment
of two lines

intro
00:01.000 --> 00:02.000 align:start position:0%
Hello.
"""
PO = r"""# Translators: nobody yet
msgid ""
msgstr ""
"Content-Type: text/plain; charset=UTF-8\n"
"Plural-Forms: nplurals=2; plural=(n != 1);\n"

#: a.c:3
#, c-format
msgid "Good \"morning\""
msgstr ""

msgid "Done"
msgstr "Fatto"

msgctxt "menu"
msgid ""
"First line.\n"
"Second line."
msgstr ""
""

msgid "%d file"
msgid_plural "%d files"
msgstr[0] ""
msgstr[1] ""

#~ msgid "Old"
#~ msgstr ""
"""


def texts_of(file: TextFile) -> list[str]:
    return [place.text for place in file.places]


def shouted(file: TextFile) -> bytes:
    return file.filled([text.upper() for text in texts_of(file)])


@pytest.mark.parametrize(
    ("read", "content"),
    [
        (read_srt, SRT),
        (read_srt, SRT.replace("\n", "\r\n")),
        (read_srt, "\ufeff" + SRT),
        (read_vtt, VTT),
        (read_po, PO),
        (read_po, PO.replace("\n", "\r\n")),
        (read_json, '\ufeff{"a":"b" , "c" : [ 1e3,"\\u00e8" ]}\n'),
        (read_paragraphs, "One.\r\n\r\n  Two.\x0c\nÈ tre."),
    ],
)
def test_a_file_whose_texts_are_put_back_is_the_same(read: Callable[[bytes], TextFile], content: str) -> None:
    file = read(content.encode())
    assert file.filled([None] * len(file.places)) == content.encode()
    assert len(file.places) > 0
    for place in file.places:
        assert place.start <= place.end


def test_cues_are_whole_texts_but_where_several_speak() -> None:
    assert texts_of(read_srt(SRT.encode())) == [
        "Good morning, <i>everybody</i>!",
        "- Where are you?",
        "- Here.",
        "3",
    ]


def test_a_cue_keeps_its_number_of_lines_and_all_else_stays() -> None:
    expected = SRT.replace("Good morning,\n<i>everybody</i>!", "GOOD MORNING,\n<I>EVERYBODY</I>!")
    expected = expected.replace("Where are you?", "WHERE ARE YOU?").replace("Here.", "HERE.")
    assert shouted(read_srt(SRT.encode())) == expected.encode()


@pytest.mark.parametrize(
    "content",
    [
        "1\n00:00:01,000 --> 00:00:02,000\nOne.\n2\n00:00:03,000 --> 00:00:04,000\nTwo.\n",
        "1\r00:00:01,000 --> 00:00:02,000\rOne.\r\r2\r00:00:03,000 --> 00:00:04,000\rTwo.\r",
        "1\n00:01.000-->00:02.000\nOne.\n\n2\n00:03.000-->00:04.000\nTwo.",
    ],
)
def test_cues_are_found_however_they_are_set_apart(content: str) -> None:
    file = read_srt(content.encode())
    assert texts_of(file) == ["One.", "Two."]
    assert shouted(file) == content.replace("One.", "ONE.").replace("Two.", "TWO.").encode()


def test_a_translation_cannot_end_its_cue() -> None:
    file = read_srt(b"1\n00:01,0 --> 00:02,0\nOne.\nTwo.\n\n2\n00:03,0 --> 00:04,0\nThree.\n")
    filled = file.filled(["Uno.\n\nDue.", "Tre\n\n9"])
    assert filled == b"1\n00:01,0 --> 00:02,0\nUno.\nDue.\n\n2\n00:03,0 --> 00:04,0\nTre 9\n"


def test_styles_and_notes_of_webvtt_are_no_text() -> None:
    file = read_vtt(VTT.encode())
    assert texts_of(file) == ["Hello."]
    assert file.filled(["Ciao."]) == VTT.replace("Hello.", "Ciao.").encode()


@given(st.lists(st.text("abcde", min_size=1, max_size=12), min_size=1, max_size=12), st.integers(1, 4))
def test_folding_loses_no_word(words: list[str], num_lines: int) -> None:
    lines = folded(" ".join(words), num_lines)
    assert len(lines) <= num_lines
    assert " ".join(lines).split() == words


def test_messages_without_a_translation_get_one() -> None:
    file = read_po(PO.encode())
    assert texts_of(file) == ['Good "morning"', "First line.\nSecond line.", "%d file", "%d files"]
    filled = file.filled(['Buon "giorno"', "Riga uno.\nRiga due.", "%d documento", "%d documenti"]).decode()
    entries = polib.pofile(filled)
    assert [entry.msgstr for entry in entries][:3] == ['Buon "giorno"', "Fatto", "Riga uno.\nRiga due."]
    assert entries[3].msgstr_plural == {0: "%d documento", 1: "%d documenti"}
    assert filled.split("msgctxt")[0] == PO.split("msgctxt", maxsplit=1)[0].replace(
        'morning\\""\nmsgstr ""', 'morning\\""\nmsgstr "Buon \\"giorno\\""'
    )
    assert filled.endswith('#~ msgid "Old"\n#~ msgstr ""\n')


def test_a_po_file_in_another_charset_is_refused() -> None:
    with pytest.raises(FileError, match="its charset is ISO-8859-1, must be UTF-8"):
        read_po(PO.replace("UTF-8", "ISO-8859-1").encode())


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('ab"\\/\n\té🛶:{}[], '),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('ab":'), inner, max_size=3),
    max_leaves=8,
)


def upper(value: object) -> object:
    if isinstance(value, dict):
        return {key: upper(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [upper(inner) for inner in value]
    return value.upper() if isinstance(value, str) else value


@given(values, st.booleans(), st.sampled_from([None, 2]))
def test_of_json_the_values_change_and_nothing_else(
    value: object, is_ascii: bool, indent: int | None
) -> None:
    content = json.dumps(value, ensure_ascii=is_ascii, indent=indent)
    filled = shouted(read_json(content.encode())).decode()
    assert json.loads(filled) == upper(value)
    assert filled.isascii() or not is_ascii


def test_half_of_a_surrogate_pair_is_named() -> None:
    with pytest.raises(FileError, match="line 2: a value holds half of a surrogate pair"):
        read_json(b'{"a": "b",\n"c": "\\ud800"}')


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("a.json", b"{", "it is no JSON"),
        ("a.json", b'"\xff"', "it is no UTF-8: byte 2 is 0xff"),
        ("a.json", b"[" * 100_000, "it is no JSON"),
        ("a.po", b'Hello. "x"\n', "it is no PO file"),
        ("a.po", str(Path(__file__).with_name("nowhere.po")).encode(), "it is no PO file"),
        ("a.po", b"/etc/passwd", "it is no PO file: Syntax error in po file"),
        ("a.txt", "Ciao".encode("utf-16-le"), "it is no text in UTF-8: byte 2 is 0"),
        ("a.html", b'<meta charset="iso-8859-1"><p>Today.</p>', "its encoding is iso-8859-1, must be UTF-8"),
        ("a.xml", b'<?xml version="1.0" encoding="ISO-8859-1"?><a>b</a>', "its encoding is ISO-8859-1"),
        ("a.srt", b"Hello.\n", "there is no cue in it"),
        ("a.vtt", b"Hello.\n", "it does not begin with WEBVTT"),
        ("a.exe", b"", r"ends in '\.exe', known are \.docx, .*, \.json"),
        ("a", b"", "ends in 'nothing', known are"),
    ],
)
def test_what_is_not_what_its_name_says_is_refused(
    tmp_path: Path, name: str, content: bytes, fault: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FileError, match=fault):
        read_file(tmp_path / name)


def test_empty_files_have_no_text(tmp_path: Path) -> None:
    for suffix, content in (
        (".txt", b""),
        (".srt", b""),
        (".vtt", b"WEBVTT"),
        (".json", b"{}"),
        (".po", b""),
    ):
        assert suffix in READERS
        path = tmp_path / f"a{suffix}"
        path.write_bytes(content)
        file = read_file(path)
        assert file.filled([]) == content
