"""The answers' protobuf messages, made from results; knows no call and no metrics."""

from __future__ import annotations

from collections.abc import Iterable
from weakref import WeakKeyDictionary

from export.contract.manifest import AttentionInfo
from server.api.status import to_status
from server.documents.warnings import TextWarning, WarningReason
from server.engine.sequence import StopReason
from server.errors import RequestError
from server.models.served_model import ServedModel
from server.translation.detection import DetectedLanguage
from server.translation.results import (
    Attention,
    TranslatedHypothesis,
    TranslatedSegment,
    Translation,
    Translations,
    UsedTerm,
)
from traghetto.pb.translation.v1 import translation_pb2 as pb

_STOP_REASONS = {
    StopReason.END: pb.STOP_REASON_END_OF_SENTENCE,
    StopReason.LENGTH: pb.STOP_REASON_MAX_TARGET_TOKENS,
}
_WARNING_REASONS = {
    reason: pb.WarningReason.Value(f"WARNING_REASON_{reason.name}") for reason in WarningReason
}

_told: WeakKeyDictionary[ServedModel, pb.Model] = WeakKeyDictionary()


def response_message(translations: Translations) -> pb.TranslateResponse:
    """The answer to Translate: an item for each text."""
    first = translations.first_model
    return pb.TranslateResponse(
        items=[_item(item) for item in translations.items],
        model=_reference(translations.model),
        language_pair=pb.LanguagePair(
            source_language=translations.pair[0], target_language=translations.pair[1]
        ),
        first_model=None if first is None else _reference(first),
        pivot_language=translations.pivot,
    )


def _reference(model: ServedModel) -> pb.ModelReference:
    return pb.ModelReference(name=model.name, sha256=model.sha256)


def model_message(model: ServedModel) -> pb.Model:
    """What ListModels says of a model; made once, for it may have tens of thousands of pairs."""
    if model not in _told:
        _told[model] = _model_message(model)
    _told[model].loaded = model.loaded is not None
    return _told[model]


def pair_message(
    pair: tuple[str, str], models: Iterable[ServedModel], pivot: str = ""
) -> pb.ServedLanguagePair:
    """What ListLanguagePairs says of a pair."""
    return pb.ServedLanguagePair(
        source_language=pair[0],
        target_language=pair[1],
        models=[model.name for model in models],
        pivot_language=pivot,
    )


def _model_message(model: ServedModel) -> pb.Model:
    pairs = [pb.LanguagePair(source_language=a, target_language=b) for a, b in model.manifest.language_pairs]
    return pb.Model(
        name=model.name,
        sha256=model.sha256,
        precision=model.manifest.precision,
        language_pairs=pairs,
        max_source_tokens=model.max_source_tokens,
        max_target_tokens=model.max_target_tokens,
        architecture=model.manifest.architecture,
        attention=_attention_layers(model.manifest.attention),
    )


def detected_message(found: DetectedLanguage) -> pb.DetectedLanguage:
    """A language that a text was found to be in."""
    return pb.DetectedLanguage(language=found.language, confidence=found.confidence)


def _item(item: Translation | RequestError) -> pb.TranslationItem:
    if isinstance(item, RequestError):
        return pb.TranslationItem(error=to_status(item))
    hypotheses = [_hypothesis(hypothesis) for hypothesis in item.hypotheses]
    best = hypotheses[0]
    return pb.TranslationItem(
        translation=pb.Translation(
            text=best.text,
            hypotheses=hypotheses,
            stop_reason=best.stop_reason,
            source_tokens=item.num_source_tokens,
            target_tokens=best.target_tokens,
            segments=[_segment(segment, is_only=len(item.segments) == 1) for segment in item.segments],
            warnings=[_warning(warning) for warning in item.warnings],
            glossary_terms=[_used_term(term) for term in item.terms],
            mean_token_probability=item.best.mean_token_probability,
        )
    )


def _segment(segment: TranslatedSegment, *, is_only: bool) -> pb.Segment:
    best = segment.hypotheses[0]
    has_more = len(segment.hypotheses) > 1 or best.attention is not None
    return pb.Segment(
        source=pb.ByteRange(start=segment.source[0], end=segment.source[1]),
        target=pb.ByteRange(start=segment.target[0], end=segment.target[1]),
        score=best.score,
        log_prob=best.log_prob,
        stop_reason=_stop_reason(best),
        source_tokens=segment.num_source_tokens,
        target_tokens=best.num_target_tokens,
        mean_token_probability=best.mean_token_probability,
        hypotheses=[_hypothesis(h) for h in segment.hypotheses] if has_more and not is_only else (),
    )


def _warning(warning: TextWarning) -> pb.Warning:
    return pb.Warning(reason=_WARNING_REASONS[warning.reason], segment=warning.segment, text=warning.text)


def _used_term(term: UsedTerm) -> pb.UsedTerm:
    return pb.UsedTerm(source=term.source, target=term.target, met=term.is_met)


def _hypothesis(hypothesis: TranslatedHypothesis) -> pb.Hypothesis:
    return pb.Hypothesis(
        text=hypothesis.text,
        score=hypothesis.score,
        log_prob=hypothesis.log_prob,
        stop_reason=_stop_reason(hypothesis),
        target_tokens=hypothesis.num_target_tokens,
        attention=None if hypothesis.attention is None else _attention(hypothesis.attention),
    )


def _stop_reason(hypothesis: TranslatedHypothesis) -> pb.StopReason.ValueType:
    if hypothesis.stop_reason is None:
        return pb.STOP_REASON_COPIED if hypothesis.text else pb.STOP_REASON_EMPTY_SOURCE
    return _STOP_REASONS[hypothesis.stop_reason]


def _attention(attention: Attention) -> pb.Attention:
    return pb.Attention(
        source_tokens=attention.source_tokens,
        target_tokens=attention.target_tokens,
        layer=attention.layer,
        heads=attention.heads,
        weights=attention.weights.ravel().tolist(),  # (T, S) to (T * S)
    )


def _attention_layers(info: AttentionInfo | None) -> pb.AttentionLayers | None:
    if info is None:
        return None
    return pb.AttentionLayers(
        num_layers=info.num_layers, num_heads=info.num_heads, default_layer=info.default_layer
    )
