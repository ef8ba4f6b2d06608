"""A translation ends as its source does and is in capitals if that is; what is right stays as it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from model.evaluation.robustness import RobustnessCase, judge, read_cases
from server.documents.form import in_form, in_sentence_case
from server.documents.protected import literals
from tests.unit.server.documents.texts import languages, texts, unhurried

CASES = read_cases(Path(__file__).parents[3] / "data/robustness.tsv")


def cases_with(rule: str) -> list[RobustnessCase]:
    return [case for case in CASES if rule in map(str, case.rules)]


def fake_translation(source: str) -> str:
    """What a translator says that knows neither capitals nor any end but a full stop."""
    words = source.rstrip(" .,:;!?…")
    return f"{words}." if words[-1].isalnum() else source


@pytest.mark.parametrize("rule", ["ends_like_source", "upper"])
def test_the_robustness_cases_keep_their_form(rule: str) -> None:
    cases = cases_with(rule)
    assert len(cases) >= 8
    wrong = 0
    for case in cases:
        translation = fake_translation(case.source).capitalize()
        wrong += rule in judge(case, translation, "")
        formed = in_form(case.source, translation, (case.source_language, case.target_language))
        assert rule not in judge(case, formed, ""), formed
    assert wrong >= 8


@pytest.mark.parametrize(
    ("source", "target", "pair", "expected"),
    [
        ("The office is closed today", "L'ufficio è chiuso oggi.", "en it", "L'ufficio è chiuso oggi"),
        ("He came to the town,", "È venuto in città.", "en it", "È venuto in città,"),
        ("I was about to tell you...", "Stavo per dirtelo", "en it", "Stavo per dirtelo..."),
        ("What is it?!", "Che cos'è?", "en it", "Che cos'è?!"),
        ("Where is it?", "Où est-il", "en fr", "Où est-il\u202f?"),
        ("Where is it?", "Πού είναι.", "en el", "Πού είναι;"),
        ("这是书。", "It is a book", "zh en", "It is a book."),
        ("It is a book.", "这是书", "en zh-Hans", "这是书。"),
        ("This is a book.", "यह किताब है", "en hi", "यह किताब है।"),
        ("WARNING: THE FLOOR IS WET.", "Attenzione: bagnato.", "en it", "ATTENZIONE: BAGNATO."),
        ("HELLO {name}, WELCOME!", "Ciao {name}, benvenuto!", "en it", "CIAO {name}, BENVENUTO!"),
        ("PLEASE NOTE", "istanbul için", "en tr", "İSTANBUL İÇİN"),
        ("GOOD MORNING", "Καλημέρα", "en el", "ΚΑΛΗΜΕΡΑ"),
    ],
)
def test_the_form_is_that_of_the_target_language(source: str, target: str, pair: str, expected: str) -> None:
    first, second = pair.split()
    assert in_form(source, target, (first, second)) == expected


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("The cat is here.", "Il gatto è qui."),
        ("这是书", "It is a book"),
        ("Bread, milk and so on", "Pane, latte ecc."),
        ("The train leaves at 10 a.m.", "Il treno parte alle 10"),
        ("Bread, milk etc.", "Pane, latte ecc."),
        ("He said: “Soon”", "Disse: «Presto»."),
        ("Great! 🎉", "Ottimo 🎉!"),
        ("The door (of the shop)", "La porta (del negozio)."),
        ("NASA", "Nasa"),
        ("I", "Io"),
        ("买一台 SAMSUNG 电视", "Buy a Samsung TV"),
        ("iPhone", "iPhone"),
        ("", ""),
    ],
)
def test_what_may_be_right_is_left_alone(source: str, target: str) -> None:
    language = "zh" if "台" in source or "书" in source else "en"
    assert in_form(source, target, (language, "it")) == target


@unhurried
@given(texts, texts, st.tuples(languages, languages))
@example("0", "http://0、", ("en", "en"))
def test_a_text_in_form_stays_and_no_literal_changes(source: str, target: str, pair: tuple[str, str]) -> None:
    source, target = source.strip(), target.strip()
    formed = in_form(source, target, pair)
    assert in_form(source, formed, pair) == formed
    assert in_form(source, source, (pair[0], pair[0])) == source
    assert literals(formed) == literals(target)


@pytest.mark.parametrize(("source", "target"), [("What is new", "¿Qué hay?"), ("Wow.", "¡Guau!")])
def test_half_of_a_pair_of_marks_is_not_taken_away(source: str, target: str) -> None:
    assert in_form(source, target, ("en", "es")) == target


@pytest.mark.parametrize(
    ("source", "language", "expected"),
    [
        ("GOOD MORNING, HOW ARE YOU?", "en", "Good morning, how are you?"),
        ("AM I LATE? YOU AND I.", "en", "Am I late? you and I."),
        ("«È CHIUSO» LA DOMENICA", "it", "«È chiuso» la domenica"),
        ("IŞIK AÇIK, İYİ GÜNLER", "tr", "Işık açık, iyi günler"),
        ("{NAME} OPENED https://A.example/B", "en", "{NAME} opened https://A.example/B"),
        ("İSTANBUL IS CLOSED", "en", "İstanbul is closed"),
        ("NATO", "en", "NATO"),
        ("The USA and the UNESCO", "en", "The USA and the UNESCO"),
        ("12:30 - 14:00", "en", "12:30 - 14:00"),
        ("東京タワー", "ja", "東京タワー"),
    ],
)
def test_a_source_in_capitals_is_read_in_small_letters(source: str, language: str, expected: str) -> None:
    assert in_sentence_case(source, language) == expected


@given(text=texts)
def test_what_is_read_has_the_same_letters_and_literals(text: str) -> None:
    read = in_sentence_case(text, "en")
    assert read.casefold() == text.casefold()
    assert literals(read) == literals(text)
