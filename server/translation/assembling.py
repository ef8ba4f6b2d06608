"""From the hypotheses of a text's segments to the translation of the text, and what is to be warned of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from model.scoring.length_penalty import length_penalty
from model.text.tokenizer import Tokenizer
from server.documents.document import Document, Segment, is_unspaced, utf8_ranges
from server.documents.form import in_form
from server.documents.glossary import Occurrence
from server.documents.guards import suspicions
from server.documents.invisible import trimmed, visible
from server.documents.markup.skeleton import Skeleton
from server.documents.markup.tokens import Range
from server.documents.markup.words import Weights
from server.documents.protected import damage, has_protected, lost
from server.documents.repair import repaired
from server.documents.terms import lacking, with_terms
from server.documents.warnings import TextWarning, WarningReason
from server.engine.sequence import Hypothesis, StopReason
from server.translation.alignment import word_weights
from server.translation.coverage import unattended
from server.translation.detokenizing import certain_text, texts_of
from server.translation.marking import special_pieces
from server.translation.results import TranslatedHypothesis, TranslatedSegment, Translation, UsedTerm
from server.work.options import SearchOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentResult:
    """What the model made of one segment.

    Args:
        hypotheses: At least one, the best first; with its source's markup.
        num_source_tokens: Special ones included.
        text: Of the best one, without markup.
        inner: Where in the best one segments within this one are, by where they begin in the source.
        warnings: Of its markup.
        terms: Of glossaries, in its source.
        lacking: Those of them that the best one has not.
        unattended: What of the source the model hardly looked at, where it tells.
    """

    hypotheses: list[TranslatedHypothesis]
    num_source_tokens: int
    text: str
    inner: Mapping[int, Range] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    terms: Sequence[Occurrence] = ()
    lacking: Sequence[Occurrence] = ()
    unattended: str = ""

    def without_attention(self) -> SegmentResult:
        """The same for a client that did not ask for it."""
        return replace(self, hypotheses=[replace(h, attention=None) for h in self.hypotheses])


def kept_first(
    source: str, hypotheses: Sequence[TranslatedHypothesis], terms: Sequence[Occurrence] = ()
) -> list[TranslatedHypothesis]:
    """Hypotheses, first those that keep most of what must stay, and of these those that have most terms.

    Of equals the better one is first.
    """
    return sorted(hypotheses, key=lambda h: (damage(source, h.text), len(lacking(terms, h.text))))


def segment_result(
    segment: Segment,
    source: list[int],
    hypotheses: Sequence[Hypothesis] | None,
    tokenizer: Tokenizer,
    pair: tuple[str, str],
    options: SearchOptions,
    *,
    inner: Mapping[Range, str],
    is_mended: bool,
) -> SegmentResult:
    """As many of a segment's hypotheses as the options ask for, as text.

    Args:
        hypotheses: All that the engine has, the best first; None where it was not asked.
        inner: What is written for segments within this one, by their places in the text.
        is_mended: Whether what must stay is put back, and they end, and are in capitals, as the source does.
    """
    terms = segment.terms
    if hypotheses is None:
        nothing = [certain_text("", options)]
        return SegmentResult(hypotheses=nothing, num_source_tokens=0, text="", terms=terms, lacking=terms)
    # Those beyond are only for terms and what must stay as it is: they are made text where there are any.
    is_choosy = bool(terms) or has_protected(segment.text)
    needed = hypotheses if is_choosy else hypotheses[: options.num_hypotheses]
    texts = texts_of(source, needed, tokenizer, options)
    if len(texts) > 1:
        texts = kept_first(segment.text, texts, terms)[: options.num_hypotheses]
    if is_mended:
        texts = [_mended(segment.text, hypothesis, pair) for hypothesis in texts]
    weights = _weights_of(segment, texts, tokenizer, pair)
    best = weights[0]
    missed = "" if best is None or is_unspaced(pair[0]) else unattended(segment.text, best)
    for i, (hypothesis, words) in enumerate(zip(texts, weights, strict=True)):
        if words is not None and lacking(terms, hypothesis.text):
            text, weights[i] = with_terms(terms, segment.text, hypothesis.text, words)
            texts[i] = replace(hypothesis, text=text)
    result = SegmentResult(
        hypotheses=texts,
        num_source_tokens=len(source),
        text=texts[0].text,
        terms=terms,
        lacking=lacking(terms, texts[0].text),
        unattended=missed,
    )
    return result if segment.skeleton is None else _marked(segment.skeleton, result, weights, inner)


def _weights_of(
    segment: Segment,
    texts: Sequence[TranslatedHypothesis],
    tokenizer: Tokenizer,
    pair: tuple[str, str],
) -> list[Weights | None]:
    """How much words look at those of the source: in the best hypothesis, and where tags or terms need it."""
    if texts[0].attention is None:
        return [None] * len(texts)
    has_marks = segment.skeleton is not None and bool(segment.skeleton.marks)
    special = special_pieces(tokenizer, pair)
    return [
        word_weights(hypothesis.attention, segment.text, hypothesis.text, special)
        if hypothesis.attention is not None
        and (i == 0 or has_marks or lacking(segment.terms, hypothesis.text))
        else None
        for i, hypothesis in enumerate(texts)
    ]


def _marked(
    skeleton: Skeleton, result: SegmentResult, weights: Sequence[Weights | None], inner: Mapping[Range, str]
) -> SegmentResult:
    """The same with the markup of its source."""
    filled = [skeleton.filled(h.text, w, inner) for h, w in zip(result.hypotheses, weights, strict=True)]
    is_guessed = any(not mark.stand_in for mark in skeleton.marks) and weights[0] is None
    return replace(
        result,
        hypotheses=[replace(h, text=form.text) for h, form in zip(result.hypotheses, filled, strict=True)],
        inner=filled[0].inner,
        warnings=[*filled[0].moved, *([""] if is_guessed else [])],
    )


def _word_weights(
    source: str, hypothesis: TranslatedHypothesis, tokenizer: Tokenizer, pair: tuple[str, str]
) -> Weights | None:
    """How much words look at words, where the model tells."""
    if hypothesis.attention is None:
        return None
    return word_weights(hypothesis.attention, source, hypothesis.text, special_pieces(tokenizer, pair))


def _mended(source: str, hypothesis: TranslatedHypothesis, pair: tuple[str, str]) -> TranslatedHypothesis:
    text = in_form(source, repaired(source, hypothesis.text), pair)
    return hypothesis if text == hypothesis.text else replace(hypothesis, text=text)


def untranslated(document: Document, options: SearchOptions) -> Translation:
    """What a text without anything to translate gets: nothing, or itself if there is something to see."""
    start, end = trimmed(document.text, 0, len(document.text))
    is_blank = document.segments or not visible(document.text[start:end])
    text = "" if is_blank else document.text
    return Translation(
        hypotheses=[certain_text(text, options)], num_source_tokens=0, warnings=document.warnings
    )


def assembled(
    document: Document, results: Sequence[SegmentResult], pair: tuple[str, str], options: SearchOptions
) -> Translation:
    """The translation of a text from that of its segments, of which there is at least one."""
    together = list(zip(document.segments, results, strict=True))
    targets = [result.hypotheses[0].text for segment, result in together if not segment.is_inner]
    text, ranges = document.joined(targets, pair)
    places = _in_utf8(text, _with_inner(together, ranges))
    if len(results) == 1:
        before, after = document.text[: document.segments[0].start], document.text[document.segments[0].end :]
        hypotheses = results[0].hypotheses
        if before or after:
            hypotheses = [replace(h, text=f"{before}{h.text}{after}") for h in hypotheses]
    else:
        hypotheses = [_whole(text, [result.hypotheses[0] for result in results], options)]
    sources = utf8_ranges(document.text, [(segment.start, segment.end) for segment in document.segments])
    return Translation(
        hypotheses=hypotheses,
        num_source_tokens=sum(result.num_source_tokens for result in results),
        segments=[
            TranslatedSegment(
                source=source,
                target=target,
                hypotheses=result.hypotheses,
                num_source_tokens=result.num_source_tokens,
            )
            for source, target, result in zip(sources, places, results, strict=True)
        ],
        warnings=[*document.warnings, *_warnings(document.segments, results, pair)],
        terms=_used_terms(results),
    )


def _used_terms(results: Sequence[SegmentResult]) -> list[UsedTerm]:
    """Each term of a text once, and whether its translation has it throughout."""
    is_met: dict[tuple[str, str], bool] = {}
    for result in results:
        for found in result.terms:
            key = (found.term.source, found.target)
            is_met[key] = is_met.get(key, True) and found not in result.lacking
    return [UsedTerm(source=source, target=target, is_met=met) for (source, target), met in is_met.items()]


def _with_inner(together: Sequence[tuple[Segment, SegmentResult]], outer: Sequence[Range]) -> list[Range]:
    """Where in a translation all segments are, from where those are that are not within another."""
    ranges, places = [], iter(outer)
    place, inner = (0, 0), dict[int, Range]()
    for segment, result in together:
        if segment.is_inner:
            start, end = inner[segment.start]
            ranges.append((place[0] + start, place[0] + end))
        else:
            place, inner = next(places), dict(result.inner)
            ranges.append(place)
    return ranges


def _in_utf8(text: str, ranges: Sequence[Range]) -> list[Range]:
    """Ranges in any order, in bytes."""
    in_order = sorted(ranges)
    places = dict(zip(in_order, utf8_ranges(text, in_order), strict=True))
    return [places[place] for place in ranges]


def _whole(text: str, best: Sequence[TranslatedHypothesis], options: SearchOptions) -> TranslatedHypothesis:
    """One hypothesis of several segments' best: its probability is the product of theirs."""
    num_tokens = sum(hypothesis.num_target_tokens for hypothesis in best)
    log_probs = [hypothesis.log_prob for hypothesis in best if hypothesis.log_prob is not None]
    log_prob = sum(log_probs) if len(log_probs) == len(best) else None
    penalty = length_penalty(num_tokens, options.length_penalty, options.penalty_kind)
    score = None if log_prob is None else log_prob / penalty
    is_cut = any(hypothesis.stop_reason is StopReason.LENGTH for hypothesis in best)
    return TranslatedHypothesis(
        text=text,
        score=score,
        log_prob=log_prob,
        stop_reason=StopReason.LENGTH if is_cut else StopReason.END,
        num_target_tokens=num_tokens,
    )


def _warnings(
    segments: Sequence[Segment], results: Sequence[SegmentResult], pair: tuple[str, str]
) -> Iterator[TextWarning]:
    for number, (segment, result) in enumerate(zip(segments, results, strict=True)):
        best = result.hypotheses[0]
        placeholders, numbers = lost(segment.text, result.text)
        stand_ins = segment.skeleton.stand_ins if segment.skeleton else ()
        for text in (text for text in placeholders if text not in stand_ins):
            yield TextWarning(reason=WarningReason.PLACEHOLDER, segment=number, text=text)
        for text in numbers:
            yield TextWarning(reason=WarningReason.NUMBER, segment=number, text=text)
        lengths = result.num_source_tokens, best.num_target_tokens
        for reason in suspicions(segment.text, result.text, *lengths, pair):
            yield TextWarning(reason=reason, segment=number)
        if result.unattended:
            yield TextWarning(reason=WarningReason.NOT_COVERED, segment=number, text=result.unattended)
        for text in result.warnings:
            yield TextWarning(reason=WarningReason.MARKUP, segment=number, text=text)
        for term in dict.fromkeys(found.term.source for found in result.lacking):
            yield TextWarning(reason=WarningReason.GLOSSARY, segment=number, text=term)
