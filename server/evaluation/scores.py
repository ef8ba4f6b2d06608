"""What is measured of one file of pairs in one direction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from model.evaluation.examples import Example, at_quartiles
from model.evaluation.lengths import by_length
from model.evaluation.quality import PiecesBleu, Quality, evaluate
from model.evaluation.significance import Comparison, compare
from server.evaluation.translating import Direction

Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class Translated:
    """A file of pairs, and what a model made of its sources.

    Args:
        name: Of the file.
        pairs: Source and reference of each sentence.
        texts: Its translation, None where it failed.
        faults: Why, by the number of the sentence in the file, from 1.
    """

    name: str
    direction: Direction
    pairs: Pairs
    texts: Sequence[str | None]
    faults: Mapping[int, str]


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Of a file in one direction, over the sentences that have a translation.

    Args:
        lengths: Number of sentences and quality by the source's length in words.
        examples: At the quartiles of the sentences' chrF.
        comparisons: By BLEU and chrF, over what a baseline has translated too; empty without one.
    """

    num_sentences: int
    quality: Quality
    lengths: Mapping[str, tuple[int, Quality]]
    examples: Sequence[Example]
    comparisons: Mapping[str, Comparison]


def score(
    translated: Translated, baseline: Translated | None = None, pieces: PiecesBleu | None = None
) -> Scores | None:
    """The scores of translations, beside those of a baseline for the same file; None if all failed."""
    scored = [
        (source, text, reference)
        for (source, reference), text in zip(translated.pairs, translated.texts, strict=True)
        if text is not None
    ]
    if not scored:
        return None
    sources, texts, references = (list(column) for column in zip(*scored, strict=True))
    lengths = {}
    for name, indices in by_length(sources).items():
        quality = evaluate([texts[i] for i in indices], [references[i] for i in indices])
        lengths[name] = (len(indices), quality)
    return Scores(
        num_sentences=len(scored),
        quality=evaluate(texts, references, pieces),
        lengths=lengths,
        examples=at_quartiles(sources, texts, references),
        comparisons=_comparisons(translated, baseline) if baseline else {},
    )


def _comparisons(translated: Translated, baseline: Translated) -> Mapping[str, Comparison]:
    both = [
        (text, other, reference)
        for text, other, (_, reference) in zip(
            translated.texts, baseline.texts, translated.pairs, strict=True
        )
        if text is not None and other is not None
    ]
    if not both:
        return {}
    texts, others, references = (list(column) for column in zip(*both, strict=True))
    return compare(texts, others, references)
