"""What a translation changed though it must stay comes back; what it may change is left to it."""

from __future__ import annotations

import pytest
from hypothesis import given

from server.documents.protected import damage
from server.documents.repair import repaired
from tests.unit.server.documents.texts import texts, unhurried


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("See https://login.a.example/.", "Vedi https://log.a.example/.", "Vedi https://login.a.example/."),
        ("Hi {{cliente}}!", "Ciao {{client}}!", "Ciao {{cliente}}!"),
        ('Click <ph id="1"/> now', 'Clicca <ph id="1"> ora', 'Clicca <ph id="1"/> ora'),
        ("%d files in %s", "%d file in %d", "%d file in %d"),  # which of the two is wrong nobody knows
        ("{a} and {bb}", "{aa} e {b}", "{a} e {bb}"),
        ("见 http://a.example/b，好", "See http://a.example/b, good", "See http://a.example/b, good"),
        ("10² is 100", "10\ufffd è 100", "10² è 100"),
        ("Dvořák, Đoković", "\ufffdoković, Dvo\ufffdák", "Đoković, Dvořák"),
        ("a \ufffd here", "una \ufffd qui", "una \ufffd qui"),
        ("Lech Wałęsa", "\ufffd Watch", "\ufffd Watch"),
        ("Bye 👋🏻 🇫🇷", "Ciao 👋👢 🇢🇷", "Ciao 👋🏻 🇫🇷"),
        ("Bye 👋", "Ciao 👋 👋", "Ciao 👋 👋"),
        ("We have 3 boats.", "Abbiamo tre barche.", "Abbiamo tre barche."),
        ("It’s late", "È tardi", "È tardi"),
        (f"https://x.e/{'ab' * 400}", f"https://x.e/{'aab' * 266}", f"https://x.e/{'aab' * 266}"),  # at once
    ],
)
def test_what_must_stay_is_put_back(source: str, target: str, expected: str) -> None:
    assert repaired(source, target) == expected


@unhurried
@given(source=texts, target=texts)
def test_a_repair_does_no_damage_and_is_made_once(source: str, target: str) -> None:
    mended = repaired(source, target)
    assert damage(source, mended) <= damage(source, target)
    assert repaired(source, mended) == mended
    assert repaired(source, source) == source
