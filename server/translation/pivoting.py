"""A pair of languages translated by two models, through a language between."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

from server.engine.sequence import StopReason
from server.errors import RequestError
from server.translation.request import TranslationRequest
from server.translation.results import TranslatedSegment, Translation, Translations
from server.translation.translator import Record, Translator

Ready = Callable[[TranslationRequest], AbstractAsyncContextManager[TranslationRequest]]


async def translate_through(
    translator: Translator,
    request: TranslationRequest,
    ready: Ready,
    record_of: Callable[[TranslationRequest], Record],
) -> Translations:
    """Translate every text of a call, and their translations again where the request says so.

    Args:
        ready: Has the model of a way in memory meanwhile, and gives the request with what only a model that
            is there can tell.
        record_of: A record for each of the two ways, once it begins.

    Raises:
        RequestError: as `Translator.translate` and `ready` raise them, of either way.
    """
    async with ready(request) as first:
        middle = await translator.translate(first, record_of(first))
    if request.then is None:
        return middle
    done = {i: item for i, item in enumerate(middle.items) if isinstance(item, Translation)}
    async with ready(request.then) as second:
        prefixes = [second.prefixes[i] for i in done] if second.prefixes else []
        then = replace(second, texts=[item.best.text for item in done.values()], prefixes=prefixes)
        end = await translator.translate(then, record_of(then))
    items: list[Translation | RequestError] = [*middle.items]
    for (i, before), after in zip(done.items(), end.items, strict=True):
        items[i] = _together(before, after) if isinstance(after, Translation) else after
    return Translations(
        items=items,
        model=end.model,
        pair=(middle.pair[0], end.pair[1]),
        first_model=middle.model,
        pivot=middle.pair[1],
    )


def _together(before: Translation, after: Translation) -> Translation:
    """A translation of the translation, as one of the source: the hypotheses are the second model's."""
    is_cut = before.best.stop_reason is StopReason.LENGTH
    hypotheses = [replace(h, stop_reason=StopReason.LENGTH) if is_cut else h for h in after.hypotheses]
    segments = _segments(before, after)
    warnings = [*before.warnings, *after.warnings]
    if not segments:
        warnings = [replace(warning, segment=None) for warning in warnings]
    return Translation(
        hypotheses=hypotheses,
        num_source_tokens=before.num_source_tokens,
        segments=segments,
        warnings=warnings,
        terms=after.terms,
    )


def _segments(before: Translation, after: Translation) -> list[TranslatedSegment]:
    """From places in the source to places in the target; none where the second model got other segments."""
    if len(before.segments) != len(after.segments):
        return []
    return [
        replace(second, source=first.source, num_source_tokens=first.num_source_tokens)
        for first, second in zip(before.segments, after.segments, strict=True)
    ]
