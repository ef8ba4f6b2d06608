"""From the engine's hypotheses, which are token ids, to text."""

from __future__ import annotations

from collections.abc import Sequence

from model.text.tokenizer import Tokenizer
from server.engine.sequence import AttentionChoice, Hypothesis
from server.translation.results import Attention, TranslatedHypothesis
from server.work.options import SearchOptions


def texts_of(
    source: list[int], hypotheses: Sequence[Hypothesis], tokenizer: Tokenizer, options: SearchOptions
) -> list[TranslatedHypothesis]:
    """A source's hypotheses as text."""
    return [_as_text(hypothesis, source, tokenizer, options) for hypothesis in hypotheses]


def certain_text(text: str, options: SearchOptions) -> TranslatedHypothesis:
    """What becomes of that without anything to translate: as sure as can be, and no model was run."""
    certain = 0.0 if options.with_scores else None  # the logarithm of 1
    return TranslatedHypothesis(
        text=text, score=certain, log_prob=certain, stop_reason=None, num_target_tokens=0
    )


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
        token_log_probs=hypothesis.token_log_probs,
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
