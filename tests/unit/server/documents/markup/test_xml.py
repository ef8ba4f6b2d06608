"""XML: elements beside text are within a sentence, and what is not well formed is told."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.documents.markup.reading import Format
from server.documents.warnings import WarningReason
from tests.unit.server.documents.markup.marked import (
    brief,
    forgetful,
    same,
    segments_of,
    shuffled,
    translated,
    warnings_of,
)

XML = Format.XML
leaves = st.sampled_from(
    ["One", "two.", "è", "&amp;", "&#233;", "<ph/>", "<!-- no -->", "<![CDATA[<no>]]>", " ", "\n "]
)
elements = st.recursive(
    leaves,
    lambda inner: st.tuples(
        st.sampled_from(["a", "B", "x:y"]),
        st.sampled_from(["", ' t="v"', ' translate="no"']),
        st.lists(inner),
    ).map(lambda parts: f"<{parts[0]}{parts[1]}>{' '.join(parts[2])}</{parts[0]}>"),
    max_leaves=15,
)


@brief
@given(st.lists(elements, min_size=1), st.integers(0, 5), st.booleans())
def test_what_is_well_formed_stays_so(parts: list[str], seed: int, has_root: bool) -> None:
    root = '<r xmlns:x="u">' + "".join(parts) + "</r>"
    text = f'<?xml version="1.0"?>\n{root}\n' if has_root else root
    for translate in (shuffled(seed), forgetful, same):
        result = translated(text, XML, translate)
        before, after = (ElementTree.fromstring(page) for page in (text, result))  # noqa: S314 - our own
        assert sorted(e.tag for e in after.iter()) == sorted(e.tag for e in before.iter())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<d><p>One <b>two</b></p><p>Three</p></d>", ["One two", "Three"]),
        ('Hello <ph id="1"/> <g id="2">world</g>', ["Hello world"]),
        ('<!DOCTYPE d [<!ENTITY e "v > w">]><d>One &e; &nbsp;&#233;</d>', ["One {0} \u00a0é"]),
        ('<d><t translate="no">No</t><![CDATA[No]]></d>', []),
    ],
)
def test_a_model_is_given_what_people_read(text: str, expected: list[str]) -> None:
    assert segments_of(text, XML) == expected
    assert warnings_of(text, XML) == ()
    assert translated(text, XML, same) == text.replace("&nbsp;", "\u00a0").replace("&#233;", "é")


@pytest.mark.parametrize("text", ["<a>One <b>two</a>", "<a>One\0<b>two", "One<b two"])
def test_what_is_not_well_formed_is_translated_and_told(text: str) -> None:
    assert segments_of(text, XML)
    assert warnings_of(text, XML)[0].reason is WarningReason.MARKUP
