"""The messages of Score: a call as the greedy translation that it is, and its answer."""

from __future__ import annotations

from server.api.requests import is_auto
from server.api.status import to_status
from server.errors import InvalidRequest, RequestError, Violation, quoted
from server.translation.scoring import Scores, TargetScore
from traghetto.pb.translation.v1 import translation_pb2 as pb


def translate_request(request: pb.ScoreRequest) -> pb.TranslateRequest:
    """The call that searches greedily for what is to be scored, each text one sequence."""
    return pb.TranslateRequest(
        source_language=request.source_language,
        target_language=request.target_language,
        texts=request.texts,
        model=request.model,
        options=pb.TranslateOptions(beam_size=1, segmentation=pb.SEGMENTATION_NONE),
        priority=request.priority,
    )


def require_pairs(request: pb.ScoreRequest) -> None:
    """Refuse what could not be scored by any model.

    Raises:
        InvalidRequest: there are not as many translations as texts, or no language of theirs.
    """
    faults = []
    if (count := len(request.translations)) != (num_texts := len(request.texts)):
        rule = f"has {count} translations, must have one for each of {num_texts} texts"
        faults.append(Violation("translations", rule))
    if is_auto(request):
        rule = f"is {quoted(request.source_language)}, must name the language: scores are of one pair"
        faults.append(Violation("source_language", rule))
    if faults:
        raise InvalidRequest(faults)


def score_message(scores: Scores) -> pb.ScoreResponse:
    """The answer: an item for each text."""
    return pb.ScoreResponse(
        items=[_item(item) for item in scores.items],
        model=pb.ModelReference(name=scores.model.name, sha256=scores.model.sha256),
        language_pair=pb.LanguagePair(source_language=scores.pair[0], target_language=scores.pair[1]),
    )


def _item(item: TargetScore | RequestError) -> pb.ScoreItem:
    if isinstance(item, RequestError):
        return pb.ScoreItem(error=to_status(item))
    return pb.ScoreItem(
        score=pb.Score(
            log_prob=item.log_prob,
            tokens=item.tokens,
            log_probs=item.log_probs,
            source_tokens=item.num_source_tokens,
        )
    )
