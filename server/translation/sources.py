"""From texts to the token ids that a model reads: the empty ones and those that are too long told apart."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from server.errors import RequestError, SourceTooLong, TextTooLong
from server.models.loading import LoadedModel

_INLINE_CHARACTERS = 4096
_CHARACTERS_PER_TOKEN = 64  # no language needs so many: a longer text is refused before it costs seconds

Source = list[int] | RequestError


async def tokenize(model: LoadedModel, texts: Sequence[str], target_language: str) -> list[Source]:
    """Ids of each text, or why it has none; no ids for one without anything to translate, as white space.

    Long work leaves the event loop to others; for a sentence the hop would take longer than the work.
    """

    def sources() -> list[Source]:
        num_special = len(model.tokenizer.encode_source("", target_language))  # no source is without these
        return [_source(model, text, target_language, num_special) for text in texts]

    is_short = sum(map(len, texts)) <= _INLINE_CHARACTERS
    return sources() if is_short else await asyncio.to_thread(sources)


def _source(model: LoadedModel, text: str, target_language: str, num_special: int) -> Source:
    limit = model.max_source_tokens
    if not text.strip():
        return []
    if len(text) > _CHARACTERS_PER_TOKEN * limit:
        return TextTooLong(len(text), _CHARACTERS_PER_TOKEN * limit)
    source = model.tokenizer.encode_source(text, target_language)
    if len(source) > limit:
        return SourceTooLong(len(source), limit)
    return source if len(source) > num_special else []
