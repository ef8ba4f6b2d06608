"""HTML: what people read is translated, tags stay at their words, and all else comes back byte for byte."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tinyhtml5.constants import Token as TokenType
from tinyhtml5.tokenizer import HTMLTokenizer

from server.documents.document import Segmentation
from server.documents.markup.reading import Format, read_marked
from tests.unit.server.documents.markup.marked import (
    brief,
    forgetful,
    same,
    segments_of,
    shuffled,
    translated,
)
from tests.unit.server.documents.texts import texts

HTML = Format.HTML
words = st.sampled_from(
    ["car", "red", "The", "è", "H2O", "3", "&amp;", "&lt;b&gt;", "今日", "it's", "Yes.", "{name}"]
)
spaces = st.sampled_from([" ", "\n  ", " ", ""])
leaves = st.one_of(
    words,
    words,
    st.sampled_from(
        ["<img src=x>", '<img alt="A cat. It sits.">', "<!-- no -->", "<code>ls <i>x</i></code>", "<wbr>"]
    ),
)


def _element(names: tuple[str, ...], content: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    attributes = st.sampled_from(["", " id=x", ' title="Our page"', " class='a b'", " translate=no"])
    return st.tuples(st.sampled_from(names), attributes, content).map(
        lambda parts: f"<{parts[0]}{parts[1]}>{parts[2]}</{parts[0]}>"
    )


def _sequence(content: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(st.tuples(spaces, content), max_size=5).map(lambda parts: "".join(map("".join, parts)))


inlines = st.recursive(
    leaves, lambda inner: _element(("b", "a", "em", "span", "sub"), _sequence(inner)), max_leaves=12
)
blocks = st.one_of(
    _element(("p", "li", "td", "h1"), _sequence(inlines)), st.just("<hr>\n"), st.just("<pre>\n x</pre>")
)
pages = st.recursive(blocks, lambda inner: _element(("div", "ul", "section"), _sequence(inner)), max_leaves=6)


def tags(text: str) -> Iterator[tuple[str, str]]:
    for token in HTMLTokenizer(text):
        if token["type"] in {TokenType.START_TAG, TokenType.END_TAG}:
            yield token["type"].name, token["name"]


def is_nested(text: str) -> bool:
    is_open: list[str] = []
    for kind, name in tags(text):
        if name in {"img", "hr", "wbr", "br"}:
            continue
        if kind == "START_TAG":
            is_open.append(name)
        elif not is_open or is_open.pop() != name:
            return False
    return not is_open


@brief
@given(pages, st.integers(0, 5), st.sampled_from(list(Segmentation)))
def test_all_tags_come_out_well_nested_whatever_becomes_of_the_words(
    page: str, seed: int, segmentation: Segmentation
) -> None:
    for translate in (shuffled(seed), forgetful):
        result = translated(page, HTML, translate, segmentation)
        assert Counter(tags(result)) == Counter(tags(page))
        assert is_nested(result), result


@brief
@given(pages)
def test_a_translation_that_is_the_source_changes_no_more_than_white_space(page: str) -> None:
    result = translated(page, HTML, same)
    assert "".join(result.split()) == "".join(page.split())


@brief
@given(
    st.one_of(
        texts, st.lists(st.sampled_from([*"<>/&;='\" ab!-", "<p>", "</b>", "<code>", "<!--"])).map("".join)
    )
)
def test_nothing_is_refused_and_nothing_outside_of_text_changes(text: str) -> None:
    result = translated(text, HTML, same)
    assert Counter(tags(result)) == Counter(tags(text))


@brief
@given(
    st.lists(st.sampled_from(["uno", "due", "tre"]), min_size=1, max_size=3, unique=True), st.integers(0, 9)
)
def test_a_tag_follows_its_word(marked: list[str], seed: int) -> None:
    page = " ".join(f"<b>{word}</b>" if word in marked else word for word in ("uno", "due", "tre", "4"))
    result = translated(page, HTML, shuffled(seed))
    assert all(f"<b>{word}</b>" in result for word in marked)


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("<p>One <b>two</b>. Three.<p>Four", ["One two.", "Three.", "Four"]),
        ("<p>Say&nbsp;R &amp; D<br>then go</p>", ["Say\u00a0R & D", "then go"]),
        ('<a title="Our page" href=x>Here</a>', ["Our page", "Here"]),
        ("Run <code>ls</code> and <kbd>x</kbd> now", ["Run {0} and {1} now"]),
        ("Run {0} and <code>ls</code>", ["Run {0} and {1}"]),
        ("<p translate=no>No<p>Yes", ["Yes"]),
        ('<b class="x notranslate">No</b> or yes', ["{0} or yes"]),
        ("<script>var a = '<p>No</p>'</script><style>a{}</style><!-- No -->Yes", ["Yes"]),
        ("<title>A &lt;b&gt;</title><textarea>No</textarea>", ["A <b>"]),
        ("<input placeholder='Your name'><img alt=Cat>", ["Your name", "Cat"]),
        ("H<sub>2</sub>O is\r\n  water", ["H2O is water"]),
        ("2 < 3 and <b>4 > 3</i>", ["2 < 3 and 4 > 3"]),
    ],
)
def test_a_model_is_given_what_people_read(page: str, expected: list[str]) -> None:
    assert segments_of(page, HTML) == expected


def test_tags_without_words_and_words_in_parts_stay_where_they_are() -> None:
    page = 'Press <img src="a.png"> for H<sub>2</sub>O<a id="x"></a> and <code>ls</code>.'
    assert translated(page, HTML, same) == page
    lost = translated(
        "Press <b>now</b> <code>ls</code>", HTML, lambda _: ("Premi ora", [[1, 0, 0], [0, 1, 0]])
    )
    assert lost == "Premi <b>ora</b> <code>ls</code>"


@pytest.mark.parametrize(
    "page",
    [
        "<b>" * 2000 + "word" + "</b>" * 2000,
        "one " + "<i></i>" * 2000 + " two",
        "<a " + " ".join(f"x{i}" for i in range(9000)) + ">word</a>",
        "<b><p>" + "<i>" * 3000 + "word" + "</b>" * 2000,
        "word <code>x</code> " * 2000,
        "<code>" * 3000 + "{0}",
        "".join(f"<b>w{i}</b>. " for i in range(3000)),
        "<p>" + "word <b>word. " * 300 + "</b>" * 300,
    ],
    ids=["deep", "empty", "attributes", "stray", "code", "deep code", "sentences", "open"],
)
def test_a_page_of_tags_takes_reasonable_time(page: str) -> None:
    result = translated(page, HTML, same)
    assert sorted("".join(result.split())) == sorted("".join(page.split()))


@pytest.mark.parametrize(
    ("page", "target", "expected"),
    [
        ("Hello <code>a</code>!", "Ciao!", "Ciao <code>a</code>!"),
        ("the <code>a</code> now", "l'ora adesso", "l'ora <code>a</code> adesso"),
        ("<code>a</code> here", "qui", "<code>a</code> qui"),
    ],
)
def test_code_that_is_lost_stands_between_words(page: str, target: str, expected: str) -> None:
    assert translated(page, HTML, lambda _: (target, None)) == expected


def test_code_that_is_doubled_stands_once_and_is_told() -> None:
    (segment,) = read_marked("Run <code>a</code>", HTML, "en", Segmentation.LINES, lambda _: True).segments
    assert segment.skeleton is not None
    filled = segment.skeleton.filled("Avvia {0} e {0}", None, {})
    assert (filled.text, filled.moved) == ("Avvia <code>a</code> e ", ["<code>a</code>"])


def test_a_link_that_no_word_looks_at_keeps_a_word() -> None:
    weights = [[1.0, 0, 0, 0], [0, 0, 0, 0.5], [0, 0, 0, 0.7]]
    result = translated("Press <a>it</a> right now", HTML, lambda _: ("Premi subito ora", weights))
    assert result == "Premi <a>subito</a> ora"


def test_text_is_written_as_its_place_needs_it() -> None:
    page = "<img alt='x'> <img alt=\"x\"> <img alt=x> x"
    result = translated(page, HTML, lambda _: ("""l'<a> & "b" c""", None))
    assert result.startswith(
        '<img alt=\'l&#39;&lt;a> &amp; "b" c\'> <img alt="l\'&lt;a> &amp; &quot;b&quot; c">'
    )
    assert "<img alt=l&#39;&lt;a&gt;&#32;&amp;&#32;&quot;b&quot;&#32;c>" in result
    assert result.endswith('l\'&lt;a&gt; &amp; "b" c')


def test_an_empty_title_of_a_page_in_xml_is_empty() -> None:
    page = (
        '<html xmlns="http://www.w3.org/1999/xhtml"><title/><script src="x"/><p>Hello <b>you</b>.</p></html>'
    )
    expected = page.replace("Hello", "HELLO").replace("you", "YOU")
    assert translated(page, HTML, lambda text: (text.upper(), None)) == expected


def test_what_stands_for_code_is_not_what_the_author_wrote() -> None:
    page = "<p>&#123;0} and <code>x</code> go.</p>"
    assert translated(page, HTML, same) == page.replace("&#123;", "{")


def test_warnings_are_of_their_segments_where_an_attribute_stands_between() -> None:
    page = '<p>One <img alt="A c\u00adat."> two. Thr\u00adee.</p>'
    document = read_marked(page, HTML, "en", Segmentation.SENTENCES, lambda text: True)
    numbers = {segment.text: number for number, segment in enumerate(document.segments)}
    assert {warning.segment for warning in document.warnings} == {numbers["A cat."], numbers["Three."]}
