"""From the engine's hypotheses, which are token ids, to text."""

from __future__ import annotations

from model.text.tokenizer import Tokenizer
from server.engine.sequence import AttentionChoice, Hypothesis
from server.translation.results import Attention, TranslatedHypothesis, Translation
from server.work.options import SearchOptions


def translation_of(
    source: list[int], hypotheses: tuple[Hypothesis, ...], tokenizer: Tokenizer, options: SearchOptions
) -> Translation:
    """As many of a source's hypotheses as the options ask for, as text."""
    return Translation(
        hypotheses=[
            _as_text(hypothesis, source, tokenizer, options)
            for hypothesis in hypotheses[: options.num_hypotheses]
        ],
        num_source_tokens=len(source),
    )


def empty_translation(options: SearchOptions) -> Translation:
    """What a text without anything to translate gets: an empty text, as sure as can be."""
    certain = 0.0 if options.with_scores else None  # the logarithm of 1
    hypothesis = TranslatedHypothesis(
        text="", score=certain, log_prob=certain, stop_reason=None, num_target_tokens=0
    )
    return Translation(hypotheses=[hypothesis], num_source_tokens=0)


def _as_text(
    hypothesis: Hypothesis, source: list[int], tokenizer: Tokenizer, options: SearchOptions
) -> TranslatedHypothesis:
    choice = options.attention
    return TranslatedHypothesis(
        text=tokenizer.detokenize(hypothesis.token_ids),
        score=hypothesis.score if options.with_scores else None,
        log_prob=hypothesis.log_prob if options.with_scores else None,
        stop_reason=hypothesis.stop_reason,
        num_target_tokens=len(hypothesis.token_ids),
        attention=None if choice is None else _attention(hypothesis, source, tokenizer, choice),
    )


def _attention(
    hypothesis: Hypothesis, source: list[int], tokenizer: Tokenizer, choice: AttentionChoice
) -> Attention:
    assert hypothesis.attention is not None, "the engine gives what a job asks for"
    return Attention(
        source_tokens=[tokenizer.source_piece(token) for token in source],
        target_tokens=[tokenizer.piece(token) for token in hypothesis.token_ids],
        layer=choice.layer,
        heads=choice.heads,
        weights=hypothesis.attention,
    )
