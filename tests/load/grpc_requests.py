"""A subject's sentences as serialised requests: one text each, greedy, without scores, one limit for all."""

from __future__ import annotations

from collections.abc import Sequence

from model.tokenizer import Tokenizer, language_tag
from server.pb.translation.v1 import translation_pb2 as pb
from tests.load.subjects import Subject

MAX_TARGET_TOKENS = 128


def request_of(source: Sequence[int], tokenizer: Tokenizer) -> pb.TranslateRequest:
    """A request that brings a server these ids, or nearly: it tokenizes their text anew.

    Args:
        source: Token ids, tag and END_ID included.
    """
    tag, *pieces, _ = source
    target = next(code for code in tokenizer.languages if language_tag(code) == tokenizer.piece(tag))
    return pb.TranslateRequest(
        source_language=next(code for code in tokenizer.languages if code != target),
        target_language=target,
        texts=[tokenizer.detokenize(pieces)],
        options=pb.TranslateOptions(beam_size=1, max_target_tokens=MAX_TARGET_TOKENS, skip_scores=True),
    )


def serialised_requests(subject: Subject) -> list[bytes]:
    """One for each of its sentences."""
    tokenizer = subject.tokenizer
    return [request_of(source, tokenizer).SerializeToString() for source in subject.sources]
