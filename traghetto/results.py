"""What comes back: translations with their hypotheses, errors of single texts, and models."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import grpc


class StopReason(StrEnum):
    """Why a hypothesis ended."""

    UNSPECIFIED = "unspecified"  # a reason newer than this client
    END_OF_SENTENCE = "end_of_sentence"  # the translation is whole
    MAX_TARGET_TOKENS = "max_target_tokens"  # it is cut short
    EMPTY_SOURCE = "empty_source"  # there was nothing to translate
    COPIED = "copied"  # there was nothing to translate, and something to see: it came out as it went in


class WarningReason(StrEnum):
    """What a warning is about."""

    UNSPECIFIED = "unspecified"  # a reason newer than this client
    SENTENCE_SPLIT = "sentence_split"  # longer than the model takes, and translated in parts
    UNTRANSLATED = "untranslated"  # one word longer than the model takes, and copied
    INVISIBLE_CHARACTERS = "invisible_characters"  # they were kept from the model
    PLACEHOLDER = "placeholder"  # a placeholder, URL, tag or hashtag is not as often in it as in the source
    NUMBER = "number"  # likewise a number
    REPETITION = "repetition"  # the model repeats itself
    TOO_LONG = "too_long"  # far longer than the source
    TOO_SHORT = "too_short"  # far shorter than the source
    SOURCE_COPIED = "source_copied"  # nearly all words are the source's
    WRONG_SCRIPT = "wrong_script"  # most letters are none of the target language's
    NOT_COVERED = "not_covered"  # words of the source that the model hardly looked at
    MARKUP = "markup"  # tags or code stand where they are likely to belong, or the text is no XML
    GLOSSARY = "glossary"  # a term of a glossary is not in it


@dataclass(frozen=True, kw_only=True)
class ModelReference:
    """The exact model behind a translation.

    Args:
        sha256: Digest of its artifact.
    """

    name: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Attention:
    """How much of each source token the model took into account for each target token.

    Args:
        source_tokens: (S,) pieces as the vocabulary spells them, special tokens included.
        target_tokens: (T,) pieces.
        layer: The decoder layer, from 0.
        heads: Those whose mean this is, from 0, ascending.
        weights: (T, S), from 0 to 1; each row sums to 1.
    """

    source_tokens: tuple[str, ...]
    target_tokens: tuple[str, ...]
    layer: int
    heads: tuple[int, ...]
    weights: tuple[tuple[float, ...], ...] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Hypothesis:
    """One candidate translation of a text.

    Args:
        score: log_prob / ((5 + target_tokens) / 6)^length_penalty, of some imported models
            log_prob / target_tokens^length_penalty; None with `skip_scores`.
        log_prob: Natural logarithm of the probability of all target tokens; None with `skip_scores`.
        target_tokens: Tokens that the decoder produced, the end of sentence included.
        attention: None unless asked for, and for a text without anything to translate.
    """

    text: str
    score: float | None
    log_prob: float | None
    stop_reason: StopReason
    target_tokens: int
    attention: Attention | None = None


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A piece of a text that was translated as one sequence.

    Args:
        source, target: Where it begins and ends in the text and in its translation, in bytes of UTF-8:
            `text.encode()[slice(*segment.source)].decode()`.
        score, log_prob, stop_reason, target_tokens: Of its best hypothesis.
        source_tokens: Tokens of it as the encoder reads it.
        hypotheses: The best first; only where the text has several segments, and several hypotheses or their
            attention were asked for.
        mean_token_probability: As `Translation` has it.
    """

    source: tuple[int, int]
    target: tuple[int, int]
    score: float | None
    log_prob: float | None
    stop_reason: StopReason
    source_tokens: int
    target_tokens: int
    hypotheses: tuple[Hypothesis, ...] = ()
    mean_token_probability: float | None = None


@dataclass(frozen=True, kw_only=True)
class TextWarning:
    """Something that a translation could not keep, or that looks wrong in it.

    Args:
        segment: Place of the segment it is about, from 0; None where it is about none.
        text: The piece of text in question, at most 64 characters; empty for none.
    """

    reason: WarningReason
    segment: int | None = None
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class DetectedLanguage:
    """The language that a text was found to be in.

    Args:
        language: As the model spells it.
        confidence: Its share of the probability of all languages that were possible, from 0.6 to 1.
    """

    language: str
    confidence: float


@dataclass(frozen=True, kw_only=True)
class UsedTerm:
    """A term of a glossary that a text has.

    Args:
        source: As the glossary has it.
        target: What the translation is to say.
        met: Whether it says that as often as the text has the term.
    """

    source: str
    target: str
    met: bool


@dataclass(frozen=True, kw_only=True)
class LanguagePair:
    """A direction of translation, in BCP-47 tags."""

    source_language: str
    target_language: str


@dataclass(frozen=True, kw_only=True)
class ServedLanguagePair(LanguagePair):
    """A direction of translation that a server offers.

    Args:
        models: The names of the models that serve it, the default first; with a pivot language of the two
            that translate one after the other.
        pivot_language: Through which it is translated, where no model serves it; empty for none.
    """

    models: tuple[str, ...]
    pivot_language: str = ""


@dataclass(frozen=True, kw_only=True)
class Translation:
    """The translation of one text.

    Args:
        text: That of the best hypothesis.
        hypotheses: The best first; at least one. Of a text of several segments one, made of their best.
        stop_reason: Why the best hypothesis ended.
        source_tokens: Tokens of the source as the encoder reads it.
        target_tokens: Tokens of the best hypothesis.
        model: What made it.
        language_pair: What it was translated between, as the model spells it: "en" where "en-US" was asked
            for. None from a server that is older than this client.
        segments: The pieces that were translated, in order; none if there was nothing to translate.
        warnings: What it could not keep, and what looks wrong in it, as far as a program can see.
        detected_language: Where the source language was "auto", and the text has letters.
        first_model: Where it was translated through another language: what made the text between.
        pivot_language: That language; empty for none.
        glossary_terms: Those that the text has, each once, in order of their first places.
        mean_token_probability: The geometric mean, of the best hypothesis, from 0 to 1: how sure the model
            is, to rank translations by. None where no model was run, and with skipped scores.
    """

    text: str
    hypotheses: tuple[Hypothesis, ...]
    stop_reason: StopReason
    source_tokens: int
    target_tokens: int
    model: ModelReference
    language_pair: LanguagePair | None = None
    segments: tuple[Segment, ...] = ()
    warnings: tuple[TextWarning, ...] = ()
    detected_language: DetectedLanguage | None = None
    first_model: ModelReference | None = None
    pivot_language: str = ""
    glossary_terms: tuple[UsedTerm, ...] = ()
    mean_token_probability: float | None = None


@dataclass(frozen=True)
class TextError:
    """Why one text was not translated; the others of its call were.

    Args:
        code: INVALID_ARGUMENT for a text that is too long, with segmentation "none", or whose language is
            unsure, with source language "auto"; INTERNAL for a fault of the server.
        message: The value and its limit, or the likeliest languages.
    """

    code: grpc.StatusCode
    message: str


Result = Translation | TextError


@dataclass(frozen=True, kw_only=True)
class Score:
    """How probable a given translation is to a model.

    Args:
        log_prob: Natural logarithm of its probability: the sum of `log_probs`.
        tokens: It as the model reads it, the end of sentence last.
        log_probs: Of each token, behind those before it.
        source_tokens: Tokens of the source as the encoder reads it.
        model: Whose probability it is.
    """

    log_prob: float
    tokens: tuple[str, ...]
    log_probs: tuple[float, ...] = field(repr=False)
    source_tokens: int
    model: ModelReference


@dataclass(frozen=True, kw_only=True)
class AttentionLayers:
    """The attention over the source in a model's decoder.

    Args:
        default_layer: The one returned unless another is asked for, from 0.
    """

    num_layers: int
    num_heads: int
    default_layer: int


@dataclass(frozen=True, kw_only=True)
class ModelDescription:
    """A model that the server serves.

    Args:
        sha256: Digest of its artifact.
        precision: Number format of its weights, such as "int8".
        max_source_tokens: Longest segment that it takes.
        max_target_tokens: Upper limit of the option of that name.
        architecture: Family of the network, such as "transformer".
        attention: None if it returns none.
        loaded: Whether it is in memory; one that is not is loaded by the first call that needs it.
    """

    name: str
    sha256: str
    precision: str
    language_pairs: tuple[LanguagePair, ...]
    max_source_tokens: int
    max_target_tokens: int
    architecture: str
    attention: AttentionLayers | None
    loaded: bool = True
