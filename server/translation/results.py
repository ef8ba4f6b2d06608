"""What became of a call's texts: translations as text with their figures, or the errors of single texts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from server.documents.warnings import TextWarning
from server.engine.sequence import StopReason
from server.errors import RequestError
from server.models.served_model import ServedModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """The source that each target token was predicted from.

    Args:
        source_tokens: S pieces, as the vocabulary spells them, special ones included.
        target_tokens: T pieces.
        layer: Of the decoder, from 0.
        heads: Those whose mean the weights are, from 0, ascending.
        weights: (T, S), from 0 to 1; each row sums to 1.
    """

    source_tokens: list[str]
    target_tokens: list[str]
    layer: int
    heads: tuple[int, ...]
    weights: NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class TranslatedHypothesis:
    """One candidate translation of a text.

    Args:
        score, log_prob: As the engine's `Hypothesis` has them; None where scores are skipped.
        stop_reason: Why it ended; None if there was nothing to translate: its text is empty, or the source.
        num_target_tokens: End of sentence included.
        attention: Where it was asked for and a model was run.
        token_log_probs: Of each token, as the engine's `Hypothesis` has them.
    """

    text: str
    score: float | None
    log_prob: float | None
    stop_reason: StopReason | None
    num_target_tokens: int
    attention: Attention | None = None
    token_log_probs: tuple[float, ...] | None = None

    @property
    def mean_token_probability(self) -> float | None:
        """The geometric mean of its tokens' probabilities; None where scores are skipped, or no model ran."""
        if self.log_prob is None or not self.num_target_tokens:
            return None
        return math.exp(self.log_prob / self.num_target_tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class TranslatedSegment:
    """A piece of a text that was translated as one sequence.

    Args:
        source, target: Where it begins and ends in the text and in its translation, in bytes of UTF-8.
        hypotheses: At least one, the best first.
        num_source_tokens: Special ones included; 0 if there was nothing to translate.
    """

    source: tuple[int, int]
    target: tuple[int, int]
    hypotheses: list[TranslatedHypothesis]
    num_source_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedTerm:
    """A term of a glossary that a text has.

    Args:
        source: As the glossary has it.
        target: What the translation is to say.
        is_met: Whether it says that as often as the text has the term.
    """

    source: str
    target: str
    is_met: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation:
    """The translation of one text.

    Args:
        hypotheses: At least one, the best first; of several segments one, made of the best of each.
        num_source_tokens: Special ones included, of all segments; 0 if there was nothing to translate.
        segments: In order; none where there was nothing to translate.
        warnings: What the translation could not keep, and what looks wrong in it.
        terms: Of glossaries, that the text has, in order of their first places.
    """

    hypotheses: list[TranslatedHypothesis]
    num_source_tokens: int
    segments: Sequence[TranslatedSegment] = ()
    warnings: Sequence[TextWarning] = ()
    terms: Sequence[UsedTerm] = ()

    @property
    def best(self) -> TranslatedHypothesis:
        """The hypothesis of the highest score."""
        return self.hypotheses[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Translations:
    """What a call gets.

    Args:
        items: For each text, in order, its translation or why there is none.
        model: The one that made them.
        pair: The languages that it was asked for, as it spells them.
        first_model: The one that translated into a language between, where the pair was translated so.
        pivot: That language; empty for none.
    """

    items: list[Translation | RequestError]
    model: ServedModel
    pair: tuple[str, str]
    first_model: ServedModel | None = None
    pivot: str = ""
