"""Markup back into translations: whether attention is needed for it, and the tags at the words it tells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from model.text.tokenizer import Tokenizer
from server.documents.document import Segment
from server.documents.markup.skeleton import Filled
from server.engine.sequence import AttentionChoice
from server.translation.alignment import word_weights
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
    options, num_weights = request.options, 0
    result: dict[Place, SearchOptions] = {}
    for place, segment, num_source_tokens in segments:
        if segment.skeleton is None or not segment.skeleton.marks or options.attention:
            continue
        attention = request.model.manifest.attention
        if attention is None:
            break
        num_weights += num_source_tokens * options.target_limit(num_source_tokens) * options.method.width
        if num_weights > _MAX_WEIGHTS:
            break
        choice = AttentionChoice(layer=attention.default_layer, heads=tuple(range(attention.num_heads)))
        result[place] = replace(options, attention=choice)
    return result


def marked(
    segment: Segment,
    hypothesis: TranslatedHypothesis,
    tokenizer: Tokenizer,
    pair: tuple[str, str],
    inner: Mapping[Place, str],
) -> Filled:
    """A translation with the markup of its segment, which has some.

    Args:
        pair: Languages of source and target.
        inner: What is written for segments within this one, by their places in the text.
    """
    assert segment.skeleton is not None
    weights = None
    if hypothesis.attention is not None and segment.skeleton.marks:
        end, first = tokenizer.special_ids.end, tokenizer.first_target_token(pair[1])
        ids = {*tokenizer.encode_source("", pair[1], source_language=pair[0]), end}
        special = {tokenizer.source_piece(i) for i in ids}
        special |= {tokenizer.piece(i) for i in (end, first) if i is not None}
        weights = word_weights(hypothesis.attention, segment.text, hypothesis.text, special)
    return segment.skeleton.filled(hypothesis.text, weights, inner)
