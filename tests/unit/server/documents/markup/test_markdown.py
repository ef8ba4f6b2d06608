"""Markdown: the structure stays, and text that would be markup is escaped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyromark
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.documents.markup.markdown_reader import _OPTIONS
from server.documents.markup.reading import Format
from tests.unit.server.documents.markup.marked import brief, same, segments_of, shuffled, translated
from tests.unit.server.documents.texts import texts

MARKDOWN = Format.MARKDOWN
PAGE = """\
---
title: No
---
# A *small* boat

> The `code` and
> the [red *link*](http://x "No") &amp; \\* more.

- one ![a cat](a.png) <b>two</b>
- [ ] three

| a | **b** |
|---|:-:|
| c | `d` |

<div align="center">
Some <b>html</b>
</div>

```
No
```

See [ref] and <http://auto.example>. [^1]

[^1]: A note

[ref]: http://x
"""
inlines = st.recursive(
    st.sampled_from(
        ["car", "red", "è", "3", "`no`", "&amp;", "\\*", "[l](u)", "<b>x</b>", "Yes.", "snake_case"]
    ),
    lambda inner: st.tuples(st.sampled_from(["*", "**", "~~"]), inner).map(lambda p: f"{p[0]}{p[1]}{p[0]}"),
    max_leaves=3,
)
lines = st.lists(inlines, min_size=1, max_size=6).map(" ".join)
blocks = st.tuples(st.sampled_from(["", "# ", "> ", "- ", "1. "]), lines).map("".join)
pages = st.lists(
    st.one_of(blocks, st.just("```\nNo\n```"), st.just("| a | b |\n|---|---|\n| *c* | d |"))
).map("\n\n".join)


def structure(text: str) -> Iterator[str]:
    for event in pyromark.events(text, options=_OPTIONS):
        kind, data = next(iter(event.items())) if isinstance(event, dict) else (event, None)
        if kind in {"Start", "Code"}:
            yield f"{kind} {_plain(data)}"


def _plain(data: Any) -> str:
    return str(data)


@brief
@given(pages, st.integers(0, 5))
def test_the_structure_stays_whatever_becomes_of_the_words(page: str, seed: int) -> None:
    assert Counter(structure(translated(page, MARKDOWN, shuffled(seed)))) == Counter(structure(page))


@brief
@given(texts)
def test_text_of_all_kinds_keeps_its_structure(text: str) -> None:
    assert Counter(structure(translated(text, MARKDOWN, same))) == Counter(structure(text))


def test_a_model_is_given_what_people_read() -> None:
    assert segments_of(PAGE, MARKDOWN) == [
        "A small boat",
        "The {0} and the red link & * more.",
        "one two",
        "a cat",
        "three",
        *("a", "b", "c"),
        "Some html",
        "See {0} and {1}.",
        "A note",
    ]
    assert translated(PAGE, MARKDOWN, same) == PAGE.replace("and\n> the", "and the").replace("&amp;", "&")


@pytest.mark.parametrize("page", ["> " * 500 + "word", "*a " * 500 + "b*" * 500], ids=["quotes", "emphasis"])
def test_what_is_too_deep_stays_as_it_is(page: str) -> None:
    assert translated(page, MARKDOWN, same) == page


@pytest.mark.parametrize(
    "target", ["*a* b", "# a", "1. a", "a_ _b", "[a](b)", "<b>", "`a`", "- a", "a|b", "\\*", "> a"]
)
def test_a_translation_is_text_and_no_markup(target: str) -> None:
    result = translated("Word", MARKDOWN, lambda _: (target, None))
    assert list(structure(result)) == list(structure("Word"))


def test_many_marks_take_reasonable_time() -> None:
    text = "**" * 8000 + "a" + "**" * 8000
    assert translated(text, Format.MARKDOWN, same) == text
