"""Marks at elements whose text is to stay."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.gateway.ignored_tags import ignoring

PIECES = st.sampled_from(
    ["<x>", "</x>", '<x translate="no">', '<x\ttranslate="no">', "<xy>", "<x a='1'/>", "text", "\t", "<"]
)


@given(st.lists(PIECES).map("".join))
def test_a_text_comes_out_as_it_went_in(text: str) -> None:
    marked, restored = ignoring(text, ["x"])
    assert restored(marked) == text


@pytest.mark.parametrize("text", ["<xy>", "</x>", '<x a="1" translate="no">', "x"])
def test_nothing_else_is_marked(text: str) -> None:
    assert ignoring(text, ["x"])[0] == text


@pytest.mark.parametrize("text", ["<x>", "<x/>", '<x a="1">', "<a.b>"])
def test_each_of_the_elements_is_marked(text: str) -> None:
    assert 'translate="no"' in ignoring(text, ["x", "a.b"])[0]
