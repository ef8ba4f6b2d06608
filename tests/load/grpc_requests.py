"""A subject's sentences as requests: one text each, greedy, without scores, one limit for all."""

from __future__ import annotations

from tests.load.subjects import Subject
from traghetto.pb.translation.v1 import translation_pb2 as pb

MAX_TARGET_TOKENS = 128


def requests_of(subject: Subject) -> list[pb.TranslateRequest]:
    """One for each sentence; a server that tokenizes its text gets the same ids, or nearly."""
    tokenizer = subject.tokenizer
    one, other = tokenizer.languages
    pairs = {tokenizer.encode_source("", b)[0]: (a, b) for a, b in ((one, other), (other, one))}
    options = pb.TranslateOptions(
        beam_size=1, max_target_tokens=MAX_TARGET_TOKENS, skip_scores=True, segmentation=pb.SEGMENTATION_NONE
    )
    return [
        pb.TranslateRequest(
            source_language=pairs[tag][0],
            target_language=pairs[tag][1],
            texts=[tokenizer.detokenize(pieces)],
            options=options,
        )
        for tag, *pieces, _ in subject.sources
    ]
