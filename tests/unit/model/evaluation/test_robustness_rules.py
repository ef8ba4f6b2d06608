"""Each rule accepts what it must and refuses what it must."""

# ruff: noqa: RUF001 - characters that look alike are the matter here
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.evaluation.robustness_rules import RULES, Attempt, fold

# Rule, text, source (English), a translation that fulfils the rule, and one that does not.
EXAMPLES = [
    ("has", "{name}", "Hello {name}!", "Ciao {name}!", "Ciao {nome}!"),
    ("has", "%s", "Move %s to %s.", "Sposta %s in %s.", "Sposta %s."),
    ("has", "6 mm", "It is 6 mm thick.", "È spesso 6 mm.", "È spesso 6 mmm."),
    ("has", "Anna", "Anna is here.", "Anna è qui.", "Annamaria è qui."),
    ("has", "½", "Take ½ cup.", "Prendi ½ tazza.", "Prendi 1/2 tazza."),
    ("has", "👍🏽", "Well done 👍🏽", "Ben fatto 👍🏽", "Ben fatto 👍"),
    ("starts", "1.", "1. Open it.", "1. Aprilo.", "Aprilo 1."),
    ("digits", "", "It costs 1,234.5 in 2024.", "Nel 2024 costa 1.234,5.", "Nel 2024 costa 1.234,6."),
    ("digits", "", "It starts at 10:45.", "Inizia alle 10.45.", "Inizia alle 10."),
    (
        "digits",
        "",
        "We sold 12,000 of 15.",
        "Ne abbiamo venduti 12 000 su 15.",
        "Ne abbiamo venduti 12 su 15.",
    ),
    ("digits", "", "Rooms 10 and 20.", "Stanze 20 e 10.", "Stanze 10 e 10."),
    ("units", "", "It costs $5 or €4.", "Costa 5 dollari o 4 euro.", "Costa 5 dollari o 4 sterline."),
    ("units", "", "It costs £5 or ¥9.", "Costa 5 sterline o 9 yen.", "Costa 5 o 9 yen."),
    ("units", "", "It costs CHF 5.", "Costa 5 franchi.", "Costa 5 euro."),
    ("units", "", "At 9% or 30 °C.", "Al 9 per cento o a 30 gradi.", "Al 9 o a 30 gradi."),
    ("tags", "", "A <b>new</b> <i>car</i>", "Una <i>macchina</i> <b>nuova</b>", "Una macchina <b>nuova</b>"),
    ("tags", "", "<p><b>No</b></p>", "<p><b>No</b></p>", "<p><b>No</p></b>"),
    ("tags", "", "One<br/>Two", "Uno<br/>Due", "Uno<br>Due"),
    ("tags", "", '<a href="/x">See</a>', '<a href="/x">Vedi</a>', '<a href="/y">Vedi</a>'),
    ("upper", "", "IT IS LATE", "È TARDI", "È tardi"),
    ("upper", "", "ONE", "UNO 1", "1"),
    ("lower_start", "", "it is late", "«è tardi", "È tardi"),
    ("ends_like_source", "", "Wait…", "Aspetta...", "Aspetta."),
    ("ends_like_source", "", "What?!", "Che cosa?!", "Che cosa?"),
    ("ends_like_source", "", 'He said "yes."', "Ha detto «sì».", "Ha detto «sì»"),
    ("ends_like_source", "", "Closed", "Chiuso", "Chiuso."),
    ("sentences", "", "No. It is 3.5. Go!", "No. È 3,5. Vai! Su!", "No, è 3.5. Vai!"),
    ("sentences", "", '"Why?" Go… (Now.)', "«Perché?» Vai… (Ora.)", "«Perché?» Vai ora."),
    ("quotes", "", 'He says "no".', "Dice «no».", "Dice no."),
    ("quotes", "", "He says “no”.", 'Dice "no".', 'Dice "no.'),
    ("quotes", "", "He says ”no”.", "Dice „no“ e basta.", "Dice „no“ e «basta»."),
    ("plain", "", "It is very, very late.", "È molto, molto tardi.", "È così, così, così tardi."),
    ("plain", "", "It is very late.", "È molto tardi.", "È tatatardi."),
    ("plain", "", "It is late.", "È tardi.", "È tardiiii."),
    ("plain", "", "It is very late.", "È tardi.", "Sì."),
    ("plain", "", "It is late.", "È tardi.", "È tardi, e noi siamo ancora qui."),
    ("language", "", "The cat is here.", "Il gatto è qui.", "The cat is here."),
    ("language", "", "Not the end", "Fine", "The gatto is il fine"),
    ("like", "It's late.", "It’s late.", "È molto tardi", "Mio nonno dorme."),
]


def holds(rule: str, source: str, translation: str, text: str = "") -> bool:
    return RULES[rule].holds(
        Attempt(
            source_language="en",
            target_language="it",
            source=source,
            translation=translation,
            text=text,
            like_translation="È molto tardi.",
        )
    )


@pytest.mark.parametrize(("rule", "text", "source", "good", "bad"), EXAMPLES, ids=range(len(EXAMPLES)))
def test_a_rule_accepts_the_good_and_refuses_the_bad_example(
    rule: str, text: str, source: str, good: str, bad: str
) -> None:
    assert holds(rule, source, good, text)
    assert not holds(rule, source, bad, text)


def test_every_rule_has_an_example() -> None:
    assert {rule for rule, *_ in EXAMPLES} == set(RULES)


def test_a_text_that_the_source_has_not_is_never_fulfilled() -> None:
    assert not holds("has", "Il programma", "Il programma", "mm")


@given(st.text(min_size=1))
def test_an_empty_translation_is_never_plain(source: str) -> None:
    assert not holds("plain", source, "")


@given(st.integers(0, 10**9), st.sampled_from([",", ".", " ", "\u00a0", "'"]))
def test_a_number_keeps_its_digits_with_any_separator_of_thousands(number: int, separator: str) -> None:
    assert holds("digits", f"There are {number:,} of them.", f"Sono {number:,}.".replace(",", separator))


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_another_number_is_noticed(number: int, other: int) -> None:
    assert holds("digits", f"{number:,}", f"{other:,}") == (number == other)


@pytest.mark.parametrize(
    "variant",
    ["“it’s  naïve…”", "IT'S NAÏVE.", "it`s na\u00adï\u200bve", "it´s\u00a0nai\u0308ve!", "«it's ｎａïve»"],
)
def test_folding_leaves_the_words_alone(variant: str) -> None:
    assert fold(variant).lstrip('"') == "it's naïve"


def test_folding_makes_dashes_and_ligatures_usual_characters() -> None:
    assert fold("10–20 — oﬃce") == "10-20 - office"


@given(st.text(alphabet=st.sampled_from("aB '’“”\"«»–-…. \u00ad\u00a0é\u0301ﬁİßς"), max_size=20))
def test_folding_twice_changes_nothing_more(text: str) -> None:
    assert fold(fold(text)) == fold(text)
