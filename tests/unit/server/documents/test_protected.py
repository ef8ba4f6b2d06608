"""What must not change is recognised, and its loss is seen."""

from __future__ import annotations

import pytest
from hypothesis import given

from server.documents.protected import has_protected, literals, lost, numbers
from tests.unit.server.documents.texts import texts, unhurried


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello {name}, {{x}} and ${total} of {0:>3}.", ["{name}", "{{x}}", "${total}", "{0:>3}"]),
        ("%s, %1$d, %(user)s and %5.2f of 100%.", ["%s", "%1$d", "%(user)s", "%5.2f"]),
        ("It is 50% of all, 5 % so.", []),
        ("See https://a.example/b_(c)?d={e}#f, then www.b.example.", ["https://a.example/b_(c)?d={e}#f"]),
        ("Write to a.b+c@d-e.example!", ["a.b+c@d-e.example"]),
        ('Press <ph id="1"/> or <b>here</b>, 3 < 4 > 2.', ['<ph id="1"/>', "<b>", "</b>"]),
        ("#boat and @anna are not &#38; or #1.", ["#boat", "@anna"]),
    ],
    ids=["braces", "printf", "percent", "urls", "e-mail", "tags", "hashtags"],
)
def test_literals_are_recognised(text: str, expected: list[str]) -> None:
    recognised = [literal for literal in literals(text) if not literal.startswith("www")]
    assert recognised == expected


def test_numbers_are_the_same_however_they_are_written() -> None:
    assert numbers("1,234.5 and 300\u202f000 at 10:45") == numbers("1.234,5 e 300 000 alle 10.45")
    assert numbers("٣ boats") == numbers("3 barche")
    assert numbers("{0} %1$d https://a.example/7") == {}


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("Hi {name}, 3 boats.", "Ciao {name}, 3 barche.", ([], [])),
        ("Hi {name}.", "Ciao {nome}.", (["{name}", "{nome}"], [])),
        ("Hi {name}.", "Ciao {name} {name}.", (["{name}"], [])),
        ("Hi.", "Ciao {x}.", (["{x}"], [])),
        ("1234 and 56", "1243 e 56", ([], ["1234", "1243"])),
        ("Two boats.", "2 barche.", ([], [])),
    ],
    ids=["kept", "changed", "doubled", "invented", "swapped", "a word became a number"],
)
def test_what_is_lost_is_seen(source: str, target: str, expected: tuple[list[str], list[str]]) -> None:
    assert lost(source, target) == expected


@unhurried
@given(texts)
def test_a_copy_loses_nothing(text: str) -> None:
    assert lost(text, text) == ([], [])
    if not has_protected(text):
        assert not literals(text)
        assert not numbers(text)
