"""The messages of Score: a call as the greedy translation that it is, and its answer."""

from __future__ import annotations

from server.api.status import to_status
from server.errors import RequestError
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
