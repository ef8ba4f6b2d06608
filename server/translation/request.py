"""What a call asks for once it is known to be valid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from server.documents.document import Segmentation
from server.documents.glossary import Glossary
from server.documents.markup.reading import Format
from server.models.served_model import ServedModel
from server.work.fair_order import Priority
from server.work.options import SearchOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class TranslationRequest:
    """Texts, the model that translates them, and how it searches.

    Args:
        pair: Source and target language, as the model spells them.
        deadline: On the monotonic clock, in seconds; None for none.
        client: Who asks, as far as it is known; clients share a model.
        segmentation: How each text is cut into what the model translates as one sequence.
        format: What the texts are written in.
        prefixes: Of each text the tokens that its translation begins with; empty if none has any.
        part_of: The number of a call that goes on, below 0, where these texts are only some of its: they wait
            for room in the queue; None where they are all of a call.
        then: What is done with the translations, its own texts left out, where the pair is translated through
            another language; None where they are what was asked for.
        glossaries: Of the terms that translations shall have, the first of those of equal words.
    """

    model: ServedModel
    pair: tuple[str, str]
    texts: Sequence[str]
    options: SearchOptions
    deadline: float | None = None
    client: str = ""
    priority: Priority = Priority.INTERACTIVE
    segmentation: Segmentation = Segmentation.SENTENCES
    format: Format = Format.PLAIN
    prefixes: Sequence[tuple[int, ...]] = ()
    part_of: int | None = None
    then: TranslationRequest | None = None
    glossaries: Sequence[Glossary] = ()
