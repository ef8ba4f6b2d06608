"""Answers of the contract as results; knows no network."""

from __future__ import annotations

import grpc

from traghetto.pb.translation.v1 import translation_pb2 as pb
from traghetto.results import (
    Attention,
    AttentionLayers,
    DetectedLanguage,
    Hypothesis,
    LanguagePair,
    ModelDescription,
    ModelReference,
    Result,
    Score,
    Segment,
    ServedLanguagePair,
    StopReason,
    TextError,
    TextWarning,
    Translation,
    UsedTerm,
    WarningReason,
)

_STATUS_CODES = {code.value[0]: code for code in grpc.StatusCode}
_STOP_REASONS: dict[int, StopReason] = {
    pb.STOP_REASON_END_OF_SENTENCE: StopReason.END_OF_SENTENCE,
    pb.STOP_REASON_MAX_TARGET_TOKENS: StopReason.MAX_TARGET_TOKENS,
    pb.STOP_REASON_EMPTY_SOURCE: StopReason.EMPTY_SOURCE,
    pb.STOP_REASON_COPIED: StopReason.COPIED,
}
_WARNING_REASONS: dict[int, WarningReason] = {
    pb.WarningReason.Value(f"WARNING_REASON_{reason.name}"): reason for reason in WarningReason
}


def results_of(response: pb.TranslateResponse) -> list[Result]:
    """The result of each text of a call, in order."""
    return [_result_of(item, response) for item in response.items]


def scores_of(response: pb.ScoreResponse) -> list[Score | TextError]:
    """The score of each text's translation, in order."""
    model = ModelReference(name=response.model.name, sha256=response.model.sha256)
    return [_score_of(item, model) for item in response.items]


def _score_of(item: pb.ScoreItem, model: ModelReference) -> Score | TextError:
    if item.WhichOneof("result") != "score":
        return _error_of(item)
    return Score(
        log_prob=item.score.log_prob,
        tokens=tuple(item.score.tokens),
        log_probs=tuple(item.score.log_probs),
        source_tokens=item.score.source_tokens,
        model=model,
    )


def model_of(model: pb.Model) -> ModelDescription:
    """The description of a model that the server serves."""
    layers = model.attention
    return ModelDescription(
        name=model.name,
        sha256=model.sha256,
        precision=model.precision,
        language_pairs=tuple(_pair_of(pair) for pair in model.language_pairs),
        max_source_tokens=model.max_source_tokens,
        max_target_tokens=model.max_target_tokens,
        architecture=model.architecture,
        attention=AttentionLayers(
            num_layers=layers.num_layers, num_heads=layers.num_heads, default_layer=layers.default_layer
        )
        if model.HasField("attention")
        else None,
        loaded=model.loaded if model.HasField("loaded") else True,  # as of older servers all are
    )


def served_pair_of(pair: pb.ServedLanguagePair) -> ServedLanguagePair:
    """A language pair that the server offers."""
    return ServedLanguagePair(
        source_language=pair.source_language,
        target_language=pair.target_language,
        models=tuple(pair.models),
        pivot_language=pair.pivot_language,
    )


def _reference_of(model: pb.ModelReference) -> ModelReference:
    return ModelReference(name=model.name, sha256=model.sha256)


def _pair_of(pair: pb.LanguagePair) -> LanguagePair:
    return LanguagePair(source_language=pair.source_language, target_language=pair.target_language)


def _result_of(item: pb.TranslationItem, response: pb.TranslateResponse) -> Result:
    if item.WhichOneof("result") == "translation":
        return _translation_of(item.translation, response)
    return _error_of(item)


def _error_of(item: pb.TranslationItem | pb.ScoreItem) -> TextError:
    if item.WhichOneof("result") == "error":
        code = _STATUS_CODES.get(item.error.code, grpc.StatusCode.UNKNOWN)
        return TextError(code, item.error.message)
    return TextError(grpc.StatusCode.UNIMPLEMENTED, "the result is of a kind newer than this client")


def _translation_of(translation: pb.Translation, response: pb.TranslateResponse) -> Translation:
    # Of texts in several languages each has its own.
    route = translation if translation.HasField("model") else response
    found = translation.detected_language
    return Translation(
        text=translation.text,
        hypotheses=tuple(map(_hypothesis_of, translation.hypotheses)),
        stop_reason=_stop_reason_of(translation.stop_reason),
        source_tokens=translation.source_tokens,
        target_tokens=translation.target_tokens,
        model=_reference_of(route.model),
        language_pair=_pair_of(route.language_pair) if route.HasField("language_pair") else None,
        first_model=_reference_of(route.first_model) if route.HasField("first_model") else None,
        pivot_language=route.pivot_language,
        segments=tuple(map(_segment_of, translation.segments)),
        warnings=tuple(map(_warning_of, translation.warnings)),
        detected_language=DetectedLanguage(language=found.language, confidence=found.confidence)
        if translation.HasField("detected_language")
        else None,
        glossary_terms=tuple(
            UsedTerm(source=term.source, target=term.target, met=term.met)
            for term in translation.glossary_terms
        ),
        mean_token_probability=translation.mean_token_probability
        if translation.HasField("mean_token_probability")
        else None,
    )


def _segment_of(segment: pb.Segment) -> Segment:
    return Segment(
        source=(segment.source.start, segment.source.end),
        target=(segment.target.start, segment.target.end),
        score=segment.score if segment.HasField("score") else None,
        log_prob=segment.log_prob if segment.HasField("log_prob") else None,
        stop_reason=_stop_reason_of(segment.stop_reason),
        source_tokens=segment.source_tokens,
        target_tokens=segment.target_tokens,
        hypotheses=tuple(map(_hypothesis_of, segment.hypotheses)),
        mean_token_probability=segment.mean_token_probability
        if segment.HasField("mean_token_probability")
        else None,
    )


def _warning_of(warning: pb.Warning) -> TextWarning:
    return TextWarning(
        reason=_WARNING_REASONS.get(warning.reason, WarningReason.UNSPECIFIED),
        segment=warning.segment if warning.HasField("segment") else None,
        text=warning.text,
    )


def _hypothesis_of(hypothesis: pb.Hypothesis) -> Hypothesis:
    return Hypothesis(
        text=hypothesis.text,
        score=hypothesis.score if hypothesis.HasField("score") else None,
        log_prob=hypothesis.log_prob if hypothesis.HasField("log_prob") else None,
        stop_reason=_stop_reason_of(hypothesis.stop_reason),
        target_tokens=hypothesis.target_tokens,
        attention=_attention_of(hypothesis.attention) if hypothesis.HasField("attention") else None,
    )


def _attention_of(attention: pb.Attention) -> Attention:
    width = len(attention.source_tokens)
    return Attention(
        source_tokens=tuple(attention.source_tokens),
        target_tokens=tuple(attention.target_tokens),
        layer=attention.layer,
        heads=tuple(attention.heads),
        weights=tuple(
            tuple(attention.weights[row * width : (row + 1) * width])
            for row in range(len(attention.target_tokens))
        ),  # (T, S)
    )


def _stop_reason_of(stop_reason: int) -> StopReason:
    return _STOP_REASONS.get(stop_reason, StopReason.UNSPECIFIED)
