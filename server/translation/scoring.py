"""How probable given translations are: each is the whole prefix of a search that has nothing to choose."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from server.errors import (
    NothingToScore,
    RequestError,
    TargetTooLong,
    TextTooLong,
)
from server.models.served_model import ServedModel
from server.translation.request import TranslationRequest
from server.translation.results import Translation
from server.translation.sources import CHARACTERS_PER_TOKEN, INLINE_CHARACTERS
from server.translation.translator import Record, Translator


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetScore:
    """The log-probabilities of a translation.

    Args:
        log_prob: Of the whole.
        tokens: Its pieces, end of sentence last.
        log_probs: Of each, the natural logarithm of its probability behind those before it.
        num_source_tokens: Special ones included.
    """

    log_prob: float
    tokens: list[str]
    log_probs: tuple[float, ...]
    num_source_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """What a call gets: a score for each text, in order, or why there is none."""

    items: list[TargetScore | RequestError]
    model: ServedModel
    pair: tuple[str, str]


async def score(
    translator: Translator, request: TranslationRequest, targets: Sequence[str], record: Record
) -> Scores:
    """Score a translation of each text.

    Args:
        request: Asks for the greedy translation of each text as one sequence.
        targets: The translations, as many.

    Raises:
        RequestError: as `Translator.translate`.
    """
    ids = await _tokenized(request, targets)
    fitting = [i for i, target in enumerate(ids) if isinstance(target, tuple)]
    limit = request.model.max_target_tokens
    forced = replace(
        request,
        texts=[request.texts[i] for i in fitting],
        prefixes=[target for target in ids if isinstance(target, tuple)],
        options=replace(request.options, max_target_tokens=limit, is_limit_by_source=False),
    )
    translations = (await translator.translate(forced, record)).items
    found = dict(zip(fitting, translations, strict=True))
    items = [
        target if isinstance(target, RequestError) else _item(found[i], target, request)
        for i, target in enumerate(ids)
    ]
    return Scores(items=items, model=request.model, pair=request.pair)


async def _tokenized(
    request: TranslationRequest, targets: Sequence[str]
) -> list[tuple[int, ...] | RequestError]:
    """The tokens of each target, or why it is too long; long work leaves the event loop to others."""
    tokenizer, limit, language = request.model.tokenizer, request.model.max_target_tokens, request.pair[1]

    def ids(target: str) -> tuple[int, ...] | RequestError:
        if len(target) > (most := CHARACTERS_PER_TOKEN * limit):
            return TextTooLong(len(target), most)
        tokens = tuple(tokenizer.encode_target(target, target_language=language))
        return tokens if len(tokens) <= limit else TargetTooLong(len(tokens), limit)

    if sum(map(len, targets)) <= INLINE_CHARACTERS:
        return list(map(ids, targets))
    return await asyncio.to_thread(lambda: list(map(ids, targets)))


def _item(
    translation: Translation | RequestError, target: Sequence[int], request: TranslationRequest
) -> TargetScore | RequestError:
    if isinstance(translation, RequestError):
        return translation
    best, tokenizer = translation.best, request.model.tokenizer
    if best.token_log_probs is None or best.log_prob is None:
        return NothingToScore()
    return TargetScore(
        log_prob=best.log_prob,
        tokens=list(map(tokenizer.piece, target)),
        log_probs=best.token_log_probs,
        num_source_tokens=translation.num_source_tokens,
    )
