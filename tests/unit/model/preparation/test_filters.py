"""Each rule refuses what it is for, and clean pairs of every kind pass."""

from __future__ import annotations

import pytest

from model.preparation.filters import RULES, FilterConfig, broken_rule

LONG = "The committee will publish its report before the end of the year."


@pytest.mark.parametrize(
    ("first", "second", "rule"),
    [
        ("Yes.", " ", "empty side"),
        ("", "Sì.", "empty side"),
        ("a" * 1001, "b" * 1001, "too long"),
        (LONG, "La commissione.", "ratio of lengths"),
        ("== -- ==", "== -- ==", "few letters"),
        ("In 1999 it was 12.", "Nel 1998 era 12.", "other digits"),
        ("Press <b>OK</b> to go on.", "Premi OK per continuare.", "markup"),
        ("Fish &amp; chips, please.", "Pesce e patatine, prego.", "markup"),
        (LONG, LONG.upper(), "copy"),
    ],
)
def test_a_broken_rule_is_named(first: str, second: str, rule: str) -> None:
    assert broken_rule(first, second, FilterConfig()) == rule


def test_every_rule_has_a_case_above() -> None:
    marks = test_a_broken_rule_is_named.pytestmark  # type: ignore[attr-defined]
    assert {case[2] for case in marks[0].args[1]} == set(RULES)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Yes.", "Sì."),
        ("It was 1,234.5 in 1999.", "Nel 1999 era 1.234,5."),
        ("Tom", "Tom"),
        ("I'd rather not.", "Preferirei di no."),
        ("a < b and b > c", "a < b e b > c"),
        ("Hm.", "Direi proprio di no."),
    ],
)
def test_a_clean_pair_breaks_none(first: str, second: str) -> None:
    assert broken_rule(first, second, FilterConfig()) is None


def test_limits_are_configured() -> None:
    loose = FilterConfig(same_digits=False, markup=True, max_ratio=100, max_characters=10**6, min_letters=0)
    assert broken_rule("<b>1</b>" * 99, "two", loose) == "ratio of lengths"
    assert broken_rule("<b>1</b>", "two", loose) is None
