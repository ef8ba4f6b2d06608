"""Terms in a translation: at the words that look at them, and nothing else of it changed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.documents.glossary import Glossary, Term, occurrences
from server.documents.markup.words import Weights, word_ranges
from server.documents.terms import lacking, with_terms
from tests.unit.server.documents.texts import texts, unhurried

CAT = Term(source="cat", target="micio")
DOG = Term(source="dog", target="cane da caccia")


def replaced(source: str, target: str, owners: str, *terms: Term, share: float = 0.9) -> tuple[str, int]:
    """A translation with terms, and how many it lacks; its words look at those that `owners` says."""
    num_words = len(word_ranges(source))
    rest = (1 - share) / num_words
    weights = [[rest + share * (str(s) == owner) for s in range(num_words)] for owner in owners]
    assert len(weights) == len(word_ranges(target))
    found = occurrences(source, [Glossary(terms)])
    text, rows = with_terms(found, source, target, weights)
    assert len(rows) == len(word_ranges(text))
    return text, len(lacking(found, text))


def test_a_term_takes_the_place_of_the_word_that_looks_at_it() -> None:
    assert replaced("The cat eats.", "Il gatto mangia.", "0123", CAT) == ("Il micio mangia.", 0)


def test_a_term_that_is_there_changes_nothing() -> None:
    assert replaced("The cat eats.", "Mangia il Micio.", "2013", CAT) == ("Mangia il Micio.", 0)


def test_each_of_several_terms_goes_to_its_own_place() -> None:
    text = replaced("The dog and the cat", "Il gatto e il cane", "34201", CAT, DOG)
    assert text == ("Il micio e il cane da caccia", 0)


def test_a_term_is_wanted_as_often_as_the_source_has_it() -> None:
    assert replaced("cat, cat", "micio, gatto", "012", CAT) == ("micio, micio", 0)
    assert replaced("cat, cat", "micio", "0", CAT) == ("micio", 1)


def test_words_beside_it_that_look_at_it_as_much_go_with_it() -> None:
    term = Term(source="city council", target="giunta")
    source, target = "The city council met", "Il consiglio della città si è riunito"
    assert replaced(source, target, "0211333", term) == ("Il giunta si è riunito", 0)


def test_where_no_word_looks_at_it_a_term_is_lacking() -> None:
    assert replaced("The cat eats", "Il mangia", "02", CAT) == ("Il mangia", 1)
    assert replaced("The cat eats", "Il gatto mangia", "012", CAT, share=0.2) == ("Il gatto mangia", 1)


@pytest.mark.parametrize(
    ("source", "target", "term", "expected"),
    [
        ("Cat!", "Gatto!", CAT, "Micio!"),
        ("Cat!", "Gatto!", Term(source="cat", target="iMicio"), "iMicio!"),
        ("CAT!", "GATTO!", CAT, "MICIO!"),
        ("Cat!", "Gatto!", Term(source="Cat", target="micio", match_case=True), "micio!"),
        ("Cat!", "Gatto!", Term(source="cat"), "Cat!"),
        ("Cat!", "cat!", Term(source="Cat", match_case=True), "Cat!"),
    ],
)
def test_a_term_is_in_the_case_of_its_place_unless_it_has_its_own(
    source: str, target: str, term: Term, expected: str
) -> None:
    assert replaced(source, target, "01", term) == (expected, 0)


@unhurried
@given(texts, texts, st.randoms(use_true_random=False))
def test_any_texts_and_weights_make_a_translation(source: str, target: str, random: object) -> None:
    ranges = word_ranges(source)
    terms = [Term(source=source[a:b], target="x y") for a, b in ranges[:2]]
    found = occurrences(source, [Glossary(terms)]) if terms else []
    draw = random.random  # type: ignore[attr-defined]
    weights: Weights = [[draw() ** 8 for _ in ranges] for _ in word_ranges(target)]
    before = len(lacking(found, target))
    text, _ = with_terms(found, source, target, weights)
    assert len(lacking(found, text)) <= before
    if before == 0:
        assert text == target
