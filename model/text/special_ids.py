"""The token ids that mean no text. Knows nothing of PyTorch: manifests and the server carry them too."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SpecialIds:
    """Token ids with a meaning of their own; a tokenizer, a model's configuration and a manifest carry them.

    Args:
        padding: Fills a batch's shorter rows.
        unknown: Stands for text that the vocabulary lacks.
        start: What the decoder is fed first; in Marian's models it is the padding. Of a model whose first
            target embedding is zero any id may stand here.
        end: Ends a source and a target.

    >>> SpecialIds(padding=0, unknown=1, start=2, end=3).end
    3
    """

    padding: int
    unknown: int
    start: int
    end: int


# What traghetto-train gives its vocabularies.
DEFAULT_SPECIAL_IDS = SpecialIds(padding=0, unknown=1, start=2, end=3)
