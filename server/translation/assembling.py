"""From the hypotheses of a text's segments to the translation of the text, and what is to be warned of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from model.scoring.length_penalty import length_penalty
from model.text.tokenizer import Tokenizer
from server.documents.document import Document, Segment, utf8_ranges
from server.documents.form import in_form
from server.documents.guards import suspicions
from server.documents.invisible import trimmed, visible
from server.documents.protected import damage, has_protected, lost
from server.documents.warnings import TextWarning, WarningReason
from server.engine.sequence import Hypothesis, StopReason
from server.translation.detokenizing import certain_text, texts_of
from server.translation.results import TranslatedHypothesis, TranslatedSegment, Translation
from server.work.options import SearchOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentResult:
    """What the model made of one segment.

    Args:
        hypotheses: At least one, the best first.
        num_source_tokens: Special ones included.
    """

    hypotheses: list[TranslatedHypothesis]
    num_source_tokens: int


def kept_first(source: str, hypotheses: Sequence[TranslatedHypothesis]) -> list[TranslatedHypothesis]:
    """Hypotheses, first those that keep most of what must stay; of equals the better one is first."""
    return sorted(hypotheses, key=lambda hypothesis: damage(source, hypothesis.text))


def segment_result(
    segment: Segment,
    source: list[int],
    hypotheses: Sequence[Hypothesis] | None,
    tokenizer: Tokenizer,
    pair: tuple[str, str],
    options: SearchOptions,
) -> SegmentResult:
    """As many of a segment's hypotheses as the options ask for, as text in the form of their source.

    Args:
        hypotheses: All that the engine has, the best first; None where it was not asked.
    """
    if hypotheses is None:
        return SegmentResult(hypotheses=[certain_text("", options)], num_source_tokens=0)
    # Those beyond are only for what must stay as it is: they are made text where there is any.
    needed = hypotheses if has_protected(segment.text) else hypotheses[: options.num_hypotheses]
    texts = texts_of(source, needed, tokenizer, options)
    if len(texts) > 1:
        texts = kept_first(segment.text, texts)[: options.num_hypotheses]
    texts = [_in_form(segment.text, hypothesis, pair) for hypothesis in texts]
    return SegmentResult(hypotheses=texts, num_source_tokens=len(source))


def _in_form(source: str, hypothesis: TranslatedHypothesis, pair: tuple[str, str]) -> TranslatedHypothesis:
    text = in_form(source, hypothesis.text, pair)
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
    text, ranges = document.joined([result.hypotheses[0].text for result in results], pair)
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
            for source, target, result in zip(sources, utf8_ranges(text, ranges), results, strict=True)
        ],
        warnings=[*document.warnings, *_warnings(document.segments, results)],
    )


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


def _warnings(segments: Sequence[Segment], results: Sequence[SegmentResult]) -> Iterator[TextWarning]:
    for number, (segment, result) in enumerate(zip(segments, results, strict=True)):
        best = result.hypotheses[0]
        placeholders, numbers = lost(segment.text, best.text)
        for text in placeholders:
            yield TextWarning(reason=WarningReason.PLACEHOLDER, segment=number, text=text)
        for text in numbers:
            yield TextWarning(reason=WarningReason.NUMBER, segment=number, text=text)
        for reason in suspicions(segment.text, best.text, result.num_source_tokens, best.num_target_tokens):
            yield TextWarning(reason=reason, segment=number)
