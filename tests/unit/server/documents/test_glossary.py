"""Terms of glossaries: where they are in a text, and in files, and what is wrong with them."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.documents.glossary import Glossary, Term, key_words, occurrences, places_of, term_faults
from server.documents.glossary_file import GlossaryError, read_glossary, read_terms
from server.documents.markup.words import word_ranges
from tests.unit.server.documents.texts import texts, unhurried


def found(text: str, *terms: Term) -> list[tuple[str, str]]:
    """What of a text is a term, and what its translation shall say."""
    ranges = word_ranges(text)
    places = [(item.words, item.target) for item in occurrences(text, [Glossary(terms)])]
    return [(text[ranges[first][0] : ranges[last - 1][1]], target) for (first, last), target in places]


def test_a_term_is_whole_words_and_the_longest_counts() -> None:
    cat, black_cat = Term(source="cat", target="gatto"), Term(source="black cat", target="micio nero")
    text = "A black\n cat and a cat's cats: CAT, concat, (cat)."
    assert found(text, cat, black_cat) == [
        ("black\n cat", "micio nero"),
        *(("cat", "gatto"), ("CAT", "gatto"), ("cat", "gatto")),
    ]


def test_a_term_is_not_taken_for_a_longer_one_at_the_end_of_a_text() -> None:
    assert found("a cat", Term(source="cat", target="gatto"), Term(source="cat!", target="x")) == [
        ("cat", "gatto")
    ]


def test_in_a_script_without_spaces_a_term_is_anywhere_longest_first() -> None:
    terms = (Term(source="東京", target="Tokyo"), Term(source="東京都", target="Prefettura di Tokyo"))
    assert found("私は東京都と東京へ", *terms) == [("東京都", "Prefettura di Tokyo"), ("東京", "Tokyo")]


def test_where_case_counts_a_term_is_found_as_it_is_written_and_first() -> None:
    terms = (Term(source="us", target="noi"), Term(source="US", target="Stati Uniti", match_case=True))
    assert found("Us, us and US", *terms) == [("Us", "noi"), ("us", "noi"), ("US", "Stati Uniti")]
    assert found("Straße STRASSE", Term(source="strasse", target="via")) == [
        ("Straße", "via"),
        ("STRASSE", "via"),
    ]


def test_what_has_no_target_stays_as_the_text_has_it() -> None:
    assert found("Traghetto and TRAGHETTO", Term(source="traghetto")) == [
        ("Traghetto", "Traghetto"),
        ("TRAGHETTO", "TRAGHETTO"),
    ]


def test_letters_are_the_same_however_they_are_composed() -> None:
    assert found("un caffe\u0300", Term(source="caffè", target="coffee")) == [("caffe\u0300", "coffee")]


def test_nothing_within_what_must_not_change_is_a_term() -> None:
    text = "See https://cat.example/cat, {cat}, #cat and cat@cat.example, cat."
    assert found(text, Term(source="cat", target="gatto")) == [("cat", "gatto")]
    assert text.endswith("cat.")


def test_of_several_glossaries_the_first_counts() -> None:
    first, second = Glossary([Term(source="cat", target="a")]), Glossary([Term(source="cat", target="b")])
    assert [item.target for item in occurrences("cat", [first, second])] == ["a"]
    longer = Glossary([Term(source="cat flap", target="c")])
    assert [item.target for item in occurrences("cat flap", [first, longer])] == ["c"]


@unhurried
@given(texts, st.lists(texts.filter(lambda text: bool(word_ranges(text))), max_size=8))
def test_terms_of_any_kind_are_found_in_order_and_apart(text: str, sources: list[str]) -> None:
    items = occurrences(text, [Glossary([Term(source=source) for source in sources])])
    places = [item.words for item in items]
    assert all(0 <= first < last <= len(word_ranges(text)) for first, last in places)
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(places))
    words = key_words(text, match_case=True)
    for item in items:
        assert list(places_of(item.target, words, match_case=True)), "it is in the text that it is from"


@pytest.mark.parametrize(
    ("term", "side", "rule"),
    [
        (Term(source=""), "source", "is empty"),
        (Term(source=" a"), "source", "begins or ends with white space"),
        (Term(source="a", target="b\n"), "target", "begins or ends with white space"),
        (Term(source="a" * 129), "source", "has 129 characters, must have at most 128"),
        (Term(source="a", target="- " * 16 + "-"), "target", "has 17 words and marks, must have at most 16"),
        (Term(source="a\u2028b"), "source", "has tabs, line breaks or invisible characters, must have none"),
        (Term(source="a", target="b\u200bc"), "target", "has tabs, line breaks or invisible"),
    ],
)
def test_what_can_be_no_term_is_told_with_its_limit(term: Term, side: str, rule: str) -> None:
    (fault,) = term_faults([Term(source="before"), term])
    assert (fault.index, fault.side) == (1, side)
    assert rule in fault.rule


def test_a_source_is_there_once_but_for_its_case_where_that_counts() -> None:
    terms = [Term(source="a b"), Term(source="A  B"), Term(source="A B", match_case=True)]
    (fault,) = term_faults(terms)
    assert (fault.index, fault.first) == (1, 0)


def test_a_file_has_a_term_a_line(tmp_path: Path) -> None:
    file = tmp_path / "terms.tsv"
    file.write_bytes("\ufeffcat\tgatto\r\n\r\nTraghetto\nUS\tStati Uniti\tcase\nApple\t\tcase\n".encode())
    assert read_terms(file) == [
        Term(source="cat", target="gatto"),
        Term(source="Traghetto"),
        Term(source="US", target="Stati Uniti", match_case=True),
        Term(source="Apple", match_case=True),
    ]
    assert len(read_glossary(file)) == 4


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"cat\tgatto\n\ta\n", "line 2: the source is empty"),
        (b"a\tb\tno\n", r"line 1 is 'a\\tb\\tno', must have a source, a target and 'case' at most"),
        (b"a\tb\tcase\td\n", "line 1 is 'a"),
        (b"a\tb\n\nA\tc\n", "line 3: the source is 'A', must be another than that of line 1"),
        (b"a\n\xff\n", "line 2 is no UTF-8"),
        (b"\n", "has 0 terms, must have 1 to 100000"),
    ],
)
def test_a_faulty_file_is_refused_by_its_name_and_line(tmp_path: Path, content: bytes, fault: str) -> None:
    file = tmp_path / "terms.tsv"
    file.write_bytes(content)
    with pytest.raises(GlossaryError, match=f"^glossary {file}.*{fault}"):
        read_glossary(file)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(GlossaryError, match=r"none\.tsv cannot be read: No such file"):
        read_glossary(tmp_path / "none.tsv")
