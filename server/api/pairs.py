"""What ListLanguagePairs is asked for, and what it answers."""

from __future__ import annotations

from server.api.messages import pair_message
from server.api.requests import language_fault
from server.errors import InvalidRequest, Violation
from server.models.catalogue import Models, tag_of
from server.models.languages import distance
from traghetto.pb.translation.v1 import translation_pb2 as pb


def list_pairs(
    request: pb.ListLanguagePairsRequest, models: Models, max_bytes: int
) -> pb.ListLanguagePairsResponse:
    """The pairs between the languages that a client names, or all.

    Args:
        max_bytes: Of a message.

    Raises:
        InvalidRequest: a language is no tag, or the answer would be too large.
    """
    wanted = (request.source_language, request.target_language)
    names = ("source_language", "target_language")
    faults = [
        fault
        for name, tag in zip(names, wanted, strict=True)
        if tag and (fault := language_fault(name, tag)) is not None
    ]
    if faults:
        raise InvalidRequest(faults)
    served = [pair_message(pair, found) for pair, found in models.pairs() if all(map(_means, wanted, pair))]
    served += [
        pair_message(pair, [model for model, _ in steps], pivot=steps[0][1][1])
        for pair, steps in models.pivot_pairs()
        if all(map(_means, wanted, pair))
    ]
    served.sort(key=lambda pair: (tag_of(pair.source_language), tag_of(pair.target_language)))
    response = pb.ListLanguagePairsResponse(pairs=served)
    if (num_bytes := response.ByteSize()) > max_bytes:
        missing = next((name for name, tag in zip(names, wanted, strict=True) if not tag), names[1])
        size = f"all pairs make an answer of {num_bytes} bytes, the limit is {max_bytes}: name a language"
        raise InvalidRequest([Violation(missing, size)])
    return response


def _means(wanted: str, tag: str) -> bool:
    """Whether a language that is served is the one asked for; empty means any."""
    return not wanted or tag_of(wanted) == tag_of(tag) or distance(wanted, tag) is not None
