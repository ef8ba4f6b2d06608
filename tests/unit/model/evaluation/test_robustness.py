"""The file of texts is whole, and its faults are named."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from model.evaluation.robustness import (
    KINDS,
    RobustnessCase,
    Rule,
    judge,
    pass_rates,
    plain_sources,
    read_cases,
)
from model.evaluation.robustness_rules import RULES
from model.text.parallel_text import DataError

HEADER = "kind\tsource_language\ttarget_language\tsource\tmust"
GOOD = "names\ten\tit\tAnna is here.\thas Anna && plain && language"
# Right translations of one text a kind: no rule may refuse them.
TRANSLATIONS = {
    "The machine makes 1,234.5 turns every minute.": "La macchina fa 1.234,5 giri al minuto.",
    "Il treno parte alle 7.25 dal binario 4.": "The train leaves at 7:25 from platform 4.",
    "Il biglietto costa 12,50 € per gli adulti.": "The ticket costs 12.50 euros for adults.",
    "Send the form to john+work@mail.example.co.uk, please.": "Per favore, invii il modulo a"
    " john+work@mail.example.co.uk.",
    "The computer has copied %d of %d files.": "Il computer ha copiato %d file su %d.",
    "Inserisci il tuo <i>nome</i> e il tuo <i>cognome</i>.": "Enter your <i>name</i> and"
    " your <i>surname</i>.",
    "My sister is a doctor 👩‍⚕️ in Boston.": "Mia sorella fa la dottoressa 👩‍⚕️ a Boston.",
    "Mr O'Neill lives next to the old church.": "Il signor O'Neill vive accanto alla vecchia chiesa.",
    "QUESTA PORTA DEVE RESTARE CHIUSA.": "THIS DOOR MUST REMAIN CLOSED.",
    "Ha detto: «Torno subito a casa.»": 'He said: "I am coming home right away."',
    "The doc\u200bument is on the table.": "Il documento è sul tavolo.",
    "Tom has 12 dogs. His sister has 15 cats. They live in Boston.": "Tom ha 12 cani. Sua sorella ha"
    " 15 gatti. Vivono a Boston.",
}


@pytest.fixture(scope="module")
def cases(data_folder: Path) -> list[RobustnessCase]:
    return read_cases(data_folder / "robustness.tsv")


@pytest.fixture
def read(tmp_path: Path) -> Callable[[str], list[RobustnessCase]]:
    def read_text(text: str) -> list[RobustnessCase]:
        path = tmp_path / "cases.tsv"
        path.write_text(text, encoding="utf-8")
        return read_cases(path)

    return read_text


def make_case(source: str = "Anna is here.", *rules: Rule, kind: str = "names") -> RobustnessCase:
    return RobustnessCase(kind=kind, source_language="en", target_language="it", source=source, rules=rules)


def test_each_kind_has_40_texts_and_15_in_each_direction(cases: list[RobustnessCase]) -> None:
    by_kind = Counter(case.kind for case in cases)
    by_direction = Counter((case.kind, case.source_language) for case in cases)
    assert set(by_kind) == set(KINDS)
    assert min(by_kind.values()) >= 40
    assert len(by_direction) == 2 * len(KINDS)
    assert min(by_direction.values()) >= 15


def test_no_source_stands_twice(cases: list[RobustnessCase]) -> None:
    assert len({case.source for case in cases}) == len(cases)


def test_every_rule_is_known_and_used(cases: list[RobustnessCase]) -> None:
    assert {rule.name for case in cases for rule in case.rules} == set(RULES)


def test_every_text_must_be_translated_without_garbage(cases: list[RobustnessCase]) -> None:
    assert all({Rule("plain"), Rule("language")} < set(case.rules) for case in cases)


def test_a_copy_of_a_source_fails_for_its_language_alone(cases: list[RobustnessCase]) -> None:
    assert all(judge(case, case.source, case.plain_source) == ["language"] for case in cases)


@pytest.mark.parametrize("translation", ["", "Non lo so.", "la la la la la la la"])
def test_what_says_something_else_fails_everywhere(cases: list[RobustnessCase], translation: str) -> None:
    anchored = [case for case in cases if case.kind not in {"case", "punctuation", "typography"}]
    assert not [case.source for case in anchored if not judge(case, translation)]


def test_a_right_translation_of_each_kind_passes(cases: list[RobustnessCase]) -> None:
    known = {case.source: case for case in cases}
    found = {
        known[source].kind: judge(known[source], translation, translation)
        for source, translation in TRANSLATIONS.items()
    }
    assert found == {kind: [] for kind in KINDS}


def test_characters_that_nobody_sees_are_escaped_in_the_file(data_folder: Path) -> None:
    text = (data_folder / "robustness.tsv").read_text(encoding="utf-8")
    assert not re.search("[\u00a0\u00ad\u200b\u2009\u202f\u2060\ufeff\u0300\u0301]", text)


def test_a_line_becomes_a_case(read: Callable[[str], list[RobustnessCase]]) -> None:
    rules = (Rule("has", "Anna"), Rule("plain"), Rule("language"))
    assert read(f"{HEADER}\n{GOOD}\n") == [make_case("Anna is here.", *rules)]


def test_escapes_become_characters(read: Callable[[str], list[RobustnessCase]]) -> None:
    (case,) = read(f"{HEADER}\ntypography\ten\tit\tAn\\u00adna is here.\tlike Anna is here.\n")
    assert case.source == "An\u00adna is here."
    assert case.plain_source == "Anna is here."


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("names\ten\tit\tHi.", "4 columns, must be 5"),
        ("nouns\ten\tit\tHi.\tplain", f"unknown kind 'nouns', known are {', '.join(KINDS)}"),
        ("names\ten\ten\tHi.\tplain", "from 'en' to 'en', must be from one of en, it to the other"),
        ("names\ten\tde\tHi.\tplain", "from 'en' to 'de', must be from one of en, it to the other"),
        ("names\ten\tit\t \tplain", "the source is empty"),
        ("names\ten\tit\tHi.\tnice", f"unknown rule 'nice', known are {', '.join(RULES)}"),
        ("names\ten\tit\tHi.\t", "unknown rule ''"),
        ("names\ten\tit\tHi.\thas", "a text must follow 'has'"),
        ("names\ten\tit\tHi.\tplain Hi", "no text may follow 'plain', not 'Hi'"),
        ("names\ten\tit\tHi.\tlike Hi && like Ho", "'like' stands twice"),
        ("names\ten\tit\tHi.\thas Ho", "the source itself does not fulfil 'has Ho'"),
        ("names\ten\tit\tHi.\tupper", "the source itself does not fulfil 'upper'"),
        (
            "names\ten\tit\tHi.\tlike Something else.",
            "the source itself does not fulfil 'like Something else.'",
        ),
        (GOOD, "the source of line 2 again"),
    ],
    ids=range(14),
)
def test_a_fault_is_named_with_its_line(
    read: Callable[[str], list[RobustnessCase]], line: str, fault: str
) -> None:
    with pytest.raises(DataError, match=r"cases\.tsv, line 3: " + re.escape(fault)):
        read(f"{HEADER}\n{GOOD}\n{line}\n")


def test_all_faults_are_named_at_once(read: Callable[[str], list[RobustnessCase]]) -> None:
    with pytest.raises(DataError) as caught:
        read("source\tmust\nnames\ten\nnouns\ten\ten\tHi.\tplain\n")
    lines = re.findall(r"line (\d)", str(caught.value))
    assert lines == ["1", "2", "3", "3"]


def test_a_missing_and_a_damaged_file_are_named(tmp_path: Path) -> None:
    path = tmp_path / "cases.tsv"
    with pytest.raises(DataError, match=re.escape(f"no data file {path}")):
        read_cases(path)
    path.write_bytes(b"caff\xe8")
    with pytest.raises(DataError, match=re.escape(f"{path} is damaged")):
        read_cases(path)


def test_plain_sources_stand_once_under_their_direction() -> None:
    cases = [make_case(source, Rule("like", "Hi.")) for source in ("HI.", "hi.")] + [make_case()]
    assert plain_sources(cases) == {("en", "it"): ["Hi."]}
    assert plain_sources([make_case()]) == {}


def test_the_rules_that_fail_are_given_as_they_stand() -> None:
    case = make_case("Anna is here.", Rule("has", "Anna"), Rule("plain"), Rule("upper"))
    assert judge(case, "Lei è qui.") == ["has Anna", "upper"]
    assert judge(case, "ANNA è qui.") == ["has Anna", "upper"]


def test_like_compares_with_the_translation_of_the_plain_source() -> None:
    case = make_case("ANNA IS HERE.", Rule("like", "Anna is here."))
    assert judge(case, "ANNA È QUI.", "Anna è qui.") == []
    assert judge(case, "NON SO", "Anna è qui.") == ["like Anna is here."]


def test_like_without_its_translation_is_refused() -> None:
    case = make_case("ANNA IS HERE.", Rule("like", "Anna is here."))
    with pytest.raises(ValueError, match=re.escape("the translation of 'Anna is here.' is missing")):
        judge(case, "ANNA È QUI.")


def test_a_kinds_rate_is_the_share_of_texts_without_a_failure() -> None:
    cases = [make_case(kind="tags"), make_case(kind="names"), make_case(kind="tags")]
    assert pass_rates(cases, [["plain"], [], []]) == {"tags": 0.5, "names": 1.0}
    assert list(pass_rates(cases[::-1], [[], [], []])) == ["tags", "names"]
    with pytest.raises(ValueError, match="shorter"):
        pass_rates(cases, [[]])
