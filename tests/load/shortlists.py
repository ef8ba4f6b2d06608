"""The shortlist of an artifact in the peer's form, so that both choose among the same words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from export.contract.manifest import load_manifest
from model.shortlist.shortlist import Shortlist
from tests.load.subjects import Subject


def one_direction(subject: Subject) -> Subject:
    """Its sentences into the language of the first one: the peer's map knows no language tags."""
    tag = subject.sources[0][0]
    chosen = [i for i, source in enumerate(subject.sources) if source[0] == tag]
    references = subject.references
    return replace(
        subject,
        sources=tuple(subject.sources[i] for i in chosen),
        references=None if references is None else tuple(references[i] for i in chosen),
    )


def shortlist_candidates(subject: Subject) -> Mapping[str, Sequence[str]] | None:
    """The target pieces that each source piece may bring; None for an artifact without a shortlist.

    Args:
        subject: Of one direction.
    """
    if load_manifest(subject.artifact).shortlist is None:
        return None
    piece = subject.tokenizer.piece
    table = Shortlist.load(subject.artifact).table(subject.sources[0][0])
    found = {"": [piece(int(i)) for i in np.flatnonzero(table.is_always)]}
    for token in range(subject.tokenizer.size):
        targets = table.targets[table.offsets[token] : table.offsets[token + 1]]
        found[piece(token)] = [piece(int(i)) for i in (*targets, token)]
    return found
