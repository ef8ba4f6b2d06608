"""Markup back into translations: whether attention is needed for it, and the tags at the words it tells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from model.text.tokenizer import Tokenizer
from server.documents.document import Segment
from server.documents.markup.skeleton import Filled
from server.documents.markup.tokens import Range
from server.documents.markup.words import Weights
from server.engine.sequence import AttentionChoice
from server.translation.attention_limit import num_weights
from server.translation.request import TranslationRequest
from server.translation.results import TranslatedHypothesis
from server.work.options import SearchOptions

# Of a call, for tags: 64 MiB if every hypothesis got as long as it may. Tags of sentences beyond it stand in
# proportion, and that is told.
_MAX_WEIGHTS = 1 << 24
Place = tuple[int, int]  # of a text in its call, and of a segment in it


def aligned_options(
    request: TranslationRequest, segments: Iterable[tuple[Place, Segment, int]]
) -> dict[Place, SearchOptions]:
    """How to search for the segments whose tags need attention, and that may have it.

    Args:
        segments: Each with its place and the number of its source tokens.
    """
    attention = request.model.manifest.attention
    if attention is None or request.options.attention:
        return {}
    choice = AttentionChoice(layer=attention.default_layer, heads=tuple(range(attention.num_heads)))
    aligned = replace(request.options, attention=choice)
    result: dict[Place, SearchOptions] = {}
    most = 0
    for place, segment, num_source_tokens in segments:
        if segment.skeleton is None or not segment.skeleton.marks:
            continue
        most += num_weights(num_source_tokens, aligned)
        if most > _MAX_WEIGHTS:
            break
        result[place] = aligned
    return result


def special_pieces(tokenizer: Tokenizer, pair: tuple[str, str]) -> set[str]:
    """The pieces that stand for no text in a source or a target of a pair of languages."""
    end, first = tokenizer.special_ids.end, tokenizer.first_target_token(pair[1])
    ids = {*tokenizer.encode_source("", pair[1], source_language=pair[0]), end}
    pieces = {tokenizer.source_piece(i) for i in ids}
    return pieces | {tokenizer.piece(i) for i in (end, first) if i is not None}


def marked(
    segment: Segment,
    hypothesis: TranslatedHypothesis,
    weights: Weights | None,
    inner: Mapping[Range, str],
) -> Filled:
    """A translation with the markup of its segment, which has some.

    Args:
        weights: As `word_weights` has them; None where there is no attention.
        inner: What is written for segments within this one, by their places in the text.
    """
    assert segment.skeleton is not None
    return segment.skeleton.filled(hypothesis.text, weights, inner)
