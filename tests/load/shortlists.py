"""The shortlist of an artifact in the peer's form, so that both choose among the same words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.load.subjects import Subject


def shortlist_candidates(subject: Subject) -> Mapping[str, Sequence[str]] | None:
    """The target pieces that each source piece may bring; None for an artifact without a shortlist."""
    return None
