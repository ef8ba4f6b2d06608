"""Office documents, books and XLIFF: what is translated, and what stays."""

from __future__ import annotations

import io
import re
import zipfile

import pytest
from lxml import etree

from server.files.archive import Archive
from server.files.office import read_docx, read_epub, read_odf, read_pptx
from server.files.text_file import FileError, TextFile
from server.files.xliff import read_xliff

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
DOCUMENT = (
    '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\r\n'
    '<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body>'
    '<w:p><w:pPr><w:jc w:val="left"/></w:pPr><w:r><w:t>The cat </w:t></w:r><w:proofErr w:type="spellStart"/>'
    '<w:r><w:rPr><w:b/></w:rPr><w:t>sleeps</w:t></w:r><w:proofErr w:type="spellEnd"/>'
    '<w:r><w:t xml:space="preserve"> on &lt;the&gt; table.</w:t></w:r></w:p>'
    "<w:p><w:r><w:t>One </w:t></w:r><w:r><w:t>text.</w:t></w:r><w:r><w:tab/></w:r>"
    "<w:r><w:t>12</w:t></w:r></w:p>"
    '<w:p><w:r><w:t>See </w:t></w:r><w:hyperlink r:id="r1"><w:r><w:rPr><w:u/></w:rPr><w:t>our </w:t></w:r>'
    "<w:r><w:rPr><w:u/></w:rPr><w:t>page</w:t></w:r></w:hyperlink><w:r><w:t>.</w:t></w:r>"
    '<w:r><w:rPr><w:vertAlign w:val="superscript"/></w:rPr><w:footnoteReference w:id="2"/></w:r></w:p>'
    "<w:p><w:r><mc:AlternateContent><w:txbxContent><w:p><w:r><w:t>In a box.</w:t></w:r></w:p></w:txbxContent>"
    "</mc:AlternateContent></w:r><w:r><w:t>Beside it.</w:t></w:r></w:p>"
    "<w:p><w:r><w:instrText>PAGE</w:instrText></w:r><w:del><w:r><w:delText>gone</w:delText></w:r></w:del>"
    "<w:ins><w:r><w:t>New.</w:t></w:r></w:ins></w:p><w:p/><w:sectPr/></w:body></w:document>"
)


def archive(**members: str) -> bytes:
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w") as file:
        file.writestr(zipfile.ZipInfo("mimetype"), "application/x")
        for name, content in members.items():
            file.writestr(
                zipfile.ZipInfo(name, (2020, 1, 2, 3, 4, 6)), content, compress_type=zipfile.ZIP_DEFLATED
            )
    return output.getvalue()


def member(content: bytes, name: str) -> str:
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        return file.read(name).decode()


def shouted(file: Archive | TextFile) -> list[str]:
    """All texts in capitals, tags as they are."""
    return [re.sub(r"<[^>]*>|&\w+;|[^<&]+", _shout, place.text) for place in file.places]


def _shout(found: re.Match[str]) -> str:
    return found.group() if found.group()[0] in "<&" else found.group().upper()


def test_a_word_document_is_texts_with_their_styles() -> None:
    file = read_docx(archive(**{"word/document.xml": DOCUMENT}))
    assert [(place.format, place.text) for place in file.places] == [
        ("xml", 'The cat <x id="1"/><g id="2">sleeps</g><x id="3"/> on &lt;the&gt; table.'),
        ("plain", "One text."),
        ("plain", "12"),
        ("xml", 'See <g id="1">our page</g>.'),
        ("plain", "In a box."),
        ("plain", "Beside it."),
        ("plain", "New."),
    ]
    assert [file.where(number) for number in (0, 6)] == ["word/document.xml"] * 2


def test_styles_go_with_their_words_and_all_else_stays() -> None:
    content = archive(**{"word/document.xml": DOCUMENT, "word/styles.xml": "<w:styles/>", "x.bin": "\0"})
    file = read_docx(content)
    texts: list[str | None] = [*shouted(file)]
    texts[0] = 'Auf <x id="3"/><x id="1"/>&lt;dem&gt; Tisch <g id="2">schläft</g> die Katze.'
    texts[4] = None
    filled = file.filled(texts)
    written = member(filled, "word/document.xml")
    paragraphs = list(
        etree.fromstring(written.replace("r:id", "id").replace("mc:", "").encode()).iter(f"{W}p")
    )
    shown = ["".join(text.text or "" for text in p.iter(f"{W}t")) for p in paragraphs]
    assert shown == [
        "Auf <dem> Tisch schläft die Katze.",
        "ONE TEXT.12",
        "SEE OUR PAGE.",
        "In a box.BESIDE IT.",
        "In a box.",
        "NEW.",
        "",
    ]
    bold = [run for run in paragraphs[0].iter(f"{W}r") if run.find(f"{W}rPr/{W}b") is not None]
    assert ["".join(run.itertext()) for run in bold] == ["schläft"]
    assert written.count("<w:proofErr") == 2
    assert (
        '<w:hyperlink r:id="r1"><w:r><w:rPr><w:u/></w:rPr><w:t xml:space="preserve">OUR PAGE</w:t>' in written
    )
    outside = re.compile(r"<w:r>.*?</w:r>|<w:proofErr[^>]*>|<w:hyperlink.*?</w:hyperlink>")
    assert outside.sub("", written) == outside.sub("", DOCUMENT)
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(io.BytesIO(filled)) as new:
        told = [[(i.filename, i.date_time, i.compress_type) for i in f.infolist()] for f in (old, new)]
        assert told[0] == told[1]
        assert old.read("x.bin") == new.read("x.bin")


def test_a_translation_that_lost_a_style_is_no_translation() -> None:
    place = read_docx(archive(**{"word/document.xml": DOCUMENT})).places[0]
    for text in ('The cat <x id="1"/>sleeps<x id="3"/>.', "<g", '<g id="9">a</g>', "<g>a</g>", '<g id="x"/>'):
        with pytest.raises(FileError, match="the translation"):
            place.written(text)


def test_slides_are_texts_with_their_styles() -> None:
    slide = (
        '<p:sld xmlns:a="a" xmlns:p="p"><a:p><a:r><a:rPr lang="en"/><a:t>One </a:t></a:r>'
        '<a:r><a:rPr b="1"/><a:t>more</a:t></a:r><a:br/><a:r><a:t>Two.</a:t></a:r>'
        '<a:fld type="n"><a:t>7</a:t></a:fld>'
        "<a:endParaRPr/></a:p></p:sld>"
    )
    file = read_pptx(archive(**{"ppt/slides/slide1.xml": slide, "ppt/presentation.xml": "<a:t>no</a:t>"}))
    assert [place.text for place in file.places] == ['<g id="0">One </g>more', "Two."]
    assert member(file.filled(shouted(file)), "ppt/slides/slide1.xml") == (
        slide.replace("One ", "ONE ").replace("more", "MORE").replace("Two.", "TWO.")
    )


def test_paragraphs_of_opendocument_are_xml_as_they_stand() -> None:
    content = (
        '<o:d><text:p text:name="P">A <text:span>b</text:span>.</text:p><text:p/><text:h>C</text:h></o:d>'
    )
    file = read_odf(archive(**{"content.xml": content, "meta.xml": "<text:p>no</text:p>"}))
    assert [place.text for place in file.places] == ["A <text:span>b</text:span>.", "C"]
    assert {place.format for place in file.places} == {"xml"}
    expected = content.replace(">b<", ">B<").replace(">C<", ">Ç<")
    assert member(file.filled(["A <text:span>B</text:span>.", "Ç"]), "content.xml") == expected


def test_pages_of_a_book_are_html() -> None:
    file = read_epub(
        archive(**{"OEBPS/a.xhtml": "<p>One.</p>", "OEBPS/style.css": "p {}", "b.html": "\ufeff<p>Two.</p>"})
    )
    assert [(place.text, place.format) for place in file.places] == [
        ("<p>One.</p>", "html"),
        ("<p>Two.</p>", "html"),
    ]
    filled = file.filled(["<p>Uno.</p>", None])
    assert member(filled, "OEBPS/a.xhtml") == "<p>Uno.</p>"
    assert member(filled, "b.html") == "\ufeff<p>Two.</p>"
    assert zipfile.ZipFile(io.BytesIO(filled)).infolist()[0].filename == "mimetype"


def test_segments_of_xliff_without_a_target_get_one() -> None:
    content = """<?xml version="1.0"?>
<xliff version="1.2"><file source-language="en"><body>
<trans-unit id="1"><source>One &amp; <g id="a">two</g>.</source></trans-unit>
<trans-unit id="2"><source>Done</source><target>Fatto</target></trans-unit>
<trans-unit id="3"><source>Three</source><target state="new"/></trans-unit>
<trans-unit id="4" translate="no"><source>Four</source></trans-unit>
<trans-unit id="5"><source/></trans-unit>
</body></file></xliff>"""
    file = read_xliff(content.encode())
    assert [place.text for place in file.places] == ['One &amp; <g id="a">two</g>.', "Three"]
    assert file.filled(['Uno &amp; <g id="a">due</g>.', "Tre"]).decode() == content.replace(
        ".</source>", '.</source><target>Uno &amp; <g id="a">due</g>.</target>'
    ).replace('<target state="new"/>', '<target state="new">Tre</target>')
    second = '<x:xliff xmlns:x="u"><x:unit><x:segment><x:source>One</x:source></x:segment></x:unit></x:xliff>'
    assert b"<x:target>Uno</x:target></x:segment>" in read_xliff(second.encode()).filled(["Uno"])


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"no archive", "it is no ZIP file"),
        (archive(**{"word/document.xml": "<w:p>"}), r"word/document\.xml: it is no XML"),
        (archive(**{"word/document.xml": "<w:p/>"})[:-30], "it is no ZIP file"),
    ],
)
def test_what_is_no_document_is_refused(content: bytes, fault: str) -> None:
    with pytest.raises(FileError, match=fault):
        read_docx(content)


def test_what_would_unpack_to_more_than_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.files.archive._MAX_BYTES", 1000)
    with pytest.raises(FileError, match="it unpacks to 5013 bytes, the limit is 1000"):
        read_docx(archive(**{"word/document.xml": "a" * 5000}))


def test_two_members_of_one_name_are_refused() -> None:
    output = io.BytesIO(archive(**{"word/document.xml": "<w:p/>"}))
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(output, "a") as file:
        file.writestr("word/document.xml", "<w:p/>")
    with pytest.raises(FileError, match=r"two members 'word/document\.xml'"):
        read_docx(output.getvalue())


def test_xliff_of_another_root_is_refused() -> None:
    with pytest.raises(FileError, match="its root is <a>, must be <xliff>"):
        read_xliff(b"<a/>")


def docx(body: str) -> bytes:
    root = f'<w:document xmlns:w="w"><w:body>{body}</w:body></w:document>'
    return archive(**{"word/document.xml": root})


@pytest.mark.parametrize(
    ("body", "texts"),
    [
        ("<w:p><w:r><w:lastRenderedPageBreak/><w:t>One two.</w:t></w:r></w:p>", ["One two."]),
        ("<w:p><w:r><w:tab/><w:t>One two.</w:t></w:r></w:p>", ["One two."]),
        ("<w:p><w:r><w:t>One.</w:t><w:br/><w:t>Two.</w:t></w:r></w:p>", ["One.", "Two."]),
        ("<w:p><w:r><w:footnoteRef/><w:t> A note.</w:t></w:r></w:p>", [" A note."]),
        (
            (
                "<w:p><w:r><w:t>In </w:t></w:r><w:smartTag><w:r><w:t>Rome</w:t></w:r></w:smartTag><w:ins>"
                "<w:r><w:t> today</w:t></w:r></w:ins><w:r><w:t>, or so they say.</w:t></w:r></w:p>"
            ),
            ['In <g id="1">Rome</g><g id="2"> today</g>, or so they say.'],
        ),
        (
            "<w:p><w:r><w:t>twenty</w:t><w:noBreakHyphen/><w:t>one</w:t></w:r></w:p>",
            ['twenty<x id="1"/>one'],
        ),
        ("<w:p><w:r><w:t/><w:t>Good morning!</w:t></w:r></w:p>", ["Good morning!"]),
    ],
)
def test_whatever_stands_beside_text_hides_none(body: str, texts: list[str]) -> None:
    content = docx(body)
    file = read_docx(content)
    assert [place.text for place in file.places] == texts
    written = member(file.filled(shouted(file)), "word/document.xml")
    parsed = etree.fromstring(written.encode())
    shown = "".join(text.text or "" for text in parsed.iter("{w}t"))
    assert shown == re.sub(r"<[^>]*>", "", "".join(texts)).upper()
    for mark in ("tab", "br", "footnoteRef", "lastRenderedPageBreak", "noBreakHyphen", "smartTag", "ins"):
        assert len(list(parsed.iter(f"{{w}}{mark}"))) == body.count(f"<w:{mark}")


@pytest.mark.parametrize(
    ("xml", "fault"),
    [
        ("<w:p>" * 300, "more than 250 elements within each other"),
        ('<!DOCTYPE a [<!ENTITY e "evening">]><a>Good &e;</a>', "the entity &e;, which is not read"),
        ('<?xml version="1.0" encoding="ISO-8859-1"?><a/>', "its encoding is ISO-8859-1, must be UTF-8"),
    ],
)
def test_xml_that_cannot_be_kept_is_refused(xml: str, fault: str) -> None:
    with pytest.raises(FileError, match=fault):
        read_docx(archive(**{"word/document.xml": xml}))


def test_more_tags_than_memory_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.files.xml_nodes._MAX_TAGS", 5)
    with pytest.raises(FileError, match="more than 5 tags"):
        read_docx(docx("<w:p/>" * 4))


def test_damaged_members_are_refused() -> None:
    content = bytearray(docx("<w:p><w:r><w:t>One.</w:t></w:r></w:p>" * 40))
    start = content.index(b"word/document.xml") + len("word/document.xml") + 20
    content[start : start + 6] = b"\xff" * 6
    with pytest.raises(FileError, match="it is no ZIP file"):
        read_docx(bytes(content))


def test_runs_of_a_link_keep_their_styles() -> None:
    link = (
        '<w:hyperlink r:id="1"><w:r><w:rPr><w:b/></w:rPr><w:t>Big</w:t></w:r>'
        "<w:r><w:t> small</w:t></w:r></w:hyperlink>"
    )
    file = read_docx(docx(f"<w:p><w:r><w:t>A </w:t></w:r>{link}</w:p>".replace("r:id", "id")))
    written = member(file.filled(shouted(file)), "word/document.xml")
    assert '<w:rPr><w:b/></w:rPr><w:t xml:space="preserve">BIG</w:t>' in written
    assert '<w:r><w:t xml:space="preserve"> SMALL</w:t></w:r>' in written


def test_native_codes_of_xliff_are_no_text() -> None:
    source = 'Hello <bpt id="1">&lt;b&gt;</bpt>you<ept id="1">&lt;/b&gt;</ept>.'
    content = f"<xliff><trans-unit><source>{source}</source><seg-source/></trans-unit></xliff>"
    file = read_xliff(content.encode())
    (place,) = file.places
    assert place.text == 'Hello <x traghetto-code="0"/>you<x traghetto-code="1"/>.'
    written = file.filled([place.text.replace("Hello", "Ciao").replace("you", "tu")]).decode()
    target = source.replace("Hello", "Ciao").replace("you", "tu")
    assert written == content.replace("<seg-source/>", f"<seg-source/><target>{target}</target>")
