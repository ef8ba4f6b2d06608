"""Every error stands in the tree, carries its figures, and quotes a client harmlessly."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from server import errors
from server.errors import (
    DeadlineExceeded,
    NotServed,
    QueueFull,
    RequestError,
    SourceTooLong,
    TargetTooLong,
    TextTooLong,
    quoted,
)


def subclasses(kind: type[RequestError]) -> Iterator[type[RequestError]]:
    for below in kind.__subclasses__():
        yield below
        yield from subclasses(below)


def test_every_error_is_in_the_tree_that_the_file_opens_with() -> None:
    assert errors.__doc__ is not None
    for kind in subclasses(RequestError):
        assert f" {kind.__name__} " in errors.__doc__


@pytest.mark.parametrize(
    ("error", "figures"),
    [
        (SourceTooLong(300, 256), {"num_tokens": 300, "limit": 256}),
        (TargetTooLong(300, 256), {"num_tokens": 300, "limit": 256}),
        (TextTooLong(300_000, 256), {"num_characters": 300_000, "limit": 256}),
        (QueueFull(3, 4, 5), {"num_texts": 3, "num_waiting": 4, "limit": 5, "retry_seconds": 1.0}),
        (
            NotServed("model", "'x'", "no model 'x'"),
            {"resource_type": "model", "resource_name": "'x'", "description": "no model 'x'"},
        ),
        (DeadlineExceeded(), {"was_queued": True}),
        (DeadlineExceeded(was_queued=False), {"was_queued": False}),
    ],
    ids=str,
)
def test_an_error_carries_its_figures_beside_its_message(
    error: RequestError, figures: dict[str, object]
) -> None:
    assert {name: getattr(error, name) for name in figures} == figures


def test_long_values_of_a_client_are_shortened() -> None:
    assert quoted("en") == "'en'"
    assert quoted("e" * 64) == repr("e" * 64)
    assert len(quoted("e" * 1_000_000)) < 100
    assert quoted("e" * 65) == repr("e" * 64 + "...")


def test_a_client_cannot_break_the_line_of_a_message() -> None:
    assert "\n" not in quoted("en\nERROR all is lost")
