"""Which segments are searched with attention, to tell where tags and terms belong."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from model.text.tokenizer import Tokenizer
from server.engine.sequence import AttentionChoice
from server.translation.attention_limit import num_weights
from server.translation.request import TranslationRequest
from server.work.options import SearchOptions

# Of a call, for tags and terms: 64 MiB if every hypothesis got as long as it may. Tags of sentences beyond it
# stand in proportion, terms are not put in, and that is told.
_MAX_WEIGHTS = 1 << 24
Place = tuple[int, int]  # of a text in its call, and of a segment in it


def aligned_options(
    request: TranslationRequest, segments: Iterable[tuple[Place, int]]
) -> dict[Place, SearchOptions]:
    """How to search for the segments whose tags or terms need attention, and that may have it.

    Args:
        segments: The places of those that need it, and the numbers of their source tokens.
    """
    attention = request.model.manifest.attention
    if attention is None or request.options.attention:
        return {}
    choice = AttentionChoice(layer=attention.default_layer, heads=tuple(range(attention.num_heads)))
    aligned = replace(request.options, attention=choice)
    result: dict[Place, SearchOptions] = {}
    most = 0
    for place, num_source_tokens in segments:
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
