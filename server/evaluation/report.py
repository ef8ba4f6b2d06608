"""Scores as lines to read on a terminal, and as tables for a model's card."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from model.evaluation.quality import Quality
from server.evaluation.carried_over import CarriedOver
from server.evaluation.scores import Scores, Translated

_BEGIN, _END = "<!-- scores -->", "<!-- end of the scores -->"


class CardError(ValueError):
    """A card has no place for the scores."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A file in one direction with its scores; None if no sentence has one."""

    translated: Translated
    scores: Scores | None

    @property
    def title(self) -> str:
        """The file and the direction."""
        return f"{self.translated.name} {self.translated.direction}"

    @property
    def test_set(self) -> str:
        """The file's name without its endings."""
        return self.translated.name.split(".tsv")[0]


def lines(row: Row, beam_size: int, seconds: float) -> Iterator[str]:
    """One file in one direction, for the terminal."""
    if row.scores is None:
        yield f"{row.title}: no sentence is translated"
    else:
        num = row.scores.num_sentences
        quality = row.scores.quality
        yield f"{row.title}: {_both(quality)} ({num} sentences, beam {beam_size}, {seconds:.0f} s)"
        yield f"  BLEU|{quality.bleu_signature}"
        yield f"  chrF|{quality.chrf_signature}"
        if quality.spbleu is not None:
            yield f"  spBLEU {quality.spbleu:.2f}"
            yield f"  spBLEU|{quality.spbleu_signature}"
        for length, (count, part) in row.scores.lengths.items():
            yield f"  {length} words: {_both(part)} ({count} sentences)"
        for name, compared in row.scores.comparisons.items():
            chance = f"p = {compared.p_value:.3f}"
            yield f"  {name} {compared.score:.2f}, baseline {compared.baseline:.2f} ({chance})"
        for example in row.scores.examples:
            yield f"  {example.percentile} % are below chrF {example.chrf:.0f}: {example.source}"
            yield f"    translation: {example.hypothesis}"
            yield f"    reference:   {example.reference}"
    for number, fault in row.translated.faults.items():
        yield f"  line {number} is not scored: {fault}"


def carried_over_lines(carried: CarriedOver) -> Iterator[str]:
    """Pass rates, for the terminal."""
    yield f"carried over intact ({carried.num_cases} texts):"
    yield from (f"  {kind}: {rate:.1%}" for kind, rate in carried.rates.items())


def tables(
    rows: Sequence[Row], carried: CarriedOver | None, beam_size: int, picture: str | None = None
) -> str:
    """The scores in Markdown.

    Args:
        picture: A file beside the card that shows them, if there is one.
    """
    scored = [(row, row.scores) for row in rows if row.scores is not None]
    parts = [f"Through the served artifact, beam {beam_size}:", _qualities(scored)]
    parts += ["BLEU by the words of the source (number of sentences):", _lengths(scored)]
    if any(scores.comparisons for _, scores in scored):
        parts += ["BLEU beside the model before it (paired bootstrap):", _comparisons(scored)]
    if carried:
        parts += [f"Carried over intact, of {carried.num_cases} texts:", _kinds(carried)]
    if picture:
        parts.append(f"![BLEU by the words of the source, and what is carried over intact]({picture})")
    if scored:
        quality = scored[0][1].quality
        parts += [f"`BLEU|{quality.bleu_signature}`", f"`chrF|{quality.chrf_signature}`"]
        parts += [f"`spBLEU|{quality.spbleu_signature}`"] * (quality.spbleu is not None)
    return "\n\n".join(parts)


def _qualities(scored: Sequence[tuple[Row, Scores]]) -> str:
    body = []
    for row, scores in scored:
        quality = scores.quality
        values = (quality.bleu, quality.chrf, quality.spbleu)
        figures = [f"{value:.2f}" for value in values if value is not None]
        body.append((*_place(row), *figures, scores.num_sentences, len(row.translated.faults)))
    has_spbleu = any(scores.quality.spbleu is not None for _, scores in scored)
    names = ("BLEU", "chrF", "spBLEU")[: 3 if has_spbleu else 2]
    return _table(("test set", "direction", *names, "sentences", "not scored"), body)


def _lengths(scored: Sequence[tuple[Row, Scores]]) -> str:
    names = dict.fromkeys(name for _, scores in scored for name in scores.lengths)
    body = [(*_place(row), *(_length(scores, name) for name in names)) for row, scores in scored]
    return _table(("test set", "direction", *names), body)


def _length(scores: Scores, name: str) -> str:
    if name not in scores.lengths:
        return ""
    count, quality = scores.lengths[name]
    return f"{quality.bleu:.1f} ({count})"


def _comparisons(scored: Sequence[tuple[Row, Scores]]) -> str:
    body = []
    for row, scores in scored:
        if compared := scores.comparisons.get("BLEU"):
            figures = (f"{compared.baseline:.2f}", f"{compared.score:.2f}", f"{compared.p_value:.3f}")
            body.append((*_place(row), *figures))
    return _table(("test set", "direction", "before", "now", "p"), body)


def _kinds(carried: CarriedOver) -> str:
    return _table(
        ("kind", "share"), [(kind.replace("_", " "), f"{rate:.0%}") for kind, rate in carried.rates.items()]
    )


def into_card(card: str, scores: str) -> str:
    """A card with its scores replaced by others: what stands between two lines of comment.

    Raises:
        CardError: it has not both lines.
    """
    head, begin, rest = card.partition(_BEGIN)
    _, end, tail = rest.partition(_END)
    if not begin or not end:
        raise CardError(f"has no place for the scores: two lines, {_BEGIN} and {_END}")
    return f"{head}{begin}\n\n{scores}\n\n{end}{tail}"


def _both(quality: Quality) -> str:
    return f"BLEU {quality.bleu:.2f} chrF {quality.chrf:.2f}"


def _place(row: Row) -> tuple[str, str]:
    return row.test_set, str(row.translated.direction)


def _table(titles: Sequence[str], body: Iterable[Sequence[object]]) -> str:
    rows = [titles, ["---"] * len(titles), *body]
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in rows)
